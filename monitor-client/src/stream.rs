//! Listening, for tokio.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::future::Link;
use crate::incoming::Incoming;
use crate::listen::{Request, interrupted};
use crate::notice::{Listener, Notice};
use crate::{Error, Reconnect, wire};

/// Events that a task reads ahead; what a program is slower for waits in the daemon.
const AHEAD: usize = 16;

/// What a listener is told, as a stream; otherwise as [`crate::Notices`]. A task of the runtime reads it, and ends when
/// this is dropped.
#[derive(Debug)]
pub struct NoticeStream {
    events: mpsc::Receiver<Result<Notice, Error>>,
    listener: Listener,
}

impl NoticeStream {
    pub(super) async fn open(
        request: Request,
        reconnect: Reconnect,
        instance: Option<u64>,
    ) -> Result<Self, Error> {
        let (ear, listener) = Ear::listen(&request).await?;
        let (sender, events) = mpsc::channel(AHEAD);
        tokio::spawn(
            Task {
                request,
                reconnect,
                instance,
                sender,
            }
            .run(ear),
        );
        Ok(Self { events, listener })
    }

    /// What the daemon answered.
    #[must_use]
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// The next event. May be dropped at any time: no event is lost by that.
    pub async fn next(&mut self) -> Option<Result<Notice, Error>> {
        self.events.recv().await
    }
}

impl Stream for NoticeStream {
    type Item = Result<Notice, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

/// Reads for a stream.
struct Task {
    request: Request,
    reconnect: Reconnect,
    instance: Option<u64>,
    sender: mpsc::Sender<Result<Notice, Error>>,
}

impl Task {
    async fn run(mut self, mut ear: Ear) {
        let sender = self.sender.clone();
        tokio::select! {
            () = sender.closed() => {}
            () = async {
                while let Some(again) = self.hear(&mut ear).await {
                    ear = again;
                }
            } => {}
        }
    }

    /// Passes events on until the connection breaks; gives back the next one, if there is one.
    async fn hear(&mut self, ear: &mut Ear) -> Option<Ear> {
        let error = loop {
            match ear.event().await {
                Ok(event) => self.sender.send(Ok(event)).await.ok()?,
                Err(error) if error.is_broken() => break error,
                Err(error) => self.sender.send(Err(error)).await.ok()?,
            }
        };
        let mut last = error;
        if self.reconnect != Reconnect::NEVER && self.request.is_repeatable(false) {
            for pause in self.reconnect.pauses() {
                tokio::time::sleep(pause).await;
                match self.listen_again().await {
                    Ok(ear) => return ear,
                    Err(error) => last = error,
                }
            }
        }
        // Whoever listened is gone if this fails.
        let _ = self.sender.send(Err(last)).await;
        None
    }

    /// `None`: another daemon answers, and the listener was for a connection of the one before.
    async fn listen_again(&mut self) -> Result<Option<Ear>, Error> {
        let instance = Link::connect(&self.request.path).await?.instance().await?;
        let restarted = self.instance != instance;
        if restarted && !self.request.is_repeatable(true) {
            let _ = self.sender.send(Err(Error::Restarted)).await;
            return Ok(None);
        }
        let (ear, listener) = Ear::listen(&self.request).await?;
        self.instance = instance;
        let told = if restarted {
            Err(Error::Restarted)
        } else {
            Ok(interrupted(&listener))
        };
        let _ = self.sender.send(told).await;
        Ok(Some(ear))
    }
}

/// One connection that listens.
struct Ear {
    stream: UnixStream,
    incoming: Incoming,
}

impl Ear {
    async fn listen(request: &Request) -> Result<(Self, Listener), Error> {
        let path = &request.path;
        let mut stream = UnixStream::connect(path)
            .await
            .map_err(|source| Error::Connect {
                path: path.clone(),
                source,
            })?;
        let mut line = Vec::new();
        wire::request(&mut line, 1, request.method, &request.params)?;
        stream.write_all(&line).await?;
        let mut ear = Self {
            stream,
            incoming: Incoming::default(),
        };
        loop {
            if let Some(listener) = ear.incoming.reply(1) {
                return Ok((ear, listener?));
            }
            ear.read().await?;
        }
    }

    async fn event(&mut self) -> Result<Notice, Error> {
        loop {
            if let Some(event) = self.incoming.event() {
                return event;
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
