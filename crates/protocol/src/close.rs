//! WebSocket close codes (contract section 4), and what a Defender does about each.

/// Why one side closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// 4012: the Defender was away for too long, and an administrator is to approve its return.
    ApprovalNeeded,
    /// 4003: the Defender was decommissioned.
    Decommissioned,
    /// 1000: nothing left to say.
    Done,
    /// 4001: the identity in `hello` is not the one its certificate was issued for.
    IdentityMismatch,
    /// 4000: a message that cannot be read, or one out of turn.
    Malformed,
    /// A code that this version does not know.
    Other(u16),
    /// 4011: the registration that the Defender came with was revoked or is used up.
    RegistrationRefused,
    /// 4009: a newer connection of the same Defender took over.
    Replaced,
    /// 1012: the Console restarts this listener or itself.
    Restart,
    /// 4013: the certificate of the connection was revoked.
    Revoked,
    /// 1009: a message over the limit.
    TooBig,
    /// 4010: the Defender is more than two minor versions behind.
    TooOld,
}

/// What a Defender does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after the next back-off delay.
    BackOff,
    /// Idle, and ask again every hour.
    Hourly,
    /// Connect again at once.
    Now,
}

impl Close {
    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::ApprovalNeeded => 4012,
            Self::Decommissioned => 4003,
            Self::Done => 1000,
            Self::IdentityMismatch => 4001,
            Self::Malformed => 4000,
            Self::Other(code) => code,
            Self::RegistrationRefused => 4011,
            Self::Replaced => 4009,
            Self::Restart => 1012,
            Self::Revoked => 4013,
            Self::TooBig => 1009,
            Self::TooOld => 4010,
        }
    }

    /// The meaning of a code from the wire.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        match code {
            1000 => Self::Done,
            1009 => Self::TooBig,
            1012 => Self::Restart,
            4000 => Self::Malformed,
            4001 => Self::IdentityMismatch,
            4003 => Self::Decommissioned,
            4009 => Self::Replaced,
            4010 => Self::TooOld,
            4011 => Self::RegistrationRefused,
            4012 => Self::ApprovalNeeded,
            4013 => Self::Revoked,
            other => Self::Other(other),
        }
    }

    /// The cause in words, for the close frame's reason (at most 123 bytes) and for logs.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::ApprovalNeeded => {
                "away for too long: an administrator must approve the return of this Defender"
            }
            Self::Decommissioned => "this Defender was decommissioned",
            Self::Done => "done",
            Self::IdentityMismatch => "the identity in hello is not the one the certificate was issued for",
            Self::Malformed => "malformed message, or a message out of turn",
            Self::Other(_) => "closed for a reason that this version does not know",
            Self::RegistrationRefused => "the registration in the install bundle was revoked or is used up",
            Self::Replaced => "replaced by a newer connection of the same Defender",
            Self::Restart => "the Console restarts this listener: reconnect",
            Self::Revoked => "the certificate of this Defender was revoked",
            Self::TooBig => "message too big",
            Self::TooOld => "this Defender is too old for the Console: upgrade it",
        }
    }

    /// What a Defender does after it was closed with this code.
    #[must_use]
    pub fn next(self) -> Next {
        match self {
            Self::Decommissioned => Next::Hourly,
            Self::Restart => Next::Now,
            _ => Next::BackOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_a_round_trip_and_every_cause_fits_a_close_frame() {
        for code in 1000..5000 {
            let close = Close::from_code(code);
            assert_eq!(close.code(), code);
            assert!(close.cause().len() <= 123, "{close:?}");
        }
    }

    #[test]
    fn only_a_decommissioned_defender_waits_an_hour_and_only_a_restart_is_followed_at_once() {
        for code in 1000..5000 {
            let expected = match code {
                1012 => Next::Now,
                4003 => Next::Hourly,
                _ => Next::BackOff,
            };
            assert_eq!(Close::from_code(code).next(), expected, "{code}");
        }
    }
}
