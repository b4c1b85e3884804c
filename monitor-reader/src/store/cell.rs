//! Cells: numbers that one thread writes while any thread reads.
//!
//! They are relaxed atomics, which compile to plain loads and stores on 64-bit machines. Order comes from the sequence
//! lock around them ([`super::record`]), never from the cells.

use super::sync::{AtomicU8, AtomicU32, AtomicU64, Relaxed};

macro_rules! cell {
    ($name:ident, $atomic:ident, $int:ident) => {
        #[doc = concat!("A `", stringify!($int), "` with one writer. All zeroes is a valid value.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name($atomic);

        impl $name {
            /// Returns the value.
            #[inline(always)]
            pub fn get(&self) -> $int {
                self.0.load(Relaxed)
            }

            /// Replaces the value. Only for the one writer.
            #[inline(always)]
            pub fn set(&self, value: $int) {
                self.0.store(value, Relaxed);
            }
        }
    };
}

cell!(Cell8, AtomicU8, u8);
cell!(Cell32, AtomicU32, u32);
cell!(Cell64, AtomicU64, u64);

impl Cell64 {
    /// Adds. Only for the one writer: not a locked instruction.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }
}
