//! Which Defender versions a Console serves: its own minor version and the two before it.

use std::fmt;

/// `MAJOR.MINOR.PATCH`, as in Cargo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

impl Version {
    /// The version of this program.
    #[must_use]
    pub fn own() -> Self {
        Self::parse(OWN).unwrap_or(Self { major: 0, minor: 0, patch: 0 })
    }

    /// Reads `X.Y.Z`, with or without a `-pre` or `+build` part behind it; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next()?;
        let mut numbers = core.split('.').map(str::parse);
        let version =
            Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()?, patch: numbers.next()?.ok()? };
        numbers.next().is_none().then_some(version)
    }

    /// Whether a Console of this version serves a Defender of version `defender`: every newer one, and older
    /// ones of the same major version down to two minor versions back.
    #[must_use]
    pub fn serves(self, defender: Self) -> bool {
        defender.major > self.major
            || (defender.major == self.major && defender.minor.saturating_add(2) >= self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

const OWN: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).expect(text)
    }

    #[test]
    fn serves_two_minor_versions_back_and_anything_newer() {
        for (defender, served) in [
            ("1.5.0", true),
            ("1.4.9", true),
            ("1.3.0", true),
            ("1.2.99", false),
            ("0.9.0", false),
            ("1.6.0", true),
            ("2.0.0", true),
        ] {
            assert_eq!(v("1.5.3").serves(v(defender)), served, "{defender}");
        }
    }

    #[test]
    fn reads_release_and_pre_release_versions_and_nothing_else() {
        assert_eq!(v("1.2.3-rc.1").to_string(), "1.2.3");
        assert_eq!(Version::own().to_string(), OWN);
        for text in ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.x", "-1.0.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
