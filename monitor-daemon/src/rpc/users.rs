//! What one user's clients hold together, so that no user keeps the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::ReplyMemory;

/// Everybody who is connected now, by user.
#[derive(Debug)]
pub(super) struct Users(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// How many clients each has, and their memory.
    users: HashMap<Option<u32>, (usize, ReplyMemory)>,
    memory: u64,
}

/// A client's place among those of its user; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    users: Arc<Users>,
    uid: Option<u32>,
    memory: ReplyMemory,
}

impl Users {
    /// Each may hold so much memory for replies.
    pub(super) fn new(memory: u64) -> Self {
        Self(Mutex::new(Known {
            users: HashMap::new(),
            memory,
        }))
    }

    /// One more client of a user; `None` when it has `most` already.
    pub(super) fn admit(self: &Arc<Self>, uid: Option<u32>, most: usize) -> Option<Place> {
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
        Some(Place {
            users: Arc::clone(self),
            uid,
            memory: memory.clone(),
        })
    }

    /// From now on each may hold so much.
    pub(super) fn resize(&self, memory: u64) {
        let mut known = self.known();
        known.memory = memory;
        known.users.values().for_each(|(_, own)| own.resize(memory));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Poisoned by a panic: the numbers are still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What replies to this user may hold.
    pub(super) fn memory(&self) -> &ReplyMemory {
        &self.memory
    }
}

impl Drop for Place {
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
    fn each_user_has_its_own_limit_and_leaves_nothing_behind() {
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
