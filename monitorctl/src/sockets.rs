//! The verb `sockets`.

use std::io::Write;

use monitor_client::types::{Socket, SocketsParams, Sort, TcpState};

use crate::context::Context;
use crate::failure::Failure;
use crate::pages::pages;
use crate::show::socket::{length, state, vlan};
use crate::show::table::{Align, Table};
use crate::show::units::ago;
use crate::values::{seconds, size};

/// Conditions, order and number.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only connections with an end in this state, ESTABLISHED for example
    #[arg(long)]
    state: Option<TcpState>,
    /// Only connections with an end at this port
    #[arg(long)]
    port: Option<u16>,
    /// Only connections with an end at this address, or in this prefix
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    address: Option<String>,
    /// Matches this filter, in the language of tcpdump: 'host 10.0.0.1 and not port 22'
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Only closed connections
    #[arg(long, conflicts_with = "open")]
    closed: bool,
    /// Only open connections
    #[arg(long)]
    open: bool,
    /// Minimum time since it opened: 90, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    min_age: Option<f64>,
    /// Maximum time since it opened
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    max_age: Option<f64>,
    /// Minimum number of bytes in both directions together: 4096, 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_bytes: Option<u64>,
    /// Order, best first: opened, last, bytes or rate; lists 1000 unless --limit is given
    #[arg(long, value_name = "ORDER", value_parser = order, conflicts_with = "after")]
    sort: Option<Sort>,
    /// Maximum number of connections
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Start after this sockid
    #[arg(long, value_name = "SOCKID")]
    after: Option<u64>,
}

fn order(name: &str) -> Result<Sort, String> {
    // Parsed by its wire name: new orders need no change here.
    serde_json::from_value(name.into()).map_err(|_| "opened, last, bytes or rate".to_owned())
}

impl Args {
    /// Returns the maximum number of connections.
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    /// Returns the conditions and the order.
    pub fn params(&self) -> SocketsParams {
        SocketsParams {
            state: self.state,
            port: self.port,
            address: self.address.clone(),
            filter: self.filter.clone(),
            closed: (self.closed || self.open).then_some(self.closed),
            min_age: self.min_age,
            max_age: self.max_age,
            min_bytes: self.min_bytes,
            tls: false,
            sort: self.sort,
            limit: None,
            after: self.after,
        }
    }
}

pub fn sockets<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let (params, limit) = (args.params(), args.limit());
    let mut printer = Printer::new(context.json, params.sort.is_some());
    let out = &mut context.out;
    let next = pages(&mut context.client, params, limit, |page| {
        printer.page(out, page)
    })?;
    printer.end(out, next)
}

/// Prints pages as they arrive.
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
                // The newest connection is at the end, next to the prompt.
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
