//! Signals: SIGHUP opens the file again, SIGTERM and SIGINT end the log between two lines.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Longest sleep between two looks at the signals.
const NAP: Duration = Duration::from_millis(100);

/// Signals that arrived.
#[derive(Clone, Debug)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
}

impl Signals {
    pub fn register() -> io::Result<Self> {
        let signals = Self {
            stop: Arc::default(),
            reopen: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM] {
            // The second one ends the program at once, wherever it is.
            flag::register_conditional_default(signal, Arc::clone(&signals.stop))?;
            flag::register(signal, Arc::clone(&signals.stop))?;
        }
        flag::register(SIGHUP, Arc::clone(&signals.reopen))?;
        Ok(signals)
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Returns true once for each request to open the file again.
    pub fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Relaxed)
    }

    /// Sleeps, at most until the log is stopped.
    pub fn wait(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < deadline {
            thread::sleep(NAP.min(time));
        }
    }
}
