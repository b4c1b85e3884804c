//! Copies of packets that are captured on several interfaces: a bridge, its ports and the uplink show each packet once.
//!
//! The bytes of a side come from one interface first, its home. A segment from another interface that shows nothing new is
//! a copy. One that shows something new makes its interface the home: the path has changed, or its ring is read first.
//! A retransmission is captured again at home, and counts once.

use monitor_common::wire::flags;

use super::Engine;
use super::conn::Conn;
use crate::decode::Segment;
use crate::seq::is_before;
use crate::store::record::side_flag;
use crate::{Side, Sink};

/// Returns an interface in the form of [`Sequences::home`](crate::store::record::Sequences::home).
#[inline(always)]
pub(super) fn home_of(interface: u16) -> u8 {
    (interface as u8).max(1)
}

impl<S: Sink> Engine<S> {
    /// Counts a segment from another interface than its side's home if it shows nothing new. Otherwise its interface becomes
    /// the home.
    #[inline(never)]
    pub(super) fn is_copy(
        &mut self,
        conn: Conn<'_>,
        sender: Side,
        segment: &Segment<'_>,
        off: i64,
    ) -> bool {
        let record = conn.record;
        let (fwd, rev) = (record.side(sender.peer()), record.side(sender));
        let home = &fwd.home;
        let is_first = home.get() == 0;
        let tcp = &segment.tcp;
        let is_known = off + segment.wire_len as i64 <= fwd.next.get() as i64
            && (tcp.flags & flags::FIN == 0 || fwd.fin() <= fwd.next.get())
            && (tcp.flags & flags::ACK == 0
                || (rev.has(side_flag::ACKED) && !is_before(rev.acked.get(), tcp.ack)));
        if !is_first && is_known && tcp.flags & (flags::SYN | flags::RST) == 0 {
            self.counters.seen_elsewhere.add(1);
            self.counters
                .seen_elsewhere_bytes
                .add(segment.payload.len() as u64);
            return true;
        }
        self.elsewhere = !is_first;
        record.update(|_| home.set(home_of(segment.interface)));
        false
    }
}
