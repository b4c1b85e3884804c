//! The verb `fragments`.

use std::io::Write;

use monitor_client::Side;
use monitor_client::types::Fragments;

use crate::context::Context;
use crate::failure::Failure;
use crate::show::table::{Align, Table};

/// The side.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connection, as listed by `sockets`
    sockid: u64,
    /// Receiving side: `server` holds the bytes that the client sent
    side: Side,
}

pub fn fragments<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let fragments = context.client.fragments(args.sockid, args.side)?;
    if context.json {
        return context.json(&fragments);
    }
    table(&fragments).print(&mut context.out)?;
    Ok(())
}

/// Returns ranges and holes from offset 0 to the end.
pub fn table(fragments: &Fragments) -> Table<3> {
    let mut table = Table::new([
        ("OFFSET", Align::Right),
        ("LENGTH", Align::Right),
        ("BYTES", Align::Left),
    ]);
    let Fragments {
        base, next, end, ..
    } = *fragments;
    row(&mut table, 0, base, "evicted");
    let mut at = base;
    for &(off, len) in &fragments.extents {
        hole(&mut table, at, off, next);
        row(&mut table, off, off + len, "kept");
        at = off + len;
    }
    hole(&mut table, at, end, next);
    table
}

/// Adds a hole. Its part below the in-order edge was declared lost.
fn hole(table: &mut Table<3>, from: u64, to: u64, next: u64) {
    row(table, from, to.min(next), "lost");
    row(table, from.max(next), to, "not captured yet");
}

fn row(table: &mut Table<3>, from: u64, to: u64, state: &str) {
    if from < to {
        table.row([from.to_string(), (to - from).to_string(), state.to_owned()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_covers_every_byte_of_the_stream() {
        let fragments = Fragments {
            extents: vec![(10, 10), (25, 5), (40, 10)],
            base: 10,
            next: 30,
            end: 55,
        };
        let mut out = Vec::new();
        table(&fragments).print(&mut out).unwrap();
        let lines = String::from_utf8(out).unwrap();
        let cells: Vec<Vec<&str>> = lines
            .lines()
            .skip(1)
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(
            cells,
            [
                vec!["0", "10", "evicted"],
                vec!["10", "10", "kept"],
                vec!["20", "5", "lost"],
                vec!["25", "5", "kept"],
                vec!["30", "10", "not", "captured", "yet"],
                vec!["40", "10", "kept"],
                vec!["50", "5", "not", "captured", "yet"],
            ]
        );
    }
}
