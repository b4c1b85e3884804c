//! The client for tokio.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::calls::calls;
use crate::listen::Request;
use crate::openrpc::OpenRpc;
use crate::stream::NoticeStream;
use crate::types::*;
use crate::{BUFFER, Error, Peeked, Read, Reconnect, peek, ppeek, wire};
use crate::{Method, Side};

/// A connection to the daemon, as [`crate::Client`]: one request at a time.
///
/// A call that is dropped before it is done (by a timeout, by `select!`) takes its connection along, since the reply
/// to it is still to come: the next call connects anew, if the policy allows that.
#[derive(Debug)]
pub struct AsyncClient {
    path: PathBuf,
    reconnect: Reconnect,
    /// `None` after it broke, until it is made anew, and while a call is under way.
    link: Option<Link>,
    /// Which daemon was connected to; asked for by those alone that connect again.
    instance: Option<u64>,
    /// `peek` was called over this connection; and over one that is gone, which was not told yet.
    cursors: (bool, bool),
}

macro_rules! write {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $method:ident, $params:expr;)*) => {
        impl AsyncClient {
            $($(#[$doc])*
            pub async fn $name(&mut self, $($arg: $type),*) -> Result<$result, Error> {
                self.call(Method::$method, &$params).await
            })*
        }
    };
}
calls!(write);

impl AsyncClient {
    /// Connects to the daemon that listens at `path`. When the connection breaks it stays broken.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect_with(path, Reconnect::NEVER).await
    }

    /// Connects to the daemon that listens at `path`, and again when the connection breaks. The first connection is
    /// tried once.
    pub async fn connect_with(path: impl AsRef<Path>, reconnect: Reconnect) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        let mut link = Link::connect(&path).await?;
        let instance = if reconnect == Reconnect::NEVER {
            None
        } else {
            link.instance().await?
        };
        Ok(Self {
            path,
            reconnect,
            link: Some(link),
            instance,
            cursors: (false, false),
        })
    }

    /// Bytes from `off` on, up to `len`, stopping at a hole. Fewer than asked is normal.
    pub async fn ppeek(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
    ) -> Result<Read, Error> {
        let mut bytes = Vec::new();
        let head = self.ppeek_into(sockid, side, off, len, &mut bytes).await?;
        Ok(Read { head, bytes })
    }

    /// As [`AsyncClient::ppeek`], into a buffer that is used again: it is cleared and holds the bytes afterwards.
    pub async fn ppeek_into(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        let params = ppeek(sockid, side, off, len);
        self.attempt(Method::Ppeek, async |link| {
            bytes.clear();
            let head: Ppeek = link.call(Method::Ppeek, &params).await?;
            bytes.resize(wire::raw(head.raw, head.len, len)?, 0);
            link.stream.read_exact(bytes).await?;
            Ok(head)
        })
        .await
    }

    /// The next bytes in order, up to `len`: each call goes on where the one before ended, the first begins at 0.
    pub async fn peek(&mut self, sockid: u64, side: Side, len: u64) -> Result<Peeked, Error> {
        self.connected().await?;
        let (_, lost) = std::mem::replace(&mut self.cursors, (true, false));
        if lost {
            return Err(Error::CursorsLost);
        }
        let params = peek(sockid, side, len);
        self.attempt(Method::Peek, async |link| {
            let head: Peek = link.call(Method::Peek, &params).await?;
            let mut bytes = vec![0; wire::raw(head.raw, head.len, len)?];
            link.stream.read_exact(&mut bytes).await?;
            Ok(Peeked { head, bytes })
        })
        .await
    }

    /// Any method whose reply is one line.
    pub async fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        self.attempt(method, async |link| link.call(method, params).await)
            .await
    }

    /// What happens from now on. `params.encoding` does not matter.
    pub async fn subscribe(&mut self, params: &SubscribeParams) -> Result<NoticeStream, Error> {
        let params = SubscribeParams {
            encoding: Encoding::Raw,
            ..params.clone()
        };
        self.listen("subscribe", &params).await
    }

    /// Every byte of a side, or of both, from `off` on (the lowest kept, unless given), as it comes.
    pub async fn follow(
        &mut self,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
    ) -> Result<NoticeStream, Error> {
        self.listen(
            "follow",
            &FollowParams {
                sockid,
                side,
                off,
                encoding: Encoding::Raw,
            },
        )
        .await
    }

    /// What is found in the streams from now on.
    pub async fn watch(&mut self, params: &WatchParams) -> Result<NoticeStream, Error> {
        self.listen("watch", params).await
    }

    /// Listens: `subscribe`, `follow` or `watch`, with these parameters, over a connection of its own.
    pub async fn listen(
        &mut self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<NoticeStream, Error> {
        let params = serde_json::to_value(params).map_err(Error::Request)?;
        let request = Request {
            path: self.path.clone(),
            method,
            params,
        };
        NoticeStream::open(request, self.reconnect, self.instance).await
    }

    /// Asks once, and once more over a new connection if the first one broke and asking twice does no harm.
    async fn attempt<T>(
        &mut self,
        method: Method,
        mut ask: impl AsyncFnMut(&mut Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.ask(&mut ask).await {
            Err(error)
                if error.is_broken()
                    && self.reconnect != Reconnect::NEVER
                    && method.is_repeatable() =>
            {
                self.ask(&mut ask).await
            }
            other => other,
        }
    }

    async fn ask<T>(
        &mut self,
        ask: &mut impl AsyncFnMut(&mut Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.connected().await?;
        // Taken out while it is asked: whoever drops this future drops it too.
        let mut link = self.link.take().ok_or(Error::Closed)?;
        let result = ask(&mut link).await;
        if !result.as_ref().is_err_and(Error::is_broken) {
            self.link = Some(link);
        }
        result
    }

    async fn connected(&mut self) -> Result<(), Error> {
        if self.link.is_none() {
            self.connect_again().await
        } else {
            Ok(())
        }
    }

    async fn connect_again(&mut self) -> Result<(), Error> {
        let mut last = Error::Closed;
        for pause in self.reconnect.pauses() {
            tokio::time::sleep(pause).await;
            let found = async {
                let mut link = Link::connect(&self.path).await?;
                Ok((link.instance().await?, link))
            };
            match found.await {
                Ok((instance, link)) => {
                    self.link = Some(link);
                    self.cursors = (false, self.cursors.0 || self.cursors.1);
                    let restarted = std::mem::replace(&mut self.instance, instance) != instance;
                    return if restarted {
                        Err(Error::Restarted)
                    } else {
                        Ok(())
                    };
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// One socket.
#[derive(Debug)]
pub(super) struct Link {
    stream: BufReader<UnixStream>,
    next_id: u64,
    /// The last request or reply, kept for its memory.
    line: Vec<u8>,
}

impl Link {
    pub(super) async fn connect(path: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| Error::Connect {
                path: path.to_path_buf(),
                source,
            })?;
        Ok(Self {
            stream: BufReader::with_capacity(BUFFER, stream),
            next_id: 1,
            line: Vec::new(),
        })
    }

    pub(super) async fn instance(&mut self) -> Result<Option<u64>, Error> {
        let hello: Hello = self.call(Method::Hello, &HelloParams::default()).await?;
        Ok(hello.instance)
    }

    async fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        let id = self.next_id;
        self.next_id += 1;
        wire::request(&mut self.line, id, method.name(), params)?;
        self.stream.write_all(&self.line).await?;
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line).await?;
        wire::reply(&self.line, id)
    }
}
