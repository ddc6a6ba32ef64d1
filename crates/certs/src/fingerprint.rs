//! The identity of a set of files: a hash over the content of all of them, and never over time stamps.

use std::fmt;

use aws_lc_rs::digest;

use crate::hex;

/// SHA-256 over a set of files: equal means that nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Builds a [`Fingerprint`] file by file.
pub(crate) struct Hasher(digest::Context);

/// What one file contributes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// Its content.
    Content(&'a [u8]),
    /// There is none.
    Missing,
    /// It cannot be read, for this reason.
    Unusable(&'a str),
}

impl Hasher {
    /// Nothing hashed yet.
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds the next file; the order of files is part of the result.
    pub(crate) fn add(&mut self, part: Part<'_>) {
        let (tag, content) = match part {
            Part::Content(content) => (1_u8, content),
            Part::Missing => (0, &[][..]),
            Part::Unusable(cause) => (2, cause.as_bytes()),
        };
        self.0.update(&[tag]);
        self.0.update(digest::digest(&digest::SHA256, content).as_ref());
    }

    /// The result.
    pub(crate) fn finish(self) -> Fingerprint {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[Part<'_>]) -> Fingerprint {
        let mut hasher = Hasher::new();
        parts.iter().for_each(|part| hasher.add(*part));
        hasher.finish()
    }

    #[test]
    fn tells_apart_missing_empty_unusable_and_content_that_moved_between_files() {
        let sets = [
            of(&[Part::Missing]),
            of(&[Part::Content(b"")]),
            of(&[Part::Unusable("")]),
            of(&[Part::Content(b"ab"), Part::Content(b"c")]),
            of(&[Part::Content(b"a"), Part::Content(b"bc")]),
        ];
        for (index, one) in sets.iter().enumerate() {
            for other in &sets[index + 1..] {
                assert_ne!(one, other);
            }
        }
        assert_eq!(of(&[Part::Content(b"ab")]), of(&[Part::Content(b"ab")]));
        assert_eq!(sets[0].to_string().len(), 64);
    }
}
