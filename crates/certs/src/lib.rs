//! Certificates from files to a live TLS configuration. Knows no protocol and no sockets.
//!
//! ```text
//! files --disk--> RawMaterial --material--> Material --tls--> rustls config --publish--> Subscriber
//!   ^ authority,              (pem, key,             (Live: generation, source)    (newest, for each
//!   | generate                 certificate)                                         accept and dial)
//!   +-- rotate <- settle <- watch, timer
//! ```
//!
//! Three severities, everywhere: *unusable* material cannot exist ([`CertError`] from [`Material::parse`]);
//! *unfit* material ([`Material::unfit`]) may start a program but never replaces what runs; *doubtful* material
//! ([`Material::doubts`]) is taken with a warning.

mod authority;
mod certificate;
mod channel;
mod check;
mod crl;
mod custom;
mod disk;
mod doubt;
mod encounter;
mod error;
mod fault;
mod fingerprint;
mod folders;
mod gate;
mod generate;
mod guard;
pub mod hex;
mod judge;
mod key;
mod material;
#[cfg(test)]
mod overhear;
mod pem;
mod publish;
mod raw;
mod returners;
mod revocations;
mod rotate;
mod settle;
mod source;
mod storage;
#[cfg(test)]
mod stranger;
pub mod tls;
mod watch;

pub use authority::{Authority, CaState, Phase, Stage, StepError, StoreError};
pub use certificate::CertificateFacts;
pub use channel::{Channel, Files};
pub use check::{Finding, Report, Verdict, check};
pub use crl::CrlFault;
pub use custom::{CustomDir, custom_at_start};
pub use doubt::{Doubt, Suspicion};
pub use encounter::{Encounter, Obstacle, certificates};
pub use error::CertError;
pub use fault::{Fault, Input, Instead};
pub use fingerprint::Fingerprint;
pub use gate::{Gate, Gatekeeper, Objection, Permit, gate};
pub use generate::{ClientBundle, Holder, IDENTITY_URN, IssueError, KeyRequest, REGISTRATION_URN, request};
pub use guard::{Guard, shown};
pub use material::Material;
pub use publish::{Live, Refusal, Subscriber};
pub use raw::{Found, RawMaterial};
pub use revocations::Revocations;
pub use rotate::{Outcome, Rotation};
pub use source::Source;
pub use storage::{Meanwhile, look};
pub use watch::Watch;
