//! Whether it is that Console: TLS with the CA certificates that the caller trusts. Verification is never off for a
//! call that carries anything: [`look`] reads what is public, so that people have a fingerprint to compare.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest;
use certs::hex;
use certs::tls::{Anybody, provider};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::asked::{Asked, Secrets, Trust};
use super::call;
use crate::dial::reach_by;

/// A connection to the Console, whose certificate was verified.
pub(super) async fn connect(asked: &Asked, secrets: &Secrets) -> anyhow::Result<TlsStream<TcpStream>> {
    let cas = match &asked.trust {
        Trust::File(_) => secrets.cas.clone(),
        Trust::Fingerprint(wanted) => {
            let seen = look(asked).await?;
            let found = seen.iter().find(|ca| sha256(ca) == *wanted);
            let Some(ca) = found else { return Err(untrusted(asked, &seen)) };
            vec![ca.clone()]
        }
        Trust::System => rustls_native_certs::load_native_certs().certs,
    };
    let error = match verified(asked, cas).await? {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    Err(match certificate_fault(&error) {
        Some(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            let seen = look(asked).await?;
            match seen.first().filter(|ca| matches!(asked.trust, Trust::System) && is_approved(asked, ca)) {
                Some(ca) => return verified(asked, vec![ca.clone()]).await?.context("TLS with the Console"),
                None => untrusted(asked, &seen),
            }
        }
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            anyhow::anyhow!(
                "the certificate of {0} is not for the name {1}; call the Console by a name of its certificate, or \
                     let it add this one (console --san {1})",
                asked.address,
                asked.address.host()
            )
        }
        Some(fault) => anyhow::anyhow!("the certificate of {} cannot be trusted: {fault}", asked.address),
        None => anyhow::Error::new(error).context(format!(
            "TLS with {}; name the port of the Console's HTTPS listener, 8083 unless it was changed",
            asked.address
        )),
    })
}

/// A connection to a Console whose chain ends at one of `cas`; the inner error is of TLS.
async fn verified(
    asked: &Asked,
    cas: Vec<CertificateDer<'static>>,
) -> anyhow::Result<io::Result<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(cas);
    let config = builder()?.with_root_certificates(roots).with_no_client_auth();
    handshake(asked, config).await
}

/// Shows the fingerprint to the person at the terminal and asks whether it is the Console's; `false` where there is none.
fn is_approved(asked: &Asked, ca: &CertificateDer<'_>) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    eprint!(
        "The certificate of {} is signed by a CA that this system does not trust. It has the SHA-256 fingerprint\n{}\n\
         Compare it with the CA certificate on the Console's host (openssl x509 -noout -fingerprint -sha256 -in FILE).\n\
         Is it the same? Type yes to go on: ",
        asked.address,
        hex::encode(sha256(ca))
    );
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

/// The CA certificates that a Console shows to anybody: those it sends, and its own. Nothing is sent that is secret,
/// and nothing that is heard is believed.
async fn look(asked: &Asked) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let verifier = Arc::new(Anybody::new());
    let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let stream = handshake(asked, config).await?.context("TLS with the Console")?;
    let sent = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let sent: Vec<_> = sent.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let Some((leaf, others)) = sent.split_first() else { return Ok(Vec::new()) };
    let mut cas = others.to_vec();
    if let Ok(pem) = call::public(stream, asked, "certs/ca.pem").await {
        cas.extend(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    }
    cas.retain(|ca| has_issued(ca, leaf, others));
    Ok(cas)
}

/// Whether the chain of `leaf` ends at `ca`, whatever its names and dates are.
fn has_issued(
    ca: &CertificateDer<'static>,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates([ca.clone()]);
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
    else {
        return false;
    };
    // A name that no certificate has: that the chain is good is seen from the fault.
    let Ok(name) = ServerName::try_from("nobody.invalid") else { return false };
    match verifier.verify_server_cert(leaf, others, &name, &[], UnixTime::now()) {
        Ok(_) => true,
        Err(rustls::Error::InvalidCertificate(fault)) => {
            !matches!(fault, CertificateError::UnknownIssuer | CertificateError::BadSignature)
        }
        Err(_) => false,
    }
}

/// How to go on with a Console that nobody here knows.
fn untrusted(asked: &Asked, seen: &[CertificateDer<'static>]) -> anyhow::Error {
    let address = &asked.address;
    let Some(ca) = seen.first() else {
        return anyhow::anyhow!(
            "the certificate of {address} is signed by a CA that is not trusted here, and it shows none; give the CA's \
             certificate with --ca FILE"
        );
    };
    let seen = hex::encode(sha256(ca));
    let asked_for = match asked.trust {
        Trust::Fingerprint(_) => "a CA with another fingerprint than the one given",
        Trust::File(_) => "a CA that is not in the file given",
        Trust::System => "a CA that this system does not trust",
    };
    anyhow::anyhow!(
        "the certificate of {address} is signed by {asked_for}; the CA that it shows has the SHA-256 fingerprint {seen}. \
         Compare it with the CA certificate on the Console's host (openssl x509 -noout -fingerprint -sha256 -in \
         FILE). If they are equal, repeat the command with --ca-fingerprint {seen}, or give the CA's certificate with \
         --ca FILE"
    )
}

/// TCP, then TLS; the inner error is of TLS.
async fn handshake(asked: &Asked, config: ClientConfig) -> anyhow::Result<io::Result<TlsStream<TcpStream>>> {
    let (host, authority) = (asked.address.host().to_owned(), asked.address.authority(HTTPS));
    let name = ServerName::try_from(host.clone()).context("the host of --address")?;
    let proxy = asked.proxy.as_ref();
    let port = asked.address.port(HTTPS);
    let stream = reach_by(proxy, &host, port, &authority).await.with_context(|| match proxy {
        None => format!("reaching {authority}; see that the Console runs and that this host may connect to it"),
        Some(proxy) => format!(
            "reaching {authority}; see that the Console runs and that the proxy {proxy} of HTTPS_PROXY lets this host \
             connect to it, or name its host in NO_PROXY"
        ),
    })?;
    let connector = TlsConnector::from(Arc::new(config));
    let shaken = tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await;
    Ok(shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
}

fn builder() -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("setting up TLS")
}

fn certificate_fault(error: &io::Error) -> Option<CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(fault) => Some(fault.clone()),
        _ => None,
    }
}

fn sha256(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, certificate);
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// The port of a URL that names none.
pub(super) const HTTPS: u16 = 443;

const PATIENCE: Duration = Duration::from_secs(15);
