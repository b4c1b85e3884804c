//! One client's task: a line in, its reply out, then the next.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use monitor_rpc::ErrorObject;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::input::{Input, Line};
use super::listeners::Listeners;
use super::memory::PeekBuffer;
use super::methods::Cursors;
use super::output::Output;
use super::peer::Peer;
use super::request::{Message, Rejected, Request};
use super::rules::Rights;
use super::serve::Shared;
use super::stream::Stream;
use super::users::Place;
use super::{fault, reply};

/// After so long without a request a client's buffers are given back.
const IDLE: Duration = Duration::from_secs(1);
/// A client that sent too long a line is read on for so long and so far, so that it can read why: closing a Unix
/// socket with unread bytes in it breaks the client's next write.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// Requests answered before other clients of this thread get their turn: a line can hold thousands in a batch.
const TURN: u64 = 32;

/// A client and what it is owed.
pub(super) struct Connection {
    input: Input,
    session: Session,
}

/// What answering a client needs.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) out: Output,
    pub(super) peeks: PeekBuffer,
    pub(super) cursors: Cursors,
    /// Who is at the other end, as the kernel knew it when it connected.
    pub(super) peer: Peer,
    pub(super) rights: Rights,
    _place: Place,
    /// What it listens with.
    pub(super) listeners: Listeners,
    /// Requests answered so far.
    answered: u64,
}

impl Connection {
    pub(super) fn new(
        socket: UnixStream,
        peer: Peer,
        place: Place,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let stream = Arc::new(Stream::new(socket)?);
        let rights = Rights::new(shared.rules.subscribe(), &peer);
        tracing::debug!(pid = peer.pid, uid = peer.uid, gids = ?peer.gids, "client connected");
        shared.metrics.accepted.add(1);
        shared.metrics.clients.add(1);
        let out = Output::new(Arc::clone(&stream));
        let (peeks, cursors) = (PeekBuffer::of(place.memory().clone()), Cursors::default());
        let listeners = Listeners::default();
        let session = Session {
            shared,
            out,
            peeks,
            cursors,
            peer,
            rights,
            _place: place,
            listeners,
            answered: 0,
        };
        Ok(Self {
            input: Input::new(stream),
            session,
        })
    }

    /// Answers until the client is gone, or the server stops.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        // Made once: registering for it anew with each request would be a good part of a small request's cost.
        let stop = pin!(async { drop(stopping.wait_for(|&stop| stop).await) });
        if let Err(error) = self.converse(stop).await {
            tracing::debug!(pid = self.session.peer.pid, %error, "client lost");
        }
    }

    async fn converse(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> io::Result<()> {
        loop {
            match self.input.line() {
                Line::Whole(line) => {
                    self.session.answer(line).await?;
                    self.session.tell().await?;
                }
                Line::TooLong => return self.hang_up().await,
                Line::Partial => {
                    let untold = self.session.tell().await?;
                    self.session.out.flush().await?;
                    if !self.more(stop.as_mut(), untold).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits for more input or events; with `untold` ones, only looks whether there is input. False: the client is gone,
    /// or the server stops.
    async fn more(
        &mut self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        untold: bool,
    ) -> io::Result<bool> {
        loop {
            let large = self.holds_memory();
            tokio::select! {
                biased;
                count = self.input.fill() => return Ok(count? > 0),
                () = &mut stop => return Ok(false),
                // Other clients of this thread get their turn, too.
                () = tokio::task::yield_now(), if untold => return Ok(true),
                () = self.session.listeners.changed(), if !untold => return Ok(true),
                // In a block, so that no clock is read when there is nothing to give back.
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
        self.session.error(None, &fault::line_too_long());
        self.session.out.finish().await?;
        // Whether it went away by itself or the time is over: the connection is closed now.
        let _ = tokio::time::timeout(LINGER, self.input.discard(LINGER_BYTES)).await;
        Ok(())
    }
}

impl Session {
    /// Answers one line: a request, a notification or a batch.
    async fn answer(&mut self, line: &[u8]) -> io::Result<()> {
        match Message::parse(line, self.rights.batch()) {
            Ok(Message::Single(text)) => self.perform(text).await,
            Ok(Message::Batch(members)) => {
                self.out.start_batch();
                for member in members {
                    self.perform(member.get()).await?;
                }
                self.out.end_batch();
                self.out.flush_if_full().await
            }
            Err(error) => {
                self.error(None, &error);
                Ok(())
            }
        }
    }

    async fn perform(&mut self, text: &str) -> io::Result<()> {
        match Request::parse(text) {
            Ok(request) => self.call(request).await?,
            Err(Rejected { id, error }) => self.error(id, &error),
        }
        self.answered += 1;
        if self.answered.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
            // Notices too when nobody is there any more for the rest.
            return self.out.flush().await;
        }
        self.out.flush_if_full().await
    }

    /// Replies with an error.
    pub(super) fn error(&mut self, id: Option<&RawValue>, error: &ErrorObject) {
        self.shared.metrics.requests.add(1);
        self.shared.metrics.errors.add(1);
        reply::error(self.out.open(), id, error);
        self.out.close();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.metrics.clients.sub(1);
    }
}
