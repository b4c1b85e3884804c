//! Missing events: the sockets of a listener are compared with the daemon's list of connections.

use std::collections::HashMap;
use std::ffi::c_int;

use monitor_client::Side;
use monitor_client::types::{Socket, SocketsParams};

use crate::context::Context;
use crate::failure::Failure;
use crate::monitor::Listener;
use crate::step::Outcome;

/// Connections in one page of the list.
const PAGE: u64 = 1000;

impl Context {
    /// Returns the events that a listener has missed, as far as the daemon still shows their results.
    pub(crate) fn resync(&mut self, listener: c_int) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        let latest = self.monitor.listeners.get_mut(&listener).map(|own| {
            let latest = own.latest;
            // A worker's events are in order.
            own.ended.retain(|_, time| *time >= latest);
            latest
        });
        // Connections that opened after the last event are new.
        let Some(latest) = latest.filter(|_| !self.is_beyond()) else {
            return Ok(outcomes);
        };
        // The first request notices that the daemon was restarted.
        match self.ask(|client| client.hello("libmonitor_mos")) {
            Ok(_) | Err(Failure(libc::EBADF)) => {}
            Err(failure) => return Err(failure),
        }
        let socks = self.monitor.sockets(listener);
        let mut known = HashMap::new();
        for &sock in &socks {
            if let Ok(sockid) = self.target(sock) {
                known.insert(sockid, None);
            }
        }
        // Without an event, the listener is new: no connection has opened since.
        let opened = if latest > 0.0 {
            self.list(listener, &mut known, latest)?
        } else {
            Vec::new()
        };
        for sock in socks {
            let sockid = self.target(sock).ok();
            let found = match sockid.and_then(|sockid| known.remove(&sockid).flatten()) {
                Some(found) => Some(found),
                // Gone, or the filter was changed.
                None => match self.info(sock) {
                    Ok(found) => Some(found),
                    Err(Failure(libc::EBADF)) => None,
                    Err(failure) => return Err(failure),
                },
            };
            outcomes.push(self.compare(sock, found.as_ref()));
        }
        for found in opened {
            let ends = [found.client, found.server];
            let Self {
                monitor, numbers, ..
            } = self;
            let mut outcome = monitor.open(numbers, listener, found.sockid, ends, found.opened)?;
            if let Some(sock) = outcome.steps.first().map(|step| step.sock) {
                self.enter(sock, found.sockid);
                let compared = self.compare(sock, Some(&found));
                // A callback sees the present state: the first one is shown only if it lasts.
                outcome.steps.retain(|step| {
                    let mut later = compared.steps.iter();
                    !later.any(|later| (later.event, later.side) == (step.event, step.side))
                });
                outcome.steps.extend(compared.steps);
                outcome.over = compared.over;
                outcomes.push(outcome);
            }
        }
        Ok(outcomes)
    }

    /// Returns the events that lead to the present state of a connection; `None`: it's gone.
    fn compare(&mut self, sock: c_int, found: Option<&Socket>) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(active) = self.monitor.active.get_mut(&sock) else {
            return outcome;
        };
        if let Some(found) = found {
            active.time = found.last;
            active.asked = found.last;
            for (side, state) in [
                (Side::Client, found.state.client),
                (Side::Server, found.state.server),
            ] {
                active.on_state(sock, side, state, &mut outcome.steps);
                let next = found.sides.get(side).next;
                active.on_edge(sock, side, next, &mut outcome.steps);
            }
        }
        if found.is_none_or(|found| found.closed.is_some()) {
            active.end(sock, &mut outcome.steps);
            outcome.over = Some(sock);
            // After a restart, another connection may have its number.
            if !active.is_gone
                && let Some(owner) = self.monitor.listeners.get_mut(&active.listener)
            {
                owner.ended.insert(active.sockid, active.time);
            }
        }
        outcome
    }

    /// Lists the connections of a listener: enters the known ones, and returns those that opened after a time.
    fn list(
        &mut self,
        listener: c_int,
        known: &mut HashMap<u64, Option<Socket>>,
        time: f64,
    ) -> Result<Vec<Socket>, Failure> {
        let owner = self.monitor.listeners.get(&listener);
        let filter = Listener::v4(owner.and_then(|owner| owner.filter.as_deref()));
        let mut opened = Vec::new();
        let mut after = None;
        loop {
            let params = SocketsParams {
                filter: Some(filter.clone()),
                limit: Some(PAGE),
                after,
                ..SocketsParams::default()
            };
            let page = self.ask(|client| client.sockets(&params))?;
            let worker = self.worker();
            let is_new = |socket: &Socket| {
                let is_own = worker.is_none_or(|worker| worker == u64::from(socket.worker));
                is_own && !socket.midstream && socket.opened > time
            };
            for socket in page.sockets {
                if let Some(found) = known.get_mut(&socket.sockid) {
                    *found = Some(socket);
                } else if is_new(&socket) {
                    opened.push(socket);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(opened);
            }
        }
    }
}
