//! What one segment does to its connection.

use std::collections::VecDeque;

use monitor_common::wire::flags;

use super::Engine;
use super::retire::millis;
use crate::decode::Segment;
use crate::event::Event;
use crate::flow::Class;
use crate::state::step;
use crate::store::memory::BLOCK;
use crate::store::record::{NO_FIN, Record, SideRecord, Wild, flag, side_flag};
use crate::{CloseReason, Side, Sink, TcpState};

/// How long a hole that the receiver has acknowledged may still be filled before it is declared lost: captures
/// reorder by a batch, not by more. Nanoseconds.
const GRACE: u64 = 200_000_000;

/// Acknowledged so far ahead of the in-order edge, what is missing is lost without grace: a little more, and sequence
/// numbers could no longer be told from those 4 GiB before.
const FAR: u64 = 1 << 30;

/// Holes waiting for their grace to pass, in the order in which it does.
#[derive(Debug, Default)]
pub struct Graces {
    queue: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    deadline: u64,
    slot: u32,
    generation: u32,
    side: Side,
}

/// The changes of state that one segment makes, until the record is whole again and they can be told.
#[derive(Default)]
struct Changes {
    list: [Option<(Side, TcpState)>; Self::MOST],
    len: usize,
}

impl Changes {
    /// Two of a handshake, three of each end's FINs.
    const MOST: usize = 8;

    fn push(&mut self, side: Side, state: TcpState) {
        if let Some(place) = self.list.get_mut(self.len) {
            *place = Some((side, state));
            self.len += 1;
        }
    }

    fn each(&self) -> impl Iterator<Item = (Side, TcpState)> {
        self.list[..self.len].iter().copied().flatten()
    }
}

impl Graces {
    /// More holes than that wait for their connection's next packet instead.
    const MOST: usize = 65_536;
}

impl<S: Sink> Engine<S> {
    /// Follows a segment that `sender` sent.
    pub(super) fn follow(
        &mut self,
        slot: u32,
        record: &Record,
        sender: Side,
        segment: &Segment<'_>,
    ) {
        let closed = record.closed.get();
        if closed == CloseReason::Stopped as u8 {
            self.ignore(slot, record);
            return;
        }
        self.counters.segments.add(1);
        self.counters
            .payload_bytes
            .add(segment.payload.len() as u64);
        // Bytes may still arrive after FINs and RSTs: sent before them, or in spite of one that only we believed.
        if closed != 0 && closed != CloseReason::Fin as u8 && closed != CloseReason::Rst as u8 {
            return;
        }
        self.lists.touch(&self.memory, slot, millis(self.now));
        record.write(|record| {
            record.last.set(self.now);
            start(record, sender, segment);
            record.side(sender.peer()).pull_acked();
        });
        let received = record.side(sender.peer());
        let syn = segment.tcp.flags & flags::SYN != 0;
        let off = received.offset(segment.tcp.seq.wrapping_add(u32::from(syn)));
        if segment.tcp.flags & flags::RST != 0 {
            self.reset(slot, record, sender, segment, off);
            return;
        }
        // Nearly always at the edge, which needs no look at the limit beyond it.
        if off > received.next.get() as i64
            && off as u64 > received.limit()
            && !resume(record, sender.peer(), segment)
        {
            self.counters.wild.add(1);
            return;
        }
        self.header(slot, record, sender, segment, off);
        let fin = segment.tcp.flags & flags::FIN != 0;
        if segment.payload.len() > 0 {
            self.payload(slot, sender.peer(), off, segment, fin);
        } else if fin
            && let Ok(off) = u64::try_from(off)
            && received.fin.get() == off
            && let Some(mut receiver) = self.receiver(slot, sender.peer())
        {
            receiver.lone_fin(off);
        }
        self.after(slot, record, sender, segment);
    }

    /// A RST counts if the receiver can take it for its peer's: inside the window (RFC 5961, 3.2), or as the answer
    /// to a SYN, which it must acknowledge (RFC 9293, 3.10.7.3).
    fn reset(&mut self, slot: u32, record: &Record, sender: Side, segment: &Segment<'_>, off: i64) {
        let received = record.side(sender.peer());
        let sent = record.side(sender);
        let answers_syn = || {
            segment.tcp.flags & flags::ACK != 0
                && sent.has(side_flag::STARTED)
                && (0..=sent.end.get().max(sent.next.get()) as i64)
                    .contains(&sent.offset(segment.tcp.ack))
        };
        let believed = if received.has(side_flag::ISN) || received.end.get() > 0 {
            let acked = received.acked_offset();
            let low = if acked > 0 {
                acked.min(received.next.get())
            } else {
                received.base.get()
            };
            off >= low as i64 && off <= received.limit() as i64
        } else {
            answers_syn()
        };
        if !believed {
            self.counters.rst_ignored.add(1);
            return;
        }
        if record.closed.get() == 0 {
            self.close(slot, CloseReason::Rst);
        }
    }

    /// Acknowledgment, window, FIN.
    fn header(
        &mut self,
        slot: u32,
        record: &Record,
        sender: Side,
        segment: &Segment<'_>,
        off: i64,
    ) {
        let tcp = &segment.tcp;
        let sent = record.side(sender);
        let received = record.side(sender.peer());
        if tcp.flags & flags::URG != 0 && tcp.urgent != 0 {
            self.counters.urgent.add(1);
        }
        if tcp.window == 0 && tcp.flags & (flags::SYN | flags::ACK) == flags::ACK {
            self.counters.zero_windows.add(1);
        }
        record.write(|_| {
            if tcp.flags & flags::ACK != 0 {
                acknowledge(sent, received, &record.wild[sender.index()], segment);
            }
            if segment.wire_len > 0 {
                record.wild[sender.peer().index()].refuted();
            }
            let fin = off + segment.wire_len as i64;
            if tcp.flags & flags::FIN != 0 && received.fin.get() == NO_FIN && fin >= 0 {
                self.fin(sent, received, segment, fin as u64);
            }
        });
        let acked = sent.acked_offset();
        if acked > sent.next.get() + FAR
            && let Some(mut receiver) = self.receiver(slot, sender)
        {
            receiver.give_up(acked);
        }
    }

    /// Inside a write.
    fn fin(&self, sent: &SideRecord, received: &SideRecord, segment: &Segment<'_>, fin: u64) {
        // Bytes beyond it were received already: whoever sent it, it was not the end of this stream.
        if fin < received.end.get() || fin > received.limit() {
            self.counters.wild.add(1);
            return;
        }
        received.fin.set(fin);
        let peer_fin = sent.fin.get();
        let has_acked = segment.tcp.flags & flags::ACK != 0
            && sent.has(side_flag::STARTED)
            && sent.offset(segment.tcp.ack) > peer_fin as i64;
        if peer_fin != NO_FIN && !has_acked {
            received.add_flag(side_flag::CROSSED);
        }
    }

    fn payload(&mut self, slot: u32, side: Side, off: i64, segment: &Segment<'_>, fin: bool) {
        /// Blocks that a segment may need besides those for its bytes: index blocks, islands.
        const SPARE: usize = 8;
        let kept = self
            .memory
            .record(slot)
            .is_some_and(|record| record.enabled(side));
        let needed = if kept {
            segment.payload.len() / BLOCK + 2 + SPARE
        } else {
            SPARE
        } as u64;
        if self.space.blocks.available() < needed {
            self.make_room(needed, slot, side);
        }
        if let Some(mut receiver) = self.receiver(slot, side) {
            receiver.segment(off, &segment.payload, fin);
        }
    }

    /// What follows from the segment: states, establishment, closing, holes.
    #[inline(always)]
    fn after(&mut self, slot: u32, record: &Record, sender: Side, segment: &Segment<'_>) {
        if record.closed.get() == CloseReason::Rst as u8 {
            return;
        }
        if segment.tcp.flags & (flags::SYN | flags::FIN | flags::RST) != 0 || !settled(record) {
            self.go_on(slot, record, sender, segment);
        }
        for side in Side::BOTH {
            self.watch_hole(slot, record, side);
        }
    }

    /// States, establishment, closing.
    fn go_on(&mut self, slot: u32, record: &Record, sender: Side, segment: &Segment<'_>) {
        let id = self.id(slot, record);
        let before = record.sides.each_ref().map(|side| side.state.get());
        let mut changes = Changes::default();
        record.write(|record| {
            step(record, sender, segment.tcp.flags, |side, state| {
                changes.push(side, state)
            });
        });
        for (side, state) in changes.each() {
            self.sink.event(Event::State { id, side, state });
        }
        let states = record.sides.each_ref().map(|side| side.state.get());
        if states != before {
            self.states_changed(slot, record);
        }
        self.classify(slot, record, sender, segment);
    }

    /// Moves the connection to the list where it belongs now: up only, until it is closed.
    #[inline]
    fn classify(&mut self, slot: u32, record: &Record, sender: Side, segment: &Segment<'_>) {
        let class = Class::of(record.class.get());
        if matches!(class, Class::Active | Class::Closed | Class::Free) {
            return;
        }
        let proven = class == Class::Silent || self.proven(record, sender, segment);
        let now = Class::living(proven, record.sides.iter().any(|side| side.end.get() > 0));
        if now != class {
            self.enlist(slot, now);
        }
    }

    /// More than a flood of single packets can fake cheaply: an answer, or a second packet after the first.
    fn proven(&self, record: &Record, sender: Side, segment: &Segment<'_>) -> bool {
        let midstream = record.flags.get() & flag::MIDSTREAM != 0;
        let answered = record.side(sender).end.get() > 0
            || record.side(sender).has(side_flag::ACKED | side_flag::SYN);
        let first = record.opened.get() == record.last.get() && segment.time == record.opened.get();
        record.flags.get() & flag::ESTABLISHED != 0 && (!midstream || answered || !first)
    }

    fn states_changed(&mut self, slot: u32, record: &Record) {
        use crate::TcpState::{
            CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait,
        };
        let id = self.id(slot, record);
        let open = |state: u8| {
            [
                Established,
                FinWait1,
                FinWait2,
                CloseWait,
                Closing,
                LastAck,
                TimeWait,
            ]
            .iter()
            .any(|s| *s as u8 == state)
        };
        if record.flags.get() & flag::ESTABLISHED == 0
            && record.sides.iter().all(|side| open(side.state.get()))
        {
            record.write(|record| record.flags.set(record.flags.get() | flag::ESTABLISHED));
            self.sink.event(Event::Established { id });
        }
        if record.closed.get() == 0
            && record
                .sides
                .iter()
                .all(|side| side.has(side_flag::FIN_ACKED))
        {
            self.close(slot, CloseReason::Fin);
        }
    }

    /// A hole that the receiver has acknowledged was not lost on the way to it, but on the way to us.
    #[inline]
    fn watch_hole(&mut self, slot: u32, record: &Record, name: Side) {
        let side = record.side(name);
        if !side.waiting() || side.has(side_flag::GRACE) || side.acked_offset() <= side.next.get() {
            return;
        }
        if self.graces.queue.len() >= Graces::MOST {
            return;
        }
        let acknowledged = self
            .receiver(slot, name)
            .and_then(|mut receiver| receiver.hole_end());
        if acknowledged.is_some_and(|end| end <= side.acked_offset()) {
            record.write(|_| side.add_flag(side_flag::GRACE));
            let deadline = self.now.saturating_add(GRACE);
            self.wake = self.wake.min(deadline);
            let generation = record.generation.get();
            self.graces.queue.push_back(Waiting {
                deadline,
                slot,
                generation,
                side: name,
            });
        }
    }

    /// Declares those holes lost whose grace has passed; returns when the next one's has.
    pub(super) fn expire_graces(&mut self) -> u64 {
        while let Some(waiting) = self.graces.queue.front().copied() {
            if waiting.deadline > self.now {
                return waiting.deadline;
            }
            self.graces.queue.pop_front();
            let memory = std::sync::Arc::clone(&self.memory);
            let Some(record) = memory.record(waiting.slot) else {
                continue;
            };
            if record.generation.get() != waiting.generation {
                continue;
            }
            let side = record.side(waiting.side);
            record.write(|_| side.remove_flag(side_flag::GRACE));
            let acked = side.acked_offset();
            if let Some(mut receiver) = self.receiver(waiting.slot, waiting.side) {
                receiver.give_up_holes(acked);
            }
        }
        u64::MAX
    }
}

/// Whether no segment without SYN, FIN and RST changes any state: both ends are established, and no FIN was seen (it
/// would have changed its sender's). So it is for nearly every segment.
#[inline(always)]
fn settled(record: &Record) -> bool {
    let established = |side: &SideRecord| side.state.get() == TcpState::Established as u8;
    let [client, server] = &record.sides;
    record.class.get() == Class::Active as u8 && established(client) && established(server)
}

/// Whether a segment beyond anything that the receiver could accept is believed nevertheless: because a stretch longer
/// than the window was never captured. Then all that comes is out there, and nothing contradicts it: several segments
/// near each other, acknowledged by the receiver if its acknowledgments are seen at all, and none inside the window
/// between them. (To a forged one the receiver answers with an acknowledgment of what it really has.)
fn resume(record: &Record, name: Side, segment: &Segment<'_>) -> bool {
    let side = record.side(name);
    let end = segment.tcp.seq.wrapping_add(segment.wire_len as u32);
    record.write(|record| {
        let believed = record.wild[name.index()].arrived(side, segment.tcp.seq, end);
        if believed {
            side.acked.set(segment.tcp.seq);
            side.add_flag(side_flag::ACKED);
        }
        believed
    })
}

/// Fixes offset 0 of the sides that the segment tells something about. Inside a write.
fn start(record: &Record, sender: Side, segment: &Segment<'_>) {
    let tcp = &segment.tcp;
    let received = record.side(sender.peer());
    let sent = record.side(sender);
    if tcp.flags & flags::RST != 0 {
        return;
    }
    if tcp.flags & flags::SYN != 0 {
        if !received.has(side_flag::STARTED) || received.end.get() == 0 {
            received.start.set(tcp.seq.wrapping_add(1));
        }
        received.add_flag(side_flag::STARTED | side_flag::ISN | side_flag::SYN);
        if let Some(scale) = segment.scale {
            sent.scale.set(scale);
            sent.add_flag(side_flag::SCALED);
        }
        if tcp.flags & flags::ACK != 0 && !sent.has(side_flag::STARTED) {
            sent.start.set(tcp.ack);
            sent.add_flag(side_flag::STARTED | side_flag::ISN);
        }
    } else if !received.has(side_flag::STARTED) {
        received.start.set(tcp.seq);
        received.add_flag(side_flag::STARTED);
    }
}

/// `sent` is the side of the end that acknowledges; `received` its peer's. Inside a write.
fn acknowledge(sent: &SideRecord, received: &SideRecord, wild: &Wild, segment: &Segment<'_>) {
    let tcp = &segment.tcp;
    if !sent.has(side_flag::STARTED) {
        return;
    }
    // The same once more, as with all data that goes one way: only the window may be new.
    let repeated =
        tcp.ack == sent.acked.get() && sent.has(side_flag::ACKED) && sent.fin.get() == NO_FIN;
    if !repeated {
        let ack = sent.offset(tcp.ack);
        if ack < 0 {
            return;
        }
        let ack = ack as u64;
        if ack > sent.limit() {
            wild.acknowledged(sent, tcp.ack);
            return;
        }
        if !sent.has(side_flag::ACKED) || ack > sent.acked_offset() {
            sent.acked.set(tcp.ack);
            sent.add_flag(side_flag::ACKED);
        }
        if sent.fin.get() != NO_FIN && ack > sent.fin.get() {
            sent.add_flag(side_flag::FIN_ACKED);
        }
    }
    wild.refuted();
    let window = u32::from(tcp.window) << scale(sent, received, tcp.flags);
    sent.window.set(sent.window.get().max(window));
}

/// The shift of the sender's window field (RFC 7323, 2): none in a SYN, none unless both offered one, and the
/// largest if the handshake was not seen.
fn scale(sent: &SideRecord, received: &SideRecord, tcp_flags: u8) -> u8 {
    const UNKNOWN: u8 = 14;
    if tcp_flags & flags::SYN != 0 {
        return 0;
    }
    // The SYN of the end `sent` belongs to lies in `received`, and the other way round.
    match (received.has(side_flag::SYN), sent.has(side_flag::SYN)) {
        (true, true) if sent.has(side_flag::SCALED) && received.has(side_flag::SCALED) => {
            sent.scale.get()
        }
        (true, true) => 0,
        (true, false) if sent.has(side_flag::SCALED) => sent.scale.get(),
        (true, false) => 0,
        (false, _) => UNKNOWN,
    }
}
