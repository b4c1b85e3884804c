//! Consequences of a segment: TCP states, establishment, closing, and the class of the connection.

use super::Engine;
use super::conn::Conn;
use crate::decode::Segment;
use crate::event::Event;
use crate::flow::Class;
use crate::state::advance_states;
use crate::store::record::{Record, SideRecord, flag, side_flag};
use crate::{CloseReason, Side, Sink, TcpState};

/// State changes of one segment, kept until the record is consistent again and events may be sent.
#[derive(Default)]
struct Changes {
    list: [Option<(Side, TcpState)>; Self::MOST],
    len: usize,
}

impl Changes {
    /// Two of a handshake, three of each end's FINs.
    const MOST: usize = 8;

    fn push(&mut self, side: Side, state: TcpState) {
        if let Some(entry) = self.list.get_mut(self.len) {
            *entry = Some((side, state));
            self.len += 1;
        }
    }

    fn each(&self) -> impl Iterator<Item = (Side, TcpState)> {
        self.list[..self.len].iter().copied().flatten()
    }
}

impl<S: Sink> Engine<S> {
    /// Advances the states of both ends, then establishes, closes and classifies the connection accordingly.
    pub(super) fn update_states(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>) {
        let (id, record) = (conn.id, conn.record);
        let mut changes = Changes::default();
        record.update(|record| {
            let has_data = segment.wire_len > 0;
            advance_states(
                record,
                sender,
                segment.tcp.flags,
                has_data,
                |side, state| {
                    changes.push(side, state);
                },
            );
        });
        for (side, state) in changes.each() {
            self.sink.event(Event::State { id, side, state });
        }
        if changes.len > 0 {
            self.establish(conn);
        }
        self.close_if_over(conn);
        self.classify(conn, sender, segment);
    }

    /// Moves the connection to the list of its class. Classes only rise until the connection is closed.
    #[inline]
    fn classify(&mut self, conn: Conn<'_>, sender: Side, segment: &Segment<'_>) {
        let record = conn.record;
        let class = Class::of(record.class());
        if matches!(class, Class::Active | Class::Closed | Class::Free) {
            return;
        }
        let verified = class == Class::EstablishedIdle || verified(record, sender, segment);
        let now = Class::open(
            verified,
            Side::BOTH.iter().any(|side| holds_bytes(record, *side)),
        );
        if now != class {
            self.enlist(conn.slot, now);
        }
    }

    /// Notes that both ends have completed the handshake.
    fn establish(&mut self, conn: Conn<'_>) {
        let record = conn.record;
        if record.flags.get() & flag::ESTABLISHED == 0
            && record.sides().into_iter().all(is_synchronized)
        {
            record.update(|record| record.flags.set(record.flags.get() | flag::ESTABLISHED));
            self.sink.event(Event::Established { id: conn.id });
        }
    }

    /// Closes a connection when both of its FINs are acknowledged. Bytes that these have overtaken on their way to the capture
    /// may arrive first.
    pub(super) fn close_if_over(&mut self, conn: Conn<'_>) {
        if conn.record.closed.get() == 0
            && is_over(conn.record)
            && !Side::BOTH
                .map(|side| self.awaits_bytes(conn, side))
                .contains(&true)
        {
            self.close(conn, CloseReason::Fin);
        }
    }
}

/// Returns whether each end has acknowledged the FIN of the other.
pub(super) fn is_over(record: Record<'_>) -> bool {
    let sides = record.sides();
    sides.iter().all(|side| side.has(side_flag::FIN_ACKED))
}

/// Returns whether a side has received bytes.
#[inline(always)]
fn holds_bytes(record: Record<'_>, side: Side) -> bool {
    let sequences = record.sequences(side);
    if sequences.is_apart() {
        record.side(side).end() > 0
    } else {
        sequences.next.get() > 0
    }
}

/// Returns whether an end has completed its handshake.
fn is_synchronized(end: SideRecord<'_>) -> bool {
    use TcpState::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait};
    matches!(
        TcpState::from_number(end.state()),
        Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck | TimeWait
    )
}

/// Returns whether the connection has shown more than a flood of single packets can fake cheaply: an answer, or a second
/// packet after the first.
fn verified(record: Record<'_>, sender: Side, segment: &Segment<'_>) -> bool {
    let midstream = record.flags.get() & flag::MIDSTREAM != 0;
    let answered =
        record.side(sender).end() > 0 || record.side(sender).has(side_flag::ACKED | side_flag::SYN);
    let first =
        record.cold.opened.get() == record.last.get() && segment.time == record.cold.opened.get();
    record.flags.get() & flag::ESTABLISHED != 0 && (!midstream || answered || !first)
}

/// Returns whether no segment without SYN, FIN and RST changes any state: both ends are established, and no FIN was seen
/// (it would have changed its sender's). True for nearly every segment.
#[inline(always)]
pub fn states_are_stable(record: Record<'_>) -> bool {
    let [client, server] = Side::BOTH.map(|side| record.sequences(side));
    record.class() == Class::Active as u8
        && client.state() == TcpState::Established as u8
        && server.state() == TcpState::Established as u8
}
