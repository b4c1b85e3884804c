//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use monitor_client::types::State;
use monitor_client::{DEFAULT_SOCKET, Side};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  wrong usage, or any other failure
  2  the daemon cannot be reached
  3  no such connection, or it is gone
  4  no data at that offset
  5  permission denied";

/// Looks into live TCP connections through monitord.
#[derive(Debug, Parser)]
#[command(name = "monitorctl", version, after_help = EXIT_CODES)]
pub struct Args {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON: the RPC's own results
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List connections
    Sockets(SocketsArgs),
    /// Show one connection
    Info {
        /// As `sockets` lists it
        sockid: u64,
    },
    /// Show the newest connection between two ends
    Lookup(LookupArgs),
    /// Read bytes of one side, from any offset: a hex dump to a terminal, the bytes themselves to a pipe
    Ppeek(PpeekArgs),
    /// Print a connection's bytes as they come, until it is over
    Follow(FollowArgs),
    /// Show every counter
    Stats {
        /// Each worker's share too
        #[arg(long)]
        workers: bool,
    },
}

/// Which connections.
#[derive(Debug, ClapArgs)]
pub struct SocketsArgs {
    /// One of the ends is in this state, ESTABLISHED for example
    #[arg(long)]
    pub state: Option<State>,
    /// One of the ends has this port
    #[arg(long)]
    pub port: Option<u16>,
    /// One of the ends has this address, or one in this prefix
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub address: Option<String>,
    /// List no more than this many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Go on after this sockid
    #[arg(long, value_name = "SOCKID")]
    pub after: Option<u64>,
}

/// Between which ends.
#[derive(Debug, ClapArgs)]
pub struct LookupArgs {
    /// Address and port of the client, 10.0.0.1:1234 or [2001:db8::1]:1234
    pub client: SocketAddr,
    /// Address and port of the server
    pub server: SocketAddr,
    /// VLAN ids, outermost first; any when not given
    #[arg(long, value_delimiter = ',', value_name = "ID,...")]
    pub vlan: Option<Vec<u16>>,
}

/// Which bytes.
#[derive(Debug, ClapArgs)]
pub struct PpeekArgs {
    /// As `sockets` lists it
    pub sockid: u64,
    /// Whose received bytes: `server` holds what the client sent
    pub side: Side,
    /// Distance from the first payload byte
    pub off: u64,
    /// Most bytes; without it, all that follow without a hole
    pub len: Option<u64>,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// What to follow.
#[derive(Debug, ClapArgs)]
pub struct FollowArgs {
    /// As `sockets` lists it
    pub sockid: u64,
    /// Whose received bytes; both sides when not given
    pub side: Option<Side>,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// How bytes are printed.
#[derive(Clone, Copy, Debug, ClapArgs)]
#[group(multiple = false)]
pub struct FormatArgs {
    /// As a hex dump
    #[arg(long)]
    pub hex: bool,
    /// As they are
    #[arg(long)]
    pub raw: bool,
    /// As text; what a terminal could take for a command is shown as an escape
    #[arg(long)]
    pub text: bool,
}
