//! FINs: candidates while they are beyond a hole, final once the in-order edge has reached them.
//!
//! A receiver processes a FIN when all before it has arrived. Until then a FIN is like one byte: data in its place voids
//! it, and a FIN at the edge comes before it. What waits beyond a FIN that took effect is discarded, as in Linux
//! (tcp_fin()).

use monitor_common::Refusal;
use monitor_common::wire::flags;

use super::Engine;
use super::conn::Conn;
use crate::decode::Segment;
use crate::payload::Payload;
use crate::seq::SequenceOffsets;
use crate::store::record::{NO_FIN, option, side_flag};
use crate::{Side, Sink, TcpState};

impl<S: Sink> Engine<S> {
    /// Takes the FIN of a segment whose first byte has the offset `off`.
    #[cold]
    pub(super) fn fin(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>, off: i64) {
        let record = conn.record;
        let (fwd, rev) = (record.side(sender.peer()), record.side(sender));
        let Ok(fin) = u64::try_from(off + segment.wire_len as i64) else {
            return;
        };
        let (known, next) = (fwd.fin(), fwd.next.get());
        if known == fin {
            return;
        }
        if known <= next || fin < next || fin > fwd.limit() {
            self.counters.wild.add(1);
            return;
        }
        let number = segment.tcp.seq.wrapping_add(segment.wire_len as u32);
        // Linux drops what starts where its window ends, also in the place of bytes that wait there.
        let is_outside = self.config.tcp.judge
            && !self.held.is_applying
            && fwd.offers(option::SEEN)
            && fwd.has(side_flag::ACKED)
            && number == fwd.right_edge.get();
        if off <= next as i64 {
            if is_outside && off < next as i64 && fin == next {
                // A closed window drops all but a FIN alone.
                self.hold_fin(conn, sender, segment, number);
                return;
            }
            // It comes before all that waits beyond it.
            self.receiver(conn, sender.peer()).end_at(fin);
        } else {
            let is_dropped = is_outside && segment.wire_len == 0;
            let mut receiver = self.receiver(conn, sender.peer());
            if !is_dropped && receiver.has_byte(fin) {
                // Joined to a queued segment that ends there, it comes before later ones.
                if segment.wire_len > 0 || known != NO_FIN || !receiver.lone_fin(fin) {
                    self.counters.wild.add(1);
                    return;
                }
                receiver.discard_from(fin);
            }
            if known != NO_FIN && (!self.config.tcp.judge || self.held.is_applying) {
                self.counters.wild.add(1);
                return;
            }
            if known != NO_FIN || is_dropped {
                self.hold_fin(conn, sender, segment, number);
                return;
            }
        }
        record.update(|_| {
            fwd.set_fin(fin);
            fwd.remove_flag(side_flag::FIN_ACKED | side_flag::CROSSED);
            // Captures of several processors may have its acknowledgment first.
            if fwd.acked_offset() == fin + 1 {
                fwd.add_flag(side_flag::FIN_ACKED);
            }
            let peer_fin = rev.fin();
            let acks_peer_fin = segment.tcp.flags & flags::ACK != 0
                && rev.has(side_flag::STARTED)
                && rev.offset(segment.tcp.ack) > peer_fin as i64;
            if peer_fin != NO_FIN && !acks_peer_fin {
                fwd.add_flag(side_flag::CROSSED);
            }
        });
    }

    /// Holds the FIN of a segment aside, without the segment's bytes.
    fn hold_fin(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>, number: u32) {
        let mut fin = *segment;
        fin.tcp.seq = number;
        fin.payload = Payload::default();
        fin.wire_len = 0;
        self.hold(conn, sender, &fin, Refusal::Fin);
    }

    /// Discards what waits beyond a FIN that the in-order edge has reached, and notes its time. Withdraws one in whose place
    /// data came.
    #[cold]
    pub(super) fn settle_fin(&mut self, conn: Conn<'_>, name: Side) {
        let side = conn.record.side(name);
        let (fin, next) = (side.fin(), side.next.get());
        if fin == next {
            let mut receiver = self.receiver(conn, name);
            if side.has_out_of_order() {
                receiver.end_at(fin);
            }
            receiver.mark_fin();
        } else if fin == NO_FIN || fin < next || side.acked_offset() > fin.saturating_add(1) {
            self.withdraw_fin(conn, name);
        }
    }

    /// Withdraws the FIN of a side: its sender continues.
    fn withdraw_fin(&mut self, conn: Conn<'_>, name: Side) {
        use TcpState::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait};
        let record = conn.record;
        let side = record.side(name);
        record.update(|record| {
            side.set_fin(NO_FIN);
            side.remove_flag(side_flag::FIN_ACKED | side_flag::CROSSED);
            let end = record.side(name.peer());
            match TcpState::from_number(end.state()) {
                FinWait1 | FinWait2 => end.set_state(Established as u8),
                Closing | LastAck | TimeWait => end.set_state(CloseWait as u8),
                _ => {}
            }
        });
        self.counters.wild.add(1);
    }
}
