//! What can be wrong with a capture file.

use std::io;
use std::path::PathBuf;

/// Why a replay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing to read.
    #[error("replay needs at least one capture file")]
    NoFiles,
    /// A speed that time cannot have.
    #[error(
        "a replay at {speed} times the recorded speed is not possible: give a number above 0, 1 for as recorded"
    )]
    Speed {
        /// As given.
        speed: f64,
    },
    /// The system refused.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe, a device or a directory: each worker reads the file for itself, so it must be one.
    #[error("{} is not a regular file: write the capture to a file first", path.display())]
    NotRegular {
        /// Which file.
        path: PathBuf,
    },
    /// It opened, but reading failed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// Nothing in it.
    #[error("{} is empty: a capture has at least a file header", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Some other kind of file.
    #[error(
        "{} is neither a pcap nor a pcapng file (it starts with {start}): give a capture as tcpdump -w or Wireshark writes it, gzipped or not",
        path.display()
    )]
    NotACapture {
        /// Which file.
        path: PathBuf,
        /// Its first bytes, in hex.
        start: String,
    },
}

/// Where and why the rest of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The file ends inside a record.
    #[error("cut off: it ends inside the record that starts at byte {offset}")]
    Truncated {
        /// Where the record starts in the (decompressed) file.
        offset: u64,
    },
    /// The record contradicts the format.
    #[error("broken at byte {offset}: {reason}")]
    Malformed {
        /// Where the record starts in the (decompressed) file.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Reading or decompressing failed.
    #[error("reading stopped after byte {offset}: {source}")]
    Read {
        /// How far the (decompressed) file was used.
        offset: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
}
