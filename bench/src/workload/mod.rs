//! Captures that the engine and its peers read, with their expected figures. They are the same in every run.
//!
//! | name | content |
//! |---|---|
//! | `bulk` | 1 GB in 64 flows, full segments, an acknowledgment for every two |
//! | `messy` | 300 MB in 64 flows: reordered, lost and sent again, doubled, overlapping ([`Path::Messy`]) |
//! | `gappy` | 300 MB in 64 flows: 0.5 % of the segments are missing, although acknowledged ([`Path::Gappy`]) |
//! | `many` | 200 000 connections, 10 000 at once: handshake, request, response, both FINs |

mod content;
mod file;
mod flow;

use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use monitor_tests::wiregen::Random;

use file::Writer;
pub use flow::Flow;
use flow::{Path, between};

/// Changed whenever a file of the same name would hold something else.
const EDITION: u32 = 1;
const SEED: u64 = 42;
/// Flows of all workloads but `many`.
const FLOWS: u64 = 64;
/// Length of the other side's stream in those.
const SMALL: u32 = 300;
/// Connections of `many`, and how many of them are open at once.
const CONNECTIONS: u64 = 200_000;
const AT_ONCE: usize = 10_000;

/// A capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Large transfers.
    Bulk,
    /// Large transfers over a bad network, captured whole.
    Messy,
    /// Large transfers, captured badly.
    Gappy,
    /// Short connections.
    Many,
}

impl Workload {
    /// Returns the workload's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Messy => "messy",
            Self::Gappy => "gappy",
            Self::Many => "many",
        }
    }

    /// Its place in a directory.
    pub fn file(self, directory: &FilePath) -> PathBuf {
        directory.join(format!("{}-{EDITION}.pcap", self.name()))
    }

    /// Makes its file; how many bytes that is.
    pub fn make(self, directory: &FilePath) -> io::Result<u64> {
        fs::create_dir_all(directory)?;
        let path = self.file(directory);
        let beside = path.with_extension("tmp");
        self.write(&beside)?;
        fs::rename(&beside, &path)?;
        Ok(path.metadata()?.len())
    }

    /// Its flows before anything is sent, with all that is true of them; none of `many`, which are made as they come.
    pub fn flows(self) -> Vec<Flow> {
        let (size, path) = match self {
            Self::Bulk => (1_000_000_000, Path::Clean),
            Self::Messy => (300_000_000, Path::Messy),
            Self::Gappy => (300_000_000, Path::Gappy),
            Self::Many => return Vec::new(),
        };
        let mut random = Random::new(SEED);
        (0..FLOWS)
            .map(|number| transfer(number, (size / FLOWS) as u32, path, &mut random))
            .collect()
    }

    fn write(self, path: &FilePath) -> io::Result<()> {
        let mut writer = Writer::create(path)?;
        let mut random = Random::new(SEED ^ 0x6d_6978_6564);
        if self == Self::Many {
            short_ones(&mut writer, &mut random)?;
        } else {
            mix(&mut writer, self.flows(), 8, &mut random, |_| None)?;
        }
        writer.finish()
    }
}

/// Flows with even numbers upload, the others download.
fn transfer(number: u64, size: u32, path: Path, random: &mut Random) -> Flow {
    let sender = (number % 2) as u8;
    let mut len = [SMALL; 2];
    len[usize::from(sender)] = size;
    let mut flow = Flow::new(number, SEED, len);
    flow.open();
    if sender == 0 {
        flow.send(0, 0, path, random);
        flow.send(1, size, Path::Clean, random);
    } else {
        flow.send(0, 0, Path::Clean, random);
        flow.send(1, SMALL, path, random);
    }
    flow.close(sender);
    flow
}

/// A request of 400 to 800 bytes, a response of 4 to 8 KB.
fn short_one(number: u64, random: &mut Random) -> Flow {
    let len = [between(random, 400, 800), between(random, 4000, 8000)];
    let mut flow = Flow::new(number, SEED, len);
    flow.open();
    flow.send(0, 0, Path::Clean, random);
    flow.send(1, len[0], Path::Clean, random);
    flow.close(1);
    flow
}

fn short_ones(writer: &mut Writer, random: &mut Random) -> io::Result<()> {
    let first = (0..AT_ONCE as u64)
        .map(|number| short_one(number, random))
        .collect();
    let mut next = AT_ONCE as u64;
    mix(writer, first, 3, random, |random| {
        next += 1;
        (next <= CONNECTIONS).then(|| short_one(next - 1, random))
    })
}

/// Writes all segments: up to `burst` of one flow, then some of another. A flow that is over is replaced.
fn mix(
    writer: &mut Writer,
    mut flows: Vec<Flow>,
    burst: u32,
    random: &mut Random,
    mut replace: impl FnMut(&mut Random) -> Option<Flow>,
) -> io::Result<()> {
    while !flows.is_empty() {
        let chosen = random.below(flows.len());
        for _ in 0..between(random, 1, burst) {
            if let Some(segment) = flows[chosen].segments.pop_front() {
                writer.write(&flows[chosen], segment)?;
            }
        }
        if flows[chosen].segments.is_empty() {
            match replace(random) {
                Some(flow) => flows[chosen] = flow,
                None => drop(flows.swap_remove(chosen)),
            }
        }
    }
    Ok(())
}
