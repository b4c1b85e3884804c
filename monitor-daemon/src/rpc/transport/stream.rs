//! Socket of one client, registered with the runtime.
//!
//! tokio's own stream is always polled for writing, too, so each reply that the client has read wakes the server.
//! That made a small `ppeek` take three times as long.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Interval of attempts to write to a socket for which no second descriptor is left.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Connected socket, polled for reading.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: AsyncFd<UnixStream>,
}

impl Stream {
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: watch(socket, Interest::READABLE)?,
        })
    }

    /// Waits for bytes; 0 is the end. It is cancel safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            loop {
                let mut guard = ready!(self.socket.poll_read_ready(cx))?;
                match self.socket.get_ref().read(buffer) {
                    Ok(count) => {
                        // A short read: the socket is empty, and no second read is needed
                        // to learn that.
                        if (1..buffer.len()).contains(&count) {
                            guard.clear_ready();
                        }
                        return Poll::Ready(Ok(count));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// Writes everything, and waits for the client when the socket is full.
    pub(crate) async fn write_all(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut room = None;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.try_write(parts) {
                Ok(count) => IoSlice::advance_slices(&mut parts, count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if room.is_none() {
                        room = self.watch_room();
                    }
                    wait(room.as_ref()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes everything, and passes descriptors with the first byte (unix(7), SCM_RIGHTS).
    pub(crate) async fn write_with(
        &self,
        text: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let size = SendAncillaryMessage::ScmRights(descriptors).size();
        let mut space = vec![MaybeUninit::uninit(); size];
        let mut room = None;
        let sent = loop {
            let mut rights = SendAncillaryBuffer::new(&mut space);
            if !rights.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(ErrorKind::OutOfMemory.into());
            }
            let parts = [IoSlice::new(text)];
            let flags = SendFlags::NOSIGNAL;
            match rustix::net::sendmsg(self.socket.get_ref(), &parts, &mut rights, flags) {
                Ok(count) => break count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if room.is_none() {
                        room = self.watch_room();
                    }
                    wait(room.as_ref()).await?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.write_all(&mut [IoSlice::new(&text[sent..])]).await
    }

    /// Writes the bytes that fit into the socket.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let mut socket = self.socket.get_ref();
            let result = match parts {
                [part] => socket.write(part),
                parts => socket.write_vectored(parts),
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Returns whether the client has closed both halves of its connection.
    pub(crate) fn is_hung_up(&self) -> bool {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut list = [PollFd::new(self.socket.get_ref(), PollFlags::empty())];
        poll(&mut list, Some(&at_once)).is_ok()
            && list[0]
                .revents()
                .intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Closes the sending half.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)
    }

    /// Duplicates the descriptor, and polls the copy for writing while it exists.
    fn watch_room(&self) -> Option<AsyncFd<UnixStream>> {
        let again = self.socket.get_ref().try_clone();
        again
            .and_then(|again| watch(again, Interest::WRITABLE))
            .ok()
    }
}

/// Registers a nonblocking socket with the runtime.
#[expect(
    deprecated,
    reason = "its successor asks for an unsafe promise, which sockets of the standard library keep anyway: their \
              descriptor stays open and the same"
)]
pub(crate) fn watch<S: Socket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}

/// Socket that can be registered: see [`watch`].
pub(crate) trait Socket: AsRawFd {}

impl Socket for UnixStream {}
impl Socket for UnixListener {}
impl Socket for OwnedFd {}

async fn wait(room: Option<&AsyncFd<UnixStream>>) -> io::Result<()> {
    match room {
        // Cleared at once: the next write finds out whether the socket has space.
        Some(room) => room.writable().await.map(|mut guard| guard.clear_ready()),
        None => {
            tokio::time::sleep(LOOK_AGAIN).await;
            Ok(())
        }
    }
}
