//! A client's socket on the runtime.
//!
//! Not tokio's own stream: that one is always watched for room to write too, so that each reply, once the client has
//! read it, wakes the server for nothing. Measured, that made a small `ppeek` three times as long.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Between looks at a socket that cannot be watched, for want of a descriptor.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A connected socket, watched for bytes to read.
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

    /// Waits for bytes; 0 is the end. Dropping the future loses nothing.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            loop {
                let mut guard = ready!(self.socket.poll_read_ready(cx))?;
                match self.socket.get_ref().read(buffer) {
                    Ok(count) => {
                        // Less than there was room for: it is empty now, and need not be asked again to know it.
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

    /// Writes everything, waiting for the client to read when the socket is full.
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

    /// Writes what the socket takes at once.
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

    /// Whether the client has closed its end, for reading as well: nobody is there any more.
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

    /// The client will see the end of the stream.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)
    }

    /// A second descriptor of the same socket, watched for room to write for as long as this is kept.
    fn watch_room(&self) -> Option<AsyncFd<UnixStream>> {
        let again = self.socket.get_ref().try_clone();
        again
            .and_then(|again| watch(again, Interest::WRITABLE))
            .ok()
    }
}

/// Has the runtime watch a socket that does not block.
#[expect(
    deprecated,
    reason = "its successor asks for an unsafe promise, which sockets of the standard library keep anyway: their \
              descriptor stays open and the same"
)]
pub(crate) fn watch<S: Socket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}

/// What may be watched: see [`watch`].
pub(crate) trait Socket: AsRawFd {}

impl Socket for UnixStream {}
impl Socket for UnixListener {}
impl Socket for OwnedFd {}

async fn wait(room: Option<&AsyncFd<UnixStream>>) -> io::Result<()> {
    match room {
        // Cleared at once: it is the next write that tells whether there is room.
        Some(room) => room.writable().await.map(|mut guard| guard.clear_ready()),
        None => {
            tokio::time::sleep(LOOK_AGAIN).await;
            Ok(())
        }
    }
}
