//! Application of one segment to its connection.
//!
//! Both directions are named relative to the segment: `fwd` is the side that receives its data, `rev` the side of its
//! sender, which the segment acknowledges.

use monitor_common::Refusal;
use monitor_common::wire::flags;

use super::Engine;
use super::acknowledge::{acknowledge, learn_start, may_learn_start};
use super::conn::Conn;
use super::copies::home_of;
use super::resync::{self, ResyncDetector};
use super::timeouts::millis;
use super::transitions::states_are_stable;
use crate::acceptance::{Verdict, answers_syn, judge, judge_answer, judge_rst};
use crate::decode::Segment;
use crate::payload::Payload;
use crate::seq::{SequenceOffsets, is_before};
use crate::store::arena::BLOCK;
use crate::store::record::{Record, Sequences, SideRecord, flag, option, side_flag};
use crate::{CloseReason, Side, Sink, TcpState};

/// Distance of an acknowledgment ahead of the in-order edge from which on everything missing is lost without delay.
/// A little more, and sequence numbers would be ambiguous with those 4 GiB before.
const FAR: u64 = 1 << 30;

/// Number of ranges that Linux remembers for selective acknowledgments. Of more, the highest one may be forgotten, and a
/// RST at its end is challenged.
const SACK_BLOCKS: usize = 4;

impl<S: Sink> Engine<S> {
    /// Applies a segment that `sender` sent.
    #[inline(always)]
    pub(super) fn follow(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>) {
        let record = conn.record;
        let closed = record.closed.get();
        if closed == CloseReason::Stopped as u8 {
            self.drop_stopped(conn);
            return;
        }
        self.counters.segments.add(1);
        self.counters
            .payload_bytes
            .add(segment.payload.len() as u64);
        // Bytes may still arrive after FINs and RSTs: sent before them, or after a RST that the receiver ignored.
        if closed != 0 && closed != CloseReason::Fin as u8 && closed != CloseReason::Rst as u8 {
            return;
        }
        let (fwd, rev) = (record.sequences(sender.peer()), record.sequences(sender));
        if self.config.tcp.judge && rev.has(side_flag::SYN) && !fwd.has(side_flag::STARTED) {
            match judge_answer(rev, segment) {
                _ if segment.tcp.flags & flags::RST != 0 => {}
                // The answer to a SYN acknowledges its data as well.
                Verdict::Refuse(_)
                    if record.flags.get() & flag::HELD != 0
                        && !is_before(segment.tcp.ack, rev.start.get())
                        && self.acknowledges_held(conn, sender, segment) => {}
                Verdict::Hold(refusal) => return self.hold(conn, sender, segment, refusal),
                Verdict::Refuse(refusal) => return self.refuse(conn, sender, segment, refusal),
                Verdict::Accept | Verdict::Repeated => {}
            }
        }
        if may_learn_start(fwd, segment) || fwd.is_ack_far_behind() {
            record.update(|_| {
                learn_start(record, sender, segment);
                fwd.limit_ack_distance();
            });
        }
        let syn = segment.tcp.flags & flags::SYN != 0;
        // The SYN takes a sequence number of its own, before the first byte.
        let off = fwd.offset(segment.tcp.seq.wrapping_add(u32::from(syn)));
        let home = fwd.home.get();
        self.elsewhere = false;
        if home != home_of(segment.interface) && self.is_copy(conn, sender, segment, off) {
            return;
        }
        if segment.tcp.flags & flags::RST != 0 {
            self.reset(conn, sender, segment, off);
            return;
        }
        if record.flags.get() & flag::HELD != 0 && !syn {
            self.release_syn_data(conn, sender);
        }
        // Nearly always at the edge, which makes the limit unnecessary.
        let is_far = off > fwd.next.get() as i64 && off as u64 > fwd.limit();
        let verdict = if is_far {
            if resync::accept(record, sender.peer(), segment) {
                Verdict::Accept
            } else if self.config.tcp.judge && resync::is_close(fwd, off) {
                Verdict::Hold(Refusal::Window)
            } else {
                self.counters.wild.add(1);
                return;
            }
        } else if syn || !self.config.tcp.judge {
            Verdict::Accept
        } else {
            judge(fwd, rev, segment, off)
        };
        let verdict = match verdict {
            Verdict::Hold(Refusal::AckUnsent)
                if record.flags.get() & flag::HELD != 0
                    && self.acknowledges_held(conn, sender, segment) =>
            {
                Verdict::Accept
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Accept if syn && carries_more(segment) && self.config.tcp.judge => {
                self.syn_data(conn, sender, segment);
            }
            Verdict::Accept => self.apply_segment(conn, sender, segment, off),
            Verdict::Repeated => self.repeated(conn, sender, segment, off),
            Verdict::Hold(refusal) => {
                if refusal == Refusal::AckTooOld
                    && is_predicted(record.side(sender.peer()), segment, off)
                {
                    // Linux takes the timestamp before it looks at the acknowledgment number.
                    record.update(|_| note_timestamp(fwd, segment));
                }
                self.hold(conn, sender, segment, refusal);
            }
            Verdict::Refuse(refusal) => {
                self.refuse(conn, sender, segment, refusal);
            }
        }
        if record.flags.get() & flag::HELD != 0 {
            self.resolve_held(conn, sender, segment);
        }
    }

    /// Applies a segment that is not the next one of an open connection, out of the packet path's line.
    #[inline(never)]
    pub(super) fn follow_late(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>) {
        self.follow(conn, sender, segment);
    }

    /// Applies a segment that its receiver accepts.
    #[inline(always)]
    fn apply_segment(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>, off: i64) {
        self.lists.touch(&self.arena, conn.slot, millis(self.now));
        let fwd = conn.record.sequences(sender.peer());
        self.header(conn, sender, segment, off);
        let fin = segment.tcp.flags & flags::FIN != 0;
        let has_fin = fwd.offers(option::FIN);
        if segment.payload.len() > 0 {
            self.payload(conn, sender.peer(), off, segment, fin);
        } else if fin
            && let Ok(off) = u64::try_from(off)
            && conn.record.side(sender.peer()).fin() == off
        {
            self.receiver(conn, sender.peer()).lone_fin(off);
        }
        if has_fin {
            self.settle_fin(conn, sender.peer());
        }
        self.finish_segment(conn, sender, segment);
    }

    /// Applies a segment outside of its turn, out of the packet path's line.
    #[cold]
    #[inline(never)]
    pub(super) fn apply_late(
        &mut self,
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
        off: i64,
    ) {
        self.apply_segment(conn, sender, segment, off);
    }

    /// Applies a SYN that carries data or a FIN. These count once the receiver acknowledges them. One that has answered the
    /// SYN without them never does: Linux discards a repeated SYN (RFC 5961, 4).
    #[cold]
    fn syn_data(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>) {
        let mut syn = *segment;
        syn.payload = Payload::default();
        syn.wire_len = 0;
        syn.tcp.flags &= !flags::FIN;
        self.apply_late(conn, sender, &syn, 0);
        let mut data = *segment;
        data.tcp.seq = segment.tcp.seq.wrapping_add(1);
        data.tcp.flags &= !flags::SYN;
        let fwd = conn.record.side(sender.peer());
        let fin = u32::from(segment.tcp.flags & flags::FIN != 0);
        let end = fwd.offset(data.tcp.seq.wrapping_add(segment.wire_len as u32 + fin));
        if fwd.acked_offset() as i64 >= end {
            self.apply_late(conn, sender, &data, 0);
        } else if fwd.has(side_flag::ACKED) && fwd.offers(option::SEEN) {
            self.refuse(conn, sender, &data, Refusal::SynData);
        } else {
            self.hold(conn, sender, &data, Refusal::SynData);
        }
    }

    /// Counts bytes that their receiver has acknowledged before. The capture may have missed the first copy.
    #[cold]
    fn repeated(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>, off: i64) {
        self.lists.touch(&self.arena, conn.slot, millis(self.now));
        conn.record.update(|record| record.touch(self.now));
        if segment.payload.len() > 0 {
            self.payload(conn, sender.peer(), off, segment, false);
        }
        self.finish_segment(conn, sender, segment);
    }

    /// Closes the connection if its receiver accepts the RST: at the edge of its window (RFC 5961, 3.2), or as the answer
    /// to a SYN, which it must acknowledge (RFC 9293, 3.10.7.3).
    fn reset(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>, off: i64) {
        let fwd = conn.record.side(sender.peer());
        let rev = conn.record.side(sender);
        let verdict = if fwd.has(side_flag::ISN) || fwd.end() > 0 {
            judge_rst(fwd, rev, segment, off, self.config.tcp.judge)
        } else if answers_syn(rev, segment) {
            Verdict::Accept
        } else {
            Verdict::Refuse(Refusal::Rst)
        };
        let verdict = match verdict {
            Verdict::Accept
                if off > fwd.next.get() as i64
                    && (self.holds_highest_range(conn, sender)
                        || (self.config.tcp.judge
                            && self.may_have_forgotten(conn, sender, off))) =>
            {
                Verdict::Hold(Refusal::Rst)
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Accept => {
                self.lists.touch(&self.arena, conn.slot, millis(self.now));
                conn.record.update(|record| {
                    record.touch(self.now);
                    // Closing moves the in-order edge over holes: a later RST must not open the window again.
                    if self.config.tcp.judge && record.closed.get() == 0 {
                        fwd.shut_window();
                    }
                });
                if conn.record.closed.get() == 0 {
                    self.answer_held(conn, sender);
                    self.close_reset(conn, sender);
                }
                return;
            }
            // A live receiver answers it. If none does, the capture missed the segment that made the RST acceptable.
            Verdict::Hold(_) => self.await_answer(conn, sender),
            Verdict::Repeated | Verdict::Refuse(_) => {}
        }
        self.refuse(conn, sender, segment, Refusal::Rst);
    }

    /// Returns whether the receiver may have forgotten that its highest range ends at `off`.
    #[cold]
    fn may_have_forgotten(&mut self, conn: Conn<'_>, sender: Side, off: i64) -> bool {
        let fwd = conn.record.side(sender.peer());
        fwd.offers(option::SEEN)
            && off > fwd.acked_offset() as i64
            && self.receiver(conn, sender.peer()).ranges_beyond() > SACK_BLOCKS
    }

    /// Applies acknowledgment, window and FIN.
    #[inline(always)]
    fn header(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>, off: i64) {
        let record = conn.record;
        let tcp = &segment.tcp;
        if tcp.flags & flags::URG != 0 && tcp.urgent != 0 {
            self.counters.urgent.add(1);
        }
        if tcp.window == 0 && tcp.flags & (flags::SYN | flags::ACK) == flags::ACK {
            self.counters.zero_windows.add(1);
        }
        let now = self.now;
        record.update(|record| {
            let (fwd, rev) = (record.sequences(sender.peer()), record.sequences(sender));
            record.touch(now);
            note_sender(record, fwd, rev, segment);
            if tcp.flags & flags::ACK != 0 {
                let is_reset = self.config.tcp.judge
                    && record.closed.get() == CloseReason::Rst as u8
                    && rev.has(side_flag::ACKED);
                let (acked, edge) = (rev.acked.get(), rev.right_edge.get());
                acknowledge(record, sender, segment);
                if is_reset && rev.acked.get() == acked {
                    // It may have crossed the RST: only an acknowledgment of more bytes shows that its sender goes on.
                    rev.right_edge.set(edge);
                }
            }
            if segment.wire_len > 0 {
                ResyncDetector::of(record, sender.peer()).reset();
            }
        });
        if tcp.flags & flags::FIN != 0 {
            self.fin(conn, sender, segment, off);
        }
        let rev = record.sequences(sender);
        let acked = rev.acked_offset();
        if acked > rev.next.get() + FAR {
            self.receiver(conn, sender).advance_to(acked);
        }
    }

    #[inline(always)]
    pub(super) fn payload(
        &mut self,
        conn: Conn<'_>,
        side: Side,
        off: i64,
        segment: &Segment<'_>,
        fin: bool,
    ) {
        /// Blocks that a segment may need besides those for its bytes: index blocks, ranges.
        const SPARE: usize = 8;
        let needed = if conn.record.enabled(side) {
            segment.payload.len() / BLOCK + 2 + SPARE
        } else {
            SPARE
        } as u64;
        if self.writer.blocks.available() < needed {
            self.free_blocks(needed, conn, side);
        }
        self.receiver(conn, side)
            .segment(off, &segment.payload, fin);
    }

    /// Applies the consequences of a segment: states, establishment, closing, holes.
    #[inline(always)]
    fn finish_segment(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>) {
        if conn.record.closed.get() == CloseReason::Rst as u8 {
            return;
        }
        if segment.tcp.flags & (flags::SYN | flags::FIN | flags::RST) != 0
            || !states_are_stable(conn.record)
        {
            self.update_states(conn, sender, segment);
        }
        for side in Side::BOTH {
            self.watch_hole(conn, side);
        }
    }
}

/// Notes that an end was captured, how far it has sent, and its latest timestamp. Inside an update.
#[inline(always)]
fn note_sender(record: Record<'_>, fwd: &Sequences, rev: &Sequences, segment: &Segment<'_>) {
    let tcp = &segment.tcp;
    let control = u32::from(tcp.flags & flags::SYN != 0) + u32::from(tcp.flags & flags::FIN != 0);
    let end = tcp.seq.wrapping_add(segment.wire_len as u32 + control);
    let is_first = !rev.offers(option::SEEN);
    if is_first || is_before(fwd.sent_end.get(), end) {
        fwd.sent_end.set(end);
        rev.offer(option::SEEN);
    }
    // After crossed SYNs the receiver also takes the SYN-ACK.
    if tcp.flags & flags::SYN == 0
        || (tcp.flags & flags::ACK != 0 && fwd.state() == TcpState::SynReceived as u8)
    {
        note_timestamp(fwd, segment);
    }
    if record.flags.get() & flag::RST_PENDING != 0 {
        record.flags.set(record.flags.get() & !flag::RST_PENDING);
    }
}

/// Notes the timestamp of a segment. TS.Recent follows segments that are not ahead of the last acknowledgment sent (RFC
/// 7323, 4.3). Inside an update.
#[inline(always)]
fn note_timestamp(fwd: &Sequences, segment: &Segment<'_>) {
    if let Some(value) = segment.timestamp
        && (!is_before(value, fwd.ts_recent.get()) || fwd.ts_recent.get() == 0)
    {
        let edge = if fwd.has(side_flag::ACKED) && fwd.offers(option::SEEN) {
            fwd.acked.get()
        } else {
            fwd.start.get().wrapping_add(fwd.next.get() as u32)
        };
        if !is_before(edge, segment.tcp.seq) {
            fwd.ts_recent.set(value);
        }
    }
}

/// Returns whether a segment carries data or a FIN.
fn carries_more(segment: &Segment<'_>) -> bool {
    segment.wire_len > 0 || segment.tcp.flags & flags::FIN != 0
}

/// Returns whether Linux handles a pure acknowledgment by header prediction.
fn is_predicted(fwd: SideRecord<'_>, segment: &Segment<'_>, off: i64) -> bool {
    segment.wire_len == 0
        && segment.tcp.flags & !flags::PSH == flags::ACK
        && off == fwd.next.get() as i64
        && !fwd.has_out_of_order()
}
