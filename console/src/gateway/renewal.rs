//! Certificates over the live connection of one Defender: the answer to its request, and the call to renew when it has
//! not asked by itself. Its clock may be wrong; ours decides.

use std::net::IpAddr;

use certs::Source;
use protocol::message::{Authorities, Certificate};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::enroll::{ClientCredential, Enrolment, Mark, Pace};

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The certificates that it was secured with.
    pub source: Source,
    /// The peer's address.
    pub address: IpAddr,
}

/// The certificate of a connection.
#[derive(Debug)]
pub struct Renewal {
    credential: ClientCredential,
    address: IpAddr,
    /// When to call for a renewal next; `None`: never.
    call_at: Option<OffsetDateTime>,
    /// What to say first: whether to renew, beside which authorities to trust.
    first: Option<bool>,
    /// Whether all that the connection is good for is a new certificate.
    is_limbo: bool,
    /// How often it may ask: what all Defenders share is not for one of them.
    pace: Pace,
}

impl Renewal {
    /// For a connection of `origin`. A Defender that names the authorities that it trusts understands the calls.
    #[must_use]
    pub fn new(
        credential: ClientCredential,
        origin: Origin,
        mut trusts: Vec<String>,
        enrolment: &Enrolment,
        now: OffsetDateTime,
    ) -> Self {
        let is_own = origin.source == Source::SelfSigned && matches!(credential.mark, Mark::Own(_));
        let is_ours = is_own && !trusts.is_empty();
        let is_limbo = is_own && credential.not_after < now;
        let (authorities, signer) = enrolment.authorities();
        trusts.sort();
        let renew = is_limbo || credential.issuer != signer;
        let first = (is_ours && (renew || trusts != authorities)).then_some(renew);
        let life = credential.not_after - credential.not_before;
        let call_at = is_ours.then(|| credential.not_before + life * CALL_AT);
        Self { credential, address: origin.address, call_at, first, is_limbo, pace: Pace::of_session() }
    }

    /// Whether reports are not taken yet: the Defender sends them again once it has a certificate.
    #[must_use]
    pub fn is_limbo(&self) -> bool {
        self.is_limbo
    }

    /// What to say right after `welcome`; of `connected` Defenders many may be told the same at a time.
    pub fn first(&mut self, enrolment: &Enrolment, connected: usize) -> Option<Authorities> {
        let renew = self.first.take()?;
        let spread = u64::try_from(connected / RENEWALS_PER_SECOND).unwrap_or(u64::MAX);
        let spread_seconds = if self.is_limbo { 0 } else { spread };
        Some(Authorities { ca: enrolment.ca_pem(), renew, spread_seconds })
    }

    /// What a request is answered with.
    pub async fn answer(
        &mut self,
        enrolment: &Enrolment,
        csr: &str,
        id: Uuid,
        now: OffsetDateTime,
    ) -> Certificate {
        if !self.pace.take(now) {
            tracing::debug!(defender = id.to_string(), error = TOO_OFTEN, "Certificate refused");
            return Certificate::Refused { error: TOO_OFTEN.to_owned() };
        }
        match enrolment.sign(csr, &self.credential, id, self.address, now).await {
            Ok((chain, ca)) => {
                tracing::info!(
                    defender = id.to_string(),
                    peer = self.address.to_string(),
                    "Certificate issued"
                );
                Certificate::Issued { chain, ca }
            }
            Err(error) => {
                let error = lifecycle::logging::error_chain(&error);
                tracing::info!(defender = id.to_string(), error, "Certificate refused");
                Certificate::Refused { error }
            }
        }
    }

    /// The call, when it is due.
    pub fn prompt(&mut self, enrolment: &Enrolment, now: OffsetDateTime) -> Option<Authorities> {
        let at = self.call_at.filter(|at| *at <= now)?;
        let life = self.credential.not_after - self.credential.not_before;
        self.call_at = Some((at + life * CALL_EVERY).max(now + life * CALL_EVERY / 2));
        Some(Authorities { ca: enrolment.ca_pem(), renew: true, spread_seconds: 0 })
    }
}

/// Why a connection that asks without end gets nothing.
const TOO_OFTEN: &str = "this Defender asks for certificates too often: ask again later";

/// A fleet that is to renew at once is spread so that about this many come.
const RENEWALS_PER_SECOND: usize = 50;

/// The share of a certificate's life after which a Defender that has not renewed is called to.
const CALL_AT: f64 = 0.6;

/// The share between two calls.
const CALL_EVERY: f64 = 0.1;
