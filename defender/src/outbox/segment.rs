//! The format of one outbox file: records back to back, nothing else.
//!
//! ```text
//! magic 4 | crc32 4 | length 4 | seq 8 | kind length 2 | kind | body        numbers little-endian
//!                     `-------------- covered by the crc ----------------'   length: of all behind it
//! ```
//!
//! The magic holds a byte that no UTF-8 text has: after a damaged record, the next one is found by it.

use std::ops::Range;

use serde_json::value::RawValue;

/// Where one record lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the report.
    pub(super) seq: u64,
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
    /// What goes first when room is needed.
    pub(super) weight: Weight,
}

/// Which reports go first when room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Kept as long as possible.
    Audit,
    /// Told again anyway by a later report.
    Status,
}

impl Weight {
    /// The weight of a kind of report.
    pub(super) fn of(kind: &str) -> Self {
        if kind.starts_with("audit") { Self::Audit } else { Self::Status }
    }
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The records, in file order.
    pub(super) records: Vec<Place>,
    /// Bytes that are no record.
    pub(super) damaged: Vec<Range<usize>>,
}

/// One record, with its content.
#[derive(Debug)]
pub(super) struct Record {
    /// Number of the report.
    pub(super) seq: u64,
    /// What is reported.
    pub(super) kind: String,
    /// The report, JSON.
    pub(super) body: Box<RawValue>,
}

/// Bytes of a record beside its kind and body.
pub(super) const OVERHEAD: usize = 22;

/// Appends a record to `out`; `None` when its kind or body is too long to count.
pub(super) fn push(out: &mut Vec<u8>, seq: u64, kind: &str, body: &str) -> Option<()> {
    let kind_length = u16::try_from(kind.len()).ok()?;
    let length = u32::try_from(10 + kind.len() + body.len()).ok()?;
    let mut covered = Vec::with_capacity(OVERHEAD + kind.len() + body.len());
    covered.extend_from_slice(&length.to_le_bytes());
    covered.extend_from_slice(&seq.to_le_bytes());
    covered.extend_from_slice(&kind_length.to_le_bytes());
    covered.extend_from_slice(kind.as_bytes());
    covered.extend_from_slice(body.as_bytes());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&crc32fast::hash(&covered).to_le_bytes());
    out.extend_from_slice(&covered);
    Some(())
}

/// Finds every record of a file, and what lies between them.
pub(super) fn scan(file: &[u8]) -> Scan {
    let mut found = Scan::default();
    let mut at = 0;
    let mut damaged_from = None;
    while at < file.len() {
        if let Some((end, record)) = parse(file, at) {
            if let Some(start) = damaged_from.take() {
                found.damaged.push(start..at);
            }
            found.records.push(Place { seq: record.seq, start: at, end, weight: Weight::of(record.kind) });
            at = end;
        } else {
            damaged_from.get_or_insert(at);
            at = next_magic(file, at + 1).unwrap_or(file.len());
        }
    }
    if let Some(start) = damaged_from {
        found.damaged.push(start..file.len());
    }
    found
}

/// Reads the record that starts at `at`; `None` when it is damaged.
pub(super) fn read(file: &[u8], at: usize) -> Option<(usize, Record)> {
    let (end, record) = parse(file, at)?;
    let body = RawValue::from_string(record.body.to_owned()).ok()?;
    Some((end, Record { seq: record.seq, kind: record.kind.to_owned(), body }))
}

/// How many records may have begun in `file`: each number among them may have been seen outside.
pub(super) fn beginnings(file: &[u8]) -> usize {
    file.windows(MAGIC.len()).filter(|bytes| *bytes == MAGIC).count()
}

struct Parsed<'a> {
    seq: u64,
    kind: &'a str,
    body: &'a str,
}

fn parse(file: &[u8], at: usize) -> Option<(usize, Parsed<'_>)> {
    let rest = file.get(at..)?.strip_prefix(&MAGIC)?;
    let (crc, covered) = rest.split_first_chunk::<4>()?;
    let (length, _) = covered.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let covered = covered.get(..length.checked_add(4)?)?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (seq, rest) = covered.get(4..)?.split_first_chunk::<8>()?;
    let (kind_length, rest) = rest.split_first_chunk::<2>()?;
    let (kind, body) = rest.split_at_checked(usize::from(u16::from_le_bytes(*kind_length)))?;
    let parsed = Parsed {
        seq: u64::from_le_bytes(*seq),
        kind: std::str::from_utf8(kind).ok()?,
        body: std::str::from_utf8(body).ok()?,
    };
    Some((at + MAGIC.len() + 4 + covered.len(), parsed))
}

fn next_magic(file: &[u8], from: usize) -> Option<usize> {
    let found = file.get(from..)?.windows(MAGIC.len()).position(|bytes| bytes == MAGIC)?;
    Some(from + found)
}

const MAGIC: [u8; 4] = [0xff, b'R', b'P', b'T'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(bodies: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for (seq, body) in (1..).zip(bodies) {
            push(&mut out, seq, "host", body).expect("short");
        }
        out
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let file = file(&[r#"{"a":1}"#, "null"]);
        let (end, record) = read(&file, 0).expect("first");
        assert_eq!((record.seq, record.kind.as_str(), record.body.get()), (1, "host", r#"{"a":1}"#));
        let (end, record) = read(&file, end).expect("second");
        assert_eq!((record.seq, record.body.get(), end), (2, "null", file.len()));
    }

    #[test]
    fn a_damaged_record_costs_only_itself() {
        let good = file(&["1", "2", "3"]);
        let length = good.len() / 3;
        for byte in length..2 * length {
            let mut bad = good.clone();
            bad[byte] ^= 0x55;
            let found = scan(&bad);
            let seqs: Vec<u64> = found.records.iter().map(|record| record.seq).collect();
            assert_eq!(seqs, [1, 3], "byte {byte}");
            assert_eq!(found.damaged, vec![length..2 * length]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_scan_panic_and_every_byte_is_accounted_for(
            junk in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..100
        ) {
            let mut bytes = file(&["1", "\"two\""]);
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes.extend_from_slice(&junk);
            let found = scan(&bytes);
            let covered: usize = found.records.iter().map(|record| record.end - record.start).sum();
            let damaged: usize = found.damaged.iter().map(ExactSizeIterator::len).sum();
            prop_assert_eq!(covered + damaged, bytes.len());
        }
    }
}
