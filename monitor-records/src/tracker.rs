//! Tracker: the state machine that makes records from the events and listings of one instance of the daemon.
//!
//! The caller subscribes to [`Tracker::EVENTS`], calls [`Tracker::listen`], lists the ended connections and passes each
//! to [`Tracker::ended`], then passes events to [`Tracker::event`] and performs the request that it returns. Every few
//! seconds it passes open connections to [`Tracker::open`]. After a record is stored, it calls [`Tracker::written`]. A
//! program that was killed passes the identifiers of its stored records there before it lists. Listings ask for `tls`.
//!
//! The daemon lists an ended connection for its linger time. If events were lost, a listing therefore finds the
//! connections that they were about. Connections that are gone by then are counted: one that was reported as lost and
//! was not found in the listing, and one that `info` no longer knows.
//!
//! The memory of written records is bounded: of each slot of the daemon only the newest connection can be listed, so
//! one entry for each slot is enough.
//!
//! **Invariant:** [`Tracker::ended`] and [`Tracker::open`] return no record that was written.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use monitor_common::{EventKind, SockId};
use monitor_rpc::socket::Socket;
use monitor_rpc::{EventBody, Notification};

use crate::details::Details;
use crate::{Lost, LostReason, Record, Source, VERSION};

/// Request to the daemon that an event calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// None.
    Nothing,
    /// `info` of this connection: its SOCKET is for [`Tracker::ended`], `EBADF` for [`Tracker::gone`].
    Info(u64),
    /// `sockets` of the ended connections, each for [`Tracker::ended`]: events were lost.
    List,
}

/// Makes records of the connections of one instance of the daemon. Example: the crate's documentation.
#[derive(Debug)]
pub struct Tracker {
    source: Source,
    /// Seconds between interim records.
    interim: f64,
    /// By slot: newest connection with a written record, and its last part; 0 if its final record is written.
    parts: HashMap<(u16, u32), (u64, u32)>,
    /// Lost events without the records that listings found in their place; negative if those found more.
    missing: i64,
    /// Connections that a listing found after a loss. Their events may have been lost, or may still come.
    found: HashSet<u64>,
    /// True while a listing replaces lost events.
    recovering: bool,
    details: Details,
    /// Connection of the latest `closed` event. All of its events were received.
    closed: Option<u64>,
}

impl Tracker {
    /// Events to subscribe to.
    pub const EVENTS: [EventKind; 4] = [
        EventKind::Closed,
        EventKind::Evicted,
        EventKind::Gap,
        EventKind::Refused,
    ];

    /// Creates a tracker of an instance. `interim` is the time between the interim records of a connection.
    #[must_use]
    pub fn new(source: Source, interim: Duration) -> Self {
        Self {
            source,
            interim: interim.as_secs_f64(),
            parts: HashMap::new(),
            missing: 0,
            found: HashSet::new(),
            recovering: false,
            details: Details::new(),
            closed: None,
        }
    }

    /// Returns the origin of the records.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Notes that a subscription has begun. `now` is in seconds since the epoch, here and below.
    pub fn listen(&mut self, now: f64) {
        self.details.restart(now);
    }

    /// Notes that a record of this instance is stored. Records may be noted in any order.
    pub fn written(&mut self, sockid: u64, part: u32) {
        let Some(id) = SockId::from_u64(sockid) else {
            return;
        };
        if part == 0 {
            self.details.remove(sockid);
        }
        let entry = self.parts.entry(id.position()).or_insert((sockid, part));
        let (known, last) = *entry;
        // In a slot, larger identifiers are newer. A final record is never replaced by an interim one.
        if sockid > known || (sockid == known && last != 0 && (part == 0 || part > last)) {
            *entry = (sockid, part);
        }
    }

    /// Returns the stored records that may still matter, as sockid and part: one for each slot.
    pub fn state(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.parts.values().copied()
    }

    /// Returns the last part written for a connection.
    fn part(&self, sockid: u64) -> Option<u32> {
        let position = SockId::from_u64(sockid)?.position();
        let &(known, part) = self.parts.get(&position)?;
        (known == sockid).then_some(part)
    }

    fn is_finished(&self, sockid: u64) -> bool {
        self.part(sockid) == Some(0)
    }

    /// Takes an event, and returns the request that it calls for.
    pub fn event(&mut self, notification: &Notification, now: f64) -> Request {
        let sockid = notification.sockid.unwrap_or(u64::MAX);
        if matches!(notification.body, EventBody::Closed { .. }) && self.is_finished(sockid) {
            // A listing was faster than the events.
            self.details.remove(sockid);
        }
        match notification.body {
            EventBody::Gap(range) => self.details.gap(sockid, range.side, range.len, now),
            EventBody::Refused { side, .. } => self.details.refused(sockid, side, now),
            // The connection that a listing found was not among the lost ones.
            EventBody::Closed { .. } if self.found.remove(&sockid) => self.missing += 1,
            EventBody::Closed { .. } if !self.is_finished(sockid) => {
                self.closed = Some(sockid);
                return Request::Info(sockid);
            }
            // An open connection: an ended one is evicted after its record was written.
            EventBody::Evicted if !self.is_finished(sockid) && !self.found.contains(&sockid) => {
                self.details.remove(sockid);
                self.missing += 1;
            }
            EventBody::Lost { count, ends, .. } => {
                self.details.restart(now);
                // Lost events of other kinds cost no record.
                let ends = ends.or(count).unwrap_or(0);
                if ends > 0 {
                    self.missing = self
                        .missing
                        .saturating_add(i64::try_from(ends).unwrap_or(i64::MAX));
                    self.recovering = true;
                    return Request::List;
                }
            }
            EventBody::Interrupted => {
                self.details.restart(now);
                return Request::List;
            }
            _ => {}
        }
        Request::Nothing
    }

    /// Returns the final record of a connection; `None` if it is open, or the record is written.
    pub fn ended(&mut self, socket: &Socket) -> Option<Record> {
        if socket.closed.is_none() || self.is_finished(socket.sockid) {
            return None;
        }
        if self.recovering && self.found.insert(socket.sockid) {
            self.missing -= 1;
        }
        let details = self.details.of(socket, self.closed == Some(socket.sockid));
        Some(Record::new(&self.source, socket, 0, details))
    }

    /// Ends the listing that [`Request::List`] asked for.
    pub fn listed(&mut self) {
        self.recovering = false;
    }

    /// Returns the interim record of an open connection that is due at `now`. A replay has none, since its packets carry
    /// times of the past.
    #[must_use]
    pub fn open(&self, socket: &Socket, now: f64) -> Option<Record> {
        if socket.closed.is_some() || self.source.mode == "replay" {
            return None;
        }
        // Saturates; a negative age is 0.
        let part = ((now - socket.opened) / self.interim) as u32;
        let due = match self.part(socket.sockid) {
            None => part > 0,
            Some(last) => last > 0 && part > last,
        };
        due.then(|| Record::new(&self.source, socket, part, self.details.of(socket, true)))
    }

    /// Notes that a connection with a `closed` event was gone when the daemon was asked for it.
    pub fn gone(&mut self, sockid: u64) {
        self.details.remove(sockid);
        if !self.is_finished(sockid) {
            self.missing += 1;
        }
    }

    /// Returns true if records may be missing. Events of connections that a listing found may still wait in the
    /// daemon's queue: [`Tracker::lost`] is called once no event has come for a second, and after ten seconds at the
    /// latest.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.missing != 0 || !self.found.is_empty()
    }

    /// Returns the number of missing records as a mark for the log, if there are any, and starts to count again.
    pub fn lost(&mut self, now: f64) -> Option<Lost> {
        self.found.clear();
        let missing = u64::try_from(std::mem::take(&mut self.missing)).unwrap_or(0);
        (missing > 0).then(|| self.mark(now, Some(missing), LostReason::Events))
    }

    /// Returns the mark for the end of this instance: the number of connections that were open is unknown.
    #[must_use]
    pub fn restarted(&self, now: f64) -> Lost {
        self.mark(now, None, LostReason::Restarted)
    }

    fn mark(&self, time: f64, lost: Option<u64>, reason: LostReason) -> Lost {
        Lost {
            v: VERSION,
            host: self.source.host.clone(),
            instance: self.source.instance,
            time,
            lost,
            reason,
        }
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
