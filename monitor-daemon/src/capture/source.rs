//! Interface between a worker and the sockets that it reads.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use monitor_engine::Packet;

use super::checksums::ChecksumTrial;

/// Source of packets: a socket, or its substitute in tests.
pub trait Source {
    /// Passes at most one batch of packets to `deliver`, then releases their memory. Never blocks, but may have to wake
    /// a sleeping driver. `time` is the time stamp of the packets, nanoseconds since the epoch.
    ///
    /// Returns the number of packets.
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize;

    /// Returns the descriptor that becomes readable when packets arrive.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Returns the trial of its checksums, to which the worker adds its first segments.
    fn trial(&self) -> Option<Arc<ChecksumTrial>> {
        None
    }

    /// Clears a pending error of the descriptor if the source may work again later.
    fn clear_error(&mut self) {}
}

/// Reuses the allocation of a vector for another element type, for example one with another lifetime. The standard
/// library collects in place when the elements have the same size.
pub(crate) fn reuse<A, B>(mut vector: Vec<A>) -> Vec<B> {
    const { assert!(size_of::<A>() == size_of::<B>()) };
    vector.clear();
    vector.into_iter().filter_map(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_vector_keeps_its_allocation() {
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
