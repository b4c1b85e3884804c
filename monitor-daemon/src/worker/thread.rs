//! Threads, each on a core of its own or where there is room.

use std::io;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::sync::mpsc;
use tracing::warn;

/// The threads of all workers.
pub struct Crew {
    threads: Vec<thread::JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

/// A worker's thread is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub worker: usize,
    /// It did not come to its end: a fault of the program.
    pub panicked: bool,
}

/// The system refused a thread.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the thread of worker {worker}: {source}")]
pub struct SpawnError {
    worker: usize,
    source: io::Error,
}

/// The cores that this process may run on.
#[must_use]
pub fn cores() -> Vec<usize> {
    // Fails in sandboxes that forbid the call: then there is one core, as far as we know.
    let allowed = sched_getaffinity(None).unwrap_or_else(|_| {
        let mut first = CpuSet::new();
        first.set(0);
        first
    });
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect()
}

impl Crew {
    /// Runs each body on a thread at priority `nice`, the first on the first of `cores` and so on, around and around;
    /// without `cores`, wherever the kernel likes.
    pub fn start<F>(bodies: Vec<F>, cores: &[usize], nice: i8) -> Result<Self, SpawnError>
    where
        F: FnOnce() + Send + 'static,
    {
        let (report, ended) = mpsc::unbounded_channel();
        let mut threads = Vec::with_capacity(bodies.len());
        for (worker, body) in bodies.into_iter().enumerate() {
            let core = cores.get(worker % cores.len().max(1)).copied();
            let report = report.clone();
            let thread = thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || {
                    let _report = Report { worker, to: report };
                    settle(worker, core, nice);
                    body();
                });
            threads.push(thread.map_err(|source| SpawnError { worker, source })?);
        }
        Ok(Self { threads, ended })
    }

    /// The next thread that ends; `None` when all have. Can be dropped and called again.
    pub fn ended(&mut self) -> impl Future<Output = Option<Ended>> + '_ {
        self.ended.recv()
    }

    /// Waits until all threads are over; they have been told to end.
    pub fn join(self) {
        for thread in self.threads {
            // A panic was reported through `ended`, and printed, when it happened.
            let _ = thread.join();
        }
    }
}

/// Pins the calling thread and sets its priority. Works without, only less well: a warning is enough.
fn settle(worker: usize, core: Option<usize>, nice: i8) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        if let Err(error) = sched_setaffinity(None, &set) {
            warn!("cannot pin worker {worker} to core {core}: {error}");
        }
    }
    // On Linux this sets the thread's priority, not the process's.
    if nice != 0
        && let Err(error) = rustix::process::setpriority_process(None, nice.into())
    {
        warn!(
            "cannot give worker {worker} the priority {nice}: {error} ([capture] nice; needs CAP_SYS_NICE)"
        );
    }
}

/// Reports the end of its thread, however it ends.
struct Report {
    worker: usize,
    to: mpsc::UnboundedSender<Ended>,
}

impl Drop for Report {
    fn drop(&mut self) {
        // Nobody listens any more while the daemon stops.
        let _ = self.to.send(Ended {
            worker: self.worker,
            panicked: thread::panicking(),
        });
    }
}
