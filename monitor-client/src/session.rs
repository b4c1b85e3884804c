//! State that outlives a connection, without I/O: the policy of reconnecting, the daemon's instance, cursors, and
//! subscriptions that are created again.

use std::path::{Path, PathBuf};

use monitor_rpc::{EventBody, Method, Notification};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cursor::Cursors;
use crate::{Error, Reconnect};

/// State of a client between its connections.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) path: PathBuf,
    pub(crate) reconnect: Reconnect,
    /// Instance of the daemon; requested only by clients that reconnect.
    instance: Option<u64>,
    pub(crate) cursors: Cursors,
}

impl Session {
    pub(crate) fn new(path: &Path, reconnect: Reconnect, instance: Option<u64>) -> Self {
        Self {
            path: path.to_path_buf(),
            reconnect,
            instance,
            cursors: Cursors::default(),
        }
    }

    /// Returns whether a failed call is sent again over a new connection.
    pub(crate) fn repeats<T>(&self, method: Method, result: &Result<T, Error>) -> bool {
        let broken = result.as_ref().is_err_and(Error::is_broken);
        broken && self.reconnect != Reconnect::NEVER && method.is_repeatable()
    }

    /// Takes note of a new connection.
    ///
    /// # Errors
    /// [`Error::Restarted`] if it leads to another instance.
    pub(crate) fn connected(&mut self, instance: Option<u64>) -> Result<(), Error> {
        if std::mem::replace(&mut self.instance, instance) == instance {
            return Ok(());
        }
        self.cursors.clear();
        Err(Error::Restarted)
    }

    /// Returns a subscription request.
    pub(crate) fn subscription(
        &self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<Subscription, Error> {
        Ok(Subscription {
            path: self.path.clone(),
            reconnect: self.reconnect,
            instance: self.instance,
            method,
            params: serde_json::to_value(params).map_err(Error::Request)?,
        })
    }
}

/// Request of a subscription, kept to send it again over a new connection.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) path: PathBuf,
    pub(crate) reconnect: Reconnect,
    instance: Option<u64>,
    pub(crate) method: Method,
    pub(crate) params: Value,
}

/// Outcome of a new connection for a subscription.
pub(crate) enum Resume {
    /// The same instance answers: the request is sent again.
    Again,
    /// Another instance answers: the request is sent to it, and [`Error::Restarted`] is reported.
    Restarted,
    /// Another instance answers, and the subscription was for a connection of the previous one.
    End,
}

impl Subscription {
    /// Returns whether it is created again after its connection broke. A `follow` would repeat bytes.
    pub(crate) fn resumes(&self) -> bool {
        self.reconnect != Reconnect::NEVER && self.method != Method::Follow
    }

    /// Takes note of a new connection.
    pub(crate) fn connected(&mut self, instance: Option<u64>) -> Resume {
        let restarted = std::mem::replace(&mut self.instance, instance) != instance;
        match (restarted, self.params["sockid"].is_u64()) {
            (false, _) => Resume::Again,
            (true, false) => Resume::Restarted,
            (true, true) => Resume::End,
        }
    }
}

/// Reply to `subscribe`, `follow` or `watch`. Example: [`Client::event`](crate::Client::event).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Subscribed {
    /// Identifier, which the notifications carry as `listener`.
    pub sockid: u64,
    /// Number of patterns (`watch`).
    #[serde(default)]
    pub patterns: Option<u64>,
}

impl Subscribed {
    /// Returns the notification of a subscription that was created again.
    pub(crate) fn interrupted(self) -> Notification {
        Notification {
            listener: self.sockid,
            time: None,
            sockid: None,
            body: EventBody::Interrupted,
        }
    }
}
