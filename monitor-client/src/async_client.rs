//! Client for tokio.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::async_link::AsyncLink;
use crate::calls::calls;
use crate::cursor::ppeek;
use crate::event_stream::EventStream;
use crate::openrpc::OpenRpc;
use crate::session::Session;
use crate::types::*;
use crate::{Error, Method, Next, Peeked, Read, Reconnect, Side};

/// Connection to the daemon, as [`crate::Client`]: one request at a time.
///
/// A call that is dropped before it is done (by a timeout, by `select!`) closes its connection, since the reply would
/// follow. The next call reconnects, if the policy allows that.
///
/// ```no_run
/// # async fn example() -> Result<(), monitor_client::Error> {
/// use monitor_client::{AsyncClient, DEFAULT_SOCKET, Side};
///
/// let mut client = AsyncClient::connect(DEFAULT_SOCKET).await?;
/// let read = client.ppeek(9, Side::Server, 0, 64).await?;
/// println!("{:?}", read.bytes);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncClient {
    session: Session,
    /// `None` from the end of a connection to the next one, and during a call.
    link: Option<AsyncLink>,
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
    /// Connects to the daemon at `path`. A broken connection stays broken.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect_with(path, Reconnect::NEVER).await
    }

    /// Connects to the daemon at `path`, and reconnects when the connection breaks. The first connection is attempted
    /// once.
    pub async fn connect_with(path: impl AsRef<Path>, reconnect: Reconnect) -> Result<Self, Error> {
        let mut link = AsyncLink::connect(path.as_ref()).await?;
        let instance = if reconnect == Reconnect::NEVER {
            None
        } else {
            link.instance().await?
        };
        Ok(Self {
            session: Session::new(path.as_ref(), reconnect, instance),
            link: Some(link),
        })
    }

    /// Reads at most `len` bytes from `off` to the next hole. Fewer bytes are normal. See [`crate::Client::ppeek`].
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

    /// Does the same as [`AsyncClient::ppeek`], into a buffer that is cleared first.
    pub async fn ppeek_into(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        self.ppeek_with(&ppeek(sockid, side, off, len), bytes).await
    }

    /// Does the same with any parameters; `params.encoding` is ignored.
    pub async fn ppeek_with(
        &mut self,
        params: &PpeekParams,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        let params = PpeekParams {
            encoding: Encoding::Raw,
            ..params.clone()
        };
        let result = self.read_once(&params, bytes).await;
        if self.session.repeats(Method::Ppeek, &result) {
            return self.read_once(&params, bytes).await;
        }
        result
    }

    async fn read_once(
        &mut self,
        params: &PpeekParams,
        bytes: &mut Vec<u8>,
    ) -> Result<Ppeek, Error> {
        let mut link = self.take_link().await?;
        let result = link.read(params, bytes).await;
        self.keep(link, &result);
        result
    }

    /// Reads at most `len` bytes at `off`, at least 1, or returns the reason for their absence. See [`Next`].
    pub async fn next_from(
        &mut self,
        sockid: u64,
        side: Side,
        off: u64,
        len: u64,
    ) -> Result<(Next, Vec<u8>), Error> {
        let (reply, bytes) = match self.ppeek(sockid, side, off, len).await {
            Ok(read) => (Ok(read.head), read.bytes),
            Err(Error::Rpc(error)) => (Err(error), Vec::new()),
            Err(error) => return Err(error),
        };
        let next = Next::from_reply(off, reply.as_ref().map_err(Clone::clone));
        Ok((next.map_err(Error::Rpc)?, bytes))
    }

    /// Reads the next bytes in order, at most `len`. See [`crate::Client::peek`].
    pub async fn peek(&mut self, sockid: u64, side: Side, len: u64) -> Result<Peeked, Error> {
        let mut walk = self.session.cursors.walk(sockid, side);
        let mut bytes = Vec::new();
        loop {
            let reply = self.ppeek_with(&walk.request(len), &mut bytes).await;
            if let Some(head) = self.session.cursors.advance(&mut walk, reply)? {
                return Ok(Peeked { head, bytes });
            }
        }
    }

    /// Calls any method with a reply of one line. See [`crate::Client::call`].
    pub async fn call<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        let result = self.call_once(method, params).await;
        if self.session.repeats(method, &result) {
            return self.call_once(method, params).await;
        }
        result
    }

    async fn call_once<R: DeserializeOwned>(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        let mut link = self.take_link().await?;
        let result = link.call(method, params).await;
        self.keep(link, &result);
        result
    }

    /// Subscribes to events. `params.encoding` is ignored. Example: [`EventStream`].
    pub async fn subscribe(&mut self, params: &SubscribeParams) -> Result<EventStream, Error> {
        let params = SubscribeParams {
            encoding: Encoding::Raw,
            ..params.clone()
        };
        self.listen(Method::Subscribe, &params).await
    }

    /// Streams the bytes of one side, or of both, from `off` (by default the lowest retained offset) as they arrive.
    /// See [`crate::Client::follow`].
    pub async fn follow(
        &mut self,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
    ) -> Result<EventStream, Error> {
        let params = FollowParams {
            sockid,
            side,
            off,
            encoding: Encoding::Raw,
        };
        self.listen(Method::Follow, &params).await
    }

    /// Searches streams for patterns as bytes arrive. See [`crate::Client::watch`].
    pub async fn watch(&mut self, params: &WatchParams) -> Result<EventStream, Error> {
        self.listen(Method::Watch, params).await
    }

    /// Streams packets as they were captured. See [`crate::Client::capture`].
    pub async fn capture(&mut self, params: &CaptureParams) -> Result<EventStream, Error> {
        self.listen(Method::Capture, params).await
    }

    /// Calls `subscribe`, `follow`, `watch` or `capture` with these parameters over a connection of its own.
    pub async fn listen(
        &mut self,
        method: Method,
        params: &impl Serialize,
    ) -> Result<EventStream, Error> {
        EventStream::open(self.session.subscription(method, params)?).await
    }

    /// Takes the connection out for a call: a caller that drops the call's future drops the connection too. Without one it
    /// connects, if the policy allows that.
    async fn take_link(&mut self) -> Result<AsyncLink, Error> {
        if self.link.is_none() {
            self.reconnect().await?;
        }
        self.link.take().ok_or(Error::Closed)
    }

    /// Puts the connection back after a call, unless it broke.
    fn keep<T>(&mut self, link: AsyncLink, result: &Result<T, Error>) {
        if !result.as_ref().is_err_and(Error::is_broken) {
            self.link = Some(link);
        }
    }

    async fn reconnect(&mut self) -> Result<(), Error> {
        let mut last = Error::Closed;
        for pause in self.session.reconnect.pauses() {
            tokio::time::sleep(pause).await;
            match self.connect_again().await {
                Ok((instance, link)) => {
                    self.link = Some(link);
                    return self.session.connected(instance);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_again(&self) -> Result<(Option<u64>, AsyncLink), Error> {
        let mut link = AsyncLink::connect(&self.session.path).await?;
        Ok((link.instance().await?, link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task of a runtime with several threads accepts only such futures.
    #[test]
    fn calls_may_move_between_threads() {
        fn assert_send<T: Send>(_: T) {}
        #[expect(dead_code, reason = "it need only compile")]
        fn calls(client: &mut AsyncClient) {
            assert_send(client.stats());
            assert_send(client.ppeek(9, Side::Server, 0, 1));
            assert_send(client.peek(9, Side::Server, 1));
            assert_send(client.follow(9, None, None));
        }
    }
}
