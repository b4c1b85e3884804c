//! Subscriptions of the blocking client.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::incoming::Incoming;
use crate::link::{Link, connect};
use crate::session::{Resume, Subscribed, Subscription};
use crate::{Error, Notification, wire};

/// Notifications of a subscription, in order.
///
/// It has a connection of its own, so replies never wait behind events. Events wait in the daemon's queue, which is
/// bounded and reports dropped ones. Dropping this value ends the subscription.
///
/// With a [`Reconnect`](crate::Reconnect) policy, `subscribe` and `watch` are sent again when the connection breaks;
/// [`EventBody::Interrupted`](crate::EventBody::Interrupted) marks the place. `follow` ends with the error: the caller
/// continues where the last bytes ended. After a restart of the daemon [`Error::Restarted`] is returned, then the events
/// of the new instance, unless the subscription was for one connection.
///
/// ```no_run
/// use monitor_client::{Client, DEFAULT_SOCKET, EventBody, types::SubscribeParams};
///
/// let mut client = Client::connect(DEFAULT_SOCKET)?;
/// for notification in client.subscribe(&SubscribeParams::default())? {
///     let notification = notification?;
///     if let EventBody::Opened { client, server, .. } = notification.body {
///         println!("{:?}: {client} -> {server}", notification.sockid);
///     }
/// }
/// # Ok::<(), monitor_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Events {
    request: Subscription,
    /// `None` after the end.
    stream: Option<UnixStream>,
    incoming: Incoming,
    subscribed: Subscribed,
}

impl Events {
    pub(crate) fn open(request: Subscription) -> Result<Self, Error> {
        let mut events = Self {
            request,
            stream: None,
            incoming: Incoming::default(),
            subscribed: Subscribed::default(),
        };
        events.subscribe()?;
        Ok(events)
    }

    /// Returns the daemon's reply.
    #[must_use]
    pub fn subscribed(&self) -> &Subscribed {
        &self.subscribed
    }

    /// Returns the socket of the subscription, for `poll(2)`; `None` after the end.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use monitor_client::{Client, DEFAULT_SOCKET, types::SubscribeParams};
    ///
    /// let mut client = Client::connect(DEFAULT_SOCKET)?;
    /// let mut events = client.subscribe(&SubscribeParams::default())?;
    /// println!("poll {:?}", events.socket());
    /// // Readable: this reads it, and the rest is in memory.
    /// let mut next = events.next_within(Some(Duration::ZERO)).transpose()?.flatten();
    /// while let Some(notification) = next {
    ///     println!("{}", notification.body.name());
    ///     next = events.received().transpose()?;
    /// }
    /// # Ok::<(), monitor_client::Error>(())
    /// ```
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// Returns the next notification that was received before, without a system call. `None`: there is none; the next one
    /// has to be waited for.
    ///
    /// A program that polls the descriptor of [`Events::socket`] calls it until it returns `None`, and polls then.
    pub fn received(&mut self) -> Option<Result<Notification, Error>> {
        self.incoming.notification()
    }

    /// Waits for the next notification, at most for `timeout` (indefinitely if it is `None`). `Ok(None)`: none arrived
    /// in time.
    pub fn next_within(
        &mut self,
        timeout: Option<Duration>,
    ) -> Option<Result<Option<Notification>, Error>> {
        // A timeout of zero would mean none.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        loop {
            if let Some(notification) = self.incoming.notification() {
                return Some(notification.map(Some));
            }
            let stream = self.stream.as_mut()?;
            let count = stream
                .set_read_timeout(timeout)
                .and_then(|()| stream.read(self.incoming.room()));
            match count {
                Ok(0) => return Some(self.broken(Error::Closed)),
                Ok(count) => self.incoming.filled(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Ok(None)),
                Err(error) => return Some(self.broken(Error::Io(error))),
            }
        }
    }

    /// Ends the connection, and subscribes again if the request allows that.
    fn broken(&mut self, error: Error) -> Result<Option<Notification>, Error> {
        self.stream = None;
        self.incoming = Incoming::default();
        if !self.request.resumes() {
            return Err(error);
        }
        let mut last = error;
        for pause in self.request.reconnect.pauses() {
            thread::sleep(pause);
            match self.resume() {
                Err(error) if error.is_broken() || matches!(error, Error::Connect { .. }) => {
                    last = error;
                }
                other => return other.map(|()| Some(self.subscribed.interrupted())),
            }
        }
        Err(last)
    }

    fn resume(&mut self) -> Result<(), Error> {
        let instance = Link::connect(&self.request.path)?.instance()?;
        let mut request = self.request.clone();
        let resume = request.connected(instance);
        if !matches!(resume, Resume::End) {
            self.subscribe()?;
        }
        // Only now: an attempt that fails is repeated from the start.
        self.request = request;
        match resume {
            Resume::Again => Ok(()),
            Resume::Restarted | Resume::End => Err(Error::Restarted),
        }
    }

    fn subscribe(&mut self) -> Result<(), Error> {
        let mut stream = connect(&self.request.path)?;
        stream.write_all(&wire::subscription(&self.request)?)?;
        self.incoming = Incoming::default();
        self.subscribed = loop {
            if let Some(subscribed) = self.incoming.reply(1) {
                break subscribed?;
            }
            match stream.read(self.incoming.room())? {
                0 => return Err(Error::Closed),
                count => self.incoming.filled(count),
            }
        };
        self.stream = Some(stream);
        Ok(())
    }
}

impl Iterator for Events {
    type Item = Result<Notification, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_within(None)?.transpose()
    }
}
