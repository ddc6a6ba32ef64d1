//! Archives in the `ustar` format: the same entries always give the same bytes.

/// Whose an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The user that the program runs as.
    Program,
    Root,
}

/// An archive in the making.
#[derive(Debug, Default)]
pub(super) struct Archive(Vec<u8>);

impl Archive {
    /// A directory.
    pub(super) fn dir(&mut self, name: &str, mode: u32, owner: Owner) -> Result<(), String> {
        self.head(&format!("{name}/"), b'5', 0, mode, owner)
    }

    /// A file.
    pub(super) fn file(&mut self, name: &str, content: &[u8], mode: u32, owner: Owner) -> Result<(), String> {
        self.head(name, b'0', content.len(), mode, owner)?;
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// All of it.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    fn head(&mut self, name: &str, kind: u8, size: usize, mode: u32, owner: Owner) -> Result<(), String> {
        if name.len() > 100 {
            return Err(format!("{name} is too long a name for an archive"));
        }
        let owner = if owner == Owner::Program { USER } else { 0 };
        let mut head = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, width: usize| {
            let end = head.len() + width;
            head.extend_from_slice(text.as_bytes());
            head.resize(end, 0);
        };
        field(name, 100);
        field(&format!("{mode:07o}"), 8);
        field(&format!("{owner:07o}"), 8);
        field(&format!("{owner:07o}"), 8);
        field(&format!("{size:011o}"), 12);
        field("00000000000", 12);
        // The sum counts itself as spaces.
        field("        ", 8);
        field(char::from(kind).encode_utf8(&mut [0; 4]), 1);
        field("", 100);
        field("ustar\0", 6);
        field("00", 2);
        field("", BLOCK - 265);
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        head.splice(148..156, text.bytes());
        self.0.extend_from_slice(&head);
        Ok(())
    }
}

/// Nobody's in particular.
pub(super) const USER: u32 = 2674;

const BLOCK: usize = 512;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_program_tar_reads_it() {
        let mut archive = Archive::default();
        archive.dir("a", 0o750, Owner::Program).expect("short");
        archive.file("a/b", b"hello", 0o644, Owner::Root).expect("short");
        assert!(archive.file(&"x".repeat(101), b"", 0o644, Owner::Root).is_err());
        let mut tar = Command::new("tar");
        tar.args(["--list", "--verbose", "--numeric-owner", "--utc"]);
        let mut tar = tar.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tar");
        tar.stdin.take().expect("piped").write_all(&archive.end()).expect("written");
        let output = tar.wait_with_output().expect("ended");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..3], ["drwxr-x---", "2674/2674", "0"]);
        assert_eq!((lines[1][..3].to_vec(), lines[1].last()), (vec!["-rw-r--r--", "0/0", "5"], Some(&"a/b")));
    }
}
