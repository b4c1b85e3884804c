//! File of records that wait for the server, one JSON object a line.
//!
//! Records are appended, and removed from the front when they are acknowledged. A second file holds the acknowledged position.
//! When nothing waits and the file has grown, it's replaced by one that starts with a state: a line that lists the records
//! written before. A relay that was killed reads both files and continues; a record without a noted acknowledgment is sent
//! again, with the same message id.
//!
//! The caller flushes appended records to the disk by [`Spool::unflushed`]. A file is flushed before it replaces another one.
//!
//! **Invariant:** an offset names one line for the lifetime of the value, also after the file was replaced.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the file of records, and of the one with the acknowledged position.
const RECORDS: &str = "records.spool";
const ACKNOWLEDGED: &str = "records.acked";
/// Access to the files: addresses and names of servers are the relay's own.
const MODE: u32 = 0o600;
/// Start of the line of a state. Records start otherwise.
const STATE: &str = "{\"state\":";
/// Size from which a file with nothing to send is replaced.
const COMPACT: u64 = 4 << 20;
/// First offset: high enough for files to be replaced by longer ones.
const START: u64 = 1 << 40;

/// Spool of records.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    file: File,
    /// Number of this file, which the second file repeats.
    generation: u64,
    /// Offset of the file's first byte.
    base: u64,
    /// Size of the file.
    len: u64,
    /// Offset behind the last acknowledged line.
    acked: u64,
    limit: u64,
    dropped: u64,
    state_len: u64,
    /// True if lines were appended since the last flush.
    is_unflushed: bool,
}

/// Line of a spool that is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// State, as it was passed to [`Spool::compact`]. It is the first line.
    State(&'a str),
    /// Record since then, acknowledged or not.
    Record(&'a str),
}

impl Spool {
    /// Opens the spool in a directory, or creates it. Calls `on_line` with each line of the file, in order.
    pub(super) fn open(
        directory: &Path,
        limit: u64,
        mut on_line: impl FnMut(Line<'_>),
    ) -> io::Result<Self> {
        let mut file = open(&directory.join(RECORDS), false)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        let mut reader = BufReader::new(&file);
        let (mut len, mut line, mut generation, mut state_len) = (0, Vec::new(), 0, 0);
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            let text = String::from_utf8_lossy(&line[..line.len() - 1]);
            match parse_state(&text).filter(|_| len == 0) {
                Some((number, state)) => {
                    generation = number;
                    state_len = line.len() as u64;
                    on_line(Line::State(state));
                }
                None => on_line(Line::Record(&text)),
            }
            len += line.len() as u64;
            line.clear();
        }
        // A line that was cut off when the machine lost power.
        file.set_len(len)?;
        file.seek(SeekFrom::End(0))?;
        let noted = fs::read_to_string(directory.join(ACKNOWLEDGED)).unwrap_or_default();
        let noted = noted.trim().split_once(' ');
        let noted = noted.and_then(|(number, at)| Some((number.parse().ok()?, at.parse().ok()?)));
        let at = noted.filter(|&(number, at)| number == generation && at <= len);
        let acked = START + at.map_or(0, |(_, at): (u64, u64)| at).max(state_len);
        Ok(Self {
            directory: directory.to_path_buf(),
            file,
            generation,
            base: START,
            len,
            acked,
            limit,
            dropped: 0,
            state_len,
            is_unflushed: false,
        })
    }

    /// Appends a record, which has no line feed.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let line = [record, b"\n"].concat();
        if let Err(error) = self.file.write_all(&line) {
            // A part of the line would spoil the next one.
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::End(0))?;
            return Err(error);
        }
        self.len += line.len() as u64;
        self.is_unflushed = true;
        Ok(())
    }

    /// Returns the file if lines were appended since the last call. The caller flushes it (`sync_data`), without a lock on
    /// the spool.
    pub(super) fn unflushed(&mut self) -> io::Result<Option<File>> {
        if !self.is_unflushed {
            return Ok(None);
        }
        let file = self.file.try_clone()?;
        self.is_unflushed = false;
        Ok(Some(file))
    }

    /// Returns the next lines that wait, at most `max` of them, and the offset behind them.
    pub(super) fn pending(&self, max: usize) -> io::Result<(Vec<Vec<u8>>, u64)> {
        let mut file = open(&self.directory.join(RECORDS), false)?;
        file.seek(SeekFrom::Start(self.acked - self.base))?;
        let mut reader = BufReader::new(file);
        let (mut lines, mut end) = (Vec::new(), self.acked);
        while lines.len() < max {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            end += line.len() as u64;
            line.pop();
            lines.push(line);
        }
        Ok((lines, end))
    }

    /// Returns the number of bytes that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.base + self.len - self.acked
    }

    /// Returns the number of records that were dropped because the file was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Removes the lines up to an offset.
    pub(super) fn acknowledge(&mut self, end: u64) -> io::Result<()> {
        self.acked = self.acked.max(end);
        self.note()
    }

    /// Returns whether the file should be replaced: it's full, or nothing waits in a large one.
    pub(super) fn is_due(&self) -> bool {
        let idle = self.waiting() == 0 && self.len > COMPACT.max(2 * self.state_len);
        idle || self.waiting() > self.limit
    }

    /// Replaces the file by one with a state (JSON) and the lines that wait. Beyond the limit, the oldest lines are dropped.
    pub(super) fn compact(&mut self, state: &str) -> io::Result<()> {
        let (mut from, mut dropped) = (self.acked, 0);
        if self.waiting() > self.limit {
            // A quarter at once, since each replacement copies the file.
            let excess = self.waiting() - self.limit / 4 * 3;
            (from, dropped) = self.oldest(excess)?;
        }
        let generation = self.generation + 1;
        let line = format!("{STATE}{state},\"generation\":{generation}}}\n");
        let path = self.directory.join(RECORDS);
        let beside = self.directory.join("records.spool.new");
        let mut new = open(&beside, true)?;
        new.write_all(line.as_bytes())?;
        let mut old = open(&path, false)?;
        old.seek(SeekFrom::Start(from - self.base))?;
        let copied = io::copy(&mut old.take(self.base + self.len - from), &mut new)?;
        // After a power failure, the name leads to the old file or to all of the new one.
        new.sync_all()?;
        fs::rename(&beside, &path)?;
        self.file = new;
        self.is_unflushed = false;
        self.dropped += dropped;
        self.generation = generation;
        self.state_len = line.len() as u64;
        self.base = from - self.state_len;
        self.len = self.state_len + copied;
        self.acked = from;
        // Last: if it fails, the file is replaced all the same.
        File::open(&self.directory)?.sync_all()?;
        self.note()
    }

    /// Returns the offset behind the oldest lines with at least `excess` bytes, and their number.
    fn oldest(&self, excess: u64) -> io::Result<(u64, u64)> {
        let mut file = open(&self.directory.join(RECORDS), false)?;
        file.seek(SeekFrom::Start(self.acked - self.base))?;
        let mut reader = BufReader::new(file);
        let (mut offset, mut count, mut line) = (self.acked, 0, Vec::new());
        while offset < self.acked + excess && reader.read_until(b'\n', &mut line)? > 0 {
            offset += line.len() as u64;
            count += 1;
            line.clear();
        }
        Ok((offset, count))
    }

    /// Writes the acknowledged position.
    fn note(&self) -> io::Result<()> {
        let text = format!("{} {}\n", self.generation, self.acked - self.base);
        let beside = self.directory.join("records.acked.new");
        // Not flushed: with an older position, or none, records are sent again.
        open(&beside, true)?.write_all(text.as_bytes())?;
        fs::rename(&beside, self.directory.join(ACKNOWLEDGED))
    }
}

fn open(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(MODE)
        .open(path)
}

/// Returns the generation and the state in a line.
fn parse_state(line: &str) -> Option<(u64, &str)> {
    let (state, generation) = line.strip_prefix(STATE)?.rsplit_once(",\"generation\":")?;
    Some((generation.strip_suffix('}')?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a spool; returns the state and the records as well.
    fn reopen(directory: &Path, limit: u64) -> (Spool, Option<String>, Vec<String>) {
        let (mut state, mut records) = (None, Vec::new());
        let spool = Spool::open(directory, limit, |line| match line {
            Line::State(text) => state = Some(text.to_owned()),
            Line::Record(text) => records.push(text.to_owned()),
        });
        (spool.unwrap(), state, records)
    }

    fn texts(spool: &Spool) -> Vec<String> {
        let (lines, _) = spool.pending(100).unwrap();
        let lines = lines.into_iter();
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn records_wait_until_they_are_acknowledged_also_after_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, state, records) = reopen(directory.path(), 1 << 20);
        assert!(records.is_empty() && state.is_none());
        for record in ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"] {
            spool.append(record.as_bytes()).unwrap();
        }
        let (lines, end) = spool.pending(2).unwrap();
        assert_eq!(lines.len(), 2);
        spool.acknowledge(end).unwrap();
        drop(spool);
        // A write that was cut off.
        let path = directory.path().join("records.spool");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"a\":").unwrap();
        let (mut spool, _, records) = reopen(directory.path(), 1 << 20);
        assert_eq!(records.len(), 3);
        assert_eq!(texts(&spool), ["{\"a\":3}"]);
        spool.append(b"{\"a\":4}").unwrap();
        assert_eq!(texts(&spool), ["{\"a\":3}", "{\"a\":4}"]);
    }

    #[test]
    fn a_replaced_file_keeps_the_state_and_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, ..) = reopen(directory.path(), 1 << 20);
        spool.append(b"{\"a\":1}").unwrap();
        spool.append(b"{\"a\":2}").unwrap();
        let (_, end) = spool.pending(1).unwrap();
        spool.acknowledge(end).unwrap();
        let (_, end) = spool.pending(1).unwrap();
        spool.compact("[[1,2]]").unwrap();
        assert_eq!(texts(&spool), ["{\"a\":2}"]);
        let (reopened, state, _) = reopen(directory.path(), 1 << 20);
        assert_eq!(state.as_deref(), Some("[[1,2]]"));
        assert_eq!(texts(&reopened), ["{\"a\":2}"]);
        // An acknowledgment that was in flight counts.
        spool.acknowledge(end).unwrap();
        assert_eq!(spool.waiting(), 0);
        let (reopened, ..) = reopen(directory.path(), 1 << 20);
        assert_eq!(reopened.waiting(), 0);
    }

    #[test]
    fn a_full_file_drops_the_oldest_records_and_counts_them() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, ..) = reopen(directory.path(), 1000);
        for number in 100..250 {
            spool
                .append(format!("{{\"a\":{number}}}").as_bytes())
                .unwrap();
            if spool.is_due() {
                spool.compact("null").unwrap();
            }
        }
        let kept = texts(&spool);
        assert!(spool.waiting() <= 1000);
        assert_eq!(kept.last().unwrap(), "{\"a\":249}");
        assert_eq!(kept.len() as u64 + spool.dropped(), 150);
    }

    #[test]
    fn its_user_alone_can_read_the_files() {
        let directory = tempfile::tempdir().unwrap();
        // Of an earlier version, which left it to the umask.
        fs::write(directory.path().join(RECORDS), "{\"a\":1}\n").unwrap();
        let (mut spool, ..) = reopen(directory.path(), 1 << 20);
        let check = || {
            for name in [RECORDS, ACKNOWLEDGED] {
                let file = fs::metadata(directory.path().join(name)).unwrap();
                assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
            }
        };
        let (_, end) = spool.pending(1).unwrap();
        spool.acknowledge(end).unwrap();
        check();
        spool.compact("null").unwrap();
        check();
    }

    #[test]
    fn a_file_is_flushed_once_for_all_records_since_the_last_time() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, ..) = reopen(directory.path(), 1 << 20);
        assert!(spool.unflushed().unwrap().is_none());
        spool.append(b"{}").unwrap();
        spool.append(b"{}").unwrap();
        spool.unflushed().unwrap().unwrap().sync_data().unwrap();
        assert!(spool.unflushed().unwrap().is_none());
        spool.append(b"{}").unwrap();
        // The new file is flushed as a whole.
        spool.compact("null").unwrap();
        assert!(spool.unflushed().unwrap().is_none());
    }
}
