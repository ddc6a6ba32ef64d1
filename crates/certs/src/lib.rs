//! Certificates from files to a live TLS configuration. Knows no protocol and no sockets.
//!
//! ```text
//! files --disk--> RawMaterial --material--> Material --tls--> rustls config --publish--> Subscriber
//!   ^ authority,              (pem, key,             (Live: generation, source)    (newest, for each
//!   | generate                 certificate)                                         accept and dial)
//!   +-- rotate <- settle <- folders, timer
//!
//! channel.rs       the three channels: their files, their names in logs
//! source.rs        where the certificates in use come from
//! authority.rs     the Console's own CA and server certificates on disk
//! generate.rs      CAs, leaves and requests, made
//! custom.rs        the custom directory: decided at start, shared by the channels
//! disk.rs          files read whole, and written so that no crash leaves half of one
//! storage.rs       storage that hangs or breaks
//! raw.rs           the texts of a set, before anybody looks into them
//! pem.rs           PEM text <-> blocks
//! key.rs           a key file -> a signing key
//! certificate.rs   the facts of one certificate
//! material.rs      the texts -> a set that can be used: every check is here
//! error.rs         why a set is refused, and the remedy
//! fault.rs         what can be wrong inside a file
//! doubt.rs         what is taken with a warning
//! fingerprint.rs   which set it is, by its content
//! hex.rs           how it is written
//! tls.rs           a set -> a configuration of rustls
//! publish.rs       the newest configuration of a channel, for everybody who uses it
//! rotate.rs        one loop per channel
//! folders.rs       what wakes it: the watched folders
//! settle.rs        when it looks, and when what it saw counts
//! judge.rs         what it makes of that
//! gate.rs          who may hold back a good set
//! watch.rs         waiting for files, for a Defender that has none
//! encounter.rs     whether two sets would take each other
//! crl.rs           what a revocation list names
//! revocations.rs   the list in the custom directory, followed
//! guard.rs         whom a CA vouches for and who is refused all the same
//! returners.rs     whom TLS would refuse and the Console wants to hear of
//! check.rs         `certs check`: the same checks, told to a person
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

pub use authority::{Authority, AuthorityError, CaState, Phase, Stage, StepError, last_step};
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
