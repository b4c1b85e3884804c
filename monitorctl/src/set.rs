//! The verb `set`, the method `configure` of the RPC.

use std::io::Write;

use monitor_client::Side;
use monitor_client::types::{ConfigureParams, OverlapPolicy};

use crate::context::Context;
use crate::failure::Failure;
use crate::show;
use crate::values::size;

/// Connections and their settings.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
#[command(group(clap::ArgGroup::new("settings").multiple(true)))]
pub struct Args {
    /// Connection, as listed by `sockets`
    #[arg(group = "target", requires = "settings")]
    sockid: Option<u64>,
    /// Future connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER", group = "target", requires = "settings")]
    filter: Option<String>,
    /// Remove a rule
    #[arg(
        long,
        value_name = "RULE",
        group = "target",
        conflicts_with = "settings"
    )]
    remove: Option<u64>,
    /// Only this side
    #[arg(long, conflicts_with = "remove")]
    side: Option<Side>,
    /// Newest bytes to retain: 4096, 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", value_parser = size, group = "settings")]
    window: Option<u64>,
    /// Policy for segments that overlap and differ: linux, first, last, bsd
    #[arg(long, value_name = "POLICY", value_parser = overlap, group = "settings")]
    overlap: Option<OverlapPolicy>,
    /// Store no more bytes, permanently
    #[arg(long, group = "settings")]
    disable: bool,
}

fn overlap(name: &str) -> Result<OverlapPolicy, String> {
    // Parsed by its wire name: new policies need no change here.
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
