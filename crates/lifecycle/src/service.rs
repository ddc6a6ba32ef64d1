//! Tells the service manager how far the program is (`sd_notify(3)`), so that `systemctl start` returns when the program
//! can be used. Where nobody asks for it (`NOTIFY_SOCKET`), nothing happens.

use sd_notify::NotifyState;

/// The program can be used. May be said again.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// The program has begun to stop.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(
            error = error.to_string(),
            remedy = "let the program write to the socket that NOTIFY_SOCKET names, or unset that variable",
            "Cannot tell the service manager how far this program is"
        );
    }
}
