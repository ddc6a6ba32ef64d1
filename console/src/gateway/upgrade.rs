//! The HTTP upgrade on the Defender listener: one path, one subprotocol, and an answer in HTTP to everything else.
//!
//! tungstenite's own `accept` hangs up on a request that is no upgrade; a person who looks at the port with a
//! browser or curl deserves an answer.

use std::io;

use protocol::{MAX_MESSAGE_BYTES, PATH, SUBPROTOCOL, VERSION_HEADER, Version};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::session::Socket;

/// Why there is no WebSocket.
#[derive(Debug, Error)]
pub(super) enum UpgradeError {
    /// The connection broke.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// The peer went away.
    #[error("the peer went away before its request was complete")]
    Left,
    /// The request was answered and refused.
    #[error("refused with status {}: {}", .0.status, .0.why)]
    Refused(Refusal),
    /// The answer cannot be written.
    #[error("answering the upgrade")]
    Response(#[source] Box<WsError>),
}

/// How a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: &'static str,
}

/// A WebSocket, and the host that was asked for it: `HOST[:PORT]`.
pub(super) struct Upgraded {
    pub(super) socket: Socket,
    pub(super) host: Option<String>,
}

/// Reads one request and answers it.
pub(super) async fn upgrade(mut stream: TlsStream<TcpStream>) -> Result<Upgraded, UpgradeError> {
    let mut head = Vec::with_capacity(1024);
    let judged = loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(UpgradeError::Left);
        }
        match Request::try_parse(&head) {
            Ok(Some((used, request))) => {
                let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
                let host = host.map(str::to_owned);
                break judge(&request).map(|response| (used, response, host));
            }
            Ok(None) if head.len() < MAX_HEAD_BYTES => {}
            Ok(None) => break Err(refusal(431, "the request header is larger than 8 KiB")),
            Err(error) => break Err(refusal_for(&error)),
        }
    };
    match judged {
        Ok((used, response, host)) => {
            let mut answer = Vec::with_capacity(256);
            write_response(&mut answer, &response)
                .map_err(|error| UpgradeError::Response(Box::new(error)))?;
            stream.write_all(&answer).await?;
            let read_ahead = head.split_off(used.min(head.len()));
            let limits = Some(socket_limits());
            let socket = WebSocketStream::from_partially_read(stream, read_ahead, Role::Server, limits).await;
            Ok(Upgraded { socket, host })
        }
        Err(refusal) => {
            stream.write_all(refusal.to_http().as_bytes()).await?;
            stream.shutdown().await?;
            Err(UpgradeError::Refused(refusal))
        }
    }
}

/// Accepts the one path and subprotocol there is.
fn judge(request: &Request) -> Result<Response, Refusal> {
    if request.uri().path() != PATH {
        return Err(refusal(404, "no such path; Defenders connect to /defender/v1/connect"));
    }
    let mut response = create_response(request).map_err(|error| refusal_for(&error))?;
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut names = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    if !names.any(|name| name.trim() == SUBPROTOCOL) {
        return Err(refusal(400, "this listener speaks the subprotocol defender.v1 only"));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    // A Defender compares its clock with this one.
    if let Ok(date) = HeaderValue::from_str(&http_date(OffsetDateTime::now_utc())) {
        response.headers_mut().insert(header::DATE, date);
    }
    Ok(response)
}

fn refusal_for(error: &WsError) -> Refusal {
    match error {
        WsError::Protocol(ProtocolError::WrongHttpMethod) => refusal(405, "only GET is understood here"),
        WsError::Protocol(ProtocolError::WrongHttpVersion) => refusal(505, "speak HTTP/1.1"),
        WsError::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => refusal(426, "this port is for Defenders: upgrade to a WebSocket; the API is on the HTTPS port"),
        WsError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            refusal(426, "speak version 13 of the WebSocket protocol")
        }
        WsError::Protocol(ProtocolError::MissingSecWebSocketKey) => {
            refusal(400, "the header Sec-WebSocket-Key is missing")
        }
        _ => refusal(400, "the request cannot be read"),
    }
}

fn refusal(status: u16, why: &'static str) -> Refusal {
    Refusal { status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), why }
}

impl Refusal {
    fn to_http(&self) -> String {
        let more = match self.status.as_u16() {
            405 => "Allow: GET\r\n",
            426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {status}\r\n{more}Date: {date}\r\n{VERSION_HEADER}: {version}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{why}\n",
            status = self.status,
            date = http_date(OffsetDateTime::now_utc()),
            version = Version::own(),
            length = self.why.len() + 1,
            why = self.why
        )
    }
}

/// As RFC 9110 section 5.6.7 writes it.
fn http_date(now: OffsetDateTime) -> String {
    const SHAPE: &[BorrowedFormatItem<'_>] = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    now.format(SHAPE).unwrap_or_default()
}

/// Buffers sized for thousands of silent peers, whose messages have a few hundred bytes; larger ones take their room
/// when they come. The default read buffer alone is 128 KiB a connection.
fn socket_limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_MESSAGE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// Largest request header.
const MAX_HEAD_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<Response, Refusal> {
        let text = text.replace('\n', "\r\n");
        match Request::try_parse(text.as_bytes()) {
            Ok(Some((_, request))) => judge(&request),
            Ok(None) => panic!("not complete: {text}"),
            Err(error) => Err(refusal_for(&error)),
        }
    }

    const GOOD: &str = "GET /defender/v1/connect HTTP/1.1\nHost: c\nConnection: Upgrade\nUpgrade: websocket\n\
         Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\
         Sec-WebSocket-Protocol: other, defender.v1\n\n";

    #[test]
    fn the_one_path_and_subprotocol_are_accepted() {
        let response = judged(GOOD).expect("accepted");
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], SUBPROTOCOL);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn everything_else_is_answered_with_a_status_that_says_why() {
        for (from, to, status) in [
            ("/defender/v1/connect", "/", 404),
            ("GET", "POST", 405),
            ("HTTP/1.1", "HTTP/1.0", 505),
            ("Upgrade: websocket\n", "", 426),
            ("Connection: Upgrade\n", "", 426),
            ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 12", 426),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n", "", 400),
            ("defender.v1", "defender.v2", 400),
            ("Host: c", "Host\u{1}", 400),
        ] {
            let refused = judged(&GOOD.replace(from, to)).expect_err(to);
            assert_eq!(refused.status.as_u16(), status, "{from} -> {to}");
            let http = refused.to_http();
            assert!(http.starts_with(&format!("HTTP/1.1 {status} ")) && http.ends_with("\n"), "{http}");
        }
    }
}
