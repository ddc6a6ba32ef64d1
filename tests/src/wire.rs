//! The Defender protocol by hand: whatever a test wants to send, valid or hostile.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use uuid::Uuid;

use crate::{Dialer, PemSet, SOON};

/// What a Defender authenticates with, PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Authority that vouches for the Console.
    pub ca: String,
    /// Client certificate chain.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl From<PemSet> for Identity {
    fn from(set: PemSet) -> Self {
        Self { ca: set.ca, cert: set.cert, key: set.key }
    }
}

impl Identity {
    /// The same under the names of files.
    pub fn to_set(&self) -> PemSet {
        PemSet { cert: self.cert.clone(), key: self.key.clone(), ca: self.ca.clone() }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a close frame.
    Closed(u16, String),
    /// Without.
    Cut(String),
}

impl Wire {
    /// Connects, shakes hands, upgrades.
    ///
    /// # Errors
    /// Whatever goes wrong; a client certificate that the Console does not take shows here.
    pub async fn connect(port: u16, identity: &Identity) -> Result<Self, tungstenite::Error> {
        Self::upgrade(Dialer::with_identity(identity).dial(port).await?, protocol::SUBPROTOCOL).await
    }

    /// Upgrades an open connection, naming `subprotocol`.
    ///
    /// # Errors
    /// Whatever goes wrong.
    pub async fn upgrade(
        stream: TlsStream<TcpStream>,
        subprotocol: &str,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("wss://localhost{}", protocol::PATH).into_client_request()?;
        let name = HeaderValue::from_str(subprotocol).map_err(tungstenite::http::Error::from)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", name);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { socket })
    }

    /// Connects and says a proper `hello`; returns the `welcome` too.
    ///
    /// # Errors
    /// Whatever goes wrong before `welcome`.
    pub async fn join(port: u16, identity: &Identity, id: Uuid) -> Result<(Self, Value), String> {
        Self::join_by(&Dialer::with_identity(identity), port, id).await
    }

    /// As `join`, by any way.
    ///
    /// # Errors
    /// As `join`.
    pub async fn join_by(dialer: &Dialer, port: u16, id: Uuid) -> Result<(Self, Value), String> {
        let stream = dialer.dial(port).await.map_err(|error| error.to_string())?;
        let mut wire =
            Self::upgrade(stream, protocol::SUBPROTOCOL).await.map_err(|error| error.to_string())?;
        wire.send(&hello(id)).await;
        match wire.message().await {
            Ok(welcome) if welcome["type"] == "welcome" => Ok((wire, welcome)),
            other => Err(format!("no welcome: {other:?}")),
        }
    }

    /// Sends a JSON object as text.
    pub async fn send(&mut self, message: &Value) {
        self.send_text(message.to_string()).await;
    }

    /// Sends any text. What the Console thinks of it shows when reading: a send that fails is no answer.
    pub async fn send_text(&mut self, text: String) {
        let _ = timeout(SOON, self.socket.send(Message::text(text))).await;
    }

    /// Sends any binary frame.
    pub async fn send_binary(&mut self, data: Vec<u8>) {
        let _ = timeout(SOON, self.socket.send(Message::binary(data))).await;
    }

    /// Sends a report.
    pub async fn report(&mut self, seq: u64, kind: &str, body: Value) {
        self.send(&json!({"type": "report", "seq": seq, "kind": kind, "body": body})).await;
    }

    /// The next message of the Console; pings are answered on the way.
    ///
    /// # Errors
    /// The end of the connection, or silence.
    pub async fn message(&mut self) -> Result<Value, End> {
        self.message_within(SOON).await
    }

    /// As `message`, with a deadline.
    ///
    /// # Errors
    /// As `message`.
    pub async fn message_within(&mut self, deadline: Duration) -> Result<Value, End> {
        let read = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return serde_json::from_str(&text).map_err(|error| End::Cut(error.to_string()));
                    }
                    Some(Ok(Message::Binary(data))) => return decompress(&data),
                    Some(Ok(Message::Close(frame))) => {
                        let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                        let (code, reason) = frame.unwrap_or((1005, String::new()));
                        // Reading on lets the library answer the close.
                        while self.socket.next().await.is_some_and(|read| read.is_ok()) {}
                        return Err(End::Closed(code, reason));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(End::Cut(error.to_string())),
                    None => return Err(End::Cut("end of stream".to_owned())),
                }
            }
        };
        timeout(deadline, read).await.unwrap_or_else(|_| Err(End::Cut(format!("silent for {deadline:?}"))))
    }

    /// Reads on until a message of this type.
    ///
    /// # Panics
    /// When the connection ends without.
    pub async fn expect(&mut self, kind: &str) -> Value {
        loop {
            match self.message().await {
                Ok(message) if message["type"] == kind => return message,
                Ok(_) => {}
                Err(end) => panic!("no `{kind}`: {end:?}"),
            }
        }
    }

    /// Reads on until an `ack` of at least `seq`.
    ///
    /// # Errors
    /// The end of the connection.
    pub async fn acked(&mut self, seq: u64) -> Result<(), End> {
        loop {
            let message = self.message().await?;
            if message["type"] == "ack" && message["seq"].as_u64() >= Some(seq) {
                return Ok(());
            }
        }
    }

    /// Reads on until the connection ends.
    pub async fn end(&mut self, deadline: Duration) -> End {
        let read = async {
            loop {
                if let Err(end) = self.message_within(deadline).await {
                    return end;
                }
            }
        };
        timeout(deadline, read).await.unwrap_or_else(|_| End::Cut(format!("still open after {deadline:?}")))
    }

    /// Closes in good order; the code of the answer, if there is one.
    pub async fn close(mut self) -> Option<u16> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(SOON, self.socket.close(Some(frame))).await;
        let mut answer = None;
        while let Ok(Some(Ok(message))) = timeout(SOON, self.socket.next()).await {
            if let Message::Close(Some(frame)) = message {
                answer = Some(frame.code.into());
            }
        }
        answer
    }

    /// What the handshake showed.
    pub fn seen(&self) -> crate::tls::Seen {
        crate::tls::seen(self.socket.get_ref())
    }
}

/// A proper `hello` of a Defender with this identity.
pub fn hello(id: Uuid) -> Value {
    json!({
        "type": "hello",
        "defender": {
            "id": id, "hostname": format!("host-{}", &id.to_string()[..8]), "version": protocol::Version::own().to_string(),
            "os": "Test OS 1", "kernel": "6.1.0-test", "arch": "x86_64",
        },
        "boot": Uuid::new_v4(),
        "certificate": {"source": "self-signed", "not_after": "2031-01-01T00:00:00Z", "sha256": "0".repeat(64)},
    })
}

/// zstd, as binary frames hold it.
pub fn compress(text: &str) -> Vec<u8> {
    zstd::bulk::compress(text.as_bytes(), 3).expect("in memory")
}

fn decompress(data: &[u8]) -> Result<Value, End> {
    let text: io::Result<Vec<u8>> = zstd::stream::decode_all(data);
    text.map_err(|error| End::Cut(error.to_string()))
        .and_then(|text| serde_json::from_slice(&text).map_err(|error| End::Cut(error.to_string())))
}
