//! Connections in the words of the RPC.

use monitor_engine::{CloseReason, Connection, OverlapPolicy, Side, SideStats, TcpState};
use monitor_rpc::types::{Closed, Overlap, SideInfo, Sides, Socket, State, States};

pub(crate) fn socket(connection: &Connection) -> Socket {
    let [client, server] = &connection.sides;
    Socket {
        sockid: connection.id.as_u64(),
        client: connection.client,
        server: connection.server,
        vlan: connection.vlan.clone(),
        state: States {
            client: state(connection.states[0]),
            server: state(connection.states[1]),
        },
        opened: seconds(connection.opened),
        last: seconds(connection.last),
        closed: connection.closed.map(closed),
        midstream: connection.midstream,
        worker: connection.id.worker(),
        sides: Sides {
            client: side_info(client),
            server: side_info(server),
        },
    }
}

pub(crate) fn side(side: monitor_rpc::Side) -> Side {
    match side {
        monitor_rpc::Side::Client => Side::Client,
        monitor_rpc::Side::Server => Side::Server,
    }
}

pub(crate) fn side_name(side: Side) -> monitor_rpc::Side {
    match side {
        Side::Client => monitor_rpc::Side::Client,
        Side::Server => monitor_rpc::Side::Server,
    }
}

pub(crate) fn state(state: TcpState) -> State {
    match state {
        TcpState::Closed => State::Closed,
        TcpState::Listen => State::Listen,
        TcpState::SynSent => State::SynSent,
        TcpState::SynReceived => State::SynReceived,
        TcpState::Established => State::Established,
        TcpState::FinWait1 => State::FinWait1,
        TcpState::FinWait2 => State::FinWait2,
        TcpState::CloseWait => State::CloseWait,
        TcpState::Closing => State::Closing,
        TcpState::LastAck => State::LastAck,
        TcpState::TimeWait => State::TimeWait,
    }
}

fn closed(reason: CloseReason) -> Closed {
    match reason {
        CloseReason::Fin => Closed::Fin,
        CloseReason::Rst => Closed::Rst,
        CloseReason::Timeout => Closed::Timeout,
        CloseReason::Reused => Closed::Reused,
        CloseReason::Evicted => Closed::Evicted,
        CloseReason::Stopped => Closed::Stopped,
        CloseReason::Other => Closed::Other,
    }
}

fn side_info(view: &SideStats) -> SideInfo {
    SideInfo {
        base: view.base,
        next: view.next,
        end: view.end,
        fin: view.fin,
        isn: view.isn,
        retained: view.retained,
        gaps: view.gaps,
        retransmitted: view.retransmitted,
        conflicts: view.conflicts,
        enabled: view.enabled,
        window: view.window,
        overlap: overlap(view.overlap),
    }
}

pub(crate) fn policy(overlap: Overlap) -> OverlapPolicy {
    match overlap {
        Overlap::Linux => OverlapPolicy::Linux,
        Overlap::First => OverlapPolicy::First,
        Overlap::Last => OverlapPolicy::Last,
        Overlap::Bsd => OverlapPolicy::Bsd,
    }
}

fn overlap(policy: OverlapPolicy) -> Overlap {
    match policy {
        OverlapPolicy::Linux => Overlap::Linux,
        OverlapPolicy::First => Overlap::First,
        OverlapPolicy::Last => Overlap::Last,
        OverlapPolicy::Bsd => Overlap::Bsd,
    }
}

/// Converts to seconds since the epoch. A double keeps a quarter of a microsecond of today's date.
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
