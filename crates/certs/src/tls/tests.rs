//! Tests of `tls.rs`: real handshakes in memory.

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};
use testpki::{Ca, Leaf};

use super::*;
use crate::channel::Channel;
use crate::stranger::Folder;

fn material(folder: &Folder, channel: Channel) -> Material {
    folder.parse(channel).expect("usable")
}

/// Carries records to and fro until both sides rest, or one gives up.
fn run(client: &mut Connection, server: &mut Connection) -> Result<(), rustls::Error> {
    for _ in 0..20 {
        carry(client, server)?;
        carry(server, client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).expect("in memory");
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() {
        to.read_tls(&mut wire).expect("in memory");
    }
    to.process_new_packets().map(drop)
}

fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<(Connection, Connection), rustls::Error> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = Connection::from(ClientConnection::new(Arc::clone(client), name)?);
    let mut server = Connection::from(ServerConnection::new(Arc::clone(server))?);
    run(&mut client, &mut server)?;
    Ok((client, server))
}

fn refusal(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> rustls::Error {
    match handshake(client, server) {
        Ok(_) => panic!("they agreed"),
        Err(error) => error,
    }
}

fn browser(ca: &Ca) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for block in crate::pem::decode(ca.pem().as_bytes()).expect("PEM") {
        roots.add(block.der.to_vec().into()).expect("a CA");
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[test]
fn a_defender_and_the_console_meet_with_tls_1_3_a_post_quantum_exchange_and_no_resumption() {
    let (folder, _) = Folder::good();
    let server = Arc::new(
        console_defender(&material(&folder, Channel::ConsoleDefender), &Guard::default()).expect("builds"),
    );
    let client = Arc::new(defender_client(&material(&folder, Channel::Defender)).expect("builds"));
    for _ in 0..2 {
        let (client, server) = handshake(&client, &server).expect("they trust each other");
        assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = server.negotiated_key_exchange_group().expect("negotiated").name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
    }
}

#[test]
fn the_groups_that_the_issue_names_are_offered_in_its_order() {
    let groups = provider().kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>();
    let expected =
        [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
    assert_eq!(groups, expected);
}

#[test]
fn a_client_without_a_certificate_of_the_set_s_ca_is_refused() {
    let (folder, ca) = Folder::good();
    let server = Arc::new(
        console_defender(&material(&folder, Channel::ConsoleDefender), &Guard::default()).expect("builds"),
    );
    let error = refusal(&browser(&ca), &server);
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
    folder.put_pair("defender-client", &Ca::new("Other CA").issue(&Leaf::client("x")));
    let stranger = Arc::new(defender_client(&material(&folder, Channel::Defender)).expect("builds"));
    let error = refusal(&stranger, &server);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn a_defender_refuses_a_console_of_another_ca() {
    let (folder, _) = Folder::good();
    let client = Arc::new(defender_client(&material(&folder, Channel::Defender)).expect("builds"));
    let (other, _) = Folder::good();
    let server = Arc::new(
        console_defender(&material(&other, Channel::ConsoleDefender), &Guard::default()).expect("builds"),
    );
    let error = refusal(&client, &server);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn tickets_of_one_https_configuration_are_worth_nothing_to_the_next() {
    let (folder, ca) = Folder::good();
    let material = material(&folder, Channel::ConsoleHttps);
    let (old, new) =
        (Arc::new(console_https(&material).unwrap()), Arc::new(console_https(&material).unwrap()));
    let client = browser(&ca);
    let mut kinds = Vec::new();
    for server in [&old, &old, &new, &new] {
        let (mut client, mut server) = handshake(&client, server).expect("trusted");
        // Tickets come behind the handshake.
        run(&mut client, &mut server).expect("still fine");
        assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
        kinds.push(client.handshake_kind().expect("done"));
    }
    use HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Full, Resumed]);
}

#[test]
fn https_serves_tls_1_2_and_the_defender_listener_does_not() {
    let (folder, ca) = Folder::good();
    let mut client = ClientConfig::clone(&browser(&ca));
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS12]);
    let client12 =
        builder.expect("versions").with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let https = Arc::new(console_https(&material(&folder, Channel::ConsoleHttps)).expect("builds"));
    let error = refusal(&Arc::new(client12.clone()), &https);
    assert!(error.to_string().contains("UnknownIssuer"), "TLS 1.2 was agreed on, then: {error}");
    let gateway =
        console_defender(&material(&folder, Channel::ConsoleDefender), &Guard::default()).expect("builds");
    let error = refusal(&Arc::new(client12), &Arc::new(gateway));
    assert!(error.to_string().contains("peer is incompatible"), "{error}");
}

#[test]
fn an_x509_version_1_leaf_is_served() {
    let folder = Folder::new();
    folder.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout console-key.pem -out ca.pem -days 90 -subj /CN=localhost 2>&1
         openssl req -new -key console-key.pem -out csr -subj /CN=localhost
         openssl x509 -req -in csr -signkey console-key.pem -days 60 -out console-cert.pem 2>&1",
    );
    assert!(console_https(&material(&folder, Channel::ConsoleHttps)).is_ok());
}

#[test]
fn a_listener_that_could_trust_nobody_is_not_built() {
    let (folder, _) = Folder::good();
    let error =
        console_defender(&material(&folder, Channel::ConsoleHttps), &Guard::default()).expect_err("no CAs");
    assert_eq!(
        error.to_string(),
        "building the TLS configuration: unexpected error: no root trust anchors were provided"
    );
    assert!(error.remedy().contains("replace the set"));
}

/// What the other of our programs says to a leaf of `channel` that this shell script makes as `c` and `k`, with a
/// CA in `ca` and `ca.key`.
fn met_with(channel: Channel, script: &str) -> rustls::Error {
    let (folder, _) = Folder::good();
    let stem = channel.files().cert.trim_end_matches("-cert.pem");
    folder.shell(&format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca -days 90 -subj /CN=ca 2>&1
         openssl req -newkey rsa:2048 -nodes -keyout k -out csr -subj /CN=localhost 2>&1
         {script}
         cat ca >> defender-ca.pem; cp c {stem}-cert.pem; cp k {stem}-key.pem"
    ));
    let server =
        console_defender(&material(&folder, Channel::ConsoleDefender), &Guard::default()).expect("builds");
    let client = defender_client(&material(&folder, Channel::Defender)).expect("builds");
    refusal(&Arc::new(client), &Arc::new(server))
}

#[test]
fn a_ca_as_a_leaf_is_refused_by_the_other_of_our_programs() {
    let issue = "printf 'basicConstraints=CA:TRUE\nsubjectAltName=DNS:localhost\n' > extensions
         openssl x509 -req -in csr -CA ca -CAkey ca.key -CAcreateserial -days 60 -extfile extensions -out c 2>&1";
    for channel in [Channel::ConsoleDefender, Channel::Defender] {
        let error = met_with(channel, issue);
        assert!(error.to_string().contains("CaUsedAsEndEntity"), "{channel}: {error}");
    }
    let own =
        "openssl req -x509 -key k -out c -days 60 -subj /CN=localhost -addext subjectAltName=DNS:localhost
         cp c ca";
    let error = met_with(Channel::ConsoleDefender, own);
    assert!(error.to_string().contains("CaUsedAsEndEntity"), "trusted by itself: {error}");
}
