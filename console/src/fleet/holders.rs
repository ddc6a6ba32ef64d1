//! Which custom certificates Defenders were seen with, and how many that are not decommissioned have each of them.
//! Pure. Certificates of the Console's own authority name their holder and are not kept.

use std::collections::HashMap;

use uuid::Uuid;

/// SHA-256 of a leaf.
pub(super) type Digest = [u8; 32];

/// Who was seen with what.
#[derive(Debug, Default)]
pub(super) struct Holders {
    of: HashMap<Uuid, Vec<Digest>>,
    /// How many that are not decommissioned; an entry stays when nobody is left.
    living: HashMap<Digest, usize>,
}

impl Holders {
    /// Notes that `id`, which is not decommissioned, has shown a certificate. Whether that is news.
    pub(super) fn see(&mut self, id: Uuid, digest: Digest) -> bool {
        let known = self.of.entry(id).or_default();
        if known.contains(&digest) {
            return false;
        }
        known.push(digest);
        *self.living.entry(digest).or_default() += 1;
        true
    }

    /// Forgets a decommissioned Defender: the certificates that nobody else is left for.
    pub(super) fn decommission(&mut self, id: Uuid) -> Vec<Digest> {
        let mut orphans = Vec::new();
        for digest in self.of.remove(&id).unwrap_or_default() {
            if let Some(living) = self.living.get_mut(&digest) {
                *living = living.saturating_sub(1);
                if *living == 0 {
                    self.living.remove(&digest);
                    orphans.push(digest);
                }
            }
        }
        orphans
    }
}

/// As the database and people write it.
pub(super) fn digest(sha256: &str) -> Option<Digest> {
    certs::hex::decode(sha256)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_shared_certificate_is_an_orphan_when_its_last_holder_is_decommissioned() {
        let mut holders = Holders::default();
        let (shared, own) = ([1; 32], [2; 32]);
        assert!(holders.see(ONE, shared) && holders.see(TWO, shared) && holders.see(TWO, own));
        assert!(!holders.see(TWO, own), "no news");
        assert!(holders.decommission(ONE).is_empty(), "the other one lives");
        assert_eq!(holders.decommission(TWO), [shared, own]);
        assert!(holders.decommission(TWO).is_empty());
    }

    #[test]
    fn a_digest_is_written_and_read() {
        let text = "0a".repeat(32);
        assert_eq!(certs::hex::encode(digest(&text).expect("read")), text);
        for wrong in ["", "0a", &"zz".repeat(32), &"é".repeat(32)] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
