//! Journal: the spool, together with the tracker, which knows the records that were written.
//!
//! The limit of the spool applies from the start, also while the relay waits for the server or for the host's name.
//!
//! **Invariant:** a record is noted as written after it is in the spool.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use monitor_records::{Record, Source, Tracker};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::{block_in_place, spawn_blocking};

use super::spool::{Line, Spool};
use crate::status::Status;

/// Time between interim records of a connection.
pub(super) const INTERIM: Duration = Duration::from_secs(300);
/// Pause after the spool's file could not be replaced: an attempt copies it.
const PAUSE: Duration = Duration::from_secs(10);

/// Spool, and the tracker of the daemon's current instance.
#[derive(Debug)]
pub(super) struct Journal {
    state: Mutex<State>,
    status: Arc<Status>,
    /// Notified when there is a record to send.
    pub(super) appended: Notify,
}

#[derive(Debug)]
struct State {
    spool: Spool,
    tracker: Option<Tracker>,
    /// Records that an earlier run of the relay wrote, until the daemon's instance is known.
    restored: Option<Tracker>,
    /// Time of the latest failure to replace the spool's file.
    failed: Option<Instant>,
}

/// Identifiers of written records of an instance.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    instance: u64,
    parts: Vec<(u64, u32)>,
}

/// Identifier of a record in a line of the spool.
#[derive(Deserialize)]
struct Identifier {
    instance: u64,
    sockid: u64,
    part: u32,
}

impl Journal {
    /// Opens the journal in a directory. At most `limit` bytes of records wait.
    pub(super) fn open(directory: &Path, limit: u64, status: Arc<Status>) -> io::Result<Self> {
        let mut restored = None;
        let spool = Spool::open(directory, limit, |line| restore(&mut restored, line))?;
        let journal = Self {
            state: Mutex::new(State {
                spool,
                tracker: None,
                restored,
                failed: None,
            }),
            status,
            appended: Notify::new(),
        };
        // The limit may be lower than that of the run before.
        journal.maintain(&mut journal.lock());
        Ok(journal)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts with an instance of the daemon. The end of an earlier one is marked, since its open connections have no record.
    pub(super) fn begin(&self, source: Source) -> io::Result<()> {
        let mut state = self.lock();
        let known = state.tracker.as_ref().or(state.restored.as_ref());
        let instance = known.map_or(0, |known| known.source().instance);
        if state.tracker.is_some() && instance == source.instance {
            return Ok(());
        }
        let mut tracker = Tracker::new(source.clone(), INTERIM);
        if instance == source.instance {
            let restored = state.restored.iter().flat_map(Tracker::state);
            restored.for_each(|(sockid, part)| tracker.written(sockid, part));
        } else if instance != 0 {
            let earlier = Source { instance, ..source };
            let mark = Tracker::new(earlier, INTERIM).restarted(now());
            self.append(&mut state, &mark)?;
        }
        state.restored = None;
        state.tracker = Some(tracker);
        Ok(())
    }

    /// Writes a record that the tracker makes.
    pub(super) fn write(
        &self,
        make: impl FnOnce(&mut Tracker) -> Option<Record>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(record) = state.tracker.as_mut().and_then(make) {
            self.append(&mut state, &record)?;
            if let Some(tracker) = &mut state.tracker {
                tracker.written(record.sockid, record.part);
            }
        }
        Ok(())
    }

    /// Writes a mark.
    pub(super) fn mark(&self, mark: &impl Serialize) -> io::Result<()> {
        self.append(&mut self.lock(), mark)
    }

    /// Calls `body` with the tracker; returns `None` before the daemon's instance is known.
    pub(super) fn tracker<T>(&self, body: impl FnOnce(&mut Tracker) -> T) -> Option<T> {
        self.lock().tracker.as_mut().map(body)
    }

    /// Returns the next lines that wait, at most `max` of them, and the offset behind them.
    pub(super) fn pending(&self, max: usize) -> io::Result<(Vec<Vec<u8>>, u64)> {
        self.lock().spool.pending(max)
    }

    /// Removes the lines up to an offset, which the server has stored.
    pub(super) fn acknowledge(&self, end: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.spool.acknowledge(end)?;
        self.maintain(&mut state);
        Ok(())
    }

    /// Flushes the appended records to the disk.
    pub(super) async fn flush(&self) -> io::Result<()> {
        let unflushed = self.lock().spool.unflushed()?;
        if let Some(file) = unflushed {
            let flushed = spawn_blocking(move || file.sync_data()).await;
            flushed.map_err(io::Error::other)??;
        }
        Ok(())
    }

    fn append(&self, state: &mut State, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_vec(value).map_err(io::Error::other)?;
        state.spool.append(&line)?;
        self.maintain(state);
        self.appended.notify_one();
        Ok(())
    }

    /// Replaces the spool's file if it's due, and writes the counters.
    fn maintain(&self, state: &mut State) {
        let paused = state.failed.is_some_and(|failed| failed.elapsed() < PAUSE);
        if state.spool.is_due() && !paused {
            let before = state.spool.dropped();
            // It copies a file: other tasks of this thread continue on another one.
            match block_in_place(|| state.compact()) {
                Ok(()) => {
                    state.failed = None;
                    let dropped = state.spool.dropped() - before;
                    if dropped > 0 {
                        tracing::warn!("the spool is full: {dropped} records were dropped");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the spool cannot be replaced");
                    state.failed = Some(Instant::now());
                }
            }
        }
        let spool = &state.spool;
        self.status.waiting_bytes.store(spool.waiting(), Relaxed);
        self.status.dropped.store(spool.dropped(), Relaxed);
    }
}

impl State {
    fn compact(&mut self) -> io::Result<()> {
        let known = self.tracker.as_ref().or(self.restored.as_ref());
        let written = known.map_or_else(Written::default, |known| Written {
            instance: known.source().instance,
            parts: known.state().collect(),
        });
        let text = serde_json::to_string(&written).map_err(io::Error::other)?;
        self.spool.compact(&text)
    }
}

/// Notes the records of a line as written. The latest instance alone is kept.
fn restore(restored: &mut Option<Tracker>, line: Line<'_>) {
    let written = match line {
        Line::State(text) => serde_json::from_str(text).ok(),
        Line::Record(text) => serde_json::from_str(text)
            .ok()
            .map(|record: Identifier| Written {
                instance: record.instance,
                parts: vec![(record.sockid, record.part)],
            }),
    };
    // A mark, or a line of another version.
    let Some(Written { instance, parts }) = written else {
        return;
    };
    if restored.as_ref().map(|known| known.source().instance) != Some(instance) {
        let source = Source {
            host: String::new(),
            instance,
            mode: String::new(),
        };
        *restored = Some(Tracker::new(source, INTERIM));
    }
    if let Some(tracker) = restored {
        for (sockid, part) in parts {
            tracker.written(sockid, part);
        }
    }
}

/// Returns the time in seconds since the epoch.
pub(super) fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use monitor_records::LostReason;
    use serde_json::{Value, json};

    use super::*;

    fn source(instance: u64) -> Source {
        Source {
            host: "h".to_owned(),
            instance,
            mode: "tap".to_owned(),
        }
    }

    fn open(directory: &Path, limit: u64) -> (Journal, Arc<Status>) {
        let status = Arc::new(Status::default());
        let journal = Journal::open(directory, limit, Arc::clone(&status)).unwrap();
        (journal, status)
    }

    /// Writes the records of some connections of worker 0.
    fn write(journal: &Journal, slots: std::ops::Range<u64>) {
        for slot in slots {
            journal
                .write(|tracker| Some(record(tracker.source(), slot)))
                .unwrap();
        }
    }

    fn record(source: &Source, slot: u64) -> Record {
        let side = json!({ "bytes": 0, "gaps": 0, "retransmitted": 0, "conflicts": 0 });
        let record = json!({
            "v": 1, "host": source.host, "instance": source.instance, "sockid": sockid(slot), "part": 0,
            "community_id": "1:", "client": "10.0.0.1:1", "server": "10.0.0.2:80", "vlan": [], "interface": null,
            "opened": 1.0, "last": 2.0, "closed": "fin", "midstream": false, "sides": { "client": side, "server": side },
            "mode": source.mode,
        });
        serde_json::from_value(record).unwrap()
    }

    fn sockid(slot: u64) -> u64 {
        // Six bits for the worker, which is 0.
        slot << 6
    }

    fn lines(journal: &Journal) -> Vec<Value> {
        let (lines, _) = journal.pending(1000).unwrap();
        let lines = lines.iter();
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn the_limit_applies_although_no_record_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, status) = open(directory.path(), 10_000);
        journal.begin(source(1)).unwrap();
        write(&journal, 0..200);
        let waiting = status.snapshot().waiting_bytes;
        assert!((5_000..=10_000).contains(&waiting), "{waiting}");
        let kept = lines(&journal);
        assert_eq!(kept.last().unwrap()["sockid"], sockid(199));
        assert_eq!(kept.len() as u64 + status.snapshot().dropped, 200);
        // A lower one applies when it's opened again.
        drop(journal);
        let (_journal, status) = open(directory.path(), 2_000);
        assert!(status.snapshot().waiting_bytes <= 2_000);
    }

    #[test]
    fn records_of_an_earlier_run_are_known_and_an_earlier_instance_is_marked() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, _) = open(directory.path(), 1 << 20);
        journal.begin(source(1)).unwrap();
        write(&journal, 0..3);
        drop(journal);
        let (journal, _) = open(directory.path(), 1 << 20);
        journal.begin(source(1)).unwrap();
        let mut known: Vec<_> = journal
            .tracker(|tracker| tracker.state().collect())
            .unwrap();
        known.sort_unstable();
        assert_eq!(known, [0, 1, 2].map(|slot| (sockid(slot), 0)));
        drop(journal);
        let (journal, _) = open(directory.path(), 1 << 20);
        journal.begin(source(2)).unwrap();
        let known = journal.tracker(|tracker| tracker.state().count());
        assert_eq!((lines(&journal).len(), known), (4, Some(0)));
        let mark = lines(&journal).pop().unwrap();
        assert_eq!(mark["reason"], json!(LostReason::Restarted));
        assert_eq!(mark["instance"], 1);
    }
}
