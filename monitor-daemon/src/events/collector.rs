//! Collector: the thread that reads the event logs for all subscribers with a queue.
//!
//! Subscribers take turns of limited cost. The thread has the lowest priority: filters of clients use the time that the
//! capture, the requests of clients and the host's own programs leave. If that is too little, a log overtakes its
//! subscribers, which report the loss.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_queue::SegQueue;

use super::Subscriber;

/// Nice value of the thread: the lowest priority.
const NICE: i32 = 19;

/// Handle of the thread, which ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: SegQueue<Change>,
    stop: AtomicBool,
}

#[derive(Debug)]
enum Change {
    Add(Box<Subscriber>),
    Remove(u64),
}

impl Collector {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || own.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Adds a subscriber.
    pub fn add(&self, subscriber: Box<Subscriber>) {
        self.shared.changes.push(Change::Add(subscriber));
        self.wake();
    }

    /// Removes all subscribers with a number.
    pub fn remove(&self, number: u64) {
        self.shared.changes.push(Change::Remove(number));
        self.wake();
    }

    /// Makes the thread read the logs.
    pub fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        // On Linux, the value of the calling thread.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::warn!(%error, "the thread for events keeps the usual priority");
        }
        let mut subscribers: Vec<Box<Subscriber>> = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            while let Some(change) = self.changes.pop() {
                match change {
                    Change::Add(subscriber) => subscribers.push(subscriber),
                    Change::Remove(number) => {
                        subscribers.retain(|subscriber| subscriber.number() != number);
                    }
                }
            }
            let more = subscribers
                .iter_mut()
                .fold(false, |more, subscriber| subscriber.turn() | more);
            if !more && self.changes.is_empty() {
                // A wake-up since the last one ends this at once.
                thread::park();
            }
        }
    }
}
