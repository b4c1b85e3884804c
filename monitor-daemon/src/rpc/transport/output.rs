//! Replies on their way to a client.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::rpc::transport::stream::Stream;

/// Replies are gathered up to this size, then sent: one system call for many small ones, and bounded memory for
/// long ones.
const GATHER: usize = 64 * 1024;
/// An idle client keeps no more.
const SMALL: usize = 4 * 1024;

/// What is to be sent, and where to. Holds little more than [`GATHER`] bytes, whatever the replies' length.
#[derive(Debug)]
pub(crate) struct Output {
    to: Arc<Stream>,
    /// Text of replies, not sent yet.
    text: Vec<u8>,
    /// Set while replies are members of a batch's array.
    batch: Option<Batch>,
}

#[derive(Debug)]
enum Batch {
    Empty,
    HasMembers,
}

impl Output {
    pub(crate) fn new(to: Arc<Stream>) -> Self {
        Self {
            to,
            text: Vec::new(),
            batch: None,
        }
    }

    /// From now on replies are members of one array.
    pub(crate) fn start_batch(&mut self) {
        self.batch = Some(Batch::Empty);
    }

    /// The array ends. Without a member it is not sent at all (JSON-RPC 2.0, section 6).
    pub(crate) fn end_batch(&mut self) {
        if let Some(Batch::HasMembers) = self.batch.take() {
            self.text.extend_from_slice(b"]\n");
        }
    }

    pub(crate) fn in_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// A reply starts: its text goes where this points.
    pub(crate) fn open(&mut self) -> &mut Vec<u8> {
        match self.batch {
            None => {}
            Some(Batch::HasMembers) => self.text.push(b','),
            Some(Batch::Empty) => {
                self.batch = Some(Batch::HasMembers);
                self.text.push(b'[');
            }
        }
        &mut self.text
    }

    /// More text of the reply that was opened.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// The reply is complete.
    pub(crate) fn close(&mut self) {
        if self.batch.is_none() {
            self.text.push(b'\n');
        }
    }

    /// Sends what was gathered if it is much. To be called between and within replies.
    pub(crate) async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.text.len() >= GATHER {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Sends everything that was gathered. Waits for the client to read it.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.text.is_empty() {
            self.to.write_all(&mut [IoSlice::new(&self.text)]).await?;
            self.text.clear();
        }
        Ok(())
    }

    /// Sends everything that was gathered, then `bytes`, together.
    pub(crate) async fn flush_with(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to
            .write_all(&mut [IoSlice::new(&self.text), IoSlice::new(bytes)])
            .await?;
        self.text.clear();
        Ok(())
    }

    /// Whether nobody is there any more to read it.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.to.is_hung_up()
    }

    /// Sends everything, and the end of the stream.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.to.end()
    }

    /// Whether a long reply left more memory than an idle client should hold.
    pub(crate) fn is_large(&self) -> bool {
        self.text.capacity() > SMALL
    }

    /// Gives that memory back.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to(SMALL);
    }
}
