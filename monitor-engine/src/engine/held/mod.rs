//! Segments held aside: unacceptable as far as the capture shows, until their receiver decides.
//!
//! A receiver that acknowledges a held segment accepted it, so the capture must have missed an earlier segment that made
//! it acceptable. It is refused if its bytes have arrived otherwise by then, or are never acknowledged. A SYN on a live
//! connection is held until the other end answers it.
//!
//! **Invariant:** bounded by a share of the memory budget; the oldest segments are refused first.

mod decide;
pub mod segments;

use monitor_common::Refusal;
use monitor_common::wire::flags;

use self::segments::{Held, OVERHEAD, is_beyond_received};
use super::Engine;
use super::conn::Conn;
use crate::decode::Segment;
use crate::seq::is_before;
use crate::store::arena::Arena;
use crate::store::record::{flag, option};
use crate::{Event, Side, Sink};

/// Time after which a receiver that sends nothing counts as not captured, nanoseconds. Delayed acknowledgments take at
/// most half a second (RFC 9293, 3.8.6.3).
const SILENCE: u64 = 1_000_000_000;
/// Largest number of held segments of one connection.
const MOST_OF_ONE: usize = 16;

impl<S: Sink> Engine<S> {
    /// Counts and reports a segment that its receiver discards.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
        reason: Refusal,
    ) {
        self.counters.refused(reason).add(1);
        self.sink.event(Event::Refused {
            id: conn.id,
            side: sender.peer(),
            seq: segment.tcp.seq,
            len: segment.wire_len as u32,
            reason,
        });
    }

    /// Counts and reports a held segment that its receiver discards.
    #[cold]
    fn refuse_held(&mut self, held: &Held) {
        self.counters.refused(held.reason).add(1);
        self.sink.event(Event::Refused {
            id: held.id,
            side: held.sender.peer(),
            seq: held.tcp.seq,
            len: held.wire_len as u32,
            reason: held.reason,
        });
    }

    /// Holds a segment aside. One that changes nothing later is refused at once.
    #[cold]
    pub(super) fn hold(
        &mut self,
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
        reason: Refusal,
    ) {
        let changes = segment.payload.len() > 0
            || segment.tcp.flags & (flags::FIN | flags::SYN) != 0
            || reason == Refusal::AckUnsent;
        if !changes {
            self.refuse(conn, sender, segment, reason);
            return;
        }
        if !self.make_room_for_own(conn, sender, reason, OVERHEAD + segment.payload.len()) {
            let off = conn.record.side(sender.peer()).offset(segment.tcp.seq);
            self.apply_late(conn, sender, segment, off);
            return;
        }
        let held = Held::new(conn, sender, segment, reason, self.now);
        while self.held.bytes + held.bytes() > self.held.limit {
            let Some(oldest) = self.held.remove(0) else {
                self.refuse(conn, sender, segment, reason);
                return;
            };
            self.refuse_held(&oldest);
        }
        self.wake = self.wake.min(self.now.saturating_add(SILENCE));
        self.held.push(held);
        conn.record
            .update(|record| record.flags.set(record.flags.get() | flag::HELD));
    }

    /// Makes room for one more held segment of a connection: refuses the oldest. If the receiver has answered none of
    /// them, it isn't captured any more: applies all and returns false.
    fn make_room_for_own(
        &mut self,
        conn: Conn<'_>,
        sender: Side,
        reason: Refusal,
        bytes: usize,
    ) -> bool {
        // A SYN is never applied to this connection, and says nothing about the receiver.
        let (mut own, mut answered) = (0, reason == Refusal::Syn);
        for held in &self.held.list {
            if held.belongs_to(conn) && held.sender == sender {
                own += 1;
                answered |= held.answered || held.reason == Refusal::Syn;
            }
        }
        let is_full = self.held.bytes + bytes > self.held.limit;
        if own < MOST_OF_ONE && !(is_full && own > 0) {
            return true;
        }
        let is_own = |held: &Held| held.belongs_to(conn) && held.sender == sender;
        if answered {
            if let Some(index) = self.held.list.iter().position(is_own)
                && let Some(held) = self.held.remove(index)
            {
                self.refuse_held(&held);
            }
            return true;
        }
        let fwd = conn.record.side(sender.peer());
        conn.record.update(|_| fwd.forget_seen());
        while let Some(index) = self.held.list.iter().position(is_own)
            && let Some(held) = self.held.remove(index)
        {
            self.apply_held(conn, &held);
        }
        false
    }

    /// Returns whether a segment acknowledges no bytes beyond the held ones of its receiver.
    #[cold]
    pub(super) fn acknowledges_held(
        &self,
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
    ) -> bool {
        self.held.list.iter().any(|held| {
            held.belongs_to(conn)
                && held.sender == sender.peer()
                && held.reason != Refusal::Syn
                && !is_before(held.end(), segment.tcp.ack)
        })
    }

    /// Returns whether a segment of `sender` is held with which the highest range beyond a hole ends, if its receiver took
    /// it: one that ends beyond the window, or one beyond all bytes that is acknowledged selectively.
    pub(super) fn holds_highest_range(&self, conn: Conn<'_>, sender: Side) -> bool {
        let fwd = conn.record.side(sender.peer());
        let is_beyond = |held: &Held| {
            held.sender == sender
                && held.belongs_to(conn)
                && held.reason != Refusal::Syn
                && (held.reason == Refusal::Window
                    || (held.selected && is_beyond_received(fwd, held.end())))
        };
        conn.record.flags.get() & flag::HELD != 0 && self.held.list.iter().any(is_beyond)
    }

    /// Notes that a RST of their receiver answers all segments held for it.
    pub(super) fn answer_held(&mut self, conn: Conn<'_>, receiver: Side) {
        if conn.record.flags.get() & flag::HELD != 0 {
            for held in &mut self.held.list {
                held.answered |= held.belongs_to(conn) && held.sender != receiver;
            }
        }
    }

    /// Applies the data of a SYN that no acknowledgment has decided on when its sender continues.
    #[cold]
    pub(super) fn release_syn_data(&mut self, conn: Conn<'_>, sender: Side) {
        let undecided = |held: &Held| {
            held.reason == Refusal::SynData
                && held.sender == sender
                && !held.answered
                && held.belongs_to(conn)
        };
        if let Some(index) = self.held.list.iter().position(undecided)
            && let Some(held) = self.held.remove(index)
        {
            self.apply_held(conn, &held);
        }
    }

    /// Returns the position of the held SYN that a segment confirms: the other end answers it, or its sender continues
    /// after it while the other end isn't captured.
    #[cold]
    pub(super) fn confirmed_syn(
        &self,
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
    ) -> Option<usize> {
        let tcp = &segment.tcp;
        self.held.list.iter().position(|held| {
            if held.reason != Refusal::Syn || !held.belongs_to(conn) {
                return false;
            }
            let first = held.tcp.seq.wrapping_add(1);
            let end = first.wrapping_add(held.wire_len as u32);
            if held.sender == sender {
                return !conn.record.side(sender.peer()).offers(option::SEEN)
                    && tcp.flags & flags::SYN == 0
                    && (tcp.seq == first || tcp.seq == end);
            }
            tcp.flags & (flags::ACK | flags::RST) == flags::ACK
                && tcp.flags & flags::SYN != 0
                && (tcp.ack == first || tcp.ack == end)
        })
    }

    /// Replaces a connection by the one that a held SYN begins, which `segment` of an end confirms, or opens it beside the
    /// old one on an interface of its own. Applies the SYN to it; if that end sent a SYN of its own before, that SYN first
    /// (simultaneous open). Returns the new connection.
    #[cold]
    pub(super) fn open_held<'a>(
        &mut self,
        arena: &'a Arena,
        old: Conn<'a>,
        index: usize,
        segment: &Segment<'_>,
    ) -> Option<Conn<'a>> {
        let confirmed = self.held.remove(index)?;
        let crossed = self.held.list.iter().take(index).position(|held| {
            held.reason == Refusal::Syn
                && held.belongs_to(old)
                && held.sender != confirmed.sender
                && held.tcp.seq == segment.tcp.seq
        });
        let crossed = crossed.and_then(|index| self.held.remove(index));
        let first = crossed.as_ref().unwrap_or(&confirmed);
        let is_beside = self.is_beside(old, &confirmed, segment);
        let old = (!is_beside).then_some(old);
        let (conn, _) = self.open(arena, &first.segment(), old)?;
        if is_beside {
            self.bound.insert(conn.slot, confirmed.interface);
        }
        for held in crossed.iter().chain([&confirmed]) {
            let sender = if held.key.matches(conn.record)? {
                Side::Client
            } else {
                Side::Server
            };
            self.follow_late(conn, sender, &held.segment());
        }
        Some(conn)
    }
}
