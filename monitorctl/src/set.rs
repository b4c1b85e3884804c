//! `set`: what the RPC calls `configure`.

use std::io::Write;

use monitor_client::Side;
use monitor_client::types::{ConfigureParams, Overlap};

use crate::Context;
use crate::args::size;
use crate::failure::Failure;
use crate::show;

/// For which connections, and what.
///
/// With SOCKID for that connection, from now on. With --filter for those to come: the rule's number is printed, by
/// which --remove takes it away.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
#[command(group(clap::ArgGroup::new("what").multiple(true)))]
pub struct Args {
    /// As `sockets` lists it
    #[arg(group = "which", requires = "what")]
    sockid: Option<u64>,
    /// Connections to come that this filter wants, in the words of tcpdump
    #[arg(long, value_name = "FILTER", group = "which", requires = "what")]
    filter: Option<String>,
    /// Takes a rule away
    #[arg(long, value_name = "RULE", group = "which", conflicts_with = "what")]
    remove: Option<u64>,
    /// This side alone
    #[arg(long, conflicts_with = "remove")]
    side: Option<Side>,
    /// Bytes to keep, the newest: 4096, 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", value_parser = size, group = "what")]
    window: Option<u64>,
    /// Whose bytes win where segments overlap and differ: linux, first, last, bsd
    #[arg(long, value_name = "POLICY", value_parser = overlap, group = "what")]
    overlap: Option<Overlap>,
    /// Keep no bytes, for good
    #[arg(long, group = "what")]
    disable: bool,
}

fn overlap(name: &str) -> Result<Overlap, String> {
    // Its name on the wire: one that is added there is known here.
    serde_json::from_value(name.into()).map_err(|_| "linux, first, last or bsd".to_owned())
}

pub fn set<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let params = ConfigureParams {
        sockid: args.sockid,
        filter: args.filter.clone(),
        rule: args.remove,
        remove: args.remove.is_some(),
        side: args.side,
        window: args.window,
        enabled: args.disable.then_some(false),
        overlap: args.overlap,
        worker: None,
    };
    let done = context.client.configure(&params)?;
    if context.json {
        return context.json(&done);
    }
    if let Some(socket) = &done.socket {
        show::socket::print(&mut context.out, socket)?;
    }
    if let Some(rule) = done.rule {
        writeln!(context.out, "rule {rule}")?;
    }
    Ok(())
}
