//! Prefaulting of the stores before the capture starts.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::warn;

use crate::control::Engine;
use crate::util::systemd;

/// Interval of asking the service manager for more time.
const INTERVAL: Duration = Duration::from_secs(5);
/// Time asked for. Hundreds of gigabytes take longer than the usual limit of a service's start.
const EXTENSION: Duration = Duration::from_secs(30);

/// Touches the memory of all stores, in parallel: a packet that waits for a page fault may be the one before a loss.
pub(super) fn prefault(engines: &mut [Engine]) {
    systemd::status("prefaulting the store");
    let (done, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            systemd::extend_timeout(EXTENSION);
            while wait.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                systemd::extend_timeout(EXTENSION);
            }
        });
        thread::scope(|scope| {
            for engine in engines {
                scope.spawn(|| {
                    if let Err(error) = engine.prefault() {
                        warn!("cannot prefault the store: {error}; bursts may lose packets");
                    }
                });
            }
        });
        drop(done);
    });
}
