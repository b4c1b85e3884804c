//! Errors of capture files.

use std::io;
use std::path::PathBuf;

/// Reason that a replay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No file was given.
    #[error("replay needs at least one capture file")]
    NoFiles,
    /// A speed that is not a positive number.
    #[error(
        "a replay at {speed} times the recorded speed is not possible: give a number above 0, 1 for as recorded"
    )]
    Speed {
        /// Speed given.
        speed: f64,
    },
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// A pipe, a device or a directory. Each worker reads the file, which a pipe does not permit.
    #[error("{} is not a regular file: write the capture to a file first", path.display())]
    NotRegular {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file opened, but reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system or the decompressor.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{} is empty: a capture has at least a file header", path.display())]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
    /// Another kind of file.
    #[error(
        "{} is neither a pcap nor a pcapng file (it starts with {start}): give a capture as tcpdump -w or Wireshark writes it, gzipped or not",
        path.display()
    )]
    NotACapture {
        /// Path of the file.
        path: PathBuf,
        /// Its first bytes, in hex.
        start: String,
    },
}

/// Reason that the rest of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The file ends inside a record.
    #[error("cut off: it ends inside the record that starts at byte {offset}")]
    Truncated {
        /// Offset of the record in the (decompressed) file.
        offset: u64,
    },
    /// The record contradicts the format.
    #[error("broken at byte {offset}: {reason}")]
    Malformed {
        /// Offset of the record in the (decompressed) file.
        offset: u64,
        /// Contradiction.
        reason: &'static str,
    },
    /// Reading or decompressing failed.
    #[error("reading stopped after byte {offset}")]
    Read {
        /// End of the part of the (decompressed) file that was used.
        offset: u64,
        /// Error of the system or the decompressor.
        source: io::Error,
    },
}
