//! Messages of the protocol <-> frames of the WebSocket.

use protocol::codec::{decode_binary, decode_text};
use protocol::{DecodeError, Payload, ToConsole, ToDefender};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// The line to the Console.
pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// The message in a frame; `None` for frames that carry none (pings, pongs, closes).
pub(crate) fn read(frame: &Message, limit: usize) -> Option<Result<ToDefender, DecodeError>> {
    match frame {
        Message::Binary(data) => Some(decode_binary(data, limit)),
        Message::Text(text) => Some(decode_text(text, limit)),
        Message::Close(_) | Message::Frame(_) | Message::Ping(_) | Message::Pong(_) => None,
    }
}

/// The frame of a message.
///
/// # Errors
/// What serde_json says; none of today's messages can fail.
pub(crate) fn write(message: &ToConsole) -> serde_json::Result<Message> {
    Ok(match protocol::encode(message)? {
        Payload::Binary(data) => Message::Binary(data.into()),
        Payload::Text(text) => Message::Text(text.into()),
    })
}
