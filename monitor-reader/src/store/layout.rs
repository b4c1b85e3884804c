//! Hash of a layout, by which programs that lay out a store in different ways are told apart.

/// Hashes numbers (FNV-1a, word by word).
pub const fn hash(words: &[u64]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < words.len() {
        hash = (hash ^ words[at]).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}
