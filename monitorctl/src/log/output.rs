//! Output of the log: whole lines, appended to a file that others rotate, or to a stream.
//!
//! Lines gather in memory and are appended together. A full disk costs nothing but time: the part of a line that still
//! fitted is cut off, and the lines are written again every second; events wait in the daemon's bounded queue.
//!
//! Once a second the path is compared with the open file. After a rotation it leads to another file, or to none: the log
//! opens or creates that one. The file is locked, so that two logs cannot mix their lines.
//!
//! **Invariant:** between two calls the file ends with a whole line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monitor_records::Tracker;

use super::position::{self, FileId, Position};
use super::signals::Signals;
use crate::context::report;
use crate::failure::Failure;

/// Lines are written once this number of bytes has gathered.
const BATCH: usize = 64 * 1024;
/// Time between two looks at the path, and between two attempts to write.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that a start reads again, at most: the position is saved after this number.
const SAVE_AFTER: u64 = 64 << 20;
/// Longest line: those of records have less than 2 KiB.
const LONGEST_LINE: u64 = 64 * 1024;
/// Start of every line.
const LINE_START: &[u8] = b"{\"v\":";

/// Lines on their way to a file or a stream.
pub struct Output {
    target: Target,
    signals: Signals,
    /// Whole lines that are not written yet.
    pending: Vec<u8>,
}

enum Target {
    Stream(Box<dyn Write>),
    File(LogFile),
}

struct LogFile {
    path: PathBuf,
    file: File,
    id: FileId,
    /// Length, as far as written by this program.
    len: u64,
    /// Length at which the position is saved next; 0: at once.
    save_at: u64,
    next_look: Instant,
    /// Last failure that was reported; repetitions are silent.
    failed: Option<ErrorKind>,
}

impl Output {
    /// Opens the file, or standard output, and cuts off the incomplete line of a program that was killed.
    pub fn open(path: Option<&Path>, signals: Signals) -> Result<Self, Failure> {
        let target = match path {
            None => Target::Stream(Box::new(io::stdout())),
            Some(path) => {
                let file = append(path).map_err(|source| Failure::file("open", path, source))?;
                let metadata = file.metadata();
                match metadata {
                    Ok(metadata) if metadata.is_file() => Target::File(LogFile::new(path, file)?),
                    // A FIFO or a device.
                    _ => Target::Stream(Box::new(file)),
                }
            }
        };
        Ok(Self {
            target,
            signals,
            pending: Vec::new(),
        })
    }

    /// Adds a line.
    pub fn line(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.pending.extend_from_slice(text);
        self.pending.push(b'\n');
        if self.pending.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all lines. Waits while the file cannot be written, unless the log is stopped.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let mut failing_since = None;
        while !self.pending.is_empty() {
            let file = match &mut self.target {
                Target::Stream(stream) => {
                    stream.write_all(&self.pending)?;
                    stream.flush()?;
                    self.pending.clear();
                    return Ok(());
                }
                Target::File(file) => file,
            };
            let Err(source) = file.write(&mut self.pending) else {
                continue;
            };
            if self.signals.is_stopped() {
                return Err(Failure::file("write", &file.path, source));
            }
            if failing_since.is_none() {
                failing_since = Some(Instant::now());
                let failure = Failure::file("write", &file.path, source);
                report(&format_args!("{}; trying again", failure.message()));
            }
            self.signals.wait(LOOK);
            file.follow(self.signals.take_reopen());
        }
        if let (Some(since), Target::File(file)) = (failing_since, &self.target) {
            let (path, seconds) = (file.path.display(), since.elapsed().as_secs());
            report(&format_args!("{path} is written again, after {seconds} s"));
        }
        Ok(())
    }

    /// Follows a rotation that was not noticed yet.
    pub fn follow(&mut self) -> Result<(), Failure> {
        let reopen = self.signals.take_reopen();
        let Target::File(file) = &self.target else {
            return Ok(());
        };
        if reopen || Instant::now() >= file.next_look {
            // Lines from before the rotation belong to the old file.
            self.flush()?;
            if let Target::File(file) = &mut self.target {
                file.follow(reopen);
            }
        }
        Ok(())
    }

    /// Follows a rotation, and saves the position when it is due.
    pub fn maintain(&mut self, tracker: &Tracker) -> Result<(), Failure> {
        self.follow()?;
        if matches!(&self.target, Target::File(file) if file.len >= file.save_at) {
            self.flush()?;
            self.save(tracker);
        }
        Ok(())
    }

    /// Notes the records of this instance that the file and its predecessor hold.
    pub fn resume(&mut self, tracker: &mut Tracker) -> Result<(), Failure> {
        self.flush()?;
        if let Target::File(file) = &mut self.target {
            position::resume(&file.path, file.id, tracker)
                .map_err(|source| Failure::file("read", &file.path, source))?;
        }
        self.save(tracker);
        Ok(())
    }

    /// Saves the position, if all lines are written. A failure costs time at the next start, and is reported.
    pub fn save(&mut self, tracker: &Tracker) {
        let Target::File(file) = &mut self.target else {
            return;
        };
        if !self.pending.is_empty() {
            return;
        }
        let position = Position::new(tracker, file.id, file.len);
        let result = position.save(&file.path);
        file.save_at = file.len + SAVE_AFTER;
        file.note("save the position in", result);
    }
}

impl LogFile {
    fn new(path: &Path, file: File) -> Result<Self, Failure> {
        if !lock(&file) {
            return Err(Failure::Usage(
                "another `monitorctl log` writes this file: stop it, or name another file",
            ));
        }
        let failed = |source| Failure::file("continue", path, source);
        repair(&file).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            id: FileId::of(&metadata),
            len: metadata.len(),
            save_at: 0,
            next_look: Instant::now() + LOOK,
            failed: None,
        })
    }

    /// Appends lines, and removes those that were written. After a failure the file ends with a whole line.
    fn write(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            match self.file.write(&lines[done..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if done == lines.len() {
                break Ok(());
            }
        };
        let whole = lines[..done]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole < done && self.cut(done - whole).is_ok() {
            done = whole;
        }
        self.len += done as u64;
        lines.drain(..done);
        result
    }

    fn cut(&self, count: usize) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        self.file.set_len(len.saturating_sub(count as u64))
    }

    /// Opens the file again if the path leads to another one, or if it is `asked` to.
    fn follow(&mut self, asked: bool) {
        self.next_look = Instant::now() + LOOK;
        match self.path.metadata() {
            Ok(metadata) if FileId::of(&metadata) == self.id => {
                if metadata.len() < self.len {
                    // Truncated: the records before are known to the tracker only.
                    self.len = metadata.len();
                    self.save_at = 0;
                }
                if !asked {
                    return;
                }
            }
            _ => {}
        }
        let opened = self.reopen();
        self.note("open", opened);
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = append(&self.path)?;
        let metadata = file.metadata()?;
        let id = FileId::of(&metadata);
        if id == self.id {
            return Ok(());
        }
        if !metadata.is_file() || !lock(&file) {
            return Err(io::Error::other(
                "it is not a file of its own: another program writes it",
            ));
        }
        repair(&file)?;
        self.len = file.metadata()?.len();
        (self.file, self.id, self.save_at) = (file, id, 0);
        Ok(())
    }

    /// Reports a failure, unless it is the same as before.
    fn note(&mut self, doing: &'static str, result: io::Result<()>) {
        let kind = result.as_ref().err().map(io::Error::kind);
        if let Err(source) = result
            && kind != self.failed
        {
            report(&Failure::file(doing, &self.path, source).message());
        }
        self.failed = kind;
    }
}

/// Opens a file to append to. It is for the user and the group: records name the ends of all connections.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    options.open(path)
}

/// Returns false if another program holds the lock.
fn lock(file: &File) -> bool {
    // File systems without locks are used without.
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Cuts off an incomplete last line. Its connection has no record yet, and is written again.
///
/// # Errors
/// Those of the file, and `InvalidData` if its end is not that of a log: another program's file must not be changed.
fn repair(file: &File) -> io::Result<()> {
    let len = file.metadata()?.len();
    let start = len.saturating_sub(2 * LONGEST_LINE);
    let mut tail = vec![0; (len - start) as usize];
    file.read_exact_at(&mut tail, start)?;
    let mut lines = tail.rsplit(|&byte| byte == b'\n');
    let torn = lines.next().unwrap_or_default();
    // None if the incomplete line is the only one.
    let last = lines.next().filter(|_| torn.len() < tail.len());
    // A power failure can leave zeros.
    let is_torn_record = torn.iter().all(|&byte| byte == 0) || is_start(torn);
    let is_log = last.map_or(start == 0, |last| last.starts_with(LINE_START));
    if !is_torn_record || !is_log {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "it doesn't end with a record: name another file",
        ));
    }
    if torn.is_empty() {
        return Ok(());
    }
    file.set_len(len - torn.len() as u64)
}

/// Returns whether a text is the start of a line, or a part of that.
fn is_start(text: &[u8]) -> bool {
    text.iter()
        .zip(LINE_START)
        .all(|(byte, start)| byte == start)
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
