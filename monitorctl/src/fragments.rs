//! `fragments`.

use std::io::Write;

use monitor_client::Side;
use monitor_client::types::Fragments;

use crate::Context;
use crate::failure::Failure;
use crate::show::table::{Align, Table};

/// Which side.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `sockets` lists it
    sockid: u64,
    /// Whose received bytes: `server` holds what the client sent
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

/// Runs of bytes, and the holes between them, from offset 0 to the end.
fn table(fragments: &Fragments) -> Table<3> {
    let mut table = Table::new([
        ("OFFSET", Align::Right),
        ("LENGTH", Align::Right),
        ("BYTES", Align::Left),
    ]);
    let mut line = |off: u64, to: u64, what: &str| {
        if off < to {
            table.row([off.to_string(), (to - off).to_string(), what.to_owned()]);
        }
    };
    let Fragments {
        base, next, end, ..
    } = *fragments;
    line(0, base, "evicted");
    let mut at = base;
    let missing = |line: &mut dyn FnMut(u64, u64, &str), at: u64, to: u64| {
        // Below the in-order edge nothing is waited for any more.
        line(at, to.min(next), "lost");
        line(at.max(next), to, "not captured yet");
    };
    for &(off, len) in &fragments.extents {
        missing(&mut line, at, off);
        line(off, off + len, "kept");
        at = off + len;
    }
    missing(&mut line, at, end);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_stream_is_accounted_for() {
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
