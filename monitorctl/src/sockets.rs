//! `sockets`.

use std::io::Write;

use monitor_client::Client;
use monitor_client::types::{Socket, SocketsParams, Sort, State};

use crate::Context;
use crate::args::{seconds, size};
use crate::failure::Failure;
use crate::show::socket::{length, state, vlan};
use crate::show::table::{Align, Table};
use crate::show::units::ago;

/// Connections asked for at once: enough to make round trips cheap, few enough to start printing at once.
const PAGE: u64 = 1000;

/// Which connections.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One of the ends is in this state, ESTABLISHED for example
    #[arg(long)]
    state: Option<State>,
    /// One of the ends has this port
    #[arg(long)]
    port: Option<u16>,
    /// One of the ends has this address, or one in this prefix
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    address: Option<String>,
    /// In the words of tcpdump: 'host 10.0.0.1 and not port 22'
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Only those that are over
    #[arg(long, conflicts_with = "open")]
    closed: bool,
    /// Only those that are not over
    #[arg(long)]
    open: bool,
    /// Opened so long ago or longer: 90, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    min_age: Option<f64>,
    /// Opened so long ago or less
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    max_age: Option<f64>,
    /// Both directions together carried so many bytes or more: 4096, 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_bytes: Option<u64>,
    /// The first ones in this order, the first at the top; 1000 unless --limit says otherwise
    #[arg(long, value_name = "ORDER", value_parser = order, conflicts_with = "after")]
    sort: Option<Sort>,
    /// List no more than this many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on after this sockid
    #[arg(long, value_name = "SOCKID")]
    after: Option<u64>,
}

fn order(name: &str) -> Result<Sort, String> {
    // Its name on the wire: one that is added there is known here.
    serde_json::from_value(name.into()).map_err(|_| "opened, last, bytes or rate".to_owned())
}

pub fn sockets<W: Write>(context: &mut Context<W>, args: Args) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let params = SocketsParams {
        state: args.state,
        port: args.port,
        address: args.address,
        filter: args.filter,
        closed: (args.closed || args.open).then_some(args.closed),
        min_age: args.min_age,
        max_age: args.max_age,
        min_bytes: args.min_bytes,
        sort: args.sort,
        limit: None,
        after: args.after,
    };
    let mut printer = Printer::new(context.json, params.sort.is_some());
    let out = &mut context.out;
    let next = pages(&mut context.client, params, limit, |page| {
        printer.page(out, page)
    })?;
    printer.end(out, next)
}

/// Takes page after page until `limit` connections were listed or there are no more; `next` of the last page.
pub fn pages(
    client: &mut Client,
    mut params: SocketsParams,
    limit: u64,
    mut take: impl FnMut(&mut Vec<Socket>) -> Result<(), Failure>,
) -> Result<Option<u64>, Failure> {
    let mut left = limit;
    if params.sort.is_some() {
        // There is one page only.
        params.limit = (limit < u64::MAX).then_some(limit);
        take(&mut client.sockets(&params)?.sockets)?;
        return Ok(None);
    }
    loop {
        params.limit = Some(left.min(PAGE));
        let mut page = client.sockets(&params)?;
        left -= (page.sockets.len() as u64).min(left);
        take(&mut page.sockets)?;
        if page.next.is_none() || left == 0 {
            return Ok(page.next);
        }
        params.after = page.next;
    }
}

/// Prints pages as they come, whatever their number.
enum Printer {
    Json { any: bool },
    People { table: Box<Table<8>>, sorted: bool },
}

impl Printer {
    fn new(json: bool, sorted: bool) -> Self {
        use Align::{Left, Right};
        if json {
            return Printer::Json { any: false };
        }
        let table = Table::new([
            ("SOCKID", Right),
            ("CLIENT", Left),
            ("SERVER", Left),
            ("VLAN", Left),
            ("STATE", Left),
            ("TO SERVER", Right),
            ("TO CLIENT", Right),
            ("LAST", Right),
        ]);
        Printer::People {
            table: Box::new(table),
            sorted,
        }
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
            Printer::People { table, sorted } => {
                // What a person looks for is mostly what has just begun: it stands at the end, next to the prompt.
                if !*sorted {
                    sockets.sort_by(|one, other| one.opened.total_cmp(&other.opened));
                }
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
        length(&socket.sides.server),
        length(&socket.sides.client),
        ago(socket.last),
    ]
}
