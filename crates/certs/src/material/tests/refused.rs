//! Unusable files: each with its own message.

use rcgen::ExtendedKeyUsagePurpose;
use testpki::{Ca, Leaf};

use crate::stranger::Folder;
use crate::{Channel, pem};

/// What a broken key pair is called.
fn pair(cause: &str) -> String {
    format!("error reading X509 key pair (DIR/console-cert.pem, DIR/console-key.pem): {cause}")
}

const ACCEPTED: &str = "accepted are RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519";

#[test]
fn every_broken_pair_is_named_with_its_cause() {
    let samples = [
        (
            "echo > console-key.pem",
            "tls: failed to find any PEM data in key input: DIR/console-key.pem is empty",
        ),
        (
            "> console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem is empty",
        ),
        (
            "echo hello > console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem holds no PEM block",
        ),
        (
            "openssl x509 -in console-cert.pem -outform DER -out x; mv x console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem is DER, not PEM",
        ),
        (
            "openssl pkey -in console-key.pem -outform DER -out x; mv x console-key.pem",
            "tls: failed to find any PEM data in key input: DIR/console-key.pem is DER, not PEM",
        ),
        (
            "openssl pkcs12 -export -in console-cert.pem -inkey console-key.pem -passout pass:x -out x; mv x console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem is a PKCS#12 archive, not PEM",
        ),
        (
            "iconv -t UTF-16 console-cert.pem > x; mv x console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem is UTF-16 text",
        ),
        (
            "head -c 300 console-cert.pem > x; mv x console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem ends inside a PEM block: it was cut off",
        ),
        (
            "head -c 100 console-key.pem > x; mv x console-key.pem",
            "tls: failed to find any PEM data in key input: DIR/console-key.pem ends inside a PEM block: it was cut off",
        ),
        (
            "sed -i 2s/./*/ console-cert.pem",
            "tls: failed to find any PEM data in certificate input: DIR/console-cert.pem has a damaged PEM block: its content is not base64",
        ),
        ("sed -i 2d console-cert.pem", "x509: malformed certificate: certificate 1 of DIR/console-cert.pem"),
        (
            "sed -i 2d console-key.pem",
            "tls: failed to parse private key: the key in DIR/console-key.pem is damaged or of an unknown form",
        ),
        (
            "mv console-cert.pem x; mv console-key.pem console-cert.pem; mv x console-key.pem",
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched: DIR/console-cert.pem holds no certificate",
        ),
        (
            "cp console-cert.pem console-key.pem",
            "tls: found a certificate rather than a key in the PEM for the private key: DIR/console-key.pem holds no key",
        ),
        (
            "openssl req -new -key console-key.pem -subj /CN=x > console-cert.pem",
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [CERTIFICATE REQUEST]: DIR/console-cert.pem",
        ),
        (
            "openssl pkey -in console-key.pem -pubout -out x; mv x console-key.pem",
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [PUBLIC KEY]: DIR/console-key.pem",
        ),
        (
            "cat defender-server-key.pem >> console-key.pem",
            "tls: failed to parse private key: DIR/console-key.pem holds 2 private keys",
        ),
        (
            "cp defender-server-key.pem console-key.pem",
            "tls: private key does not match public key: DIR/console-key.pem does not belong to the leaf of DIR/console-cert.pem",
        ),
        (
            "cat defender-server-cert.pem console-cert.pem > x; mv x console-cert.pem",
            "tls: private key does not match public key: DIR/console-key.pem belongs to certificate 2 of DIR/console-cert.pem, the leaf must be the first",
        ),
        (
            "openssl pkcs8 -topk8 -in console-key.pem -passout pass:x -out x; mv x console-key.pem",
            "tls: failed to parse private key: DIR/console-key.pem is encrypted",
        ),
        (
            "openssl ec -aes128 -in console-key.pem -passout pass:x -out x; mv x console-key.pem",
            "tls: failed to parse private key: DIR/console-key.pem is encrypted",
        ),
    ];
    for (script, cause) in samples {
        let (folder, _) = Folder::good();
        folder.shell(script);
        assert_eq!(folder.refusal(Channel::ConsoleHttps), pair(cause), "{script}");
    }
}

#[test]
fn every_key_that_tls_refuses_is_named_with_its_kind() {
    let samples = [
        ("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024", "an RSA key of 1024 bits"),
        ("openssl genrsa -traditional 1024", "an RSA key of 1024 bits"),
        ("openssl genrsa 2040", "an RSA key of 2040 bits"),
        ("openssl genpkey -algorithm ED448", "an Ed448 key"),
        ("openssl genpkey -algorithm X25519", "an X25519 key, which cannot sign"),
        ("openssl genpkey -algorithm X448", "an X448 key, which cannot sign"),
        ("openssl ecparam -genkey -name secp256k1", "an elliptic-curve key on secp256k1"),
        (
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp224r1",
            "an elliptic-curve key on P-224",
        ),
        ("openssl dsaparam -genkey 1024 | openssl dsa", "a DSA key"),
        ("openssl dsaparam -genkey 1024 | openssl pkcs8 -topk8 -nocrypt", "a DSA key"),
    ];
    for (script, kind) in samples {
        let (folder, _) = Folder::good();
        folder.shell(&format!("{script} > console-key.pem"));
        let expected =
            pair(&format!("tls: failed to parse private key: DIR/console-key.pem holds {kind}; {ACCEPTED}"));
        assert_eq!(folder.refusal(Channel::ConsoleHttps), expected, "{script}");
    }
}

#[test]
fn an_extended_key_usage_that_excludes_the_role_is_refused() {
    let ca = Ca::new("CA");
    let folder = Folder::new();
    folder.put("defender-ca.pem", ca.pem());
    folder.put_pair("console", &ca.issue(&Leaf::client("x")));
    folder.put_pair("defender-client", &ca.issue(&Leaf::server(&["localhost"])));
    assert_eq!(
        folder.refusal(Channel::ConsoleHttps),
        pair(
            "x509: certificate specifies an incompatible key usage: the leaf of DIR/console-cert.pem has an extended key usage without serverAuth"
        )
    );
    assert_eq!(
        folder.refusal(Channel::Defender),
        "error reading X509 key pair (DIR/defender-client-cert.pem, DIR/defender-client-key.pem): x509: certificate specifies an incompatible key usage: the leaf of DIR/defender-client-cert.pem has an extended key usage without clientAuth"
    );
}

#[test]
fn an_extended_key_usage_of_any_alone_is_good_for_browsers_only() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let ca = Ca::new("CA");
    let folder = Folder::new();
    folder.put("defender-ca.pem", ca.pem());
    let any = ca.issue(&Leaf::server(&["localhost"]).usages(&[Any]));
    for stem in ["console", "defender-server", "defender-client"] {
        folder.put_pair(stem, &any);
    }
    assert!(folder.parse(Channel::ConsoleHttps).is_ok());
    for (channel, needed) in [(Channel::ConsoleDefender, "serverAuth"), (Channel::Defender, "clientAuth")] {
        let error = folder.parse(channel).expect_err("our own programs refuse it");
        assert!(
            error.to_string().ends_with(&format!("has an extended key usage without {needed}")),
            "{error}"
        );
        assert!(error.remedy().contains(needed), "{}", error.remedy());
    }
    let both = ca.issue(&Leaf::server(&["localhost"]).usages(&[Any, ClientAuth, ServerAuth]));
    for (stem, channel) in
        [("defender-server", Channel::ConsoleDefender), ("defender-client", Channel::Defender)]
    {
        folder.put_pair(stem, &both);
        assert!(folder.parse(channel).is_ok());
    }
}

#[test]
fn an_old_version_is_refused_where_only_our_own_programs_meet_it() {
    let (folder, _) = Folder::good();
    folder.shell(
        "openssl req -newkey rsa:2048 -nodes -keyout key -out csr -subj /CN=localhost 2>&1
         openssl x509 -req -in csr -signkey key -days 60 -out cert 2>&1
         for stem in defender-server defender-client; do cp cert $stem-cert.pem; cp key $stem-key.pem; done",
    );
    for (channel, stem) in
        [(Channel::ConsoleDefender, "defender-server"), (Channel::Defender, "defender-client")]
    {
        let expected = format!(
            "error reading X509 key pair (DIR/{stem}-cert.pem, DIR/{stem}-key.pem): x509: unsupported certificate version: the leaf of DIR/{stem}-cert.pem is X.509 version 1, which the other side's TLS refuses"
        );
        assert_eq!(folder.refusal(channel), expected);
        let remedy = folder.parse(channel).expect_err("refused").remedy();
        assert!(remedy.contains("openssl x509 -req") && remedy.contains("-extfile"), "{remedy}");
    }
}

#[test]
fn every_broken_ca_file_is_named_with_its_cause() {
    let samples = [
        (
            "> defender-ca.pem",
            "tls: failed to find any PEM data in certificate input: DIR/defender-ca.pem is empty",
        ),
        (
            "cat defender-server-key.pem > defender-ca.pem",
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched: DIR/defender-ca.pem holds no certificate",
        ),
        (
            "cp defender-ca.pem x; sed 3d x >> defender-ca.pem",
            "x509: malformed certificate: certificate 2 of DIR/defender-ca.pem",
        ),
        (
            "rm defender-ca.pem; mkdir defender-ca.pem",
            "read DIR/defender-ca.pem: is a directory, not a regular file",
        ),
    ];
    for (script, cause) in samples {
        let (folder, _) = Folder::good();
        folder.shell(script);
        for channel in [Channel::ConsoleDefender, Channel::Defender] {
            let expected = format!("error reading CA certificate (DIR/defender-ca.pem): {cause}");
            assert_eq!(folder.refusal(channel), expected, "{script}");
        }
        assert!(folder.parse(Channel::ConsoleHttps).is_ok(), "another channel's file: {script}");
    }
}

#[test]
fn a_ca_that_tls_cannot_trust_is_refused() {
    let (folder, ca) = Folder::good();
    let mut der = pem::decode(ca.pem().as_bytes()).expect("a block").remove(0).der.to_vec();
    let version = [0xa0, 3, 2, 1, 2];
    let at = der.windows(version.len()).position(|window| window == version).expect("version 3");
    // Version 2, which nothing has used since 1996.
    der[at + 4] = 1;
    folder.put("defender-ca.pem", pem::encode_certificates([der.as_slice()]));
    let refusal = folder.refusal(Channel::Defender);
    let expected = "error reading CA certificate (DIR/defender-ca.pem): x509: certificate 1 of DIR/defender-ca.pem cannot be a CA for TLS: ";
    assert!(refusal.starts_with(expected), "{refusal}");
}

#[test]
fn a_truncated_file_is_refused_at_every_length_and_never_makes_it_panic() {
    let (folder, _) = Folder::good();
    for name in ["console-cert.pem", "console-key.pem"] {
        let whole = folder.text(name);
        for length in 0..whole.trim_end().len() {
            folder.put(name, &whole[..length]);
            folder.refusal(Channel::ConsoleHttps);
        }
        folder.put(name, whole);
        assert!(folder.parse(Channel::ConsoleHttps).is_ok());
    }
}
