//! Files -> one `.tar.gz`, always the same for the same files. Nothing is compressed: a chart is a few kilobytes, and a
//! stored block needs no compressor.

use zeroize::Zeroizing;

/// A file of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where it lies, with `/` between folders; at most 100 bytes.
    pub(crate) path: String,
    pub(crate) text: Zeroizing<String>,
    /// `0o644`, or `0o600` where it holds a key.
    pub(crate) mode: u32,
}

/// The archive.
pub(crate) fn tar_gz(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let size: usize = entries.iter().map(|entry| entry.text.len() + 2 * BLOCK).sum();
    // Large enough that a key in it is not left behind in memory as it grows.
    let mut tar = Zeroizing::new(Vec::with_capacity(size + 2 * BLOCK));
    for entry in entries {
        tar.extend_from_slice(&header(entry));
        tar.extend_from_slice(entry.text.as_bytes());
        let end = tar.len().next_multiple_of(BLOCK);
        tar.resize(end, 0);
    }
    let end = tar.len() + 2 * BLOCK;
    tar.resize(end, 0);
    gzip(&tar)
}

/// The head of a file, as POSIX.1-1988 wrote it. No time and no owner: they would differ from one writer to the next.
fn header(entry: &Entry) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    put(&mut head, 0, entry.path.as_bytes());
    put(&mut head, 100, format!("{:07o}", entry.mode).as_bytes());
    put(&mut head, 108, b"0000000");
    put(&mut head, 116, b"0000000");
    put(&mut head, 124, format!("{:011o}", entry.text.len()).as_bytes());
    put(&mut head, 136, b"00000000000");
    // The sum is taken with blanks in its own place.
    put(&mut head, 148, b"        ");
    put(&mut head, 156, b"0");
    put(&mut head, 257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut head, 148, format!("{sum:06o}\0 ").as_bytes());
    head
}

fn put(head: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    head.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

/// RFC 1952 around stored blocks of RFC 1951.
fn gzip(data: &[u8]) -> Zeroizing<Vec<u8>> {
    let blocks = data.chunks(usize::from(u16::MAX));
    let mut out = Zeroizing::new(Vec::with_capacity(data.len() + 5 * blocks.len() + 32));
    out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let last = blocks.len().saturating_sub(1);
    for (at, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(at == last));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    // Modulo 2^32, as the format wants it.
    let size = u32::try_from(data.len() % (1 << 32)).unwrap_or_default();
    out.extend_from_slice(&size.to_le_bytes());
    out
}

const BLOCK: usize = 512;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_what_was_written_and_a_large_file_too() {
        let entry = |path: &str, text: &str, mode| Entry {
            path: path.to_owned(),
            text: Zeroizing::new(text.to_owned()),
            mode,
        };
        let large = "0123456789".repeat(20_000);
        let entries = [entry("a/Chart.yaml", "name: a\n", 0o644), entry("a/values.yaml", &large, 0o600)];
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.tar.gz");
        std::fs::write(&file, tar_gz(&entries)).expect("written");
        let output = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(dir.path()).output();
        let output = output.expect("tar");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_to_string(dir.path().join("a/Chart.yaml")).expect("there"), "name: a\n");
        assert_eq!(std::fs::read_to_string(dir.path().join("a/values.yaml")).expect("there"), large);
        let mode = std::fs::metadata(dir.path().join("a/values.yaml")).expect("there").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }
}
