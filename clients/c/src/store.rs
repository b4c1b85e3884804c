//! Attached stores of the process, by number.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use monitor_client::types::Ppeek;
use monitor_client::{Attached, Side};

use crate::failure::Failure;

type Stores = BTreeMap<c_int, Mutex<Attached>>;

static STORES: RwLock<Stores> = RwLock::new(BTreeMap::new());

/// Attaches to the store of the daemon at a path, if it answers within a time. Returns its number.
pub(crate) fn attach(path: &str, time: Option<Duration>) -> Result<c_int, Failure> {
    let store = Mutex::new(Attached::open_within(path, time)?);
    let mut stores = STORES.write().unwrap_or_else(PoisonError::into_inner);
    let last = stores.last_key_value().map_or(-1, |(last, _)| *last);
    let number = last.checked_add(1).ok_or(Failure(libc::ENFILE))?;
    stores.insert(number, store);
    Ok(number)
}

/// Reads from a store, as `ppeek` of the RPC does.
pub(crate) fn ppeek(
    number: c_int,
    sockid: u64,
    side: Side,
    off: u64,
    buffer: &mut [u8],
) -> Result<Ppeek, Failure> {
    let stores = STORES.read().unwrap_or_else(PoisonError::into_inner);
    let store = stores.get(&number).ok_or(Failure(libc::EBADF))?;
    Ok(lock(store).ppeek(sockid, side, off, buffer)?)
}

/// Detaches from a store.
pub(crate) fn detach(number: c_int) -> Result<(), Failure> {
    let mut stores = STORES.write().unwrap_or_else(PoisonError::into_inner);
    stores.remove(&number).map(drop).ok_or(Failure(libc::EBADF))
}

fn lock(store: &Mutex<Attached>) -> MutexGuard<'_, Attached> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
