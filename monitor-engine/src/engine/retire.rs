//! How connections end: by their own FINs and RSTs, by time, and when their memory is needed.

use super::Engine;
use crate::event::Event;
use crate::flow::Class;
use crate::store::memory::Memory;
use crate::store::record::Record;
use crate::store::{Release, fence};
use crate::{CloseReason, Side, Sink, SockId, TcpConfig, TcpState};

/// A connection that has not answered a SYN for so long never will: longer than Linux retries (tcp_syn_retries 6
/// is 127 s, but the SYN is repeated meanwhile). Nanoseconds.
const HALF_OPEN_TIMEOUT: u64 = 60_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// Connections that time out in one go; more wait for the next packet, so that none takes long.
const AT_ONCE: usize = 64;
/// Under memory pressure, who has been quiet for so long goes before a busy connection loses retained bytes.
const QUIET: u64 = 10_000_000_000;

impl<S: Sink> Engine<S> {
    /// Ends a connection; it stays readable.
    pub(super) fn close(&mut self, slot: u32, reason: CloseReason) {
        self.close_at(slot, reason, self.now);
    }

    /// `at`: when it ended, which may have gone unnoticed until now.
    fn close_at(&mut self, slot: u32, reason: CloseReason, at: u64) {
        let memory = std::sync::Arc::clone(&self.memory);
        let Some(record) = memory
            .record(slot)
            .filter(|record| record.closed.get() == 0)
        else {
            return;
        };
        for side in Side::BOTH {
            if let Some(mut receiver) = self.receiver(slot, side) {
                receiver.finish();
            }
        }
        record.write(|record| {
            record.closed.set(reason as u8);
            if reason == CloseReason::Rst {
                record
                    .sides
                    .iter()
                    .for_each(|side| side.state.set(TcpState::Closed as u8));
            }
        });
        self.enlist_at(slot, Class::Closed, at);
        self.counters.closed.add(1);
        if reason == CloseReason::Timeout {
            self.counters.timed_out.add(1);
        }
        let id = self.id(slot, record);
        self.sink.event(Event::Closed { id, reason });
    }

    /// Puts a connection into the list of its class, where its timeout starts.
    pub(super) fn enlist(&mut self, slot: u32, class: Class) {
        self.enlist_at(slot, class, self.now);
    }

    fn enlist_at(&mut self, slot: u32, class: Class, at: u64) {
        self.lists.enter(&self.memory, slot, class, millis(at));
        if let Some(timeout) = self.timeout(class) {
            self.wake = self.wake.min(at.saturating_add(timeout));
        }
    }

    /// How long a connection of this class may be without a packet.
    fn timeout(&self, class: Class) -> Option<u64> {
        let idle = self.config.tcp.idle_timeout;
        match class {
            Class::Free => None,
            Class::Closed => self.config.tcp.linger,
            Class::HalfOpen | Class::Unproven => idle.map(|idle| idle.min(HALF_OPEN_TIMEOUT)),
            Class::Silent | Class::Active => idle,
        }
    }

    /// Lets time do its work, and sets the time at which there is more of it.
    #[cold]
    pub(super) fn expire(&mut self) {
        self.wake = u64::MAX;
        let mut next = self.expire_graces();
        for class in Class::TAKEN {
            next = next.min(self.expire_class(class));
        }
        self.wake = self.wake.min(next);
    }

    /// Returns when the next one is due.
    fn expire_class(&mut self, class: Class) -> u64 {
        let Some(timeout) = self.timeout(class) else {
            return u64::MAX;
        };
        for _ in 0..AT_ONCE {
            let Some(slot) = self.lists.first(class) else {
                return u64::MAX;
            };
            let due = self.due(slot, class, timeout);
            if due > self.now {
                return due;
            }
            self.retire(slot, class);
        }
        self.now
    }

    /// Whether the connection may be overdue: it is asked before each of its packets.
    #[inline(always)]
    pub(super) fn quiet(&self, memory: &Memory, slot: u32) -> bool {
        memory
            .record(slot)
            .is_some_and(|record| self.now.saturating_sub(record.last.get()) >= self.patience)
    }

    /// Retires a connection whose time has come although it does not stand at the head of its list: places there are
    /// only as exact as they need to be.
    #[cold]
    pub(super) fn retire_overdue(&mut self, slot: u32) {
        let class = self
            .memory
            .record(slot)
            .map_or(Class::Free, |record| Class::of(record.class.get()));
        if self
            .timeout(class)
            .is_some_and(|timeout| self.due(slot, class, timeout) <= self.now)
        {
            self.retire(slot, class);
        }
    }

    /// The same for all connections: for the end of a capture.
    pub(super) fn retire_all_overdue(&mut self) {
        for class in [
            Class::HalfOpen,
            Class::Unproven,
            Class::Silent,
            Class::Active,
            Class::Closed,
        ] {
            for slot in self.members(class) {
                self.retire_overdue(slot);
            }
        }
    }

    /// All connections of a class now.
    pub(super) fn members(&self, class: Class) -> Vec<u32> {
        std::iter::successors(self.lists.first(class), |&slot| {
            self.lists.after(&self.memory, slot)
        })
        .collect()
    }

    fn due(&self, slot: u32, class: Class, timeout: u64) -> u64 {
        let Some(record) = self.memory.record(slot) else {
            return u64::MAX;
        };
        let since = if class == Class::Closed {
            // The time of its end, not of its last packet: they differ where the idle timeout was its end.
            let over = u64::from(millis(self.now).wrapping_sub(record.listed.get()));
            (self.now / MILLISECOND + 1)
                .saturating_sub(over)
                .saturating_mul(MILLISECOND)
        } else {
            record.last.get()
        };
        since.saturating_add(timeout)
    }

    fn retire(&mut self, slot: u32, class: Class) {
        if class == Class::Closed {
            self.free(slot);
        } else {
            let due = self
                .timeout(class)
                .map_or(self.now, |timeout| self.due(slot, class, timeout));
            self.close_at(slot, CloseReason::Timeout, due.min(self.now));
        }
    }

    /// An empty slot, evicting a connection if there is none.
    pub(super) fn take_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.slots.take() {
            return Some(slot);
        }
        let victim = self
            .lists
            .first(Class::Closed)
            .or_else(|| self.quieter(Class::HalfOpen, Class::Unproven))
            .or_else(|| self.quieter(Class::Silent, Class::Active))?;
        self.evict(victim);
        self.slots.take()
    }

    /// The one quiet for longest of two lists.
    fn quieter(&self, a: Class, b: Class) -> Option<u32> {
        let last = |slot: &u32| self.memory.record(*slot).map(|record| record.last.get());
        [a, b]
            .into_iter()
            .filter_map(|class| self.lists.first(class))
            .min_by_key(last)
    }

    /// Frees blocks until `needed` are there: closed connections first, oldest first, then unproven ones, then those
    /// quiet for longest; then `slot` itself gives its oldest bytes; then anybody.
    pub(super) fn make_room(&mut self, needed: u64, slot: u32, side: Side) {
        while self.space.blocks.available() < needed {
            let quiet = self.now.saturating_sub(QUIET);
            let victim = self
                .holder(Class::Closed, slot, u64::MAX)
                .or_else(|| self.holder(Class::Unproven, slot, u64::MAX))
                .or_else(|| self.holder(Class::Active, slot, quiet));
            if let Some(victim) = victim {
                self.evict(victim);
                continue;
            }
            if self.trim(needed, slot, side) || self.trim(needed, slot, side.peer()) {
                continue;
            }
            match self.holder(Class::Active, slot, u64::MAX) {
                Some(victim) => self.evict(victim),
                None => return,
            }
        }
    }

    /// The first of a class, other than `except`, if it has been quiet since `before`.
    fn holder(&self, class: Class, except: u32, before: u64) -> Option<u32> {
        let first = self.lists.first(class)?;
        let slot = if first == except {
            self.lists.after(&self.memory, first)?
        } else {
            first
        };
        self.memory
            .record(slot)
            .is_some_and(|record| record.last.get() <= before)
            .then_some(slot)
    }

    /// Takes the oldest bytes of a side; false if it has too few to give.
    fn trim(&mut self, needed: u64, slot: u32, name: Side) -> bool {
        let Some(mut receiver) = self.receiver(slot, name) else {
            return false;
        };
        let before = receiver.space.blocks.available();
        receiver.shed(needed);
        receiver.space.blocks.available() > before
    }

    fn evict(&mut self, slot: u32) {
        let Some(record) = self.memory.record(slot) else {
            return;
        };
        match Class::of(record.class.get()) {
            Class::Closed => &self.counters.evicted_closed,
            Class::HalfOpen | Class::Unproven => &self.counters.evicted_half_open,
            Class::Silent | Class::Active => &self.counters.evicted_active,
            Class::Free => return,
        }
        .add(1);
        if record.closed.get() == 0 {
            self.counters.closed.add(1);
        }
        let id = self.id(slot, record);
        self.sink.event(Event::Evicted { id });
        self.free(slot);
    }

    /// Those behind it in its list go next, and nobody has looked at them for long: they are fetched ahead.
    fn fetch_successors(&self, memory: &Memory, slot: u32) {
        let Some(next) = self.lists.after(memory, slot) else {
            return;
        };
        if let Some(record) = memory.record(next) {
            self.table.prefetch(record.tag.get());
        }
        if let Some(second) = self.lists.after(memory, next) {
            memory.prefetch_record(second);
        }
    }

    /// Forgets a connection: its id names nothing any more.
    fn free(&mut self, slot: u32) {
        let memory = std::sync::Arc::clone(&self.memory);
        let Some(record) = memory.record(slot) else {
            return;
        };
        self.fetch_successors(&memory, slot);
        self.table.remove(record.tag.get(), slot);
        self.lists.leave(&self.memory, slot);
        record.write(|record| record.generation.set(record.generation.get() + 1));
        // Readers look at the generation again after they have copied: the blocks may go now.
        fence(Release);
        for side in Side::BOTH {
            if let Some(mut receiver) = self.receiver(slot, side) {
                receiver.release();
            }
            self.windows.give(record.windows[side.index()].get());
        }
        if !spent(record) {
            self.slots.give(slot);
        }
    }
}

/// The shortest of all timeouts.
pub(super) fn patience(tcp: &TcpConfig) -> u64 {
    let half_open = tcp.idle_timeout.map(|idle| idle.min(HALF_OPEN_TIMEOUT));
    half_open
        .into_iter()
        .chain(tcp.linger)
        .min()
        .unwrap_or(u64::MAX)
}

/// Milliseconds, for the lists: they wrap.
pub(super) fn millis(time: u64) -> u32 {
    (time / MILLISECOND) as u32
}

/// A slot whose generations are used up is never used again: its ids stay unique.
fn spent(record: &Record) -> bool {
    record.generation.get() >> 1 >= SockId::MAX_GENERATION
}
