//! Commands for many hosts: `monitorctl --fleet URL`.
//!
//! A command line with `--fleet` is parsed here, since connections have other names in the fleet: HOST/INSTANCE/SOCKID.
//! Requests go through the NATS server to the relays of the hosts.

mod compare;
mod events;
mod list;
mod read;
mod session;
mod top;

use std::ffi::OsString;
use std::io::{BufWriter, StdoutLock, Write as _};
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use monitor_relay::fleet::access::Access;
use monitor_relay::fleet::client::Fleet;

use crate::failure::{Failure, exit_codes};
use crate::sockets;
use session::Session;

/// Reads TCP connections of many hosts, through a NATS server and their relays.
///
/// A connection is named HOST/INSTANCE/SOCKID; `sockets` lists them.
#[derive(Debug, Parser)]
#[command(name = "monitorctl --fleet", bin_name = "monitorctl --fleet URL", version, after_help = exit_codes())]
struct Args {
    /// Address of the NATS server: tls://HOST:PORT or nats://HOST:PORT
    #[arg(
        long,
        global = true,
        value_name = "URL",
        required = false,
        default_value = ""
    )]
    fleet: String,
    /// Credentials: a .creds file, or the seed of an nkey
    #[arg(long, global = true, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Certificates of the authorities that may have signed the server's
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate of this user, for servers that verify their clients
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the hosts
    Hosts,
    /// List the connections of all hosts
    Sockets(sockets::Args),
    /// Show one connection
    Info(read::Connection),
    /// Show the retained ranges of one side, and its holes
    Fragments(read::Side),
    /// Read bytes of one side at an offset: a hex dump on a terminal, raw bytes to a pipe
    Ppeek(read::Ppeek),
    /// Print the bytes of one side as they arrive
    Follow(read::Follow),
    /// Show a live screen: connections of all hosts by rate, losses, memory, and the load of each worker
    ///
    /// `monitorctl top --help` lists the keys. Of each host, the screen shows at most 1000 connections.
    Top(crate::top::Args),
    /// Print events of connections, one per line, as JSON
    Events(events::Args),
    /// Compare the bytes of a connection that several hosts have captured
    Compare(compare::Args),
    /// Call any method of a host, and print its result as JSON
    Call(read::Call),
}

/// Returns the command line, for the manual.
pub fn command() -> clap::Command {
    Args::command().name("monitorctl-fleet")
}

/// Returns whether a command line is one for a fleet.
pub fn is_requested(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.any(|argument| {
        let text = argument.to_string_lossy();
        text == "--fleet" || text.starts_with("--fleet=")
    })
}

/// Runs a command line.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let args = Args::try_parse_from(arguments).map_err(Failure::Arguments)?;
    let access = Access {
        url: args.fleet.into(),
        credentials: args.credentials,
        ca: args.ca,
        cert: args.cert,
        key: args.key,
    };
    let out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    // Its samples are taken on a thread of its own.
    if let Verb::Top(top) = &args.verb {
        return top::top(&access, out, args.json, top);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(execute(&access, out, args.json, args.verb))
}

async fn execute(
    access: &Access,
    out: BufWriter<StdoutLock<'_>>,
    json: bool,
    verb: Verb,
) -> Result<(), Failure> {
    let mut session = Session {
        fleet: Fleet::connect(access).await?,
        json,
        out,
    };
    let result = dispatch(&mut session, verb).await;
    session.out.flush()?;
    session.fleet.close().await;
    result
}

async fn dispatch(session: &mut Session<'_>, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Hosts => list::hosts(session).await,
        Verb::Sockets(args) => list::sockets(session, &args).await,
        Verb::Info(args) => read::info(session, &args).await,
        Verb::Fragments(args) => read::fragments(session, &args).await,
        Verb::Ppeek(args) => read::ppeek(session, &args).await,
        Verb::Follow(args) => read::follow(session, &args).await,
        Verb::Events(args) => events::events(session, &args).await,
        Verb::Compare(args) => compare::compare(session, &args).await,
        Verb::Call(args) => read::call(session, &args).await,
        Verb::Top(_) => unreachable!("run() handles this verb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
