//! Dispatcher: receives the workers' notifications and wakes the sessions whose queues have events.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_engine::SockId;
use rustix::fd::AsFd;
use tokio::io::Interest;
use tokio::sync::Notify;

use super::transport::stream::watch;
use crate::events::{EventNotifier, EventQueue};

/// Registry of subscribers, shared by the clients' tasks and the dispatcher's own. Workers know the notifier alone.
pub(crate) struct Dispatcher {
    notifier: Arc<EventNotifier>,
    handles: Mutex<HashMap<u64, SubscriberHandle>>,
    /// Next number; never reused.
    next: AtomicU64,
}

/// Registered subscriber.
pub(crate) struct SubscriberHandle {
    pub(crate) queues: Vec<Arc<EventQueue>>,
    /// Set when a queue has something.
    pub(crate) ready: Arc<AtomicBool>,
    /// Wakes the session.
    pub(crate) wake: Arc<Notify>,
}

impl Dispatcher {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            notifier: Arc::new(EventNotifier::new()?),
            handles: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    /// Dispatches until it is dropped.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let fd = watch(
            self.notifier.as_fd().try_clone_to_owned()?,
            Interest::READABLE,
        )?;
        loop {
            self.notifier.arm();
            self.wake_ready();
            fd.readable().await?.clear_ready();
        }
    }

    fn wake_ready(&self) {
        for handle in self.handles().values() {
            // No short circuit: the flag of every queue is cleared.
            let pending = handle
                .queues
                .iter()
                .fold(false, |any, queue| queue.take_pending() | any);
            if pending {
                handle.ready.store(true, Ordering::Release);
                handle.wake.notify_one();
            }
        }
    }

    /// Returns whether a subscriber has this number.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.handles().contains_key(&number)
    }

    pub(crate) fn notifier(&self) -> &Arc<EventNotifier> {
        &self.notifier
    }

    /// Registers a subscriber and returns its number.
    pub(crate) fn add(&self, handle: SubscriberHandle) -> u64 {
        let number = SockId::listener(self.next.fetch_add(1, Ordering::Relaxed)).as_u64();
        self.handles().insert(number, handle);
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        self.handles().remove(&number);
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<u64, SubscriberHandle>> {
        // A panic leaves a valid list behind.
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
