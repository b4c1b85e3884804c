//! The command `events`.

use std::io::Write as _;

use monitor_relay::fleet::subjects;

use super::session::Session;
use crate::failure::Failure;

/// Kinds, hosts and number.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Kinds of events; by default all that the relays publish
    kinds: Vec<String>,
    /// Only events of this host
    #[arg(long)]
    host: Option<String>,
    /// End after this number of events
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
}

pub(super) async fn events(session: &mut Session<'_>, args: &Args) -> Result<(), Failure> {
    let subject = subjects::event(args.host.as_deref().unwrap_or("*"), "*");
    let Session { fleet, out, .. } = session;
    let mut events = fleet.subscribe(subject).await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0
        && let Some(event) = events.next().await?
    {
        let kind = event["event"].as_str().unwrap_or_default();
        if args.kinds.is_empty() || args.kinds.iter().any(|wanted| wanted == kind) {
            writeln!(out, "{event}")?;
            out.flush()?;
            left -= 1;
        }
    }
    Ok(())
}
