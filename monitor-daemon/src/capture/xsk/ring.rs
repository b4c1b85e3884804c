//! Fill ring of a queue, shared by the workers.
#![expect(
    unsafe_code,
    reason = "the lock ensures that the fill ring has one writer at a time"
)]

use std::sync::{Mutex, PoisonError};

use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue};

/// Fill ring of a queue, shared by the sockets of all workers. The lock is held while a batch of addresses is written, a
/// few hundred nanoseconds, and only by workers.
///
/// The completion ring is unused, but must exist as long as the fill ring.
pub(super) struct FillRing(Mutex<(FillQueue, CompQueue)>);

impl FillRing {
    /// Takes the rings of a queue. The fill ring must have an entry for every frame of the UMEM.
    pub(super) fn new(fill: FillQueue, completion: CompQueue) -> Self {
        Self(Mutex::new((fill, completion)))
    }

    /// Returns frames to the kernel; `rx` is any socket of the queue.
    ///
    /// # Safety
    /// The frames must belong to this ring's UMEM, must have left an RX ring since they were last released, and must
    /// have no reader.
    pub(super) unsafe fn release(&self, frames: &[FrameDesc], rx: &mut RxQueue) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's contract.
        let produced = unsafe { ring.0.produce(frames) };
        debug_assert_eq!(
            produced,
            frames.len(),
            "the ring has an entry for every frame"
        );
        let needs_wakeup = ring.0.needs_wakeup();
        drop(ring);
        if needs_wakeup {
            // The driver stopped without frames. An error means that the device is gone, which poll() reports.
            let _ = rx.poll(0);
        }
    }
}
