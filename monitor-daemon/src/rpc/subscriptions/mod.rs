//! Subscriptions: notifications that clients asked for by `subscribe`, `follow`, `watch` and `capture`.
//!
//! ```text
//! workers ─ queues, notifier ─> Dispatcher ─ wake ─> Subscriptions of a session ─ JSON lines ─> client
//!     ^                                                  │
//!     └─────────── commands ── Subscription ── created and dropped by it
//! ```
//!
//! A [`Subscription`](subscription::Subscription) is the receiving end of the queues from the workers; dropping it
//! unsubscribes. To use events within the server: [`start`](subscription::Subscription::start) one, wait for its wake-up,
//! then take deliveries with [`next`](subscription::Subscription::next). To send a new kind of notification: a variant of
//! [`Active`] that writes through a [`NotificationWriter`].

pub(crate) mod capture;
pub(crate) mod events;
pub(crate) mod follow;
pub(crate) mod notification_writer;
pub(crate) mod subscription;
pub(crate) mod watch;

use std::io;
use std::sync::Arc;

use tokio::sync::Notify;

use capture::Capture;
use events::EventStream;
use follow::Follow;
use notification_writer::NotificationWriter;
use watch::Watch;

/// Subscriptions of one client. They end with its session.
#[derive(Default)]
pub(crate) struct Subscriptions {
    list: Vec<Active>,
    /// Notified when one of them may have something to write.
    pub(crate) wake: Arc<Notify>,
}

/// Subscription of any kind.
pub(crate) enum Active {
    /// `subscribe`.
    Events(EventStream),
    /// `follow`.
    Follow(Follow),
    /// `watch`.
    Watch(Box<Watch>),
    /// `capture`.
    Capture(Box<Capture>),
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn add(&mut self, subscription: Active) {
        self.list.push(subscription);
    }

    /// Ends a subscription. Returns false if this client has none with that number.
    pub(crate) fn remove(&mut self, number: u64) -> bool {
        let before = self.list.len();
        self.list
            .retain(|subscription| subscription.number() != number);
        self.list.len() < before
    }

    /// Ends all subscriptions, with turns for other clients in between: each makes the workers' interest again.
    pub(crate) async fn end(&mut self) {
        while self.list.pop().is_some() {
            tokio::task::yield_now().await;
        }
    }

    /// Completes when there may be notifications to write.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Writes pending notifications, a limited number for each subscription. Returns true if more are pending.
    pub(crate) async fn notify(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<bool> {
        if !self.is_ready() {
            return Ok(false);
        }
        for subscription in &mut self.list {
            if subscription.is_ready() {
                subscription.notify(writer).await?;
                writer.out.flush_if_full().await?;
            }
        }
        Ok(self.is_ready())
    }

    fn is_ready(&self) -> bool {
        self.list.iter().any(Active::is_ready)
    }
}

impl Active {
    fn number(&self) -> u64 {
        match self {
            Self::Events(it) => it.number(),
            Self::Follow(it) => it.number(),
            Self::Watch(it) => it.number(),
            Self::Capture(it) => it.number(),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Events(it) => it.is_ready(),
            Self::Follow(it) => it.is_ready(),
            Self::Watch(it) => it.is_ready(),
            Self::Capture(it) => it.is_ready(),
        }
    }

    async fn notify(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        match self {
            Self::Events(it) => it.notify(writer).await,
            Self::Follow(it) => it.notify(writer).await,
            Self::Watch(it) => it.notify(writer).await,
            Self::Capture(it) => it.notify(writer).await,
        }
    }
}
