//! `subscribe`: events in their order.

use std::borrow::Cow;
use std::io;

use monitor_engine::{Event, SockId};
use monitor_rpc::types::{Encoding, EventKind, EventParams};

use crate::events::{Delivery, EventRecord, RecordedEvent};
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
                Some(Delivery::Lost(count)) => writer.lost(self.number(), count),
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
        let params = EventParams {
            listener: self.number(),
            time,
            ..describe(&record.what)
        };
        match (record.what, self.max) {
            (RecordedEvent::Event(Event::Data { id, side, off, len }), Some(max)) => {
                let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(max);
                let reader = writer.shared.status.readers.get(usize::from(id.worker()));
                let buffer = writer.peeks.own(wanted);
                // Evicted, or gone: the event then has fewer bytes than its `len`, which the client
                // can see.
                let peek = reader.and_then(|reader| reader.peek(id, side, off, buffer).ok());
                writer
                    .bytes(params, peek.map_or(0, |peek| peek.len), self.encoding)
                    .await
            }
            _ => {
                writer.event(&params);
                Ok(())
            }
        }
    }
}

/// Converts an event to the words of the RPC.
fn describe(what: &RecordedEvent) -> EventParams {
    let on = |kind: EventKind, id: SockId| EventParams {
        event: Cow::Borrowed(kind.name()),
        sockid: Some(id.as_u64()),
        ..EventParams::default()
    };
    let bytes = |kind, id, side, off, len| EventParams {
        side: Some(view::side_name(side)),
        off: Some(off),
        len: Some(len),
        ..on(kind, id)
    };
    match *what {
        RecordedEvent::Opened { id, ends } => EventParams {
            client: Some(ends.client()),
            server: Some(ends.server()),
            vlan: Some(ends.vlan().to_vec()),
            midstream: Some(ends.midstream),
            ..on(EventKind::Opened, id)
        },
        RecordedEvent::Event(event) => match event {
            Event::Opened { id } => on(EventKind::Opened, id),
            Event::Established { id } => on(EventKind::Established, id),
            Event::Data { id, side, off, len } => bytes(EventKind::Data, id, side, off, len),
            Event::Gap { id, side, off, len } => bytes(EventKind::Gap, id, side, off, len),
            Event::Filled { id, side, off, len } => bytes(EventKind::Filled, id, side, off, len),
            Event::Retransmit { id, side, off, len } => {
                bytes(EventKind::Retransmit, id, side, off, len)
            }
            Event::Conflict {
                id,
                side,
                off,
                len,
                late,
            } => EventParams {
                late: Some(late),
                ..bytes(EventKind::Conflict, id, side, off, len)
            },
            Event::State { id, side, state } => EventParams {
                side: Some(view::side_name(side)),
                state: Some(view::state(state)),
                ..on(EventKind::State, id)
            },
            Event::Closed { id, reason } => EventParams {
                reason: Some(Cow::Borrowed(reason.name())),
                ..on(EventKind::Closed, id)
            },
            Event::Evicted { id } => on(EventKind::Evicted, id),
        },
    }
}
