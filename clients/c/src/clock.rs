//! Present time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the present time in microseconds since the epoch.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
