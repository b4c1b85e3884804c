//! State of one client's session, and the replies that every method writes.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use monitor_rpc::{ErrorObject, Role};
use serde::Serialize;
use serde_json::value::RawValue;

use super::access::account::{Account, Lease};
use super::access::memory::PeekBuffer;
use super::access::peer::Peer;
use super::access::policy::ClientRights;
use super::protocol::{errors, response};
use super::shared::Shared;
use super::subscriptions::Subscriptions;
use super::subscriptions::notification_writer::NotificationWriter;
use super::transport::output::Output;

/// Everything that methods need to answer one client.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) out: Output,
    pub(crate) peeks: PeekBuffer,
    /// The process at the other end, as the kernel knew it when it connected.
    pub(crate) peer: Peer,
    pub(crate) rights: ClientRights,
    pub(crate) subscriptions: Subscriptions,
    /// Start of the client's turn.
    pub(crate) turn: Instant,
    slot: Lease,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, out: Output, peer: Peer, slot: Lease) -> Self {
        shared.metrics.accepted.add(1);
        shared.metrics.clients.add(1);
        Self {
            rights: ClientRights::new(shared.policy.subscribe(), &peer),
            peeks: PeekBuffer::of(slot.account().clone()),
            subscriptions: Subscriptions::default(),
            turn: Instant::now(),
            shared,
            out,
            peer,
            slot,
        }
    }

    /// Returns the account of the client's user.
    pub(crate) fn account(&self) -> &Account {
        self.slot.account()
    }

    pub(crate) fn reply(&mut self, id: &RawValue, result: Result<impl Serialize, ErrorObject>) {
        match result {
            Ok(result) => self.result(id, &result),
            Err(error) => self.error(Some(id), &error),
        }
    }

    pub(crate) fn result(&mut self, id: &RawValue, result: &impl Serialize) {
        self.shared.metrics.requests.add(1);
        response::result(self.out.open(), id, result);
        self.out.close();
    }

    pub(crate) fn error(&mut self, id: Option<&RawValue>, error: &ErrorObject) {
        self.shared.metrics.requests.add(1);
        self.shared.metrics.errors.add(1);
        response::error(self.out.open(), id, error);
        self.out.close();
    }

    /// Writes pending notifications, a limited number for each subscription. Returns true if more are pending. Within a
    /// batch nothing is written: the members of its array are replies.
    ///
    /// A client that lost the role of a reader gets an error, and is disconnected.
    pub(crate) async fn notify(&mut self) -> io::Result<bool> {
        if self.out.in_batch() || self.subscriptions.len() == 0 {
            return Ok(false);
        }
        if self.rights.role(&self.peer) < Role::Reader {
            self.subscriptions = Subscriptions::default();
            let error = errors::revoked(&self.peer);
            self.error(None, &error);
            self.out.finish().await?;
            return Err(io::Error::other("its user may not read now"));
        }
        let Self {
            subscriptions,
            out,
            peeks,
            shared,
            ..
        } = self;
        let mut writer = NotificationWriter { out, peeks, shared };
        subscriptions.notify(&mut writer).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.metrics.clients.sub(1);
    }
}
