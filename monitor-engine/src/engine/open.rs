//! Beginning of connections, and the roles of their ends.

use monitor_common::wire::flags;

use super::Engine;
use super::conn::Conn;
use super::resync::ResyncDetector;
use super::transitions::is_over;
use crate::decode::Segment;
use crate::event::Event;
use crate::flow::{Class, FlowKey, Table};
use crate::store::arena::Arena;
use crate::store::record::{Record, SideRecord, flag, option, side_flag};
use crate::{CloseReason, Side, Sink};

/// Time after the last packet of a closed connection in which its own SYN may still be captured, nanoseconds.
const LATE_SYN: u64 = 1_000_000_000;

/// Relation of a segment to the connection of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Part of the connection.
    Same,
    /// SYN of a possible successor: the other end decides (RFC 5961, 4).
    Candidate,
    /// SYN-ACK that answers nothing.
    Refused,
    /// Beginning of a successor.
    Another,
}

impl Succession {
    fn another_if(another: bool) -> Self {
        if another { Self::Another } else { Self::Same }
    }
}

impl<S: Sink> Engine<S> {
    /// Returns how a segment of a known flow relates to the flow's connection.
    #[inline(always)]
    pub(super) fn succession(
        &self,
        record: Record<'_>,
        from_client: bool,
        segment: &Segment<'_>,
    ) -> Succession {
        if record.closed.get() == 0 && segment.tcp.flags & flags::SYN == 0 {
            return Succession::Same;
        }
        self.succession_of_syn(record, from_client, segment)
    }

    fn succession_of_syn(
        &self,
        record: Record<'_>,
        from_client: bool,
        segment: &Segment<'_>,
    ) -> Succession {
        let tcp = &segment.tcp;
        let closed = match record.closed.get() {
            0 if is_over(record) => CloseReason::Fin as u8,
            closed => closed,
        };
        if closed == CloseReason::Stopped as u8 && tcp.flags & flags::ACK != 0 {
            // An answer belongs to the connection that was stopped, even if its SYN was never seen.
            return Succession::Same;
        }
        if tcp.flags & (flags::SYN | flags::RST) != flags::SYN {
            // A flow has come back that was idle until it timed out.
            let returns = closed == CloseReason::Timeout as u8 && segment.wire_len > 0;
            return Succession::another_if(returns);
        }
        // The sender's bytes are on the other side.
        let receiver = if from_client {
            Side::Server
        } else {
            Side::Client
        };
        let fwd = record.side(receiver);
        let same = fwd.has(side_flag::STARTED) && fwd.start.get() == tcp.seq.wrapping_add(1);
        if closed != 0 && closed != CloseReason::Stopped as u8 {
            // A SYN may be captured after the end of its connection, but not much later.
            let is_late = self.now.saturating_sub(record.last.get()) < LATE_SYN;
            return Succession::another_if(!same || (tcp.flags & flags::ACK == 0 && !is_late));
        }
        if same || (!fwd.has(side_flag::STARTED) && closed == 0) {
            return Succession::Same;
        }
        if closed != 0 {
            return Succession::Another;
        }
        if tcp.flags & flags::ACK == 0 {
            Succession::Candidate
        } else if fwd.offers(option::SEEN) && fwd.has(side_flag::ISN) {
            Succession::Refused
        } else {
            Succession::Another
        }
    }

    /// Replaces the connection by the one that a held SYN begins, if the segment confirms it. Returns the connection that
    /// the segment belongs to, and whether its client sent the segment.
    #[cold]
    pub(super) fn confirm_syn<'a>(
        &mut self,
        arena: &'a Arena,
        conn: Conn<'a>,
        from_client: bool,
        segment: &Segment<'_>,
    ) -> Option<(Conn<'a>, bool)> {
        let sender = if from_client {
            Side::Client
        } else {
            Side::Server
        };
        let Some(index) = self.confirmed_syn(conn, sender, segment) else {
            return Some((conn, from_client));
        };
        let conn = self.open_held(arena, conn, index, segment)?;
        let from_client = segment.key.matches(conn.record)?;
        Some((conn, from_client))
    }

    /// Opens a connection for a segment that belongs to none. `old` is its predecessor on the same flow. Returns the
    /// connection, and whether its client sent the segment.
    pub(super) fn open<'a>(
        &mut self,
        arena: &'a Arena,
        segment: &Segment<'_>,
        old: Option<Conn<'a>>,
    ) -> Option<(Conn<'a>, bool)> {
        let tcp_flags = segment.tcp.flags;
        let syn = tcp_flags & flags::SYN != 0;
        // A FIN without data is the last of a connection: there is nothing to follow.
        let ending = tcp_flags & flags::FIN != 0 && segment.wire_len == 0;
        // Without SYN and ACK flag no receiver accepts it (RFC 9293, 3.10.7.4).
        let bare = tcp_flags & (flags::SYN | flags::ACK) == 0;
        if tcp_flags & flags::RST != 0 || (ending && !syn) || bare {
            self.counters.orphans.add(1);
            return None;
        }
        if !segment.key.is_wanted(&self.config.filter) {
            self.counters.filtered.add(1);
            return None;
        }
        if let Some(old) = old {
            self.detach_predecessor(old);
        }
        let slot = self.alloc_slot()?;
        let from_client = sender_is_client(&segment.key, tcp_flags);
        let record = arena.record(slot)?;
        let tag = Table::tag(segment.hash);
        record.update(|record| {
            clear(record);
            record.generation.set(record.generation.get() + 1);
            segment.key.put(record, from_client);
            record.set_interface(segment.interface);
            record.cold.opened.set(self.now);
            record.last.set(self.now);
            record.cold.tag.set(tag);
            record.flags.set(if syn { 0 } else { flag::MIDSTREAM });
            record.set_windows(self.default_window);
            record.set_overlap(
                segment
                    .key
                    .ends(from_client)
                    .map(|end| self.config.tcp.overlap_of(&end)),
            );
        });
        let conn = self.conn(arena, slot)?;
        if !self.rules.is_empty() {
            self.apply_rules(conn);
        }
        self.table.insert(tag, slot);
        self.enlist(slot, Class::HalfOpen);
        self.counters.opened.add(1);
        self.sink.event(Event::Opened { id: conn.id });
        Some((conn, from_client))
    }

    /// Closes the predecessor of a new connection and removes it from the flow table: its packets find the new one.
    pub(super) fn detach_predecessor(&mut self, old: Conn<'_>) {
        self.close(old, CloseReason::Reused);
        self.unshunt(old.record);
        self.table.remove(old.record.cold.tag.get(), old.slot);
    }
}

/// Resets everything that a previous connection left in a record.
fn clear(record: Record<'_>) {
    record.closed.set(0);
    record.flags.set(0);
    record.set_reset_by(None);
    for side in Side::BOTH {
        ResyncDetector::of(record, side).reset();
    }
    record.sides().iter().for_each(SideRecord::clear);
}

/// Returns whether the sender of a connection's first packet is its client. A SYN or SYN-ACK shows it. Midstream, the end
/// with a service port is the server, of two such the one with the lower port, of two equal ones the receiver.
fn sender_is_client(key: &FlowKey, tcp_flags: u8) -> bool {
    /// First port that is handed out to clients (RFC 6335, 6; Linux starts even lower).
    const EPHEMERAL: u16 = 32768;
    if tcp_flags & flags::SYN != 0 {
        return tcp_flags & flags::ACK == 0;
    }
    let rank = |port: u16| match port {
        1..1024 => 0,
        1024..EPHEMERAL => 1,
        _ => 2,
    };
    (rank(key.dport), key.dport) <= (rank(key.sport), key.sport)
}
