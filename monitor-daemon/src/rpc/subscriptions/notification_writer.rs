//! Writer of notifications.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_rpc::types::{Encoding, EventParams};
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
struct Notification<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a EventParams,
}

impl NotificationWriter<'_> {
    /// Writes a notification.
    pub(crate) fn event(&mut self, params: &EventParams) {
        self.shared.metrics.events.add(1);
        response::value(
            self.out.open(),
            &Notification {
                jsonrpc: "2.0",
                method: "event",
                params,
            },
        );
        self.out.close();
    }

    /// Reports records that did not fit into a listener's queue.
    pub(crate) fn lost(&mut self, listener: u64, count: u64) {
        self.shared.metrics.events_lost.add(count);
        let event = Cow::Borrowed("lost");
        self.event(&EventParams {
            listener,
            event,
            count: Some(count),
            ..EventParams::default()
        });
    }

    /// Writes a notification with the first `len` bytes of the client's buffer.
    pub(crate) async fn bytes(
        &mut self,
        params: EventParams,
        len: usize,
        encoding: Encoding,
    ) -> io::Result<()> {
        match encoding {
            Encoding::Raw => {
                self.event(&EventParams {
                    raw: Some(len as u64),
                    ..params
                });
                let bytes = self.peeks.filled(len);
                if len > SMALL {
                    return self.out.flush_with(bytes).await;
                }
                self.out.text().extend_from_slice(bytes);
            }
            Encoding::Base64 => {
                self.event(&EventParams {
                    data: Some(STANDARD.encode(self.peeks.filled(len))),
                    ..params
                });
            }
        }
        self.out.flush_if_full().await
    }
}
