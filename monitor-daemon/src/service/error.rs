//! Reasons that the daemon doesn't start, or ended.

use std::io;

use monitor_engine::EngineError;

use super::privilege::MissingPrivilege;
use super::sandbox::SandboxError;
use crate::capture::replay::ReplayError;
use crate::config::{ConfigError, TooMuchMemory};
use crate::control::CommandQueueError;
use crate::live::LiveError;
use crate::rpc::{AccessError, ListenError};
use crate::worker::SpawnError;

/// Each is a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The memory.
    #[error(transparent)]
    Memory(#[from] TooMuchMemory),
    /// The privileges.
    #[error(transparent)]
    Privilege(#[from] MissingPrivilege),
    /// The users that the settings name.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The Unix socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The restrictions of the process.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// An engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The interfaces.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The files.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A worker's command queue.
    #[error(transparent)]
    CommandQueue(#[from] CommandQueueError),
    /// A thread.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The key of the flow hash.
    #[error("the system has no random numbers")]
    Random(#[source] getrandom::Error),
    /// The threads that serve.
    #[error("cannot start serving")]
    Runtime(#[source] io::Error),
    /// The server ended by itself.
    #[error("the server on the Unix socket ended")]
    Server(#[source] io::Error),
    /// A fault of the program; it was stopped in order.
    #[error(
        "worker {worker} failed (its panic stands above); stopped, since its flows would go unseen"
    )]
    Worker {
        /// Index of the worker.
        worker: usize,
    },
    /// The reader of our standard output is gone, or its disk is full.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}
