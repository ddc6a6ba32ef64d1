//! PEM text -> blocks, and back. Reads what people really have: CRLF, a byte order mark, text and bag attributes
//! around the blocks; and says what a file holds instead when it holds none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::fault::Instead;

/// One block, decoded. It may be a key, so it is wiped when dropped.
pub(crate) struct Block {
    /// The type: what stands behind BEGIN.
    pub(crate) label: String,
    /// Whether it has the header of a key that is encrypted in the old way.
    pub(crate) is_encrypted: bool,
    /// The content.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

impl Block {
    /// Whether it is a certificate.
    pub(crate) fn is_certificate(&self) -> bool {
        self.label == CERTIFICATE
    }

    /// Whether it is a private key of any form.
    pub(crate) fn is_private_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }
}

/// Whether `bytes` start with a UTF-8 byte order mark.
pub(crate) fn has_byte_order_mark(bytes: &[u8]) -> bool {
    bytes.starts_with(UTF8_MARK)
}

/// All blocks of a file, at least one.
///
/// # Errors
/// What the file holds instead; also when only one block of several is cut off or damaged.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Block>, Instead> {
    let text = bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes);
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(label) = marker(line, b"-----BEGIN ") {
            blocks.push(block(label, &mut lines)?);
        }
    }
    if blocks.is_empty() { Err(instead(bytes)) } else { Ok(blocks) }
}

/// Certificates as PEM text.
pub(crate) fn encode_certificates<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = String::new();
    for der in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let base64 = STANDARD.encode(der);
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = behind;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Reads from the line behind BEGIN up to the END line.
fn block<'a>(label: &[u8], lines: &mut impl Iterator<Item = &'a [u8]>) -> Result<Block, Instead> {
    let mut base64 = Zeroizing::new(Vec::with_capacity(MOST_BLOCKS));
    let mut is_encrypted = false;
    for line in lines {
        if let Some(end) = marker(line, b"-----END ") {
            if end != label {
                return Err(Instead::Damaged);
            }
            let der = Zeroizing::new(STANDARD.decode(base64.as_slice()).map_err(|_| Instead::Damaged)?);
            let label = String::from_utf8_lossy(label).into_owned();
            return Ok(Block { label, is_encrypted, der });
        }
        if line.starts_with(b"-----") {
            return Err(Instead::CutOff);
        }
        if line.contains(&b':') {
            is_encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else if !line.starts_with(b"DEK-Info") {
            base64.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    Err(Instead::CutOff)
}

/// What stands between `start` and the five dashes at the end of a line.
fn marker<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

/// What a file without PEM blocks is.
fn instead(bytes: &[u8]) -> Instead {
    if bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes).trim_ascii().is_empty() {
        Instead::Empty
    } else if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        Instead::Utf16
    } else if let [0x30, rest @ ..] = bytes {
        let content = match rest {
            [0x80, content @ ..] | [0x81, _, content @ ..] | [0x82, _, _, content @ ..] => content,
            [0x83, _, _, _, content @ ..] => content,
            [_, content @ ..] => content,
            [] => &[],
        };
        // A PKCS#12 archive begins with its version, 3; nothing else that ends up in these files does.
        if content.starts_with(&[0x02, 0x01, 0x03]) { Instead::Pkcs12 } else { Instead::Der }
    } else if bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
        Instead::Damaged
    } else {
        Instead::Other
    }
}

const CERTIFICATE: &str = "CERTIFICATE";
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const BEGIN: &[u8] = b"-----BEGIN";

/// Base64 characters on a line.
const LINE: usize = 64;

/// Enough for the base64 of an RSA key of 8192 bits, so that no half-grown buffer with a key is left behind.
const MOST_BLOCKS: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "-----BEGIN X-----\nAAEC\n-----END X-----\n";

    fn only(text: &[u8]) -> (String, Vec<u8>) {
        let mut blocks = decode(text).expect("one block");
        assert_eq!(blocks.len(), 1);
        let block = blocks.remove(0);
        (block.label, block.der.to_vec())
    }

    #[test]
    fn reads_what_editors_and_tools_make_of_a_block() {
        let expected = ("X".to_owned(), vec![0, 1, 2]);
        let forms = [
            TEXT.to_owned(),
            TEXT.replace('\n', "\r\n"),
            TEXT.replace('\n', "\r"),
            format!("\u{feff}{TEXT}"),
            format!(
                "Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n{TEXT}trailing text"
            ),
            TEXT.trim_end().to_owned(),
            TEXT.replace("AAEC", "  AA\n EC  \n\n"),
            TEXT.replace("-----\n", "-----  \n"),
        ];
        for form in forms {
            assert_eq!(only(form.as_bytes()), expected, "{form:?}");
        }
        assert_eq!(only(&[b"friendlyName: \xe4\xf6\n", TEXT.as_bytes()].concat()), expected);
    }

    #[test]
    fn says_what_a_file_holds_instead() {
        let utf16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(TEXT.bytes().flat_map(|byte| [byte, 0])).collect();
        for (bytes, instead) in [
            (&b""[..], Instead::Empty),
            (b" \r\n\t", Instead::Empty),
            (b"\xef\xbb\xbf\n", Instead::Empty),
            (&utf16, Instead::Utf16),
            (b"\x30\x82\x01\x00\x30\x81\xf0", Instead::Der),
            (b"\x30\x82\x0a\x00\x02\x01\x03\x30", Instead::Pkcs12),
            (b"\x30\x80\x02\x01\x03\x30", Instead::Pkcs12),
            (b"\x30", Instead::Der),
            (b"hello", Instead::Other),
            (b"text -----BEGIN X-----", Instead::Damaged),
            (b"-----BEGIN X-----\nAAEC\n", Instead::CutOff),
            (b"-----BEGIN X-----\nAAEC\n-----END", Instead::CutOff),
            (b"-----BEGIN X-----\nAAEC\n-----BEGIN X-----\nAAEC\n-----END X-----", Instead::CutOff),
            (b"-----BEGIN X-----\nAAEC\n-----END Y-----", Instead::Damaged),
            (b"-----BEGIN X-----\nA*EC\n-----END X-----", Instead::Damaged),
            (b"-----BEGIN X-----\nAAE\n-----END X-----", Instead::Damaged),
        ] {
            assert_eq!(decode(bytes).err(), Some(instead), "{:?}", String::from_utf8_lossy(bytes));
        }
        let second_cut = format!("{TEXT}{}", &TEXT[..20]);
        assert_eq!(decode(second_cut.as_bytes()).err(), Some(Instead::CutOff));
    }

    #[test]
    fn sees_the_header_of_an_encrypted_key() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAEC\n-----END RSA PRIVATE KEY-----";
        let blocks = decode(text.as_bytes()).expect("a block");
        assert!(blocks[0].is_encrypted && blocks[0].is_private_key());
    }

    proptest! {
        #[test]
        fn any_bytes_survive_a_round_trip(ders in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..4)) {
            let text = encode_certificates(ders.iter().map(Vec::as_slice));
            let blocks = decode(text.as_bytes()).expect("blocks");
            prop_assert!(blocks.iter().all(Block::is_certificate));
            prop_assert_eq!(blocks.into_iter().map(|block| block.der.to_vec()).collect::<Vec<_>>(), ders);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..TEXT.len()) {
            let _ = decode(&bytes);
            let _ = decode(&[&bytes, &TEXT.as_bytes()[..cut], &bytes].concat());
        }
    }
}
