//! How pages say things: names of channels, days left, states. One wording for all of them.

use certs::Channel;

/// What people call a channel.
pub(in crate::web) fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::ConsoleDefender => "the Defender WebSocket",
        Channel::ConsoleHttps => "the Console's HTTPS",
        Channel::Defender => "the Defender",
    }
}
