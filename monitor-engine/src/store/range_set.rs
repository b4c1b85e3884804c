//! Runs of received bytes that stand apart from the in-order run: ahead of a hole, or left behind by one that was
//! declared lost. Sorted, disjoint, never touching; kept in a chain of blocks so that readers can walk it.
//!
//! A chunk is one block: a link to the next chunk, a count, and that many (start, end) pairs of offsets.

use super::arena::{Arena, BLOCK, BlockId};
use super::blocks::{BlockAllocator, Full};
use super::cell::{Cell32, Cell64};

/// Pairs in one chunk; its first word holds link and count.
const CHUNK: usize = (BLOCK / 8 - 1) / 2;
/// No side has more chunks than this: bounds a reader's walk over torn links.
const MAX_CHUNKS: usize = 1024;

/// Most islands that a side may be allowed: what fits even if every chunk is only half full.
pub const MAX_RANGES: usize = CHUNK / 2 * MAX_CHUNKS;

/// A run of received bytes, `start..end`.
pub type Run = (u64, u64);

#[derive(Clone, Copy)]
struct Chunk<'a> {
    arena: &'a Arena,
    id: BlockId,
}

impl<'a> Chunk<'a> {
    fn link(self) -> Option<&'a Cell32> {
        self.arena.entry(self.id, 0)
    }

    fn count_cell(self) -> Option<&'a Cell32> {
        self.arena.entry(self.id, 1)
    }

    fn count(self) -> usize {
        self.count_cell()
            .map_or(0, |count| count.get() as usize)
            .min(CHUNK)
    }

    fn set_count(self, count: usize) {
        if let Some(cell) = self.count_cell() {
            cell.set(count as u32);
        }
    }

    /// The pairs from this one on, start and end in turns.
    fn pairs(self, from: usize) -> &'a [Cell64] {
        self.arena
            .words(self.id)
            .get(1 + 2 * from..)
            .unwrap_or_default()
    }

    fn pair(self, index: usize) -> Option<(&'a Cell64, &'a Cell64)> {
        let [start, end, ..] = self.pairs(index) else {
            return None;
        };
        Some((start, end))
    }

    /// Puts a pair in before the one at `index`. There must be room.
    fn insert(self, index: usize, run: Run) {
        let count = self.count() + 1;
        let Some(cells) = self.pairs(index).get(..2 * (count - index)) else {
            return;
        };
        for (from, to) in cells.iter().zip(&cells[2..]).rev() {
            to.set(from.get());
        }
        self.set(index, run);
        self.set_count(count);
    }

    /// Takes so many pairs out, from `index` on.
    fn remove(self, index: usize, gone: usize) {
        let count = self.count() - gone;
        let left = self.pairs(index + gone).iter().take(2 * (count - index));
        for (from, to) in left.zip(self.pairs(index)) {
            to.set(from.get());
        }
        self.set_count(count);
    }

    fn get(self, index: usize) -> Run {
        self.pair(index)
            .map_or((0, 0), |(start, end)| (start.get(), end.get()))
    }

    fn set(self, index: usize, run: Run) {
        if let Some((start, end)) = self.pair(index) {
            start.set(run.0);
            end.set(run.1);
        }
    }
}

/// Calls `each` for every island in order, until it returns false. On a torn list: for something, a bounded number
/// of times.
pub fn walk(arena: &Arena, head: u32, mut each: impl FnMut(Run) -> bool) {
    let mut link = head;
    for _ in 0..MAX_CHUNKS {
        let Some(id) = link.checked_sub(1) else {
            return;
        };
        let chunk = Chunk { arena, id };
        for index in 0..chunk.count() {
            if !each(chunk.get(index)) {
                return;
            }
        }
        link = chunk.link().map_or(0, Cell32::get);
    }
}

/// A side's islands, for the writer. Changes go inside [`super::record::Record::update`].
pub struct RangeSet<'a> {
    /// The arena.
    pub arena: &'a Arena,
    /// Free blocks.
    pub pool: &'a mut BlockAllocator,
    /// Link to the first chunk.
    pub head: &'a Cell32,
}

/// A position in the chain; past the last island it is the end of the last chunk.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The link that leads to `chunk`.
    link: &'a Cell32,
    chunk: Option<Chunk<'a>>,
    index: usize,
}

impl Place<'_> {
    fn get(&self) -> Option<Run> {
        self.chunk
            .filter(|chunk| self.index < chunk.count())
            .map(|chunk| chunk.get(self.index))
    }
}

impl<'a> RangeSet<'a> {
    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.get() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let mut sum = 0;
        let mut link = self.head.get();
        while let Some(id) = link.checked_sub(1) {
            let chunk = Chunk {
                arena: self.arena,
                id,
            };
            sum += chunk.count();
            link = chunk.link().map_or(0, Cell32::get);
        }
        sum
    }

    /// The first island that ends at or after `off`.
    pub fn first_from(&self, off: u64) -> Option<Run> {
        self.find(off).get()
    }

    /// Calls `each` for the islands that share bytes with `start..end`, in order.
    pub fn overlapping(&self, start: u64, end: u64, mut each: impl FnMut(Run)) {
        let mut place = self.find(start.saturating_add(1));
        while let Some(run) = place.get().filter(|run| run.0 < end) {
            each(run);
            place = self.after(place);
        }
    }

    /// Adds a run, merging it with every island that it overlaps or touches.
    pub fn add(&mut self, run: Run) -> Result<(), Full> {
        let place = self.find(run.0);
        let Some(first) = place.get().filter(|first| first.0 <= run.1) else {
            return self.insert(place, run);
        };
        let mut merged = (first.0.min(run.0), first.1.max(run.1));
        loop {
            let next = self.after(place);
            match next.get().filter(|next| next.0 <= merged.1) {
                Some(swallowed) => {
                    merged.1 = merged.1.max(swallowed.1);
                    self.remove(next);
                }
                None => break,
            }
        }
        if let Some(chunk) = place.chunk {
            chunk.set(place.index, merged);
        }
        Ok(())
    }

    /// Removes and returns the island that overlaps or touches `start..end`, if there is one (the first).
    pub fn take_touching(&mut self, start: u64, end: u64) -> Option<Run> {
        let place = self.find(start);
        let run = place.get().filter(|run| run.0 <= end)?;
        self.remove(place);
        Some(run)
    }

    /// Removes every byte below `off`.
    pub fn remove_below(&mut self, off: u64) {
        while let Some(chunk) = self.head.get().checked_sub(1).map(|id| Chunk {
            arena: self.arena,
            id,
        }) {
            let gone = (0..chunk.count())
                .take_while(|&index| chunk.get(index).1 <= off)
                .count();
            if gone == chunk.count() {
                self.head.set(chunk.link().map_or(0, Cell32::get));
                self.pool.free(chunk.id);
                continue;
            }
            if gone > 0 {
                chunk.remove(0, gone);
            }
            let (start, end) = chunk.get(0);
            if start < off {
                chunk.set(0, (off, end));
            }
            return;
        }
    }

    /// Gives all chunks back.
    pub fn clear(&mut self) {
        self.remove_below(u64::MAX);
    }

    fn find(&self, off: u64) -> Place<'a> {
        let mut link = self.head;
        loop {
            let Some(id) = link.get().checked_sub(1) else {
                return Place {
                    link,
                    chunk: None,
                    index: 0,
                };
            };
            let chunk = Chunk {
                arena: self.arena,
                id,
            };
            let count = chunk.count();
            let next = chunk.link().filter(|next| next.get() != 0);
            if let Some(next) = next.filter(|_| chunk.get(count - 1).1 < off) {
                link = next;
                continue;
            }
            let (mut low, mut high) = (0, count);
            // Behind a hole, one segment after the other: the last one.
            if count > 1 && chunk.get(count - 2).1 < off {
                low = count - 1;
            }
            while low < high {
                let middle = usize::midpoint(low, high);
                if chunk.get(middle).1 < off {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            return Place {
                link,
                chunk: Some(chunk),
                index: low,
            };
        }
    }

    fn after(&self, place: Place<'a>) -> Place<'a> {
        let Some(chunk) = place.chunk else {
            return place;
        };
        let index = place.index + 1;
        match chunk
            .link()
            .filter(|next| index >= chunk.count() && next.get() != 0)
        {
            Some(link) => {
                let chunk = link.get().checked_sub(1).map(|id| Chunk {
                    arena: self.arena,
                    id,
                });
                Place {
                    link,
                    chunk,
                    index: 0,
                }
            }
            None => Place { index, ..place },
        }
    }

    #[inline(always)]
    fn insert(&mut self, place: Place<'a>, run: Run) -> Result<(), Full> {
        let Some(chunk) = place.chunk else {
            let chunk = self.new_chunk(0)?;
            chunk.set(0, run);
            chunk.set_count(1);
            place.link.set(chunk.id + 1);
            return Ok(());
        };
        if chunk.count() == CHUNK {
            return self.insert_into_full(chunk, run);
        }
        chunk.insert(place.index, run);
        Ok(())
    }

    #[cold]
    fn insert_into_full(&mut self, chunk: Chunk<'a>, run: Run) -> Result<(), Full> {
        self.split(chunk)?;
        let place = self.find(run.0);
        if let Some(half) = place.chunk {
            half.insert(place.index, run);
        }
        Ok(())
    }

    /// Moves the upper half of a chunk into a new one behind it.
    fn split(&mut self, chunk: Chunk<'a>) -> Result<(), Full> {
        let half = CHUNK / 2;
        let upper = self.new_chunk(chunk.link().map_or(0, Cell32::get))?;
        for index in half..CHUNK {
            upper.set(index - half, chunk.get(index));
        }
        upper.set_count(CHUNK - half);
        chunk.set_count(half);
        if let Some(link) = chunk.link() {
            link.set(upper.id + 1);
        }
        Ok(())
    }

    fn new_chunk(&mut self, next: u32) -> Result<Chunk<'a>, Full> {
        let chunk = Chunk {
            arena: self.arena,
            id: self.pool.alloc().ok_or(Full)?,
        };
        chunk.set_count(0);
        if let Some(link) = chunk.link() {
            link.set(next);
        }
        Ok(chunk)
    }

    fn remove(&mut self, place: Place<'a>) {
        let Some(chunk) = place.chunk else { return };
        chunk.remove(place.index, 1);
        if chunk.count() == 0 {
            place.link.set(chunk.link().map_or(0, Cell32::get));
            self.pool.free(chunk.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(arena: &Arena, head: &Cell32) -> Vec<Run> {
        let mut runs = Vec::new();
        walk(arena, head.get(), |run| {
            runs.push(run);
            true
        });
        runs
    }

    /// The obvious twin: a bit for each offset.
    fn twin(bits: &[bool]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (at, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            match runs.last_mut().filter(|run| run.1 == at as u64) {
                Some(run) => run.1 += 1,
                None => runs.push((at as u64, at as u64 + 1)),
            }
        }
        runs
    }

    #[derive(Clone, Debug)]
    enum Op {
        Add(usize, usize),
        Below(usize),
        Take(usize, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            20 => (0..2000usize, 1..4usize).prop_map(|(at, len)| Op::Add(at, len)),
            1 => (0..300usize).prop_map(Op::Below),
            1 => (0..2000usize, 0..40usize).prop_map(|(at, len)| Op::Take(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_bitmap(ops in prop::collection::vec(op(), 1..900)) {
            let arena = Arena::reserve(1, 64).unwrap();
            let mut pool = BlockAllocator::new(64);
            let head = Cell32::default();
            let mut bits = vec![false; 2100];
            let mut ranges = RangeSet { arena: &arena, pool: &mut pool, head: &head };
            for op in ops {
                match op {
                    Op::Add(at, len) => {
                        ranges.add((at as u64, (at + len) as u64)).unwrap();
                        bits[at..at + len].fill(true);
                    }
                    Op::Below(off) => {
                        ranges.remove_below(off as u64);
                        bits[..off].fill(false);
                    }
                    Op::Take(at, len) => {
                        let expected = twin(&bits).into_iter()
                            .find(|run| run.1 >= at as u64).filter(|run| run.0 <= (at + len) as u64);
                        prop_assert_eq!(ranges.take_touching(at as u64, (at + len) as u64), expected);
                        if let Some(run) = expected {
                            bits[run.0 as usize..run.1 as usize].fill(false);
                        }
                    }
                }
                prop_assert_eq!(runs(&arena, &head), twin(&bits));
            }
            prop_assert_eq!(ranges.len(), twin(&bits).len());
            ranges.clear();
            prop_assert_eq!(pool.used(), 0);
        }
    }
}
