//! Decisions of clients about connections: stopping them, settings of their sides, and rules for new ones.

use std::fmt;
use std::sync::Arc;

use monitor_common::abi::{self, ShuntKey};
use monitor_reader::view_record;

use super::Engine;
use super::conn::{Conn, window_cell};
use super::timeouts::millis;
use crate::store::arena::Arena;
use crate::store::record::{Record, flag};
use crate::{CloseReason, Connection, FlowConfig, OverlapPolicy, Side, Sink, SockId};

/// Shunts that wait to be fetched. Beyond this number, a flow is reported again when its next packets come.
const MOST_SHUNTS: usize = 1024;

/// Settings of one side. Those absent stay unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSettings {
    /// Bytes retained, from 1 to 4 GiB less one; values beyond count as these.
    pub window: Option<u64>,
    /// Overlap policy, from the next segment on.
    pub overlap: Option<OverlapPolicy>,
    /// Stops retaining bytes, for good.
    pub disable: bool,
}

/// Settings of new connections.
#[derive(Clone)]
pub struct Rule {
    /// Selects connections. Called when a connection opens, when only its ends are known.
    pub applies: Arc<dyn Fn(&Connection) -> bool + Send + Sync>,
    /// By [`Side::index`].
    pub sides: [SideSettings; 2],
}

/// Request to a capture about the packets of a flow. If no capture can carry it out, the packets come and are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shunt {
    /// Drop the packets before they reach the engine.
    Start(ShuntKey),
    /// Deliver the packets again.
    End(ShuntKey),
}

/// Error of a client's decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The connection never existed, or is gone.
    #[error("no such connection, or it is gone")]
    NoSuchConnection,
    /// Buffering of the side is switched off: there is nothing to set.
    #[error("buffering of the {0} side is switched off")]
    Disabled(Side),
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("sides", &self.sides)
            .finish_non_exhaustive()
    }
}

impl<S: Sink> Engine<S> {
    /// Stops a side: frees its bytes and retains no more, like [`SideSettings::disable`]. Without a side, or when the
    /// other one was stopped before, closes the connection and drops its packets; it stays readable. A closed connection
    /// is left as it is.
    ///
    /// # Errors
    /// [`ControlError::NoSuchConnection`].
    pub fn stop(&mut self, id: SockId, side: Option<Side>) -> Result<Connection, ControlError> {
        let arena = Arc::clone(&self.arena);
        let conn = self.current(&arena, id)?;
        let record = conn.record;
        if let Some(side) = side {
            self.receiver(conn, side).disable();
            record.update(|record| record.add_flag(flag::STOPPED_CLIENT, side));
        }
        let both = side.is_none() || record.both_have(flag::STOPPED_CLIENT);
        if both && record.closed.get() == 0 {
            self.close(conn, CloseReason::Stopped);
            self.counters.stopped.add(1);
            self.start_shunt(record);
        }
        self.finish_call();
        Ok(self.view(id, record))
    }

    /// Changes settings of both sides, by [`Side::index`]: of both, or of none if it fails. A smaller window frees bytes
    /// at once.
    ///
    /// # Errors
    /// [`ControlError::NoSuchConnection`], or [`ControlError::Disabled`] for a window or a policy of a side that retains
    /// no bytes.
    pub fn configure(
        &mut self,
        id: SockId,
        settings: [SideSettings; 2],
    ) -> Result<Connection, ControlError> {
        let arena = Arc::clone(&self.arena);
        let conn = self.current(&arena, id)?;
        for (side, settings) in Side::BOTH.into_iter().zip(settings) {
            let sets = settings.window.is_some() || settings.overlap.is_some();
            if sets && !conn.record.enabled(side) {
                return Err(ControlError::Disabled(side));
            }
        }
        self.apply(conn, settings);
        self.finish_call();
        Ok(self.view(id, conn.record))
    }

    /// Replaces the rules for new connections. The first rule that applies to a connection counts.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// Returns the shunts since the last call, in their order. Free of cost when there are none.
    pub fn shunts(&mut self) -> std::vec::Drain<'_, Shunt> {
        self.shunts.drain(..)
    }

    /// Returns the connection with an identifier.
    fn current<'a>(&self, arena: &'a Arena, id: SockId) -> Result<Conn<'a>, ControlError> {
        self.conn(arena, id.slot())
            .filter(|conn| conn.record.occupied() && conn.id == id)
            .ok_or(ControlError::NoSuchConnection)
    }

    fn apply(&mut self, conn: Conn<'_>, settings: [SideSettings; 2]) {
        for (side, settings) in Side::BOTH.into_iter().zip(settings) {
            if let Some(window) = settings.window {
                let window = window_cell(window);
                conn.record
                    .update(|record| record.set_own_window(side, window));
            }
            let mut receiver = self.receiver(conn, side);
            if let Some(policy) = settings.overlap {
                receiver.set_policy(policy);
            }
            if settings.disable {
                receiver.disable();
            }
            if settings.window.is_some() {
                receiver.fit();
            }
        }
    }

    /// Applies the first rule that selects a new connection.
    #[cold]
    pub(super) fn apply_rules(&mut self, conn: Conn<'_>) {
        let opened = self.view(conn.id, conn.record);
        let rule = self.rules.iter().find(|rule| (rule.applies)(&opened));
        if let Some(settings) = rule.map(|rule| rule.sides) {
            self.apply(conn, settings);
        }
    }

    /// Drops a segment of a stopped connection that came nevertheless. The connection stays listed as long as they come:
    /// otherwise they would open another one.
    #[cold]
    pub(super) fn drop_stopped(&mut self, conn: Conn<'_>) {
        self.counters.stopped_segments.add(1);
        conn.record.update(|record| record.last.set(self.now));
        if self.lists.touch(&self.arena, conn.slot, millis(self.now)) {
            self.start_shunt(conn.record);
        }
    }

    /// Ends the shunt of a flow that has a new connection, if its old one was stopped.
    pub(super) fn unshunt(&mut self, old: Record<'_>) {
        if old.closed.get() == CloseReason::Stopped as u8 && !is_tunneled(old) {
            self.shunts.push(Shunt::End(shunt_key(old)));
        }
    }

    /// Starts the shunt of a stopped connection's flow. The capture doesn't look into tunnels.
    fn start_shunt(&mut self, record: Record<'_>) {
        if !is_tunneled(record) {
            self.shunt(Shunt::Start(shunt_key(record)));
        }
    }

    fn view(&self, id: SockId, record: Record<'_>) -> Connection {
        view_record(&self.arena, id, record)
    }

    /// Hands a shunt to the capture. Its keys have the packet's tags and no interface: with another identity of flows they
    /// would also skip other flows, or not this one.
    fn shunt(&mut self, shunt: Shunt) {
        let is_key_exact = self.config.flow == FlowConfig::default() && self.bound.is_empty();
        if is_key_exact && self.shunts.len() < MOST_SHUNTS {
            self.shunts.push(shunt);
        }
    }
}

fn is_tunneled(record: Record<'_>) -> bool {
    abi::tunnel(record.link.get()).is_some()
}

/// Returns the key by which a capture recognises a connection's packets.
fn shunt_key(record: Record<'_>) -> ShuntKey {
    let words = |address: &[crate::store::cell::Cell64; 2]| (address[0].get(), address[1].get());
    let ports = record.ports.get();
    let client = (words(&record.client), (ports >> 16) as u16);
    let server = (words(&record.server), ports as u16);
    ShuntKey::between(client, server, record.link.get())
}
