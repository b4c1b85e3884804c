//! Eviction: connections that end because their slot or their blocks are needed.

use std::sync::Arc;

use super::Engine;
use super::conn::Conn;
use crate::event::Event;
use crate::flow::Class;
use crate::store::arena::Arena;
use crate::store::record::Record;
use crate::store::{Release, fence};
use crate::{Side, Sink, SockId};

/// Under memory pressure, connections idle for this time are evicted before a busy connection loses retained bytes.
/// Nanoseconds.
const IDLE: u64 = 10_000_000_000;

impl<S: Sink> Engine<S> {
    /// Allocates a slot, evicting a connection if none is free.
    pub(super) fn alloc_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.slots.alloc() {
            return Some(slot);
        }
        let victim = self
            .lists
            .first(Class::Closed)
            .or_else(|| self.idle_longer(Class::HalfOpen, Class::Unverified))
            .or_else(|| self.idle_longer(Class::EstablishedIdle, Class::Active))?;
        self.evict(victim);
        self.slots.alloc()
    }

    /// Returns the connection of two classes that has been idle for longest.
    fn idle_longer(&self, a: Class, b: Class) -> Option<u32> {
        let last = |slot: &u32| self.arena.record(*slot).map(|record| record.last.get());
        let (a, b) = (self.lists.first(a), self.lists.first(b));
        a.into_iter().chain(b).min_by_key(last)
    }

    /// Frees blocks until `needed` are available: of closed connections, oldest first; then of unverified ones; then of
    /// those idle for longest. Then the oldest bytes of `conn` itself go, `side` first; then any connection.
    pub(super) fn free_blocks(&mut self, needed: u64, conn: Conn<'_>, side: Side) {
        while self.writer.blocks.available() < needed {
            let idle_since = self.now.saturating_sub(IDLE);
            let victim = self
                .candidate(Class::Closed, conn.slot, u64::MAX)
                .or_else(|| self.candidate(Class::Unverified, conn.slot, u64::MAX))
                .or_else(|| self.candidate(Class::Active, conn.slot, idle_since));
            if let Some(victim) = victim {
                self.evict(victim);
                continue;
            }
            if self.trim(needed, conn, side) || self.trim(needed, conn, side.peer()) {
                continue;
            }
            match self.candidate(Class::Active, conn.slot, u64::MAX) {
                Some(victim) => self.evict(victim),
                None => return,
            }
        }
    }

    /// Returns the next eviction candidate of a class, other than `except`, if its last packet is not after `before`.
    fn candidate(&self, class: Class, except: u32, before: u64) -> Option<u32> {
        let first = self.lists.first(class)?;
        let slot = if first == except {
            self.lists.after(&self.arena, first)?
        } else {
            first
        };
        self.arena
            .record(slot)
            .is_some_and(|record| record.last.get() <= before)
            .then_some(slot)
    }

    /// Evicts the oldest bytes of a side. Returns false if it has too few.
    fn trim(&mut self, needed: u64, conn: Conn<'_>, side: Side) -> bool {
        let before = self.writer.blocks.available();
        self.receiver(conn, side).shed(needed);
        self.writer.blocks.available() > before
    }

    fn evict(&mut self, slot: u32) {
        let arena = Arc::clone(&self.arena);
        let Some(conn) = self.conn(&arena, slot) else {
            return;
        };
        match Class::of(conn.record.class()) {
            Class::Closed => &self.counters.evicted_closed,
            Class::HalfOpen | Class::Unverified => &self.counters.evicted_half_open,
            Class::EstablishedIdle | Class::Active => &self.counters.evicted_active,
            Class::Free => return,
        }
        .add(1);
        if conn.record.closed.get() == 0 {
            self.counters.closed.add(1);
        }
        self.sink.event(Event::Evicted { id: conn.id });
        self.remove(conn);
    }

    /// Prefetches the next eviction candidates: their records were not used for long.
    fn prefetch_successors(&self, arena: &Arena, slot: u32) {
        let Some(next) = self.lists.after(arena, slot) else {
            return;
        };
        if let Some(record) = arena.record(next) {
            self.table.prefetch(record.cold.tag.get());
        }
        if let Some(second) = self.lists.after(arena, next) {
            arena.prefetch_whole_record(second);
        }
    }

    /// Removes a connection: its identifier becomes invalid, its memory is freed.
    pub(super) fn remove(&mut self, conn: Conn<'_>) {
        let record = conn.record;
        self.prefetch_successors(&self.arena, conn.slot);
        self.table.remove(record.cold.tag.get(), conn.slot);
        self.bound.remove(conn.slot);
        self.lists.leave(&self.arena, conn.slot);
        record.update(|record| record.generation.set(record.generation.get() + 1));
        // Readers look at the generation again after they have copied: from here on the blocks may be freed.
        fence(Release);
        for side in Side::BOTH {
            self.receiver(conn, side).release();
        }
        if !generations_exhausted(record) {
            self.slots.free(conn.slot);
        }
    }
}

/// Returns whether a slot has had its last generation. It is never used again, so that identifiers stay unique.
fn generations_exhausted(record: Record<'_>) -> bool {
    record.generation.get() >> 1 >= SockId::MAX_GENERATION
}
