//! When a connection begins, and who called whom.

use monitor_common::wire::flags;

use super::Engine;
use crate::decode::Segment;
use crate::event::Event;
use crate::flow::{Class, FlowKey, Table};
use crate::store::record::{NO_FIN, Record, Wild, flag, side_flag};
use crate::{CloseReason, Side, Sink};

impl<S: Sink> Engine<S> {
    /// Whether a segment of a known flow begins another connection on the same addresses and ports.
    pub(super) fn starts_anew(&self, slot: u32, from_client: bool, segment: &Segment<'_>) -> bool {
        let tcp = &segment.tcp;
        let Some(record) = self.memory.record(slot) else {
            return true;
        };
        let closed = record.closed.get();
        if closed == CloseReason::Stopped as u8 && tcp.flags & flags::ACK != 0 {
            // An answer belongs to the connection that was stopped, even if its SYN was never seen.
            return false;
        }
        if tcp.flags & (flags::SYN | flags::RST) != flags::SYN {
            // A flow that went quiet for so long that we gave it up has come back.
            return closed == CloseReason::Timeout as u8 && segment.wire_len > 0;
        }
        // The sender's bytes are the other side's.
        let side = record.side(if from_client {
            Side::Server
        } else {
            Side::Client
        });
        let same = side.has(side_flag::STARTED) && side.start.get() == tcp.seq.wrapping_add(1);
        if closed != 0 && closed != CloseReason::Stopped as u8 {
            return !same || tcp.flags & flags::ACK == 0;
        }
        !same && (side.has(side_flag::STARTED) || closed != 0)
    }

    /// Makes a connection for a segment that belongs to none; `old` is its predecessor on the same flow.
    pub(super) fn open(&mut self, segment: &Segment<'_>, old: Option<u32>) -> Option<(u32, bool)> {
        let tcp_flags = segment.tcp.flags;
        let syn = tcp_flags & flags::SYN != 0;
        // A FIN without data is all that is left of a connection: there is nothing to follow.
        let ending = tcp_flags & flags::FIN != 0 && segment.wire_len == 0;
        if tcp_flags & flags::RST != 0 || (ending && !syn) {
            self.counters.orphans.add(1);
            return None;
        }
        if !self.config.filter.wants(&segment.key) {
            self.counters.filtered.add(1);
            return None;
        }
        if let Some(old) = old {
            self.leave_flow(old);
        }
        let slot = self.take_slot()?;
        let from_client = sender_is_client(&segment.key, tcp_flags);
        let record = self.memory.record(slot)?;
        record.write(|record| {
            clear(record);
            record.generation.set(record.generation.get() + 1);
            segment.key.put(record, from_client);
            record.opened.set(self.now);
            record.last.set(self.now);
            record.tag.set(Table::tag(segment.hash));
            record.flags.set(if syn { 0 } else { flag::MIDSTREAM });
            record.set_overlap(
                segment
                    .key
                    .ends(from_client)
                    .map(|end| self.config.tcp.overlap_of(&end)),
            );
        });
        if !self.rules.is_empty() {
            self.apply_rules(slot);
        }
        let id = self
            .memory
            .record(slot)
            .map(|record| self.id(slot, record))?;
        self.table.insert(Table::tag(segment.hash), slot);
        self.enlist(slot, Class::HalfOpen);
        self.counters.opened.add(1);
        self.sink.event(Event::Opened { id });
        Some((slot, from_client))
    }

    /// The flow has a new connection: the old one is closed and cannot be found by its packets any more.
    fn leave_flow(&mut self, slot: u32) {
        self.close(slot, CloseReason::Reused);
        self.let_flow_in(slot);
        if let Some(record) = self.memory.record(slot) {
            self.table.remove(record.tag.get(), slot);
        }
    }
}

fn clear(record: &Record) {
    record.closed.set(0);
    record.flags.set(0);
    record.wild.iter().for_each(Wild::refuted);
    record.windows.iter().for_each(|window| window.set(0));
    for side in &record.sides {
        for cell in [
            &side.base,
            &side.next,
            &side.end,
            &side.run,
            &side.retransmitted,
        ] {
            cell.set(0);
        }
        side.fin.set(NO_FIN);
        for cell in [
            &side.start,
            &side.acked,
            &side.window,
            &side.gaps,
            &side.conflicts,
            &side.history,
        ] {
            cell.set(0);
        }
        for cell in [&side.state, &side.scale, &side.flags] {
            cell.set(0);
        }
    }
}

/// Who called whom. A SYN or its answer says so; midstream, the end with a port that services listen on was called,
/// of two such the one with the lower port, and of two equal ones the one that is spoken to first.
fn sender_is_client(key: &FlowKey, tcp_flags: u8) -> bool {
    /// Ports from here on are handed out to callers (RFC 6335, 6; Linux starts even lower).
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
