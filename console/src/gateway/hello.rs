//! Which `hello` is taken: what it says is stored, compared and shown, so each text in it is judged here, once. Who says
//! it is judged in `arrive.rs`.

use protocol::message::Hello;

/// The `hello` with nothing in it that cannot be kept; `None` when it is malformed.
pub(super) fn sound(mut hello: Hello) -> Option<Hello> {
    let defender = &hello.defender;
    let texts = [&defender.hostname, &defender.version, &defender.os, &defender.kernel, &defender.arch];
    let is_sound = texts
        .into_iter()
        .chain(&defender.cluster)
        .all(|text| text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control))
        && !defender.hostname.is_empty()
        && !defender.version.is_empty();
    // The contract leaves the case open; what is kept is what the protocol promises.
    hello.certificate.sha256.make_ascii_lowercase();
    // An addition to what the contract says of `hello`: what is wrong with it is no reason to turn a Defender away.
    hello.authorities.retain(|authority| is_digest(authority));
    hello.authorities.truncate(MOST_AUTHORITIES);
    (is_sound && is_digest(&hello.certificate.sha256)).then_some(hello)
}

/// Whether it is SHA-256 as 64 lower-case hexadecimal digits.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Longest host name, version, … in bytes; DNS names end at 253.
const MAX_TEXT_BYTES: usize = 256;

/// More authorities than any Console has at a time: two, while it changes from one to the next.
const MOST_AUTHORITIES: usize = 8;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fleet::fixture;

    fn hello() -> Hello {
        fixture::hello(Uuid::from_u128(1))
    }

    #[test]
    fn authorities_that_are_no_digests_are_dropped_and_the_rest_is_kept() {
        let good = "0f".repeat(32);
        let bad = [
            String::new(),
            "\0".repeat(64),
            format!("{good}\0"),
            format!("{good},{good}"),
            "0F".repeat(32),
            "0g".repeat(32),
            "0".repeat(63),
            "é".repeat(32),
        ];
        let authorities = bad.iter().cloned().chain([good.clone()]).chain(bad.iter().cloned()).collect();
        let taken = sound(Hello { authorities, ..hello() }).expect("the Defender is not turned away");
        assert_eq!(taken.authorities, [good]);
    }

    #[test]
    fn no_more_authorities_are_kept_than_any_console_has() {
        let authorities: Vec<_> = (0..500).map(|number| format!("{number:064x}")).collect();
        let taken = sound(Hello { authorities: authorities.clone(), ..hello() }).expect("sound");
        assert_eq!(taken.authorities, authorities[..MOST_AUTHORITIES]);
    }

    #[test]
    fn the_digest_of_the_certificate_is_kept_in_lower_case_and_must_be_one() {
        let with = |sha256: &str| {
            let mut hello = hello();
            sha256.clone_into(&mut hello.certificate.sha256);
            sound(hello)
        };
        let taken = with(&"AB".repeat(32)).expect("sound");
        assert_eq!(taken.certificate.sha256, "ab".repeat(32));
        for wrong in ["", "ab", &"\0".repeat(64), &"xy".repeat(32), &"ab".repeat(33)] {
            assert!(with(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_or_has_control_characters_is_malformed() {
        let with = |text: &str| {
            let mut hello = hello();
            hello.defender.cluster = Some(text.to_owned());
            sound(hello)
        };
        assert!(with(&"x".repeat(MAX_TEXT_BYTES)).is_some());
        for wrong in ["\0", "a\nb", &"x".repeat(MAX_TEXT_BYTES + 1)] {
            assert!(with(wrong).is_none(), "{wrong:?}");
        }
        let mut nameless = hello();
        nameless.defender.hostname.clear();
        assert!(sound(nameless).is_none());
    }
}
