//! `capture`.

use std::io;

use monitor_rpc::ErrorObject;
use monitor_rpc::types::{CaptureParams, Listening};
use serde_json::value::RawValue;

use super::events::{check_listeners, listen};
use super::handler::Serve;
use super::info::snapshot;
use crate::events::{EventFilter, EventKinds, Scope};
use crate::filter::Filter;
use crate::rpc::access::account::Purpose;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::subscriptions::Active;
use crate::rpc::subscriptions::capture::Capture;

/// Bytes of a packet by default: all.
const SNAPLEN: u64 = 262_144;

impl Serve for CaptureParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = capture(session, &self).await;
        session.reply(id, result);
        Ok(())
    }
}

async fn capture(session: &mut Session, params: &CaptureParams) -> Result<Listening, ErrorObject> {
    check_listeners(session)?;
    let text = params.filter.as_deref().unwrap_or_default();
    let filter = Filter::compile(text).map_err(|error| errors::filter("filter", &error))?;
    let snaplen = match params.snaplen {
        Some(0) => {
            let message = "parameter `snaplen` must be at least 1, not 0";
            return Err(errors::parameter("snaplen", message));
        }
        snaplen => snaplen.unwrap_or(SNAPLEN).min(SNAPLEN) as u32,
    };
    let worker = session.shared.worker(params.worker)?;
    if snapshot(&session.shared).await.mode == "replay" {
        return Err(errors::replay());
    }
    let logs = &session.shared.packet_logs;
    let memory = logs.memory() + filter.memory();
    let lease = session.account().lease(Purpose::Listener, memory);
    let lease = lease.ok_or_else(errors::no_memory)?;
    // No events: a number, and a place among the listeners.
    let none = EventFilter {
        kinds: EventKinds::of(&[]),
        side: None,
        worker: None,
        scope: Scope::All,
    };
    let subscription = listen(session, &none, Some(1)).await?;
    let captured = logs.capture().await.map_err(errors::unanswered)?;
    let number = subscription.number();
    let wake = &session.subscriptions.wake;
    let capture = Capture::new(
        subscription,
        captured.of(worker),
        lease,
        filter,
        snaplen,
        wake,
    );
    session
        .subscriptions
        .add(Active::Capture(Box::new(capture)));
    Ok(Listening { sockid: number })
}
