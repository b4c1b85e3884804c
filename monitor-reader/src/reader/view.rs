//! Views: a connection as its record shows it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use monitor_common::abi;

use crate::store::arena::Arena;
use crate::store::cell::Cell64;
use crate::store::marks;
use crate::store::received::retained_below;
use crate::store::record::{NO_FIN, Record, SideRecord, flag, side_flag};
use crate::tunnels;
use crate::{CloseReason, Connection, Reset, Side, SideStats, SockId, TcpState};

/// Returns the view of a connection. Inside a consistent read, or by the writer.
pub fn view_record(arena: &Arena, id: SockId, record: Record<'_>) -> Connection {
    let flags = record.flags.get();
    let (ports, link) = (record.ports.get(), record.link.get());
    let path = abi::tunnel(link).map(|number| tunnels::get(arena, number));
    let tags = path.map_or(link, |path| path.link());
    Connection {
        id,
        client: address(&record.client, link, (ports >> 16) as u16),
        server: address(&record.server, link, ports as u16),
        vlan: abi::tags(tags).collect(),
        tunnels: path.map(|path| path.tunnels()).unwrap_or_default(),
        interface: record.interface(),
        opened: record.cold.opened.get(),
        last: record.last.get(),
        closed: CloseReason::from_number(record.closed.get()),
        reset: reset(arena, record),
        midstream: flags & flag::MIDSTREAM != 0,
        states: record
            .sides()
            .map(|side| TcpState::from_number(side.state())),
        fins: Side::BOTH.map(|end| fin_time(arena, record.side(end.peer()))),
        sides: Side::BOTH.map(|side| side_stats(arena, record, side)),
    }
}

/// Returns the RST that ended a connection.
fn reset(arena: &Arena, record: Record<'_>) -> Option<Reset> {
    if record.closed.get() != CloseReason::Rst as u8 {
        return None;
    }
    let by = record.reset_by()?;
    let is_established = record.flags.get() & flag::ESTABLISHED != 0;
    let time = marks::reset_time(arena, record.side(by.peer()))
        // A refusal is the last packet, and a scan for ports takes no memory for marks.
        .or_else(|| (!is_established).then(|| record.last.get()));
    Some(Reset { by, time })
}

/// Returns the time at which the in-order edge of a side reached its FIN.
fn fin_time(arena: &Arena, side: SideRecord<'_>) -> Option<u64> {
    let fin = fin(side)?;
    let mark = marks::last(arena, side)?;
    (mark.off == fin).then_some(mark.time)
}

fn side_stats(arena: &Arena, record: Record<'_>, name: Side) -> SideStats {
    let side = record.side(name);
    let enabled = record.enabled(name);
    SideStats {
        isn: side
            .has(side_flag::ISN)
            .then(|| side.start.get().wrapping_sub(1)),
        base: side.stored.base.get(),
        next: side.next.get(),
        end: side.end(),
        fin: fin(side),
        retained: if enabled {
            retained_below(arena, side, u64::MAX)
        } else {
            0
        },
        gaps: u64::from(side.gaps()),
        retransmitted: side.cold.retransmitted.get(),
        conflicts: u64::from(side.cold.conflicts.get()),
        enabled,
        window: u64::from(record.window(name)),
        overlap: record.overlap(name),
    }
}

pub fn fin(side: SideRecord<'_>) -> Option<u64> {
    Some(side.fin()).filter(|fin| *fin != NO_FIN)
}

fn address(cells: &[Cell64; 2], link: u32, port: u16) -> SocketAddr {
    let bits = u128::from(cells[0].get()) << 64 | u128::from(cells[1].get());
    let ip = if abi::is_v6(link) {
        Ipv6Addr::from_bits(bits).into()
    } else {
        Ipv4Addr::from_bits(bits as u32).into()
    };
    SocketAddr::new(ip, port)
}
