//! From the first request to the last: serving while a capture runs, and stopping both in order.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};
use tracing::info;

use super::{ServiceError, live::Live};
use crate::{
    rpc::{self, Listener},
    status::Status,
    worker::{Crew, Ended},
};

/// Threads for the clients. They copy bytes out of the store, for a few clients at once; workers have their own.
const SERVER_THREADS: usize = 2;
/// What a shell makes of death by SIGINT.
const IMPATIENT: i32 = 130;

/// A capture at work.
pub(super) enum Running {
    /// From interfaces: runs until it is stopped.
    Live(Live),
    /// From files: its threads end by themselves.
    Replay {
        /// Its threads.
        crew: Crew,
        /// Ends them early.
        stop: Arc<AtomicBool>,
    },
}

impl Running {
    fn crew(&mut self) -> &mut Crew {
        match self {
            Self::Live(live) => &mut live.crew,
            Self::Replay { crew, .. } => crew,
        }
    }

    fn stop(self) {
        match self {
            Self::Live(live) => live.stop(),
            Self::Replay { crew, stop } => {
                stop.store(true, Ordering::Relaxed);
                crew.join();
            }
        }
    }
}

/// Serves until a signal, a fault, or, when `exit` says so, the end of the capture; then detaches the programs, ends
/// the workers, closes the sockets and removes the socket file. Returns when the end came.
pub(super) fn serve(
    listener: Listener,
    status: Status,
    mut running: Running,
    exit: bool,
) -> Result<Instant, ServiceError> {
    let started = Server::start(listener, status);
    let result = started.map(|mut server| {
        let result = server.runtime.block_on(end(&mut running, &mut server.task, exit));
        (server, result)
    });
    let ended = Instant::now();
    running.stop();
    let (server, result) = result?;
    result.and(server.stop())?;
    Ok(ended)
}

/// The server on threads of its own.
struct Server {
    runtime: Runtime,
    task: JoinHandle<io::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Server {
    fn start(listener: Listener, status: Status) -> Result<Self, ServiceError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVER_THREADS)
            .thread_name("server")
            .enable_all()
            .build()
            .map_err(ServiceError::Runtime)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = runtime.spawn(rpc::serve(listener, status, async {
            // An error means that nobody can ask any more: time to stop as well.
            let _ = stopped.await;
        }));
        Ok(Self { runtime, task, stop })
    }

    fn stop(self) -> Result<(), ServiceError> {
        let Self { runtime, task, stop } = self;
        // Fails when it has ended already.
        let _ = stop.send(());
        let result = if task.is_finished() { Ok(()) } else { runtime.block_on(outcome(task)) };
        // Replies that a client does not read have had their time.
        runtime.shutdown_background();
        result
    }
}

async fn outcome(
    task: impl Future<Output = Result<io::Result<()>, tokio::task::JoinError>>,
) -> Result<(), ServiceError> {
    match task.await {
        Ok(result) => result.map_err(ServiceError::Server),
        Err(fault) => Err(ServiceError::Server(io::Error::other(fault))),
    }
}

/// Waits for what ends the daemon.
async fn end(
    running: &mut Running,
    server: &mut JoinHandle<io::Result<()>>,
    exit: bool,
) -> Result<(), ServiceError> {
    let signals = || Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let (mut interrupt, mut terminate) = signals().map_err(ServiceError::Runtime)?;
    let live = matches!(running, Running::Live(_));
    let mut at_work = true;
    loop {
        tokio::select! {
            name = either(&mut interrupt, &mut terminate) => {
                info!("{name}: stopping");
                tokio::spawn(async move {
                    either(&mut interrupt, &mut terminate).await;
                    std::process::exit(IMPATIENT);
                });
                return Ok(());
            }
            // It only ends by itself when something is wrong.
            result = outcome(&mut *server) => return result,
            ended = running.crew().ended(), if at_work => match ended {
                Some(Ended { worker, panicked }) if panicked || live => {
                    return Err(ServiceError::Worker { worker });
                }
                Some(_) => {}
                None if exit => return Ok(()),
                None => {
                    at_work = false;
                    info!("all files are read; serving what was in them until stopped");
                }
            },
        }
    }
}

/// The name of the signal that comes first.
async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
