//! Endings of a stored connection: its FINs and its RST, in the order of their times. Pure.

use monitor_client::Side;
use monitor_client::types::{CloseReason, Socket, TcpState};

/// Segment that ends a stream or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN of an end, at this offset.
    Fin(Side, u64),
    /// RST of an end.
    Reset(Side),
}

/// Returns the endings of a connection with their times, in their order. One without a time is at that of the RST, or of
/// the last packet; a FIN without a time isn't listed while the connection is open.
pub fn of(socket: &Socket) -> impl Iterator<Item = (u64, Ending)> {
    let reset = socket.reset.and_then(|reset| reset.time);
    let end = socket.closed.map(|_| reset.unwrap_or(socket.last));
    let first = first_to_close(socket);
    let [one, other] = [first, first.peer()].map(|end_of| {
        let off = socket.sides.get(end_of.peer()).fin?;
        let time = socket.fins.get(end_of).or(end)?;
        Some((micros(time), Ending::Fin(end_of, off)))
    });
    // An older daemon doesn't name the sender.
    let by = socket.reset.map_or(Side::Server, |reset| reset.by);
    let is_reset = socket.closed == Some(CloseReason::Rst);
    let reset = end.filter(|_| is_reset);
    let reset = reset.map(|time| (micros(time), Ending::Reset(by)));
    let mut endings = [one, other, reset];
    // Stable: at the same time the RST is the last.
    endings.sort_by_key(|ending| ending.map(|(time, _)| time));
    endings.into_iter().flatten()
}

/// Returns a time as microseconds since the epoch.
pub fn micros(seconds: f64) -> u64 {
    // Saturates: a time before the epoch becomes 0.
    (seconds * 1e6).round() as u64
}

/// Returns the end that sent its FIN first, as far as the states show it.
fn first_to_close(socket: &Socket) -> Side {
    let actively = |state| {
        matches!(
            state,
            TcpState::FinWait1 | TcpState::FinWait2 | TcpState::TimeWait
        )
    };
    if actively(socket.state.server) && !actively(socket.state.client) {
        Side::Server
    } else {
        Side::Client
    }
}
