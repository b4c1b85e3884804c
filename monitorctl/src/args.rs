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
    ///
    /// Holes that were declared lost, and evicted bytes, are skipped and reported on standard error.
    Peek(peek::Args),
    /// Wait for a byte of one side
    Wait(wait::Args),
    /// Print the bytes of connections as they arrive
    ///
    /// With SOCKID: one connection, from its start to its end. With --filter: open connections from now on and new ones
    /// from their start, until interrupted. Missing bytes are reported, never skipped silently.
    Follow(follow::Args),
    /// Print events of connections, one per line
    ///
    /// Each line has the time (UTC), the kind, the connection and the details of one event. A line `lost` counts the
    /// events that were not read in time.
    Events(events::Args),
    /// Search streams for patterns as they arrive
    ///
    /// Each line has the time (UTC), connection, side, offset and pattern of a match; with --context its bytes follow.
    /// Only new bytes are searched. `lost` reports bytes that were not searched.
    Watch(watch::Args),
    /// Save streams to files, one per side, with a list of missing bytes
    ///
    /// For each connection DIR gets SOCKID-server.bin (the bytes that the server received), SOCKID-client.bin and
    /// SOCKID.json. A .bin file holds the retained bytes without padding for missing ones. SOCKID.json lists each range
    /// with its offset in the stream (`off`) and in the file (`at`). It also lists missing bytes (`gaps`) with the
    /// reason: `evicted`, `lost` (never captured), `waiting` (not captured yet) or `disabled` (buffering is off).
    /// SOCKID.json is written last: without it, the connection was not saved completely. Only the user can read the
    /// files, and a directory that is created.
    Save(save::Args),
    /// Write connections as a capture file, for Wireshark and other tools
    ///
    /// Writes a pcapng file that Wireshark, tshark and other tools read. Bytes, times, addresses and sequence numbers
    /// are those of the connections. Segments, handshakes, acknowledgments and ends are reconstructed, with correct
    /// checksums. Missing bytes are a jump in the sequence. Packets are in the order of time; bytes that arrived
    /// together stay together.
    Export(export::Args),
    /// Write packets as they were captured to a capture file
    ///
    /// Writes the TCP packets that the daemon captures as a pcapng file, from now on until interrupted. In mirror mode
    /// with XDP, the monitor takes the packets of a port, so tcpdump sees none there. Packets that were lost between
    /// the daemon and the file are counted in it; the streams of the daemon lose nothing.
    Capture(capture::Args),
    /// Install the captures of monitord in Wireshark
    ///
    /// Wireshark then lists two interfaces: all connections of monitord, and one connection. A capture filter is a
    /// filter of monitord.
    Extcap(extcap::Args),
    /// Write a record of each connection that ends, for months
    ///
    /// Prints a JSON object per line for each connection that ends, and an interim one for connections that stay open.
    /// With -o it runs for months: it opens its file again after a rotation and on SIGHUP, waits while the disk is
    /// full, and continues after a restart of the daemon or of itself without losing or repeating a record that the
    /// daemon still lists. FILE.state is its own file. A line with `lost` counts records that are missing. docs/log.md
    /// describes the records.
    Log(log::Args),
    /// Show a live screen: connections by rate, losses, memory, and the load of each worker
    ///
    /// Keys: r, b, m, h, o, l sort by rate, bytes, memory, holes, opened, last packet; i inverts the order; up, down,
    /// page up, page down, home, end move in the list; + and - change the interval; space pauses; q or Ctrl-C quits. A
    /// length with a `*` has missing bytes. Of more than 10000 connections the screen shows those with the latest
    /// packets, or with the most bytes when sorted by bytes or memory, or the newest when sorted by opened.
    Top(top::Args),
    /// Stop monitoring a connection, or one side of it (admins)
    ///
    /// Without a side the connection is closed in the monitor (not between its ends), its packets are passed by, and
    /// its retained bytes stay readable for a while. With a side, no more bytes of that side are stored. It cannot be
    /// undone.
    Stop(stop::Args),
    /// Wait until the daemon captures packets; for scripts
    ///
    /// The daemon is ready when it answers and captures from every interface of its configuration. A script that
    /// generates traffic must wait for this: the socket file exists earlier.
    Ready(ready::Args),
    /// Change settings of a connection, or of future connections (admins)
    ///
    /// With SOCKID: that connection, from now on. With --filter: future connections; the number of the rule is printed,
    /// for --remove.
    Set(set::Args),
    /// Show, test or reload the daemon's settings
    Config(config::Args),
    /// Show every counter
    Stats(stats::Args),
    /// Check kernel, privileges, interfaces and limits, with a remedy for each problem
    ///
    /// By default the settings and the process of the running daemon are checked, or the default settings if none runs.
    /// The exit status is 7 if there is a problem; warnings don't change it.
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
