//! Connections as proxies make them: from an address of their own, with what they say of their clients. Every address
//! of 127.0.0.0/8 is this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::Answer;
use crate::wire::{Identity, Wire, hello};
use crate::{Dialer, SOON};

/// Connects from one of the addresses of this host to a port at another.
///
/// # Errors
/// A refused or reset connection.
pub async fn connect_from(own: &str, host: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let own: IpAddr = own.parse().expect("an address");
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(own, 0))?;
    socket.connect((host, port).into()).await
}

/// A new Defender that connects from one of the addresses of this host; it has been welcomed.
pub async fn join_from(own: &str, host: Ipv4Addr, port: u16, identity: &Identity) -> (Wire, Uuid) {
    let tcp = connect_from(own, host, port).await.expect("accepted");
    let tls = Dialer::with_identity(identity).dial_from(tcp).await.expect("a handshake");
    let mut wire = Wire::upgrade(tls, protocol::SUBPROTOCOL).await.expect("an upgrade");
    let id = Uuid::new_v4();
    wire.send(&hello(id)).await;
    wire.expect("welcome").await;
    (wire, id)
}

/// A header of PROXY protocol v2 that announces this IPv4 client.
pub fn announcement(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().expect("an address with a port");
    let IpAddr::V4(address) = client.ip() else { panic!("an IPv4 address") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(address.octets());
    header.extend([127, 0, 0, 1]);
    header.extend(client.port().to_be_bytes());
    header.extend([0, 0]);
    header
}

/// One HTTP/1.1 request on a connection, which ends with the answer.
///
/// # Errors
/// A connection that is cut before its answer.
pub async fn request(
    mut stream: TcpStream,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await??;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name.parse::<reqwest::header::HeaderName>().ok()?, value.parse().ok()?);
    }
    Some(Answer { status, headers, text: text.to_owned() })
}
