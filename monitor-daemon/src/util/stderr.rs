//! Standard error as a writer that cannot fail.
//!
//! The disk behind it may be full, or the reader of a pipe gone. A daemon continues without its log: lines that cannot
//! be written are counted, and reported with the next line that can.

use std::io::{self, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

static LOST: AtomicU64 = AtomicU64::new(0);
/// Part of `LOST` that was reported.
static REPORTED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of lines that could not be written.
pub fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// Writer to standard error. Each call of `write` takes one line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_to(&mut io::stderr().lock(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
}
