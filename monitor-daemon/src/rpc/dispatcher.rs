//! Dispatcher: registers listeners, tells the workers which events are wanted, and wakes those that wait for one.
//!
//! Listeners with a queue are subscribers of the collector. Those without (`wait`, `follow`) are woken by the
//! dispatcher's own task: it reads the logs and looks up the connection of each event, at the cost of one look-up.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use monitor_engine::SockId;
use rustix::fd::AsFd;
use tokio::io::Interest as Readiness;
use tokio::sync::oneshot::Receiver;

use super::transport::stream::watch;
use crate::control::{Command, CommandQueues};
use crate::events::{
    Collector, EventFilter, EventLog, EventNotifier, Interest, LogEvent, Scope, Subscriber, Wakeup,
};

/// Events routed before other tasks of this thread get their turn: about 20 µs.
const TURN: usize = 1024;

/// Registry of listeners, shared by the clients' tasks and the dispatcher's own.
pub(crate) struct Dispatcher {
    notifier: Arc<EventNotifier>,
    collector: Collector,
    command_queues: CommandQueues,
    /// Event log of each worker, created for its first listener.
    logs: Vec<OnceLock<Arc<EventLog>>>,
    registry: Mutex<Registry>,
    /// Next number; never reused.
    /// Listeners that get events.
    listening: AtomicU64,
    next: AtomicU64,
}

/// Registered listener.
pub(crate) struct Added {
    pub(crate) number: u64,
    /// One for each worker whose events it may get.
    pub(crate) logs: Vec<AddedLog>,
}

/// Log of a registered listener.
pub(crate) struct AddedLog {
    pub(crate) worker: u16,
    pub(crate) log: Arc<EventLog>,
    /// Position of its first event.
    pub(crate) at: u64,
    /// Completes when all events of the worker are written; `None`: there is no such worker.
    pub(crate) answer: Option<Receiver<()>>,
}

#[derive(Default)]
struct Registry {
    filters: HashMap<u64, EventFilter>,
    /// Listeners without a queue, by connection.
    waiting: HashMap<SockId, Vec<(u64, Wakeup)>>,
}

impl Dispatcher {
    pub(crate) fn new(command_queues: CommandQueues) -> io::Result<Self> {
        Ok(Self {
            notifier: Arc::new(EventNotifier::new()?),
            collector: Collector::start()?,
            logs: (0..command_queues.workers())
                .map(|_| OnceLock::new())
                .collect(),
            command_queues,
            registry: Mutex::default(),
            listening: AtomicU64::new(0),
            next: AtomicU64::new(1),
        })
    }

    /// Dispatches until it is dropped.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let fd = watch(
            self.notifier.as_fd().try_clone_to_owned()?,
            Readiness::READABLE,
        )?;
        let mut at = vec![0; self.logs.len()];
        loop {
            self.notifier.arm();
            self.collector.wake();
            while self.route(&mut at) {
                tokio::task::yield_now().await;
            }
            fd.readable().await?.clear_ready();
        }
    }

    /// Wakes the listeners of the next events of each log. Returns true if there are more.
    fn route(&self, positions: &mut [u64]) -> bool {
        // Doesn't wait: the holder may be a thread for clients of busy users, which has lost its processor.
        let registry = match self.registry.try_lock() {
            Ok(registry) => registry,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        let mut more = false;
        for (log, at) in self.logs.iter().zip(positions) {
            let Some(log) = log.get() else { continue };
            if registry.waiting.is_empty() {
                *at = log.head();
                continue;
            }
            for _ in 0..TURN {
                match log.next(at) {
                    None => break,
                    Some(LogEvent::Event { id, side, kind }) => {
                        registry.wake(id, |filter| filter.selects(kind, side));
                    }
                    // Any listener may have been meant; each looks for itself.
                    Some(LogEvent::Lost) => {
                        let all = registry.waiting.values().flatten();
                        all.for_each(|(_, wakeup)| wakeup.signal());
                    }
                }
            }
            more |= *at < log.head();
        }
        more
    }

    /// Notes that all workers deliver to one more listener, or to one less.
    pub(crate) fn count_listening(&self, is_listening: bool) {
        if is_listening {
            self.listening.fetch_add(1, Ordering::Relaxed);
        } else {
            self.listening.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of listeners to which all workers deliver.
    pub(crate) fn listening(&self) -> u64 {
        self.listening.load(Ordering::Relaxed)
    }

    /// Returns whether a listener has this number.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.registry().filters.contains_key(&number)
    }

    /// Registers a listener until [`Dispatcher::remove`]. `wakeup`: of one without a queue, which the dispatcher wakes.
    pub(crate) fn add(&self, filter: &EventFilter, wakeup: Option<Wakeup>) -> Added {
        let number = SockId::listener(self.next.fetch_add(1, Ordering::Relaxed)).as_u64();
        let mut registry = self.registry();
        registry.filters.insert(number, filter.clone());
        if let (Scope::One(id), Some(wakeup)) = (&filter.scope, wakeup) {
            let waiting = registry.waiting.entry(*id).or_default();
            waiting.push((number, wakeup));
        }
        let logs = self.workers(filter).map(|worker| {
            let log = self.log(worker);
            // Before the request: every event after its answer is behind this position.
            let at = log.head();
            let answer = self.request(&registry, worker);
            AddedLog {
                worker,
                log,
                at,
                answer,
            }
        });
        Added {
            number,
            logs: logs.collect(),
        }
    }

    /// Adds a subscriber to a log of a registered listener.
    pub(crate) fn collect(&self, subscriber: Box<Subscriber>) {
        self.collector.add(subscriber);
    }

    /// Removes a listener.
    pub(crate) fn remove(&self, number: u64) {
        self.collector.remove(number);
        let mut registry = self.registry();
        let Some(filter) = registry.filters.remove(&number) else {
            return;
        };
        if let Scope::One(id) = filter.scope
            && let Some(waiting) = registry.waiting.get_mut(&id)
        {
            waiting.retain(|(own, _)| *own != number);
            if waiting.is_empty() {
                registry.waiting.remove(&id);
            }
        }
        for worker in self.workers(&filter) {
            drop(self.request(&registry, worker));
        }
    }

    /// Sends the interest of all listeners to a worker. The registry stays locked, so that interests arrive in order.
    fn request(&self, registry: &Registry, worker: u16) -> Option<Receiver<()>> {
        let mut interest = Box::new(Interest::default());
        let filters = registry.filters.values();
        filters
            .filter(|filter| filter.is_of(worker))
            .for_each(|filter| interest.add(filter));
        let log = self.log(worker);
        self.command_queues
            .request(worker, |answer| Command::SetInterest {
                interest,
                log,
                answer,
            })
    }

    /// Returns the workers whose events may pass a filter.
    fn workers(&self, filter: &EventFilter) -> Range<u16> {
        match (&filter.scope, filter.worker) {
            (Scope::One(id), _) => id.worker()..id.worker() + 1,
            (_, Some(worker)) => worker..worker + 1,
            (_, None) => 0..self.command_queues.workers(),
        }
    }

    fn log(&self, worker: u16) -> Arc<EventLog> {
        let new = || EventLog::new(EventLog::CAPACITY, Arc::clone(&self.notifier));
        match self.logs.get(usize::from(worker)) {
            Some(log) => Arc::clone(log.get_or_init(new)),
            // No worker writes to it.
            None => EventLog::new(1, Arc::clone(&self.notifier)),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic leaves a valid registry behind.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Wakes the listeners without a queue of one connection that want an event.
    fn wake(&self, id: SockId, wants: impl Fn(&EventFilter) -> bool) {
        for (number, wakeup) in self.waiting.get(&id).into_iter().flatten() {
            if self.filters.get(number).is_some_and(&wants) {
                wakeup.signal();
            }
        }
    }
}
