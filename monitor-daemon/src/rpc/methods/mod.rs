//! Methods: one module for each group, functions over a [`Session`].
//!
//! [`answer`] takes a line apart and answers each request in it. The peer's role is checked before the parameters are
//! parsed. The table of methods generates the calls: a method is its line there, and [`Serve`](handler::Serve) for its parameters.

mod attach;
mod capture;
mod config;
mod control;
mod discover;
mod events;
mod handler;
pub(crate) mod info;
mod list;
mod read;
mod selection;
mod top;
mod turns;
mod wait;
mod watch;

use std::io;
use std::time::{Duration, Instant};

use monitor_rpc::{ErrorObject, Method, Role};
use serde_json::value::RawValue;

use super::access::limits;
use super::access::peer::Peer;
use super::protocol::call::Call;
use super::protocol::errors;
use super::protocol::request::{Message, Rejected, Request};
use super::session::Session;
pub(crate) use config::reload_by_signal;
use handler::Serve;

macro_rules! dispatch {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $name:literal $role:ident $params:ty => $result:ty, [$($reason:ident)*];
    )+) => {
        async fn dispatch(session: &mut Session, id: &RawValue, call: Call) -> io::Result<()> {
            match call {
                $(Call::$variant(params) => params.serve(session, id).await,)+
            }
        }

        async fn notify(session: &mut Session, call: Call) {
            match call {
                $(Call::$variant(params) => params.notify(session).await,)+
            }
        }
    };
}

monitor_rpc::for_each_method!(dispatch);

/// Time after which other clients of this thread get their turn: a batch can hold thousands of requests.
const TURN: Duration = Duration::from_micros(500);

/// Answers one line: a request, a notification or a batch.
pub(crate) async fn answer(session: &mut Session, line: &[u8]) -> io::Result<()> {
    match Message::parse(line, limits::BATCH) {
        Ok(Message::Single(text)) => perform(session, text).await,
        Ok(Message::Batch(members)) => {
            session.out.start_batch();
            for member in members {
                perform(session, member.get()).await?;
            }
            session.out.end_batch();
            session.out.flush_if_full().await
        }
        Err(error) => {
            session.error(None, &error);
            Ok(())
        }
    }
}

async fn perform(session: &mut Session, text: &str) -> io::Result<()> {
    match Request::parse(text) {
        Ok(request) => call(session, request).await?,
        Err(Rejected { id, error }) => session.error(id, &error),
    }
    if session.turn.elapsed() >= TURN {
        tokio::task::yield_now().await;
        session.turn = Instant::now();
        // Also ends the batch of a client that has disconnected.
        return session.out.flush().await;
    }
    session.out.flush_if_full().await
}

/// Performs a request, and replies unless it is a notification.
async fn call(session: &mut Session, request: Request<'_>) -> io::Result<()> {
    let method = Method::from_name(&request.method);
    let permitted = permit(session, method, &request);
    let call = permitted.and_then(|()| Call::parse(&request.method, request.params));
    let Some(id) = request.id else {
        session.shared.metrics.notifications.add(1);
        if let Ok(call) = call {
            notify(session, call).await;
        }
        return Ok(());
    };
    let call = match call {
        Ok(call) => call,
        Err(error) => {
            session.error(Some(id), &error);
            return Ok(());
        }
    };
    let start = Instant::now();
    let done = dispatch(session, id, call).await;
    if let Some(method) = method {
        session.shared.times.add(method, start.elapsed());
    }
    done
}

/// Checks the client's role. Refusals and the requests of admins are logged.
fn permit(
    session: &mut Session,
    method: Option<Method>,
    request: &Request<'_>,
) -> Result<(), ErrorObject> {
    let Some(method) = method.filter(|method| method.role() > Role::Anybody) else {
        return Ok(());
    };
    let allowed = method.role() <= session.rights.role(&session.peer);
    let Peer { pid, uid, .. } = session.peer;
    if !allowed {
        tracing::warn!(method = method.name(), pid, uid, "refused: not permitted");
        return Err(errors::permission(method, &session.peer));
    }
    if method.role() == Role::Admin {
        let params = request.params.map(|params| errors::shorten(params.get()));
        tracing::info!(
            method = method.name(),
            pid,
            uid,
            params,
            "requested by an admin"
        );
    }
    Ok(())
}
