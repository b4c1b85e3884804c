//! Copies between private memory and memory that another thread may access at the same time.
//!
//! Readers under a sequence lock may copy bytes while the writer replaces them, and discard such a copy afterwards. In the
//! language's terms this race must be between atomic accesses. Atomic loads and stores of single words are several times
//! slower than a vector copy. So the loop is written in assembly on x86_64, where the compiler must assume arbitrary
//! accesses; each instruction is an ordinary (on x86: relaxed atomic) move. Elsewhere, and under Miri, words are copied as
//! relaxed atomics.
//!
//! The memory that a payload overwrites is in no cache. Stores of 16 bytes make the processor read each line first.
//! Stores of whole lines, and its string instruction, don't: 1448 bytes take 90 or 105 ns instead of 160.
#![expect(unsafe_code, reason = "raw copies to and from the arena")]

/// Copies `from` to `to`, which readers may be loading from.
///
/// # Safety
/// `to` must be valid for writes of `from.len()` bytes, must not overlap `from`, and no other thread may write there.
#[inline(always)]
pub unsafe fn store(to: *mut u8, from: &[u8]) {
    // SAFETY: the caller's contract; `from` is a valid slice.
    unsafe { imp::copy(to, from.as_ptr(), from.len()) }
}

/// Copies to `to` from memory that the writer may be storing to. The bytes are arbitrary until validated.
///
/// # Safety
/// `from` must be valid for reads of `to.len()` bytes and must not overlap `to`.
#[inline(always)]
pub unsafe fn load(from: *const u8, to: &mut [u8]) {
    // SAFETY: the caller's contract; `to` is a valid slice.
    unsafe { imp::copy(to.as_mut_ptr(), from, to.len()) }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod imp {
    use std::arch::asm;

    /// Length from which on a call and aligned stores pay off.
    const WHOLE_LINES: usize = 256;

    /// # Safety
    /// `to` valid for writes and `from` for reads of `len` bytes, not overlapping.
    #[inline(always)]
    pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: the caller's contract; the processor has the features that the function needs.
        unsafe {
            if len < WHOLE_LINES {
                pieces(to, from, len);
            } else if is_x86_feature_detected!("avx512f") {
                lines(to, from, len);
            } else if is_x86_feature_detected!("ermsb") {
                string(to, from, len);
            } else {
                pieces(to, from, len);
            }
        }
    }

    /// Copies the first and the last 64 bytes unaligned, and whole cache lines between them.
    ///
    /// # Safety
    /// As [`copy`], and `len` is 64 at least.
    #[target_feature(enable = "avx512f")]
    unsafe fn lines(to: *mut u8, from: *const u8, len: usize) {
        let last = len - 64;
        // Distance to the first line border inside, 1 to 64.
        let at = 64 - (to as usize & 63);
        // SAFETY: every move is of 64 bytes at a distance of at most `last`: the first at 0, those of the loop from `at`
        // on while they are below `last`, which is checked before each, and the last one there.
        unsafe {
            asm!(
                "vmovups {a}, [{s}]",
                "vmovups [{o}], {a}",
                "cmp {i}, {n}",
                "jae 20f",
                "15:",
                "vmovups {a}, [{s} + {i}]",
                "vmovaps [{o} + {i}], {a}",
                "add {i}, 64",
                "cmp {i}, {n}",
                "jb 15b",
                "20:",
                "vmovups {a}, [{s} + {n}]",
                "vmovups [{o} + {n}], {a}",
                s = in(reg) from,
                o = in(reg) to,
                n = in(reg) last,
                i = inout(reg) at => _,
                a = out(zmm_reg) _,
                options(nostack),
            );
        }
    }

    /// # Safety
    /// As [`copy`].
    unsafe fn string(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: moves exactly `len` bytes upwards, as the caller allows; the direction flag is clear in Rust code.
        unsafe {
            asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rsi") from => _,
                inout("rdi") to => _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    /// As [`copy`].
    #[inline(always)]
    unsafe fn pieces(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: moves exactly `len` bytes, as the caller allows. Lengths of 16 and more go in 64- and 16-byte
        // steps and end with one 16-byte move that ends at the last byte (it may overlap the step before); shorter
        // ones in two overlapping moves of 8 or 4, or bytewise below 4.
        unsafe {
            asm!(
                "cmp {n}, 16",
                "jb 30f",
                "lea {e}, [{n} - 16]",
                "xor {i:e}, {i:e}",
                "cmp {n}, 64",
                "jb 20f",
                "lea {t}, [{n} - 64]",
                "15:",
                "movups {a}, [{s} + {i}]",
                "movups {b}, [{s} + {i} + 16]",
                "movups {c}, [{s} + {i} + 32]",
                "movups {d}, [{s} + {i} + 48]",
                "movups [{o} + {i}], {a}",
                "movups [{o} + {i} + 16], {b}",
                "movups [{o} + {i} + 32], {c}",
                "movups [{o} + {i} + 48], {d}",
                "add {i}, 64",
                "cmp {i}, {t}",
                "jbe 15b",
                "20:",
                "cmp {i}, {e}",
                "jae 25f",
                "movups {a}, [{s} + {i}]",
                "movups [{o} + {i}], {a}",
                "add {i}, 16",
                "jmp 20b",
                "25:",
                "movups {a}, [{s} + {e}]",
                "movups [{o} + {e}], {a}",
                "jmp 90f",
                "30:",
                "cmp {n}, 8",
                "jb 40f",
                "mov {t}, [{s}]",
                "mov {i}, [{s} + {n} - 8]",
                "mov [{o}], {t}",
                "mov [{o} + {n} - 8], {i}",
                "jmp 90f",
                "40:",
                "cmp {n}, 4",
                "jb 50f",
                "mov {t:e}, [{s}]",
                "mov {i:e}, [{s} + {n} - 4]",
                "mov [{o}], {t:e}",
                "mov [{o} + {n} - 4], {i:e}",
                "jmp 90f",
                "50:",
                "test {n}, {n}",
                "jz 90f",
                "60:",
                "mov {t:l}, [{s} + {n} - 1]",
                "mov [{o} + {n} - 1], {t:l}",
                "dec {n}",
                "jnz 60b",
                "90:",
                n = inout(reg) len => _,
                s = in(reg) from,
                o = in(reg) to,
                i = out(reg) _,
                e = out(reg) _,
                t = out(reg) _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod imp {
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::atomic::{AtomicU8, AtomicU64};

    /// # Safety
    /// `to` valid for writes and `from` for reads of `len` bytes, not overlapping.
    pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
        let mut i = 0;
        // SAFETY: i + 8 <= len and i < len keep every access inside; both addresses are checked for alignment
        // before they are used as words.
        unsafe {
            while i < len {
                let (o, s) = (to.add(i), from.add(i));
                if len - i >= 8 && o.cast::<u64>().is_aligned() && s.cast::<u64>().is_aligned() {
                    let word = AtomicU64::from_ptr(s.cast_mut().cast()).load(Relaxed);
                    AtomicU64::from_ptr(o.cast()).store(word, Relaxed);
                    i += 8;
                } else {
                    AtomicU8::from_ptr(o)
                        .store(AtomicU8::from_ptr(s.cast_mut()).load(Relaxed), Relaxed);
                    i += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_every_length_exactly() {
        let from: Vec<u8> = (0..1000u32).map(|i| (i * 7 + i / 256 + 1) as u8).collect();
        for len in 0..900 {
            for skew in [0, 1, 7, 63] {
                let mut to = vec![0xee; 1000];
                // SAFETY: both vectors are longer than skew + len.
                unsafe { store(to.as_mut_ptr().add(skew), &from[3..3 + len]) };
                assert_eq!(to[skew..skew + len], from[3..3 + len], "length {len}");
                assert!(
                    to[..skew]
                        .iter()
                        .chain(&to[skew + len..])
                        .all(|&b| b == 0xee),
                    "length {len}"
                );
                let mut back = vec![0; len];
                // SAFETY: as above.
                unsafe { load(to.as_ptr().add(skew), &mut back) };
                assert_eq!(back, from[3..3 + len]);
            }
        }
    }
}
