//! `follow`: streams of one connection, read from the store as fast as the client takes them.

use std::borrow::Cow;
use std::io;

use monitor_engine::{Next, NextKind, PeekError, Reader, Side, SockId, Turn};
use monitor_rpc::types::{Encoding, EventBody, Notification, SideRange};

use super::notification_writer::NotificationWriter;
use super::subscription::Subscription;
use crate::rpc::access::memory::OWN;
use crate::rpc::view::seconds;

/// Bytes that are sent before other clients of this thread, and this client's requests, get their turn.
const TURN: usize = 8 * OWN;
/// Bytes that a notification counts for besides those that it carries.
const LINE: usize = 256;
/// Turns that are looked up at once.
const TURNS: usize = 32;
/// Maximum number of bytes of one event. A multiple of 3 fills its base64.
const CHUNK: usize = OWN / 3 * 3;

/// Followed connection: its bytes in the order of the conversation, then the state of each side. Bytes wait for the client in the store alone: a client that is slower by more than a window loses
/// bytes, and each loss is reported. Workers only say that something happened.
pub(crate) struct Follow {
    subscription: Subscription,
    reader: Reader,
    id: SockId,
    /// Next offset of each side; `None`: the side isn't followed, or has ended.
    sides: [Option<u64>; 2],
    encoding: Encoding,
    more: bool,
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
        let mut left = TURN;
        loop {
            // A side that is not followed starts beyond all bytes.
            let from = self.sides.map(|off| off.unwrap_or(u64::MAX));
            let turns = match self.reader.turns(self.id, from, TURNS) {
                Ok(turns) => turns.turns,
                Err(PeekError::Busy) => {
                    self.more = true;
                    return Ok(());
                }
                // Both sides end.
                Err(_) => Vec::new(),
            };
            if turns.is_empty() {
                break;
            }
            for turn in &turns {
                left = left.saturating_sub(self.turn(turn, writer).await?);
                if self.more || left == 0 {
                    self.more = true;
                    return Ok(());
                }
            }
        }
        for side in Side::BOTH {
            self.rest(side, writer).await?;
        }
        Ok(())
    }

    /// Writes a turn, and the losses before it. Returns its cost in bytes. Sets `more` if the bytes cannot be read now.
    async fn turn(
        &mut self,
        turn: &Turn,
        writer: &mut NotificationWriter<'_>,
    ) -> io::Result<usize> {
        let end = turn.off + turn.len;
        let mut cost = 0;
        while let Some(off) = self.sides[turn.side.index()].filter(|off| *off < end) {
            let limit = if off < turn.off { turn.off } else { end };
            let most = CHUNK.min(usize::try_from(limit - off).unwrap_or(CHUNK));
            let buffer = writer.peeks.own(most);
            let next = self.reader.next_from(self.id, turn.side, off, buffer);
            match next.kind {
                NextKind::Pending | NextKind::Busy => {
                    self.more = true;
                    break;
                }
                NextKind::Bytes { len, .. } => cost += len + LINE,
                _ => cost += LINE,
            }
            let time = Some(seconds(turn.time));
            self.sides[turn.side.index()] = self.write(turn.side, off, &next, time, writer).await?;
            writer.out.flush_if_full().await?;
        }
        Ok(cost)
    }

    /// Writes losses and the end of a side after its last byte.
    async fn rest(&mut self, side: Side, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        while let Some(off) = self.sides[side.index()] {
            let next = self.reader.next_from(self.id, side, off, &mut []);
            match next.kind {
                NextKind::Pending => break,
                NextKind::Busy => {
                    self.more = true;
                    break;
                }
                // Bytes that came a moment ago, or beyond a hole: then an event says that it was passed.
                NextKind::Bytes { .. } => {
                    self.more |= off < next.next;
                    break;
                }
                _ => {}
            }
            self.sides[side.index()] = self.write(side, off, &next, None, writer).await?;
            writer.out.flush_if_full().await?;
        }
        Ok(())
    }

    /// Writes the continuation at `off`. Returns the next offset; `None` at the end of the side.
    async fn write(
        &self,
        side: Side,
        off: u64,
        next: &Next,
        time: Option<f64>,
        writer: &mut NotificationWriter<'_>,
    ) -> io::Result<Option<u64>> {
        match next.kind {
            NextKind::Pending | NextKind::Busy => Ok(Some(off)),
            NextKind::Bytes { len, eof, .. } => {
                let to = off + len as u64;
                writer.shared.metrics.followed_bytes.add(len as u64);
                let range = range(side, off, to);
                let number = self.subscription.number();
                writer
                    .data(number, time, self.id, range, len, self.encoding)
                    .await?;
                if eof {
                    writer.event(&self.end(side, "eof"));
                }
                Ok((!eof).then_some(to))
            }
            NextKind::Gap { to } => {
                writer.event(&self.event(EventBody::Gap(range(side, off, to))));
                Ok(Some(to))
            }
            NextKind::Lost { to } => {
                let lost = EventBody::Lost {
                    count: None,
                    ends: None,
                    side: Some(side),
                    off: Some(off),
                    len: Some(to - off),
                };
                writer.event(&self.event(lost));
                Ok(Some(to))
            }
            NextKind::End(reason) => {
                writer.event(&self.end(side, reason.name()));
                Ok(None)
            }
        }
    }

    fn event(&self, body: EventBody) -> Notification {
        Notification {
            listener: self.subscription.number(),
            time: None,
            sockid: Some(self.id.as_u64()),
            body,
        }
    }

    fn end(&self, side: Side, reason: &'static str) -> Notification {
        let reason = Cow::Borrowed(reason);
        self.event(EventBody::End { side, reason })
    }
}

fn range(side: Side, off: u64, to: u64) -> SideRange {
    SideRange {
        side,
        off,
        len: to - off,
    }
}
