//! Table of shunted flows of one interface.

use std::collections::HashSet;
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, MapError};
use libc::{E2BIG, EEXIST, ENOENT};
use monitor_common::abi::{MAX_SHUNTS, ShuntKey, names};
use rustix::time::{ClockId, clock_gettime};

use super::{BpfError, Object};

/// Flag: an existing entry is an error.
const BPF_NOEXIST: u64 = 1;

/// Flows of one interface that its program skips.
pub struct Shunts<'a>(pub(super) &'a mut Object);

impl Shunts<'_> {
    /// Shunts a flow until another connection begins on it (a SYN without ACK) or it was quiet for `timeout`, which is
    /// common to all flows. Returns whether the entry is new.
    ///
    /// # Errors
    /// [`BpfError::TooManyShunts`] when the table is full; an error of the map.
    pub fn add(&mut self, flow: &ShuntKey, timeout: Duration) -> Result<bool, BpfError> {
        let mut flows = self.flows()?;
        let new = match flows.insert(flow, now(), BPF_NOEXIST) {
            Ok(()) => true,
            Err(error) => match errno(&error) {
                Some(EEXIST) => false,
                Some(E2BIG) => return Err(BpfError::TooManyShunts),
                _ => return Err(error.into()),
            },
        };
        if !new {
            flows.insert(flow, now(), 0)?;
        }
        // Last, so that the program finds the flow once it searches the table.
        self.set_timeout(nanoseconds(timeout).max(1))?;
        Ok(new)
    }

    /// Unshunts a flow; without effect on other flows.
    ///
    /// # Errors
    /// An error of the map.
    pub fn remove(&mut self, flow: &ShuntKey) -> Result<(), BpfError> {
        match self.flows()?.remove(flow) {
            // The program removed it before, or it was never shunted.
            Err(error) if errno(&error) != Some(ENOENT) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes flows that were quiet for `timeout`; returns the number left. The program doesn't search an empty table.
    ///
    /// # Errors
    /// An error of the map.
    pub fn sweep(&mut self, timeout: Duration) -> Result<usize, BpfError> {
        let (timeout, now) = (nanoseconds(timeout), now());
        // Iteration restarts when its current entry is removed: it may return entries twice, and is bounded here.
        let walk = self
            .flows()?
            .iter()
            .take(2 * MAX_SHUNTS as usize)
            .collect::<Result<Vec<_>, _>>()?;
        let (old, kept): (Vec<_>, Vec<_>) = walk
            .into_iter()
            .partition(|(_, seen)| now.saturating_sub(*seen) > timeout);
        for (flow, _) in old {
            self.remove(&flow)?;
        }
        // The setting may have changed since the flows were added.
        self.set_timeout(if kept.is_empty() { 0 } else { timeout.max(1) })?;
        Ok(kept
            .into_iter()
            .map(|(flow, _)| flow)
            .collect::<HashSet<_>>()
            .len())
    }

    fn flows(&mut self) -> Result<HashMap<&mut MapData, ShuntKey, u64>, BpfError> {
        Ok(self.0.map_mut(names::SHUNTED)?.try_into()?)
    }

    fn set_timeout(&mut self, timeout: u64) -> Result<(), BpfError> {
        let mut setting: Array<_, u64> = self.0.map_mut(names::SHUNTING)?.try_into()?;
        Ok(setting.set(0, timeout, 0)?)
    }
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time of the programs' clock, nanoseconds.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
