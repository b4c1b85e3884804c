//! Sliding window over a stream of bytes. A record is contiguous in it, and it grows only with bytes that were read.

use std::io::{self, Read};

/// Initial size: large enough to amortize system calls, small enough that the bytes are in the second-level cache when
/// the engine copies them. 128 KiB to 1 MiB measured alike.
const INITIAL: usize = 256 << 10;

/// Window over the bytes of `source`.
pub(super) struct Buffer<R> {
    source: R,
    storage: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes to skip that were not read yet.
    skip: u64,
    /// Offset of `start` in the stream.
    offset: u64,
}

impl<R: Read> Buffer<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            storage: vec![0; INITIAL],
            start: 0,
            end: 0,
            skip: 0,
            offset: 0,
        }
    }

    /// Returns the bytes that were read and not yet consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// Returns the offset of [`Self::bytes`] in the stream.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns whether bytes to skip were not read yet.
    pub(super) fn skipping(&self) -> bool {
        self.skip > 0
    }

    /// Skips the next `n` bytes, read or not.
    pub(super) fn consume(&mut self, n: u64) {
        let here = usize::try_from(n)
            .unwrap_or(usize::MAX)
            .min(self.end - self.start);
        self.start += here;
        self.offset += here as u64;
        self.skip += n - here as u64;
    }

    /// Reads more; false at the end of the stream. The window doubles only when it is full.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.storage.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.storage.len() {
            self.storage.resize(self.storage.len() * 2, 0);
        }
        let read = loop {
            match self.source.read(&mut self.storage[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        let pending = std::mem::take(&mut self.skip);
        self.consume(pending);
        Ok(read > 0)
    }
}
