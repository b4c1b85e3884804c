//! Reader of a capture: its format is recognized by content, and its packets are delivered in batches.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use monitor_engine::{LinkType, Packet};

use super::buffer::Buffer;
use super::compression::decompressed;
use super::error::{Broken, ReplayError};
use super::format::Format;
use super::link;
use super::record::Step;
use crate::util::interfaces;

/// Largest batch of packets: enough to amortize the cost of a call, and their headers stay in the cache.
pub const BATCH: usize = 64;

/// Value of unused entries of a batch.
pub(super) const NOTHING: Packet<'static> = Packet {
    time: 0,
    interface: 0,
    link: LinkType::Ethernet,
    data: &[],
    more: &[],
    cut: 0,
    checksum: monitor_engine::Checksum::Unknown,
};

/// Reader of a pcap or pcapng file.
pub struct CaptureFile {
    path: PathBuf,
    /// Number of the interface of packets whose file describes none: the file's own.
    interface: u16,
    buffer: Buffer<Box<dyn Read + Send>>,
    format: Format,
    /// Offset of the record that is being skipped.
    skipping: u64,
    /// The source has no more bytes than the buffer.
    ended: bool,
    /// The source has no more bytes yet.
    idle: bool,
    /// Time of the last packet that had a plausible one.
    time: Option<u64>,
    packets: u64,
    /// Packets whose time was replaced by that of their neighbours.
    wild_times: u64,
    /// Link types with frames that were skipped, and the number of frames of each.
    skipped: Vec<(u16, u64)>,
    unknown_interface: u64,
}

/// Result of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There may be more packets.
    Yes,
    /// The next packet is later than asked for: its time, nanoseconds since the epoch.
    Later(u64),
    /// The stream has no more bytes yet.
    Pending,
    /// The file is complete.
    No,
}

impl CaptureFile {
    /// Opens a file and recognizes its format.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let refused = |source| ReplayError::Open {
            path: path.to_owned(),
            source,
        };
        // Each worker opens the file, which a pipe does not permit.
        if !path.metadata().map_err(refused)?.is_file() {
            return Err(ReplayError::NotRegular {
                path: path.to_owned(),
            });
        }
        let file = File::open(path).map_err(refused)?;
        let unreadable = |source| ReplayError::Read {
            path: path.to_owned(),
            source,
        };
        let source = decompressed(file).map_err(unreadable)?;
        Self::read(path, source)
    }

    /// Reads the capture in a source of bytes; `path` is its name in messages.
    pub fn read(path: &Path, source: Box<dyn Read + Send>) -> Result<Self, ReplayError> {
        let mut opening = Opening::new(path, source);
        // The source of a file always has bytes, or ends.
        opening.fill()?;
        opening.open()
    }

    /// Returns the time of the next packet, in nanoseconds since the epoch; `None` at the end of the file.
    ///
    /// An error is final.
    pub fn next_time(&mut self) -> Result<Option<u64>, Broken> {
        loop {
            match self.read_until(None, |_| ())? {
                More::Yes => {}
                More::Later(time) => return Ok(Some(time)),
                More::No | More::Pending => return Ok(None),
            }
        }
    }

    /// Passes up to [`BATCH`] packets of a time up to `until` to `deliver`, or none where only other records were found.
    ///
    /// An error is final.
    pub fn batch(
        &mut self,
        until: u64,
        deliver: impl FnOnce(&[Packet<'_>]),
    ) -> Result<More, Broken> {
        self.read_until(Some(until), deliver)
    }

    fn read_until(
        &mut self,
        until: Option<u64>,
        deliver: impl FnOnce(&[Packet<'_>]),
    ) -> Result<More, Broken> {
        let mut packets = [NOTHING; BATCH];
        let mut count = 0;
        let mut used = 0_u64;
        let mut later = None;
        let mut malformed = None;
        let bytes = self.buffer.bytes();
        while count < BATCH {
            let Some(rest) = usize::try_from(used)
                .ok()
                .and_then(|used| bytes.get(used..))
            else {
                break;
            };
            match self.format.step(rest) {
                Step::Frame(frame, length) => {
                    let big_endian = self.format.is_big_endian();
                    let Some((link, data)) = link::link(frame.link_type, frame.data, big_endian)
                    else {
                        used += length as u64;
                        count_skipped(&mut self.skipped, frame.link_type);
                        continue;
                    };
                    let ahead = rest.get(length..).unwrap_or_default();
                    let Some((time, is_wild)) = self.format.plausible(
                        frame.time,
                        self.time,
                        ahead,
                        self.ended || self.idle,
                    ) else {
                        // The next record decides, and is incomplete.
                        break;
                    };
                    if until.is_none_or(|until| time > until) {
                        later = Some(time);
                        break;
                    }
                    used += length as u64;
                    if is_wild {
                        self.wild_times += 1;
                    } else {
                        self.time = Some(time);
                    }
                    packets[count] = Packet {
                        time,
                        interface: frame.interface.unwrap_or(self.interface),
                        link,
                        data,
                        more: &[],
                        cut: frame.cut,
                        checksum: monitor_engine::Checksum::Unknown,
                    };
                    count += 1;
                }
                Step::UnknownInterface(length) => {
                    used += length as u64;
                    self.unknown_interface += 1;
                }
                Step::Skip(length) => {
                    self.skipping = self.buffer.offset() + used;
                    used += length;
                }
                Step::Need => break,
                Step::Malformed(reason) => {
                    malformed = Some(Broken::Malformed {
                        offset: self.buffer.offset() + used,
                        reason,
                    });
                    break;
                }
            }
        }
        if count > 0 {
            deliver(&packets[..count]);
        }
        self.packets += count as u64;
        self.buffer.consume(used);
        match (malformed, later) {
            (Some(broken), _) => Err(broken),
            (None, Some(time)) if count == 0 => Ok(More::Later(time)),
            (None, _) if used > 0 => Ok(More::Yes),
            (None, _) => self.fill(),
        }
    }

    fn fill(&mut self) -> Result<More, Broken> {
        let offset = if self.buffer.skipping() {
            self.skipping
        } else {
            self.buffer.offset()
        };
        match self.buffer.fill() {
            Ok(true) => {
                self.idle = false;
                Ok(More::Yes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The last packet so far doesn't wait for the next one to confirm its time.
                let was_idle = std::mem::replace(&mut self.idle, true);
                Ok(if was_idle { More::Pending } else { More::Yes })
            }
            Ok(false) if !self.ended => {
                self.ended = true;
                Ok(More::Yes)
            }
            Ok(false) if self.buffer.skipping() || !self.buffer.bytes().is_empty() => {
                Err(Broken::Truncated { offset })
            }
            Ok(false) => Ok(More::No),
            Err(source) => Err(Broken::Read { offset, source }),
        }
    }

    /// Returns the path for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of packets delivered.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the latest plausible time so far, nanoseconds since the epoch.
    pub(super) fn time(&self) -> Option<u64> {
        self.time
    }

    /// Returns the number of packets whose time was replaced, because it lay far ahead of both neighbours.
    #[must_use]
    pub fn wild_times(&self) -> u64 {
        self.wild_times
    }

    /// Returns the link types with frames that were skipped, and the number of frames of each.
    pub fn skipped(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.skipped.iter().copied()
    }

    /// Returns the number of packets skipped because the file does not describe their interface.
    #[must_use]
    pub fn unknown_interface(&self) -> u64 {
        self.unknown_interface
    }
}

/// Capture of a format that is not known yet.
pub(super) struct Opening {
    path: PathBuf,
    buffer: Buffer<Box<dyn Read + Send>>,
}

impl Opening {
    pub(super) fn new(path: &Path, source: Box<dyn Read + Send>) -> Self {
        Self {
            path: path.to_owned(),
            buffer: Buffer::new(source),
        }
    }

    /// Reads the bytes that show the format. Returns false while a stream has too few.
    pub(super) fn fill(&mut self) -> Result<bool, ReplayError> {
        while self.buffer.bytes().len() < 4 {
            match self.buffer.fill() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(source) => {
                    return Err(ReplayError::Read {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
        Ok(true)
    }

    /// Recognizes the format.
    pub(super) fn open(self) -> Result<CaptureFile, ReplayError> {
        let Self { path, buffer } = self;
        let bytes = buffer.bytes();
        let start = bytes.first_chunk();
        let Some(format) = start.and_then(|start| Format::recognize(*start)) else {
            return Err(unrecognized(&path, bytes));
        };
        Ok(CaptureFile {
            interface: interfaces::number(&path.display().to_string()),
            path,
            buffer,
            format,
            skipping: 0,
            ended: false,
            idle: false,
            time: None,
            packets: 0,
            wild_times: 0,
            skipped: Vec::new(),
            unknown_interface: 0,
        })
    }
}

fn unrecognized(path: &Path, bytes: &[u8]) -> ReplayError {
    let path = path.to_owned();
    let start: Vec<String> = bytes
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if start.is_empty() {
        ReplayError::Empty { path }
    } else {
        ReplayError::NotACapture {
            path,
            start: start.join(" "),
        }
    }
}

/// Counts a skipped frame; at most one entry for each 16-bit link type.
fn count_skipped(skipped: &mut Vec<(u16, u64)>, link_type: u16) {
    match skipped.iter_mut().find(|(seen, _)| *seen == link_type) {
        Some((_, frames)) => *frames += 1,
        None => skipped.push((link_type, 1)),
    }
}
