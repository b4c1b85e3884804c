//! `sockets`.

use std::io::Write;

use monitor_client::Client;
use monitor_client::types::{Socket, SocketsParams, State};

use crate::Context;
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
    /// List no more than this many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on after this sockid
    #[arg(long, value_name = "SOCKID")]
    after: Option<u64>,
}

pub fn sockets<W: Write>(context: &mut Context<W>, args: Args) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let params = SocketsParams {
        state: args.state,
        port: args.port,
        address: args.address,
        limit: None,
        after: args.after,
        ..SocketsParams::default()
    };
    let mut printer = Printer::new(context.json);
    let out = &mut context.out;
    let next = pages(&mut context.client, params, limit, |page| printer.page(out, page))?;
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
        length(&socket.sides.server),
        length(&socket.sides.client),
        ago(socket.last),
    ]
}
