//! One question to the Console in plain HTTP on the Defender listener: its answer tells its time and version, and that
//! it takes our certificate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use certs::Material;
use protocol::{PATH, VERSION_HEADER, Version};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite;

use crate::clock;
use crate::config::ConsoleAddress;
use crate::dial::{DialError, Target, reach, secure};

/// What the Console says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How far the Console's clock is ahead of ours, in seconds.
    pub(crate) ahead_seconds: Option<i64>,
    pub(crate) version: Option<Version>,
}

/// Asks over a connection to a Console that we trust.
pub(crate) async fn ask(stream: TlsStream<TcpStream>, console: &ConsoleAddress) -> Result<Answer, DialError> {
    let broken = |error| DialError::from_upgrade(tungstenite::Error::Io(error));
    match tokio::time::timeout(PATIENCE, exchange(stream, console)).await {
        Ok(answer) => answer.map_err(broken),
        Err(_) => Err(broken(io::ErrorKind::TimedOut.into())),
    }
}

/// Asks a peer that nobody vouches for; only its time is of interest.
pub(crate) async fn unverified(target: &Target, material: &Material) -> Option<Answer> {
    let tls = certs::tls::defender_client_unverified(material).ok()?;
    let tcp = reach(target).await.ok()?;
    let stream = secure(tcp, target, Arc::new(tls)).await.ok()?;
    ask(stream, &target.address).await.ok()
}

async fn exchange(mut stream: TlsStream<TcpStream>, console: &ConsoleAddress) -> io::Result<Answer> {
    let host = console.authority();
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MOST_HEAD_BYTES {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    if head.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let fault = || io::Error::new(io::ErrorKind::InvalidData, "what answers does not speak HTTP");
    read(&String::from_utf8_lossy(&head), OffsetDateTime::now_utc()).ok_or_else(fault)
}

fn read(head: &str, now: OffsetDateTime) -> Option<Answer> {
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let (mut ahead_seconds, mut version) = (None, None);
    for (name, value) in lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("date") {
            ahead_seconds = clock::ahead_seconds(value, now);
        } else if name.eq_ignore_ascii_case(VERSION_HEADER) {
            version = Version::parse(value.trim());
        }
    }
    Some(Answer { status, ahead_seconds, version })
}

const PATIENCE: Duration = Duration::from_secs(10);
const MOST_HEAD_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_time_and_the_version_are_read_and_nonsense_is_passed_over() {
        let now = datetime!(2026-11-22 12:00:00 UTC);
        let read = |text: &str| read(&text.replace('\n', "\r\n"), now);
        let answer =
            "HTTP/1.1 426 Upgrade Required\nDATE: Sun, 22 Nov 2026 11:58:20 GMT\nGarrison-Version: 9.8.7\n\n";
        let expected = Answer { status: 426, ahead_seconds: Some(-100), version: Version::parse("9.8.7") };
        assert_eq!(read(answer), Some(expected));
        let nothing = Answer { status: 404, ahead_seconds: None, version: None };
        assert_eq!(read("HTTP/1.1 404\nDate: today\nGarrison-Version: new\n\n"), Some(nothing));
        for junk in ["", "junk\n\n", "HTTP/1.1\n\n", "SSH-2.0-x\n"] {
            assert_eq!(read(junk), None, "{junk}");
        }
    }
}
