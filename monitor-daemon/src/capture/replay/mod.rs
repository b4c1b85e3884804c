//! Packets from capture files: pcap and pcapng, also gzipped.
//!
//! The formats are read here rather than by a library: per packet they are four numbers in front of the bytes, and
//! the libraries at hand either allocate for every packet that has options or refuse files that people have (a
//! captured length above the original one, microseconds above a million). Files are read, not mapped: reading into
//! 256 KiB measured as fast as a mapping of a file in the page cache, works the same for compressed files, and a file
//! that shrinks under us is an end rather than a SIGBUS.
//!
//! Every worker walks all files by itself and its engine skips the flows of the others: no queue and no copy between
//! threads, and the same result whatever their number.

mod buffer;
mod error;
mod file;
mod link;
mod pace;
mod pcap;
mod pcapng;
mod status;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use monitor_engine::{Engine, Sink};
use tracing::{info, warn};

pub use error::{Broken, ReplayError};
pub use file::{CaptureFile, More};
pub use status::ReplayStatus;

use pace::Pace;

/// Files to be walked, one after another.
#[derive(Clone, Debug)]
pub struct Replay {
    files: Arc<[PathBuf]>,
    options: Options,
    status: Arc<ReplayStatus>,
}

/// What a worker does besides: called between batches, and while no packet is due, with the time until one is; then it
/// may wait for that long. False: the replay ends.
pub type Besides<'a, S> = &'a mut dyn FnMut(&mut Engine<S>, Duration) -> bool;

/// How files are walked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Worker threads that will call [`Replay::run`].
    pub workers: u16,
    /// Multiple of the recorded speed; `None`: as fast as it goes.
    pub speed: Option<f64>,
}

impl Replay {
    /// Looks at the start of every file, so that a missing file and one that is no capture are told before anything
    /// runs.
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

    /// What `stats` shows of this capture.
    #[must_use]
    pub fn status(&self) -> Arc<ReplayStatus> {
        Arc::clone(&self.status)
    }

    /// Feeds all files to `engine`; for each worker on its own thread. Returns at the end of the last file, or when
    /// `besides` says so.
    ///
    /// A file that breaks off is used up to there, and a warning says where; the next one follows. Worker 0 does the
    /// counting and the warning for all of them.
    pub fn run<S: Sink>(&self, worker: u16, engine: &mut Engine<S>, besides: Besides<'_, S>) {
        let first = worker == 0;
        let mut pace = Pace::new(self.options.speed, besides);
        for (index, path) in self.files.iter().enumerate() {
            if pace.stopped() {
                break;
            }
            if first {
                self.status.start(index);
            }
            match CaptureFile::open(path) {
                Ok(mut file) => self.walk(&mut file, first, &mut pace, engine),
                Err(error) => {
                    if first {
                        self.status.broken();
                        warn!("{error}; it is left out");
                    }
                }
            }
        }
        engine.finish();
        self.status.worker_done();
    }

    fn walk<S: Sink>(
        &self,
        file: &mut CaptureFile,
        first: bool,
        pace: &mut Pace<'_, S>,
        engine: &mut Engine<S>,
    ) {
        while pace.goes_on(engine) {
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
                            "{}: {broken}; what comes before is used",
                            file.path().display()
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
                "{}: skipped {frames} frames of link type {}; only Ethernet, raw IP, Linux cooked and null/loopback are read",
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
