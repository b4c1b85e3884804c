//! What a worker reads from: AF_XDP sockets, or a test's stand-in.

use std::os::fd::BorrowedFd;

use monitor_engine::Packet;

/// Where a worker's packets come from.
pub trait Source {
    /// Hands what has arrived, a batch at most, to `deliver` and takes its memory back. Never blocks, except that it
    /// may have to wake a driver that sleeps. `time` is what the packets get, nanoseconds since the epoch.
    ///
    /// Returns how many packets there were.
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize;

    /// Becomes readable when packets arrive.
    fn fd(&self) -> BorrowedFd<'_>;
}

/// The empty vector in another life: same memory, for elements that borrow from something else. The standard library
/// collects a vector's own elements in place when their size stays.
pub(crate) fn reuse<A, B>(mut vector: Vec<A>) -> Vec<B> {
    const { assert!(size_of::<A>() == size_of::<B>()) };
    vector.clear();
    vector.into_iter().filter_map(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reused_memory_is_the_same_memory() {
        let mut vector: Vec<&'static [u8]> = Vec::with_capacity(100);
        vector.push(b"x");
        let (place, capacity) = (vector.as_ptr(), vector.capacity());
        let vector: Vec<&[u8]> = reuse(vector);
        assert_eq!(
            (vector.as_ptr(), vector.capacity(), vector.len()),
            (place, capacity, 0)
        );
    }
}
