//! Certificates over the live connection of one Defender: the answer to its request, and the call to renew when it has
//! not asked by itself. Its clock may be wrong; ours decides.

use std::net::IpAddr;

use certs::Source;
use protocol::message::{Authorities, Certificate};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::enroll::{Credential, Enrolment, Mark};

/// The certificate of a connection.
#[derive(Debug)]
pub(super) struct Renewal {
    credential: Credential,
    address: IpAddr,
    /// When to call for a renewal next; `None`: never.
    call_at: Option<OffsetDateTime>,
}

impl Renewal {
    /// For a connection secured from `source`. `listens`: the Defender understands the call.
    pub(super) fn new(credential: Credential, source: Source, address: IpAddr, listens: bool) -> Self {
        let is_ours = listens && source == Source::SelfSigned && matches!(credential.mark, Mark::Own(_));
        let life = credential.not_after - credential.not_before;
        let call_at = is_ours.then(|| credential.not_before + life * CALL_AT);
        Self { credential, address, call_at }
    }

    /// What a request is answered with.
    pub(super) async fn answer(&self, enrolment: &Enrolment, csr: &str, id: Uuid) -> Certificate {
        match enrolment.sign(csr, &self.credential, id, self.address).await {
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
    pub(super) fn prompt(&mut self, enrolment: &Enrolment, now: OffsetDateTime) -> Option<Authorities> {
        let at = self.call_at.filter(|at| *at <= now)?;
        let life = self.credential.not_after - self.credential.not_before;
        self.call_at = Some((at + life * CALL_EVERY).max(now + life * CALL_EVERY / 2));
        Some(Authorities { ca: enrolment.ca_pem(), renew: true, spread_seconds: 0 })
    }
}

/// The share of a certificate's life after which a Defender that has not renewed is called to.
const CALL_AT: f64 = 0.6;

/// The share between two calls.
const CALL_EVERY: f64 = 0.1;
