//! Writer of notifications.

use std::io;

use monitor_engine::SockId;
use monitor_rpc::types::{Base64, Encoding, EventBody, Notification, SideRange};
use serde::Serialize;

use crate::rpc::access::memory::PeekBuffer;
use crate::rpc::protocol::response;
use crate::rpc::shared::Shared;
use crate::rpc::transport::output::Output;

/// Maximum number of bytes that are gathered with their line instead of sent at once.
const SMALL: usize = 4 * 1024;

/// Parts of a session that notifications need.
pub(crate) struct NotificationWriter<'a> {
    pub(crate) out: &'a mut Output,
    pub(crate) peeks: &'a mut PeekBuffer,
    pub(crate) shared: &'a Shared,
}

#[derive(Serialize)]
struct Envelope<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a Notification,
}

impl NotificationWriter<'_> {
    /// Writes a notification.
    pub(crate) fn event(&mut self, params: &Notification) {
        self.shared.metrics.events.add(1);
        response::value(
            self.out.open(),
            &Envelope {
                jsonrpc: "2.0",
                method: "event",
                params,
            },
        );
        self.out.close();
    }

    /// Reports records that did not fit into a listener's queue, and how many of them were ends of connections.
    pub(crate) fn lost(&mut self, listener: u64, count: u64, ends: Option<u64>) {
        self.shared.metrics.events_lost.add(count);
        self.event(&Notification {
            listener,
            time: None,
            sockid: None,
            body: EventBody::Lost {
                count: Some(count),
                ends,
                side: None,
                off: None,
                len: None,
            },
        });
    }

    /// Writes an event `data` with the first `len` bytes of the client's buffer.
    pub(crate) async fn data(
        &mut self,
        listener: u64,
        time: Option<f64>,
        id: SockId,
        range: SideRange,
        len: usize,
        encoding: Encoding,
    ) -> io::Result<()> {
        let bytes = self.peeks.filled(len);
        let (raw, data) = match encoding {
            Encoding::Raw => (Some(len as u64), None),
            Encoding::Base64 => (None, Some(Base64(bytes.to_vec()))),
        };
        self.event(&Notification {
            listener,
            time,
            sockid: Some(id.as_u64()),
            body: EventBody::Data { range, raw, data },
        });
        if encoding == Encoding::Raw {
            let bytes = self.peeks.filled(len);
            if len > SMALL {
                return self.out.flush_with(bytes).await;
            }
            self.out.text().extend_from_slice(bytes);
        }
        self.out.flush_if_full().await
    }
}
