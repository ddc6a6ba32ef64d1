//! Every message, in both directions (contract section 4). Each is one JSON object tagged by `type`.
//!
//! Unknown fields are ignored and unknown types decode to `Unknown`, so that either side may be one version
//! ahead. How a message becomes a frame is in `codec.rs`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::object::object;

/// A message from a Defender to the Console.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a hello is unpacked as soon as it is decoded; none waits in a queue"
)]
pub enum ToConsole {
    /// Asks for a certificate of its own.
    CertificateRequest(CertificateRequest),
    /// The first message of a connection.
    Hello(Hello),
    /// One numbered report.
    Report(Report),
    /// The answer to a command.
    Result(CommandResult),
    /// A type that this version does not know; to be ignored.
    Unknown,
}

/// A message from the Console to a Defender.
#[derive(Debug)]
pub enum ToDefender {
    /// Everything up to this number is stored.
    Ack(Ack),
    /// Which CAs to trust from now on, and whether to renew.
    Authorities(Authorities),
    /// The answer to a certificate request.
    Certificate(Certificate),
    /// Something to do, answered by a result.
    Command(Command),
    /// Connect anew, then close this connection.
    Reconnect(Reconnect),
    /// A type that this version does not know; to be ignored.
    Unknown,
    /// The answer to `hello`.
    Welcome(Welcome),
}

/// Who is calling, and with which certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The Defender and its host.
    #[serde(deserialize_with = "object")]
    pub defender: DefenderIdentity,
    /// New with each process of the Defender.
    pub boot: Uuid,
    /// The client certificate that the Defender uses.
    #[serde(deserialize_with = "object")]
    pub certificate: CertificateSummary,
    /// SHA-256 of each CA that it trusts, 64 lower-case hexadecimal digits, where the Console may tell it of others;
    /// empty: it may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
    /// What time it is on its host.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub time: Option<OffsetDateTime>,
}

/// A Defender and the host that it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefenderIdentity {
    /// Kept in the Defender's data directory for life.
    pub id: Uuid,
    /// Name shown in the Console; not unique.
    pub hostname: String,
    /// Version of the Defender, `X.Y.Z`.
    pub version: String,
    /// Operating system, for example `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// Kernel release, for example `6.1.0-18-amd64`.
    pub kernel: String,
    /// Machine architecture, for example `x86_64`.
    pub arch: String,
    /// Name of the cluster that it was deployed to, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// The facts of one certificate that an operator compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// Where it comes from.
    pub source: CertificateSource,
    /// End of its validity.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// SHA-256 of the DER form, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateSource {
    /// The operator's, from the custom certificates directory.
    Custom,
    /// From the Console's own authority.
    SelfSigned,
}

/// One numbered report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Rises by one over the life of the identity, also across restarts; starts at 1.
    pub seq: u64,
    /// What is reported: `host`, …
    pub kind: String,
    /// The report itself, any JSON value, passed on as it is.
    pub body: Box<RawValue>,
}

/// The answer to a [`Command`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommandResult {
    /// The command's `id`.
    pub id: Uuid,
    /// Whether it was carried out; an unknown command is not.
    pub ok: bool,
    /// What came of it, any JSON value.
    pub body: Box<RawValue>,
}

/// Asks for a certificate for a key that never leaves the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// PKCS#10 request, PEM.
    pub csr: String,
}

/// The Console's answer to `hello`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// The Console that answers.
    #[serde(deserialize_with = "object")]
    pub console: ConsoleIdentity,
    /// How often each side must be heard, in seconds.
    pub heartbeat_seconds: u64,
    /// The highest report number that the Console has stored; 0 when it has none.
    pub last_seq: u64,
}

/// The Console that answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsoleIdentity {
    /// Its version, `X.Y.Z`.
    pub version: String,
}

/// Everything up to `seq` is stored.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ack {
    /// The highest report number stored.
    pub seq: u64,
}

/// Connect anew within `spread_seconds`, then close this connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reconnect {
    /// Why, for the Defender's log.
    pub reason: String,
    /// Upper end of the random delay that each Defender draws for itself, in seconds.
    pub spread_seconds: u64,
}

/// Something for the Defender to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Command {
    /// Names the command in its result.
    pub id: Uuid,
    /// What to do.
    pub name: String,
    /// Arguments, any JSON value; `null` when there are none.
    #[serde(default = "null")]
    pub args: Box<RawValue>,
}

/// The answer to a [`CertificateRequest`]: a certificate, or why there is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Certificate {
    /// Issued.
    Issued {
        /// Leaf first, PEM.
        chain: String,
        /// The authority to trust from now on, PEM.
        ca: String,
    },
    /// Refused.
    Refused {
        /// Why, for the Defender's log.
        error: String,
    },
}

/// Which CAs to trust from now on, and whether to ask for another certificate. Only for Defenders that named theirs in
/// `hello`; older ones ignore it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Authorities {
    /// Every CA to trust, PEM.
    pub ca: String,
    /// Whether to ask for another certificate.
    #[serde(default)]
    pub renew: bool,
    /// Upper end of the random delay before it asks, in seconds.
    #[serde(default)]
    pub spread_seconds: u64,
}

/// A direction of the protocol: what `codec.rs` needs in order to read and write its messages.
pub trait Message: Sized {
    /// The value of `type`, then the rest of the object as JSON.
    ///
    /// # Errors
    /// What serde_json says; none of today's messages can fail.
    fn to_tagged(&self) -> serde_json::Result<String>;

    /// Reads the fields of the message that `tag` names out of `json`, the whole object.
    ///
    /// # Errors
    /// What serde_json says of the first field that is missing or has another shape; or that `tag` is a message of the
    /// other direction, which is known and out of turn.
    fn from_tagged(tag: &str, json: &str) -> serde_json::Result<Self>;
}

impl Message for ToConsole {
    fn to_tagged(&self) -> serde_json::Result<String> {
        match self {
            Self::CertificateRequest(body) => tagged("certificate_request", body),
            Self::Hello(body) => tagged("hello", body),
            Self::Report(body) => tagged("report", body),
            Self::Result(body) => tagged("result", body),
            Self::Unknown => tagged("unknown", &Nothing {}),
        }
    }

    fn from_tagged(tag: &str, json: &str) -> serde_json::Result<Self> {
        Ok(match tag {
            "certificate_request" => Self::CertificateRequest(serde_json::from_str(json)?),
            "hello" => Self::Hello(serde_json::from_str(json)?),
            "report" => Self::Report(serde_json::from_str(json)?),
            "result" => Self::Result(serde_json::from_str(json)?),
            "ack" | "authorities" | "certificate" | "command" | "reconnect" | "welcome" => {
                return Err(out_of_turn(tag, "Console"));
            }
            _ => Self::Unknown,
        })
    }
}

impl Message for ToDefender {
    fn to_tagged(&self) -> serde_json::Result<String> {
        match self {
            Self::Ack(body) => tagged("ack", body),
            Self::Authorities(body) => tagged("authorities", body),
            Self::Certificate(body) => tagged("certificate", body),
            Self::Command(body) => tagged("command", body),
            Self::Reconnect(body) => tagged("reconnect", body),
            Self::Unknown => tagged("unknown", &Nothing {}),
            Self::Welcome(body) => tagged("welcome", body),
        }
    }

    fn from_tagged(tag: &str, json: &str) -> serde_json::Result<Self> {
        Ok(match tag {
            "ack" => Self::Ack(serde_json::from_str(json)?),
            "authorities" => Self::Authorities(serde_json::from_str(json)?),
            "certificate" => Self::Certificate(serde_json::from_str(json)?),
            "command" => Self::Command(serde_json::from_str(json)?),
            "reconnect" => Self::Reconnect(serde_json::from_str(json)?),
            "welcome" => Self::Welcome(serde_json::from_str(json)?),
            "certificate_request" | "hello" | "report" | "result" => {
                return Err(out_of_turn(tag, "Defender"));
            }
            _ => Self::Unknown,
        })
    }
}

/// The `type` of an object whose other fields are not looked at yet.
#[derive(Deserialize)]
pub(crate) struct Tag<'a> {
    /// Value of `type`.
    #[serde(rename = "type", borrow)]
    pub(crate) tag: Cow<'a, str>,
}

#[derive(Serialize)]
struct Nothing {}

fn tagged<T: Serialize>(tag: &str, body: &T) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        #[serde(rename = "type")]
        tag: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    serde_json::to_string(&Tagged { tag, body })
}

/// A message that only the `sender` sends, from the other side.
fn out_of_turn(tag: &str, sender: &str) -> serde_json::Error {
    serde::de::Error::custom(format!("`{tag}` is sent by the {sender} only"))
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}
