//! Callbacks to call: an event at a hook of a socket.

use std::ffi::c_int;

use monitor_client::types::TcpState;

use crate::event_types::{event_t, mos_event_type, mtcp_hook_point};
use crate::types::mos_side;

pub(crate) const NULL: c_int = mtcp_hook_point::MOS_NULL as c_int;
pub(crate) const SND: c_int = mtcp_hook_point::MOS_HK_SND as c_int;
pub(crate) const RCV: c_int = mtcp_hook_point::MOS_HK_RCV as c_int;

/// Event at a hook of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) sock: c_int,
    pub(crate) side: c_int,
    pub(crate) event: event_t,
    pub(crate) hook: c_int,
}

/// Consequences of an event.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Callbacks to call, in order.
    pub(crate) steps: Vec<Step>,
    /// Socket to close behind them.
    pub(crate) over: Option<c_int>,
    /// Events are missing before this one.
    pub(crate) is_incomplete: bool,
}

impl Step {
    /// Creates the step of a packet of a raw socket, or of no connection.
    pub(crate) fn of_packet(sock: c_int, event: mos_event_type, is_raw: bool) -> Self {
        // The manual page has MOS_NULL for the events of raw sockets; packets have both sides.
        let side = if is_raw && event == mos_event_type::MOS_ON_ORPHAN {
            NULL
        } else {
            mos_side::MOS_SIDE_BOTH as c_int
        };
        Self {
            sock,
            side,
            event: event as event_t,
            hook: NULL,
        }
    }
}

/// Returns the hook at which an end enters a state: a SYN and a FIN that it sends, or a packet that it receives.
pub(crate) fn hook_of(state: TcpState) -> c_int {
    match state {
        TcpState::SynSent | TcpState::FinWait1 | TcpState::LastAck => SND,
        _ => RCV,
    }
}
