//! The verb `export`: connections as a capture file with valid TCP.
//!
//! [`frame`] and [`conversation`] turn bytes into packets, [`connection`] reads them from the daemon, [`merge`] and
//! [`live`] order them, [`job`] is the whole. [`serve`] does it for each of its clients.

mod capture;
mod client_hello;
mod connection;
mod conversation;
mod endings;
mod frame;
mod job;
mod keylog;
mod live;
mod merge;
pub mod output;
mod selection;
mod serve;
mod turns;

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use monitor_client::Client;

use crate::context::Context;
use crate::failure::Failure;
use crate::show::units::size;
use connection::Form;
use frame::LONGEST;
use job::{Job, Summary};
use output::{Reader, Stop};
pub use selection::Selection;

/// Payload of a segment in an Ethernet frame of 1500 bytes.
const DEFAULT_MSS: u64 = 1460;

/// Connections, and the capture.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub struct Args {
    /// Connections, as listed by `sockets`
    #[arg(value_name = "SOCKID", group = "target")]
    sockids: Vec<u64>,
    /// Connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER", group = "target")]
    filter: Option<String>,
    /// Every connection
    #[arg(long, group = "target")]
    all: bool,
    /// File; it is never overwritten. By default standard output, which must not be a terminal
    #[arg(long, short, value_name = "FILE", conflicts_with = "listen")]
    output: Option<PathBuf>,
    /// Continue as bytes arrive: until the connections have ended; with --filter or --all, new ones join, until
    /// interrupted
    #[arg(long)]
    live: bool,
    /// Serve the capture to each client that connects to this address (PCAP-over-IP): 127.0.0.1:57012
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Permit an address for --listen that other hosts reach. Clients are not authenticated
    #[arg(long, requires = "listen")]
    listen_anywhere: bool,
    /// TLS key log (SSLKEYLOGFILE); the capture gets the secrets of its own sessions only
    #[arg(long, value_name = "FILE")]
    keylog: Option<PathBuf>,
    /// Ethernet frames; by default only if a connection has VLAN tags
    #[arg(long)]
    ethernet: bool,
    /// Maximum payload of a segment
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_MSS, value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    mss: u64,
}

pub fn export<W: Write>(
    context: &mut Context<W>,
    socket: &Path,
    args: &Args,
) -> Result<(), Failure> {
    let selection = if args.sockids.is_empty() {
        Selection::Filter(args.filter.clone().unwrap_or_default())
    } else {
        Selection::Sockids(args.sockids.clone())
    };
    let job = Job {
        selection,
        form: Form {
            mss: args.mss as usize,
            ethernet: args.ethernet,
        },
        keylog: args.keylog.clone(),
        live: args.live,
    };
    if let Some(address) = args.listen {
        return serve::serve(address, args.listen_anywhere, socket, &job);
    }
    let path = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    let file = path.map_or_else(output::standard, output::create)?;
    let reader = Reader::of(&file)?;
    let stop = args.live.then(Stop::on_signals).transpose()?;
    let out = BufWriter::with_capacity(64 * 1024, file);
    let result = job.run(&mut context.client, out, &bar(), &|| {
        reader.is_gone() || stop.as_ref().is_some_and(Stop::is_requested)
    });
    if let (Err(_), Some(path)) = (&result, path) {
        output::remove_empty(path);
    }
    let summary = result?;
    match path {
        Some(_) if context.json => context.json(&summary),
        Some(_) => Ok(print(&mut context.out, &summary)?),
        None => Ok(()),
    }
}

/// Writes connections to a pipe as bytes arrive, until its reader or a signal ends it.
pub fn live_into(
    client: &mut Client,
    selection: Selection,
    keylog: Option<PathBuf>,
    pipe: &Path,
) -> Result<(), Failure> {
    let job = Job {
        selection,
        form: Form {
            mss: DEFAULT_MSS as usize,
            ethernet: false,
        },
        keylog,
        live: true,
    };
    let stop = Stop::on_signals()?;
    let file = output::create(pipe)?;
    let reader = Reader::of(&file)?;
    let out = BufWriter::with_capacity(64 * 1024, file);
    job.run(client, out, &ProgressBar::hidden(), &|| {
        reader.is_gone() || stop.is_requested()
    })?;
    Ok(())
}

fn print(out: &mut impl Write, summary: &Summary) -> std::io::Result<()> {
    let Summary {
        connections,
        packets,
        bytes,
        missing,
    } = *summary;
    write!(
        out,
        "{connections} connections, {packets} packets, {}",
        size(bytes)
    )?;
    if missing > 0 {
        write!(out, " ({} missing)", size(missing))?;
    }
    writeln!(out)
}

/// Returns a progress bar on standard error, hidden unless that is a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
