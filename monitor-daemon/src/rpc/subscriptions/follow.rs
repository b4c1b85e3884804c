//! Streams as they go on: read from the store when, and as fast as, the client takes them.

use std::borrow::Cow;
use std::io;

use monitor_engine::{NoData, PeekError, Reader, Side, SockId};
use monitor_rpc::types::{Encoding, EventParams};

use crate::rpc::access::memory::OWN;
use crate::rpc::subscriptions::notification_writer::NotificationWriter;
use crate::rpc::subscriptions::subscription::Subscription;
use crate::rpc::view;

/// Bytes of a side sent before other clients of this thread, and this client's requests, get their turn.
const TURN: usize = 4 * OWN;
/// Bytes of one event, at most. A multiple of 3 fills its base64.
const PIECE: usize = OWN / 3 * 3;

/// `follow`. Nothing waits for the client but the bytes in the store, so it can fall behind by a window, and is told
/// what it lost by that. The workers say no more than that something happened.
pub(crate) struct Follow {
    subscription: Subscription,
    reader: Reader,
    id: SockId,
    /// How far each side was sent; `None`: it is not followed, or not any more.
    sides: [Option<u64>; 2],
    encoding: Encoding,
    more: bool,
}

/// What is found at an offset.
enum Found {
    /// So many bytes, now in the client's buffer; whether the stream ends after them.
    Bytes(usize, bool),
    /// A hole, declared lost, up to there.
    Gap(u64),
    /// Bytes that were evicted, up to there.
    Lost(u64),
    /// Nothing yet.
    Nothing,
    /// There will be nothing any more.
    End(&'static str),
}

impl Follow {
    pub(crate) fn new(
        subscription: Subscription,
        reader: Reader,
        id: SockId,
        sides: [Option<u64>; 2],
        encoding: Encoding,
    ) -> Self {
        Self {
            subscription,
            reader,
            id,
            sides,
            encoding,
            more: true,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.subscription.number()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.more || self.subscription.is_ready()
    }

    pub(crate) async fn notify(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        self.subscription.take_ready();
        self.more = false;
        for side in Side::BOTH {
            let mut left = TURN;
            while let Some(off) = self.sides[side.index()] {
                let found = find(&self.reader, self.id, side, off, writer);
                if let Found::Bytes(len, _) = found {
                    left = left.saturating_sub(len);
                }
                if !self.say(side, off, &found, writer).await? {
                    break;
                }
                if left == 0 {
                    self.more = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Tells of what was found at `off`, and moves on; false if there was nothing.
    async fn say(
        &mut self,
        side: Side,
        off: u64,
        found: &Found,
        writer: &mut NotificationWriter<'_>,
    ) -> io::Result<bool> {
        let about = |event: &'static str| EventParams {
            listener: self.subscription.number(),
            event: Cow::Borrowed(event),
            sockid: Some(self.id.as_u64()),
            side: Some(view::side_name(side)),
            ..EventParams::default()
        };
        let part = |event, to: u64| EventParams {
            off: Some(off),
            len: Some(to - off),
            ..about(event)
        };
        let end = |reason| EventParams {
            reason: Some(Cow::Borrowed(reason)),
            ..about("end")
        };
        let next = match *found {
            Found::Nothing => return Ok(false),
            Found::Bytes(len, last) => {
                let to = off + len as u64;
                writer.shared.metrics.followed_bytes.add(len as u64);
                writer.bytes(part("data", to), len, self.encoding).await?;
                if last {
                    writer.event(&end("eof"));
                }
                (!last).then_some(to)
            }
            Found::Gap(to) => {
                writer.event(&part("gap", to));
                Some(to)
            }
            Found::Lost(to) => {
                writer.event(&part("lost", to));
                Some(to)
            }
            Found::End(reason) => {
                writer.event(&end(reason));
                None
            }
        };
        self.sides[side.index()] = next;
        writer.out.flush_if_full().await?;
        Ok(true)
    }
}

fn find(
    reader: &Reader,
    id: SockId,
    side: Side,
    off: u64,
    writer: &mut NotificationWriter<'_>,
) -> Found {
    // Before the bytes are looked for: what came before its end is then found.
    let over = reader
        .connection(id)
        .is_none_or(|connection| connection.closed.is_some());
    let nothing = if over {
        Found::End("closed")
    } else {
        Found::Nothing
    };
    match reader.peek(id, side, off, writer.peeks.own(PIECE)) {
        Ok(peek) => Found::Bytes(peek.len, peek.eof),
        Err(PeekError::NoSuchConnection) => Found::End("gone"),
        Err(PeekError::Disabled) => Found::End("disabled"),
        Err(PeekError::NotConnected) => nothing,
        Err(PeekError::NoData {
            reason,
            next_extent,
            base,
            next,
            ..
        }) => match reason {
            NoData::Evicted => Found::Lost(base),
            NoData::Eof => Found::End("eof"),
            NoData::Gap if next > off => Found::Gap(next_extent.unwrap_or(next).min(next)),
            NoData::Gap | NoData::Future => nothing,
        },
    }
}
