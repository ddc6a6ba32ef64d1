//! Hexadecimal, as fingerprints and serial numbers are written; both programs use it for theirs.

use std::fmt::Write as _;

/// Two lower-case digits a byte.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let text = String::with_capacity(2 * bytes.len());
    bytes.iter().fold(text, |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of digits of either case; `None` when something else is among them, or half a byte.
#[must_use]
pub fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_ref().as_chunks() else { return None };
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_two_digits_and_comes_back() {
        let all = (0..=u8::MAX).collect::<Vec<_>>();
        let text = encode(&all);
        assert!(text.starts_with("000102") && text.ends_with("fdfeff") && text.len() == 512, "{text}");
        assert_eq!(decode(&text), Some(all.clone()));
        assert_eq!(decode(text.to_uppercase()), Some(all));
    }

    #[test]
    fn what_is_no_hexadecimal_is_not_decoded() {
        for text in ["0", "0g", "+f", "f-", "00 0", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode(""), Some(Vec::new()));
    }
}
