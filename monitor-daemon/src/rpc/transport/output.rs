//! Output buffer of one client.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::rpc::transport::stream::Stream;

/// Size up to which replies are gathered: one system call for many small ones, and bounded memory for long ones.
const GATHER: usize = 64 * 1024;
/// Size that an idle client keeps.
const SMALL: usize = 4 * 1024;

/// Replies to send. It holds little more than [`GATHER`] bytes for replies of any length.
#[derive(Debug)]
pub(crate) struct Output {
    to: Arc<Stream>,
    /// Text that isn't sent yet.
    text: Vec<u8>,
    /// Set while responses are members of a batch's array.
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

    /// Starts an array of responses.
    pub(crate) fn start_batch(&mut self) {
        self.batch = Some(Batch::Empty);
    }

    /// Ends the array. Without a member nothing is sent (JSON-RPC 2.0, section 6).
    pub(crate) fn end_batch(&mut self) {
        if let Some(Batch::HasMembers) = self.batch.take() {
            self.text.extend_from_slice(b"]\n");
        }
    }

    pub(crate) fn in_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Starts a response, and returns the buffer for its text.
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

    /// Returns the buffer for more text of the current response.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Ends the response.
    pub(crate) fn close(&mut self) {
        if self.batch.is_none() {
            self.text.push(b'\n');
        }
    }

    /// Sends the gathered text if it is large. Called between and within responses.
    pub(crate) async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.text.len() >= GATHER {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Sends the gathered text, and waits until the client reads it.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.text.is_empty() {
            self.to.write_all(&mut [IoSlice::new(&self.text)]).await?;
            self.text.clear();
        }
        Ok(())
    }

    /// Sends the gathered text and `bytes` together.
    pub(crate) async fn flush_with(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to
            .write_all(&mut [IoSlice::new(&self.text), IoSlice::new(bytes)])
            .await?;
        self.text.clear();
        Ok(())
    }

    /// Sends the gathered text, and descriptors with its first byte.
    pub(crate) async fn flush_with_descriptors(
        &mut self,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.to.write_with(&self.text, descriptors).await?;
        self.text.clear();
        Ok(())
    }

    /// Returns whether the client has closed its connection.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.to.is_hung_up()
    }

    /// Sends everything, then closes the sending half.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.to.end()
    }

    /// Returns whether it holds more memory than an idle client should.
    pub(crate) fn is_large(&self) -> bool {
        self.text.capacity() > SMALL
    }

    /// Frees that memory.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to(SMALL);
    }
}
