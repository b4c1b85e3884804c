//! `wait`.

use std::io;
use std::time::Duration;

use monitor_engine::{NoData, PeekError, Reader, SockId};
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{WaitParams, Waited};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::events::{EventFilter, EventKinds, Scope};
use crate::rpc::methods::events::{READABLE, listen};
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::view;

/// How long to wait unless the client says otherwise, seconds.
const PATIENCE: f64 = 30.0;
/// And what it may say.
const LONGEST: f64 = 3600.0;
/// Between looks whether the client is still there.
const HANG_UP: Duration = Duration::from_secs(1);
/// Between looks for a byte ahead of a hole: no event tells of those.
const AHEAD: Duration = Duration::from_millis(10);

/// What a look at an offset finds.
enum Found {
    Outcome(Result<Waited, ErrorObject>),
    /// It may still come; `ahead`: past what is in order.
    Nothing {
        ahead: bool,
    },
}

pub(crate) async fn wait(
    session: &mut Session,
    id: &RawValue,
    params: &WaitParams,
) -> io::Result<()> {
    let outcome = wait_for(session, params).await?;
    session.reply(id, outcome);
    Ok(())
}

/// Meanwhile events are told, and whether the client or the server goes away is noticed.
async fn wait_for(
    session: &mut Session,
    params: &WaitParams,
) -> io::Result<Result<Waited, ErrorObject>> {
    let patience = params.timeout.unwrap_or(PATIENCE);
    if !(0.0..=LONGEST).contains(&patience) {
        let message = format!("parameter `timeout` must be 0 to {LONGEST} seconds, not {patience}");
        return Ok(Err(errors::parameter("timeout", message)));
    }
    let (reader, id) = match session.shared.reader(params.sockid, None) {
        Ok((reader, id)) => (reader.clone(), id),
        Err(error) => return Ok(Err(error)),
    };
    if let Found::Outcome(outcome) = look(&reader, id, params) {
        return Ok(outcome);
    }
    let deadline = Instant::now() + Duration::from_secs_f64(patience);
    let side = Some(view::side(params.side));
    let interest = EventFilter {
        kinds: EventKinds::of(READABLE),
        side,
        scope: Scope::One(id),
    };
    let _subscription = match listen(session, &interest, None).await {
        Ok(subscription) => subscription,
        Err(error) => return Ok(Err(error)),
    };
    let mut stopping = session.shared.stopping.clone();
    loop {
        let ahead = match look(&reader, id, params) {
            Found::Outcome(outcome) => return Ok(outcome),
            Found::Nothing { ahead } => ahead,
        };
        let now = Instant::now();
        if now >= deadline {
            return Ok(Err(errors::timeout(params.off)));
        }
        let untold = session.notify().await?;
        session.out.flush().await?;
        if untold {
            tokio::task::yield_now().await;
            continue;
        }
        let until = deadline.min(now + if ahead { AHEAD } else { HANG_UP });
        tokio::select! {
            () = session.subscriptions.changed() => {}
            () = tokio::time::sleep_until(until) => {}
            _ = stopping.wait_for(|&stop| stop) => return Err(io::ErrorKind::Interrupted.into()),
        }
        if session.out.is_hung_up() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

fn look(reader: &Reader, id: SockId, params: &WaitParams) -> Found {
    let &WaitParams {
        sockid,
        off,
        side: name,
        ..
    } = params;
    let side = view::side(name);
    // Before the byte is looked for: what came before its end is then found.
    let Some(connection) = reader.connection(id) else {
        return Found::Outcome(Err(errors::no_connection(sockid)));
    };
    let over = connection.closed.is_some();
    let at = &connection.sides[side.index()];
    let nothing = || match over {
        true => Found::Outcome(Err(errors::closed(off, at.base, at.next, at.end))),
        false => Found::Nothing {
            ahead: off > at.next,
        },
    };
    match reader.peek(id, side, off, &mut [0]) {
        Ok(peek) => {
            let runs = reader
                .extents(id, side)
                .map(|extents| extents.runs)
                .unwrap_or_default();
            let run = runs
                .into_iter()
                .find(|(start, len)| (*start..*start + *len).contains(&off));
            // Evicted since it was there.
            let available = run.map_or(peek.len as u64, |(start, len)| start + len - off);
            let monitor_engine::Peek {
                base,
                next,
                end,
                fin,
                ..
            } = peek;
            Found::Outcome(Ok(Waited {
                off,
                available,
                base,
                next,
                end,
                fin,
            }))
        }
        Err(PeekError::NotConnected) => nothing(),
        Err(PeekError::NoData {
            reason: NoData::Future,
            ..
        }) => nothing(),
        // One that was declared lost may still be filled, while packets come.
        Err(PeekError::NoData {
            reason: NoData::Gap,
            ..
        }) if !over => Found::Nothing { ahead: true },
        Err(error) => Found::Outcome(Err(errors::peek(error, sockid, name, off))),
    }
}
