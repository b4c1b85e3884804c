//! Symmetric flow hash.

use crate::wire::Address;

/// A seeded hash of a flow that is the same for both of its directions.
///
/// SipHash-1-3 keyed by `seed` over the ordered pair of ends: without the seed, flows cannot be aimed at one worker or
/// at one slot of a hash table. Two words are hashed for a pair of IPv4 addresses, five for any other.
#[inline(always)]
pub fn flow_hash(seed: [u64; 2], a: (Address, u16), b: (Address, u16)) -> u64 {
    let (low, high) = ordered((a.0.words(), a.1), (b.0.words(), b.1));
    let ports = u64::from(low.1) << 16 | u64::from(high.1);
    let mut hash = Sip13::new(seed);
    if a.0.is_v4() && b.0.is_v4() {
        hash.word(v4_pair(low.0, high.0));
        hash.word(ports);
        hash.finish(2)
    } else {
        hash.pair(low.0, high.0);
        hash.word(ports);
        hash.finish(5)
    }
}

/// Hash of the address pair alone, for fragments, which have no ports.
#[inline(always)]
pub fn address_hash(seed: [u64; 2], a: Address, b: Address) -> u64 {
    let (low, high) = ordered((a.words(), 0), (b.words(), 0));
    let mut hash = Sip13::new(seed);
    if a.is_v4() && b.is_v4() {
        hash.word(v4_pair(low.0, high.0));
        hash.finish(1)
    } else {
        hash.pair(low.0, high.0);
        hash.finish(4)
    }
}

type End = ((u64, u64), u16);

#[inline(always)]
fn ordered(a: End, b: End) -> (End, End) {
    if a <= b { (a, b) } else { (b, a) }
}

/// The IPv4 addresses of two mapped ones in one word.
#[inline(always)]
const fn v4_pair(low: (u64, u64), high: (u64, u64)) -> u64 {
    low.1 << 32 | (high.1 & 0xffff_ffff)
}

/// SipHash with one round a word and three to finish (Aumasson, Bernstein 2012), over whole little-endian words.
struct Sip13 {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Sip13 {
    #[inline(always)]
    const fn new([k0, k1]: [u64; 2]) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn pair(&mut self, low: (u64, u64), high: (u64, u64)) {
        self.word(low.0);
        self.word(low.1);
        self.word(high.0);
        self.word(high.1);
    }

    #[inline(always)]
    const fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    /// `words`: how many went in. Their length in bytes is the last block.
    #[inline(always)]
    const fn finish(mut self, words: u64) -> u64 {
        self.word((words * 8) << 56);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}
