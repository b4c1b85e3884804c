//! Processor time of a worker's thread, for `stats`.

use rustix::time::{ClockId, clock_gettime};

use crate::control::Engine;

/// Time between samples, in nanoseconds. Reading the clock of a thread is a system call (200 ns), too much for each batch.
const PERIOD_NS: u64 = 100_000_000;

/// Time of the latest sample, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct CpuTime(u64);

impl CpuTime {
    /// Publishes the processor time of the calling thread, once in a period.
    pub(super) fn sample(&mut self, time: u64, engine: &Engine) {
        if time.saturating_sub(self.0) >= PERIOD_NS {
            self.0 = time;
            let used = clock_gettime(ClockId::ThreadCPUTime);
            let used_ns = used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64;
            engine.counters().cpu_ns.set(used_ns);
        }
    }
}
