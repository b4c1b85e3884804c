//! Parts of a segment: received before, or new.

use super::Receiver;
use super::segment::Part;
use crate::{ByteRange, Sink};

/// Cuts a segment at received ranges, which must be given in order.
struct Cutter<'a> {
    parts: &'a mut Vec<Part>,
    /// Bytes that are not cut yet.
    rest: ByteRange,
}

impl Cutter<'_> {
    fn received(&mut self, range: ByteRange) {
        let common = range.intersection(self.rest);
        // An empty contiguous range cuts as well: bytes below its edge are late, those above move the edge.
        if common.start > common.end {
            return;
        }
        self.push_new(common.start);
        if !common.is_empty() {
            self.parts.push(Part {
                bytes: common,
                received: true,
            });
        }
        self.rest.start = common.end;
    }

    /// Adds the new bytes up to `end`.
    fn push_new(&mut self, end: u64) {
        let bytes = ByteRange::new(self.rest.start, end);
        if !bytes.is_empty() {
            self.parts.push(Part {
                bytes,
                received: false,
            });
        }
    }
}

impl<S: Sink> Receiver<'_, S> {
    /// Cuts a segment where received ranges start and end.
    pub(super) fn split(&mut self, bytes: ByteRange, parts: &mut Vec<Part>) {
        let side = self.side();
        let contiguous = ByteRange::new(
            side.cold.contig_start.get().max(side.stored.base.get()),
            side.next.get(),
        );
        let mut cutter = Cutter { parts, rest: bytes };
        // The contiguous range comes before the first range beyond the edge.
        let mut contiguous_done = false;
        self.ranges().overlapping(bytes, |range| {
            if range.start >= contiguous.end && !contiguous_done {
                contiguous_done = true;
                cutter.received(contiguous);
            }
            cutter.received(range);
        });
        if !contiguous_done {
            cutter.received(contiguous);
        }
        cutter.push_new(bytes.end);
    }
}
