//! File of records that wait for the server, one JSON object a line.
//!
//! Records are appended, and removed from the front when they are acknowledged. A second file holds the acknowledged position.
//! When nothing waits and the file has grown, it's replaced by one that starts with a state: a line that lists the records
//! written before. A relay that was killed reads both files and continues; a record without a noted acknowledgment is sent
//! again, with the same message id.
//!
//! **Invariant:** an offset names one line for the lifetime of the value, also after the file was replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

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
}

impl Spool {
    /// Opens the spool in a directory, or creates it. Returns the lines of the file as well, without a state's start.
    pub(super) fn open(directory: &Path, limit: u64) -> io::Result<(Self, Contents)> {
        let path = directory.join("records.spool");
        let mut file = open(&path, false)?;
        let mut contents = Contents::default();
        let mut reader = BufReader::new(&file);
        let (mut len, mut line, mut generation, mut state_len) = (0, Vec::new(), 0, 0);
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
            if len == 0
                && let Some((number, state)) = parse_state(&text)
            {
                generation = number;
                contents.state = Some(state.to_owned());
                state_len = line.len() as u64;
            } else {
                contents.records.push(text);
            }
            len += line.len() as u64;
            line.clear();
        }
        // A line that was cut off when the machine lost power.
        file.set_len(len)?;
        file.seek(SeekFrom::End(0))?;
        let noted = fs::read_to_string(directory.join("records.acked")).unwrap_or_default();
        let noted = noted.trim().split_once(' ');
        let noted = noted.and_then(|(number, at)| Some((number.parse().ok()?, at.parse().ok()?)));
        let at = noted.filter(|&(number, at)| number == generation && at <= len);
        let acked = START + at.map_or(0, |(_, at): (u64, u64)| at).max(state_len);
        let spool = Self {
            directory: directory.to_path_buf(),
            file,
            generation,
            base: START,
            len,
            acked,
            limit,
            dropped: 0,
            state_len,
        };
        Ok((spool, contents))
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
        Ok(())
    }

    /// Returns the next lines that wait, at most `max` of them, and the offset behind them.
    pub(super) fn pending(&self, max: usize) -> io::Result<(Vec<Vec<u8>>, u64)> {
        let mut file = open(&self.directory.join("records.spool"), false)?;
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
        let mut from = self.acked;
        if self.waiting() > self.limit {
            // A quarter at once, since each replacement copies the file.
            let excess = self.waiting() - self.limit / 4 * 3;
            from = self.drop_oldest(excess)?;
        }
        let generation = self.generation + 1;
        let line = format!("{STATE}{state},\"generation\":{generation}}}\n");
        let path = self.directory.join("records.spool");
        let beside = self.directory.join("records.spool.new");
        let mut new = open(&beside, true)?;
        new.write_all(line.as_bytes())?;
        let mut old = open(&path, false)?;
        old.seek(SeekFrom::Start(from - self.base))?;
        let copied = io::copy(&mut old.take(self.base + self.len - from), &mut new)?;
        fs::rename(&beside, &path)?;
        self.file = new;
        self.generation = generation;
        self.state_len = line.len() as u64;
        self.base = from - self.state_len;
        self.len = self.state_len + copied;
        self.acked = from;
        self.note()
    }

    /// Counts the oldest lines with at least `excess` bytes as dropped; returns the offset behind them.
    fn drop_oldest(&mut self, excess: u64) -> io::Result<u64> {
        let mut file = open(&self.directory.join("records.spool"), false)?;
        file.seek(SeekFrom::Start(self.acked - self.base))?;
        let mut reader = BufReader::new(file);
        let (mut offset, mut line) = (self.acked, Vec::new());
        while offset < self.acked + excess && reader.read_until(b'\n', &mut line)? > 0 {
            offset += line.len() as u64;
            self.dropped += 1;
            line.clear();
        }
        Ok(offset)
    }

    /// Writes the acknowledged position.
    fn note(&self) -> io::Result<()> {
        let text = format!("{} {}\n", self.generation, self.acked - self.base);
        let beside = self.directory.join("records.acked.new");
        fs::write(&beside, text)?;
        fs::rename(&beside, self.directory.join("records.acked"))
    }
}

/// Contents of a spool when it was opened.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// State, as it was passed to [`Spool::compact`].
    pub(super) state: Option<String>,
    /// Records since then, acknowledged or not.
    pub(super) records: Vec<String>,
}

fn open(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
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

    fn texts(spool: &Spool) -> Vec<String> {
        let (lines, _) = spool.pending(100).unwrap();
        let lines = lines.into_iter();
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn records_wait_until_they_are_acknowledged_also_after_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, contents) = Spool::open(directory.path(), 1 << 20).unwrap();
        assert!(contents.records.is_empty() && contents.state.is_none());
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
        let (mut spool, contents) = Spool::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(contents.records.len(), 3);
        assert_eq!(texts(&spool), ["{\"a\":3}"]);
        spool.append(b"{\"a\":4}").unwrap();
        assert_eq!(texts(&spool), ["{\"a\":3}", "{\"a\":4}"]);
    }

    #[test]
    fn a_replaced_file_keeps_the_state_and_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
        spool.append(b"{\"a\":1}").unwrap();
        spool.append(b"{\"a\":2}").unwrap();
        let (_, end) = spool.pending(1).unwrap();
        spool.acknowledge(end).unwrap();
        let (_, end) = spool.pending(1).unwrap();
        spool.compact("[[1,2]]").unwrap();
        assert_eq!(texts(&spool), ["{\"a\":2}"]);
        let (reopened, contents) = Spool::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(contents.state.as_deref(), Some("[[1,2]]"));
        assert_eq!(texts(&reopened), ["{\"a\":2}"]);
        // An acknowledgment that was in flight counts.
        spool.acknowledge(end).unwrap();
        assert_eq!(spool.waiting(), 0);
        let (reopened, _) = Spool::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(reopened.waiting(), 0);
    }

    #[test]
    fn a_full_file_drops_the_oldest_records_and_counts_them() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(directory.path(), 1000).unwrap();
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
}
