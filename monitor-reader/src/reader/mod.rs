//! Readers: access to connections from other threads.

mod snapshot;
mod timeline;
mod turns;
mod view;

use std::fmt;
#[cfg(not(feature = "loom"))]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::{Roots, number};
#[cfg(not(feature = "loom"))]
use crate::store::header::{AttachError, Identity};
use crate::store::received::for_each_retained;
use crate::store::record::{Patience, Record};
use crate::store::{Acquire, fence, pause};
use crate::{Connection, Extents, Next, NextKind, Peek, PeekError, Side, SockId};
use snapshot::{Snapshot, is_current};
pub use view::view_record;

/// Attempts to copy bytes before a read gives up. Each takes the time of a copy.
const MAX_TRIES: u32 = 64;
/// Failed attempts after which only a small part is copied, which rarely changes during the copy.
const SMALL_AFTER: u32 = 8;
const SMALL: usize = 4096;

/// Reads one engine's connections from any thread, without a lock and without disturbing the engine.
#[derive(Clone)]
pub struct Reader {
    arena: Arc<Arena>,
    worker: u16,
    /// The writer is a thread of this process, which certainly completes what it began.
    trusted: bool,
}

impl Reader {
    /// Creates a reader of a store whose writer is in this process.
    #[must_use]
    pub fn new(arena: Arc<Arena>, worker: u16) -> Self {
        Self {
            arena,
            worker,
            trusted: true,
        }
    }

    /// Attaches to the store of another process, by a descriptor of its memory. The memory isn't trusted: whatever it holds,
    /// every read ends. [`PeekError::Busy`] then also means that the writer stopped in the middle of an update.
    ///
    /// # Errors
    /// [`AttachError`] if it is no store, or one of another layout.
    #[cfg(not(feature = "loom"))]
    pub fn attach(descriptor: impl AsFd) -> Result<Self, AttachError> {
        let arena = Arena::attach(descriptor)?;
        Ok(Self {
            worker: arena.identity().worker,
            arena: Arc::new(arena),
            trusted: false,
        })
    }

    /// Returns the descriptor to pass to a process that may attach, if the store is shared.
    #[cfg(not(feature = "loom"))]
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.arena.descriptor()
    }

    /// Returns the identity of the store.
    #[cfg(not(feature = "loom"))]
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.arena.identity()
    }

    /// Returns the number of slots: every [`SockId::slot`] of this engine is below it.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.arena.records()
    }

    /// Returns a connection; `None` if it never existed or is gone.
    #[must_use]
    pub fn connection(&self, id: SockId) -> Option<Connection> {
        self.info(id).ok()
    }

    /// Returns a connection.
    ///
    /// # Errors
    /// [`PeekError::NoSuchConnection`]; in an attached process [`PeekError::Busy`].
    pub fn info(&self, id: SockId) -> Result<Connection, PeekError> {
        let record = self.record(id)?;
        let view = record.read_consistent(&mut self.patience(), |record| {
            is_current(record, id).then(|| view_record(&self.arena, id, record))
        });
        view.ok_or(PeekError::Busy)?
            .ok_or(PeekError::NoSuchConnection)
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
                let view = record.read_consistent(&mut self.patience(), |record| {
                    let generation = record.generation.get() >> 1;
                    let occupied = record.occupied() && generation <= SockId::MAX_GENERATION;
                    occupied.then(|| {
                        let id = SockId::new(self.worker, slot, generation);
                        view_record(&self.arena, id, record)
                    })
                });
                view.flatten()
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
        let (mut tries, mut patience) = (0u32, self.patience());
        loop {
            let snapshot = Snapshot::take(&self.arena, record, id, side, off, &mut patience)?;
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
        let (mut tries, mut patience) = (0u32, self.patience());
        loop {
            let taken = Snapshot::take(&self.arena, record, id, side, off, &mut patience);
            let snapshot = match taken {
                Ok(snapshot) => snapshot,
                Err(PeekError::Busy) => return Next::busy(),
                Err(_) => return Next::gone(),
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
        let extents = record.read_consistent(&mut self.patience(), |record| {
            if !is_current(record, id) {
                return Err(PeekError::NoSuchConnection);
            }
            if !record.enabled(side) {
                return Err(PeekError::Disabled);
            }
            let cells = record.side(side);
            let (base, next, end) = (cells.stored.base.get(), cells.next.get(), cells.end());
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
        });
        extents.unwrap_or(Err(PeekError::Busy))
    }

    fn patience(&self) -> Patience {
        if self.trusted {
            Patience::endless()
        } else {
            Patience::limited()
        }
    }

    fn record(&self, id: SockId) -> Result<Record<'_>, PeekError> {
        self.arena
            .record(id.slot())
            .filter(|_| id.worker() == self.worker)
            .ok_or(PeekError::NoSuchConnection)
    }

    /// Copies bytes that a snapshot showed. Returns false if they may have changed since then.
    fn copy(
        &self,
        record: Record<'_>,
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
            && cells.cold.epoch.get() == snapshot.epoch
            && (buf.is_empty() || cells.stored.base.get() <= off)
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
