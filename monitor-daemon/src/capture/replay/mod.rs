//! Replay of capture files: pcap and pcapng, also gzipped.
//!
//! The formats are parsed here rather than by a library. A record is four numbers before the bytes, and the libraries
//! either allocate for every packet with options or refuse files found in practice (a captured length above the original
//! one, microseconds above a million). Files are read, not mapped: reading into 256 KiB measured as fast as mapping a
//! file in the page cache, and works for compressed files. A file that shrinks is an end, not a SIGBUS.
//!
//! Every worker reads all files, and its engine skips the flows of the other workers: no queue and no copy between
//! threads, and the result does not depend on their number.

mod buffer;
mod error;
mod file;
mod link;
mod pace;
mod pcap;
mod pcapng;
mod record;
mod status;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use monitor_engine::{Engine, Sink};
use tracing::{info, warn};

pub use error::{Broken, ReplayError};
pub use file::{CaptureFile, More};
pub use status::ReplayStatus;

use crate::util::chain::Chain;
pub use pace::IdleHook;
use pace::Pace;

/// Files to read, in this order.
#[derive(Clone, Debug)]
pub struct Replay {
    files: Arc<[PathBuf]>,
    options: Options,
    status: Arc<ReplayStatus>,
}

/// Options of a replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Number of worker threads that call [`Replay::run`].
    pub workers: u16,
    /// Multiple of the recorded speed; `None`: full speed.
    pub speed: Option<f64>,
}

impl Replay {
    /// Checks the start of every file, so that a missing file, or one of another format, is reported before the replay
    /// starts.
    pub fn open(files: &[PathBuf], options: Options) -> Result<Self, ReplayError> {
        if files.is_empty() {
            return Err(ReplayError::NoFiles);
        }
        if let Some(speed) = options
            .speed
            .filter(|speed| !(speed.is_finite() && *speed > 0.0))
        {
            return Err(ReplayError::Speed { speed });
        }
        for file in files {
            CaptureFile::open(file)?;
        }
        let status = Arc::new(ReplayStatus::new(files, options.workers));
        Ok(Self {
            files: files.into(),
            options,
            status,
        })
    }

    /// Returns the source of its part of `stats`.
    #[must_use]
    pub fn status(&self) -> Arc<ReplayStatus> {
        Arc::clone(&self.status)
    }

    /// Passes all files to `engine`; each worker calls it on its own thread. Returns at the end of the last file, or when
    /// `idle_hook` returns false.
    ///
    /// A damaged file is used up to the damage, which a warning locates; the next file follows. Worker 0 counts and warns
    /// for all workers.
    pub fn run<S: Sink>(&self, worker: u16, engine: &mut Engine<S>, idle_hook: IdleHook<'_, S>) {
        let first = worker == 0;
        let mut pace = Pace::new(self.options.speed, idle_hook);
        for (index, path) in self.files.iter().enumerate() {
            if pace.stopped() {
                break;
            }
            if first {
                self.status.start(index);
            }
            match CaptureFile::open(path) {
                Ok(mut file) => self.read(&mut file, first, &mut pace, engine),
                Err(error) => {
                    if first {
                        self.status.broken();
                        warn!("{}; the file is skipped", Chain(&error));
                    }
                }
            }
        }
        engine.finish();
        self.status.worker_done();
    }

    fn read<S: Sink>(
        &self,
        file: &mut CaptureFile,
        first: bool,
        pace: &mut Pace<'_, S>,
        engine: &mut Engine<S>,
    ) {
        while pace.keeps_running(engine) {
            let more = file.batch(|packets| {
                if first {
                    self.status.count(packets);
                }
                pace.each(packets, engine);
            });
            match more {
                Ok(More::Yes) => {}
                Ok(More::No) => break,
                Err(broken) => {
                    if first {
                        self.status.broken();
                        warn!(
                            "{}: {}; the part before is used",
                            file.path().display(),
                            Chain(&broken)
                        );
                    }
                    break;
                }
            }
        }
        if first {
            self.report(file);
        }
    }

    fn report(&self, file: &CaptureFile) {
        for (link_type, frames) in file.skipped() {
            self.status.skip(frames);
            warn!(
                "{}: skipped {frames} frames of link type {}; only Ethernet, raw IP, Linux cooked and null/loopback are supported",
                file.path().display(),
                link::name(link_type),
            );
        }
        if file.unknown_interface() > 0 {
            self.status.skip(file.unknown_interface());
            warn!(
                "{}: skipped {} packets of interfaces that the file does not describe",
                file.path().display(),
                file.unknown_interface()
            );
        }
        info!("{}: {} packets read", file.path().display(), file.packets());
    }
}
