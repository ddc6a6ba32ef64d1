//! Syslog: one RFC 5424 line, over UDP (RFC 5426), TCP with octet counting (RFC 6587) or TLS (RFC 5425). Each message
//! has a connection of its own, which the Console closes and waits for the server to close too: a server that dropped
//! the connection without reading is noticed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use time::UtcOffset;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio_rustls::TlsConnector;

use super::alert::Severity;
use super::notice::{Notice, Occasion};
use super::outbound;
use super::sending::{SendError, causes};
use super::settings::{Settings, Transport, host_and_port};

/// Sends one message; `Ok` when it left, over TCP and TLS when the server has taken it.
///
/// # Errors
/// [`SendError`].
pub(super) async fn send(settings: &Settings, notice: &Notice) -> Result<(), SendError> {
    let address = settings.syslog_address.as_str();
    let Some((host, port)) = host_and_port(address) else {
        return Err(SendError::NotConfigured("syslogAddress"));
    };
    let line = line(notice, settings.syslog_facility);
    let sending = async {
        match settings.syslog_transport {
            Transport::Udp => send_datagram(host, port, &line).await,
            Transport::Tcp => hand_over(connect(host, port).await?, &line).await,
            Transport::Tls => {
                let stream = secure(connect(host, port).await?, host, &settings.syslog_ca).await?;
                hand_over(stream, &line).await
            }
        }
    };
    match tokio::time::timeout(PATIENCE, sending).await {
        Ok(done) => done.map_err(|fault| match fault {
            Fault::Io(error) => SendError::Unreachable { place: address.to_owned(), cause: causes(&error) },
            Fault::Tls(error) => SendError::Tls(error),
        }),
        Err(_) => Err(SendError::Timeout { place: address.to_owned() }),
    }
}

enum Fault {
    Io(std::io::Error),
    Tls(rustls::Error),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

async fn send_datagram(host: &str, port: u16, line: &str) -> Result<(), Fault> {
    let mut last = std::io::Error::other("the name has no address");
    for address in lookup_host((host, port)).await? {
        let here: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(here).await?;
        match socket.send_to(shortened(line).as_bytes(), address).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(
    stream: TcpStream,
    host: &str,
    ca: &str,
) -> Result<impl AsyncRead + AsyncWrite + Unpin, Fault> {
    let config = outbound::client(ca).map_err(Fault::Tls)?;
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

async fn hand_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, line: &str) -> Result<(), Fault> {
    stream.write_all(format!("{} {line}", line.len()).as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    // Servers say nothing; some keep the connection open.
    let mut rest = [0; 64];
    match tokio::time::timeout(GOODBYE, stream.read(&mut rest)).await {
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error.into()),
        _ => Ok(()),
    }
}

/// The message as RFC 5424 says.
fn line(notice: &Notice, facility: u8) -> String {
    let Notice { id, event, time, console, alert } = notice;
    let priority = u16::from(facility) * 8 + severity(*event, alert.severity);
    let time = time.to_offset(UtcOffset::UTC);
    let (date, clock) = (time.date(), time.time());
    let structure = format!(
        "[garrison@32473 id=\"{id}\" alert=\"{}\" kind=\"{}\" severity=\"{}\" condition=\"{}\" remedy=\"{}\"]",
        alert.id,
        alert.kind.as_str(),
        alert.severity.as_str(),
        value(&alert.condition),
        value(&alert.remedy),
    );
    let text = match event {
        Occasion::Raised | Occasion::Test => plain(&alert.summary),
        Occasion::Resolved => format!("Over: {}", plain(&alert.summary)),
    };
    format!(
        "<{priority}>1 {date}T{:02}:{:02}:{:02}.{:03}Z {} garrison-console {} {} {structure} \u{feff}{text}",
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond(),
        word(console),
        std::process::id(),
        event.as_str(),
    )
}

fn severity(event: Occasion, severity: Severity) -> u16 {
    match (event, severity) {
        (Occasion::Resolved, _) => 5,
        (_, Severity::Critical) => 2,
        (_, Severity::Warning) => 4,
        (_, Severity::Info) => 6,
    }
}

/// A header field: printable ASCII without blanks.
fn word(text: &str) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(255).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// A value of structured data: nothing in it can end it or the line.
fn value(text: &str) -> String {
    let mut value = String::new();
    for one in plain(text).chars() {
        if matches!(one, '"' | '\\' | ']') {
            value.push('\\');
        }
        value.push(one);
    }
    value
}

fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

/// A datagram that every server takes.
fn shortened(line: &str) -> &str {
    let mut end = line.len().min(MOST_DATAGRAM);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or(line)
}

/// From the name to the goodbye.
const PATIENCE: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_secs(1);

/// RFC 5426: servers should take 2048 bytes.
const MOST_DATAGRAM: usize = 2048;

#[cfg(test)]
mod tests;
