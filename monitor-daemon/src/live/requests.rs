//! Requests of other threads to the supervisor, which alone has the capabilities for the programs and their maps.
//!
//! Linux before 5.19 refuses even to read a map without CAP_BPF, where `kernel.unprivileged_bpf_disabled` is set.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use rustix::fd::{AsFd, BorrowedFd};

use crate::util::notifier::Notifier;

type Job = Box<dyn FnOnce() + Send>;

/// Queue of requests.
pub(super) struct Requests {
    /// `None` after the supervisor has ended.
    queue: Mutex<Option<Vec<Job>>>,
    notifier: Notifier,
}

/// Closes the queue when the supervisor ends, by return or by panic: no other thread waits for it then.
pub(super) struct CloseGuard<'a>(&'a Requests);

impl Requests {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::new(Some(Vec::new())),
            notifier: Notifier::new()?,
        })
    }

    /// Runs `body` on the supervisor's thread and returns its result; `None` if the supervisor has ended.
    pub(super) fn run<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        self.queue().as_mut()?.push(Box::new(move || {
            // The other thread waits until this is sent.
            let _ = answer.send(body());
        }));
        self.notifier.notify();
        answered.recv().ok()
    }

    /// Runs all pending requests. For the supervisor's thread.
    pub(super) fn run_pending(&self) {
        self.notifier.clear();
        let pending = self.queue().as_mut().map(std::mem::take);
        for request in pending.unwrap_or_default() {
            request();
        }
    }

    pub(super) fn close_guard(&self) -> CloseGuard<'_> {
        CloseGuard(self)
    }

    fn queue(&self) -> MutexGuard<'_, Option<Vec<Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Requests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

impl Drop for CloseGuard<'_> {
    fn drop(&mut self) {
        // The senders in pending requests are dropped with them.
        self.0.queue().take();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn requests_run_on_the_supervisor_until_it_ends() {
        let requests = Arc::new(Requests::new().unwrap());
        let other = Arc::clone(&requests);
        let asking = thread::spawn(move || other.run(|| thread::current().id()));
        let guard = requests.close_guard();
        while !asking.is_finished() {
            requests.run_pending();
        }
        assert_eq!(asking.join().unwrap(), Some(thread::current().id()));
        // Its request is pending, or comes too late.
        let other = Arc::clone(&requests);
        let asking = thread::spawn(move || other.run(|| ()));
        drop(guard);
        assert_eq!(asking.join().unwrap(), None);
    }
}
