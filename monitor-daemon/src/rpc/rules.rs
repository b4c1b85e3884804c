//! What the settings say about clients, as far as it may change while they are connected.

use std::sync::Arc;

use tokio::sync::watch;

use monitor_rpc::Role;

use super::access::{Access, AccessError};
use super::peer::Peer;
use crate::config::Rpc;

/// Looks up whom the settings name, and says who is not known.
pub fn check(settings: &Rpc) -> Result<(), AccessError> {
    Access::new(settings).map(drop)
}

/// The rules that apply now.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) access: Access,
    pub(super) settings: Rpc,
}

/// One client's rights under them.
#[derive(Debug)]
pub(super) struct Rights {
    rules: watch::Receiver<Arc<Rules>>,
    role: Role,
    batch: usize,
}

impl Rules {
    pub(super) fn new(settings: Rpc) -> Result<Self, AccessError> {
        Ok(Self {
            access: Access::new(&settings)?,
            settings,
        })
    }

    fn of(&self, peer: &Peer) -> (Role, usize) {
        (self.access.role(peer), self.settings.max_batch)
    }
}

impl Rights {
    pub(super) fn new(mut rules: watch::Receiver<Arc<Rules>>, peer: &Peer) -> Self {
        let (role, batch) = rules.borrow_and_update().of(peer);
        Self { rules, role, batch }
    }

    /// Requests that one batch may hold.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// The most that the client may do now: new rules count for clients that are connected, too.
    pub(super) fn role(&mut self, peer: &Peer) -> Role {
        // An error means that the server stops.
        if self.rules.has_changed().unwrap_or(false) {
            (self.role, self.batch) = self.rules.borrow_and_update().of(peer);
        }
        self.role
    }
}
