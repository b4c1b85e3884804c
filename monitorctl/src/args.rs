//! The command line: the verbs, and what several of them share. Each verb's own arguments stand with the verb.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use monitor_client::DEFAULT_SOCKET;

use crate::failure::exit_codes;
use crate::show::colour::When;
use crate::{
    call, completions, config, events, follow, fragments, info, lookup, man, peek, ppeek, save,
    set, sockets, stats, stop, top, wait, watch,
};

/// Looks into live TCP connections through monitord.
///
/// A SOCKID names one connection, for good; `sockets` lists them. A side is named after its receiver: `server` holds
/// what the client sent, `client` what the server sent. Offset 0 is the first byte of the stream.
#[derive(Debug, Parser)]
#[command(name = "monitorctl", version, after_help = exit_codes())]
pub struct Args {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON: the RPC's own results, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List connections
    Sockets(sockets::Args),
    /// Show one connection
    Info(info::Args),
    /// Show the newest connection between two ends
    Lookup(lookup::Args),
    /// Show which bytes of one side can be read, and where the holes are
    Fragments(fragments::Args),
    /// Read bytes of one side, from any offset: a hex dump to a terminal, the bytes themselves to a pipe
    Ppeek(ppeek::Args),
    /// Read one side in order, from its start to what has come so far
    Peek(peek::Args),
    /// Wait for a byte of one side
    Wait(wait::Args),
    /// Print the bytes of connections as they come
    Follow(follow::Args),
    /// Print what happens to connections, an event a line
    Events(events::Args),
    /// Search streams for patterns as they come
    Watch(watch::Args),
    /// Save streams to files, one for each side, and what is missing in them beside
    Save(save::Args),
    /// A live screen: connections by rate, losses, memory, and each worker's load
    Top(top::Args),
    /// See no more of a connection, or keep no more bytes of one side of it (admins)
    Stop(stop::Args),
    /// Other settings for a connection, or for connections to come (admins)
    Set(set::Args),
    /// The daemon's settings: show, test, read again
    Config(config::Args),
    /// Show every counter
    Stats(stats::Args),
    /// Call any method of the RPC, and print its result as JSON
    Call(call::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write one for each verb
    Man(man::Args),
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

/// A size: a plain number of bytes, or with a unit.
pub fn size(text: &str) -> Result<u64, String> {
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|_| "a number of bytes, like 4096, 64KiB or 1MiB".to_owned())?;
    Ok(size.as_u64())
}

/// A time: plain seconds, or with a unit.
pub fn seconds(text: &str) -> Result<f64, String> {
    let plain = text
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    let parsed = plain.or_else(|| {
        humantime::parse_duration(text)
            .ok()
            .map(|time| time.as_secs_f64())
    });
    parsed.ok_or_else(|| "a time, like 2, 500ms or 10m".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_have_units_or_none() {
        assert_eq!(
            (size("4096"), size("64KiB"), size("1 MB")),
            (Ok(4096), Ok(65_536), Ok(1_000_000))
        );
        assert_eq!((seconds("0.5"), seconds("2m")), (Ok(0.5), Ok(120.0)));
        assert!(size("much").is_err() && seconds("-1").is_err() && seconds("NaN").is_err());
    }
}
