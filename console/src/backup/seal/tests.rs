use proptest::prelude::*;

use super::*;

const DAMAGED: &str = "it is damaged or was cut short: it is not as it was written";

fn about() -> About {
    About {
        created_at: time::macros::datetime!(2026-11-22 02:00 UTC),
        kind: Kind::Command,
        version: "0.1.0".to_owned(),
        schema: 2,
    }
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::parse(text).expect("long enough")
}

fn seal(content: &[u8]) -> Vec<u8> {
    let mut sealer =
        Sealer::new(Vec::new(), about(), &passphrase("correct horse"), Cost::TEST).expect("memory");
    sealer.write_all(content).expect("memory");
    sealer.finish().expect("memory")
}

/// The content, or the words of the refusal.
fn open(file: &[u8], words: &str) -> Result<Vec<u8>, String> {
    let sealed = Sealed::read(file).map_err(|error| error.to_string())?;
    let mut opener = sealed.open(&passphrase(words)).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    opener.read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

/// Where the chunks begin.
fn body(file: &[u8]) -> usize {
    let length = u32::from_be_bytes(file[MAGIC.len()..MAGIC.len() + 4].try_into().expect("four"));
    MAGIC.len() + 4 + usize::try_from(length).expect("small") + 32
}

/// The file with another text in its header, as a forger would write it.
fn with_header(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    let json = String::from_utf8_lossy(&file[MAGIC.len() + 4..body(file) - 32]).replacen(from, to, 1);
    let length = u32::try_from(json.len()).expect("small").to_be_bytes();
    let mut bytes = [MAGIC, &length, json.as_bytes()].concat();
    let digest = digest::digest(&digest::SHA256, &bytes);
    bytes.extend_from_slice(digest.as_ref());
    bytes.extend_from_slice(&file[body(file)..]);
    bytes
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

#[test]
fn what_was_sealed_comes_back_at_every_length_around_a_chunk() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17] {
        let file = seal(&content(length));
        assert_eq!(open(&file, "correct horse").as_deref(), Ok(&*content(length)), "{length}");
    }
}

#[test]
fn nothing_of_the_content_or_the_passphrase_is_readable_in_the_file() {
    let file = seal(b"-----BEGIN PRIVATE KEY-----");
    for secret in [&b"PRIVATE"[..], b"correct horse"] {
        assert!(!file.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn each_refusal_says_what_it_is() {
    let file = seal(&content(CHUNK + 9));
    let refused = |file: &[u8]| open(file, "correct horse").expect_err("refused");
    assert_eq!(open(&file, "correct hoarse").expect_err("refused"), "the passphrase is wrong");
    assert_eq!(refused(b""), "it was cut short");
    assert_eq!(refused(&file[..10]), "it was cut short");
    assert_eq!(refused(&file[..file.len() - 1]), DAMAGED);
    assert_eq!(refused(&file[..body(&file) + CHUNK + MAX_TAG_LEN]), "it was cut short", "between two chunks");
    assert_eq!(refused(&file[..body(&file)]), "it was cut short");
    assert_eq!(
        refused(b"SQLite format 3\0 and more of it, as long as it takes"),
        "it is no backup of a Console"
    );
    let mut flipped = file.clone();
    flipped[MAGIC.len() + 20] ^= 1;
    assert_eq!(refused(&flipped), DAMAGED);
    let newer = with_header(&file, "\"format\":1", "\"format\":9");
    assert_eq!(refused(&newer), "it was made by a newer version of the Console, 0.1.0");
}

#[test]
fn a_header_that_asks_for_all_memory_is_refused_before_it_gets_any() {
    let file = seal(b"x");
    let bytes = with_header(&file, ":8,", ":4294967295,");
    assert_eq!(open(&bytes, "correct horse").expect_err("refused"), DAMAGED);
}

#[test]
fn chunks_that_changed_places_or_were_repeated_or_left_out_are_refused() {
    let file = seal(&content(3 * CHUNK));
    let (head, chunks) = file.split_at(body(&file));
    let chunks: Vec<&[u8]> = chunks.chunks(CHUNK + MAX_TAG_LEN).collect();
    assert_eq!(chunks.len(), 3);
    for order in
        [&[1, 0, 2][..], &[0, 2, 1], &[0, 0, 2], &[0, 2], &[1, 2], &[2], &[0, 1, 2, 2], &[0, 1, 1, 2]]
    {
        let other: Vec<u8> =
            head.iter().copied().chain(order.iter().flat_map(|at| chunks[*at].to_vec())).collect();
        assert!(open(&other, "correct horse").is_err(), "{order:?}");
    }
    let foreign = seal(&content(3 * CHUNK));
    let mixed = [head, &foreign[body(&foreign)..]].concat();
    assert!(open(&mixed, "correct horse").is_err(), "the chunks of another file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_file_with_any_byte_changed_is_refused(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut file = seal(&content(CHUNK + 100));
        // Half of the cases in the header, which is a hundredth of the file.
        let end = if change % 2 == 0 { body(&file) } else { file.len() };
        let at = at.index(end);
        file[at] ^= change;
        prop_assert!(open(&file, "correct horse").is_err(), "byte {at}");
    }

    #[test]
    fn a_file_that_is_cut_anywhere_or_goes_on_is_refused(at in any::<prop::sample::Index>(), more in 1_usize..40) {
        let file = seal(&content(2 * CHUNK));
        prop_assert!(open(&file[..at.index(file.len())], "correct horse").is_err());
        let longer = [&file[..], &vec![0; more]].concat();
        prop_assert!(open(&longer, "correct horse").is_err());
    }
}
