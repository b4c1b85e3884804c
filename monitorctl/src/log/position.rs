//! Position of the log: the records that are written already, for a program that was killed.
//!
//! The file itself is the truth, since a line is in it or not. FILE.state spares reading all of it: it holds the length
//! of the file at some time, with the records up to there that the daemon may still list. A start reads the lines behind
//! that length. If the file was rotated since, the position leads to a file of another name in the same directory: its
//! lines are read first, then those of the new file.
//!
//! **Invariant:** any earlier position is valid, too; it only costs time. A position that cannot be saved is therefore no
//! failure.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use monitor_records::Tracker;
use serde::{Deserialize, Serialize};

use crate::context::report;

/// Identity of a file, however it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Content of FILE.state.
#[derive(Debug, Serialize, Deserialize)]
pub struct Position {
    v: u32,
    instance: u64,
    #[serde(flatten)]
    file: FileId,
    /// Length of the file.
    offset: u64,
    /// Records before it, by sockid and part: the last one of each slot of the daemon.
    records: Vec<(u64, u32)>,
}

/// Part of a line that identifies a record.
#[derive(Deserialize)]
struct Key {
    instance: u64,
    sockid: u64,
    part: u32,
}

impl Position {
    pub fn new(tracker: &Tracker, file: FileId, offset: u64) -> Self {
        Self {
            v: monitor_records::VERSION,
            instance: tracker.source().instance,
            file,
            offset,
            records: tracker.state().collect(),
        }
    }

    /// Replaces FILE.state.
    pub fn save(&self, log: &Path) -> io::Result<()> {
        let path = state_path(log);
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let result = File::create(&new)
            .and_then(|mut file| file.write_all(&serde_json::to_vec(self)?))
            .and_then(|()| fs::rename(&new, &path));
        if result.is_err() {
            // It may take the last bytes of a full disk.
            let _ = fs::remove_file(&new);
        }
        result
    }

    /// Reads FILE.state. Without a usable one, the whole file is read.
    fn load(log: &Path) -> Option<Self> {
        let text = match fs::read(state_path(log)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                report(&format_args!(
                    "cannot read {}: {error}",
                    state_path(log).display()
                ));
                return None;
            }
        };
        serde_json::from_slice(&text).ok()
    }
}

fn state_path(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".state");
    path.into()
}

/// Notes the records of the tracker's instance that were written to `log`, which is the file `id`.
pub fn resume(log: &Path, id: FileId, tracker: &mut Tracker) -> io::Result<()> {
    let Some(position) = Position::load(log) else {
        return read_lines(log, 0, tracker);
    };
    if position.instance == tracker.source().instance {
        for &(sockid, part) in &position.records {
            tracker.written(sockid, part);
        }
    }
    if position.file == id {
        // A shorter file was truncated, and has new lines only.
        let is_whole = fs::metadata(log)?.len() >= position.offset;
        return read_lines(log, if is_whole { position.offset } else { 0 }, tracker);
    }
    match find(log, position.file) {
        Some(rotated) => read_lines(&rotated, position.offset, tracker)?,
        None => report(&format_args!(
            "the file that {} was rotated to isn't in its directory: its last records may be written again",
            log.display()
        )),
    }
    read_lines(log, 0, tracker)
}

/// Returns the file of the same directory with this identity.
fn find(log: &Path, id: FileId) -> Option<PathBuf> {
    let directory = log.parent().filter(|parent| *parent != Path::new(""));
    let entries = fs::read_dir(directory.unwrap_or(Path::new("."))).ok()?;
    entries
        .flatten()
        .find(|entry| {
            entry
                .metadata()
                .is_ok_and(|metadata| metadata.is_file() && FileId::of(&metadata) == id)
        })
        .map(|entry| entry.path())
}

fn read_lines(path: &Path, from: u64, tracker: &mut Tracker) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut lines = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        // Marks and incomplete lines have no key.
        if let Ok(key) = serde_json::from_slice::<Key>(&line)
            && key.instance == tracker.source().instance
        {
            tracker.written(key.sockid, key.part);
        }
        line.clear();
    }
    Ok(())
}
