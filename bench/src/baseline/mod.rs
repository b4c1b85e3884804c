//! Baseline of the engine: reassembly without TCP.
//!
//! A capture file is read, every frame's headers are parsed, its flow is looked up in a hash table,
//! and its payload is copied to its place in a ring of 1 MiB, one for each side, which keeps the
//! newest bytes as the store does. No states, no lost ranges, no overlaps, no timers, no readers,
//! no limits: a SYN makes a flow, the second FIN frees it, and a ring goes to the next flow that
//! needs one while it is still warm. The optimizations that need no TCP logic are here: the table
//! and the flows of a batch are prefetched together, as in the engine.

mod checksum;
mod file;
mod frame;
mod table;

use std::io;
use std::path::Path;

use file::File;
use frame::Frame;
use monitor_tests::wiregen::flags::{FIN, SYN};
use serde_json::{Value, json};
use table::Table;

use crate::sys::prefetch;

/// Frames with table entries and flows that are prefetched together.
const BATCH: usize = 32;
/// Bytes kept for each side: the daemon's default window.
const RING: usize = 1 << 20;

/// Connection.
#[derive(Default)]
#[repr(align(64))]
struct Flow {
    ends: [u64; 2],
    /// Sequence number of offset 0 of each end's stream.
    start: [u32; 2],
    /// Ends that sent a FIN, one bit each.
    finished: u8,
    rings: [Option<Box<[u8]>>; 2],
}

#[derive(Default)]
struct Baseline {
    table: Table,
    flows: Vec<Flow>,
    free_flows: Vec<u32>,
    free_rings: Vec<Box<[u8]>>,
    verify: bool,
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
    let mut baseline = Baseline {
        verify: verify == Verify::Verify,
        ..Baseline::default()
    };
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
    fn batch(&mut self, frames: &[Frame<'_>]) {
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
            None if frame.flags & SYN != 0 => self.open(frame),
            None => return,
        };
        let flow = &mut self.flows[number as usize];
        if frame.flags & SYN != 0 {
            flow.start[frame.from] = frame.seq.wrapping_add(1);
        }
        if !frame.payload.is_empty() {
            self.payload += frame.payload.len() as u64;
            let ring = flow.rings[frame.from].get_or_insert_with(|| {
                self.free_rings
                    .pop()
                    .unwrap_or_else(|| vec![0; RING].into_boxed_slice())
            });
            put(
                ring,
                frame.seq.wrapping_sub(flow.start[frame.from]) as usize,
                frame.payload,
            );
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
        self.flows[number as usize] = Flow {
            ends: frame.ends,
            ..Flow::default()
        };
        self.table.insert(frame.tag, number);
        number
    }

    fn close(&mut self, tag: u32, number: u32) {
        self.table.remove(tag, number);
        let rings = self.flows[number as usize]
            .rings
            .iter_mut()
            .filter_map(Option::take);
        self.free_rings.extend(rings);
        self.free_flows.push(number);
    }
}

/// Copies bytes to their place.
fn put(ring: &mut [u8], off: usize, bytes: &[u8]) {
    let at = off % RING;
    let (now, later) = bytes.split_at(bytes.len().min(RING - at));
    ring[at..at + now.len()].copy_from_slice(now);
    ring[..later.len()].copy_from_slice(later);
}
