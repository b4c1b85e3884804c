//! Handles to the running daemon, through which `rpc` reads: engines, workers, capture and settings.

use std::sync::Arc;

use monitor_engine::{Counters, Reader};

use crate::config::LiveConfig;
use crate::control::CommandQueues;

/// Handles for the RPC server. Cheap to clone; holds no lock that a worker takes.
#[derive(Clone)]
pub struct Status {
    /// Reader of each worker's store, in their order: `readers[id.worker()]`.
    pub readers: Vec<Reader>,
    /// Counters of each worker's engine, in their order.
    pub engines: Vec<Arc<Counters>>,
    /// Command queues of the workers.
    pub command_queues: CommandQueues,
    /// The capture that feeds them.
    pub capture: Arc<dyn CaptureStatus>,
    /// The settings in force.
    pub settings: Arc<LiveConfig>,
}

/// The state of a capture, asked for by any thread at any time.
pub trait CaptureStatus: Send + Sync {
    /// The state now. May make system calls; is never called on a worker's thread.
    fn snapshot(&self) -> CaptureSnapshot;
}

/// A capture at one moment.
#[derive(Clone, Debug, Default)]
pub struct CaptureSnapshot {
    /// `tap`, `mirror` or `replay`.
    pub mode: &'static str,
    /// Path of the packets: `xdp` or `packet`; of several interfaces the slowest. `None` in replay.
    pub path: Option<&'static str>,
    /// Reason for the path `packet` where the setting is `auto`.
    pub path_reason: Option<String>,
    /// Mode of XDP: `zerocopy`, `native` or `generic`; of several interfaces the slowest. `None` in replay.
    pub xdp: Option<&'static str>,
    /// Replay: all files are done.
    pub finished: bool,
    /// Interfaces or files, each with its own state.
    pub interfaces: Vec<InterfaceSnapshot>,
    /// Worker threads.
    pub workers: u16,
    /// Counters of the whole capture: name, meaning, value. None ever goes down.
    /// `rx_packets`, `rx_bytes`, `rx_dropped`, `rx_ring_full`, `fill_ring_empty`, `passed` are always there.
    pub counters: Vec<(&'static str, &'static str, u64)>,
}

/// State of an interface (or file) of a capture.
#[derive(Clone, Debug, Default)]
pub struct InterfaceSnapshot {
    /// Its name (or path).
    pub name: String,
    /// True while packets are captured from it.
    pub up: bool,
    /// Path of its packets: `xdp` or `packet`.
    pub path: Option<&'static str>,
    /// Mode of XDP.
    pub xdp: Option<&'static str>,
    /// Receive queues in use.
    pub queues: u32,
}
