//! Which folders to watch, and the inotify watches on them. Knows nothing of channels but their file names; says
//! only "something may have changed".
//!
//! Watched are the directory, whole; the folder it is in, for the directory's own name; and each folder that a
//! symlink on the way to the directory or to one of its files leads through, for the names on that way. A watch
//! belongs to an inode and dies with it or its mount, so each look renews them all and drops those of other inodes:
//! that is how a directory that was replaced, unmounted or mounted over gets its watch back.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use crate::channel::Channel;
use crate::disk;

/// The watched folders of a program.
pub(crate) struct Folders {
    dirs: Vec<PathBuf>,
    poll: Duration,
    /// Counts events.
    events: watch::Sender<u64>,
    interests: Arc<Mutex<Interests>>,
    armed: Mutex<Armed>,
}

/// The inotify instance and what it watches.
#[derive(Default)]
struct Armed {
    /// `None` while there is no inotify to be had.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of each watched folder.
    inodes: BTreeMap<PathBuf, (u64, u64)>,
    /// Whether it was logged that polling has to do alone.
    is_warned: bool,
    /// Folders of which it was logged that they may not be read, and so cannot be watched.
    unreadable: BTreeSet<PathBuf>,
    /// Directories of which it was logged that they may not be entered.
    closed: BTreeSet<PathBuf>,
}

/// Folders by real path, and the names in them that matter.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interests(BTreeMap<PathBuf, Interest>);

#[derive(Debug, PartialEq, Eq)]
enum Interest {
    All,
    Names(BTreeSet<OsString>),
}

impl Folders {
    /// Watches `dirs` once armed. `poll` is what the warning says if that is not possible.
    pub(crate) fn new(dirs: &[&Path], poll: Duration) -> Self {
        Self {
            dirs: dirs
                .iter()
                .map(|dir| std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf()))
                .collect(),
            poll,
            events: watch::Sender::new(0),
            interests: Arc::default(),
            armed: Mutex::default(),
        }
    }

    /// Follows the count of events.
    pub(crate) fn events(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }

    /// Makes the watches fit what is there now; `true` when one was added, so that what happened before is unknown.
    /// To be called before each look.
    pub(crate) fn arm(&self) -> bool {
        let wanted = Interests::survey(&self.dirs);
        let paths = wanted.0.keys().cloned().collect::<Vec<_>>();
        // First the interests, so that no event of a new watch is taken for one of no interest.
        *lock(&self.interests) = wanted;
        let mut armed = lock(&self.armed);
        armed.tell_closed(&self.dirs);
        if let Err(error) = armed.open(&self.events, &self.interests) {
            armed.warn(&error, self.poll);
            return false;
        }
        armed.fit(&paths, self.poll)
    }
}

impl Armed {
    fn open(&mut self, events: &watch::Sender<u64>, interests: &Arc<Mutex<Interests>>) -> notify::Result<()> {
        if self.watcher.is_none() {
            let (events, interests) = (events.clone(), Arc::clone(interests));
            self.watcher = Some(notify::recommended_watcher(move |event: notify::Result<Event>| {
                if event.map_or(true, |event| lock(&interests).concerns(&event)) {
                    events.send_modify(|count| *count = count.wrapping_add(1));
                }
            })?);
        }
        Ok(())
    }

    fn fit(&mut self, wanted: &[PathBuf], poll: Duration) -> bool {
        let Some(mut watcher) = self.watcher.take() else { return false };
        self.inodes.retain(|path, _| {
            let stays = wanted.contains(path);
            if !stays {
                // It fails where the folder is gone, and with it the watch.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        let mut is_new = false;
        for path in wanted {
            let Ok(metadata) = fs::metadata(path) else { continue };
            let inode = (metadata.dev(), metadata.ino());
            let before = self.inodes.remove(path);
            if before.is_some_and(|before| before != inode) {
                let _ = watcher.unwatch(path);
            }
            // Also when it is the same inode: a folder made anew often gets the old one's number, and after an unmount
            // and a mount it is the same for good reason, but the watch is dead. On a live watch this changes nothing.
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.unreadable.remove(path);
                    self.inodes.insert(path.clone(), inode);
                    is_new |= before != Some(inode);
                }
                // Gone again: the next look finds out.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) if is_denied(&error) => self.warn_unreadable(path, poll),
                Err(error) => self.warn(&error, poll),
            }
        }
        self.watcher = Some(watcher);
        is_new
    }

    /// Says once of each directory, for all channels, that it may not be entered.
    fn tell_closed(&mut self, dirs: &[PathBuf]) {
        for dir in dirs {
            let Some(why) = disk::why_closed(dir) else {
                self.closed.remove(dir);
                continue;
            };
            if self.closed.insert(dir.clone()) {
                tracing::warn!(
                    remedy = readable(dir),
                    "Certificates directory cannot be read, changes in it go unnoticed: {}: {why}",
                    dir.display()
                );
            }
        }
    }

    fn warn_unreadable(&mut self, path: &Path, poll: Duration) {
        if !disk::is_closed(path) && self.unreadable.insert(path.to_owned()) {
            tracing::warn!(
                remedy = readable(path),
                "{UNWATCHED} {poll:?}: {}: permission denied",
                path.display()
            );
        }
    }

    fn warn(&mut self, error: &notify::Error, poll: Duration) {
        if !self.is_warned {
            self.is_warned = true;
            tracing::warn!(
                %error,
                remedy = "raise fs.inotify.max_user_watches and fs.inotify.max_user_instances",
                "{UNWATCHED} {poll:?}"
            );
        }
    }
}

fn is_denied(error: &notify::Error) -> bool {
    matches!(&error.kind, ErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

/// The remedy for a directory that may not be read or entered.
fn readable(dir: &Path) -> String {
    format!(
        "make {} a directory that the user of this program may read (chmod a+rx, or chown), in folders it may enter",
        dir.display()
    )
}

impl Interests {
    /// What is to be watched, as the directories and their links stand now.
    fn survey(dirs: &[PathBuf]) -> Self {
        let mut interests = Self::default();
        for dir in dirs {
            if let Some(real) = interests.follow(dir)
                && real.is_dir()
            {
                interests.0.insert(real, Interest::All);
            }
            for name in Channel::ALL.into_iter().flat_map(|channel| channel.files().names()) {
                interests.follow(&dir.join(name));
            }
        }
        interests
    }

    /// Resolves `path` and notes each link on the way, the last name, or the first that is missing. `None` when
    /// there is nothing at its end.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut ahead = steps(path);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            match step {
                Step::Down(name) => {
                    let next = real.join(&name);
                    let Ok(metadata) = fs::symlink_metadata(&next) else {
                        self.note(&real, &name);
                        return None;
                    };
                    if metadata.is_symlink() {
                        self.note(&real, &name);
                        links += 1;
                        let target = fs::read_link(&next).ok().filter(|_| links <= MAX_LINKS)?;
                        ahead.extend(steps(&target));
                    } else {
                        if ahead.is_empty() {
                            self.note(&real, &name);
                        }
                        real = next;
                    }
                }
                Step::Root => real = PathBuf::from("/"),
                Step::Up => {
                    real.pop();
                }
            }
        }
        Some(real)
    }

    fn note(&mut self, folder: &Path, name: &OsStr) {
        let interest = self.0.entry(folder.to_owned()).or_insert_with(|| Interest::Names(BTreeSet::new()));
        if let Interest::Names(names) = interest {
            names.insert(name.to_owned());
        }
    }

    /// Whether an event may mean new content. Reading does not: our own looks would set off the next one.
    fn concerns(&self, event: &Event) -> bool {
        let is_read =
            matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        !is_read
            && (event.need_rescan()
                || event.paths.is_empty()
                || event.paths.iter().any(|path| self.concerns_path(path)))
    }

    fn concerns_path(&self, path: &Path) -> bool {
        let in_folder = path.parent().and_then(|folder| self.0.get(folder));
        self.0.contains_key(path)
            || match (in_folder, path.file_name()) {
                (Some(Interest::All), _) => true,
                (Some(Interest::Names(names)), Some(name)) => names.contains(name),
                _ => false,
            }
    }
}

/// One step of a path.
enum Step {
    Down(OsString),
    Root,
    Up,
}

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<Step> {
    let steps = path.components().rev().filter_map(|component| match component {
        Component::CurDir | Component::Prefix(_) => None,
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::ParentDir => Some(Step::Up),
        Component::RootDir => Some(Step::Root),
    });
    steps.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folders").field("dirs", &self.dirs).finish_non_exhaustive()
    }
}

const UNWATCHED: &str =
    "Custom certificates cannot be watched for file events, changes are found by polling every";

/// As many as Linux follows.
const MAX_LINKS: u32 = 40;

#[cfg(test)]
mod tests;
