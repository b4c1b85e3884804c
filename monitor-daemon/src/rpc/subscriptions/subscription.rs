//! Subscription to the workers' events: the receiving end of one queue per worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monitor_rpc::ErrorObject;
use tokio::sync::Notify;

use crate::control::{Command, Mailboxes};
use crate::events::{Delivery, EventFilter, EventQueue, EventReceiver, Scope, Subscriber};
use crate::rpc::access::account::{Account, Lease};
use crate::rpc::dispatcher::{Dispatcher, SubscriberHandle};
use crate::rpc::protocol::errors;
use crate::rpc::shared::Shared;

/// Subscription; dropping it unsubscribes.
pub(crate) struct Subscription {
    number: u64,
    dispatcher: Arc<Dispatcher>,
    mailboxes: Mailboxes,
    /// Receiver of each worker that has subscribed connections.
    receivers: Vec<(u16, EventReceiver)>,
    /// Index of the receiver that is read next, so that every worker gets its turn.
    turn: usize,
    ready: Arc<AtomicBool>,
    _lease: Lease,
}

impl Subscription {
    /// Subscribes to the events that pass `filter`. On return all workers deliver them.
    ///
    /// `queue`: maximum number of records that wait, for each worker; further ones are lost and counted. `None`: no
    /// records, just wake-ups. `wake` is notified when there is something.
    pub(crate) async fn start(
        shared: &Shared,
        account: &Account,
        filter: &EventFilter,
        queue: Option<usize>,
        wake: &Arc<Notify>,
    ) -> Result<Self, ErrorObject> {
        let dispatcher = &shared.dispatcher;
        let workers = match filter.scope {
            Scope::One(id) => id.worker()..id.worker() + 1,
            _ => 0..shared.status.mailboxes.workers(),
        };
        let bytes = queue
            .unwrap_or(0)
            .saturating_mul(EventQueue::RECORD_BYTES)
            .saturating_mul(workers.len());
        let lease = account.listener(bytes).map_err(errors::listener_limit)?;
        let queues: Vec<_> = workers.clone().map(|_| EventQueue::new(queue)).collect();
        let ready = Arc::new(AtomicBool::new(true));
        let handle = SubscriberHandle {
            queues: queues.clone(),
            ready: Arc::clone(&ready),
            wake: Arc::clone(wake),
        };
        let number = dispatcher.add(handle);
        let mut this = Self {
            number,
            dispatcher: Arc::clone(dispatcher),
            mailboxes: shared.status.mailboxes.clone(),
            receivers: Vec::new(),
            turn: 0,
            ready,
            _lease: lease,
        };
        for (worker, queue) in workers.zip(queues) {
            let reader = shared.status.readers.get(usize::from(worker));
            let slots = reader.map_or(0, monitor_engine::Reader::slots);
            let subscriber = Subscriber::new(
                number,
                filter,
                slots,
                Arc::clone(&queue),
                Arc::clone(dispatcher.notifier()),
            );
            // Before the request, so that the worker gets the unsubscription in any case.
            this.receivers.push((worker, EventReceiver::new(queue)));
            let asked = this
                .mailboxes
                .ask(worker, |answer| Command::Subscribe { subscriber, answer });
            asked.await.map_err(errors::unanswered)?;
        }
        Ok(this)
    }

    /// Returns the number that names it on the wire.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Clears the ready flag. The caller then takes all deliveries.
    pub(crate) fn take_ready(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Returns the next delivery of any worker, in order for each worker.
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        for _ in 0..self.receivers.len() {
            let delivery = self.receivers[self.turn].1.next();
            if delivery.is_some() {
                return delivery;
            }
            self.turn = (self.turn + 1) % self.receivers.len();
        }
        None
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for (worker, _) in &self.receivers {
            if let Some(mailbox) = self.mailboxes.get(*worker) {
                mailbox.send(Command::Unsubscribe {
                    subscriber: self.number,
                });
            }
        }
        self.dispatcher.remove(self.number);
    }
}
