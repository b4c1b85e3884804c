//! `follow`: streams of one connection, read from the store as fast as the client takes them.

use std::borrow::Cow;
use std::io;

use monitor_engine::{Next, NextKind, Reader, Side, SockId};
use monitor_rpc::types::{Encoding, EventBody, Notification, SideRange};

use super::notification_writer::NotificationWriter;
use super::subscription::Subscription;
use crate::rpc::access::memory::OWN;

/// Bytes of a side that are sent before other clients of this thread, and this client's requests, get their turn.
const TURN: usize = 4 * OWN;
/// Maximum number of bytes of one event. A multiple of 3 fills its base64.
const CHUNK: usize = OWN / 3 * 3;

/// Followed connection. Bytes wait for the client in the store alone: a client that is slower by more than a window loses
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
        for side in Side::BOTH {
            let mut left = TURN;
            while let Some(off) = self.sides[side.index()] {
                let buffer = writer.peeks.own(CHUNK);
                let next = self.reader.next_from(self.id, side, off, buffer);
                match next.kind {
                    NextKind::Pending => break,
                    NextKind::Busy => {
                        self.more = true;
                        break;
                    }
                    _ => {}
                }
                if let NextKind::Bytes { len, .. } = next.kind {
                    left = left.saturating_sub(len);
                }
                self.sides[side.index()] = self.write(side, off, &next, writer).await?;
                writer.out.flush_if_full().await?;
                if left == 0 {
                    self.more = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes the continuation at `off`. Returns the next offset; `None` at the end of the side.
    async fn write(
        &self,
        side: Side,
        off: u64,
        next: &Next,
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
                    .data(number, None, self.id, range, len, self.encoding)
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
