//! The daemon as a process: command line, logging, signals, ordered start and stop.

pub mod cli;
mod descriptors;
mod error;
mod listen;
mod log;
mod prefault;
pub mod privilege;
mod running;
pub mod sandbox;
mod settings;
mod summary;
mod watchdog;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use monitor_engine::{Counters, Reader};
use tokio::sync::mpsc;

use crate::capture::replay::{Options, Replay};
use crate::config::{Config, LiveConfig, MAX_WORKERS, Origin};
use crate::control::{CommandQueues, Engine};
use crate::live::Live;
use crate::rpc;
use crate::status::{CaptureStatus, Status};
use crate::worker::{self, ReplayWorker, WorkerThreads, cores};
use cli::{Cli, Command};
pub use error::ServiceError;
use running::{Host, Running};
use sandbox::Sandbox;

/// Runs the daemon as the command line demands; returns after its ordered end.
pub fn run(cli: &Cli) -> Result<(), ServiceError> {
    let source = cli.common.source();
    let config = source.read()?;
    config.check_memory()?;
    if cli.check_config {
        rpc::check(&config.rpc)?;
        return summary::print("the configuration is good");
    }
    let log = log::start(&config.log.level);
    descriptors::raise_limit();
    let current = LiveConfig::new(source, config.clone()).with_log(log);
    match &cli.command {
        None => capture(&config, current, cli.common.sandbox),
        Some(Command::Replay(replay)) => self::replay(&config, current, replay, cli.common.sandbox),
    }
}

/// Captures from interfaces and serves, until a signal.
fn capture(config: &Config, current: LiveConfig, sandbox: Sandbox) -> Result<(), ServiceError> {
    let privileges = privilege::check(config.capture.path)?;
    enter(sandbox, config, &current, &[])?;
    let host = Host::new()?;
    let listener = listen::socket(config.rpc.clone())?;
    let Parts {
        mut engines,
        views,
        cores,
        seed,
    } = Parts::new(
        config,
        Origin::Live,
        (!privileges.bpf).then_some("distributing packets to several needs CAP_BPF"),
    )?;
    prefault::prefault(&mut engines);
    let live = Live::start(
        config,
        seed,
        engines,
        &views.command_queues,
        &cores,
        privileges,
    )?;
    let workers = settings::to_workers(views.command_queues.clone(), Origin::Live, seed);
    let flows = live.apply_after(workers);
    let status = views.with(live.status(), current.with_flows(flows));
    host.serve(listener, status, Running::Live(live), false)
        .map(|_| ())
}

/// Reads captures and serves, until a signal or, if asked for, their end.
fn replay(
    config: &Config,
    current: LiveConfig,
    asked: &cli::Replay,
    sandbox: Sandbox,
) -> Result<(), ServiceError> {
    let Parts {
        engines,
        views,
        cores,
        seed,
    } = Parts::new(
        config,
        Origin::Files,
        Replay::has_stream(&asked.files).then_some("a stream can be read once"),
    )?;
    let options = Options {
        workers: engines.len() as u16,
        speed: asked.speed,
    };
    let files = Replay::open(&asked.files, options)?;
    enter(sandbox, config, &current, &asked.files)?;
    let host = Host::new()?;
    let listener = listen::socket(config.rpc.clone())?;
    let flows = settings::to_workers(views.command_queues.clone(), Origin::Files, seed);
    let status = views.with(files.status(), current.with_flows(flows));
    let (done, read) = mpsc::unbounded_channel();
    let reading = engines.len();
    let workers = (0..).zip(engines).zip(status.command_queues.iter());
    let bodies = workers.map(|((index, engine), command_queue)| {
        let worker = ReplayWorker::new(engine, index, Arc::clone(command_queue));
        let (files, done) = (files.clone(), done.clone());
        move || {
            worker.run(&files, |result| {
                // The receiver is gone when the daemon stops.
                let _ = done.send(result);
            });
        }
    });
    let bodies: Vec<_> = bodies.collect();
    let started = Instant::now();
    let cores = if config.pins(Origin::Files) {
        &cores[..]
    } else {
        &[]
    };
    let threads = WorkerThreads::start(bodies, cores, 0)?;
    let running = Running::Replay {
        threads,
        command_queues: status.command_queues.clone(),
        read,
        reading,
    };
    let ended = host.serve(listener, status.clone(), running, asked.exit)?;
    if asked.exit {
        summary::print(&summary::of(&status, ended - started)?)
    } else {
        Ok(())
    }
}

/// Restricts the process to the files that it needs: those of `read`, the directory of the settings, and that of the
/// socket. Before the threads of [`Host`] start, which must have the restrictions, and before the socket is there, since a
/// client may send a signal once it is.
fn enter(
    sandbox: Sandbox,
    config: &Config,
    current: &LiveConfig,
    read: &[PathBuf],
) -> Result<(), ServiceError> {
    // The directory: an editor replaces the file.
    let settings = current.source().file().and_then(Path::parent);
    let read = read.iter().map(PathBuf::as_path).chain(settings);
    let read: Vec<_> = read.map(Path::to_owned).collect();
    // Absolute: a path of one word has no parent.
    let socket = std::path::absolute(&config.rpc.socket).unwrap_or_default();
    if let Some(directory) = socket.parent() {
        // An error is reported when the socket is bound.
        let _ = DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory);
    }
    Ok(sandbox::enter(sandbox, &read, socket.parent())?)
}

/// Parts that a capture starts from.
struct Parts {
    engines: Vec<Engine>,
    views: Views,
    cores: Vec<usize>,
    seed: [u64; 2],
}

/// Views of the engines for other threads, once the engines have moved to theirs.
struct Views {
    readers: Vec<Reader>,
    counters: Vec<Arc<Counters>>,
    command_queues: CommandQueues,
}

impl Parts {
    /// `single`: reason that packets cannot be distributed to several workers.
    fn new(
        config: &Config,
        origin: Origin,
        single: Option<&'static str>,
    ) -> Result<Self, ServiceError> {
        let cores = cores();
        let workers = match (config.capture.workers, single) {
            // Every worker reads the whole file: a single one uses the processor best, and gives the same order each time.
            (0, _) if origin == Origin::Files => 1,
            (1, _) => 1,
            (_, Some(reason)) => {
                tracing::info!("one worker: {reason}");
                1
            }
            (0, None) => (cores.len() as u16).clamp(1, MAX_WORKERS),
            (asked, None) => asked,
        };
        // Random at every start: no sender can learn to direct all flows to one worker.
        let seed = [random()?, random()?];
        // A number that JSON readers hold exactly (RFC 8259, 6).
        let instance = random()? >> 11;
        let engines = worker::engines(config, origin, workers, seed, instance)?;
        let readers = engines.iter().map(Engine::reader).collect();
        let counters = engines.iter().map(Engine::counters).collect();
        let command_queues = CommandQueues::new(workers)?;
        Ok(Self {
            engines,
            views: Views {
                readers,
                counters,
                command_queues,
            },
            cores,
            seed,
        })
    }
}

impl Views {
    fn with(self, capture: Arc<dyn CaptureStatus>, settings: LiveConfig) -> Status {
        let Self {
            readers,
            counters,
            command_queues,
        } = self;
        Status {
            readers,
            engines: counters,
            command_queues,
            capture,
            settings: Arc::new(settings),
        }
    }
}

fn random() -> Result<u64, ServiceError> {
    getrandom::u64().map_err(ServiceError::Random)
}
