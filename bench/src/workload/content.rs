//! Content that is computed from its offset, so that a gigabyte needn't be kept for comparison.

use monitor_tests::wiregen::Random;

/// The bytes of one side of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Content(pub u64);

impl Content {
    /// The bytes from `off` on.
    pub fn fill(self, off: u64, out: &mut [u8]) {
        let mut word = off / 8;
        let head = ((8 - off % 8) % 8).min(out.len() as u64) as usize;
        let (first, rest) = out.split_at_mut(head);
        if head > 0 {
            let from = (off % 8) as usize;
            first.copy_from_slice(&self.word(word)[from..from + head]);
            word += 1;
        }
        for chunk in rest.chunks_mut(8) {
            chunk.copy_from_slice(&self.word(word)[..chunk.len()]);
            word += 1;
        }
    }

    fn word(self, number: u64) -> [u8; 8] {
        Random::new(self.0.wrapping_add(number))
            .number()
            .to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_a_piece_of_the_whole() {
        let mut whole = [0; 64];
        Content(7).fill(0, &mut whole);
        for from in 0..20 {
            for to in from..64 {
                let mut piece = vec![0; to - from];
                Content(7).fill(from as u64, &mut piece);
                assert_eq!(piece, whole[from..to], "{from}..{to}");
            }
        }
    }
}
