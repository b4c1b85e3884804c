//! Command line: the verbs and the global options. The arguments of a verb are in its own module.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use monitor_client::DEFAULT_SOCKET;

use crate::failure::exit_codes;
use crate::show::colour::ColorChoice;
use crate::{
    call, capture, completions, config, doctor, events, export, extcap, follow, fragments, info,
    log, lookup, man, peek, ppeek, ready, save, set, sockets, stats, stop, top, wait, watch,
};

/// Reads live TCP connections through monitord.
///
/// A SOCKID identifies one connection permanently; `sockets` lists them. A side is named after its receiver: `server`
/// holds the bytes that the client sent, `client` those that the server sent. Offset 0 is the first byte of the stream.
///
/// `monitorctl --fleet URL` reads connections of many hosts; it has a `--help` of its own.
#[derive(Debug, Parser)]
#[command(name = "monitorctl", version, after_help = exit_codes())]
pub struct Args {
    /// Socket of the daemon
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON: the results of the RPC, one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    #[command(subcommand)]
    pub verb: Verb,
}

/// A verb with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List connections
    Sockets(sockets::Args),
    /// Show one connection
    Info(info::Args),
    /// Show the newest connection between two ends
    Lookup(lookup::Args),
    /// Show the retained ranges of one side, and its holes
    Fragments(fragments::Args),
    /// Read bytes of one side at an offset: a hex dump on a terminal, raw bytes to a pipe
    Ppeek(ppeek::Args),
    /// Read one side in order, from its start to the last byte received
    Peek(peek::Args),
    /// Wait for a byte of one side
    Wait(wait::Args),
    /// Print the bytes of connections as they arrive
    Follow(follow::Args),
    /// Print events of connections, one per line
    Events(events::Args),
    /// Search streams for patterns as they arrive
    Watch(watch::Args),
    /// Save streams to files, one per side, with a list of missing bytes
    Save(save::Args),
    /// Write connections as a capture file, for Wireshark and other tools
    Export(export::Args),
    /// Write packets as they were captured to a capture file
    Capture(capture::Args),
    /// Install the captures of monitord in Wireshark
    Extcap(extcap::Args),
    /// Write a record of each connection that ends, for months
    Log(log::Args),
    /// Show a live screen: connections by rate, losses, memory, and the load of each worker
    Top(top::Args),
    /// Stop monitoring a connection, or one side of it (admins)
    Stop(stop::Args),
    /// Wait until the daemon captures packets; for scripts
    Ready(ready::Args),
    /// Change settings of a connection, or of future connections (admins)
    Set(set::Args),
    /// Show, test or reload the daemon's settings
    Config(config::Args),
    /// Show every counter
    Stats(stats::Args),
    /// Check kernel, privileges, interfaces and limits, with a remedy for each problem
    Doctor(doctor::Args),
    /// Call any method of the RPC, and print its result as JSON
    Call(call::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write one per verb
    Man(man::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
