//! `wait`: replies once a byte can be read.

use std::io;
use std::time::Duration;

use monitor_engine::{EndReason, NextKind, NoData, PeekError, Reader, SockId};
use monitor_rpc::types::{WaitParams, Waited};
use monitor_rpc::{ErrorObject, Method, Role};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::events::{READABLE, listen};
use super::handler::Serve;
use crate::events::{EventFilter, EventKinds, Scope};
use crate::rpc::access::limits;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;

/// Default timeout, in seconds.
const TIMEOUT: f64 = 30.0;
/// Interval of checks for a client that has disconnected.
const HANG_UP: Duration = Duration::from_secs(1);
/// Interval of reads for a byte beyond a hole: no event announces those.
const BEYOND_HOLE: Duration = Duration::from_millis(10);

/// Result of one attempt.
enum Attempt {
    Outcome(Result<Waited, ErrorObject>),
    /// The byte may still come.
    Pending {
        /// It lies beyond the in-order edge.
        beyond: bool,
    },
}

impl Serve for WaitParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let outcome = wait_for(session, &self).await?;
        session.reply(id, outcome);
        Ok(())
    }
}

/// While it waits, notifications are written, and the end of the client or of the server is noticed.
async fn wait_for(
    session: &mut Session,
    params: &WaitParams,
) -> io::Result<Result<Waited, ErrorObject>> {
    let timeout = params.timeout.unwrap_or(TIMEOUT);
    let most = limits::WAIT;
    if !(0.0..=most).contains(&timeout) {
        let message = format!("parameter `timeout` must be 0 to {most} seconds, not {timeout}");
        return Ok(Err(errors::parameter("timeout", message)));
    }
    let (reader, id) = match session.shared.reader(params.sockid, None) {
        Ok((reader, id)) => (reader.clone(), id),
        Err(error) => return Ok(Err(error)),
    };
    if let Attempt::Outcome(outcome) = attempt(&reader, id, params) {
        return Ok(outcome);
    }
    let deadline = Instant::now() + Duration::from_secs_f64(timeout);
    let filter = EventFilter {
        kinds: EventKinds::of(READABLE),
        side: Some(params.side),
        worker: None,
        scope: Scope::One(id),
    };
    let _subscription = match listen(session, &filter, None).await {
        Ok(subscription) => subscription,
        Err(error) => return Ok(Err(error)),
    };
    let mut stopping = session.shared.stopping.clone();
    loop {
        let beyond = match attempt(&reader, id, params) {
            Attempt::Outcome(outcome) => return Ok(outcome),
            Attempt::Pending { beyond } => beyond,
        };
        let now = Instant::now();
        if now >= deadline {
            return Ok(Err(errors::timeout(params.off)));
        }
        let pending = session.notify().await?;
        session.out.flush().await?;
        if session.rights.role(&session.peer) < Role::Reader {
            return Ok(Err(errors::permission(Method::Wait, &session.peer)));
        }
        if pending {
            tokio::task::yield_now().await;
            continue;
        }
        let until = deadline.min(now + if beyond { BEYOND_HOLE } else { HANG_UP });
        tokio::select! {
            () = session.subscriptions.changed() => {}
            () = session.rights.changed() => {}
            () = tokio::time::sleep_until(until) => {}
            _ = stopping.wait_for(|&stop| stop) => return Err(io::ErrorKind::Interrupted.into()),
        }
        if session.out.is_hung_up() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

fn attempt(reader: &Reader, id: SockId, params: &WaitParams) -> Attempt {
    let &WaitParams {
        sockid, off, side, ..
    } = params;
    let next = reader.next_from(id, side, off, &mut []);
    let (base, edge, end, fin) = (next.base, next.next, next.end, next.fin);
    let no_data = |reason| {
        let error = PeekError::NoData {
            reason,
            next_extent: None,
            base,
            next: edge,
            end,
        };
        Err(errors::peek(error, sockid, side, off))
    };
    Attempt::Outcome(match next.kind {
        NextKind::Bytes { available, .. } => Ok(Waited {
            off,
            available,
            base,
            next: edge,
            end,
            fin,
        }),
        // Without a buffer nothing is copied, so nothing can be busy.
        NextKind::Pending | NextKind::Busy => return Attempt::Pending { beyond: off > edge },
        // A hole that was declared lost may still be filled while packets come.
        NextKind::Gap { .. } if next.closed.is_none() => return Attempt::Pending { beyond: true },
        NextKind::Gap { .. } => no_data(NoData::Gap),
        NextKind::Lost { .. } => no_data(NoData::Evicted),
        NextKind::End(EndReason::Eof) => no_data(NoData::Eof),
        NextKind::End(EndReason::Closed) => Err(errors::closed(off, base, edge, end)),
        NextKind::End(EndReason::Disabled) => {
            Err(errors::peek(PeekError::Disabled, sockid, side, off))
        }
        NextKind::End(EndReason::Gone) => Err(errors::no_connection(sockid)),
    })
}
