//! Readers: access to connections from other threads.

mod snapshot;
mod timeline;
mod turns;
mod view;

use std::fmt;
use std::sync::Arc;

use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::{Roots, number};
use crate::store::received::for_each_retained;
use crate::store::record::Record;
use crate::store::{Acquire, fence, pause};
use crate::tunnels::TunnelTable;
use crate::{Connection, Extents, Next, NextKind, Peek, PeekError, Side, SockId};
use snapshot::{Snapshot, is_current};
pub use view::view;

/// Attempts to copy bytes before a read gives up. Each takes the time of a copy.
const MAX_TRIES: u32 = 64;
/// Failed attempts after which only a small part is copied, which rarely changes during the copy.
const SMALL_AFTER: u32 = 8;
const SMALL: usize = 4096;

/// Reads one engine's connections from any thread, without a lock and without disturbing the engine.
#[derive(Clone)]
pub struct Reader {
    arena: Arc<Arena>,
    tunnels: Arc<TunnelTable>,
    worker: u16,
}

impl Reader {
    pub(crate) fn new(arena: Arc<Arena>, worker: u16) -> Self {
        Self {
            arena,
            tunnels: Arc::default(),
            worker,
        }
    }

    /// Adds the table of tunnels.
    pub(crate) fn with_tunnels(self, tunnels: Arc<TunnelTable>) -> Self {
        Self { tunnels, ..self }
    }

    /// Returns the number of slots: every [`SockId::slot`] of this engine is below it.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.arena.records()
    }

    /// Returns a connection; `None` if it never existed or is gone.
    #[must_use]
    pub fn connection(&self, id: SockId) -> Option<Connection> {
        let record = self.record(id).ok()?;
        record.read_consistent(|record| is_current(record, id).then(|| self.view(id, record)))
    }

    /// Returns the connections in the order of their slots: all, or those behind the position of `after`. The connection
    /// `after` itself may be gone.
    pub fn connections(&self, after: Option<SockId>) -> impl Iterator<Item = Connection> + '_ {
        let first = match after.map(SockId::position) {
            Some((worker, _)) if worker > self.worker => self.arena.records(),
            Some((worker, slot)) if worker == self.worker => slot + 1,
            _ => 0,
        };
        // Slots are first used in order: behind the first one never used, there is none.
        (first..self.arena.records())
            .map_while(|slot| {
                self.arena
                    .record(slot)
                    .filter(|record| record.generation.get() != 0)
                    .map(|record| (slot, record))
            })
            .filter_map(|(slot, record)| {
                record.read_consistent(|record| {
                    let id = SockId::new(self.worker, slot, record.generation.get() >> 1);
                    record.occupied().then(|| self.view(id, record))
                })
            })
    }

    /// Copies the received bytes from `off` on to the front of `buf`, up to its length or to the next hole. With an empty
    /// `buf` it returns 0 bytes at any offset.
    ///
    /// # Errors
    /// [`PeekError`] if there is no byte at `off`; [`PeekError::Busy`] after a bounded number of attempts, when segments
    /// that overlap and differ rewrite the side all the time.
    pub fn peek(
        &self,
        id: SockId,
        side: Side,
        off: u64,
        buf: &mut [u8],
    ) -> Result<Peek, PeekError> {
        let record = self.record(id)?;
        let mut tries = 0u32;
        loop {
            let snapshot = Snapshot::take(&self.arena, record, id, side, off)?;
            let len = snapshot.readable(off, attempt_len(tries, buf.len()))?;
            if self.copy(record, id, side, &snapshot, off, &mut buf[..len]) {
                return Ok(snapshot.peek(off, len));
            }
            tries += 1;
            if tries == MAX_TRIES {
                return Err(PeekError::Busy);
            }
            pause(tries);
        }
    }

    /// Returns how a stream continues at an offset, and copies the received bytes from there on to the front of `buf`. An
    /// empty `buf` is allowed: then nothing is copied.
    #[must_use]
    pub fn next_from(&self, id: SockId, side: Side, off: u64, buf: &mut [u8]) -> Next {
        let Ok(record) = self.record(id) else {
            return Next::gone();
        };
        let mut tries = 0u32;
        loop {
            let Ok(snapshot) = Snapshot::take(&self.arena, record, id, side, off) else {
                return Next::gone();
            };
            let next = snapshot.next(off, attempt_len(tries, buf.len()));
            let NextKind::Bytes { len, .. } = next.kind else {
                return next;
            };
            if self.copy(record, id, side, &snapshot, off, &mut buf[..len]) {
                return next;
            }
            tries += 1;
            if tries == MAX_TRIES {
                return Next {
                    kind: NextKind::Busy,
                    ..next
                };
            }
            pause(tries);
        }
    }

    /// Returns every retained range of bytes.
    ///
    /// # Errors
    /// [`PeekError::NoSuchConnection`] and [`PeekError::Disabled`].
    pub fn extents(&self, id: SockId, side: Side) -> Result<Extents, PeekError> {
        let record = self.record(id)?;
        record.read_consistent(|record| {
            if !is_current(record, id) {
                return Err(PeekError::NoSuchConnection);
            }
            if !record.enabled(side) {
                return Err(PeekError::Disabled);
            }
            let cells = record.side(side);
            let (base, next, end) = (cells.base.get(), cells.next.get(), cells.end.get());
            let mut runs = Vec::new();
            for_each_retained(&self.arena, cells, |range| {
                runs.push((range.start, range.len()));
                true
            });
            Ok(Extents {
                runs,
                base,
                next,
                end,
            })
        })
    }

    fn view(&self, id: SockId, record: &Record) -> Connection {
        view(&self.arena, &self.tunnels, id, record)
    }

    fn record(&self, id: SockId) -> Result<&Record, PeekError> {
        self.arena
            .record(id.slot())
            .filter(|_| id.worker() == self.worker)
            .ok_or(PeekError::NoSuchConnection)
    }

    /// Copies bytes that a snapshot showed. Returns false if they may have changed since then.
    fn copy(
        &self,
        record: &Record,
        id: SockId,
        side: Side,
        snapshot: &Snapshot,
        off: u64,
        buf: &mut [u8],
    ) -> bool {
        let copied = self.copy_blocks(&snapshot.roots, off, buf);
        // The copy comes before the second look.
        fence(Acquire);
        let cells = record.side(side);
        is_current(record, id)
            && cells.epoch.get() == snapshot.epoch
            && (buf.is_empty() || cells.base.get() <= off)
            && copied
    }

    /// Returns false if a block was missing: the copy of the root was out of date.
    fn copy_blocks(&self, roots: &Roots, off: u64, buf: &mut [u8]) -> bool {
        let mut off = off;
        let mut rest = buf;
        while !rest.is_empty() {
            let at = off as usize % BLOCK;
            let (now, later) = rest.split_at_mut(rest.len().min(BLOCK - at));
            let Some(block) = roots.find(&self.arena, number(off)) else {
                return false;
            };
            if !self.arena.read(block, at, now) {
                return false;
            }
            off += now.len() as u64;
            rest = later;
        }
        true
    }
}

/// Returns the number of bytes that an attempt copies.
fn attempt_len(tries: u32, wanted: usize) -> usize {
    if tries < SMALL_AFTER {
        wanted
    } else {
        wanted.min(SMALL)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
