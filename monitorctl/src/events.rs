//! The verb `events`.

use std::io::Write;

use monitor_client::types::{EventKind, Listening, SubscribeParams};
use monitor_client::{Method, Side};

use crate::context::Context;
use crate::ends::EndsCache;
use crate::failure::Failure;
use crate::show::event;

/// Selected events.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// opened, established, data, gap, filled, retransmit, conflict, refused, state, closed, evicted; by default all
    /// except data, retransmit and refused
    #[arg(value_name = "KIND", value_parser = kind)]
    kinds: Vec<EventKind>,
    /// Only connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER", conflicts_with = "sockid")]
    filter: Option<String>,
    /// Only this connection
    #[arg(long, value_name = "SOCKID")]
    sockid: Option<u64>,
    /// Of the events that belong to a side, only those of this side
    #[arg(long)]
    side: Option<Side>,
    /// Exit after this number of events
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
    let mut ends = EndsCache::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let received = context.event()?;
        if context.json {
            context.json(&received)?;
        } else {
            let ends = ends.get(&mut context.client, &received);
            let line = event::line(&received, ends, context.palette);
            writeln!(context.out, "{line}")?;
        }
        left -= 1;
    }
    Ok(())
}
