//! The verb `stats`.

use std::io::Write;

use monitor_client::Counters;
use monitor_client::types::{CaptureStats, Stats};

use crate::context::Context;
use crate::failure::Failure;

/// Detail.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show each worker's counters as well
    #[arg(long)]
    workers: bool,
}

pub fn stats<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let stats = context.client.stats()?;
    if context.json {
        return context.json(&stats);
    }
    let out = &mut context.out;
    capture(out, &stats.capture)?;
    let groups = groups(&stats, args.workers);
    let name_width = width(
        groups
            .iter()
            .flat_map(|(_, rows)| rows)
            .map(|(name, _)| name.len()),
    );
    let cells = groups
        .iter()
        .flat_map(|(_, rows)| rows)
        .flat_map(|(_, values)| values);
    let value_width = width(cells.map(|value| value.to_string().len()));
    for (group, rows) in groups {
        writeln!(out, "\n{group}")?;
        for (name, values) in rows {
            write!(out, "  {name:<name_width$}")?;
            for value in values {
                write!(out, "  {value:>value_width$}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn capture(out: &mut impl Write, capture: &CaptureStats) -> Result<(), Failure> {
    let path = match (capture.path.as_deref(), capture.xdp.as_deref()) {
        (Some("packet"), _) => ", packet sockets".to_owned(),
        (_, Some(xdp)) => format!(", {xdp} XDP"),
        _ => String::new(),
    };
    let finished = if capture.finished { ", finished" } else { "" };
    writeln!(
        out,
        "{} with {} workers{path}{finished}",
        capture.mode, capture.workers
    )?;
    for interface in &capture.interfaces {
        let state = if interface.up { "up" } else { "down" };
        let path = match (interface.path.as_deref(), interface.xdp.as_deref()) {
            (Some("packet"), _) => "packet sockets".to_owned(),
            (_, xdp) => format!("XDP {}", xdp.unwrap_or("-")),
        };
        let queues = if interface.queues == 1 {
            "queue"
        } else {
            "queues"
        };
        writeln!(
            out,
            "  {}: {state}, {} {queues}, {path}",
            interface.name, interface.queues
        )?;
    }
    Ok(())
}

type Rows<'a> = Vec<(&'a str, Vec<u64>)>;

/// Returns each group's counters: the sum, then each worker's value if requested and available.
fn groups(stats: &Stats, workers: bool) -> Vec<(&'static str, Rows<'_>)> {
    let rows = |sums: &'static str, group: fn(&Stats) -> &Counters, shares: Vec<&Counters>| {
        let rows = group(stats).0.iter().map(|(name, sum)| {
            let shares = shares.iter().map(|share| share.get(name).unwrap_or(0));
            (name.as_ref(), std::iter::once(*sum).chain(shares).collect())
        });
        (sums, rows.collect())
    };
    let shares = if workers {
        stats.workers.as_slice()
    } else {
        &[]
    };
    vec![
        rows("capture", |stats| &stats.capture.counters, Vec::new()),
        rows(
            "decode",
            |stats| &stats.decode,
            shares.iter().map(|own| &own.decode).collect(),
        ),
        rows(
            "flows",
            |stats| &stats.flows,
            shares.iter().map(|own| &own.flows).collect(),
        ),
        rows(
            "tcp",
            |stats| &stats.tcp,
            shares.iter().map(|own| &own.tcp).collect(),
        ),
        rows(
            "store",
            |stats| &stats.store,
            shares.iter().map(|own| &own.store).collect(),
        ),
        rows("rpc", |stats| &stats.rpc, Vec::new()),
    ]
}

fn width(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.max().unwrap_or(0)
}
