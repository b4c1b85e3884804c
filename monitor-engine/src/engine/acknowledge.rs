//! Header fields of a segment: offset 0, acknowledgment, window.
//!
//! Both directions of a connection are named relative to the segment: `fwd` is the side that receives its data, `rev`
//! the side of its sender, which the segment acknowledges.

use monitor_common::wire::flags;

use super::resync::ResyncDetector;
use crate::Side;
use crate::decode::Segment;
use crate::seq::SequenceOffsets;
use crate::store::record::{Record, Sequences, SideRecord, option, side_flag};

/// Returns whether [`learn_start`] would change anything.
#[inline(always)]
pub fn may_learn_start(fwd: &Sequences, segment: &Segment<'_>) -> bool {
    segment.tcp.flags & flags::SYN != 0 || !fwd.has(side_flag::STARTED)
}

/// Fixes offset 0 of a side when a segment shows its sequence numbers first. Inside an update.
#[inline(always)]
pub fn learn_start(record: Record<'_>, sender: Side, segment: &Segment<'_>) {
    if may_learn_start(record.sequences(sender.peer()), segment) {
        learn_first(
            record.side(sender.peer()),
            record.sequences(sender),
            segment,
        );
    }
}

fn learn_first(fwd: SideRecord<'_>, rev: &Sequences, segment: &Segment<'_>) {
    let tcp = &segment.tcp;
    if tcp.flags & flags::RST != 0 {
        return;
    }
    if tcp.flags & flags::SYN != 0 {
        // A SYN counts more than a start that was guessed, as long as no byte has an offset.
        if !fwd.has(side_flag::STARTED) || fwd.end() == 0 {
            fwd.start.set(tcp.seq.wrapping_add(1));
        }
        fwd.add_flag(side_flag::STARTED | side_flag::ISN | side_flag::SYN);
        if let Some(scale) = segment.options.scale {
            rev.set_scale(scale);
        }
        if segment.options.sack {
            rev.offer(option::SACK);
        }
        if let Some(value) = segment.timestamp {
            rev.offer(option::TIMESTAMPS);
            // Repeated, its receiver has a later segment already.
            if !fwd.has(side_flag::ACKED) {
                fwd.ts_recent.set(value);
            }
        }
        // A SYN-ACK shows the sequence number of the SYN that was missed.
        if tcp.flags & flags::ACK != 0 && !rev.has(side_flag::STARTED) {
            rev.start.set(tcp.ack);
            rev.add_flag(side_flag::STARTED | side_flag::ISN);
        }
    } else if !fwd.has(side_flag::STARTED) {
        fwd.start.set(tcp.seq);
        fwd.add_flag(side_flag::STARTED);
    }
}

/// Applies acknowledgment and window of a segment to the side of its sender. Inside an update.
#[inline(always)]
pub fn acknowledge(record: Record<'_>, sender: Side, segment: &Segment<'_>) {
    let (fwd, rev) = (record.sequences(sender.peer()), record.sequences(sender));
    if rev.offers(option::FIN) {
        acknowledge_fin(record.side(sender), segment);
    }
    acknowledge_data(fwd, rev, ResyncDetector::of(record, sender), segment);
}

fn acknowledge_data(
    fwd: &Sequences,
    rev: &Sequences,
    resync: ResyncDetector<'_>,
    segment: &Segment<'_>,
) {
    let tcp = &segment.tcp;
    if !rev.has(side_flag::STARTED) {
        return;
    }
    let is_first = !rev.has(side_flag::ACKED);
    // A repeated acknowledgment, as with all data that flows one way: only the window may be new.
    let is_repeated = tcp.ack == rev.acked.get() && !is_first && !rev.offers(option::FIN);
    if !is_repeated {
        let ack = rev.offset(tcp.ack);
        if ack < 0 {
            return;
        }
        let ack = ack as u64;
        if ack > rev.limit() {
            resync.acknowledged(tcp.ack);
            return;
        }
        if is_first || ack > rev.acked_offset() {
            rev.acked.set(tcp.ack);
            rev.add_flag(side_flag::ACKED);
        }
    }
    resync.reset();
    let window = u32::from(tcp.window) << window_shift(fwd, rev, tcp.flags);
    let edge = tcp.ack.wrapping_add(window);
    // The right edge never moves left (RFC 9293, 3.8.6): an older acknowledgment doesn't shrink the window.
    if is_first || edge.wrapping_sub(rev.right_edge.get()) as i32 > 0 {
        rev.right_edge.set(edge);
    }
}

/// Notes that a segment acknowledges the FIN that its sender received.
#[cold]
fn acknowledge_fin(rev: SideRecord<'_>, segment: &Segment<'_>) {
    let ack = rev.offset(segment.tcp.ack) as u64;
    if rev.has(side_flag::STARTED) && ack == rev.fin() + 1 && ack <= rev.limit() {
        rev.add_flag(side_flag::FIN_ACKED);
    }
}

/// Returns the shift of the sender's window field (RFC 7323, 2): none in a SYN, none unless both offered one, and the
/// largest if the handshake was not seen.
fn window_shift(fwd: &Sequences, rev: &Sequences, tcp_flags: u8) -> u8 {
    const UNKNOWN: u8 = 14;
    if tcp_flags & flags::SYN != 0 {
        return 0;
    }
    // The sender's SYN is on the side that receives its data, `fwd`; the peer's SYN on `rev`.
    match (fwd.has(side_flag::SYN), rev.has(side_flag::SYN)) {
        (true, true) if fwd.scale().is_none() => 0,
        (true, _) => rev.scale().unwrap_or(0),
        (false, _) => UNKNOWN,
    }
}
