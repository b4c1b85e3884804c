//! Subscription to the workers' events: the receiving end of one queue per worker.

use std::sync::Arc;

use monitor_rpc::ErrorObject;
use tokio::sync::Notify;

use crate::control::{CommandQueues, Unanswered};
use crate::events::{Delivery, EventFilter, EventQueue, EventReceiver, Scope, Subscriber, Wakeup};
use crate::rpc::access::account::{Account, Lease};
use crate::rpc::dispatcher::{Added, Dispatcher};
use crate::rpc::protocol::errors;
use crate::rpc::shared::Shared;

/// Subscription; dropping it unsubscribes.
pub(crate) struct Subscription {
    number: u64,
    dispatcher: Arc<Dispatcher>,
    /// One for each worker that has subscribed connections; none without a queue.
    receivers: Vec<EventReceiver>,
    /// Index of the receiver that is read next, so that every worker gets its turn.
    turn: usize,
    wakeup: Wakeup,
    is_listening: bool,
    _lease: Lease,
}

impl Subscription {
    /// Subscribes to the events that pass `filter`. On return all workers deliver them.
    ///
    /// `queue`: maximum number of records that wait, for each worker; further ones are lost and counted. `None`: no
    /// records, just wake-ups, for one connection. `wake` is notified when there is something.
    pub(crate) async fn start(
        shared: &Shared,
        account: &Account,
        filter: &EventFilter,
        queue: Option<usize>,
        wake: &Arc<Notify>,
    ) -> Result<Self, ErrorObject> {
        let dispatcher = &shared.dispatcher;
        let readers = &shared.status.readers;
        let own = readers
            .iter()
            .enumerate()
            .filter(|(worker, _)| filter.is_of(*worker as u16));
        let text = match &filter.scope {
            Scope::Some(filter) => filter.memory(),
            Scope::All | Scope::One(_) => 0,
        };
        let bytes = own.fold(text, |sum, (_, reader)| {
            let records = queue.unwrap_or(0).saturating_mul(EventQueue::RECORD_BYTES);
            sum.saturating_add(records + Subscriber::memory(filter, reader.slots()))
        });
        let lease = account.listener(bytes).map_err(errors::listener_limit)?;
        let wakeup = Wakeup::new(wake);
        let woken = queue.is_none().then(|| wakeup.clone());
        let Added { number, logs } = dispatcher.add(filter, woken);
        // From here on, so that the listener is removed in any case.
        let mut this = Self {
            number,
            dispatcher: Arc::clone(dispatcher),
            receivers: Vec::new(),
            turn: 0,
            wakeup,
            is_listening: false,
            _lease: lease,
        };
        for own in logs {
            let worker = own.worker;
            let no_worker = || errors::unanswered(Unanswered { worker });
            let answer = own.answer.ok_or_else(no_worker)?;
            if let (Some(records), Some(reader)) = (queue, readers.get(usize::from(worker))) {
                let queue = EventQueue::new(records);
                this.receivers.push(EventReceiver::new(Arc::clone(&queue)));
                dispatcher.collect(Subscriber::new(
                    number,
                    filter,
                    (own.log, own.at),
                    reader.clone(),
                    queue,
                    this.wakeup.clone(),
                ));
            }
            CommandQueues::answer(worker, answer)
                .await
                .map_err(errors::unanswered)?;
        }
        dispatcher.count_listening(true);
        this.is_listening = true;
        Ok(this)
    }

    /// Returns the number that names it on the wire.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Clears the ready flag. The caller then takes all deliveries.
    pub(crate) fn take_ready(&self) -> bool {
        self.wakeup.take()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.wakeup.is_set()
    }

    /// Returns the next delivery of any worker, in order for each worker.
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        for _ in 0..self.receivers.len() {
            let delivery = self.receivers[self.turn].next();
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
        if self.is_listening {
            self.dispatcher.count_listening(false);
        }
        self.dispatcher.remove(self.number);
    }
}
