//! Numbers of sockets.

use std::collections::HashSet;
use std::ffi::c_int;

use crate::failure::Failure;

/// Numbers in use. A number is used again after 2^31 others at the earliest.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    last: c_int,
    used: HashSet<c_int>,
}

impl Numbers {
    /// Allocates a number above 0. ENFILE: all are in use.
    pub(crate) fn allocate(&mut self) -> Result<c_int, Failure> {
        if self.used.len() >= c_int::MAX as usize {
            return Err(Failure(libc::ENFILE));
        }
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.used.insert(self.last) {
                return Ok(self.last);
            }
        }
    }

    /// Frees a number.
    pub(crate) fn free(&mut self, number: c_int) {
        self.used.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_number_is_used_after_all_others() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.allocate(), Ok(1));
        numbers.free(1);
        assert_eq!(numbers.allocate(), Ok(2));
        numbers.last = c_int::MAX - 1;
        assert_eq!(numbers.allocate(), Ok(c_int::MAX));
        assert_eq!(numbers.allocate(), Ok(1));
        assert_eq!(numbers.allocate(), Ok(3), "2 is in use");
    }
}
