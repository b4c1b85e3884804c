//! Monitoring sockets of a context: sockets of mtcp_socket(), and the sockets of their connections.
//!
//! Events of the RPC go in, callbacks to call come out. A connection's socket keeps the state that its events have shown, so
//! that a callback sees the state at its event, and needs no request. It does no I/O.

use std::collections::HashMap;
use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;

use monitor_client::types::EventKind;
use monitor_client::{EventBody, Notification, Side};

use crate::active::Active;
use crate::definitions::{Definitions, Registrations};
use crate::event_types::mos_event_type;
use crate::failure::Failure;
use crate::numbers::Numbers;
use crate::step::{NULL, Outcome, RCV, SND};

/// Socket of mtcp_socket().
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) is_raw: bool,
    pub(crate) registrations: Arc<Registrations>,
    /// Filter of connections, or of packets if it's raw.
    pub(crate) filter: Option<String>,
    /// Filter of packets of no connection.
    pub(crate) orphan_filter: Option<String>,
    /// Sides of future connections that are not read.
    pub(crate) off: [bool; 2],
    /// Sockets of its connections, by the RPC's number.
    sockets: HashMap<u64, c_int>,
    /// The same by client and server: the newest.
    by_ends: HashMap<[SocketAddr; 2], c_int>,
    /// Time of the last event, in seconds since the epoch.
    pub(crate) latest: f64,
    /// Connections that ended among missing events, with the times of their last packets. Their own events may follow.
    pub(crate) ended: HashMap<u64, f64>,
}

/// Sockets of a context.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    pub(crate) listeners: HashMap<c_int, Listener>,
    pub(crate) active: HashMap<c_int, Active>,
    /// Number of changes of sockets and callbacks that may need other events.
    pub(crate) changes: u64,
}

impl Listener {
    /// Creates one without filters and callbacks.
    pub(crate) fn new(is_raw: bool) -> Self {
        Self {
            is_raw,
            ..Self::default()
        }
    }

    /// Returns a filter that also selects IPv4: programs expect struct sockaddr_in and struct iphdr.
    pub(crate) fn v4(filter: Option<&str>) -> String {
        match filter {
            None | Some("") => "ip".to_owned(),
            Some(filter) => format!("ip and ({filter})"),
        }
    }
}

impl Monitor {
    /// Takes an event of a listener's connections.
    pub(crate) fn on_event(
        &mut self,
        numbers: &mut Numbers,
        listener: c_int,
        notification: &Notification,
    ) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let Some(owner) = self.listeners.get_mut(&listener) else {
            return Ok(outcome);
        };
        owner.latest = notification.time.unwrap_or(owner.latest);
        if matches!(
            notification.body,
            EventBody::Lost { .. } | EventBody::Interrupted
        ) {
            outcome.is_incomplete = true;
            return Ok(outcome);
        }
        let Some(sockid) = notification.sockid else {
            return Ok(outcome);
        };
        let time = owner.latest;
        if let EventBody::Opened {
            client,
            server,
            midstream: false,
            ..
        } = notification.body
        {
            return self.open(numbers, listener, sockid, [client, server], time);
        }
        let Some(&sock) = owner.sockets.get(&sockid) else {
            return Ok(outcome);
        };
        if let Some(active) = self.active.get_mut(&sock) {
            active.time = time;
            match &notification.body {
                EventBody::Closed { .. } | EventBody::Evicted => {
                    active.end(sock, &mut outcome.steps);
                    outcome.over = Some(sock);
                }
                body => active.on_event(sock, body, &mut outcome.steps),
            }
        }
        Ok(outcome)
    }

    /// Creates the socket of a connection.
    pub(crate) fn open(
        &mut self,
        numbers: &mut Numbers,
        listener: c_int,
        sockid: u64,
        ends: [SocketAddr; 2],
        time: f64,
    ) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let Some(owner) = self.listeners.get_mut(&listener) else {
            return Ok(outcome);
        };
        if owner.sockets.contains_key(&sockid) || owner.ended.contains_key(&sockid) {
            return Ok(outcome);
        }
        let sock = numbers.allocate()?;
        owner.sockets.insert(sockid, sock);
        owner.by_ends.insert(ends, sock);
        let registrations = Arc::clone(&owner.registrations);
        let mut active = Active::new(listener, registrations, sockid, ends, time);
        active.off = owner.off;
        active.at_ends(sock, mos_event_type::MOS_ON_CONN_START, &mut outcome.steps);
        let event = mos_event_type::MOS_ON_TCP_STATE_CHANGE;
        active.push(sock, Side::Client, event, SND, &mut outcome.steps);
        self.active.insert(sock, active);
        Ok(outcome)
    }

    /// Removes a connection's socket.
    pub(crate) fn close(&mut self, sock: c_int) -> Option<Active> {
        let active = self.active.remove(&sock)?;
        if let Some(owner) = self.listeners.get_mut(&active.listener) {
            owner.sockets.remove(&active.sockid);
            if owner.by_ends.get(&active.ends) == Some(&sock) {
                owner.by_ends.remove(&active.ends);
            }
        }
        Some(active)
    }

    /// Returns the callbacks of a packet of a listener's connections. None: it belongs to none of them.
    pub(crate) fn on_packet(
        &mut self,
        listener: c_int,
        [source, destination]: [SocketAddr; 2],
        syn: Option<u32>,
    ) -> Option<Outcome> {
        let owner = self.listeners.get(&listener)?;
        let from_client = owner.by_ends.get(&[source, destination]);
        let sock = *from_client.or_else(|| owner.by_ends.get(&[destination, source]))?;
        let sender = if from_client.is_some() {
            Side::Client
        } else {
            Side::Server
        };
        let active = self.active.get_mut(&sock)?;
        active.isn[sender as usize] = syn.or(active.isn[sender as usize]);
        let mut outcome = Outcome::default();
        let event = mos_event_type::MOS_ON_PKT_IN;
        for (side, hook) in [(sender, SND), (sender.peer(), RCV), (sender.peer(), NULL)] {
            active.push(sock, side, event, hook, &mut outcome.steps);
        }
        Some(outcome)
    }

    /// Returns the initial sequence number of an end, if a packet has shown it.
    pub(crate) fn isn(&self, sock: c_int, end: SocketAddr) -> Option<u32> {
        let active = self.active.get(&sock)?;
        let index = active.ends.iter().position(|own| *own == end)?;
        active.isn[index]
    }

    /// Returns whether a side of a connection is no longer monitored.
    pub(crate) fn is_stopped(&self, sock: c_int, side: c_int) -> bool {
        let active = self.active.get(&sock);
        let stopped = active.zip(usize::try_from(side).ok());
        stopped.is_some_and(|(active, side)| active.stopped.get(side) == Some(&true))
    }

    /// Returns the sockets of a listener's connections.
    pub(crate) fn sockets(&self, listener: c_int) -> Vec<c_int> {
        let owner = self.listeners.get(&listener);
        owner.map_or_else(Vec::new, |owner| owner.sockets.values().copied().collect())
    }

    /// Returns the registrations of a socket.
    pub(crate) fn registrations(&self, sock: c_int) -> Option<&Arc<Registrations>> {
        let active = self.active.get(&sock).map(|active| &active.registrations);
        active.or_else(|| self.listeners.get(&sock).map(|own| &own.registrations))
    }

    /// Returns whether a listener, or the socket of one of its connections, has a callback.
    pub(crate) fn has_callbacks(&self, listener: c_int) -> bool {
        let owner = self.listeners.get(&listener);
        owner.is_some_and(|owner| !owner.registrations.is_empty() || !owner.sockets.is_empty())
    }

    /// Returns the kinds of events that a listener's callbacks need, those of its connections' sockets among them.
    pub(crate) fn kinds(&self, listener: c_int) -> Vec<EventKind> {
        let mut kinds = vec![
            EventKind::Opened,
            EventKind::State,
            EventKind::Closed,
            EventKind::Evicted,
        ];
        for (root, own) in [
            (mos_event_type::MOS_ON_CONN_NEW_DATA, EventKind::Data),
            (mos_event_type::MOS_ON_REXMIT, EventKind::Retransmit),
            (mos_event_type::MOS_ON_ERROR, EventKind::Gap),
            (mos_event_type::MOS_ON_ERROR, EventKind::Refused),
        ] {
            if self.wants(listener, root) {
                kinds.push(own);
            }
        }
        kinds
    }

    /// Returns whether a listener, or the socket of one of its connections, has a callback for an event.
    pub(crate) fn wants(&self, listener: c_int, root: mos_event_type) -> bool {
        let definitions = Definitions::current();
        let Some(owner) = self.listeners.get(&listener) else {
            return false;
        };
        let has = |registrations: &Registrations| registrations.has(&definitions, root);
        let mut own = owner
            .sockets
            .values()
            .filter_map(|sock| self.active.get(sock));
        has(&owner.registrations)
            || own.any(|active| {
                !Arc::ptr_eq(&active.registrations, &owner.registrations)
                    && has(&active.registrations)
            })
    }
}
