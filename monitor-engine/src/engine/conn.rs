//! Handle of a connection while it is worked on.

use super::Engine;
use crate::reassembly::{Limits, Receiver};
use crate::store::arena::Arena;
use crate::store::record::Record;
use crate::{Side, Sink, SockId};

/// A connection's slot, its identifier and its record, found once and passed on.
#[derive(Clone, Copy)]
pub struct Conn<'a> {
    pub slot: u32,
    pub id: SockId,
    pub record: &'a Record,
}

impl<S: Sink> Engine<S> {
    /// Returns the handle of the connection in a slot; `None` past the last slot.
    #[inline(always)]
    pub(super) fn conn<'a>(&self, arena: &'a Arena, slot: u32) -> Option<Conn<'a>> {
        let record = arena.record(slot)?;
        Some(Conn {
            slot,
            id: SockId::new(self.config.worker, slot, record.generation.get() >> 1),
            record,
        })
    }

    /// Returns the writing end of one side.
    #[inline(always)]
    pub(super) fn receiver<'a>(&'a mut self, conn: Conn<'a>, side: Side) -> Receiver<'a, S> {
        Receiver {
            id: conn.id,
            arena: &self.arena,
            writer: &mut self.writer,
            counters: &self.counters,
            sink: &mut self.sink,
            limits: Limits {
                window: u64::from(conn.record.windows[side.index()].get()),
                ranges: self.max_ranges,
            },
            name: side,
            record: conn.record,
        }
    }
}
