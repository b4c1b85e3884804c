//! Standard error as a writer that cannot fail.
//!
//! The disk behind it may be full, or the reader of a pipe gone. A daemon continues without its log: lines that cannot
//! be written are counted, and reported with the next line that can.
//!
//! If standard error is the journal, each line starts with its priority as in sd-daemon(3). Without it, the journal gives
//! every line the priority 6.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

static LOST: AtomicU64 = AtomicU64::new(0);
/// Part of `LOST` that was reported.
static REPORTED: AtomicU64 = AtomicU64::new(0);
static JOURNAL: LazyLock<bool> = LazyLock::new(|| {
    let named = std::env::var("JOURNAL_STREAM").ok();
    named.is_some_and(|named| rustix::fs::fstat(io::stderr()).is_ok_and(|own| names(&named, &own)))
});

/// Returns the number of lines that could not be written.
pub fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// Returns whether standard error is the journal. False if it was redirected after the journal had opened it.
#[must_use]
pub fn is_journal() -> bool {
    *JOURNAL
}

/// Returns whether `JOURNAL_STREAM`, a device and an inode, names this file.
fn names(variable: &str, file: &rustix::fs::Stat) -> bool {
    variable == format!("{}:{}", file.st_dev, file.st_ino)
}

/// Priority of a line, as in syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of syslog(3)")]
pub enum Priority {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// Writer to standard error. Each call of `write` takes one line.
#[derive(Clone, Copy, Debug)]
pub struct Stderr(pub Priority);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let out = &mut io::stderr().lock();
        if is_journal() {
            write_to(out, &with_priority(self.0, line));
        } else {
            write_to(out, line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the lines, each with the priority before it.
fn with_priority(priority: Priority, lines: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() + 4);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend(format!("<{}>", priority as u8).bytes());
        // The formatter puts a space behind the time stamp, which is empty here.
        text.extend(line.strip_prefix(b" ").unwrap_or(line));
    }
    text
}

fn write_to(out: &mut impl Write, line: &[u8]) {
    if out.write_all(line).is_err() {
        LOST.fetch_add(1, Relaxed);
        return;
    }
    let lost = lost();
    let new = lost - REPORTED.swap(lost, Relaxed).min(lost);
    if new > 0 {
        // Reported again with the next line if this fails.
        let _ = writeln!(
            out,
            "monitord: {new} lines of the log were lost before this one"
        )
        .inspect_err(|_| {
            REPORTED.fetch_sub(new, Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lost_lines_are_counted_and_reported_once() {
        let before = lost();
        write_to(&mut Full, b"first\n");
        write_to(&mut Full, b"second\n");
        assert_eq!(lost() - before, 2);
        let mut out = Vec::new();
        write_to(&mut out, b"third\n");
        write_to(&mut out, b"fourth\n");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "third\nmonitord: 2 lines of the log were lost before this one\nfourth\n"
        );
    }

    #[test]
    fn the_journal_gets_each_line_with_its_priority() {
        assert_eq!(
            with_priority(Priority::Warning, b" one\ntwo\n"),
            b"<4>one\n<4>two\n"
        );
        let file = rustix::fs::stat("/proc/self/exe").unwrap();
        let name = format!("{}:{}", file.st_dev, file.st_ino);
        assert!(names(&name, &file));
        assert!(!names("", &file));
        assert!(!names(&format!("{name}1"), &file));
    }
}
