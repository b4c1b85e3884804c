//! The fill ring of a queue, between the workers.
#![expect(
    unsafe_code,
    reason = "the lock makes sure that the fill ring has one writer at a time"
)]

use std::sync::{Mutex, PoisonError};

use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue};

/// The one fill ring of a queue, shared by the sockets of all workers. The lock is held for the few hundred
/// nanoseconds that it takes to write a batch of addresses, and only by workers.
///
/// The completion ring is never used, but has to live as long.
pub(super) struct FillRing(Mutex<(FillQueue, CompQueue)>);

impl FillRing {
    /// The rings of a queue. The fill ring must have a place for every frame of the UMEM.
    pub(super) fn new(fill: FillQueue, completion: CompQueue) -> Self {
        Self(Mutex::new((fill, completion)))
    }

    /// Gives frames back to the kernel; `rx` is any socket of the queue.
    ///
    /// # Safety
    /// The frames must be of this ring's UMEM, have come out of an RX ring since they were last given back, and must
    /// not be read any more.
    pub(super) unsafe fn give_back(&self, frames: &[FrameDesc], rx: &mut RxQueue) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's promise.
        let given = unsafe { ring.0.produce(frames) };
        debug_assert_eq!(given, frames.len(), "the ring has a place for every frame");
        let sleeps = ring.0.needs_wakeup();
        drop(ring);
        if sleeps {
            // The driver stopped for want of frames. An error means that the device is gone: poll() will say so.
            let _ = rx.poll(0);
        }
    }
}
