//! Shunted flows of all interfaces: flows that the BPF programs skip.
//!
//! Each interface has its own table. An interface that is attached later starts with an empty one, and the workers ask
//! again for flows that still send packets. Copying the other tables would bring back flows that a SYN removed.

use std::time::Duration;

use monitor_engine::Shunt;
use tracing::warn;

use super::devices::CaptureDevice;
use super::state::State;
use crate::capture::bpf::{BpfError, Counter, Shunts};
use crate::util::chain::Chain;

impl State {
    /// Executes the workers' requests. A shunted flow expires after it was quiet for `timeout`.
    pub(super) fn apply_shunts(&mut self, shunts: impl Iterator<Item = Shunt>, timeout: Duration) {
        for shunt in shunts {
            match shunt {
                Shunt::Start(flow) => {
                    let (mut added, mut full) = (false, false);
                    for mut table in self.tables() {
                        match table.add(&flow, timeout) {
                            Ok(new) => added |= new,
                            Err(BpfError::TooManyShunts) => full = true,
                            Err(error) => warn_unchanged(&error),
                        }
                    }
                    self.shunted += usize::from(added);
                    self.shunts_refused += u64::from(full);
                }
                Shunt::End(flow) => {
                    for mut table in self.tables() {
                        if let Err(error) = table.remove(&flow) {
                            warn_unchanged(&error);
                        }
                    }
                }
            }
        }
    }

    /// Removes the flows that were quiet for longer than `timeout`, and counts the others.
    pub(super) fn sweep_shunts(&mut self, timeout: Duration) {
        if self.shunted == 0 {
            return;
        }
        let mut left = 0;
        for mut table in self.tables() {
            match table.sweep(timeout) {
                // A flow may pass several interfaces: the largest table counts.
                Ok(flows) => left = left.max(flows),
                Err(error) => warn_unchanged(&error),
            }
        }
        self.shunted = left;
    }

    pub(super) fn shunt_counters(&self) -> [Counter; 2] {
        [
            (
                "shunted_flows",
                "Flows of stopped connections that the programs skip (gauge; ended ones are removed within 10 s).",
                self.shunted as u64,
            ),
            (
                "shunts_refused",
                "Stopped connections whose packets are captured and dropped, because the table of shunted flows is full.",
                self.shunts_refused,
            ),
        ]
    }

    /// Returns the tables of all programs that have one.
    fn tables(&mut self) -> impl Iterator<Item = Shunts<'_>> {
        let own = self
            .interfaces
            .iter_mut()
            .filter_map(|interface| interface.attached.as_mut()?.shunts());
        let shared = self.shared.iter_mut().filter_map(CaptureDevice::shunts);
        own.chain(shared)
    }
}

/// Warns of a failed change. It costs time only: the worker drops the packets of the stopped connection.
fn warn_unchanged(error: &BpfError) {
    warn!("cannot change which flows are shunted: {}", Chain(error));
}
