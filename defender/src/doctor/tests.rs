//! Tests of the doctor's verdicts that a real Console does not give: another clock, another version, a certificate for
//! another use.

use std::sync::Arc;

use certs::tls::provider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use testpki::{Ca, Leaf, Writing, write_defender};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::cli::RunArgs;

/// A server with this leaf that answers each request with `answer`.
struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answer: String,
}

impl Server {
    async fn new(ca: &Ca, leaf: &Leaf, answer: String) -> Self {
        let pair = ca.issue(leaf);
        let chain = CertificateDer::pem_slice_iter(pair.cert_pem.as_bytes()).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("known")
            .with_no_client_auth()
            .with_single_cert(chain.expect("a chain"), key)
            .expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), answer }
    }

    /// What the doctor says of it.
    async fn examined(&self, ca: &Ca) -> Vec<Finding> {
        let dir = tempfile::tempdir().expect("a directory");
        write_defender(dir.path(), ca, &ca.issue(&Leaf::client("defender")), Writing::Atomic);
        let port = self.listener.local_addr().expect("bound").port();
        let args = RunArgs {
            console_address: Some(format!("wss://localhost:{port}")),
            data_dir: Some(dir.path().join("data")),
            custom_certs_dir: Some(dir.path().to_owned()),
            ..RunArgs::default()
        };
        let config = Config::parse(args, None).expect("valid");
        tokio::select! {
            findings = examine(&config, OffsetDateTime::now_utc()) => findings,
            () = self.serve() => unreachable!("it serves for ever"),
        }
    }

    async fn serve(&self) {
        loop {
            let (tcp, _) = self.listener.accept().await.expect("a peer");
            // A doctor that does not like the certificate hangs up.
            let Ok(mut tls) = self.acceptor.accept(tcp).await else { continue };
            let mut request = [0; 1024];
            if tls.read(&mut request).await.is_ok_and(|length| length > 0) {
                let _ = tls.write_all(self.answer.as_bytes()).await;
                let _ = tls.shutdown().await;
            }
        }
    }
}

fn answer(headers: &str) -> String {
    format!("HTTP/1.1 426 Upgrade Required\r\n{headers}Content-Length: 0\r\n\r\n")
}

fn only_failure<'a>(findings: &'a [Finding], step: &str) -> &'a Finding {
    let failed: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).collect();
    assert!(failed.len() == 1 && failed[0].step == step, "{step}: {findings:#?}");
    failed[0]
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_measured() {
    let ca = Ca::new("console");
    let old = answer("Date: Sun, 01 Nov 2020 00:00:00 GMT\r\n");
    for leaf in [Leaf::server(&["localhost"]), Leaf::server(&["localhost"]).not_yet_valid()] {
        let server = Server::new(&ca, &leaf, old.clone()).await;
        let findings = server.examined(&ca).await;
        let clock = only_failure(&findings, "clock");
        assert!(clock.seen.contains("s ahead of the Console's"), "{clock}");
        assert!(clock.remedy.as_deref().is_some_and(|remedy| remedy.contains("NTP")), "{clock}");
    }
    // The clocks agree: it is the certificate.
    let server = Server::new(&ca, &Leaf::server(&["localhost"]).expired(), answer("")).await;
    let findings = server.examined(&ca).await;
    let clock = only_failure(&findings, "clock");
    assert!(clock.seen.contains("it is expired; the Console's clock could not be read"), "{clock}");
}

#[tokio::test]
async fn a_console_that_is_too_new_is_told_by_its_version() {
    let ca = Ca::new("console");
    for (headers, verdict) in [
        ("Garrison-Version: 99.0.0\r\n", Verdict::Fail),
        ("Garrison-Version: 0.0.1\r\n", Verdict::Ok),
        ("", Verdict::Skip),
    ] {
        let server = Server::new(&ca, &Leaf::server(&["localhost"]), answer(headers)).await;
        let findings = server.examined(&ca).await;
        let version = findings.iter().find(|finding| finding.step == "version").expect("a version");
        assert_eq!(version.verdict, verdict, "{findings:#?}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_use_is_a_fault_of_the_chain() {
    let ca = Ca::new("console");
    let server = Server::new(&ca, &Leaf::client("x").sans(&["localhost"]), answer("")).await;
    let findings = server.examined(&ca).await;
    let chain = only_failure(&findings, "chain");
    assert!(chain.seen.contains("extended key usage"), "{chain}");
}

#[test]
fn a_finding_is_one_line_whatever_others_have_said() {
    let finding = Finding {
        step: "proxy",
        verdict: Verdict::Fail,
        seen: "no\nok    dns: forged\u{1b}[2J".to_owned(),
        remedy: Some("mend it".to_owned()),
    };
    assert_eq!(finding.to_string(), "FAIL  proxy: no\\nok    dns: forged\\u{1b}[2J — mend it");
}
