//! How a WebSocket ends: the code that says why, and time for the peer to hear it.

use std::time::Duration;

use protocol::Close;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::session::{Socket, next};

/// The code that answers what a peer did wrong; `None` when the connection is simply broken.
pub(super) fn close_for(error: &WsError) -> Option<Close> {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Some(Close::TooBig),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) | WsError::Utf8(_) => Some(Close::Malformed),
        _ => None,
    }
}

/// Lets the answer to the peer's close frame go out (RFC 6455 section 5.5.1), then closes.
pub(super) async fn answer_close(socket: &mut Socket) {
    let farewell = async {
        while let Some(Ok(_)) = next(socket).await {}
        socket.get_mut().shutdown().await
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// Closes with a code and waits a moment for the answer. What the peer is still sending is read and dropped: a
/// socket closed with unread data in it is reset, and the peer would never see the code.
pub(super) async fn close(socket: &mut Socket, close: Close) {
    close_saying(socket, close, close.cause()).await;
}

/// The same with words of one's own, at most 123 bytes.
pub(super) async fn close_saying(socket: &mut Socket, close: Close, cause: &str) {
    let frame = CloseFrame { code: close.code().into(), reason: cause.into() };
    let farewell = async {
        socket.close(Some(frame)).await.ok()?;
        while let Some(Ok(_)) = next(socket).await {}
        let stream = socket.get_mut();
        if matches!(close, Close::Malformed | Close::TooBig) {
            // What is still on its way may be no frame that could be read.
            let mut rest = vec![0; 16 * 1024];
            while let Ok(Ok(1..)) = timeout(PAUSE, stream.read(&mut rest)).await {}
        }
        stream.shutdown().await.ok()
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// How long a peer may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(2);

/// A pause after which a peer is taken to have sent all of a message.
const PAUSE: Duration = Duration::from_millis(300);
