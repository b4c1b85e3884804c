//! End of connections by their own FINs and RSTs, and by time.

use std::ops::Range;
use std::sync::Arc;

use super::Engine;
use super::conn::Conn;
use super::timeouts::{MILLISECOND, millis};
use super::transitions::is_over;
use crate::event::Event;
use crate::flow::Class;
use crate::store::arena::Arena;
use crate::store::record::{Record, flag};
use crate::{CloseReason, Side, Sink, TcpState};

/// Connections of one class that time out in one go. More wait for the next packet, so that none takes long.
const AT_ONCE: usize = 64;

impl<S: Sink> Engine<S> {
    /// Notes that nothing was captured during a range of time, nanoseconds since the epoch: the timeouts of connections
    /// don't count it. For captures of several files; pauses are noted in order.
    pub fn note_pause(&mut self, pause: Range<u64>) {
        self.pauses.add(pause);
    }

    /// Ends a connection; it stays readable.
    pub(super) fn close(&mut self, conn: Conn<'_>, reason: CloseReason) {
        self.close_at(conn, reason, self.now);
    }

    /// Ends a connection by a RST.
    pub(super) fn close_reset(&mut self, conn: Conn<'_>, sender: Side) {
        self.note_reset(conn, sender);
        self.close(conn, CloseReason::Rst);
    }

    /// Notes a RST that ends the connection unless a segment follows it.
    #[cold]
    pub(super) fn await_answer(&mut self, conn: Conn<'_>, sender: Side) {
        self.note_reset(conn, sender);
        conn.record
            .update(|record| record.flags.set(record.flags.get() | flag::RST_PENDING));
    }

    /// Notes the sender and the time of a RST to an open connection.
    fn note_reset(&mut self, conn: Conn<'_>, sender: Side) {
        if conn.record.closed.get() == 0 {
            conn.record
                .update(|record| record.set_reset_by(Some(sender)));
            self.receiver(conn, sender.peer()).mark_reset();
        }
    }

    /// Ends a connection at a time that may be in the past: the end may not have been noticed before.
    fn close_at(&mut self, conn: Conn<'_>, reason: CloseReason, at: u64) {
        let record = conn.record;
        if record.closed.get() != 0 {
            return;
        }
        if record.flags.get() & flag::HELD != 0 {
            self.drop_held(conn);
        }
        for side in Side::BOTH {
            self.receiver(conn, side).finish();
        }
        // Nothing followed a RST that was not exact: it ended the connection after all.
        let is_reset =
            reason == CloseReason::Timeout && record.flags.get() & flag::RST_PENDING != 0;
        let reason = if is_reset {
            CloseReason::Rst
        } else if reason == CloseReason::Reused && is_over(record) {
            // Bytes that its FINs had overtaken never arrived.
            CloseReason::Fin
        } else {
            reason
        };
        record.update(|record| {
            record.closed.set(reason as u8);
            if reason == CloseReason::Rst {
                for side in record.sides() {
                    side.set_state(TcpState::Closed as u8);
                }
            }
        });
        self.enlist_at(conn.slot, Class::Closed, at);
        self.counters.closed.add(1);
        if reason == CloseReason::Timeout {
            self.counters.timed_out.add(1);
        }
        let id = conn.id;
        self.sink.event(Event::Closed { id, reason });
    }

    /// Moves a connection to the list of a class, where its timeout starts.
    pub(super) fn enlist(&mut self, slot: u32, class: Class) {
        self.enlist_at(slot, class, self.now);
    }

    fn enlist_at(&mut self, slot: u32, class: Class, at: u64) {
        self.lists.enter(&self.arena, slot, class, millis(at));
        if let Some(timeout) = self.config.tcp.timeout(class) {
            self.wake = self.wake.min(at.saturating_add(timeout));
        }
    }

    /// Runs all timeouts that are due, and sets the time of the next one.
    #[cold]
    pub(super) fn expire(&mut self) {
        let arena = Arc::clone(&self.arena);
        self.wake = u64::MAX;
        let mut next = self.expire_pending_losses().min(self.expire_held(&arena));
        for class in Class::USED {
            next = next.min(self.expire_class(&arena, class));
        }
        self.wake = self.wake.min(next);
    }

    /// Retires the connections of a class that are due. Returns the time at which the next one is.
    fn expire_class(&mut self, arena: &Arena, class: Class) -> u64 {
        let Some(timeout) = self.config.tcp.timeout(class) else {
            return u64::MAX;
        };
        for _ in 0..AT_ONCE {
            let Some(slot) = self.lists.first(class) else {
                return u64::MAX;
            };
            let Some(conn) = self.conn(arena, slot) else {
                return u64::MAX;
            };
            let due = self.due(conn.record, class, timeout);
            if due > self.now {
                return due;
            }
            self.retire(conn, class);
        }
        self.now
    }

    /// Returns whether a connection may be overdue. Asked before each of its packets.
    #[inline(always)]
    pub(super) fn may_be_overdue(&self, record: Record<'_>) -> bool {
        self.now.saturating_sub(record.last.get()) >= self.shortest_timeout
    }

    /// Retires a connection that is due although it is not at the head of its list: positions in a list are only as exact
    /// as they need to be.
    #[cold]
    pub(super) fn retire_overdue(&mut self, arena: &Arena, slot: u32) {
        let Some(conn) = self.conn(arena, slot) else {
            return;
        };
        let class = Class::of(conn.record.class());
        if self
            .config
            .tcp
            .timeout(class)
            .is_some_and(|timeout| self.due(conn.record, class, timeout) <= self.now)
        {
            self.retire(conn, class);
        }
    }

    /// Retires all connections that are due, for the end of a capture.
    pub(super) fn retire_all_overdue(&mut self) {
        let arena = Arc::clone(&self.arena);
        // Closed ones last: the others join them.
        for class in [
            Class::HalfOpen,
            Class::Unverified,
            Class::EstablishedIdle,
            Class::Active,
            Class::Closed,
        ] {
            for slot in self.members(class) {
                self.retire_overdue(&arena, slot);
            }
        }
    }

    /// Returns all connections of a class at this moment.
    pub(super) fn members(&self, class: Class) -> Vec<u32> {
        let mut members = Vec::new();
        let mut next = self.lists.first(class);
        while let Some(slot) = next {
            members.push(slot);
            next = self.lists.after(&self.arena, slot);
        }
        members
    }

    /// Returns the time at which a connection times out.
    fn due(&self, record: Record<'_>, class: Class, timeout: u64) -> u64 {
        let since = if class == Class::Closed {
            // The time of its end, not of its last packet: they differ after an idle timeout. `listed` wraps, and its
            // distance from now does not.
            let age = u64::from(millis(self.now).wrapping_sub(record.listed.get()));
            (self.now / MILLISECOND + 1)
                .saturating_sub(age)
                .saturating_mul(MILLISECOND)
        } else {
            record.last.get()
        };
        self.pauses.deadline(since, timeout)
    }

    /// Ends an overdue connection: removes a closed one, closes another.
    fn retire(&mut self, conn: Conn<'_>, class: Class) {
        if class == Class::Closed {
            self.remove(conn);
        } else {
            let due = self
                .config
                .tcp
                .timeout(class)
                .map_or(self.now, |timeout| self.due(conn.record, class, timeout));
            self.close_at(conn, CloseReason::Timeout, due.min(self.now));
        }
    }
}
