//! State that the supervisor, the status and `stop` of a live capture share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::error;

use super::requests::Requests;
use super::state::State;
use crate::capture::Settings;
use crate::capture::socket::CaptureSocket;
use crate::config::{CapturePath, Config, Mode};
use crate::control::Command;
use crate::status::{CaptureSnapshot, CaptureStatus};
use crate::util::chain::Chain;
use crate::worker::{Shunts, WorkerHandle};

/// State shared by the supervisor, the status and `stop`. Workers hold their handles alone.
pub(super) struct Shared {
    pub(super) settings: Mutex<Arc<Settings>>,
    /// Requests to the supervisor.
    pub(super) requests: Requests,
    pub(super) mode: Mode,
    pub(super) path: CapturePath,
    /// Privileges that XDP lacks.
    pub(super) xdp_missing: Option<String>,
    /// True with the privilege to load BPF programs.
    pub(super) bpf: bool,
    /// Reason for packet sockets, once they are in use, where the path is `auto`.
    pub(super) fallback: Mutex<Option<String>>,
    /// Packet buffers of all devices together.
    pub(super) frames: u32,
    /// Bytes of the rings of all packet sockets together.
    pub(super) memory: u64,
    pub(super) handles: Arc<[WorkerHandle<CaptureSocket>]>,
    /// Requests of the workers to shunt and unshunt flows.
    pub(super) shunts: Arc<Shunts>,
    /// Held for short reads and writes, never while an interface is opened.
    pub(super) state: Mutex<State>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // The counters are valid even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fallback(&self) -> MutexGuard<'_, Option<String>> {
        self.fallback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies a changed `[filter]`, after the workers did: packets that the programs now pass find engines that accept them.
    pub(super) fn update_filter(self: &Arc<Self>, config: &Config) {
        let (shared, config) = (Arc::clone(self), config.clone());
        // After its end there are no programs.
        let _ = self.requests.run(move || shared.set_filter(&config));
    }

    /// Sets the filter of all programs. An interface is attached either before this, or after it with the new settings:
    /// the supervisor does one at a time.
    fn set_filter(&self, config: &Config) {
        let Settings { seed, workers, .. } = *self.settings();
        let settings = Arc::new(Settings::new(config, seed, workers));
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&settings);
        if let Err(error) = self.state().set_filter(&settings.filter()) {
            error!(
                "the new filter is not in all programs: {}; restart monitord to apply it everywhere",
                Chain(&error)
            );
        }
    }

    pub(super) fn stop_workers(&self) {
        self.handles
            .iter()
            .for_each(|handle| handle.command_queue().send(Command::Stop));
    }
}

/// Status of a live capture, as other parts of the daemon see it.
pub(super) struct LiveStatus(pub(super) Arc<Shared>);

impl CaptureStatus for LiveStatus {
    fn snapshot(&self) -> CaptureSnapshot {
        let shared = Arc::clone(&self.0);
        let snapshot = self.0.requests.run(move || shared.snapshot());
        snapshot.unwrap_or_else(|| self.0.snapshot())
    }
}

impl Shared {
    fn snapshot(&self) -> CaptureSnapshot {
        let lost_handoffs = self
            .handles
            .iter()
            .map(|handle| handle.command_queue().lost())
            .sum();
        let mut snapshot = self.state().snapshot(lost_handoffs);
        snapshot.mode = self.mode.name();
        snapshot.path_reason.clone_from(&self.fallback());
        snapshot.workers = self.settings().workers;
        snapshot
    }
}
