//! TCP states of both ends (RFC 9293, 3.3.2), as far as an observer can infer them.

use monitor_common::wire::flags;

use crate::store::record::{NO_FIN, Record, Sequences, SideRecord, option, side_flag};
use crate::{Side, TcpState};

/// State of an end as the record holds it.
trait EndState {
    /// Returns whether the FIN has reached the receiver: all before it has arrived, or the receiver acknowledged it.
    fn fin_delivered(&self) -> bool;

    /// Returns the end's state.
    fn tcp_state(&self) -> TcpState;
}

impl EndState for SideRecord<'_> {
    #[inline]
    fn fin_delivered(&self) -> bool {
        let fin = self.fin();
        fin != NO_FIN && (self.next.get() >= fin || self.has(side_flag::FIN_ACKED))
    }

    #[inline]
    fn tcp_state(&self) -> TcpState {
        TcpState::from_number(self.state())
    }
}

/// Advances both ends' states after a segment from `sender` with or without data; calls `changed` for each change. Inside
/// an update.
pub fn advance_states(
    record: Record<'_>,
    sender: Side,
    tcp_flags: u8,
    has_data: bool,
    mut changed: impl FnMut(Side, TcpState),
) {
    use TcpState as S;
    let mut set = |side: Side, state: TcpState| {
        let end = record.sequences(side);
        if end.state() != state as u8 {
            end.set_state(state as u8);
            changed(side, state);
        }
    };
    let receiver = sender.peer();
    let state = |side: Side| TcpState::from_number(record.sequences(side).state());
    if tcp_flags & flags::SYN != 0 {
        if tcp_flags & flags::ACK != 0 {
            set(sender, S::SynReceived);
            if matches!(state(receiver), S::Closed | S::Listen) {
                set(receiver, S::SynSent);
            }
        } else if matches!(state(sender), S::Closed | S::Listen | S::SynSent)
            && state(receiver) == S::SynSent
        {
            // Simultaneous open: both SYNs crossed.
            set(receiver, S::SynReceived);
            set(sender, S::SynReceived);
        } else if matches!(state(sender), S::Closed | S::Listen) {
            set(sender, S::SynSent);
            if state(receiver) == S::Closed {
                set(receiver, S::Listen);
            }
        }
    } else if tcp_flags & flags::ACK != 0 {
        let opening = |state| matches!(state, S::Closed | S::Listen | S::SynSent | S::SynReceived);
        if opening(state(sender)) {
            set(sender, S::Established);
        }
        // An end in SYN-SENT may not have received the answer that the capture missed.
        if opening(state(receiver)) && state(receiver) != S::SynSent {
            set(receiver, S::Established);
        }
        // A server that sends data after its SYN-ACK has received the client's answer to it, captured or not.
        if has_data
            && state(receiver) == S::SynSent
            && record.sequences(receiver).has(side_flag::SYN)
        {
            set(receiver, S::Established);
        }
    }
    if Side::BOTH
        .iter()
        .any(|side| has_fin(record.sequences(*side)))
    {
        for end in Side::BOTH {
            apply_fins(record, end, &mut set);
        }
    }
}

/// Returns whether a FIN was received on a side, or acknowledged there.
#[inline(always)]
fn has_fin(side: &Sequences) -> bool {
    side.offers(option::FIN) || side.has(side_flag::FIN_ACKED)
}

/// Applies the FINs to one end's state. An end's own FIN is on its peer's side, where it is received.
fn apply_fins(record: Record<'_>, end: Side, set: &mut impl FnMut(Side, TcpState)) {
    use TcpState as S;
    let mine = record.side(end.peer());
    let theirs = record.side(end);
    let over = mine.has(side_flag::FIN_ACKED) && theirs.fin_delivered();
    if over && record.side(end).tcp_state() == S::Closed {
        // The last ACK has arrived: this CLOSED is the end, not the beginning.
        return;
    }
    // The end sent its FIN.
    if mine.fin() != NO_FIN {
        match record.side(end).tcp_state() {
            S::CloseWait if mine.has(side_flag::CROSSED) => set(end, S::Closing),
            S::CloseWait => set(end, S::LastAck),
            S::Closed | S::Listen | S::SynSent | S::SynReceived | S::Established => {
                set(end, S::FinWait1);
            }
            _ => {}
        }
    }
    // Its FIN was acknowledged.
    if mine.has(side_flag::FIN_ACKED) {
        match record.side(end).tcp_state() {
            S::FinWait1 => set(end, S::FinWait2),
            S::Closing => set(end, S::TimeWait),
            S::LastAck => {
                set(end, S::Closed);
                return;
            }
            _ => {}
        }
    }
    // It received the peer's FIN.
    if theirs.fin_delivered() {
        match record.side(end).tcp_state() {
            S::FinWait1 => set(end, S::Closing),
            S::FinWait2 => set(end, S::TimeWait),
            S::Closed | S::Listen | S::SynSent | S::SynReceived | S::Established => {
                set(end, S::CloseWait);
            }
            _ => {}
        }
    }
}
