//! Worker threads: started, pinned to a core where that is configured, and joined.

use std::io;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::sync::mpsc;
use tracing::warn;

use crate::util::capabilities;

/// The threads of all workers.
pub struct WorkerThreads {
    threads: Vec<thread::JoinHandle<()>>,
    exits: mpsc::UnboundedReceiver<WorkerExit>,
}

/// End of a worker's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerExit {
    /// Index of the worker.
    pub worker: usize,
    /// True after a panic, which is a fault of the program.
    pub panicked: bool,
}

/// Refusal of the system to start a thread.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the thread of worker {worker}")]
pub struct SpawnError {
    worker: usize,
    source: io::Error,
}

/// Returns the cores that this process may run on.
#[must_use]
pub fn cores() -> Vec<usize> {
    // Fails in sandboxes that forbid the call: then one core is assumed.
    let allowed = sched_getaffinity(None).unwrap_or_else(|_| {
        let mut first = CpuSet::new();
        first.set(0);
        first
    });
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect()
}

impl WorkerThreads {
    /// Runs each body on a thread at priority `nice`. The threads are pinned to `cores` in turn; with an empty list the
    /// kernel places them.
    pub fn start<F>(bodies: Vec<F>, cores: &[usize], nice: i8) -> Result<Self, SpawnError>
    where
        F: FnOnce() + Send + 'static,
    {
        let (report, exits) = mpsc::unbounded_channel();
        let mut threads = Vec::with_capacity(bodies.len());
        for (worker, body) in bodies.into_iter().enumerate() {
            let core = cores.get(worker % cores.len().max(1)).copied();
            let report = report.clone();
            let thread = thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || {
                    let _guard = ExitGuard { worker, report };
                    configure(worker, core, nice);
                    body();
                });
            threads.push(thread.map_err(|source| SpawnError { worker, source })?);
        }
        Ok(Self { threads, exits })
    }

    /// Waits for the next thread to end; `None` when all have ended. Cancel safe.
    pub fn next_exit(&mut self) -> impl Future<Output = Option<WorkerExit>> + '_ {
        self.exits.recv()
    }

    /// Joins all threads. The caller has sent each of them the command to stop.
    pub fn join(self) {
        for thread in self.threads {
            // A panic was printed and reported by `next_exit` when it happened.
            let _ = thread.join();
        }
    }
}

/// Pins the calling thread, sets its priority, then gives up its capabilities. A failure of the first two costs
/// performance only, so that it is a warning.
fn configure(worker: usize, core: Option<usize>, nice: i8) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        if let Err(error) = sched_setaffinity(None, &set) {
            warn!("cannot pin worker {worker} to core {core}: {error}");
        }
    }
    // On Linux this sets the priority of the thread, not of the process.
    if nice != 0
        && let Err(error) = rustix::process::setpriority_process(None, nice.into())
    {
        warn!(
            "cannot set worker {worker} to priority {nice}: {error} ([capture] nice; needs CAP_SYS_NICE)"
        );
    }
    capabilities::drop_all();
}

/// Reports the end of its thread, by return or by panic.
struct ExitGuard {
    worker: usize,
    report: mpsc::UnboundedSender<WorkerExit>,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        // The receiver is gone while the daemon stops.
        let _ = self.report.send(WorkerExit {
            worker: self.worker,
            panicked: thread::panicking(),
        });
    }
}
