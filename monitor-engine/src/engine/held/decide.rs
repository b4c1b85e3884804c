//! Decisions on held segments: by their receiver's acknowledgments, by its silence, or by the end of the connection.

use monitor_common::Refusal;
use monitor_common::wire::flags;

use super::SILENCE;
use super::segments::{Held, HeldSegments, is_beyond_received};
use crate::decode::Segment;
use crate::engine::Engine;
use crate::engine::acknowledge::{acknowledge, learn_start};
use crate::engine::conn::Conn;
use crate::seq::{SequenceOffsets, is_before};
use crate::store::arena::Arena;
use crate::store::record::{NO_FIN, SideRecord, flag, option, side_flag};
use crate::{CloseReason, Side, Sink};

/// Time after which a segment is refused that its receiver has answered, but not acknowledged, nanoseconds.
const PATIENCE: u64 = 60_000_000_000;

/// Fate of a held segment.
enum Fate {
    Wait,
    Apply,
    Refuse,
}

impl<S: Sink> Engine<S> {
    /// Decides on the held segments of a connection after a segment of one end was applied.
    #[cold]
    pub(crate) fn resolve_held(&mut self, conn: Conn<'_>, speaker: Side, segment: &Segment<'_>) {
        let mut index = 0;
        while let Some(held) = self.held.list.get_mut(index) {
            if !held.belongs_to(conn) {
                index += 1;
                continue;
            }
            // An acknowledgment of anything that its receiver was sent is an answer.
            let received = conn.record.side(speaker);
            held.answered |= held.sender != speaker
                && segment.tcp.flags & flags::ACK != 0
                && received.offset(segment.tcp.ack) >= 0;
            held.selected |= held.sender != speaker && held.is_in_block(segment);
            let is_start = !conn.record.side(held.sender.peer()).has(side_flag::STARTED);
            match fate(held, conn, speaker, segment, self.now) {
                Fate::Wait => index += 1,
                Fate::Apply => {
                    if let Some(held) = self.held.remove(index) {
                        self.apply_held(conn, &held);
                    }
                    if is_start {
                        // The acknowledgment counts from here on.
                        conn.record
                            .update(|record| acknowledge(record, speaker, segment));
                    }
                }
                Fate::Refuse => {
                    if let Some(held) = self.held.remove(index) {
                        self.refuse_held(&held);
                    }
                }
            }
        }
        if let Some(index) = self.held.selected(conn, speaker, segment)
            && let Some(held) = self.held.remove(index)
        {
            self.apply_held(conn, &held);
        }
        while let Some(index) = self.held.acknowledged(conn, speaker) {
            if let Some(held) = self.held.remove(index) {
                self.apply_held(conn, &held);
            }
        }
        if !self.held.has_any(conn) {
            conn.record
                .update(|record| record.flags.set(record.flags.get() & !flag::HELD));
        }
    }

    pub(super) fn apply_held(&mut self, conn: Conn<'_>, held: &Held) {
        let segment = held.segment();
        conn.record
            .update(|record| learn_start(record, held.sender, &segment));
        let off = conn
            .record
            .sequences(held.sender.peer())
            .offset(held.tcp.seq);
        self.held.is_applying = true;
        self.apply_late(conn, held.sender, &segment, off);
        self.held.is_applying = false;
    }

    /// Applies the held segments after a timeout without an answer of the receiver. Returns the time of the next decision.
    pub(crate) fn expire_held(&mut self, arena: &Arena) -> u64 {
        let mut next = u64::MAX;
        let mut index = 0;
        while let Some(held) = self.held.list.get(index) {
            let due = held
                .time
                .saturating_add(if held.answered { PATIENCE } else { SILENCE });
            if due > self.now {
                next = next.min(due);
                index += 1;
            } else {
                let before = self.held.list.len();
                self.expire_one(arena, index);
                // A connection that ended took its other segments along, also those passed already.
                if self.held.list.len() + 1 < before {
                    (index, next) = (0, u64::MAX);
                }
            }
        }
        next
    }

    /// Decides on the held segment at a position, or ends its connection if that has timed out: the decision must not
    /// depend on the order of the checks.
    fn expire_one(&mut self, arena: &Arena, index: usize) {
        let slot = self.held.list.get(index).map(|held| held.slot);
        let conn = slot.and_then(|slot| self.conn(arena, slot));
        if let (Some(conn), Some(held)) = (conn, self.held.list.get(index))
            && held.belongs_to(conn)
            && conn.record.closed.get() == 0
            && self.may_be_overdue(conn.record)
        {
            // Closing decides on the held segments as well.
            self.retire_overdue(arena, conn.slot);
            if conn.record.closed.get() != 0 {
                return;
            }
        }
        if let Some(held) = self.held.remove(index)
            && let Some(conn) = conn
            && held.belongs_to(conn)
        {
            self.decide_late(conn, &held);
        }
    }

    /// Decides on a held segment without a further segment of its receiver.
    fn decide_late(&mut self, conn: Conn<'_>, held: &Held) {
        let is_reset = conn.record.closed.get() == CloseReason::Rst as u8;
        if held.answered || is_reset || held.reason == Refusal::Syn {
            self.refuse_held(held);
            return;
        }
        let fwd = conn.record.side(held.sender.peer());
        conn.record.update(|_| fwd.forget_seen());
        self.apply_held(conn, held);
    }

    /// Decides on all held segments, for the end of a capture.
    pub(crate) fn finish_held(&mut self, arena: &Arena) {
        while let Some(held) = self.held.remove(0) {
            if let Some(conn) = self.conn(arena, held.slot)
                && held.belongs_to(conn)
            {
                self.decide_late(conn, &held);
            }
        }
    }

    /// Stores the bytes of a held segment; states and times stay as they are.
    fn store_held(&mut self, conn: Conn<'_>, held: &Held) {
        let segment = held.segment();
        let off = conn.record.side(held.sender.peer()).offset(held.tcp.seq);
        if segment.payload.len() > 0 {
            self.payload(conn, held.sender.peer(), off, &segment, false);
        }
    }

    /// Decides on all held segments of a connection that ends. Those that the receiver had no occasion to answer count.
    #[cold]
    pub(crate) fn drop_held(&mut self, conn: Conn<'_>) {
        let mut index = 0;
        while let Some(held) = self.held.list.get(index) {
            if !held.belongs_to(conn) {
                index += 1;
            } else if let Some(held) = self.held.remove(index) {
                if held.answered || held.reason == Refusal::Syn {
                    self.refuse_held(&held);
                } else {
                    self.store_held(conn, &held);
                }
            }
        }
        conn.record
            .update(|record| record.flags.set(record.flags.get() & !flag::HELD));
    }
}

impl HeldSegments {
    /// Returns the position of the held data that `receiver` acknowledges selectively: the latest segment that ends with the
    /// highest block, beyond all bytes that came otherwise.
    fn selected(&self, conn: Conn<'_>, receiver: Side, segment: &Segment<'_>) -> Option<usize> {
        let [_, right] = segment.sacked?;
        let fwd = conn.record.side(receiver);
        let is_selected = |held: &Held| {
            held.belongs_to(conn)
                && held.sender != receiver
                && held.reason != Refusal::Syn
                && !held.payload.is_empty()
                && held.tcp.flags & flags::FIN == 0
                && held.is_in_block(segment)
        };
        let is_beyond = fwd.has(side_flag::STARTED) && is_beyond_received(fwd, right);
        is_beyond
            .then(|| self.list.iter().rposition(is_selected))
            .flatten()
    }

    /// Returns the position of the held segment that best explains the highest acknowledgment of `receiver`. A segment at
    /// the in-order edge does so rather than one beyond a hole, one that ends at the acknowledgment rather than before it,
    /// and of several the latest: its receiver has answered the others without acknowledging them.
    fn acknowledged(&self, conn: Conn<'_>, receiver: Side) -> Option<usize> {
        let fwd = conn.record.side(receiver);
        let (next, acked) = (fwd.next.get() as i64, fwd.acked_offset() as i64);
        let explains = |held: &Held| {
            let end = fwd.offset(held.end());
            let is_candidate = held.belongs_to(conn)
                && held.sender != receiver
                && held.reason != Refusal::Syn
                && !held.is_pure()
                && fwd.has(side_flag::STARTED)
                && !held.is_there(fwd)
                && end <= acked;
            is_candidate.then(|| (fwd.offset(held.tcp.seq) <= next, end == acked))
        };
        let candidates = self.list.iter().enumerate();
        candidates
            .filter_map(|(index, held)| Some((explains(held)?, index)))
            .max()
            .map(|(_, index)| index)
    }
}

impl Held {
    /// Returns whether the segment carries neither data nor FIN.
    fn is_pure(&self) -> bool {
        self.payload.is_empty() && self.tcp.flags & flags::FIN == 0
    }

    /// Returns whether the highest block of a selective acknowledgment ends with it.
    fn is_in_block(&self, acknowledgment: &Segment<'_>) -> bool {
        acknowledgment
            .sacked
            .is_some_and(|[left, right]| self.end() == right && !is_before(self.tcp.seq, left))
    }

    /// Returns whether it acknowledges the receiver's FIN, which nothing else has acknowledged.
    fn closes(&self, rev: SideRecord<'_>) -> bool {
        let fin = rev.fin();
        fin != NO_FIN
            && !rev.has(side_flag::FIN_ACKED)
            && self.tcp.flags & flags::ACK != 0
            && rev.offset(self.tcp.ack) == fin as i64 + 1
    }

    /// Returns whether all of it has come otherwise: its bytes, and in the place of a FIN another FIN or a byte. After a FIN
    /// that is acknowledged, nothing can come.
    fn is_there(&self, fwd: SideRecord<'_>) -> bool {
        let next = fwd.next.get() as i64;
        if fwd.fin() as i64 == next && fwd.acked_offset() as i64 == next + 1 {
            return !self.is_pure();
        }
        let data_end = fwd.offset(self.tcp.seq) + self.wire_len as i64;
        let has_fin = self.tcp.flags & flags::FIN != 0;
        !self.is_pure()
            && next >= data_end
            && (!has_fin || next > data_end || fwd.fin() as i64 == data_end)
    }
}

/// Decides on one held segment after `speaker` has sent `segment`.
fn fate(held: &Held, conn: Conn<'_>, speaker: Side, segment: &Segment<'_>, now: u64) -> Fate {
    if held.reason == Refusal::Syn {
        return Fate::Wait;
    }
    let fwd = conn.record.side(held.sender.peer());
    let rev = conn.record.side(held.sender);
    if !fwd.has(side_flag::STARTED) {
        return fate_of_start(held, speaker, segment);
    }
    if held.is_pure() && held.sender != speaker {
        // The receiver's bytes sent by now show whether the acknowledgment was plausible.
        let is_unsent = is_before(rev.sent_end.get(), held.tcp.ack);
        return if is_unsent { Fate::Refuse } else { Fate::Apply };
    }
    if held.is_there(fwd) && (held.answered || !held.closes(rev)) {
        return Fate::Refuse;
    }
    if held.sender != speaker {
        // All held segments together explain an acknowledgment: HeldSegments::acknowledged.
        return Fate::Wait;
    }
    if held.answered {
        return Fate::Wait;
    }
    // The receiver isn't captured, or not any more: its sender's later segments and time decide.
    if !fwd.offers(option::SEEN) && held.reason != Refusal::SynData {
        return Fate::Apply;
    }
    if now.saturating_sub(held.time) <= SILENCE {
        return Fate::Wait;
    }
    conn.record.update(|_| fwd.forget_seen());
    Fate::Apply
}

/// Decides on a segment held while its receiver waited for the answer to its SYN.
fn fate_of_start(held: &Held, speaker: Side, segment: &Segment<'_>) -> Fate {
    /// Largest window there is (RFC 7323, 2.3).
    const NEAR: u32 = 1 << 30;
    let tcp = &segment.tcp;
    if held.sender == speaker || tcp.flags & (flags::ACK | flags::SYN | flags::RST) != flags::ACK {
        Fate::Wait
    } else if tcp.ack.wrapping_sub(held.tcp.seq) < NEAR {
        Fate::Apply
    } else {
        Fate::Refuse
    }
}
