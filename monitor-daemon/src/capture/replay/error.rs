//! Errors of capture files and streams.

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
    /// A device or a directory.
    #[error("{} is neither a file nor a named pipe: write the capture to a file first", path.display())]
    NotRegular {
        /// Path of the file.
        path: PathBuf,
    },
    /// A stream besides other inputs. Files are merged by the times of their packets, a stream cannot wait for its turn.
    #[error(
        "{stream} is a stream and cannot be merged with other captures: give it alone, or write it to a file first"
    )]
    SeveralStreams {
        /// Name of the stream.
        stream: String,
    },
    /// Standard input is a terminal.
    #[error(
        "standard input is a terminal: pipe a capture into it, as in `tcpdump -U -w - | monitord replay -`"
    )]
    Terminal,
    /// A PCAP-over-IP address without host or port.
    #[error("tcp://{address} is no address: give tcp://HOST:PORT, as in tcp://127.0.0.1:57012")]
    Address {
        /// Part behind `tcp://`.
        address: String,
    },
    /// The PCAP-over-IP server cannot be reached.
    #[error("cannot connect to {address}; a server must offer a capture there (PCAP-over-IP)")]
    Connect {
        /// Host and port.
        address: String,
        /// Error of the system.
        source: io::Error,
    },
    /// The thread that reads a stream.
    #[error("cannot start the thread that reads the stream")]
    Thread(#[source] io::Error),
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
        "{} is neither a pcap nor a pcapng file (it starts with {start}): give a capture as tcpdump -w or Wireshark writes it, plain or compressed by gzip, bzip2, xz, zstd or lz4",
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
