//! Answers the workers' bell: wakes those for whom there is something on a line.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_engine::SockId;
use tokio::io::Interest;
use tokio::sync::Notify;

use super::super::memory::ReplyMemory;
use super::super::stream::watch;
use crate::events::{Bell, Line};

/// Listeners of all clients together: each makes every event that it hears a little dearer for the workers.
const MOST: usize = 1024;

/// Where all listeners are known. Clients' tasks and the one that answers share it; workers know its bell alone.
pub(in super::super) struct Switchboard {
    bell: Arc<Bell>,
    ears: Mutex<HashMap<u64, Ear>>,
    /// Never given twice.
    next: AtomicU64,
    /// What all queues may hold together.
    pub(in super::super) memory: ReplyMemory,
}

/// One who listens.
pub(super) struct Ear {
    pub(super) lines: Vec<Arc<Line>>,
    /// There was something on a line.
    pub(super) ready: Arc<AtomicBool>,
    /// Whom to wake then.
    pub(super) wake: Arc<Notify>,
}

impl Switchboard {
    pub(in super::super) fn new(memory: u64) -> io::Result<Self> {
        Ok(Self {
            bell: Arc::new(Bell::new().map_err(io::Error::other)?),
            ears: Mutex::default(),
            next: AtomicU64::new(1),
            memory: ReplyMemory::new(memory),
        })
    }

    /// Answers the bell, for as long as it is polled.
    pub(in super::super) async fn answer(&self) -> io::Result<()> {
        let fd = watch(self.bell.fd().try_clone_to_owned()?, Interest::READABLE)?;
        loop {
            self.bell.arm();
            self.look();
            fd.readable().await?.clear_ready();
        }
    }

    fn look(&self) {
        for ear in self.ears().values() {
            // All of them: each says so once.
            let news = ear.lines.iter().filter(|line| line.take_news()).count();
            if news > 0 {
                ear.ready.store(true, Ordering::Release);
                ear.wake.notify_one();
            }
        }
    }

    /// Whether this is the name of a listener that is there.
    pub(in super::super) fn lives(&self, number: u64) -> bool {
        self.ears().contains_key(&number)
    }

    /// Listeners now.
    pub(in super::super) fn listeners(&self) -> u64 {
        self.ears().len() as u64
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Takes one in and names it; `None` when there are too many.
    pub(super) fn add(&self, ear: Ear) -> Option<u64> {
        let mut ears = self.ears();
        if ears.len() >= MOST {
            return None;
        }
        let number = SockId::listener(self.next.fetch_add(1, Ordering::Relaxed)).as_u64();
        ears.insert(number, ear);
        Some(number)
    }

    pub(super) fn remove(&self, number: u64) {
        self.ears().remove(&number);
    }

    fn ears(&self) -> MutexGuard<'_, HashMap<u64, Ear>> {
        // Poisoned by a panic: the list is still good.
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
