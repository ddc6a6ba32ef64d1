//! The outbox on disk: files of records, the oldest first; the last one is appended to. Blocking, one owner.
//!
//! A file is named by the number its first report has or will have, so the next number is known even when every
//! report is acknowledged and deleted. How a record looks is in `segment.rs`.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use lifecycle::atomic::{self, Durability};

use super::segment::{self, Place, Record, Weight};
use super::{Limits, OpenError};

/// All reports that are not acknowledged yet.
pub(super) struct Queue {
    dir: PathBuf,
    limits: Limits,
    /// Never empty; the last one is appended to.
    segments: VecDeque<Segment>,
    /// The last segment, for writing; its length is `bytes` of that segment once a write has returned.
    active: File,
    /// The number of the next report.
    next_seq: u64,
    /// Everything up to here is acknowledged.
    acknowledged: u64,
}

/// One file.
struct Segment {
    path: PathBuf,
    /// Number in the name.
    first: u64,
    /// Length of the file.
    bytes: usize,
    /// Readable records, numbers rising.
    records: Vec<Place>,
}

/// How many reports were given up for want of room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) audits: usize,
    pub(super) statuses: usize,
}

impl Queue {
    /// Opens the directory, makes it where it is missing, and mends what a crash has left.
    pub(super) fn open(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault(dir))?;
        let mut segments = VecDeque::new();
        let mut next_seq = 1;
        let mut cut_off = 0;
        let paths = files(dir).map_err(fault(dir))?;
        let last = paths.len().saturating_sub(1);
        for (index, (first, path)) in paths.into_iter().enumerate() {
            let (segment, cut) = load(first, &path, next_seq, index == last).map_err(fault(&path))?;
            next_seq = segment.next_seq().max(next_seq);
            cut_off = cut;
            segments.push_back(segment);
        }
        let active = match segments.back() {
            Some(segment) => {
                OpenOptions::new().append(true).open(&segment.path).map_err(fault(&segment.path))?
            }
            None => {
                let (segment, file) = create(dir, next_seq).map_err(fault(dir))?;
                segments.push_back(segment);
                file
            }
        };
        let acknowledged = segments.front().map_or(0, |segment| segment.first.saturating_sub(1));
        let mut queue = Self { dir: dir.to_owned(), limits, segments, active, next_seq, acknowledged };
        if cut_off > 0 {
            // A report whose record had begun may have been seen: its number is not given twice.
            queue.next_seq = queue.next_seq.saturating_add(cut_off);
            queue.roll().map_err(fault(dir))?;
        }
        Ok(queue)
    }

    /// The highest number that was ever given.
    pub(super) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Stores reports and syncs them to disk; the first gets the number that is returned. All or none.
    pub(super) fn append(&mut self, reports: &[(&str, &str)]) -> (Dropped, io::Result<u64>) {
        let mut dropped = Dropped::default();
        let stored = self.append_noting(reports, &mut dropped);
        (dropped, stored)
    }

    fn append_noting(&mut self, reports: &[(&str, &str)], dropped: &mut Dropped) -> io::Result<u64> {
        let first = self.next_seq;
        let mut bytes = Vec::new();
        let mut records = Vec::with_capacity(reports.len());
        let mut seq = first;
        for (kind, body) in reports {
            let start = bytes.len();
            segment::push(&mut bytes, seq, kind, body).ok_or(io::ErrorKind::InvalidInput)?;
            records.push(Place { seq, start, end: bytes.len(), weight: Weight::of(kind) });
            seq = seq.checked_add(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        }
        self.make_room(bytes.len(), dropped)?;
        let length = self.active_bytes();
        if length > 0 && length + bytes.len() > self.limits.segment_bytes {
            self.roll()?;
        }
        let length = self.active_bytes();
        if let Err(error) = self.write(length, &bytes) {
            // What a failed write has left is cut here, or before the next write.
            let _ = self.active.set_len(u64::try_from(length).unwrap_or(u64::MAX));
            return Err(error);
        }
        if let Some(active) = self.segments.back_mut() {
            active.bytes = length + bytes.len();
            active.records.extend(records.into_iter().map(|place| Place {
                start: place.start + length,
                end: place.end + length,
                ..place
            }));
        }
        self.next_seq = seq;
        Ok(first)
    }

    /// Writes behind `length` and syncs.
    fn write(&mut self, length: usize, bytes: &[u8]) -> io::Result<()> {
        self.active.set_len(u64::try_from(length).unwrap_or(u64::MAX))?;
        self.active.write_all(bytes)?;
        self.active.sync_data()
    }

    /// The highest number that the Console has acknowledged to this process.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Forgets everything up to `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) -> io::Result<()> {
        self.acknowledged = self.acknowledged.max(seq.min(self.last_seq()));
        let all = self.acknowledged == self.last_seq();
        if all && self.active_bytes() > self.limits.segment_bytes / 64 {
            self.roll()?;
        }
        while self.segments.get(1).is_some_and(|second| second.first <= self.acknowledged.saturating_add(1)) {
            self.delete(0)?;
        }
        Ok(())
    }

    /// Where the Console is: what it has is forgotten, and no number that it has seen is given again.
    pub(super) fn resume(&mut self, last_seq: u64) -> io::Result<()> {
        if last_seq >= self.next_seq {
            self.next_seq = last_seq.saturating_add(1);
            self.roll()?;
        }
        self.acknowledge(last_seq)
    }

    /// Up to `count` reports behind number `after`, in order, and no more once `bytes` are reached. Records that can
    /// no longer be read are skipped; their numbers are returned too.
    pub(super) fn read_after(&mut self, after: u64, count: usize, bytes: usize) -> (Vec<Record>, Vec<u64>) {
        let after = after.max(self.acknowledged);
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        let mut total = 0;
        for segment in &mut self.segments {
            let from = segment.records.partition_point(|place| place.seq <= after);
            let Some(places) = segment.records.get(from..).filter(|places| !places.is_empty()) else {
                continue;
            };
            let file = File::open(&segment.path).ok();
            for place in places {
                if found.len() >= count || total >= bytes {
                    break;
                }
                match file.as_ref().and_then(|file| read_record(file, place)) {
                    Some(record) => {
                        total += place.end - place.start;
                        found.push(record);
                    }
                    None => unreadable.push(place.seq),
                }
            }
            segment.records.retain(|place| !unreadable.contains(&place.seq));
        }
        (found, unreadable)
    }

    /// Length of all files.
    pub(super) fn total_bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn active_bytes(&self) -> usize {
        self.segments.back().map_or(0, |segment| segment.bytes)
    }

    /// Drops until `more` bytes fit: statuses before audits, old before new.
    fn make_room(&mut self, more: usize, dropped: &mut Dropped) -> io::Result<()> {
        while self.total_bytes() + more > self.limits.total_bytes && self.total_bytes() > 0 {
            let has_status = |segment: &Segment| segment.has(Weight::Status);
            let (index, keep) = match self.segments.iter().position(has_status) {
                Some(index) => (index, Some(Weight::Audit)),
                None => (self.segments.iter().position(|segment| segment.bytes > 0).unwrap_or(0), None),
            };
            if index + 1 == self.segments.len() {
                self.roll()?;
            }
            self.thin(index, keep, dropped)?;
        }
        Ok(())
    }

    /// Keeps only what weighs `keep` and is not acknowledged of a file that is not the last.
    fn thin(&mut self, index: usize, keep: Option<Weight>, dropped: &mut Dropped) -> io::Result<()> {
        let Some(segment) = self.segments.get(index) else { return Ok(()) };
        let unacknowledged = |place: &&Place| place.seq > self.acknowledged;
        let mut lost = Dropped::default();
        for place in segment.records.iter().filter(unacknowledged).filter(|place| Some(place.weight) != keep)
        {
            match place.weight {
                Weight::Audit => lost.audits += 1,
                Weight::Status => lost.statuses += 1,
            }
        }
        let kept: Vec<Place> = segment
            .records
            .iter()
            .filter(unacknowledged)
            .filter(|p| Some(p.weight) == keep)
            .copied()
            .collect();
        if kept.is_empty() {
            self.delete(index)?;
        } else {
            let old = fs::read(&segment.path)?;
            let (mut bytes, mut records) = (Vec::new(), Vec::with_capacity(kept.len()));
            for place in kept {
                let start = bytes.len();
                bytes.extend_from_slice(old.get(place.start..place.end).unwrap_or_default());
                records.push(Place { start, end: bytes.len(), ..place });
            }
            atomic::write(&segment.path, &bytes, Durability::PowerLoss)?;
            if let Some(segment) = self.segments.get_mut(index) {
                segment.bytes = bytes.len();
                segment.records = records;
            }
        }
        dropped.audits += lost.audits;
        dropped.statuses += lost.statuses;
        Ok(())
    }

    /// Starts a new file, named by the next number. An empty one before it goes.
    fn roll(&mut self) -> io::Result<()> {
        let Some(active) = self.segments.back() else { return Ok(()) };
        if active.first == self.next_seq {
            return Ok(());
        }
        let (segment, file) = create(&self.dir, self.next_seq)?;
        let was_empty = active.bytes == 0;
        self.segments.push_back(segment);
        self.active = file;
        if was_empty { self.delete(self.segments.len() - 2) } else { Ok(()) }
    }

    fn delete(&mut self, index: usize) -> io::Result<()> {
        if let Some(segment) = self.segments.remove(index) {
            match fs::remove_file(&segment.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.segments.insert(index, segment);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Segment {
    fn has(&self, weight: Weight) -> bool {
        self.records.iter().any(|place| place.weight == weight)
    }

    fn next_seq(&self) -> u64 {
        self.records.last().map_or(self.first, |place| place.seq.saturating_add(1)).max(self.first)
    }
}

/// The files of the directory by number; what a cut-off write has left is deleted.
fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if atomic::is_temporary(&path) {
            fs::remove_file(&path)?;
        } else if let Some(first) = number(&path) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

fn number(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

fn create(dir: &Path, first: u64) -> io::Result<(Segment, File)> {
    let path = dir.join(format!("{first:0DIGITS$}{SUFFIX}"));
    atomic::create(&path)?.sync_all()?;
    atomic::sync_dir(dir)?;
    let file = OpenOptions::new().append(true).open(&path)?;
    Ok((Segment { path, first, bytes: 0, records: Vec::new() }, file))
}

/// Reads a file whose numbers start at `from` or later, and says how many records were cut off its end: the last
/// file may end in what a crash left of a write.
fn load(first: u64, path: &Path, from: u64, is_last: bool) -> io::Result<(Segment, u64)> {
    let file = fs::read(path)?;
    let mut scan = segment::scan(&file);
    let mut bytes = file.len();
    let mut cut_off = 0;
    if let Some(tail) = scan.damaged.pop_if(|range| is_last && range.end == bytes) {
        let writable = OpenOptions::new().write(true).open(path)?;
        writable.set_len(u64::try_from(tail.start).unwrap_or(u64::MAX))?;
        writable.sync_all()?;
        bytes = tail.start;
        cut_off = u64::try_from(segment::beginnings(file.get(tail.clone()).unwrap_or_default())).unwrap_or(0);
        tracing::warn!(
            path = %path.display(),
            cut_bytes = tail.len(),
            "The last report was being written when the Defender or the host stopped; the unfinished part is cut off"
        );
    }
    if !scan.damaged.is_empty() {
        let damaged_bytes: usize = scan.damaged.iter().map(ExactSizeIterator::len).sum();
        tracing::warn!(
            path = %path.display(),
            damaged_bytes,
            remedy = "check the disk; nothing needs to be done about the file, which goes once its other reports are \
                      acknowledged",
            "Unsent reports on disk are damaged: what cannot be read is skipped, the rest is kept"
        );
    }
    let mut records = scan.records;
    let mut last = from.saturating_sub(1).max(first.saturating_sub(1));
    records.retain(|place| {
        let rises = place.seq > last && place.seq < u64::MAX;
        last = if rises { place.seq } else { last };
        rises
    });
    Ok((Segment { path: path.to_owned(), first, bytes, records }, cut_off))
}

fn read_record(file: &File, place: &Place) -> Option<Record> {
    let mut bytes = vec![0; place.end - place.start];
    file.read_exact_at(&mut bytes, u64::try_from(place.start).ok()?).ok()?;
    segment::read(&bytes, 0).map(|(_, record)| record).filter(|record| record.seq == place.seq)
}

const SUFFIX: &str = ".log";

/// Enough for any number, so that names sort like numbers.
const DIGITS: usize = 20;

#[cfg(test)]
mod tests;
