//! Input buffer of one client: lines of bounded length.

use std::io;
use std::sync::Arc;

use memchr::memchr;
use monitor_rpc::MAX_LINE;

use crate::rpc::transport::stream::Stream;

/// Size that an idle client keeps; enough for nearly every request.
const SMALL: usize = 1024;
/// Longest line and its line feed.
const LARGEST: usize = MAX_LINE + 1;

/// Received bytes that aren't answered yet: at most one line of the longest kind.
#[derive(Debug)]
pub(crate) struct Input {
    from: Arc<Stream>,
    /// `start..end` is filled.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// End of the part without a line feed.
    searched: usize,
}

/// Front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Line without its line feed.
    Whole(&'a [u8]),
    /// More than [`MAX_LINE`] bytes without a line feed.
    TooLong,
    /// Nothing, or the start of a line.
    Partial,
}

impl Input {
    pub(crate) fn new(from: Arc<Stream>) -> Self {
        Self {
            from,
            buffer: vec![0; SMALL],
            start: 0,
            end: 0,
            searched: 0,
        }
    }

    /// Removes the next line from the front.
    pub(crate) fn line(&mut self) -> Line<'_> {
        match memchr(b'\n', &self.buffer[self.searched..self.end]) {
            Some(distance) => {
                let feed = self.searched + distance;
                let line = &self.buffer[self.start..feed];
                self.start = feed + 1;
                self.searched = self.start;
                Line::Whole(line)
            }
            None => {
                self.searched = self.end;
                if self.end - self.start > MAX_LINE {
                    Line::TooLong
                } else {
                    Line::Partial
                }
            }
        }
    }

    /// Waits for more bytes; 0 is the end. It is cancel safe.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.make_room();
        let count = self.from.read(&mut self.buffer[self.end..]).await?;
        self.end += count;
        Ok(count)
    }

    /// Returns whether it holds more memory than an idle client should.
    pub(crate) fn is_large(&self) -> bool {
        self.buffer.len() > SMALL
    }

    /// Frees that memory, unless it holds part of a line.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end {
            self.buffer = vec![0; SMALL];
            self.rewind();
        }
    }

    /// Discards received and future bytes, up to `limit` bytes or the end.
    pub(crate) async fn discard(&mut self, limit: usize) -> io::Result<()> {
        let mut discarded = 0;
        while discarded < limit {
            self.rewind();
            match self.fill().await? {
                0 => break,
                count => discarded += count,
            }
        }
        Ok(())
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            self.rewind();
        } else if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.searched -= self.start;
                self.start = 0;
            } else {
                let room = (2 * self.buffer.len()).min(LARGEST);
                self.buffer.resize(room, 0);
            }
        }
    }

    fn rewind(&mut self) {
        (self.start, self.end, self.searched) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, Input) {
        let (to, from) = UnixStream::pair().unwrap();
        (to, Input::new(Arc::new(Stream::new(from).unwrap())))
    }

    /// Returns the lines parsed from `bytes`, sent in chunks of `piece`.
    async fn lines(bytes: &[u8], piece: usize) -> Vec<String> {
        let (mut to, mut input) = pair();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || {
            // The reader hangs up on lines that are too long.
            let _ = bytes
                .chunks(piece)
                .try_for_each(|piece| to.write_all(piece));
        });
        let mut lines = Vec::new();
        loop {
            match input.line() {
                Line::Whole(line) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
                Line::TooLong => {
                    lines.push("too long".to_owned());
                    break;
                }
                Line::Partial => {
                    if input.fill().await.unwrap() == 0 {
                        break;
                    }
                    assert!(input.buffer.len() <= LARGEST);
                }
            }
        }
        drop(input);
        writer.join().unwrap();
        lines
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let text = format!("a\n\n{}\nlast\nhalf", "x".repeat(5000));
        let expected = [
            "a".to_owned(),
            String::new(),
            "x".repeat(5000),
            "last".to_owned(),
        ];
        for piece in [1, 2, 3, 7, 1000, 1024, 4096, 10_000] {
            assert_eq!(
                lines(text.as_bytes(), piece).await,
                expected,
                "in pieces of {piece}"
            );
        }
    }

    #[tokio::test]
    async fn the_longest_line_passes_and_one_byte_more_does_not() {
        let longest = "x".repeat(MAX_LINE);
        let after_another = format!("y\n{longest}\n");
        assert_eq!(
            lines(after_another.as_bytes(), 1000).await,
            ["y".to_owned(), longest.clone()]
        );
        assert_eq!(
            lines(format!("{longest}x\n").as_bytes(), 1 << 20).await,
            ["too long"]
        );
        assert_eq!(
            lines(format!("y\n{longest}x").as_bytes(), 1 << 20).await,
            ["y", "too long"]
        );
    }

    #[tokio::test]
    async fn memory_of_a_long_line_is_given_back() {
        let (mut to, mut input) = pair();
        let line = format!("{}\n", "x".repeat(50_000));
        to.write_all(line.as_bytes()).unwrap();
        while input.line() == Line::Partial {
            input.fill().await.unwrap();
        }
        assert!(input.is_large());
        input.shrink();
        assert!(!input.is_large());
    }
}
