//! Numbers of a connection that events alone carry: bytes of its lost holes, and segments that its ends refused.
//!
//! They are added up while the connection is open. Only connections with such events take memory.
//!
//! **Invariant:** a number that may be incomplete is `None`.

use std::collections::HashMap;

use monitor_common::Side;
use monitor_rpc::socket::Socket;

/// Number of connections with such events. Beyond it they are forgotten, so that memory is bounded.
const CONNECTIONS: usize = 65_536;

/// Sums of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    gaps: u64,
    gap_bytes: u64,
    refused: u64,
}

/// Numbers of one side for a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SideDetails {
    pub(crate) gap_bytes: Option<u64>,
    pub(crate) refused: Option<u64>,
}

/// Sums of all connections that are open.
#[derive(Debug)]
pub(crate) struct Details {
    sums: HashMap<u64, [Sums; 2]>,
    /// Time after which no event was missed, seconds since the epoch.
    since: f64,
}

impl Details {
    pub(crate) fn new() -> Self {
        Self {
            sums: HashMap::new(),
            since: f64::INFINITY,
        }
    }

    /// Starts again at `now`: events may have been missed before.
    pub(crate) fn restart(&mut self, now: f64) {
        self.sums.clear();
        self.since = now;
    }

    /// Adds a hole that was declared lost.
    pub(crate) fn gap(&mut self, sockid: u64, side: Side, len: u64, now: f64) {
        let sums = self.side(sockid, side, now);
        sums.gaps += 1;
        sums.gap_bytes += len;
    }

    /// Adds a refused segment.
    pub(crate) fn refused(&mut self, sockid: u64, side: Side, now: f64) {
        self.side(sockid, side, now).refused += 1;
    }

    /// Removes a connection that has ended.
    pub(crate) fn remove(&mut self, sockid: u64) {
        self.sums.remove(&sockid);
    }

    /// Returns the numbers of a connection, by [`Side::index`]. `is_last`: all of its events were received.
    pub(crate) fn of(&self, socket: &Socket, is_last: bool) -> [SideDetails; 2] {
        let sums = self.sums.get(&socket.sockid).copied().unwrap_or_default();
        let is_known = is_last && socket.opened > self.since;
        Side::BOTH.map(|side| {
            let (sums, gaps) = (sums[side.index()], socket.sides.get(side).gaps);
            SideDetails {
                // The connection itself counts its holes.
                gap_bytes: (sums.gaps == gaps).then_some(sums.gap_bytes),
                refused: is_known.then_some(sums.refused),
            }
        })
    }

    fn side(&mut self, sockid: u64, side: Side, now: f64) -> &mut Sums {
        if self.sums.len() >= CONNECTIONS && !self.sums.contains_key(&sockid) {
            self.restart(now);
        }
        &mut self.sums.entry(sockid).or_default()[side.index()]
    }
}
