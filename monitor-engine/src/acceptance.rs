//! Acceptability of a segment: the judgement of its receiver, before the segment changes anything.
//!
//! A receiver discards segments that don't fit its state: without ACK flag, with an acknowledgment of data it never sent,
//! with an old timestamp, beyond its window. An observer that stores their bytes reports bytes that no application read.
//! The rules are those of RFC 9293 (3.10.7.4), RFC 5961 (3 to 5) and RFC 7323 (5), and of Linux where these leave room.
//!
//! An observer may have missed segments that the receiver has seen. A segment that contradicts what was captured is
//! therefore [held](Verdict::Hold), not discarded: the receiver's acknowledgment decides. A rule that needs the receiver's
//! own segments isn't applied before one was captured.
//!
//! **Invariant:** pure. Reads two sides of a record and one segment, changes nothing.

use monitor_common::Refusal;
use monitor_common::wire::flags;

use crate::decode::Segment;
use crate::seq::{SequenceOffsets, is_before};
use crate::store::record::{NO_FIN, Sequences, SideRecord, option, side_flag};

/// Judgement of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver accepts it.
    Accept,
    /// Repeats only acknowledged bytes, which are counted; the rest is ignored (RFC 9293, 3.10.7.4).
    Repeated,
    /// Unacceptable as far as the capture shows. It counts if the receiver acknowledges it nevertheless.
    Hold(Refusal),
    /// Unacceptable, independently of any loss of the capture.
    Refuse(Refusal),
}

/// Judges a segment without SYN and RST. `fwd` is the side that receives its data, `rev` the side of its sender, `off` the
/// offset of its first byte on `fwd`.
#[inline(always)]
pub fn judge(fwd: &Sequences, rev: &Sequences, segment: &Segment<'_>, off: i64) -> Verdict {
    let tcp = &segment.tcp;
    if tcp.flags & flags::ACK == 0 {
        return Verdict::Refuse(Refusal::NoAck);
    }
    // Nearly every segment passes these: its acknowledgment lies between the highest one and the data sent, its timestamp
    // is not older, its data starts within the window. A latest timestamp of 0 counts as none, as in Linux.
    let is_new = fwd.offers(option::TIMESTAMPS) && rev.offers(option::TIMESTAMPS);
    if let Some(value) = segment.timestamp
        && is_new
        && is_before(value, fwd.ts_recent.get().wrapping_sub(PAWS_SLACK))
        && fwd.ts_recent.get() != 0
    {
        return old_timestamp(fwd, rev, segment, off);
    }
    if !fwd.offers(option::SEEN) {
        // The receiver isn't visible: neither its data nor its window is known.
        return Verdict::Accept;
    }
    if fwd.has(side_flag::ACKED) {
        let end = tcp
            .seq
            .wrapping_add(segment.wire_len as u32)
            .wrapping_add(u32::from(tcp.flags & flags::FIN != 0));
        if is_before(end, fwd.acked.get()) {
            return Verdict::Repeated;
        }
        // Linux 6.17 and later discard the whole segment unless the application has read everything; earlier ones take it.
        let data_end = tcp.seq.wrapping_add(segment.wire_len as u32);
        if is_before(fwd.right_edge.get(), data_end) {
            return Verdict::Hold(Refusal::Window);
        }
    }
    acknowledgment(rev, tcp.ack)
}

/// Judges a segment to an end that has sent a SYN and waits for the answer (SYN-SENT; RFC 9293, 3.10.7.3).
#[cold]
pub fn judge_answer(rev: &Sequences, segment: &Segment<'_>) -> Verdict {
    let tcp = &segment.tcp;
    if tcp.flags & flags::SYN == 0 {
        // The capture may have missed the SYN-ACK.
        return Verdict::Hold(Refusal::Unsynchronized);
    }
    let is_answer = tcp.flags & flags::ACK == 0
        || !(is_before(tcp.ack, rev.start.get()) || is_before(rev.sent_end.get(), tcp.ack));
    if is_answer {
        Verdict::Accept
    } else {
        Verdict::Refuse(Refusal::AckUnsent)
    }
}

/// Tolerance of the timestamp check, in ticks: TCP_PAWS_WINDOW of Linux.
const PAWS_SLACK: u32 = 1;

/// Judges the acknowledgment number of a segment with a visible receiver. `rev` is the side of the segment's sender.
#[inline(always)]
fn acknowledgment(rev: &Sequences, ack: u32) -> Verdict {
    if is_before(rev.sent_end.get(), ack) {
        return Verdict::Hold(Refusal::AckUnsent);
    }
    if rev.has(side_flag::ACKED) && is_before(ack, rev.acked.get()) {
        return old_acknowledgment(rev, ack);
    }
    Verdict::Accept
}

/// Judges an acknowledgment below the highest one (RFC 5961, 5.2): acceptable within the largest window of its sender.
/// Linux takes data at the edge with any older acknowledgment as well, if header prediction applies.
#[cold]
fn old_acknowledgment(rev: &Sequences, ack: u32) -> Verdict {
    /// Least window that is assumed: the largest one without scaling.
    const LEAST: u32 = 65535;
    let window = rev.right_edge.get().wrapping_sub(rev.acked.get()) as i32;
    let window = (window.max(0) as u32).max(LEAST);
    let is_before_start = rev.has(side_flag::ISN) && rev.offset(ack) < 0;
    if is_before_start || rev.acked.get().wrapping_sub(ack) > window {
        return Verdict::Hold(Refusal::AckTooOld);
    }
    Verdict::Accept
}

/// Judges a segment with an old timestamp. Linux accepts a pure acknowledgment that was merely overtaken.
#[cold]
fn old_timestamp(fwd: &Sequences, rev: &Sequences, segment: &Segment<'_>, off: i64) -> Verdict {
    let is_pure = segment.wire_len == 0 && segment.tcp.flags & flags::FIN == 0;
    if is_pure && off == fwd.next.get() as i64 && segment.tcp.ack == rev.acked.get() {
        return Verdict::Accept;
    }
    if is_pure {
        // It has no bytes that could be missing later.
        return Verdict::Refuse(Refusal::Timestamp);
    }
    Verdict::Hold(Refusal::Timestamp)
}

/// Judges a RST on a synchronized connection (RFC 5961, 3.2): its receiver is reset at exactly the next expected sequence
/// number. Linux also takes the end of the highest range beyond a hole if selective acknowledgments are in use, and the
/// number of a FIN that it has received. It acknowledges less than it has received while it delays acknowledgments, so
/// that the highest acknowledgment is no edge. `exact`: apply that; otherwise any place in the window counts.
pub fn judge_rst(
    fwd: SideRecord<'_>,
    rev: SideRecord<'_>,
    segment: &Segment<'_>,
    off: i64,
    exact: bool,
) -> Verdict {
    let acked = fwd.acked_offset();
    let next = fwd.next.get();
    let is_beyond_syn = fwd.has(side_flag::ISN) && fwd.end() == 0 && off > 0;
    if exact && is_beyond_syn && !fwd.offers(option::SEEN) {
        // Its sender has sent a SYN alone: it answers a segment that acknowledges data never sent (RFC 9293, 3.10.7.3).
        return Verdict::Hold(Refusal::Rst);
    }
    if !fwd.offers(option::SEEN) || !exact {
        // Challenge acknowledgments would not be visible: any place in the window counts.
        let low = if acked > 0 {
            acked.min(next)
        } else {
            fwd.stored.base.get()
        };
        let inside = off >= low as i64 && off <= fwd.limit() as i64;
        return if inside {
            Verdict::Accept
        } else {
            Verdict::Refuse(Refusal::Rst)
        };
    }
    let fin = fwd.fin();
    // The place of a FIN that was received, and the one after it. Linux takes a second FIN one byte later as well.
    let last = fin.max(acked.saturating_sub(1));
    let after_fin = fin <= next && (off == last as i64 || off == last as i64 + 1);
    let at_edge = after_fin || off == next.max(acked) as i64;
    let uses_sack = fwd.offers(option::SACK) && rev.offers(option::SACK);
    // A FIN beyond a hole takes a number in the highest range.
    let end = fwd.end();
    let sack_edge = if fin != NO_FIN && fin >= end {
        fin + 1
    } else {
        end
    };
    let at_sack_edge = uses_sack && fwd.has_out_of_order() && off == sack_edge as i64;
    // Payload of a RST counts as well: one that ends beyond the window is discarded, except in the place of the FIN.
    let data_end = segment.tcp.seq.wrapping_add(segment.wire_len as u32);
    let fits = segment.wire_len == 0
        || (after_fin && off == last as i64)
        || !fwd.has(side_flag::ACKED)
        || !is_before(fwd.right_edge.get(), data_end);
    // The capture may have missed bytes that its sender sent before the RST.
    if fits && (at_edge || at_sack_edge) {
        Verdict::Accept
    } else if off >= acked.min(next) as i64 && off <= fwd.limit() as i64 {
        Verdict::Hold(Refusal::Rst)
    } else {
        Verdict::Refuse(Refusal::Rst)
    }
}

/// Returns whether a RST acknowledges the SYN, or the first data, of the end that receives it.
pub fn answers_syn(rev: SideRecord<'_>, segment: &Segment<'_>) -> bool {
    segment.tcp.flags & flags::ACK != 0
        && rev.has(side_flag::STARTED)
        && (0..=rev.end().max(rev.next.get()) as i64).contains(&rev.offset(segment.tcp.ack))
}

#[cfg(test)]
mod tests {
    use monitor_common::wire::Tcp;

    use super::*;
    use crate::store::record::RecordMemory;

    /// A receiver that expects 1000, with a window of 500, and has sent everything below 8000.
    fn sides() -> (SideRecord<'static>, SideRecord<'static>) {
        let memory: &'static RecordMemory = Box::leak(Box::default());
        let [fwd, rev] = memory.record().sides();
        fwd.start.set(1000);
        fwd.add_flag(side_flag::STARTED | side_flag::ISN | side_flag::ACKED);
        fwd.acked.set(1000);
        fwd.right_edge.set(1500);
        fwd.offer(option::SEEN);
        rev.start.set(7000);
        rev.add_flag(side_flag::STARTED | side_flag::ISN | side_flag::ACKED);
        rev.acked.set(7500);
        rev.right_edge.set(7600);
        rev.sent_end.set(8000);
        rev.offer(option::SEEN);
        (fwd, rev)
    }

    fn segment(seq: u32, len: usize, ack: u32) -> Segment<'static> {
        Segment {
            tcp: Tcp {
                seq,
                ack,
                flags: flags::ACK,
                ..Tcp::default()
            },
            wire_len: len,
            ..Segment::default()
        }
    }

    fn verdict(sides: &(SideRecord<'_>, SideRecord<'_>), segment: &Segment<'_>) -> Verdict {
        let off = sides.0.offset(segment.tcp.seq);
        judge(&sides.0, &sides.1, segment, off)
    }

    #[test]
    fn acknowledgments_are_judged_by_the_data_that_was_sent() {
        let sides = sides();
        let judged = |ack| verdict(&sides, &segment(1000, 10, ack));
        assert_eq!(judged(8000), Verdict::Accept);
        assert_eq!(judged(8001), Verdict::Hold(Refusal::AckUnsent));
        assert_eq!(judged(7400), Verdict::Accept);
        assert_eq!(judged(6999), Verdict::Hold(Refusal::AckTooOld));
        sides.1.remove_flag(side_flag::ISN);
        assert_eq!(
            judged(7500_u32.wrapping_sub(70_000)),
            Verdict::Hold(Refusal::AckTooOld),
            "midstream, older data was sent before the capture"
        );
    }

    #[test]
    fn data_starts_within_the_window() {
        let sides = sides();
        let judged = |seq, len| verdict(&sides, &segment(seq, len, 8000));
        assert_eq!(judged(1490, 10), Verdict::Accept);
        assert_eq!(judged(1490, 11), Verdict::Hold(Refusal::Window));
        assert_eq!(judged(1500, 0), Verdict::Accept);
        assert_eq!(judged(1500, 1), Verdict::Hold(Refusal::Window));
        assert_eq!(judged(1501, 0), Verdict::Hold(Refusal::Window));
        assert_eq!(judged(900, 99), Verdict::Repeated);
        assert_eq!(judged(900, 100), Verdict::Accept);
    }

    #[test]
    fn without_ack_flag_nothing_counts() {
        let mut bare = segment(1000, 10, 0);
        bare.tcp.flags = flags::FIN;
        assert_eq!(verdict(&sides(), &bare), Verdict::Refuse(Refusal::NoAck));
    }

    #[test]
    fn timestamps_count_once_both_ends_offered_them() {
        let sides = sides();
        sides.0.ts_recent.set(100);
        let stamped = |value, len| Segment {
            timestamp: Some(value),
            ..segment(1000, len, 7500)
        };
        assert_eq!(verdict(&sides, &stamped(5, 10)), Verdict::Accept);
        sides.0.offer(option::TIMESTAMPS);
        sides.1.offer(option::TIMESTAMPS);
        assert_eq!(
            verdict(&sides, &stamped(5, 10)),
            Verdict::Hold(Refusal::Timestamp)
        );
        assert_eq!(verdict(&sides, &stamped(99, 10)), Verdict::Accept);
        assert_eq!(verdict(&sides, &stamped(5, 0)), Verdict::Accept);
        let other = Segment {
            timestamp: Some(5),
            ..segment(1000, 0, 7700)
        };
        assert_eq!(verdict(&sides, &other), Verdict::Refuse(Refusal::Timestamp));
        sides.0.ts_recent.set(0);
        assert_eq!(verdict(&sides, &stamped(1 << 31 | 5, 10)), Verdict::Accept);
    }

    #[test]
    fn a_receiver_that_was_not_seen_is_given_every_acknowledgment_and_window() {
        let sides = sides();
        sides.0.forget_seen();
        assert_eq!(verdict(&sides, &segment(1000, 10, 9000)), Verdict::Accept);
        assert_eq!(verdict(&sides, &segment(5000, 10, 8000)), Verdict::Accept);
    }

    #[test]
    fn a_rst_counts_at_the_edge_alone() {
        let sides = sides();
        let judged = |off: i64| {
            let rst = segment(1000_u32.wrapping_add(off as u32), 0, 0);
            judge_rst(sides.0, sides.1, &rst, off, true)
        };
        assert_eq!(judged(0), Verdict::Accept);
        assert_eq!(judged(100), Verdict::Hold(Refusal::Rst));
        assert_eq!(judged(-1), Verdict::Refuse(Refusal::Rst));
        assert_eq!(judged(1 << 20), Verdict::Refuse(Refusal::Rst));
        sides.0.set_end(300);
        sides.0.offer(option::SACK);
        sides.1.offer(option::SACK);
        assert_eq!(judged(300), Verdict::Accept);
        sides.0.set_fin(400);
        assert_eq!(judged(300), Verdict::Hold(Refusal::Rst));
        assert_eq!(judged(401), Verdict::Accept);
        sides.0.set_fin(300);
        assert_eq!(judged(300), Verdict::Hold(Refusal::Rst));
        assert_eq!(judged(301), Verdict::Accept);
        sides.0.set_next(300);
        sides.0.acked.set(1301);
        let long = judge_rst(sides.0, sides.1, &segment(1300, 900, 0), 300, true);
        assert_eq!(long, Verdict::Accept);
        assert_eq!(judged(300), Verdict::Accept);
        assert_eq!(judged(301), Verdict::Accept);
        sides.0.acked.set(1302);
        assert_eq!(judged(300), Verdict::Hold(Refusal::Rst));
        assert_eq!(judged(301), Verdict::Accept);
        assert_eq!(judged(302), Verdict::Accept);
    }
}
