//! The methods.

mod config;
mod cursor;
mod discover;
mod events;
mod list;
mod look;
mod read;
mod steer;
mod top;
mod wait;
mod wanted;
mod watch;

pub(super) use cursor::Cursors;
pub use look::gather;
pub(super) use steer::RuleBook;

use std::io;

use monitor_engine::{Reader, SockId};
use monitor_rpc::{ErrorObject, Method, Role};
use serde::Serialize;
use serde_json::value::RawValue;

use super::call::Call;
use super::connection::Session;
use super::peer::Peer;
use super::request::Request;
use super::serve::Shared;
use super::{fault, reply};

impl Session {
    /// Does what a request asks, and replies unless it is a notification.
    pub(super) async fn call(&mut self, request: Request<'_>) -> io::Result<()> {
        let permitted = self.permit(&request);
        let call = permitted.and_then(|()| Call::parse(&request.method, request.params));
        let Some(id) = request.id else {
            self.shared.metrics.notifications.add(1);
            if let Ok(call) = call {
                self.notified(call).await;
            }
            return Ok(());
        };
        match call {
            Ok(Call::Hello(params)) => {
                look::introduce(&self.peer, &params);
                let hello = look::hello(&self.shared).await;
                self.result(id, &hello);
            }
            Ok(Call::Stop(params)) => {
                let stopped = steer::stop(&self.shared, &params).await;
                self.reply(id, stopped);
            }
            Ok(Call::Configure(params)) => {
                let configured = steer::configure(&self.shared, &params).await;
                self.reply(id, configured);
            }
            Ok(Call::Stats(_)) => {
                let stats = look::stats(&self.shared).await;
                self.result(id, &stats);
            }
            Ok(Call::ConfigGet(_)) => {
                let got = config::get(&self.shared);
                self.result(id, &got);
            }
            Ok(Call::ConfigTest(params)) => {
                let tested = config::test(&self.shared, &self.peer, params).await;
                self.reply(id, tested);
            }
            Ok(Call::ConfigReload(_)) => {
                let reloaded = config::reload(&self.shared).await;
                self.reply(id, reloaded);
            }
            Ok(Call::Discover(_)) => self.result(id, discover::document()),
            Ok(Call::Info(params)) => self.reply(id, look::info(&self.shared, &params)),
            Ok(Call::Lookup(params)) => {
                let found = list::lookup(&self.shared.status.readers, &params).await;
                self.reply(id, found);
            }
            Ok(Call::Sockets(params)) => return self.sockets(id, &params).await,
            Ok(Call::Fragments(params)) => return self.fragments(id, &params).await,
            Ok(Call::Ppeek(params)) => return self.ppeek(id, &params).await,
            Ok(Call::Peek(params)) => return self.peek(id, &params).await,
            Ok(Call::Wait(params)) => return self.wait(id, &params).await,
            Ok(Call::Follow(params)) => {
                let listening = self.follow(&params).await;
                self.reply(id, listening);
            }
            Ok(Call::Subscribe(params)) => {
                let listening = self.subscribe(&params).await;
                self.reply(id, listening);
            }
            Ok(Call::Watch(params)) => {
                let watching = self.watch(&params).await;
                self.reply(id, watching);
            }
            Ok(Call::Unsubscribe(params)) => {
                let gone = self.unsubscribe(&params);
                self.reply(id, gone);
            }
            Err(error) => self.error(Some(id), &error),
        }
        Ok(())
    }

    /// Whether this client may ask for that. Who was refused and what admins do stands in the log.
    fn permit(&mut self, request: &Request<'_>) -> Result<(), ErrorObject> {
        let Some(method) =
            Method::from_name(&request.method).filter(|method| method.role() > Role::Anybody)
        else {
            return Ok(());
        };
        let allowed = method.role() <= self.rights.role(&self.peer);
        let Peer { pid, uid, .. } = self.peer;
        if !allowed {
            tracing::warn!(method = method.name(), pid, uid, "refused: not permitted");
            return Err(fault::permission(method, &self.peer));
        }
        if method.role() == Role::Admin {
            let params = request.params.map(|params| fault::shorten(params.get()));
            tracing::info!(
                method = method.name(),
                pid,
                uid,
                params,
                "asked by an admin"
            );
        }
        Ok(())
    }

    /// A notification. Reading has no effect that nobody sees, unless it moves a cursor; why something was not done nobody is
    /// told.
    async fn notified(&mut self, call: Call) {
        match call {
            Call::Hello(params) => look::introduce(&self.peer, &params),
            Call::Peek(params) => drop(self.read_on(&params).await),
            Call::ConfigReload(_) => {
                if let Err(error) = config::reload(&self.shared).await {
                    tracing::warn!(%error, "the settings stay as they are");
                }
            }
            Call::Stop(params) => drop(steer::stop(&self.shared, &params).await),
            Call::Configure(params) => drop(steer::configure(&self.shared, &params).await),
            _ => {}
        }
    }

    fn reply(&mut self, id: &RawValue, result: Result<impl Serialize, ErrorObject>) {
        match result {
            Ok(result) => self.result(id, &result),
            Err(error) => self.error(Some(id), &error),
        }
    }

    fn result(&mut self, id: &RawValue, result: &impl Serialize) {
        self.shared.metrics.requests.add(1);
        reply::result(self.out.open(), id, result);
        self.out.close();
    }
}

impl Shared {
    /// The reader of the worker that owns `sockid`. `worker` is the one that the client believes to own it.
    fn reader(&self, sockid: u64, worker: Option<u64>) -> Result<(&Reader, SockId), ErrorObject> {
        let readers = &self.status.readers;
        if let Some(worker) = worker
            && worker >= readers.len() as u64
        {
            return Err(fault::no_worker(worker, readers.len()));
        }
        let id = SockId::from_u64(sockid).ok_or_else(|| fault::no_connection(sockid))?;
        if id.is_listener() && self.board.lives(sockid) {
            return Err(fault::listener(sockid));
        }
        if worker.is_some_and(|worker| worker != u64::from(id.worker())) {
            return Err(fault::no_connection(sockid));
        }
        let reader = readers
            .get(usize::from(id.worker()))
            .ok_or_else(|| fault::no_connection(sockid))?;
        Ok((reader, id))
    }

    /// Whether the connection is still there.
    fn knows(&self, id: SockId) -> bool {
        let reader = self.status.readers.get(usize::from(id.worker()));
        reader.is_some_and(|reader| reader.connection(id).is_some())
    }
}
