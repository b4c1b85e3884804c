//! Task of one client: reads a line, answers it, then reads the next.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::access::account::Lease;
use super::access::peer::Peer;
use super::access::processor_time::ProcessorTime;
use super::methods;
use super::protocol::errors;
use super::session::Session;
use super::shared::Shared;
use super::transport::input::{Input, Line};
use super::transport::output::Output;
use super::transport::stream::Stream;

/// Time without a request after which a client's buffers are freed.
const IDLE: Duration = Duration::from_secs(1);
/// Time for which, and bytes up to which, input is still read after a line that is too long. The client can then read
/// the reason: closing a Unix socket with unread bytes breaks the client's next write.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// Connection of one client.
pub(crate) struct Connection {
    input: Input,
    session: Session,
}

impl Connection {
    pub(crate) fn new(
        socket: UnixStream,
        peer: Peer,
        slot: Lease,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let stream = Arc::new(Stream::new(socket)?);
        tracing::debug!(pid = peer.pid, uid = peer.uid, gids = ?peer.gids, "client connected");
        let out = Output::new(Arc::clone(&stream));
        Ok(Self {
            input: Input::new(stream),
            session: Session::new(shared, out, peer, slot),
        })
    }

    /// Returns the processor time that the client's user takes.
    pub(crate) fn processor_time(&self) -> Arc<ProcessorTime> {
        let time = self.session.account().processor_time();
        // The session's own entry keeps the user.
        time.unwrap_or_else(|| Arc::new(ProcessorTime::new()))
    }

    /// Serves the client until it disconnects or the server stops.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        // Created once: registering it for each request would be a large part of the cost of a small request.
        let stop = pin!(async { drop(stopping.wait_for(|&stop| stop).await) });
        if let Err(error) = self.converse(stop).await {
            tracing::debug!(pid = self.session.peer.pid, %error, "client lost");
        }
        self.session.subscriptions.end().await;
    }

    async fn converse(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> io::Result<()> {
        loop {
            match self.input.line() {
                Line::Whole(line) => {
                    methods::answer(&mut self.session, line).await?;
                    self.session.notify().await?;
                }
                Line::TooLong => return self.hang_up().await,
                Line::Partial => {
                    let pending = self.session.notify().await?;
                    self.session.out.flush().await?;
                    if !self.more(stop.as_mut(), pending).await? {
                        return Ok(());
                    }
                    self.session.turn = Instant::now();
                }
            }
        }
    }

    /// Waits for input or events; with `pending` notifications it only polls for input. Returns false when the client is
    /// gone or the server stops.
    async fn more(
        &mut self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        pending: bool,
    ) -> io::Result<bool> {
        loop {
            let large = self.holds_memory();
            tokio::select! {
                biased;
                count = self.input.fill() => return Ok(count? > 0),
                () = &mut stop => return Ok(false),
                // Other clients of this thread get their turn.
                () = tokio::task::yield_now(), if pending => return Ok(true),
                () = self.session.subscriptions.changed(), if !pending => return Ok(true),
                // The next notification checks the role.
                () = self.session.rights.changed(), if self.session.subscriptions.len() > 0 => return Ok(true),
                // In a block, so that no clock is read when there is nothing to free.
                () = async { tokio::time::sleep(IDLE).await }, if large => self.release(),
            }
        }
    }

    fn holds_memory(&self) -> bool {
        self.session.peeks.is_large() || self.session.out.is_large() || self.input.is_large()
    }

    fn release(&mut self) {
        self.session.peeks.release();
        self.session.out.shrink();
        self.input.shrink();
    }

    async fn hang_up(&mut self) -> io::Result<()> {
        self.session.error(None, &errors::line_too_long());
        self.session.out.finish().await?;
        // The connection is closed now in either case: the client went away, or the time is over.
        let _ = tokio::time::timeout(LINGER, self.input.discard(LINGER_BYTES)).await;
        Ok(())
    }
}
