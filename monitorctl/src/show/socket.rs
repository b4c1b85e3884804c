//! Formatting of a connection.

use std::io::Write;

use monitor_client::Side;
use monitor_client::types::{CloseReason, Reset, SideStats, Socket, TcpState, Tls};

use super::table::{Align, Table};
use super::units::ago;
use crate::failure::Failure;

/// Returns the ends of a connection, from the sender of a side's bytes to the receiver.
pub fn direction(client: &str, server: &str, side: Side) -> String {
    match side {
        Side::Server => format!("{client} -> {server}"),
        Side::Client => format!("{server} -> {client}"),
    }
}

pub fn vlan(socket: &Socket) -> String {
    let ids: Vec<_> = socket.vlan.iter().map(u16::to_string).collect();
    if ids.is_empty() {
        "-".to_owned()
    } else {
        ids.join(".")
    }
}

pub fn state(socket: &Socket) -> String {
    let (client, server) = (socket.state.client, socket.state.server);
    match socket.closed {
        Some(reason) => format!("closed ({})", closed(reason)),
        None if client == server => client.name().to_owned(),
        None => format!("{client}/{server}"),
    }
}

fn closed(reason: CloseReason) -> String {
    // Printed by its wire name: new reasons need no change here.
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "other".to_owned(),
    }
}

/// Returns the length of the stream, marked if bytes are missing.
pub fn length(side: &SideStats) -> String {
    format!("{}{}", side.end, if is_whole(side) { "" } else { "*" })
}

/// Returns true if no byte is missing between the first and the last.
pub fn is_whole(side: &SideStats) -> bool {
    side.gaps == 0 && side.next == side.end
}

/// Prints all fields of one connection.
pub fn print(out: &mut impl Write, socket: &Socket) -> Result<(), Failure> {
    writeln!(out, "sockid     {}", socket.sockid)?;
    writeln!(out, "client     {}", socket.client)?;
    writeln!(out, "server     {}", socket.server)?;
    writeln!(out, "vlan       {}", vlan(socket))?;
    for tunnel in &socket.tunnels {
        let [a, b] = tunnel.ends;
        let id = tunnel.id.map(|id| format!(" {id}")).unwrap_or_default();
        writeln!(out, "tunnel     {}{id}, {a} - {b}", tunnel.kind.name())?;
    }
    writeln!(out, "state      {}", state(socket))?;
    writeln!(
        out,
        "opened     {} ago (at {:.6})",
        ago(socket.opened),
        socket.opened
    )?;
    writeln!(
        out,
        "last       {} ago (at {:.6})",
        ago(socket.last),
        socket.last
    )?;
    if let Some(reset) = &socket.reset {
        writeln!(out, "reset      {}", reset_line(reset))?;
    }
    writeln!(
        out,
        "midstream  {}",
        if socket.midstream {
            "yes: its start was not captured"
        } else {
            "no"
        }
    )?;
    if let Some(tls) = &socket.tls {
        writeln!(out, "tls        {}", tls_line(tls))?;
    }
    writeln!(out, "worker     {}", socket.worker)?;
    writeln!(out)?;
    sides(socket).print(out)?;
    Ok(())
}

fn reset_line(reset: &Reset) -> String {
    let by = format!("by the {}", reset.by);
    match reset.time {
        Some(time) => format!("{by}, {} ago (at {time:.6})", ago(time)),
        None => by,
    }
}

/// Formats the TLS parameters. Names are the clients' own: control characters must not reach the terminal.
fn tls_line(tls: &Tls) -> String {
    let version = tls.version.as_deref().unwrap_or("TLS");
    let mut line = version.to_owned();
    if let Some(sni) = &tls.sni {
        line.push_str(&format!(", server name {}", sni.escape_debug()));
    }
    if !tls.alpn.is_empty() {
        line.push_str(&format!(", offers {}", tls.alpn.join(", ").escape_debug()));
    }
    line
}

fn sides(socket: &Socket) -> Table<3> {
    let columns = [
        ("", Align::Left),
        ("CLIENT RECEIVED", Align::Right),
        ("SERVER RECEIVED", Align::Right),
    ];
    let mut table = Table::new(columns);
    let mut line = |name: &str, value: &dyn Fn(Side, &SideStats) -> String| {
        let cells = Side::BOTH.map(|side| value(side, socket.sides.get(side)));
        let [client, server] = cells;
        table.row([name.to_owned(), client, server]);
    };
    let or_dash =
        |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let state = |side| -> TcpState {
        match side {
            Side::Client => socket.state.client,
            Side::Server => socket.state.server,
        }
    };
    line("state", &|side, _| state(side).to_string());
    line("base", &|_, info| info.base.to_string());
    line("next", &|_, info| info.next.to_string());
    line("end", &|_, info| info.end.to_string());
    line("fin", &|_, info| or_dash(info.fin));
    line("fin arrived", &|side, _| {
        let time = socket.fins.get(side.peer());
        time.map_or_else(|| "-".to_owned(), |time| format!("{time:.6}"))
    });
    line("isn", &|_, info| or_dash(info.isn.map(u64::from)));
    line("retained", &|_, info| info.retained.to_string());
    line("gaps", &|_, info| info.gaps.to_string());
    line("retransmitted", &|_, info| info.retransmitted.to_string());
    line("conflicts", &|_, info| info.conflicts.to_string());
    line("buffered", &|_, info| {
        if info.enabled { "yes" } else { "no" }.to_owned()
    });
    table
}
