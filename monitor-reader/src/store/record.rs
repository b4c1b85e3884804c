//! Record of one connection: written by the worker, read by any thread.

use std::ops::Deref;

use super::cell::{Cell8, Cell32, Cell64};
pub use super::flags::{flag, option, side_flag};
use super::layout::hash;
use super::side;
pub use super::side::{NO_FIN, NONE, Sequences, SideRecord};
use super::sync::{Acquire, AtomicU32, Relaxed, Release, fence, pause};
use crate::{OverlapPolicy, Side};

/// Part of a record that packets use, in three cache lines. The first tells which connection it is, the second has the
/// sequence numbers of both sides, the third is for segments with data.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Hot {
    lock: AtomicU32,
    /// Generation: odd while in use; incremented on allocate and on free.
    pub generation: Cell32,
    /// Client's address (IPv4 mapped into IPv6), big-endian halves.
    pub client: [Cell64; 2],
    /// Server's address, likewise.
    pub server: [Cell64; 2],
    /// Time of the last packet, nanoseconds since the epoch.
    pub last: Cell64,
    /// Client's port in the upper half, the server's in the lower.
    pub ports: Cell32,
    /// VLAN ids and IP version ([`monitor_common::abi::link`]).
    pub link: Cell32,
    /// Time of its last move in the list of its class, milliseconds of the engine's clock (wraps).
    pub listed: Cell32,
    /// Class, the list that it is in (Class in the engine), in the lower three bits; then [`OWN_WINDOWS`]; an
    /// [`OverlapPolicy`] for each side in the upper half.
    class: Cell8,
    /// [`crate::CloseReason`]; 0 while it is open.
    pub closed: Cell8,
    /// [`flag`]s.
    pub flags: Cell8,
    /// Evidence that a side continued beyond its window: four bits for each [`Side::index`] (ResyncDetector in the
    /// engine).
    pub resync: Cell8,
    sequences: [Sequences; 2],
    stored: [side::Stored; 2],
}

/// Rest of a record.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Cold {
    /// Time of the first packet, nanoseconds since the epoch.
    pub opened: Cell64,
    /// Half of the flow hash by which the flow table finds the connection.
    pub tag: Cell32,
    /// Link to the previous connection of its class.
    pub prev: Cell32,
    /// Link to the next connection of its class.
    pub next: Cell32,
    /// Number of the interface of the first packet, lower byte first; 0: unknown.
    interface: [Cell8; 2],
    /// Sender of the last RST that may end the connection: [`Side::index`] plus 1; 0: none.
    reset_by: Cell8,
    /// Most bytes retained, by [`Side::index`].
    windows: [Cell32; 2],
    sides: [side::ColdSide; 2],
}

/// Record of a connection with both sides. 304 bytes; with its share of the flow table an idle connection costs 316.
///
/// Its hot and its cold part are in arrays of their own, so that a packet's part of the record is whole cache lines.
/// Written only by its worker, inside [`Record::update`]; read by any thread through [`Record::read_consistent`].
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Used by packets.
    pub hot: &'a Hot,
    /// Seldom used.
    pub cold: &'a Cold,
}

impl Deref for Record<'_> {
    type Target = Hot;

    #[inline(always)]
    fn deref(&self) -> &Hot {
        self.hot
    }
}

/// Memory of a record outside of an arena.
#[derive(Debug, Default)]
pub struct RecordMemory {
    hot: Hot,
    cold: Cold,
}

impl RecordMemory {
    /// Returns the record.
    pub fn record(&self) -> Record<'_> {
        Record {
            hot: &self.hot,
            cold: &self.cold,
        }
    }
}

/// Bytes of a record's parts.
pub const RECORD: usize = size_of::<Hot>() + size_of::<Cold>();

// The model checker's atomics are larger.
#[cfg(not(feature = "loom"))]
const _: () = {
    assert!(
        RECORD <= 304,
        "the guarantee of 320 bytes for an idle connection"
    );
    assert!(std::mem::offset_of!(Hot, sequences) == 64 && std::mem::offset_of!(Hot, stored) == 128);
    assert!(size_of::<Hot>() == 192);
};

/// Bits that hold an [`OverlapPolicy`].
const OVERLAP_BITS: u32 = 2;
/// Bits of the class.
const CLASS_MASK: u8 = 7;
/// Bit beside the class that is set where a side's window isn't the one of new connections.
const OWN_WINDOWS: u8 = 8;
/// Bits below the overlap policies.
const CLASS_BITS: u32 = 4;

/// Returns a hash of the places of all fields, by which programs of different layouts are told apart.
pub const fn layout() -> u64 {
    use std::mem::offset_of;

    macro_rules! offsets {
        ($part:ident: $($field:ident)*) => {
            hash(&[$(offset_of!($part, $field) as u64,)* size_of::<$part>() as u64])
        };
    }
    hash(&[
        offsets!(Hot: lock generation client server last ports link listed class closed flags resync sequences stored),
        offsets!(Cold: opened tag prev next interface reset_by windows sides),
        side::layout(),
    ])
}

/// Bits of a time below which two times are the same to a mark: half a millisecond.
pub const TICK_SHIFT: u32 = 19;

impl Hot {
    /// Returns the number of the connection's class.
    #[inline(always)]
    pub fn class(&self) -> u8 {
        self.class.get() & CLASS_MASK
    }
}

impl<'a> Record<'a> {
    /// Returns a side.
    #[inline(always)]
    pub fn side(self, side: Side) -> SideRecord<'a> {
        let index = side.index();
        SideRecord {
            sequences: &self.hot.sequences[index],
            stored: &self.hot.stored[index],
            cold: &self.cold.sides[index],
        }
    }

    /// Returns the part of a side that every packet uses.
    #[inline(always)]
    pub fn sequences(self, side: Side) -> &'a Sequences {
        &self.hot.sequences[side.index()]
    }

    /// Returns both sides, by [`Side::index`].
    #[inline(always)]
    pub fn sides(self) -> [SideRecord<'a>; 2] {
        Side::BOTH.map(|side| self.side(side))
    }

    /// Returns whether a time is in another tick than the last packet.
    #[inline(always)]
    pub fn is_another_tick(&self, now: u64) -> bool {
        (self.last.get() ^ now) >> TICK_SHIFT != 0
    }

    /// Notes the time of a packet. Inside an update.
    #[inline(always)]
    pub fn touch(&self, now: u64) {
        if self.is_another_tick(now) {
            let sides = &self.hot.sequences;
            sides.iter().for_each(|side| side.set_continues(false));
        }
        self.last.set(now);
    }

    /// Sets the number of the connection's class.
    #[inline(always)]
    pub fn set_class(&self, class: u8) {
        self.class
            .set(self.class.get() & !CLASS_MASK | class & CLASS_MASK);
    }

    /// Returns the number of the interface where the first packet was captured; 0: unknown.
    #[inline(always)]
    pub fn interface(&self) -> u16 {
        u16::from_le_bytes(self.cold.interface.each_ref().map(Cell8::get))
    }

    /// Sets the interface where the first packet was captured.
    pub fn set_interface(&self, number: u16) {
        for (cell, byte) in self.cold.interface.iter().zip(number.to_le_bytes()) {
            cell.set(byte);
        }
    }

    /// Returns the sender of the RST that ended the connection, or that is going to if nothing follows it.
    pub fn reset_by(&self) -> Option<Side> {
        let index = usize::from(self.cold.reset_by.get()).checked_sub(1)?;
        Side::BOTH.get(index).copied()
    }

    /// Sets the sender of a RST. Inside an update.
    pub fn set_reset_by(&self, sender: Option<Side>) {
        let number = sender.map_or(0, |sender| sender.index() as u8 + 1);
        self.cold.reset_by.set(number);
    }

    /// Returns the number of bytes that a side retains at most.
    pub fn window(&self, side: Side) -> u32 {
        self.cold.windows[side.index()].get()
    }

    /// Returns whether a side's window isn't the one of new connections.
    #[inline(always)]
    pub fn has_own_windows(&self) -> bool {
        self.class.get() & OWN_WINDOWS != 0
    }

    /// Sets the window of both sides to the one of new connections. Inside an update.
    pub fn set_windows(&self, window: u32) {
        self.class.set(self.class.get() & !OWN_WINDOWS);
        self.cold.windows.iter().for_each(|cell| cell.set(window));
    }

    /// Sets the window of a side. Inside an update.
    pub fn set_own_window(&self, side: Side, window: u32) {
        self.class.set(self.class.get() | OWN_WINDOWS);
        self.cold.windows[side.index()].set(window);
    }

    /// Returns the overlap policy of a side.
    pub fn overlap(&self, side: Side) -> OverlapPolicy {
        OverlapPolicy::from_number(
            self.class.get() >> (CLASS_BITS + OVERLAP_BITS * side.index() as u32),
        )
    }

    /// Sets the overlap policies of both sides, by [`Side::index`].
    pub fn set_overlap(&self, policies: [OverlapPolicy; 2]) {
        let bits = policies[0] as u8 | (policies[1] as u8) << OVERLAP_BITS;
        let below = (1 << CLASS_BITS) - 1;
        self.class
            .set(self.class.get() & below | bits << CLASS_BITS);
    }

    /// Returns whether bytes of a side are retained.
    #[inline(always)]
    pub fn enabled(&self, side: Side) -> bool {
        self.flags.get() & flag::DISABLED_CLIENT << side.index() == 0
    }

    /// Adds a [`flag`] of the client's side for this side.
    pub fn add_flag(&self, flag: u8, side: Side) {
        self.flags.set(self.flags.get() | flag << side.index());
    }

    /// Returns whether a [`flag`] of the client's side is set for both sides.
    pub fn both_have(&self, flag: u8) -> bool {
        Side::BOTH
            .iter()
            .all(|side| self.flags.get() & flag << side.index() != 0)
    }

    /// Returns whether the record is in use.
    pub fn occupied(&self) -> bool {
        self.generation.get() & 1 == 1
    }

    /// Applies a change that readers see completely or not at all (sequence lock). Only for the one writer; must not nest.
    #[inline(always)]
    pub fn update<T>(self, change: impl FnOnce(Self) -> T) -> T {
        let count = self.lock.load(Relaxed);
        debug_assert!(count & 1 == 0, "writes do not nest");
        self.lock.store(count.wrapping_add(1), Relaxed);
        // The odd count is visible before any of the changes: a reader that sees one of them sees it too.
        fence(Release);
        let result = change(self);
        // The changes are visible before the even count.
        self.lock.store(count.wrapping_add(2), Release);
        result
    }

    /// Calls `look` until the record did not change during the call (sequence lock). `look` may see torn state and must
    /// return on any; its last result is consistent. `None` once the patience is exhausted.
    #[inline]
    pub fn read_consistent<T>(
        self,
        patience: &mut Patience,
        mut look: impl FnMut(Self) -> T,
    ) -> Option<T> {
        loop {
            let before = self.lock.load(Acquire);
            if before & 1 == 0 {
                let result = look(self);
                // The loads of `look` come before the second load of the count.
                fence(Acquire);
                if self.lock.load(Relaxed) == before {
                    return Some(result);
                }
            }
            if !patience.retry() {
                return None;
            }
        }
    }
}

/// Number of attempts that a read may still make, with a pause before each.
#[derive(Debug)]
pub struct Patience {
    tries: u32,
    most: u32,
}

impl Patience {
    /// Attempts in a store that isn't trusted. Each waits for the writer's few nanoseconds, and every 64th gives up the
    /// processor, as the writer may have been descheduled.
    const FOREIGN: u32 = 512;

    /// Returns the patience for a store whose writer certainly completes each update: it has no end.
    #[inline]
    pub fn endless() -> Self {
        Self {
            tries: 0,
            most: u32::MAX,
        }
    }

    /// Returns the patience for a store whose writer may be gone, or no writer at all.
    #[inline]
    pub fn limited() -> Self {
        Self {
            tries: 0,
            most: Self::FOREIGN,
        }
    }

    /// Pauses and returns true, or returns false after the last attempt.
    pub fn retry(&mut self) -> bool {
        if self.tries == self.most {
            return self.most == u32::MAX;
        }
        self.tries += 1;
        pause(self.tries);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_return_updates() {
        let memory = RecordMemory::default();
        let record = memory.record();
        record.update(|r| r.last.set(7));
        let read = record.read_consistent(&mut Patience::endless(), |r| r.last.get());
        assert_eq!(read, Some(7));
    }

    #[test]
    fn a_record_that_stays_locked_exhausts_the_patience() {
        let memory = RecordMemory::default();
        let record = memory.record();
        record.lock.store(1, Relaxed);
        let read = record.read_consistent(&mut Patience::limited(), |_| ());
        assert_eq!(read, None);
    }
}
