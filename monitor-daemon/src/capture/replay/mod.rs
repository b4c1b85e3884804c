//! Replay of captures: pcap and pcapng, plain or compressed, from files or from a stream.
//!
//! The formats are parsed here rather than by a library. A record is four numbers before the bytes, and the libraries
//! either allocate for every packet with options or refuse files found in practice (a captured length above the original
//! one, microseconds above a million). Files are read, not mapped: reading into 256 KiB measured as fast as mapping a
//! file in the page cache, and works for compressed files. A file that shrinks is an end, not a SIGBUS.
//!
//! Several files are one capture: their packets are delivered in the order of their times. Timeouts don't count the time
//! between two files.
//!
//! Every worker reads all files, and its engine skips the flows of the other workers: no queue and no copy between
//! threads, and the result does not depend on their number. A stream can be read once, so it has one worker.

mod buffer;
mod compression;
mod error;
mod file;
mod format;
mod link;
mod merge;
#[cfg(test)]
mod merge_tests;
mod pace;
mod pcap;
mod pcapng;
mod record;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monitor_engine::{Engine, Sink};
use tracing::{info, warn};

pub use error::{Broken, ReplayError};
pub use file::{CaptureFile, More};
pub use status::ReplayStatus;

use crate::util::chain::Chain;
use file::Opening;
use merge::{Join, Merge, Start, Turn};
pub use pace::IdleHook;
use pace::Pace;
use stream::{Stream, StreamAddress};

/// Captures to read: files, or one stream.
#[derive(Clone, Debug)]
pub struct Replay {
    files: Arc<[PathBuf]>,
    /// Order of the files by the time of their first packets.
    starts: Arc<[Start]>,
    /// Taken by its worker.
    stream: Arc<Mutex<Option<Stream>>>,
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
    /// Returns whether one of the arguments is a stream, which can be read once: standard input (`-`), a named pipe, or
    /// PCAP-over-IP (`tcp://HOST:PORT`).
    #[must_use]
    pub fn has_stream(arguments: &[PathBuf]) -> bool {
        arguments
            .iter()
            .any(|argument| StreamAddress::of(argument).is_some())
    }

    /// Checks the start of every file, so that a missing file, or one of another format, is reported before the replay
    /// starts. Opens or connects a stream, and reads nothing from it.
    pub fn open(arguments: &[PathBuf], options: Options) -> Result<Self, ReplayError> {
        if let Some(speed) = options
            .speed
            .filter(|speed| !(speed.is_finite() && *speed > 0.0))
        {
            return Err(ReplayError::Speed { speed });
        }
        let stream = arguments
            .iter()
            .find_map(|argument| StreamAddress::of(argument));
        match (stream, arguments) {
            (_, []) => Err(ReplayError::NoFiles),
            (None, files) => Self::open_files(files, options),
            (Some(address), [_]) => Ok(Self::of_stream(address.open()?, options)),
            (Some(address), _) => Err(ReplayError::SeveralStreams {
                stream: address.to_string(),
            }),
        }
    }

    fn open_files(files: &[PathBuf], options: Options) -> Result<Self, ReplayError> {
        let mut starts = Vec::with_capacity(files.len());
        for (index, path) in files.iter().enumerate() {
            let mut file = CaptureFile::open(path)?;
            // A file without packets, or damaged before the first, is reported when its turn comes.
            let time = file.next_time().ok().flatten().unwrap_or(0);
            starts.push(Start { time, index });
        }
        starts.sort();
        let status = Arc::new(ReplayStatus::new(files, options.workers));
        Ok(Self {
            files: files.into(),
            starts: starts.into(),
            stream: Arc::default(),
            options,
            status,
        })
    }

    fn of_stream(stream: Stream, options: Options) -> Self {
        let name = stream.path().to_owned();
        Self {
            files: Arc::default(),
            starts: Arc::default(),
            stream: Arc::new(Mutex::new(Some(stream))),
            options,
            status: Arc::new(ReplayStatus::new(&[name], options.workers)),
        }
    }

    /// Returns the source of its part of `stats`.
    #[must_use]
    pub fn status(&self) -> Arc<ReplayStatus> {
        Arc::clone(&self.status)
    }

    /// Passes all packets to `engine`; each worker calls it on its own thread. Returns at the end of the last file or of
    /// the stream, or when `idle_hook` returns false. `notify` ends the wait of the idle hook, from another thread.
    ///
    /// A damaged capture is used up to the damage, which a warning locates. Worker 0 counts and warns for all workers.
    ///
    /// # Errors
    /// [`ReplayError`] if a stream turns out to be no capture. Files are checked by [`Replay::open`].
    pub fn run<S: Sink>(
        &self,
        worker: u16,
        engine: &mut Engine<S>,
        idle_hook: IdleHook<'_, S>,
        notify: impl Fn() + Send + 'static,
    ) -> Result<(), ReplayError> {
        let mut pace = Pace::new(self.options.speed, idle_hook);
        let stream = self
            .stream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let result = match stream {
            Some(stream) => self.run_stream(stream, &mut pace, engine, notify),
            None => {
                self.run_files(worker == 0, &mut pace, engine);
                Ok(())
            }
        };
        engine.finish();
        self.status.worker_done();
        result
    }

    /// Reads the files in the order of their packets' times. `first`: counts and warns.
    fn run_files<S: Sink>(&self, first: bool, pace: &mut Pace<'_, S>, engine: &mut Engine<S>) {
        if first && !self.starts.is_sorted_by_key(|start| start.index) {
            info!("the files are read in the order of their first packets' times");
        }
        let mut merge = Merge::new(&self.starts);
        while !pace.stopped()
            && let Some(turn) = merge.next_turn()
        {
            match turn {
                Turn::Open(start) => self.open_next(start, first, &mut merge, engine),
                Turn::Read(open, until) => {
                    if first {
                        self.status.start(open.index);
                    }
                    let end = self.read(&mut open.file, until, first, pace, engine);
                    merge.turn_done(end);
                }
            }
        }
    }

    /// Reads a stream. Its format shows once its first bytes arrive.
    fn run_stream<S: Sink>(
        &self,
        stream: Stream,
        pace: &mut Pace<'_, S>,
        engine: &mut Engine<S>,
        notify: impl Fn() + Send + 'static,
    ) -> Result<(), ReplayError> {
        let path = stream.path().to_owned();
        let source = stream.start(notify).map_err(ReplayError::Thread)?;
        let mut opening = Opening::new(&path, Box::new(source));
        while !opening.fill()? {
            if !pace.wait(engine) {
                return Ok(());
            }
        }
        let mut capture = opening.open()?;
        self.read(&mut capture, u64::MAX, true, pace, engine);
        Ok(())
    }

    /// Opens the file whose first packet is next.
    fn open_next<S: Sink>(
        &self,
        start: Start,
        first: bool,
        merge: &mut Merge<'_>,
        engine: &mut Engine<S>,
    ) {
        let Some(path) = self.files.get(start.index) else {
            return;
        };
        let file = match CaptureFile::open(path) {
            Ok(file) => file,
            Err(error) => {
                if first {
                    self.status.broken();
                    warn!("{}; the file is skipped", Chain(&error));
                }
                return;
            }
        };
        match merge.add(start, file) {
            Join::Overlaps if first => {
                info!("{}: overlaps in time, merged by time", path.display());
            }
            Join::After(pause) => {
                if first {
                    let pause = Duration::from_nanos(pause.end - pause.start);
                    info!(
                        "{}: begins {pause:.1?} after the files before; timeouts don't count this pause",
                        path.display()
                    );
                }
                engine.note_pause(pause);
            }
            Join::First | Join::Overlaps => {}
        }
    }

    /// Reads the packets up to a time. Returns the time of the next packet; `None` at the end.
    fn read<S: Sink>(
        &self,
        file: &mut CaptureFile,
        until: u64,
        first: bool,
        pace: &mut Pace<'_, S>,
        engine: &mut Engine<S>,
    ) -> Option<u64> {
        while pace.keeps_running(engine) {
            let more = file.batch(until, |packets| {
                if first {
                    self.status.count(packets);
                }
                pace.each(packets, engine);
            });
            match more {
                Ok(More::Yes) => {}
                Ok(More::Later(time)) => return Some(time),
                Ok(More::Pending) => {
                    pace.wait(engine);
                }
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
        None
    }

    fn report(&self, file: &CaptureFile) {
        for (link_type, frames) in file.skipped() {
            self.status.skip(frames);
            let reason = if link::is_stripped(link_type) {
                "they have no IP packet that can be read"
            } else {
                "it is not supported; `editcap -T` or a capture on another interface may help"
            };
            warn!(
                "{}: skipped {frames} frames of link type {}; {reason}",
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
        if file.wild_times() > 0 {
            warn!(
                "{}: {} packets have a time far ahead of their neighbours, whose time is used instead",
                file.path().display(),
                file.wild_times()
            );
        }
        info!("{}: {} packets read", file.path().display(), file.packets());
    }
}
