//! Tests of `judge.rs`: each row of the contract's table, without a clock and without a watcher.

mod any_sequence;
mod dates;
mod gated;
mod rows;

use testpki::Leaf;

use super::*;
use crate::overhear::Overheard;
use crate::stranger::{Folder, Nobody};
use crate::{Channel, CustomDir, custom_at_start};

/// A channel whose files are looked at when the test says so.
struct Bench {
    folder: Folder,
    judge: Judge<String>,
    subscriber: Subscriber<String>,
    heard: Overheard,
    now: Instant,
}

const HOLD: Duration = Duration::from_secs(3);

/// Stands for a TLS configuration: the leaf that it would present.
fn leaf_of(material: &Material) -> Result<String, CertError> {
    Ok(material.leaf().sha256.clone())
}

/// Self-signed material, as the caller of a rotation brings it.
fn fallback(channel: Channel) -> Arc<Material> {
    Arc::new(Folder::good().0.parse(channel).expect("usable"))
}

impl Bench {
    /// A channel that starts on what is in `folder`, or else on self-signed material.
    fn start(channel: Channel, folder: Folder) -> Self {
        let heard = Overheard::listen();
        let dir = CustomDir::open(folder.path(), Duration::from_secs(3600));
        let custom = custom_at_start(channel, &dir).expect("usable");
        let (source, material) = match custom {
            Some(custom) => (Source::Custom, Arc::new(custom)),
            None => (Source::SelfSigned, fallback(channel)),
        };
        let (judge, subscriber) = Judge::start(channel, source, material, leaf_of).expect("builds");
        Self { folder, judge, subscriber, heard, now: Instant::now() }
    }

    /// Looks and judges, as the loop does when something new has settled; `None` for what is not new.
    fn look(&mut self) -> Option<Judgement> {
        let look = Look::take(self.judge.channel(), self.folder.path());
        (self.judge.judged() != Some(look.fingerprint()))
            .then(|| self.judge.judge(look, self.now, HOLD, OffsetDateTime::now_utc()))
    }

    /// The log lines since the last call, with `DIR` for the directory.
    fn lines(&self) -> Vec<String> {
        self.heard.take().iter().map(|line| self.folder.relative(line)).collect()
    }

    fn generation(&self) -> u64 {
        self.subscriber.current().generation
    }
}
