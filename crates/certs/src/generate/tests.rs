//! Tests of `generate.rs`, judged by `openssl`.

use rcgen::KeyPair;
use time::macros::datetime;

use super::*;
use crate::stranger::Folder;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00:00.5 UTC);

fn issuer(folder: &Folder) -> Issuer<'static, KeyPair> {
    let ca = authority(Dates::starting(OffsetDateTime::now_utc(), Duration::days(1096))).expect("a CA");
    folder.put("ca.pem", &ca.cert_pem);
    Issuer::from_ca_cert_pem(&ca.cert_pem, KeyPair::from_pem(&ca.key_pem).expect("a key")).expect("a CA")
}

fn today() -> Dates {
    Dates::starting(OffsetDateTime::now_utc(), Duration::days(30))
}

#[test]
fn dates_begin_an_hour_ago_in_whole_seconds_and_end_in_time() {
    let dates = Dates::starting(NOW, Duration::days(10));
    assert_eq!(dates.not_before, datetime!(2026-06-01 11:00 UTC));
    assert_eq!(dates.not_after, datetime!(2026-06-11 12:00 UTC));
    assert_eq!(dates.until(datetime!(2026-06-05 0:00 UTC)).not_after, datetime!(2026-06-05 0:00 UTC));
    assert_eq!(Dates::starting(NOW, Duration::MAX).not_after, LAST_DATE);
}

#[test]
fn openssl_accepts_what_we_issue_under_its_strict_rules() {
    let folder = Folder::new();
    let issuer = issuer(&folder);
    let names = ["console.example.com", "*.example.com", "10.0.0.1", "::1", "host_1"].map(str::to_owned);
    folder.put("server.pem", server(&issuer, &names, today()).expect("issued").cert_pem);
    let bundle = client(&issuer, "host-1", Holder::Defender("6f9d3f3e-0000-4000-8000-000000000001"), today())
        .expect("issued");
    folder.put("client.pem", &bundle.cert_pem);
    folder.put("client-key.pem", &*bundle.key_pem);
    folder.shell(
        "openssl verify -x509_strict -purpose sslserver -CAfile ca.pem server.pem
         openssl verify -x509_strict -purpose sslserver -verify_hostname a.example.com -CAfile ca.pem server.pem
         openssl verify -x509_strict -purpose sslserver -verify_ip 10.0.0.1 -CAfile ca.pem server.pem
         openssl verify -x509_strict -purpose sslclient -CAfile ca.pem client.pem
         openssl verify -x509_strict -check_ss_sig -CAfile ca.pem ca.pem
         ! openssl verify -purpose sslclient -CAfile ca.pem server.pem
         ! openssl verify -purpose sslserver -CAfile ca.pem client.pem
         openssl x509 -in client.pem -noout -ext subjectAltName | grep -q URI:urn:uuid:6f9d3f3e-0000-4000-8000-000000000001
         openssl x509 -in client.pem -noout -pubkey > a; openssl pkey -in client-key.pem -pubout > b; cmp a b
         openssl x509 -in server.pem -noout -ext authorityKeyIdentifier,subjectKeyIdentifier,keyUsage,basicConstraints > extensions
         for word in 'Authority Key' 'Subject Key' 'Digital Signature' CA:FALSE; do grep -q \"$word\" extensions; done
         openssl x509 -in ca.pem -noout -subject | grep -Eq 'Garrison CA [0-9A-F]{16}$'
         openssl x509 -in ca.pem -noout -text | grep -q 'prime256v1'",
    );
}

#[test]
fn serials_have_sixteen_bytes_are_positive_and_differ() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let serial = params("x", today()).expect("parameters").serial_number.expect("set").to_bytes();
        assert!(serial.len() == 16 && (0x40..0x80).contains(&serial[0]), "{serial:?}");
        assert!(seen.insert(serial));
    }
}

#[test]
fn a_name_that_no_certificate_can_hold_is_refused() {
    let folder = Folder::new();
    let issuer = issuer(&folder);
    for name in ["", "a b", "a..b", "ünïcode", "*", "a.*.b", "a/b", "a:80", "a\nb"] {
        let error = server(&issuer, &[name.to_owned()], today()).err().expect(name);
        assert_eq!(
            error.to_string(),
            format!("{name:?} is no DNS name, address or identity that a certificate can hold")
        );
    }
    assert!(matches!(client(&issuer, "x", Holder::Defender("a b"), today()), Err(IssueError::Name(_))));
    assert!(server(&issuer, &["a".repeat(254)], today()).is_err());
}

#[test]
fn a_long_common_name_is_cut() {
    let folder = Folder::new();
    let issuer = issuer(&folder);
    folder.put(
        "x.pem",
        client(&issuer, &"ü".repeat(100), Holder::Registration("r-1"), today()).expect("issued").cert_pem,
    );
    folder.shell("openssl verify -x509_strict -CAfile ca.pem x.pem");
}

#[test]
fn a_request_gets_a_certificate_for_its_key_and_for_nothing_else_that_it_asks_for() {
    let folder = Folder::new();
    let issuer = issuer(&folder);
    folder.shell(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=admin \
         -addext subjectAltName=DNS:console -addext basicConstraints=CA:TRUE 2>&1",
    );
    let issued = client_for_request(&issuer, &folder.text("csr.pem"), "6f9d3f3e", today()).expect("issued");
    folder.put("x.pem", issued);
    folder.shell(
        "openssl verify -x509_strict -purpose sslclient -CAfile ca.pem x.pem
         openssl x509 -in x.pem -noout -pubkey > a; openssl pkey -in key.pem -pubout > b; cmp a b
         openssl x509 -in x.pem -noout -subject | grep -q 6f9d3f3e
         openssl x509 -in x.pem -noout -ext basicConstraints | grep -q CA:FALSE
         ! openssl x509 -in x.pem -noout -text | grep -Eq 'admin|DNS:console'",
    );
}

#[test]
fn a_request_that_is_none_or_whose_signature_is_wrong_is_refused() {
    let folder = Folder::new();
    let issuer = issuer(&folder);
    folder.shell("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -outform DER -out csr -subj /CN=x 2>&1");
    let mut der = std::fs::read(folder.at("csr")).expect("a request");
    *der.last_mut().expect("bytes") ^= 1;
    let broken =
        crate::pem::encode_certificates([der.as_slice()]).replace("CERTIFICATE", "CERTIFICATE REQUEST");
    for request in ["", "hello", &folder.text("ca.pem"), &broken] {
        let error = client_for_request(&issuer, request, "6f9d3f3e", today()).expect_err("refused");
        assert!(matches!(error, IssueError::Request(_)), "{request}: {error}");
        assert_eq!(error.to_string(), "reading the certificate request");
    }
}

#[test]
fn a_bundle_shows_no_key() {
    let (cert_pem, key_pem) = ("public".to_owned(), Zeroizing::new("secret".to_owned()));
    let bundle = ClientBundle { cert_pem, key_pem, not_after: NOW, sha256: String::new() };
    let shown = format!("{bundle:?}");
    assert!(shown.contains("public") && !shown.contains("secret"), "{shown}");
}
