//! A live capture: workers, and a supervisor that keeps the interfaces attached while they come and go.

mod devices;
mod shunts;
mod state;
mod supervisor;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use tracing::{error, warn};

use crate::capture::netlink::Changes;
use crate::capture::xsk::RxSocket;
use crate::capture::{self, CaptureError, Settings};
use crate::config::{Config, Mode, Origin, Take};
use crate::control::{Command, Engine, Mailboxes};
use crate::status::{CaptureSnapshot, CaptureStatus};
use crate::worker::{Crew, Patience, Place, Shunts, SpawnError, Worker};
use state::State;
use supervisor::Supervisor;

/// A live capture at work.
pub struct Live {
    /// Its threads.
    pub crew: Crew,
    shared: Arc<Shared>,
    supervisor: thread::JoinHandle<()>,
    stop: OwnedFd,
}

/// Why a capture does not start.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// An interface, or something that all of them need.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A worker's thread.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The supervisor.
    #[error("cannot start watching the interfaces: {0}")]
    Supervisor(#[source] io::Error),
}

/// What supervisor, status and stop have in common. Workers know their places of it, nothing else.
struct Shared {
    settings: Mutex<Arc<Settings>>,
    /// Held while interfaces are attached, and while it changes how.
    attaching: Mutex<()>,
    mode: Mode,
    verify_checksums: bool,
    /// Packet buffers for everything together.
    frames: u32,
    places: Arc<[Place<RxSocket>]>,
    /// What the workers would have the programs leave alone.
    shunts: Arc<Shunts>,
    /// Held for as long as it takes to read or note something, never while an interface is opened.
    state: Mutex<State>,
}

/// Has all stores touched, at once.
fn prefault(engines: &[Engine]) {
    thread::scope(|scope| {
        for engine in engines {
            scope.spawn(|| {
                if let Err(error) = engine.prefault() {
                    warn!("cannot touch the store beforehand: {error}; bursts may lose packets");
                }
            });
        }
    });
}

impl Live {
    /// Starts workers and attaches all interfaces; if one cannot be attached, nothing is left behind.
    pub fn start(
        config: &Config,
        seed: [u64; 2],
        engines: Vec<Engine>,
        mailboxes: &Mailboxes,
        cores: &[usize],
    ) -> Result<Self, LiveError> {
        capture::supported()?;
        if config.store.prefault {
            prefault(&engines);
        }
        let workers = engines.len() as u16;
        let places: Arc<[_]> = mailboxes
            .iter()
            .map(|mailbox| Place::new(Arc::clone(mailbox)))
            .collect();
        let shunts = Arc::new(Shunts::new().map_err(LiveError::Supervisor)?);
        let shared = Arc::new(Shared {
            settings: Mutex::new(Arc::new(Settings::new(config, seed, workers))),
            attaching: Mutex::new(()),
            mode: config.capture.mode,
            verify_checksums: config
                .engine(Origin::Live, 0, workers, seed)
                .tcp
                .verify_checksums,
            frames: u32::try_from(config.capture.buffers / capture::xsk::FRAME_BYTES)
                .unwrap_or(u32::MAX),
            places: Arc::clone(&places),
            shunts: Arc::clone(&shunts),
            state: Mutex::new(State::new(&config.capture.interfaces)),
        });
        let changes = Changes::new().map_err(LiveError::Supervisor)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC)
            .map_err(|errno| LiveError::Supervisor(errno.into()))?;
        let stop = bell.try_clone().map_err(LiveError::Supervisor)?;
        let supervisor = Supervisor::new(Arc::clone(&shared), changes, bell);
        let bodies = engines.into_iter().enumerate().map(|(index, engine)| {
            let worker = Worker::new(
                engine,
                index,
                Arc::clone(&places),
                Arc::clone(&shunts),
                Patience::of(&config.capture),
            );
            move || worker.run()
        });
        let cores = if config.pins(Origin::Live) {
            cores
        } else {
            &[]
        };
        let crew = Crew::start(bodies.collect(), cores, config.capture.nice)?;
        if let Err(error) = supervisor.attach_all() {
            shared.stop_workers();
            crew.join();
            return Err(error.into());
        }
        let thread = thread::Builder::new()
            .name("interfaces".into())
            .spawn(move || supervisor.run());
        let supervisor = thread.map_err(LiveError::Supervisor)?;
        Ok(Self {
            crew,
            shared,
            supervisor,
            stop,
        })
    }

    /// What `stats` shows of it.
    #[must_use]
    pub fn status(&self) -> Arc<dyn CaptureStatus> {
        Arc::clone(&self.shared) as Arc<dyn CaptureStatus>
    }

    /// Returns a callback that applies changed settings of `[filter]`, `[ip]` and `[tcp]`: by `workers` to the workers,
    /// then to the BPF programs.
    #[must_use]
    pub fn apply_after(&self, workers: Take) -> Take {
        let shared = Arc::clone(&self.shared);
        Box::new(move |config| {
            workers(config);
            shared.refilter(config);
        })
    }

    /// Detaches the programs, then ends the workers. What was captured stays readable until the engines' readers go.
    pub fn stop(self) {
        // Cannot fail: nobody else writes to it.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        // A panic of the supervisor was printed when it happened, and there is nothing left to stop in it.
        let _ = self.supervisor.join();
        self.shared.state().detach_all();
        self.shared.stop_workers();
        self.crew.join();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Poisoned by a panic: the numbers are still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn attaching(&self) -> MutexGuard<'_, ()> {
        self.attaching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes another `[filter]`, after the workers did: what the programs let through now finds engines that want it.
    fn refilter(&self, config: &Config) {
        let Settings { seed, workers, .. } = *self.settings();
        // What is attached meanwhile is attached under the new settings, what is attached already gets them below.
        let _not_meanwhile = self.attaching();
        let settings = Arc::new(Settings::new(config, seed, workers));
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&settings);
        if let Err(error) = self.state().set_rules(&settings.rules()) {
            error!(
                "the new filter is not in all programs: {error}; restart monitord to have it everywhere"
            );
        }
    }

    fn stop_workers(&self) {
        self.places
            .iter()
            .for_each(|place| place.mailbox().send(Command::Stop));
    }
}

impl CaptureStatus for Shared {
    fn snapshot(&self) -> CaptureSnapshot {
        let lost_handoffs = self.places.iter().map(|place| place.mailbox().lost()).sum();
        let mut snapshot = self.state().snapshot(lost_handoffs);
        snapshot.mode = self.mode.name();
        snapshot.workers = self.settings().workers;
        snapshot
    }
}
