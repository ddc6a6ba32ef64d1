//! Standard error for log lines, written in batches: a fleet that reconnects logs thousands of lines a second, and
//! a system call for each would cost more than the line.
//!
//! The first line after a pause goes out at once; what follows within [`PACE`] goes out together. Lines keep their
//! order. When the reader of standard error does not keep up, who logs waits, as with plain writes.

use std::io::{self, Write};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The lines of this process on their way to standard error.
#[derive(Debug)]
pub(crate) struct Batches<W = io::Stderr> {
    waiting: Mutex<Vec<u8>>,
    /// Somebody has added to `waiting`.
    added: Condvar,
    /// `waiting` was taken.
    taken: Condvar,
    /// Held from taking a batch until it is written, so that batches keep their order.
    output: Mutex<W>,
}

impl Batches {
    /// Those of the process. The thread that writes them starts with the first call.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Batches> = OnceLock::new();
        let mut is_new = false;
        let batches = SHARED.get_or_init(|| {
            is_new = true;
            Batches::new(io::stderr())
        });
        if is_new {
            // Without the thread every line is written by who logs it, see `add`.
            let _ = thread::Builder::new().name("log".to_owned()).spawn(|| batches.write_for_ever());
        }
        batches
    }
}

impl<W: Write> Batches<W> {
    fn new(output: W) -> Self {
        let (added, taken) = (Condvar::new(), Condvar::new());
        Self { waiting: Mutex::default(), added, taken, output: Mutex::new(output) }
    }

    /// Adds lines, each with its line end; waits while [`MOST_WAITING`] bytes wait already.
    pub(crate) fn add(&self, lines: &[u8]) {
        let mut waiting = self.waiting();
        while waiting.len() > MOST_WAITING {
            let (guard, timed_out) =
                self.taken.wait_timeout(waiting, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
            if timed_out.timed_out() {
                drop(waiting);
                self.flush();
                waiting = self.waiting();
            }
        }
        if waiting.is_empty() {
            self.added.notify_one();
        }
        waiting.extend_from_slice(lines);
    }

    /// Writes everything that was added so far before it returns.
    pub(crate) fn flush(&self) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = mem::take(&mut *self.waiting());
        self.taken.notify_all();
        // Nobody is left to tell when standard error itself cannot be written.
        let _ = output.write_all(&batch);
    }

    fn write_for_ever(&self) {
        loop {
            let waiting = self.waiting();
            let ready = self.added.wait_while(waiting, |waiting| waiting.is_empty());
            drop(ready.unwrap_or_else(PoisonError::into_inner));
            self.flush();
            thread::sleep(PACE);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the writer of one line.
#[derive(Debug)]
pub(crate) struct Lines(pub(crate) &'static Batches);

/// The writer of one line.
#[derive(Debug)]
pub(crate) struct Line {
    batches: &'static Batches,
    /// A person must act on it: it is written at once, whatever happens to this process next.
    is_urgent: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { batches: self.0, is_urgent: false }
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> Line {
        Line { batches: self.0, is_urgent: *metadata.level() == Level::ERROR }
    }
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.batches.add(text);
        if self.is_urgent {
            self.batches.flush();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.batches.flush();
        Ok(())
    }
}

/// The longest that a line waits for others.
const PACE: Duration = Duration::from_millis(10);

/// Bytes that may wait.
const MOST_WAITING: usize = 1024 * 1024;

/// How long who logs waits for the writing thread before writing itself.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers each write.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.push(text.to_vec());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_many_threads_are_all_written_each_whole_and_in_the_order_of_its_thread() {
        let batches: &Batches<Writes> = Box::leak(Box::new(Batches::new(Writes::default())));
        thread::spawn(|| batches.write_for_ever());
        thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                scope.spawn(move || (0..2000).for_each(|n| batches.add(format!("{name} {n}\n").as_bytes())));
            }
        });
        batches.flush();
        let written = batches.output.lock().expect("not poisoned").0.clone();
        let text = String::from_utf8(written.concat()).expect("whole lines");
        assert!(written.len() < 8000 / 2, "{} writes for 8000 lines", written.len());
        for name in ["a ", "b ", "c ", "d "] {
            let numbers = text.lines().filter_map(|line| line.strip_prefix(name)?.parse::<u32>().ok());
            assert!(numbers.eq(0..2000), "of {name}");
        }
    }

    #[test]
    fn who_logs_faster_than_anybody_reads_waits_and_nothing_is_dropped() {
        let batches: &Batches<Writes> = Box::leak(Box::new(Batches::new(Writes::default())));
        let line = vec![b'x'; MOST_WAITING / 2];
        thread::spawn(|| batches.write_for_ever());
        for _ in 0..16 {
            batches.add(&line);
            assert!(batches.waiting().len() <= MOST_WAITING + line.len());
        }
        batches.flush();
        let written: usize = batches.output.lock().expect("not poisoned").0.iter().map(Vec::len).sum();
        assert_eq!(written, 16 * line.len());
    }
}
