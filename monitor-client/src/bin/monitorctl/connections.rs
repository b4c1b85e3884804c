//! `sockets`, `info`, `lookup`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use monitor_client::Side;
use monitor_client::types::{Closed, LookupParams, SideInfo, Socket, SocketsParams, State};

use crate::Context;
use crate::args::{LookupArgs, SocketsArgs};
use crate::failure::Failure;
use crate::table::{Align, Table};

/// Connections asked for at once: enough to make round trips cheap, few enough to start printing at once.
const PAGE: u64 = 1000;

pub fn sockets<W: Write>(context: &mut Context<W>, args: SocketsArgs) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut params = SocketsParams {
        state: args.state,
        port: args.port,
        address: args.address,
        limit: None,
        after: args.after,
    };
    let mut printer = Printer::new(context.json);
    loop {
        params.limit = Some(left.min(PAGE));
        let mut page = context.client.sockets(&params)?;
        left -= (page.sockets.len() as u64).min(left);
        printer.page(&mut context.out, &mut page.sockets)?;
        if page.next.is_none() || left == 0 {
            return printer.end(&mut context.out, page.next);
        }
        params.after = page.next;
    }
}

pub fn info<W: Write>(context: &mut Context<W>, sockid: u64) -> Result<(), Failure> {
    let socket = context.client.info(sockid)?;
    print(context, &socket)
}

pub fn lookup<W: Write>(context: &mut Context<W>, args: LookupArgs) -> Result<(), Failure> {
    let params = LookupParams { client: args.client, server: args.server, vlan: args.vlan };
    let socket = context.client.lookup(&params)?;
    print(context, &socket)
}

/// Prints pages as they come, whatever their number.
enum Printer {
    Json { any: bool },
    People(Box<Table<8>>),
}

impl Printer {
    fn new(json: bool) -> Self {
        use Align::{Left, Right};
        if json {
            return Printer::Json { any: false };
        }
        Printer::People(Box::new(Table::new([
            ("SOCKID", Right),
            ("CLIENT", Left),
            ("SERVER", Left),
            ("VLAN", Left),
            ("STATE", Left),
            ("TO SERVER", Right),
            ("TO CLIENT", Right),
            ("LAST", Right),
        ])))
    }

    fn page(&mut self, out: &mut impl Write, sockets: &mut [Socket]) -> Result<(), Failure> {
        match self {
            Printer::Json { any } => {
                for socket in sockets {
                    out.write_all(if *any { b"," } else { b"{\"sockets\":[" })?;
                    *any = true;
                    serde_json::to_writer(&mut *out, socket)?;
                }
            }
            Printer::People(table) => {
                // What a person looks for is mostly what has just begun: it stands at the end, next to the prompt.
                sockets.sort_by(|one, other| one.opened.total_cmp(&other.opened));
                for socket in sockets {
                    table.row(row(socket));
                }
                table.print(out)?;
            }
        }
        Ok(())
    }

    fn end(self, out: &mut impl Write, next: Option<u64>) -> Result<(), Failure> {
        if let Printer::Json { any } = self {
            if !any {
                out.write_all(b"{\"sockets\":[")?;
            }
            write!(out, "],\"next\":")?;
            serde_json::to_writer(&mut *out, &next)?;
            writeln!(out, "}}")?;
        }
        Ok(())
    }
}

fn row(socket: &Socket) -> [String; 8] {
    [
        socket.sockid.to_string(),
        socket.client.to_string(),
        socket.server.to_string(),
        vlan(socket),
        state(socket),
        bytes(&socket.sides.server),
        bytes(&socket.sides.client),
        age(socket.last),
    ]
}

fn vlan(socket: &Socket) -> String {
    let ids: Vec<_> = socket.vlan.iter().map(u16::to_string).collect();
    if ids.is_empty() { "-".to_owned() } else { ids.join(".") }
}

fn state(socket: &Socket) -> String {
    let (client, server) = (socket.state.client, socket.state.server);
    match socket.closed {
        Some(reason) => format!("closed ({})", closed(reason)),
        None if client == server => client.name().to_owned(),
        None => format!("{client}/{server}"),
    }
}

fn closed(reason: Closed) -> &'static str {
    match reason {
        Closed::Fin => "fin",
        Closed::Rst => "rst",
        Closed::Timeout => "timeout",
        Closed::Reused => "reused",
        Closed::Evicted => "evicted",
        Closed::Other => "other",
    }
}

/// Length of the stream so far, marked when bytes of it are missing.
fn bytes(side: &SideInfo) -> String {
    let whole = side.gaps == 0 && side.next == side.end;
    format!("{}{}", side.end, if whole { "" } else { "*" })
}

/// How long ago, in the largest unit that leaves two digits.
fn age(time: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    let seconds = (now - time).max(0.0);
    match seconds {
        0.0..10.0 => format!("{seconds:.1}s"),
        10.0..120.0 => format!("{seconds:.0}s"),
        120.0..7_200.0 => format!("{:.0}m", seconds / 60.0),
        7_200.0..172_800.0 => format!("{:.0}h", seconds / 3_600.0),
        _ => format!("{:.0}d", seconds / 86_400.0),
    }
}

fn print<W: Write>(context: &mut Context<W>, socket: &Socket) -> Result<(), Failure> {
    let out = &mut context.out;
    if context.json {
        serde_json::to_writer(&mut *out, socket)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "sockid     {}", socket.sockid)?;
    writeln!(out, "client     {}", socket.client)?;
    writeln!(out, "server     {}", socket.server)?;
    writeln!(out, "vlan       {}", vlan(socket))?;
    writeln!(out, "state      {}", state(socket))?;
    writeln!(out, "opened     {} ago (at {:.6})", age(socket.opened), socket.opened)?;
    writeln!(out, "last       {} ago (at {:.6})", age(socket.last), socket.last)?;
    writeln!(out, "midstream  {}", if socket.midstream { "yes: its start was not seen" } else { "no" })?;
    writeln!(out, "worker     {}", socket.worker)?;
    writeln!(out)?;
    sides(socket).print(out)?;
    Ok(())
}

fn sides(socket: &Socket) -> Table<3> {
    let columns = [("", Align::Left), ("CLIENT RECEIVED", Align::Right), ("SERVER RECEIVED", Align::Right)];
    let mut table = Table::new(columns);
    let mut line = |name: &str, value: &dyn Fn(Side, &SideInfo) -> String| {
        let cells = Side::BOTH.map(|side| value(side, socket.sides.get(side)));
        let [client, server] = cells;
        table.row([name.to_owned(), client, server]);
    };
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let state = |side| -> State {
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
    line("isn", &|_, info| or_dash(info.isn.map(u64::from)));
    line("retained", &|_, info| info.retained.to_string());
    line("gaps", &|_, info| info.gaps.to_string());
    line("retransmitted", &|_, info| info.retransmitted.to_string());
    line("conflicts", &|_, info| info.conflicts.to_string());
    line("buffered", &|_, info| if info.enabled { "yes" } else { "no" }.to_owned());
    table
}
