//! Notifier: wakes a thread or task that polls its descriptor.

use std::io;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Eventfd that is readable from a notification until it is cleared. Neither of them waits.
#[derive(Debug)]
pub struct Notifier(OwnedFd);

impl Notifier {
    /// Creates a notifier that isn't readable.
    ///
    /// # Errors
    /// The kernel's error, if it refuses a descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Makes the descriptor readable.
    pub fn notify(&self) {
        // Fails only when the counter is at its maximum; then the descriptor is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Takes all notifications. Returns whether there were any.
    pub fn clear(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
