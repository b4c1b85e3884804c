//! Snapshot of one side: consistent copy of everything that a read needs.

use super::view::fin;
use crate::store::arena::Arena;
use crate::store::blocks::Roots;
use crate::store::received::for_each_retained;
use crate::store::record::{Patience, Record, flag};
use crate::view::{EndReason, Next, NextKind};
use crate::{ByteRange, CloseReason, NoData, Peek, PeekError, Side, SockId};

/// Side at one moment, seen from an offset.
#[derive(Clone, Copy)]
pub struct Snapshot {
    base: u64,
    next: u64,
    end: u64,
    fin: Option<u64>,
    /// Roots of the blocks to copy from.
    pub roots: Roots,
    /// Unchanged after a valid copy.
    pub epoch: u32,
    established: bool,
    enabled: bool,
    closed: Option<CloseReason>,
    /// The retained range that contains the offset, or else the first one after it.
    range: Option<ByteRange>,
}

impl Snapshot {
    /// Takes a snapshot of a side for a read at `off`.
    ///
    /// # Errors
    /// [`PeekError::NoSuchConnection`]; [`PeekError::Busy`] once the patience is exhausted.
    pub fn take(
        arena: &Arena,
        record: Record<'_>,
        id: SockId,
        name: Side,
        off: u64,
        patience: &mut Patience,
    ) -> Result<Self, PeekError> {
        let snapshot = record.read_consistent(patience, |record| {
            if !is_current(record, id) {
                return Err(PeekError::NoSuchConnection);
            }
            let side = record.side(name);
            let mut found = None;
            for_each_retained(arena, side, |range| {
                if range.end > off {
                    found = Some(range);
                }
                found.is_none()
            });
            let next = side.next.get();
            let (end, height) = side.end_and_height(next);
            Ok(Self {
                base: side.stored.base.get(),
                next,
                end,
                fin: fin(side),
                roots: Roots::new(side, height),
                epoch: side.cold.epoch.get(),
                established: record.flags.get() & flag::ESTABLISHED != 0,
                enabled: record.enabled(name),
                closed: CloseReason::from_number(record.closed.get()),
                range: found,
            })
        });
        snapshot.unwrap_or(Err(PeekError::Busy))
    }

    /// Returns the number of contiguous bytes from `off` on; 0 if there is none at `off`.
    fn available(&self, off: u64) -> u64 {
        match self.range {
            Some(range) if range.start <= off => range.end.saturating_sub(off),
            _ => 0,
        }
    }

    fn is_unconnected(&self) -> bool {
        !self.established && self.end == 0
    }

    /// Returns the number of bytes that can be read from `off` on, at most `most`.
    ///
    /// # Errors
    /// [`PeekError`] if it is none.
    pub fn readable(&self, off: u64, most: usize) -> Result<usize, PeekError> {
        if !self.enabled {
            return Err(PeekError::Disabled);
        }
        if most == 0 {
            return Ok(0);
        }
        let available = self.available(off);
        if available > 0 {
            return Ok(usize::try_from(available).unwrap_or(usize::MAX).min(most));
        }
        if self.is_unconnected() {
            return Err(PeekError::NotConnected);
        }
        let (base, next, end) = (self.base, self.next, self.end);
        let (reason, next_extent) = if off < base {
            (NoData::Evicted, None)
        } else if self.fin.is_some_and(|fin| off >= fin) {
            (NoData::Eof, None)
        } else if off >= end.max(next) {
            (NoData::Future, None)
        } else {
            (NoData::Gap, self.range.map(|range| range.start))
        };
        Err(PeekError::NoData {
            reason,
            next_extent,
            base,
            next,
            end,
        })
    }

    /// Returns the result of a read of `len` bytes at `off`.
    pub fn peek(&self, off: u64, len: usize) -> Peek {
        let end = off + len as u64;
        Peek {
            len,
            base: self.base,
            next: self.next,
            end: self.end,
            fin: self.fin,
            eof: self.fin == Some(end) && (len > 0 || off == end),
        }
    }

    /// Returns the continuation of the stream at `off`, for a buffer of `most` bytes.
    pub fn next(&self, off: u64, most: usize) -> Next {
        Next {
            kind: self.next_kind(off, most),
            base: self.base,
            next: self.next,
            end: self.end,
            fin: self.fin,
            closed: self.closed,
        }
    }

    fn next_kind(&self, off: u64, most: usize) -> NextKind {
        if !self.enabled {
            return NextKind::End(EndReason::Disabled);
        }
        let available = self.available(off);
        if available > 0 {
            let len = usize::try_from(available).unwrap_or(usize::MAX).min(most);
            let eof = self.fin == Some(off + len as u64);
            return NextKind::Bytes {
                len,
                available,
                eof,
            };
        }
        let nothing = match self.closed {
            Some(_) => NextKind::End(EndReason::Closed),
            None => NextKind::Pending,
        };
        if self.is_unconnected() {
            nothing
        } else if off < self.base {
            NextKind::Lost { to: self.base }
        } else if self.fin.is_some_and(|fin| off >= fin) {
            NextKind::End(EndReason::Eof)
        } else if off < self.next {
            // Below the in-order edge a hole was declared lost. It ends at the next range, at most at the edge.
            let start = self.range.map_or(self.next, |range| range.start);
            NextKind::Gap {
                to: start.min(self.next),
            }
        } else {
            nothing
        }
    }
}

/// Returns whether a record holds the connection with an identifier.
pub fn is_current(record: Record<'_>, id: SockId) -> bool {
    let generation = record.generation.get();
    generation & 1 == 1 && generation >> 1 == id.generation()
}
