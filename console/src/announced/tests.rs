//! Headers as proxies write them, and as nobody should.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::door::Door;

fn header(version_and_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[version_and_command, family], &length, body].concat()
}

fn v4() -> Vec<u8> {
    [[192, 0, 2, 7], [198, 51, 100, 1]].concat().into_iter().chain([0xC3, 0x50, 0x1F, 0x94]).collect()
}

fn v6(source: &str) -> Vec<u8> {
    let source = source.parse::<Ipv6Addr>().expect("an address").octets();
    [&source[..], &[0; 16], &[0xC3, 0x50, 0x1F, 0x94]].concat()
}

/// What is read, and what is left behind it.
async fn judge(bytes: &[u8]) -> (Result<Option<SocketAddr>, AnnouncementError>, usize) {
    let mut rest = bytes;
    let outcome = read(&mut rest).await;
    (outcome, rest.len())
}

#[tokio::test]
async fn addresses_are_read_and_what_follows_is_left_for_the_handshake() {
    let tlvs = [4, 0, 3, 1, 2, 3];
    for (header, announced) in [
        (header(0x21, 0x11, &v4()), Some("192.0.2.7:50000")),
        (header(0x21, 0x11, &[&v4()[..], &tlvs].concat()), Some("192.0.2.7:50000")),
        (header(0x21, 0x11, &[&v4()[..], &[0; 9000]].concat()), Some("192.0.2.7:50000")),
        (header(0x21, 0x21, &v6("2001:db8::7")), Some("[2001:db8::7]:50000")),
        (header(0x21, 0x21, &v6("::ffff:192.0.2.7")), Some("192.0.2.7:50000")),
        // Health checks, and clients without an address of use.
        (header(0x20, 0x00, &[]), None),
        (header(0x20, 0x11, &v4()), None),
        (header(0x20, 0x77, &tlvs), None),
        (header(0x21, 0x00, &tlvs), None),
        (header(0x21, 0x31, &[0; 216]), None),
        (header(0x21, 0x12, &v4()), None),
    ] {
        let (outcome, left) = judge(&[&header[..], b"\x16\x03\x01"].concat()).await;
        assert_eq!(outcome.expect("well-formed"), announced.map(|text| text.parse().expect("an address")));
        assert_eq!(left, 3);
    }
}

#[tokio::test]
async fn what_is_no_header_is_refused_with_its_cause() {
    let mut lines = Vec::new();
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03and more of a hello".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 8084\r\n".to_vec(),
        header(0x11, 0x11, &v4()),
        header(0x22, 0x11, &v4()),
        header(0x21, 0x13, &v4()),
        header(0x21, 0x41, &v4()),
        header(0x21, 0x11, &v4()[..11]),
        header(0x21, 0x21, &v4()),
        header(0x21, 0x11, &vec![0; 16 * 1024 + 1]),
        header(0x21, 0x11, &v4())[..20].to_vec(),
        SIGNATURE.to_vec(),
        Vec::new(),
    ] {
        let error = judge(&bytes).await.0.expect_err("refused");
        assert_eq!(error.remedy().is_some(), matches!(error, AnnouncementError::Malformed(_)));
        lines.push(error.to_string());
    }
    lines.dedup();
    let malformed = |cause| format!("no header of PROXY protocol v2: {cause}");
    assert_eq!(
        lines,
        [
            malformed("it begins otherwise"),
            malformed("its version or command is not known"),
            malformed("its address family is not known"),
            malformed("it is too short for its addresses"),
            malformed("it is longer than 16 KiB"),
            "reading the header of PROXY protocol v2".to_owned(),
        ]
    );
}

/// A connection whose client has sent `bytes`, seen through `proxies`.
async fn over_tcp(proxies: &str, bytes: &[u8]) -> Result<SocketAddr, AnnouncementError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut client = TcpStream::connect(address).await.expect("a connection");
    client.write_all(bytes).await.expect("open");
    let (mut stream, peer) = listener.accept().await.expect("a connection");
    let place = Door::new(1).announced_by(proxies.into()).place().await.expect("open");
    super::client(&mut stream, peer, &place).await
}

#[tokio::test]
async fn only_trusted_proxies_announce_and_they_must() {
    let announced = [&header(0x21, 0x11, &v4())[..], b"hello"].concat();
    let client = over_tcp("127.0.0.0/8", &announced).await.expect("announced");
    assert_eq!(client.to_string(), "192.0.2.7:50000");
    let client = over_tcp("192.0.2.7", &announced).await.expect("a peer like others");
    assert_eq!(client.ip().to_string(), "127.0.0.1", "its bytes are those of a handshake, which will fail");
    let local = [&header(0x20, 0x00, &[])[..], b"hello"].concat();
    assert_eq!(over_tcp("127.0.0.1", &local).await.expect("local").ip().to_string(), "127.0.0.1");
    let error = over_tcp("127.0.0.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello").await;
    assert!(matches!(error, Err(AnnouncementError::Malformed(_))), "{error:?}");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_or_read_on_behind_the_length(
        command in any::<u8>(),
        family in any::<u8>(),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 0_usize..400,
        is_mangled in any::<bool>(),
        at in 0_usize..12,
    ) {
        let mut bytes = header(command, family, &body);
        let whole = bytes.len();
        if is_mangled {
            bytes[at] ^= 0x40;
        }
        bytes.truncate(cut.max(1));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (outcome, left) = runtime.block_on(judge(&[&bytes[..], b"after"].concat()));
        if is_mangled && bytes.len() >= 12 {
            prop_assert!(outcome.is_err());
        } else if outcome.is_ok() && bytes.len() == whole {
            prop_assert_eq!(left, 5);
        }
    }

    #[test]
    fn every_address_comes_through(v4 in any::<[u8; 4]>(), v6 in any::<[u8; 16]>(), port in any::<u16>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let port_bytes = port.to_be_bytes();
        let first = header(0x21, 0x11, &[&v4[..], &[0; 4], &port_bytes, &[0; 2]].concat());
        let second = header(0x21, 0x21, &[&v6[..], &[0; 16], &port_bytes, &[0; 2]].concat());
        let read = |bytes: &[u8]| runtime.block_on(judge(bytes)).0.expect("well-formed");
        prop_assert_eq!(read(&first), Some(SocketAddr::from((v4, port))));
        let canonical = Ipv6Addr::from(v6).to_canonical();
        prop_assert_eq!(read(&second), Some(SocketAddr::new(canonical, port)));
    }
}
