use std::collections::HashSet;
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, MapError};
use libc::{E2BIG, EEXIST, ENOENT};
use monitor_common::abi::{MAX_SHUNTS, ShuntKey, names};
use rustix::time::{ClockId, clock_gettime};

use super::{BpfError, Object};

/// An entry that is there already is an error.
const BPF_NOEXIST: u64 = 1;

/// The flows of one interface that its program leaves alone, as if nobody wanted them.
pub struct Shunts<'a>(pub(super) &'a mut Object);

impl Shunts<'_> {
    /// Leaves a flow alone until it begins anew (with a SYN that answers none) or has been quiet for `patience`, which
    /// is the same for all of them. Whether it was not before.
    ///
    /// # Errors
    /// [`BpfError::TooManyShunts`] when there are as many as there can be; when the map cannot be written.
    pub fn add(&mut self, flow: &ShuntKey, patience: Duration) -> Result<bool, BpfError> {
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
        // After the first flow, or the program could look for it in vain.
        self.announce(nanoseconds(patience).max(1))?;
        Ok(new)
    }

    /// Looks at a flow again, whether it was left alone or not.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn remove(&mut self, flow: &ShuntKey) -> Result<(), BpfError> {
        match self.flows()?.remove(flow) {
            // The program was faster, or the flow was never there.
            Err(error) if errno(&error) != Some(ENOENT) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Forgets flows that have been quiet for `patience`; returns how many are left. Without any, the program does not
    /// look for them any more.
    ///
    /// # Errors
    /// When the map cannot be read or written.
    pub fn sweep(&mut self, patience: Duration) -> Result<usize, BpfError> {
        let (patience, now) = (nanoseconds(patience), now());
        // A walk that an entry is taken away from starts again: it finds some twice, but not for ever.
        let walk = self
            .flows()?
            .iter()
            .take(2 * MAX_SHUNTS as usize)
            .collect::<Result<Vec<_>, _>>()?;
        let (old, kept): (Vec<_>, Vec<_>) = walk
            .into_iter()
            .partition(|(_, seen)| now.saturating_sub(*seen) > patience);
        for (flow, _) in old {
            self.remove(&flow)?;
        }
        // It may have been another one when they were added.
        self.announce(if kept.is_empty() { 0 } else { patience.max(1) })?;
        Ok(kept
            .into_iter()
            .map(|(flow, _)| flow)
            .collect::<HashSet<_>>()
            .len())
    }

    fn flows(&mut self) -> Result<HashMap<&mut MapData, ShuntKey, u64>, BpfError> {
        Ok(self.0.map_mut(names::SHUNTED)?.try_into()?)
    }

    fn announce(&mut self, patience: u64) -> Result<(), BpfError> {
        let mut setting: Array<_, u64> = self.0.map_mut(names::SHUNTING)?.try_into()?;
        Ok(setting.set(0, patience, 0)?)
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

/// The clock that the programs read.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
