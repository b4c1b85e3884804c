//! Service while a capture runs, and the ordered stop of both.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::info;

use super::{ServiceError, watchdog};
use crate::capture::replay::ReplayError;
use crate::control::{Command, CommandQueues};
use crate::live::Live;
use crate::rpc::{self, ServerSocket};
use crate::status::Status;
use crate::util::{capabilities, systemd};
use crate::worker::{WorkerExit, WorkerThreads};

/// Threads for the clients. They copy bytes out of the store, for a few clients at once; workers have their own.
const SERVER_THREADS: usize = 2;
/// Exit status after SIGINT (128 + 2).
const IMPATIENT: i32 = 130;

/// Running capture.
pub(super) enum Running {
    /// Capture from interfaces, which runs until it is stopped.
    Live(Live),
    /// Replay of captures. Its threads exist after the end of the captures, too.
    Replay {
        /// Its threads.
        threads: WorkerThreads,
        /// Command queues, for the stop.
        command_queues: CommandQueues,
        /// A message from each worker that has read everything, or found that its stream is no capture.
        read: mpsc::UnboundedReceiver<Result<(), ReplayError>>,
        /// Number of workers that are still reading.
        reading: usize,
    },
}

impl Running {
    /// Waits for the end of a thread, or of all files. Cancel safe.
    async fn news(&mut self) -> News {
        match self {
            Self::Live(live) => News::Exit(live.threads.next_exit().await),
            Self::Replay {
                threads,
                read,
                reading,
                ..
            } => loop {
                tokio::select! {
                    ended = threads.next_exit() => return News::Exit(ended),
                    Some(result) = read.recv(), if *reading > 0 => {
                        *reading -= 1;
                        if let Err(error) = result {
                            return News::Refused(error);
                        }
                        if *reading == 0 {
                            return News::Read;
                        }
                    }
                }
            },
        }
    }

    fn stop(self) {
        match self {
            Self::Live(live) => live.stop(),
            Self::Replay {
                threads,
                command_queues,
                ..
            } => {
                command_queues
                    .iter()
                    .for_each(|command_queue| command_queue.send(Command::Stop));
                threads.join();
            }
        }
    }
}

/// Event of a capture that no client caused.
enum News {
    /// A thread ended; `None`: none is left.
    Exit(Option<WorkerExit>),
    /// All files are read.
    Read,
    /// A stream is no capture.
    Refused(ReplayError),
}

/// Threads of the server, and the signals that end it.
pub(super) struct Host {
    runtime: Runtime,
    signals: Signals,
    /// Requests a reload of the settings.
    hangup: Signal,
}

/// Signals that end the daemon.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Host {
    /// Creates the host, before anything that must be undone: from here on a signal waits for [`Host::serve`].
    pub(super) fn new() -> Result<Self, ServiceError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVER_THREADS)
            .thread_name("server")
            .on_thread_start(capabilities::drop_all)
            .enable_all()
            .build()
            .map_err(ServiceError::Runtime)?;
        let inside = runtime.enter();
        let catch = |kind| signal(kind).map_err(ServiceError::Runtime);
        let signals = Signals {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        };
        let hangup = catch(SignalKind::hangup())?;
        drop(inside);
        Ok(Self {
            runtime,
            signals,
            hangup,
        })
    }

    /// Serves until a signal, a fault, or, when `exit` says so, the end of the capture; then detaches the programs,
    /// ends the workers, closes the sockets and removes the socket file. Returns when the end came.
    pub(super) fn serve(
        self,
        listener: ServerSocket,
        status: Status,
        mut running: Running,
        exit: bool,
    ) -> Result<Instant, ServiceError> {
        let Self {
            runtime,
            signals,
            mut hangup,
        } = self;
        let settings = Arc::clone(&status.settings);
        runtime.spawn(async move {
            while hangup.recv().await.is_some() {
                info!("SIGHUP: reading the settings again");
                settings.request_reload();
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let (pulse, questions) = mpsc::channel(1);
        let reports = status.clone();
        let mut server = runtime.spawn(rpc::serve(listener, status, shutdown(stopped, questions)));
        capabilities::drop_all();
        systemd::ready();
        if systemd::is_enabled() {
            runtime.spawn(watchdog::run(reports, pulse));
        }
        let end = end(&mut running, &mut server, signals, exit);
        let result = runtime.block_on(end);
        let ended = Instant::now();
        systemd::stopping();
        running.stop();
        // Fails when the server has ended already.
        let _ = stop.send(());
        let stopped = if server.is_finished() {
            Ok(())
        } else {
            runtime.block_on(outcome(server))
        };
        // Replies that a client has not read by now are dropped.
        runtime.shutdown_background();
        result.and(stopped).map(|()| ended)
    }
}

/// Completes when the server must stop. The server's task polls it, so that the task answers the watchdog's questions.
async fn shutdown(
    mut stopped: oneshot::Receiver<()>,
    mut questions: mpsc::Receiver<oneshot::Sender<()>>,
) {
    loop {
        tokio::select! {
            // An error means that the other end is gone: time to stop as well.
            _ = &mut stopped => return,
            Some(answer) = questions.recv() => {
                // The watchdog may have ended.
                let _ = answer.send(());
            }
        }
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

/// Waits for the reason to end.
async fn end(
    running: &mut Running,
    server: &mut JoinHandle<io::Result<()>>,
    mut signals: Signals,
    exit: bool,
) -> Result<(), ServiceError> {
    loop {
        tokio::select! {
            name = signals.first() => {
                info!("{name}: stopping");
                tokio::spawn(async move {
                    signals.first().await;
                    std::process::exit(IMPATIENT);
                });
                return Ok(());
            }
            // It only ends by itself when something is wrong.
            result = outcome(&mut *server) => return result,
            news = running.news() => match news {
                // Workers run until the stop command.
                News::Exit(ended) => {
                    return Err(ServiceError::Worker { worker: ended.map_or(0, |ended| ended.worker) });
                }
                News::Refused(error) => return Err(error.into()),
                News::Read if exit => return Ok(()),
                News::Read => info!("all files are read; serving what was in them until stopped"),
            },
        }
    }
}

impl Signals {
    /// Returns the name of the first signal to stop.
    async fn first(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
