//! `subscribe`: events in their order.

use std::io;

use monitor_engine::{Event, SockId};
use monitor_rpc::types::{Encoding, EventBody, Notification, SideRange};

use crate::events::{Delivery, EventRecord, Losses, RecordedEvent};
use crate::rpc::access::memory::OWN;
use crate::rpc::subscriptions::notification_writer::NotificationWriter;
use crate::rpc::subscriptions::subscription::Subscription;
use crate::rpc::view;

/// Events written before other clients of this thread, and this client's requests, get their turn.
const TURN: usize = 256;

/// Subscription to events.
pub(crate) struct EventStream {
    subscription: Subscription,
    /// Maximum number of bytes that a `data` event contains.
    max: Option<usize>,
    encoding: Encoding,
    /// The last turn ended before the queue was empty.
    more: bool,
}

impl EventStream {
    /// Creates a subscription; `max` is cut to the size of a client's own buffer.
    pub(crate) fn new(subscription: Subscription, max: Option<u64>, encoding: Encoding) -> Self {
        let max = max.map(|max| max.min(OWN as u64) as usize);
        Self {
            subscription,
            max,
            encoding,
            more: false,
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
        for _ in 0..TURN {
            match self.subscription.next() {
                Some(Delivery::Record(record)) => self.write(&record, writer).await?,
                Some(Delivery::Lost(Losses { count, ends })) => {
                    writer.lost(self.number(), count, Some(ends));
                }
                None => {
                    self.more = false;
                    return Ok(());
                }
            }
            writer.out.flush_if_full().await?;
        }
        self.more = true;
        Ok(())
    }

    async fn write(
        &self,
        record: &EventRecord,
        writer: &mut NotificationWriter<'_>,
    ) -> io::Result<()> {
        let time = Some(view::seconds(record.time));
        let (id, body) = describe(&record.what);
        match (body, self.max) {
            (EventBody::Data { range, .. }, Some(max)) => {
                let wanted = usize::try_from(range.len).unwrap_or(usize::MAX).min(max);
                let reader = writer.shared.status.readers.get(usize::from(id.worker()));
                let buffer = writer.peeks.own(wanted);
                // Bytes that were evicted since then are missing from the event, which the client sees by their number.
                let peek =
                    reader.and_then(|reader| reader.peek(id, range.side, range.off, buffer).ok());
                let len = peek.map_or(0, |peek| peek.len);
                writer
                    .data(self.number(), time, id, range, len, self.encoding)
                    .await
            }
            (body, _) => {
                writer.event(&Notification {
                    listener: self.number(),
                    time,
                    sockid: Some(id.as_u64()),
                    body,
                });
                Ok(())
            }
        }
    }
}

/// Returns the connection of an event, and the event as clients see it.
fn describe(what: &RecordedEvent) -> (SockId, EventBody) {
    let event = match *what {
        RecordedEvent::Opened { id, ends } => {
            let body = EventBody::Opened {
                client: ends.client(),
                server: ends.server(),
                vlan: ends.vlan().to_vec(),
                midstream: ends.midstream,
            };
            return (id, body);
        }
        RecordedEvent::Event(event) => event,
    };
    let range = |side, off, len| SideRange { side, off, len };
    match event {
        // Recorded with its addresses, above.
        Event::Opened { id } => (id, EventBody::Other),
        Event::Established { id } => (id, EventBody::Established),
        Event::Data { id, side, off, len } => {
            let body = EventBody::Data {
                range: range(side, off, len),
                raw: None,
                data: None,
            };
            (id, body)
        }
        Event::Gap { id, side, off, len } => (id, EventBody::Gap(range(side, off, len))),
        Event::Filled { id, side, off, len } => (id, EventBody::Filled(range(side, off, len))),
        Event::Retransmit { id, side, off, len } => {
            (id, EventBody::Retransmit(range(side, off, len)))
        }
        Event::Conflict {
            id,
            side,
            off,
            len,
            late,
        } => {
            let range = range(side, off, len);
            (id, EventBody::Conflict { range, late })
        }
        Event::Refused {
            id,
            side,
            seq,
            len,
            reason,
        } => {
            let body = EventBody::Refused {
                side,
                seq,
                len,
                reason,
            };
            (id, body)
        }
        Event::State { id, side, state } => (id, EventBody::State { side, state }),
        Event::Closed { id, reason } => (id, EventBody::Closed { reason }),
        Event::Evicted { id } => (id, EventBody::Evicted),
    }
}
