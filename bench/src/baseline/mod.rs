//! Baseline of the engine: reassembly without TCP.
//!
//! Every frame's headers are parsed, its flow is looked up in a hash table, and its payload is
//! copied to its place in the newest MiB of its side. No states, no lost ranges, no overlaps, no
//! timers, no readers, no limits: a SYN makes a flow, the second FIN frees it. As many bytes are
//! kept as the daemon keeps, those of closed connections too. The optimizations that need no TCP
//! logic are here: the table and the flows of a batch are prefetched together, as in the engine,
//! and the memory has huge pages.

mod checksum;
mod file;
mod frame;
mod kept;
mod table;

use std::io;
use std::path::Path;

use file::File;
pub use frame::Frame;
use kept::{Kept, Ring};
use monitor_tests::wiregen::flags::{FIN, SYN};
use serde_json::{Value, json};
use table::Table;

use crate::sys::prefetch;

/// Frames with table entries and flows that are prefetched together.
pub const BATCH: usize = 32;

/// Connection.
#[derive(Default)]
#[repr(align(64))]
struct Flow {
    ends: [u64; 2],
    /// Sequence number of offset 0 of each end's stream.
    start: [u32; 2],
    /// Ends that sent a FIN, one bit each.
    finished: u8,
    rings: [Ring; 2],
}

/// Connections and their bytes.
pub struct Baseline {
    table: Table,
    flows: Vec<Flow>,
    free_flows: Vec<u32>,
    kept: Kept,
    verify: bool,
    /// A flow may begin without its SYN.
    midstream: bool,
    packets: u64,
    payload: u64,
    opened: u64,
    bad: u64,
}

/// Treatment of checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verify {
    /// They are computed and compared.
    Verify,
    /// They are not looked at.
    Trust,
}

/// Reads a capture file (classic pcap, Ethernet) to its end.
pub fn run(path: &Path, verify: Verify) -> io::Result<Value> {
    let mut file = File::open(path)?;
    let mut baseline = Baseline::new(verify)?;
    while file.fill()? {
        file.batches(BATCH, |frames| baseline.batch(frames));
    }
    Ok(json!({
        "packets": baseline.packets,
        "payload_bytes": baseline.payload,
        "flows": baseline.opened,
        "bad_checksums": baseline.bad,
    }))
}

impl Baseline {
    fn new(verify: Verify) -> io::Result<Self> {
        Ok(Self {
            table: Table::default(),
            flows: Vec::new(),
            free_flows: Vec::new(),
            kept: Kept::new()?,
            verify: verify == Verify::Verify,
            midstream: false,
            packets: 0,
            payload: 0,
            opened: 0,
            bad: 0,
        })
    }

    /// Creates one for connections that were there before; checksums are verified.
    pub fn live() -> io::Result<Self> {
        Ok(Self {
            midstream: true,
            ..Self::new(Verify::Verify)?
        })
    }

    /// Takes at most [`BATCH`] frames.
    pub fn batch(&mut self, frames: &[Frame<'_>]) {
        for frame in frames {
            self.table.prefetch(frame.tag);
        }
        for frame in frames {
            if let Some(number) = self.table.guess(frame.tag)
                && let Some(flow) = self.flows.get(number as usize)
            {
                prefetch(flow);
            }
        }
        for frame in frames {
            self.packets += 1;
            if self.verify && !checksum::good(frame) {
                self.bad += 1;
                continue;
            }
            self.follow(frame);
        }
    }

    fn follow(&mut self, frame: &Frame<'_>) {
        let found = self.table.find(frame.tag, |number| {
            self.flows[number as usize].ends == frame.ends
        });
        let number = match found {
            Some(number) => number,
            None if frame.flags & SYN != 0 || self.midstream => self.open(frame),
            None => return,
        };
        let flow = &mut self.flows[number as usize];
        if frame.flags & SYN != 0 {
            flow.start[frame.from] = frame.seq.wrapping_add(1);
        }
        if !frame.payload.is_empty() {
            self.payload += frame.payload.len() as u64;
            let off = frame.seq.wrapping_sub(flow.start[frame.from]) as usize;
            self.kept
                .put(&mut flow.rings[frame.from], off, frame.payload);
        }
        if frame.flags & FIN != 0 {
            flow.finished |= 1 << frame.from;
            if flow.finished == 3 {
                self.close(frame.tag, number);
            }
        }
    }

    fn open(&mut self, frame: &Frame<'_>) -> u32 {
        self.opened += 1;
        let number = self.free_flows.pop().unwrap_or_else(|| {
            self.flows.push(Flow::default());
            self.flows.len() as u32 - 1
        });
        let flow = &mut self.flows[number as usize];
        flow.ends = frame.ends;
        flow.start = [frame.seq; 2];
        flow.finished = 0;
        // Their memory is used again.
        flow.rings.iter_mut().for_each(Ring::clear);
        self.table.insert(frame.tag, number);
        number
    }

    fn close(&mut self, tag: u32, number: u32) {
        self.table.remove(tag, number);
        self.free_flows.push(number);
    }
}
