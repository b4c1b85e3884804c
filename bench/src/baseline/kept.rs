//! The newest bytes of all sides, in blocks of one mapping. The oldest block is written over first.

use std::io;

use memmap2::{Advice, MmapMut, MmapOptions};

/// Bytes of all sides together: the daemon's `store.memory`.
const MEMORY: usize = 512 << 20;
const BLOCK: usize = 4096;
/// Bytes kept for a side: the daemon's `store.window`.
const WINDOW: usize = 1 << 20;

/// Memory of the bytes.
pub struct Kept {
    memory: MmapMut,
    /// The block that was taken longest ago.
    oldest: usize,
}

/// Numbers of a side's blocks, by the offset's place in the window.
pub type Ring = Vec<u32>;

impl Kept {
    pub fn new() -> io::Result<Self> {
        let memory = MmapOptions::new().len(MEMORY).map_anon()?;
        // Not every kernel has huge pages; without them it is only slower.
        let _ = memory.advise(Advice::HugePage);
        Ok(Self { memory, oldest: 0 })
    }

    /// Copies bytes to their place.
    pub fn put(&mut self, ring: &mut Ring, off: usize, mut bytes: &[u8]) {
        let mut off = off % WINDOW;
        while !bytes.is_empty() {
            let (number, at) = (off / BLOCK, off % BLOCK);
            while ring.len() <= number {
                ring.push(self.take());
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - at));
            let start = ring[number] as usize * BLOCK + at;
            self.memory[start..start + now.len()].copy_from_slice(now);
            off = (off + now.len()) % WINDOW;
            bytes = later;
        }
    }

    fn take(&mut self) -> u32 {
        let taken = self.oldest;
        self.oldest = (taken + 1) % (MEMORY / BLOCK);
        taken as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_of_each_side_are_in_its_blocks() {
        let mut kept = Kept::new().unwrap();
        let mut rings = [Ring::new(), Ring::new()];
        let byte = |side: usize, off: usize| (off * 7 + off / BLOCK + side) as u8;
        let len = WINDOW + 5 * BLOCK + 17;
        for off in (0..len).step_by(1448) {
            for (side, ring) in rings.iter_mut().enumerate() {
                let bytes: Vec<u8> = (off..len.min(off + 1448))
                    .map(|off| byte(side, off))
                    .collect();
                kept.put(ring, off, &bytes);
            }
        }
        for (side, ring) in rings.iter().enumerate() {
            assert_eq!(ring.len(), WINDOW / BLOCK);
            for off in len - WINDOW..len {
                let at = off % WINDOW;
                let stored = kept.memory[ring[at / BLOCK] as usize * BLOCK + at % BLOCK];
                assert_eq!(stored, byte(side, off), "side {side}, offset {off}");
            }
        }
    }
}
