//! The states of both ends (RFC 9293, 3.3.2), as far as a bystander can tell them.

use monitor_common::wire::flags;

use crate::store::record::{NO_FIN, Record, SideRecord, side_flag};
use crate::{Side, TcpState};

impl SideRecord {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    pub(crate) fn add_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    pub(crate) fn remove_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Whether bytes wait ahead of a hole. (Runs below lost holes stay islands as long as they are retained.)
    #[inline(always)]
    pub(crate) fn waiting(&self) -> bool {
        self.end.get() > self.next.get()
    }

    /// The offset of a sequence number: the one nearest to the in-order edge, so that it follows the wrap.
    /// Negative before offset 0. Needs [`side_flag::STARTED`].
    #[inline(always)]
    pub(crate) fn offset(&self, seq: u32) -> i64 {
        let next = self.next.get();
        let edge = self.start.get().wrapping_add(next as u32);
        next as i64 + i64::from(seq.wrapping_sub(edge) as i32)
    }

    /// The offset up to which this end acknowledged; 0 if it did not yet.
    #[inline(always)]
    pub(crate) fn acked_offset(&self) -> u64 {
        if self.has(side_flag::ACKED) {
            self.offset(self.acked.get()).max(0) as u64
        } else {
            0
        }
    }

    /// Takes an acknowledgment along that stays far behind the in-order edge, as when the receiver is not heard any more:
    /// 2 GiB behind, its sequence number would be taken for one ahead. To be called before each of the side's segments,
    /// each of which moves the edge by less than the rest of the way. Inside a write.
    #[inline(always)]
    pub(crate) fn pull_acked(&self) {
        const BEHIND: u32 = 1 << 29;
        let edge = self.start.get().wrapping_add(self.next.get() as u32);
        if self.has(side_flag::ACKED) && edge.wrapping_sub(self.acked.get()) as i32 > BEHIND as i32
        {
            self.acked.set(edge.wrapping_sub(BEHIND));
        }
    }

    /// The offset beyond which nothing that arrives could be accepted by the receiver.
    #[inline(always)]
    pub(crate) fn limit(&self) -> u64 {
        /// The largest window there is (RFC 7323, 2.3).
        const LARGEST: u64 = 65535 << 14;
        /// Senders may start before the first window update reaches us.
        const LEAST: u64 = 65535;
        let edge = self.next.get().max(self.acked_offset());
        edge + if self.has(side_flag::ACKED) {
            u64::from(self.window.get()).max(LEAST)
        } else {
            LARGEST
        }
    }

    /// Whether the FIN has reached the receiver: all before it is there, or it says so.
    fn fin_delivered(&self) -> bool {
        let fin = self.fin.get();
        fin != NO_FIN && (self.next.get() >= fin || self.has(side_flag::FIN_ACKED))
    }

    fn state(&self) -> TcpState {
        TcpState::from_number(self.state.get())
    }
}

/// Moves both ends' states on after a segment from `sender`; calls `changed` for each change. Inside a write.
pub fn step(record: &Record, sender: Side, tcp_flags: u8, mut changed: impl FnMut(Side, TcpState)) {
    use TcpState as S;
    let mut set = |side: Side, state: TcpState| {
        let cell = &record.side(side).state;
        if cell.get() != state as u8 {
            cell.set(state as u8);
            changed(side, state);
        }
    };
    let receiver = sender.peer();
    let state = |side: Side| record.side(side).state();
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
        // Who has only sent a SYN may not have got the answer that we missed.
        if opening(state(receiver)) && state(receiver) != S::SynSent {
            set(receiver, S::Established);
        }
    }
    for end in Side::BOTH {
        step_fin(record, end, &mut set);
    }
}

/// An end's FIN lies in its peer's side: there it is received.
fn step_fin(record: &Record, end: Side, set: &mut impl FnMut(Side, TcpState)) {
    use TcpState as S;
    let mine = record.side(end.peer());
    let theirs = record.side(end);
    let over = mine.has(side_flag::FIN_ACKED) && theirs.fin_delivered();
    if over && record.side(end).state() == S::Closed {
        // The last ACK has come: this CLOSED is the end, not the beginning.
        return;
    }
    if mine.fin.get() != NO_FIN {
        match record.side(end).state() {
            S::CloseWait if mine.has(side_flag::CROSSED) => set(end, S::Closing),
            S::CloseWait => set(end, S::LastAck),
            S::Closed | S::Listen | S::SynSent | S::SynReceived | S::Established => {
                set(end, S::FinWait1)
            }
            _ => {}
        }
    }
    if mine.has(side_flag::FIN_ACKED) {
        match record.side(end).state() {
            S::FinWait1 => set(end, S::FinWait2),
            S::Closing => set(end, S::TimeWait),
            S::LastAck => {
                set(end, S::Closed);
                return;
            }
            _ => {}
        }
    }
    if theirs.fin_delivered() {
        match record.side(end).state() {
            S::FinWait1 => set(end, S::Closing),
            S::FinWait2 => set(end, S::TimeWait),
            S::Closed | S::Listen | S::SynSent | S::SynReceived | S::Established => {
                set(end, S::CloseWait)
            }
            _ => {}
        }
    }
}
