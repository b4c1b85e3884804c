//! Accounts of users: everything that their clients make the server hold.
//!
//! One ledger counts clients, listeners and bytes, for all users and for each. A lease, a client's slot and a listener's
//! slot are entries in it, and are removed on drop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::{self, common_share, user_share};
use super::processor_time::ProcessorTime;

/// Ledger of all users.
#[derive(Debug)]
pub(crate) struct Accounts(Mutex<Ledger>);

#[derive(Debug)]
struct Ledger {
    /// Maximum of all users.
    limit: Holdings,
    all: Holdings,
    users: HashMap<Option<u32>, User>,
    /// Bytes by [`Purpose`].
    bytes: [u64; 3],
}

/// Amounts that are held, or may be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) clients: u64,
    pub(crate) listeners: u64,
    pub(crate) bytes: u64,
}

/// One user with at least one entry.
#[derive(Debug)]
struct User {
    held: Holdings,
    time: Arc<ProcessorTime>,
}

/// Use of leased bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Buffers that every client has.
    Client,
    /// Replies in flight.
    Reply,
    /// Queues, filters and patterns of listeners.
    Listener,
}

/// Limit that refused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The share of the user.
    User(u64),
    /// The share of all users.
    All(u64),
    Memory,
}

/// Account of one client's user.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    accounts: Arc<Accounts>,
    uid: Option<u32>,
    /// The client may use the reserve.
    admin: bool,
}

/// Entry of a ledger, removed on drop.
#[derive(Debug)]
pub(crate) struct Lease {
    account: Account,
    held: Holdings,
    purpose: Purpose,
}

impl Accounts {
    /// Creates a ledger for at most `clients` clients that hold at most `bytes`.
    pub(crate) fn new(clients: usize, bytes: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Ledger {
            limit: Holdings {
                clients: clients as u64,
                listeners: limits::LISTENERS as u64,
                bytes,
            },
            all: Holdings::default(),
            users: HashMap::new(),
            bytes: [0; 3],
        })))
    }

    /// Changes the maximum number of bytes. Existing leases stay.
    pub(crate) fn resize(&self, bytes: u64) {
        self.ledger().limit.bytes = bytes;
    }

    /// Returns the account of a user's client.
    pub(crate) fn of(self: &Arc<Self>, uid: Option<u32>, admin: bool) -> Account {
        Account {
            accounts: Arc::clone(self),
            uid,
            admin,
        }
    }

    /// Returns the bytes leased for a purpose.
    pub(crate) fn bytes(&self, purpose: Purpose) -> u64 {
        self.ledger().bytes[purpose as usize]
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic leaves valid numbers behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Leases bytes. Returns `None` when the share of the user, or of all users, is used up.
    pub(crate) fn lease(&self, purpose: Purpose, bytes: usize) -> Option<Lease> {
        let held = Holdings {
            bytes: bytes as u64,
            ..Holdings::default()
        };
        self.enter(held, purpose).ok()
    }

    /// Admits a client, with the memory that every client has.
    pub(crate) fn client(&self) -> Result<Lease, Limit> {
        let held = Holdings {
            clients: 1,
            bytes: limits::CLIENT_BYTES as u64,
            ..Holdings::default()
        };
        self.enter(held, Purpose::Client)
    }

    /// Admits a listener with the memory that it needs.
    pub(crate) fn listener(&self, bytes: usize) -> Result<Lease, Limit> {
        let held = Holdings {
            listeners: 1,
            bytes: bytes as u64,
            ..Holdings::default()
        };
        self.enter(held, Purpose::Listener)
    }

    /// Returns the processor time of the user, which exists while one of its clients does.
    pub(crate) fn processor_time(&self) -> Option<Arc<ProcessorTime>> {
        let ledger = self.accounts.ledger();
        ledger
            .users
            .get(&self.uid)
            .map(|user| Arc::clone(&user.time))
    }

    fn enter(&self, held: Holdings, purpose: Purpose) -> Result<Lease, Limit> {
        let mut ledger = self.accounts.ledger();
        let Ledger {
            limit, all, users, ..
        } = &mut *ledger;
        let own = users
            .get(&self.uid)
            .map(|user| user.held)
            .unwrap_or_default();
        let common = |limit: u64| match self.admin {
            true => limit,
            false => common_share(limit),
        };
        for (held, own, all, limit) in [
            (held.clients, own.clients, all.clients, limit.clients),
            (
                held.listeners,
                own.listeners,
                all.listeners,
                limit.listeners,
            ),
        ] {
            if own + held > user_share(limit) && held > 0 {
                return Err(Limit::User(user_share(limit)));
            }
            if all + held > common(limit) && held > 0 {
                return Err(Limit::All(common(limit)));
            }
        }
        let fits = |used: u64, limit| used.checked_add(held.bytes).is_some_and(|sum| sum <= limit);
        if held.bytes > 0
            && !(fits(own.bytes, user_share(limit.bytes)) && fits(all.bytes, common(limit.bytes)))
        {
            return Err(Limit::Memory);
        }
        all.add(held);
        users
            .entry(self.uid)
            .or_insert_with(User::new)
            .held
            .add(held);
        ledger.bytes[purpose as usize] += held.bytes;
        Ok(Lease {
            account: self.clone(),
            held,
            purpose,
        })
    }
}

impl User {
    fn new() -> Self {
        Self {
            held: Holdings::default(),
            time: Arc::new(ProcessorTime::new()),
        }
    }
}

impl Holdings {
    fn add(&mut self, other: Self) {
        self.clients += other.clients;
        self.listeners += other.listeners;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Self) {
        self.clients -= other.clients;
        self.listeners -= other.listeners;
        self.bytes -= other.bytes;
    }
}

impl Lease {
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Leases more bytes for the same account and purpose.
    pub(crate) fn another(&self, bytes: usize) -> Option<Self> {
        self.account.lease(self.purpose, bytes)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut ledger = self.account.accounts.ledger();
        ledger.all.remove(self.held);
        ledger.bytes[self.purpose as usize] -= self.held.bytes;
        if let Some(own) = ledger.users.get_mut(&self.account.uid) {
            own.held.remove(self.held);
            if own.held == Holdings::default() {
                ledger.users.remove(&self.account.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 64 * limits::CLIENT_BYTES as u64;

    #[test]
    fn one_user_holds_at_most_half_and_the_reserve_is_for_admins() {
        let accounts = Accounts::new(16, BYTES);
        let take = |uid, admin: bool, count: usize| -> Vec<Lease> {
            let account = accounts.of(Some(uid), admin);
            (0..count).map(|_| account.client().unwrap()).collect()
        };
        let first = take(1, false, 8);
        let refused = |uid, admin| accounts.of(Some(uid), admin).client().unwrap_err();
        assert_eq!(refused(1, false), Limit::User(8));
        let second = take(2, false, 6);
        assert_eq!(refused(3, false), Limit::All(14));
        let admin = take(0, true, 2);
        assert_eq!(refused(0, true), Limit::All(16));
        drop((first, second, admin));
        let ledger = accounts.ledger();
        assert!(ledger.users.is_empty());
        assert_eq!((ledger.all, ledger.bytes), (Holdings::default(), [0; 3]));
    }

    #[test]
    fn all_kinds_of_memory_are_in_one_account() {
        let accounts = Accounts::new(16, BYTES);
        let account = accounts.of(Some(1), false);
        let quarter = BYTES as usize / 4;
        let _reply = account.lease(Purpose::Reply, quarter).unwrap();
        let listener = account.listener(quarter).unwrap();
        assert!(account.lease(Purpose::Reply, 1).is_none());
        assert_eq!(account.listener(1).unwrap_err(), Limit::Memory);
        assert_eq!(account.client().unwrap_err(), Limit::Memory);
        let other = accounts.of(Some(2), false);
        assert!(
            other.lease(Purpose::Reply, quarter * 2).is_none(),
            "of the reserve"
        );
        let _other = other.lease(Purpose::Reply, quarter).unwrap();
        assert_eq!(accounts.bytes(Purpose::Reply), 2 * quarter as u64);
        drop(listener);
        assert_eq!(accounts.bytes(Purpose::Listener), 0);
        accounts.resize(BYTES / 2);
        assert!(account.lease(Purpose::Reply, 1).is_none());
    }
}
