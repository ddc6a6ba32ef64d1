//! What is inside the sealed file: zstd of JSON lines. Files first, then each table with its rows, then the end.
//! Nothing in it depends on the kind of database.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::store::tables::Cell;

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Record {
    /// A file below the data directory.
    File {
        /// Relative to the data directory.
        path: String,
        /// What is in it.
        content: Secret,
    },
    /// The rows that follow are of this table.
    Table {
        /// Its name.
        name: String,
        /// Its columns.
        columns: Vec<String>,
    },
    /// A row of the table before.
    Row(Vec<Cell>),
    /// That was all.
    End {
        /// How many files there were.
        files: u64,
        /// How many rows there were.
        rows: u64,
    },
}

impl Record {
    pub(super) fn file(path: String, content: &[u8]) -> Self {
        Self::File { path, content: Secret(STANDARD.encode(content)) }
    }

    /// Appends the line.
    pub(super) fn write_to(&self, lines: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer(&mut *lines, self)?;
        lines.push(b'\n');
        Ok(())
    }
}

/// The content of a file, base64. It may be a key: wiped when dropped, masked when printed.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn decode(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        STANDARD.decode(&self.0).map(Zeroizing::new).map_err(io::Error::other)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Compresses what is written to it.
pub(super) fn compress<W: Write>(inner: W) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    zstd::stream::write::Encoder::new(inner, LEVEL)
}

/// Reads records until the end, and makes sure that it is one.
pub(super) struct Records<R: Read> {
    lines: BufReader<zstd::stream::read::Decoder<'static, BufReader<R>>>,
    line: Zeroizing<Vec<u8>>,
    files: u64,
    rows: u64,
    has_ended: bool,
}

impl<R: Read> Records<R> {
    pub(super) fn new(inner: R) -> io::Result<Self> {
        let lines = BufReader::new(zstd::stream::read::Decoder::new(inner)?);
        Ok(Self { lines, line: Zeroizing::default(), files: 0, rows: 0, has_ended: false })
    }

    /// The next one; `None` after the end, of which is made sure.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        self.line.clear();
        let mut limited = (&mut self.lines).take(MOST_LINE);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return if self.has_ended { Ok(None) } else { Err(unexpected("its last line is missing")) };
        }
        if self.has_ended || !self.line.ends_with(b"\n") {
            return Err(unexpected("a line is out of place"));
        }
        let record = serde_json::from_slice(&self.line).map_err(|_| unexpected("a line cannot be read"))?;
        match &record {
            Record::File { .. } => self.files += 1,
            Record::Row(_) => self.rows += 1,
            Record::Table { .. } => {}
            Record::End { files, rows } => {
                if (*files, *rows) != (self.files, self.rows) {
                    return Err(unexpected("lines are missing"));
                }
                self.has_ended = true;
            }
        }
        Ok(Some(record))
    }
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A report has at most 1 MiB, and JSON may write each of its bytes as six.
const MOST_LINE: u64 = 64 * 1024 * 1024;

const LEVEL: i32 = 3;
