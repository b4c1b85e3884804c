//! Live capture: workers, and a supervisor that keeps interfaces attached while they are created and deleted.

mod attach;
mod backoff;
mod devices;
mod requests;
mod shared;
mod shunts;
mod silence;
mod state;
mod supervisor;
mod totals;

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::capture::netlink::Changes;
use crate::capture::{self, CaptureError, Settings};
use crate::config::{ApplyFn, Config, Origin};
use crate::control::{CommandQueues, Engine};
use crate::status::CaptureStatus;
use crate::util::notifier::Notifier;
use crate::worker::{IdlePolicy, Shunts, SpawnError, Worker, WorkerHandle, WorkerThreads};
use requests::Requests;
use shared::{LiveStatus, Shared};
use state::State;
use supervisor::Supervisor;

/// A running live capture.
pub struct Live {
    /// Its worker threads.
    pub threads: WorkerThreads,
    shared: Arc<Shared>,
    supervisor: thread::JoinHandle<()>,
    stop: Arc<Notifier>,
}

/// Privileges of the process for a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// Text about those that XDP lacks.
    pub xdp_missing: Option<String>,
    /// True if BPF programs can be loaded.
    pub bpf: bool,
}

/// Reason that a capture does not start.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Failure of an interface, or of a part that all of them need.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Failure of a worker's thread.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Failure of the supervisor.
    #[error("cannot start watching the interfaces")]
    Supervisor(#[source] io::Error),
}

impl Live {
    /// Starts workers and attaches all interfaces. If one cannot be attached, everything is undone.
    pub fn start(
        config: &Config,
        seed: [u64; 2],
        engines: Vec<Engine>,
        command_queues: &CommandQueues,
        cores: &[usize],
        privileges: Privileges,
    ) -> Result<Self, LiveError> {
        if privileges.bpf {
            capture::bpf::available().map_err(CaptureError::from)?;
        }
        let workers = engines.len() as u16;
        let handles: Arc<[_]> = command_queues
            .iter()
            .map(|command_queue| WorkerHandle::new(Arc::clone(command_queue)))
            .collect();
        let shunts = Arc::new(Shunts::new().map_err(LiveError::Supervisor)?);
        let shared = Arc::new(Shared {
            settings: Mutex::new(Arc::new(Settings::new(config, seed, workers))),
            requests: Requests::new().map_err(LiveError::Supervisor)?,
            mode: config.capture.mode,
            path: config.capture.path,
            xdp_missing: privileges.xdp_missing,
            bpf: privileges.bpf,
            fallback: Mutex::default(),
            frames: u32::try_from(config.capture.buffers / capture::xsk::FRAME_BYTES)
                .unwrap_or(u32::MAX),
            memory: config.capture.buffers,
            handles: Arc::clone(&handles),
            shunts: Arc::clone(&shunts),
            state: Mutex::new(State::new(&config.capture.interfaces)),
        });
        let changes = Changes::new().map_err(LiveError::Supervisor)?;
        let stop = Arc::new(Notifier::new().map_err(LiveError::Supervisor)?);
        let supervisor = Supervisor::new(Arc::clone(&shared), changes, Arc::clone(&stop));
        let bodies = engines.into_iter().enumerate().map(|(index, engine)| {
            let worker = Worker::new(
                engine,
                index,
                Arc::clone(&handles),
                Arc::clone(&shunts),
                IdlePolicy::of(&config.capture),
            );
            move || worker.run()
        });
        let cores = if config.pins(Origin::Live) {
            cores
        } else {
            &[]
        };
        let threads = WorkerThreads::start(bodies.collect(), cores, config.capture.nice)?;
        if let Err(error) = supervisor.attach_all() {
            shared.stop_workers();
            threads.join();
            return Err(error.into());
        }
        let thread = thread::Builder::new()
            .name("interfaces".into())
            .spawn(move || supervisor.run());
        let supervisor = thread.map_err(LiveError::Supervisor)?;
        Ok(Self {
            threads,
            shared,
            supervisor,
            stop,
        })
    }

    /// Returns the source of its part of `stats`.
    #[must_use]
    pub fn status(&self) -> Arc<dyn CaptureStatus> {
        Arc::new(LiveStatus(Arc::clone(&self.shared)))
    }

    /// Returns a callback that applies changed settings of `[filter]` and `[tcp]`: by `workers` to the workers,
    /// then to the BPF programs.
    #[must_use]
    pub fn apply_after(&self, workers: ApplyFn) -> ApplyFn {
        let shared = Arc::clone(&self.shared);
        Box::new(move |config| {
            workers(config);
            shared.update_filter(config);
        })
    }

    /// Detaches the programs, then ends the workers. Captured data stays readable through the engines' readers.
    pub fn stop(self) {
        self.stop.notify();
        // A panic of the supervisor was printed when it happened.
        let _ = self.supervisor.join();
        self.shared.stop_workers();
        self.threads.join();
    }
}
