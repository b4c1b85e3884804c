//! Methods: one module for each group, functions over a [`Session`].
//!
//! [`answer`] takes a line apart and answers each request in it. The peer's role is checked before the parameters are
//! parsed.

mod config;
mod control;
mod discover;
mod events;
pub(crate) mod info;
mod list;
mod peek;
mod read;
mod selection;
mod top;
mod wait;
mod watch;

use std::io;

use monitor_rpc::{ErrorObject, Method, Role};

use super::access::limits;
use super::access::peer::Peer;
use super::protocol::call::Call;
use super::protocol::errors;
use super::protocol::request::{Message, Rejected, Request};
use super::session::Session;
pub(crate) use config::reload_by_signal;

/// Number of requests after which other clients of this thread get their turn: a batch can hold thousands.
const TURN: u64 = 32;

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
    session.answered += 1;
    if session.answered.is_multiple_of(TURN) {
        tokio::task::yield_now().await;
        // Also ends the batch of a client that has disconnected.
        return session.out.flush().await;
    }
    session.out.flush_if_full().await
}

/// Performs a request, and replies unless it is a notification.
async fn call(session: &mut Session, request: Request<'_>) -> io::Result<()> {
    let permitted = permit(session, &request);
    let call = permitted.and_then(|()| Call::parse(&request.method, request.params));
    let Some(id) = request.id else {
        session.shared.metrics.notifications.add(1);
        if let Ok(call) = call {
            perform_notification(session, call).await;
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
    match call {
        Call::Hello(params) => {
            info::introduce(&session.peer, &params);
            let hello = info::hello(&session.shared).await;
            session.result(id, &hello);
        }
        Call::Stop(params) => {
            let stopped = control::stop(&session.shared, &params).await;
            session.reply(id, stopped);
        }
        Call::Configure(params) => {
            let configured = control::configure(&session.shared, &params).await;
            session.reply(id, configured);
        }
        Call::Stats(_) => {
            let stats = info::stats(&session.shared).await;
            session.result(id, &stats);
        }
        Call::ConfigGet(_) => {
            let settings = config::get(&session.shared);
            session.result(id, &settings);
        }
        Call::ConfigTest(params) => {
            let tested = config::test(&session.shared, &session.peer, params).await;
            session.reply(id, tested);
        }
        Call::ConfigReload(_) => {
            let reloaded = config::reload(&session.shared).await;
            session.reply(id, reloaded);
        }
        Call::Discover(_) => session.result(id, discover::document()),
        Call::Info(params) => {
            let socket = info::info(&session.shared, &params);
            session.reply(id, socket);
        }
        Call::Lookup(params) => {
            let socket = list::lookup(&session.shared.status.readers, &params).await;
            session.reply(id, socket);
        }
        Call::Sockets(params) => return list::sockets(session, id, &params).await,
        Call::Fragments(params) => return read::fragments(session, id, &params).await,
        Call::Ppeek(params) => return read::ppeek(session, id, &params).await,
        Call::Peek(params) => return peek::peek(session, id, &params).await,
        Call::Wait(params) => return wait::wait(session, id, &params).await,
        Call::Follow(params) => {
            let listening = events::follow(session, &params).await;
            session.reply(id, listening);
        }
        Call::Subscribe(params) => {
            let listening = events::subscribe(session, &params).await;
            session.reply(id, listening);
        }
        Call::Watch(params) => {
            let watching = watch::watch(session, &params).await;
            session.reply(id, watching);
        }
        Call::Unsubscribe(params) => {
            let ended = events::unsubscribe(session, &params);
            session.reply(id, ended);
        }
    }
    Ok(())
}

/// Checks the client's role. Refusals and the requests of admins are logged.
fn permit(session: &mut Session, request: &Request<'_>) -> Result<(), ErrorObject> {
    let Some(method) =
        Method::from_name(&request.method).filter(|method| method.role() > Role::Anybody)
    else {
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

/// Performs a notification: only methods that have an effect. Errors aren't reported to the client (JSON-RPC 2.0,
/// section 4.1).
async fn perform_notification(session: &mut Session, call: Call) {
    match call {
        Call::Hello(params) => info::introduce(&session.peer, &params),
        Call::Peek(params) => drop(peek::read_on(session, &params).await),
        Call::ConfigReload(_) => {
            if let Err(error) = config::reload(&session.shared).await {
                tracing::warn!(%error, "the settings were not changed");
            }
        }
        Call::Stop(params) => drop(control::stop(&session.shared, &params).await),
        Call::Configure(params) => drop(control::configure(&session.shared, &params).await),
        _ => {}
    }
}
