//! What the Defender would connect with, the best first as in `candidates.rs`, and what comes of each.

use std::sync::Arc;

use certs::{CertError, Channel, Found, Material, RawMaterial};
use tokio::net::TcpStream;

use crate::ask::{Answer, ask};
use crate::bundle;
use crate::candidates::Kind;
use crate::config::Config;
use crate::dial::{DialError, reach, secure};
use crate::own;

/// One set to connect with.
pub(super) struct Offer {
    pub(super) kind: Kind,
    pub(super) material: Material,
}

/// A set that is there and cannot be used: what is wrong, and what to do.
pub(super) type Unusable = (String, String);

/// What came of connecting with one set.
pub(super) enum Talk {
    /// The Console's answer to a question.
    Answer(Answer),
    /// There is no TLS.
    NoTls(DialError),
    /// There was TLS, and no answer.
    Silence(DialError),
    /// The set makes no configuration.
    Unusable(CertError),
}

/// Every set that is there; those that cannot be used apart.
pub(super) fn offers(config: &Config) -> (Vec<Offer>, Vec<Unusable>) {
    let (mut offers, mut unusable) = (Vec::new(), Vec::new());
    let mut add = |kind, found: Result<Option<Material>, Unusable>| match found {
        Ok(Some(material)) => offers.push(Offer { kind, material }),
        Ok(None) => {}
        Err(fault) => unusable.push(fault),
    };
    let fault = |error: CertError| (error.to_string(), error.remedy());
    let custom = match RawMaterial::read(Channel::Defender, &config.custom_certs_dir) {
        Ok(Found::Complete(raw)) => Material::parse(raw).map(Some).map_err(fault),
        Ok(Found::Missing(_)) => Ok(None),
        Err(error) => Err(fault(error)),
    };
    add(Kind::Custom, custom);
    add(
        Kind::Own,
        own::kept_in(&config.data_dir).map_err(|error| (format!("{DAMAGED}: {error}"), REPLACED.to_owned())),
    );
    let bundle = match &config.install_bundle {
        Some(text) => bundle::decode(text).map(Some),
        None => bundle::read(&config.install_bundle_dir),
    };
    add(Kind::Bundle, bundle.map_err(|error| (error.to_string(), error.remedy())));
    (offers, unusable)
}

/// Connects with one after the other until the Console takes one. Which that is, else the first; what came of it; and
/// what came of those before it.
pub(super) async fn try_all(
    config: &Config,
    tcp: TcpStream,
    offers: &[Offer],
) -> Option<(usize, Talk, Vec<DialError>)> {
    let mut refused: Vec<DialError> = Vec::new();
    let mut tcp = Some(tcp);
    for (place, offer) in offers.iter().enumerate() {
        let stream = match tcp.take() {
            Some(tcp) => tcp,
            None => match reach(&config.target()).await {
                Ok(tcp) => tcp,
                Err(_) => break,
            },
        };
        match talk(config, stream, &offer.material).await {
            Talk::NoTls(error) | Talk::Silence(error) if error.is_about_certificates() => refused.push(error),
            talk => return Some((place, talk, refused)),
        }
    }
    // None is taken: the best one is what is to be mended.
    let first = refused.into_iter().next()?;
    let talk = match first {
        DialError::ConsoleCertificate { .. } => Talk::NoTls(first),
        _ => Talk::Silence(first),
    };
    Some((0, talk, Vec::new()))
}

async fn talk(config: &Config, tcp: TcpStream, material: &Material) -> Talk {
    let tls = match certs::tls::defender_client(material) {
        Ok(tls) => tls,
        Err(error) => return Talk::Unusable(error),
    };
    match secure(tcp, &config.target(), Arc::new(tls)).await {
        Ok(stream) => match ask(stream, &config.console).await {
            Ok(answer) => Talk::Answer(answer),
            Err(error) => Talk::Silence(error),
        },
        Err(error) => Talk::NoTls(error),
    }
}

const DAMAGED: &str = "the Defender's own certificate is damaged and left out";
const REPLACED: &str = "delete own-certificate.json in the data directory: the Defender asks for another one, with its install bundle";
