//! Reading a classic pcap file of this machine's byte order.

use std::io::{self, Read};
use std::path::Path;

use super::frame::Frame;

/// Bytes read at once: few system calls, and they are still in the second-level cache for the
/// parser.
const BUFFER: usize = 256 << 10;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// libpcap's own limit for a packet.
const MOST: usize = 256 << 10;

pub struct File {
    file: std::fs::File,
    buffer: Vec<u8>,
    /// Offset of the first unparsed byte.
    start: usize,
    end: usize,
}

impl File {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        let mut header = [0; FILE_HEADER];
        file.read_exact(&mut header)?;
        if header[..4] != 0xa1b2_c3d4_u32.to_ne_bytes() {
            return Err(io::Error::other(
                "not a pcap file of this machine's byte order",
            ));
        }
        Ok(Self {
            file,
            buffer: vec![0; BUFFER + MOST],
            start: 0,
            end: 0,
        })
    }

    /// Reads on; false at the end of the file.
    pub fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let to = self.buffer.len().min(self.end + BUFFER);
        let read = self.file.read(&mut self.buffer[self.end..to])?;
        self.end += read;
        Ok(read > 0)
    }

    /// Passes on the frames that were read whole, at most `most` at a time.
    pub fn batches(&mut self, most: usize, mut take: impl FnMut(&[Frame<'_>])) {
        let mut rest = &self.buffer[self.start..self.end];
        let mut frames = Vec::with_capacity(most);
        while let Some((data, after)) = record(rest) {
            rest = after;
            frames.extend(Frame::parse(data));
            if frames.len() == most {
                take(&frames);
                frames.clear();
            }
        }
        take(&frames);
        self.start = self.end - rest.len();
    }
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let len = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    rest.split_at_checked(len as usize)
}
