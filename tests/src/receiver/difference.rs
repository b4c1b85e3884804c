//! Report of a script after which monitor and kernel disagree.

use std::fmt;

use crate::wiregen::{Capture, Frame};

/// LINKTYPE_RAW: packets begin with the IP header.
const RAW: u16 = 101;

/// A script after which monitor and kernel disagree.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Seed of the script.
    pub seed: u64,
    /// Disagreement in one line.
    pub what: String,
    /// Segments of the script.
    pub log: Vec<String>,
    /// Packets of the script, as a pcap file.
    pub pcap: Vec<u8>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        for line in &self.log {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// Returns packets as a pcap file.
pub fn pcap<'a>(packets: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let frames = packets.enumerate().map(|(index, data)| Frame {
        time: 1_700_000_000_000_000_000 + index as u64 * 10_000,
        data: data.clone(),
    });
    let capture = Capture {
        link_type: RAW,
        frames: frames.collect(),
    };
    capture.pcap()
}
