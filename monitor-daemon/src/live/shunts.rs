//! Flows that the programs of all interfaces leave alone.
//!
//! Each interface has a table of its own. One that is attached later starts with an empty table: workers ask again for
//! what still comes, and nothing is carried over that a SYN may have taken out of another table meanwhile.

use std::time::Duration;

use monitor_engine::Shunt;
use tracing::warn;

use super::devices::Attached;
use super::state::State;
use crate::capture::bpf::{BpfError, Counter};

impl State {
    /// Does what the workers ask for. A flow that was quiet for `patience` is looked at again.
    pub(super) fn follow(&mut self, shunts: impl Iterator<Item = Shunt>, patience: Duration) {
        for shunt in shunts {
            match shunt {
                Shunt::Start(flow) => {
                    let added: Vec<_> = self
                        .attached()
                        .map(|attached| attached.shunts().add(&flow, patience))
                        .collect();
                    let full =
                        |result: &Result<_, _>| matches!(result, Err(BpfError::TooManyShunts));
                    self.shunts_refused += u64::from(added.iter().any(full));
                    self.shunted += usize::from(added.iter().any(|new| matches!(new, Ok(true))));
                    added
                        .iter()
                        .filter(|result| !full(result))
                        .filter_map(|r| r.as_ref().err())
                        .for_each(say);
                }
                Shunt::End(flow) => self
                    .attached()
                    .filter_map(|attached| attached.shunts().remove(&flow).err())
                    .for_each(|error| say(&error)),
            }
        }
    }

    /// Forgets the flows that have been quiet for too long, and counts the others.
    pub(super) fn sweep_shunts(&mut self, patience: Duration) {
        if self.shunted > 0 {
            let left =
                |attached: &mut Attached| attached.shunts().sweep(patience).inspect_err(say).ok();
            // A flow may go through several interfaces.
            self.shunted = self.attached().filter_map(left).max().unwrap_or(0);
        }
    }

    pub(super) fn shunt_counters(&self) -> [Counter; 2] {
        [
            (
                "shunted_flows",
                "Flows of stopped connections that the programs leave alone (gauge; those that ended go within 10 s).",
                self.shunted as u64,
            ),
            (
                "shunts_refused",
                "Stopped connections whose packets are captured and dropped, since as many flows as there can be are shunted.",
                self.shunts_refused,
            ),
        ]
    }

    fn attached(&mut self) -> impl Iterator<Item = &mut Attached> {
        self.interfaces
            .iter_mut()
            .filter_map(|watched| watched.attached.as_mut())
    }
}

/// Nothing is lost: the packets of a stopped connection come on, and its worker drops them.
fn say(error: &BpfError) {
    warn!("cannot change which flows are shunted: {error}");
}
