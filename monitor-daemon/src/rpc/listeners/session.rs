//! What one client listens with.

use std::io;
use std::sync::Arc;

use tokio::sync::Notify;

use super::super::connection::Session;
use super::{Follow, Subscribed, Voice, Watched};

/// A client's listeners. They die with its session.
#[derive(Default)]
pub(in super::super) struct Listeners {
    list: Vec<Listener>,
    /// Notified when there is something for one of them.
    pub(in super::super) wake: Arc<Notify>,
}

/// One of them.
pub(in super::super) enum Listener {
    /// `subscribe`.
    Subscribed(Subscribed),
    /// `follow`.
    Follow(Follow),
    /// `watch`.
    Watched(Box<Watched>),
}

impl Listeners {
    pub(in super::super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(in super::super) fn add(&mut self, listener: Listener) {
        self.list.push(listener);
    }

    /// False if this client has none of that name.
    pub(in super::super) fn remove(&mut self, number: u64) -> bool {
        let before = self.list.len();
        self.list.retain(|listener| listener.number() != number);
        self.list.len() < before
    }

    /// Completes when there may be something to tell.
    pub(in super::super) async fn changed(&self) {
        self.wake.notified().await;
    }

    fn are_ready(&self) -> bool {
        self.list.iter().any(Listener::is_ready)
    }
}

impl Listener {
    fn number(&self) -> u64 {
        match self {
            Self::Subscribed(it) => it.number(),
            Self::Follow(it) => it.number(),
            Self::Watched(it) => it.number(),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Subscribed(it) => it.is_ready(),
            Self::Follow(it) => it.is_ready(),
            Self::Watched(it) => it.is_ready(),
        }
    }

    /// Writes a turn of what there is to tell.
    async fn tell(&mut self, voice: &mut Voice<'_>) -> io::Result<()> {
        match self {
            Self::Subscribed(it) => it.tell(voice).await,
            Self::Follow(it) => it.tell(voice).await,
            Self::Watched(it) => it.tell(voice).await,
        }
    }
}

impl Session {
    /// Tells the client of events, a turn of each listener; true if there are more. Between replies only.
    pub(in super::super) async fn tell(&mut self) -> io::Result<bool> {
        if self.out.in_batch() || !self.listeners.are_ready() {
            return Ok(false);
        }
        let Self {
            listeners,
            out,
            peeks,
            shared,
            ..
        } = self;
        let mut voice = Voice { out, peeks, shared };
        for listener in listeners
            .list
            .iter_mut()
            .filter(|listener| listener.is_ready())
        {
            listener.tell(&mut voice).await?;
            voice.out.flush_if_full().await?;
        }
        Ok(listeners.are_ready())
    }
}
