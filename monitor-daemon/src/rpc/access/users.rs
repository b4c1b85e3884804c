//! Shares of users: the clients and the memory that one user holds, so that no user keeps others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::ReplyMemory;

/// Connected clients, by user.
#[derive(Debug)]
pub(crate) struct Users(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// Number of clients, and their memory.
    users: HashMap<Option<u32>, (usize, ReplyMemory)>,
    memory: u64,
}

/// One client's slot among those of its user; freed on drop.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    users: Arc<Users>,
    uid: Option<u32>,
    memory: ReplyMemory,
}

impl Users {
    /// `memory`: maximum for the replies of one user, in bytes.
    pub(crate) fn new(memory: u64) -> Self {
        Self(Mutex::new(Known {
            users: HashMap::new(),
            memory,
        }))
    }

    /// Admits one more client of a user; returns `None` when `most` are connected.
    pub(crate) fn admit(self: &Arc<Self>, uid: Option<u32>, most: usize) -> Option<ClientSlot> {
        let mut known = self.known();
        let memory = known.memory;
        let (clients, memory) = known
            .users
            .entry(uid)
            .or_insert_with(|| (0, ReplyMemory::new(memory)));
        if *clients >= most {
            return None;
        }
        *clients += 1;
        Some(ClientSlot {
            users: Arc::clone(self),
            uid,
            memory: memory.clone(),
        })
    }

    /// Changes the maximum of each user.
    pub(crate) fn resize(&self, memory: u64) {
        let mut known = self.known();
        known.memory = memory;
        known.users.values().for_each(|(_, own)| own.resize(memory));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic leaves valid numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSlot {
    /// Returns the memory for replies of the user.
    pub(crate) fn memory(&self) -> &ReplyMemory {
        &self.memory
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut known = self.users.known();
        if let Some((clients, _)) = known.users.get_mut(&self.uid) {
            *clients -= 1;
            if *clients == 0 {
                known.users.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_its_own_limit_and_is_removed_with_its_last_client() {
        let users = Arc::new(Users::new(100));
        let first = users.admit(Some(1), 2).unwrap();
        let _second = users.admit(Some(1), 2).unwrap();
        assert!(users.admit(Some(1), 2).is_none());
        let other = users.admit(Some(2), 2).unwrap();
        let lease = first.memory().lease(100).unwrap();
        assert!(first.memory().lease(1).is_none() && other.memory().lease(1).is_some());
        users.resize(200);
        assert!(first.memory().lease(100).is_some());
        drop(lease);
        drop((first, other));
        assert!(users.admit(Some(1), 2).is_some());
        assert_eq!(users.known().users.len(), 1);
    }
}
