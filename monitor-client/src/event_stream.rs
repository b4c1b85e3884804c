//! Subscriptions of the client for tokio.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::async_link::{AsyncLink, connect};
use crate::incoming::Incoming;
use crate::session::{Resume, Subscribed, Subscription};
use crate::{Error, Notification, wire};

/// Maximum number of events that the task reads ahead; further ones wait in the daemon.
const AHEAD: usize = 16;

/// Notifications of a subscription as a stream, otherwise as [`crate::Events`]. A task of the runtime reads them, and
/// ends when this value is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), monitor_client::Error> {
/// use monitor_client::{AsyncClient, DEFAULT_SOCKET, types::SubscribeParams};
///
/// let mut client = AsyncClient::connect(DEFAULT_SOCKET).await?;
/// let mut events = client.subscribe(&SubscribeParams::default()).await?;
/// while let Some(notification) = events.next().await {
///     println!("{}", notification?.body.name());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EventStream {
    notifications: mpsc::Receiver<Result<Notification, Error>>,
    subscribed: Subscribed,
}

impl EventStream {
    pub(crate) async fn open(request: Subscription) -> Result<Self, Error> {
        let (connection, subscribed) = Connection::subscribe(&request).await?;
        let (sender, notifications) = mpsc::channel(AHEAD);
        tokio::spawn(Task { request, sender }.run(connection));
        Ok(Self {
            notifications,
            subscribed,
        })
    }

    /// Returns the daemon's reply.
    #[must_use]
    pub fn subscribed(&self) -> &Subscribed {
        &self.subscribed
    }

    /// Waits for the next notification. The future may be dropped at any time: no event is lost.
    pub async fn next(&mut self) -> Option<Result<Notification, Error>> {
        self.notifications.recv().await
    }
}

impl Stream for EventStream {
    type Item = Result<Notification, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.notifications.poll_recv(context)
    }
}

/// Task that reads for a stream.
struct Task {
    request: Subscription,
    sender: mpsc::Sender<Result<Notification, Error>>,
}

impl Task {
    async fn run(mut self, mut connection: Connection) {
        let sender = self.sender.clone();
        tokio::select! {
            () = sender.closed() => {}
            () = async {
                while let Some(next) = self.forward(&mut connection).await {
                    connection = next;
                }
            } => {}
        }
    }

    /// Forwards notifications until the connection breaks. Returns the next connection, if there is one.
    async fn forward(&mut self, connection: &mut Connection) -> Option<Connection> {
        let mut last = loop {
            match connection.notification().await {
                Err(error) if error.is_broken() => break error,
                result => self.sender.send(result).await.ok()?,
            }
        };
        if self.request.resumes() {
            for pause in self.request.reconnect.pauses() {
                tokio::time::sleep(pause).await;
                match self.resume().await {
                    Ok(connection) => return connection,
                    Err(error) => last = error,
                }
            }
        }
        // Fails if the stream was dropped.
        let _ = self.sender.send(Err(last)).await;
        None
    }

    /// Subscribes over a new connection. `None`: the subscription has ended.
    async fn resume(&mut self) -> Result<Option<Connection>, Error> {
        let instance = AsyncLink::connect(&self.request.path)
            .await?
            .instance()
            .await?;
        let mut request = self.request.clone();
        let resume = request.connected(instance);
        let (connection, result) = match resume {
            Resume::End => (None, Err(Error::Restarted)),
            Resume::Restarted | Resume::Again => {
                let (connection, subscribed) = Connection::subscribe(&request).await?;
                let result = match resume {
                    Resume::Again => Ok(subscribed.interrupted()),
                    _ => Err(Error::Restarted),
                };
                (Some(connection), result)
            }
        };
        // Only now: an attempt that fails is repeated from the start.
        self.request = request;
        let _ = self.sender.send(result).await;
        Ok(connection)
    }
}

/// Connection of a subscription.
struct Connection {
    stream: UnixStream,
    incoming: Incoming,
}

impl Connection {
    async fn subscribe(request: &Subscription) -> Result<(Self, Subscribed), Error> {
        let mut stream = connect(&request.path).await?;
        stream.write_all(&wire::subscription(request)?).await?;
        let mut connection = Self {
            stream,
            incoming: Incoming::default(),
        };
        loop {
            if let Some(subscribed) = connection.incoming.reply(1) {
                return Ok((connection, subscribed?));
            }
            connection.read().await?;
        }
    }

    async fn notification(&mut self) -> Result<Notification, Error> {
        loop {
            if let Some(notification) = self.incoming.notification() {
                return notification;
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        match self.stream.read(self.incoming.room()).await? {
            0 => Err(Error::Closed),
            count => {
                self.incoming.filled(count);
                Ok(())
            }
        }
    }
}
