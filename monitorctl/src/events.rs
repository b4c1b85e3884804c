//! `events`.

use std::io::Write;

use monitor_client::types::{EventKind, EventParams, Listening, SubscribeParams};
use monitor_client::{Method, Side};

use crate::Context;
use crate::ends::Ends;
use crate::failure::Failure;
use crate::show::note;

/// Which events.
///
/// One a line, as it happens: its time (UTC), its kind, the connection, and what belongs to it. Those that came faster
/// than they were read are counted by a line `lost`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// opened, established, data, gap, filled, retransmit, conflict, state, closed, evicted; all but data and retransmit
    /// when not given
    #[arg(value_name = "KIND", value_parser = kind)]
    kinds: Vec<EventKind>,
    /// On connections that this filter wants, in the words of tcpdump
    #[arg(long, value_name = "FILTER", conflicts_with = "sockid")]
    filter: Option<String>,
    /// On this connection
    #[arg(long, value_name = "SOCKID")]
    sockid: Option<u64>,
    /// Of the events that belong to a side, those of this one
    #[arg(long)]
    side: Option<Side>,
    /// End after so many
    #[arg(long, short = 'n', value_name = "COUNT")]
    count: Option<u64>,
}

fn kind(name: &str) -> Result<EventKind, String> {
    let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    let kind = EventKind::ALL
        .iter()
        .copied()
        .find(|kind| kind.name() == name);
    kind.ok_or_else(|| format!("one of {}", names.join(", ")))
}

pub fn events<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let params = SubscribeParams {
        events: (!args.kinds.is_empty()).then(|| args.kinds.clone()),
        filter: args.filter.clone(),
        sockid: args.sockid,
        side: args.side,
        ..SubscribeParams::default()
    };
    let _: Listening = context.client.call(Method::Subscribe, &params)?;
    let mut ends = Ends::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = context.event()?;
        if context.json {
            writeln!(context.out, "{}", event.params)?;
        } else {
            let told: EventParams = event.read()?;
            let line = note::line(&told, ends.of(&mut context.client, &told), context.palette);
            writeln!(context.out, "{line}")?;
        }
        left -= 1;
    }
    Ok(())
}
