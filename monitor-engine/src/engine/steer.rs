//! What clients decide about connections: stopped ones, and settings of a side.

use std::fmt;
use std::sync::Arc;

use monitor_common::abi::ShuntKey;

use super::Engine;
use super::retire::millis;
use crate::reader::view;
use crate::store::record::{Record, flag};
use crate::{CloseReason, Connection, OverlapPolicy, Side, Sink, SockId};

/// Flows that wait to be shunted; more ask again when their next packets come.
const MOST_SHUNTS: usize = 1024;

/// Settings of one side. What is not given stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSettings {
    /// Bytes retained, from 1.
    pub window: Option<u64>,
    /// Whose bytes win where segments overlap and differ, from the next segment on.
    pub overlap: Option<OverlapPolicy>,
    /// Keep no bytes, for good.
    pub disable: bool,
}

/// Settings for connections to come.
#[derive(Clone)]
pub struct Rule {
    /// Which ones. Asked when a connection opens, before anything is known of it but its ends.
    pub applies: Arc<dyn Fn(&Connection) -> bool + Send + Sync>,
    /// By [`Side::index`].
    pub sides: [SideSettings; 2],
}

/// What is to become of a flow's packets on their way here. A capture that can do so follows it; if none does, the
/// packets come and are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shunt {
    /// Nobody wants them any more.
    Start(ShuntKey),
    /// They are wanted again.
    End(ShuntKey),
}

/// Why a connection is not as a client wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteerError {
    /// Never existed, or is gone.
    #[error("no such connection, or it is gone")]
    NoSuchConnection,
    /// Buffering of that side is switched off: there is nothing to set.
    #[error("buffering of the {0:?} side is switched off")]
    Disabled(Side),
    /// As many different windows are in use as can be.
    #[error("too many different windows are in use")]
    TooManyWindows,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("sides", &self.sides)
            .finish_non_exhaustive()
    }
}

impl<S: Sink> Engine<S> {
    /// Stops a side: its bytes are given back and no more are kept, as [`SideSettings::disable`] has it. Without a side,
    /// or when the other one was stopped before, the connection is closed and its packets are dropped; what is left of
    /// it stays readable. One that is over already stays as it is.
    ///
    /// # Errors
    /// [`SteerError::NoSuchConnection`].
    pub fn stop(&mut self, id: SockId, side: Option<Side>) -> Result<Connection, SteerError> {
        let slot = self.inhabitant(id)?;
        let memory = Arc::clone(&self.memory);
        let record = memory.record(slot).ok_or(SteerError::NoSuchConnection)?;
        if let Some(side) = side {
            if let Some(mut receiver) = self.receiver(slot, side) {
                receiver.disable();
            }
            record.write(|record| record.add_flag(flag::STOPPED_CLIENT, side));
        }
        let all = side.is_none() || record.both_have(flag::STOPPED_CLIENT);
        if all && record.closed.get() == 0 {
            self.close(slot, CloseReason::Stopped);
            self.counters.stopped.add(1);
            self.shunt(Shunt::Start(key(record)));
        }
        self.settle();
        Ok(view(&self.memory, &self.windows, id, record))
    }

    /// Changes settings of both sides, by [`Side::index`]: of both, or of none when it fails. A smaller window gives
    /// bytes back at once.
    ///
    /// # Errors
    /// [`SteerError::Disabled`] for a window or a policy of a side that keeps no bytes.
    pub fn configure(
        &mut self,
        id: SockId,
        settings: [SideSettings; 2],
    ) -> Result<Connection, SteerError> {
        let slot = self.inhabitant(id)?;
        let memory = Arc::clone(&self.memory);
        let record = memory.record(slot).ok_or(SteerError::NoSuchConnection)?;
        for (side, settings) in Side::BOTH.into_iter().zip(settings) {
            if !record.enabled(side) && (settings.window.is_some() || settings.overlap.is_some()) {
                return Err(SteerError::Disabled(side));
            }
        }
        let windows = self.take_windows(settings)?;
        for ((side, settings), window) in Side::BOTH.into_iter().zip(settings).zip(windows) {
            self.set(slot, record, side, settings, window);
        }
        self.settle();
        Ok(view(&self.memory, &self.windows, id, record))
    }

    /// Replaces what connections to come start with: the first of these rules that applies to one is followed.
    ///
    /// # Errors
    /// [`SteerError::TooManyWindows`]; the rules are the old ones then.
    pub fn set_rules(&mut self, rules: Vec<Rule>) -> Result<(), SteerError> {
        // They hold their windows, so that there is a name for each when a connection opens.
        let mut held: Vec<u8> = Vec::new();
        for rule in &rules {
            match self.take_windows(rule.sides) {
                Ok(names) => held.extend(names.into_iter().flatten()),
                Err(error) => {
                    held.into_iter().for_each(|name| self.windows.give(name));
                    return Err(error);
                }
            }
        }
        self.rules = rules;
        for name in std::mem::replace(&mut self.rule_windows, held) {
            self.windows.give(name);
        }
        Ok(())
    }

    /// Flows whose packets nobody wants any more, or wants again, since the last call, in that order. Costs nothing when
    /// there are none.
    pub fn shunts(&mut self) -> std::vec::Drain<'_, Shunt> {
        self.shunts.drain(..)
    }

    /// The slot of a connection that is there.
    fn inhabitant(&self, id: SockId) -> Result<u32, SteerError> {
        let record = self
            .memory
            .record(id.slot())
            .filter(|record| record.occupied());
        record
            .filter(|record| self.id(id.slot(), record) == id)
            .ok_or(SteerError::NoSuchConnection)?;
        Ok(id.slot())
    }

    /// Names for the windows of both sides; of both, or of none.
    fn take_windows(&self, settings: [SideSettings; 2]) -> Result<[Option<u8>; 2], SteerError> {
        let mut names = [None; 2];
        for (at, window) in settings
            .iter()
            .enumerate()
            .filter_map(|(at, side)| Some((at, side.window?)))
        {
            names[at] = self.windows.take(window.max(1));
            if names[at].is_none() {
                names
                    .into_iter()
                    .flatten()
                    .for_each(|name| self.windows.give(name));
                return Err(SteerError::TooManyWindows);
            }
        }
        Ok(names)
    }

    fn set(
        &mut self,
        slot: u32,
        record: &Record,
        side: Side,
        settings: SideSettings,
        window: Option<u8>,
    ) {
        if let Some(name) = window {
            let cell = &record.windows[side.index()];
            let old = cell.get();
            record.write(|_| cell.set(name));
            self.windows.give(old);
        }
        let Some(mut receiver) = self.receiver(slot, side) else {
            return;
        };
        if let Some(policy) = settings.overlap {
            receiver.follow_policy(policy);
        }
        if settings.disable {
            receiver.disable();
        }
        if window.is_some() {
            receiver.fit();
        }
    }

    /// Gives a connection that has just opened what the first fitting rule says.
    #[cold]
    pub(super) fn apply_rules(&mut self, slot: u32) {
        let memory = Arc::clone(&self.memory);
        let Some(record) = memory.record(slot) else {
            return;
        };
        let opened = view(&self.memory, &self.windows, self.id(slot, record), record);
        let Some(rule) = self.rules.iter().find(|rule| (rule.applies)(&opened)) else {
            return;
        };
        let settings = rule.sides;
        // Never fails: the rule holds them.
        let Ok(windows) = self.take_windows(settings) else {
            return;
        };
        for ((side, settings), window) in Side::BOTH.into_iter().zip(settings).zip(windows) {
            self.set(slot, record, side, settings, window);
        }
    }

    /// A segment of a stopped connection that came nevertheless. As long as they come, the connection is remembered:
    /// they would open another one.
    #[cold]
    pub(super) fn ignore(&mut self, slot: u32, record: &Record) {
        self.counters.stopped_segments.add(1);
        record.write(|record| record.last.set(self.now));
        if self.lists.touch(&self.memory, slot, millis(self.now)) {
            self.shunt(Shunt::Start(key(record)));
        }
    }

    /// The flow of a connection, which may have been stopped, has a new one.
    pub(super) fn let_flow_in(&mut self, slot: u32) {
        if let Some(record) = self.memory.record(slot)
            && record.closed.get() == CloseReason::Stopped as u8
        {
            self.shunts.push(Shunt::End(key(record)));
        }
    }

    fn shunt(&mut self, shunt: Shunt) {
        if self.shunts.len() < MOST_SHUNTS {
            self.shunts.push(shunt);
        }
    }
}

/// What a connection's packets are told by before they get here.
fn key(record: &Record) -> ShuntKey {
    let words = |address: &[crate::store::cell::Cell64; 2]| (address[0].get(), address[1].get());
    let ports = record.ports.get();
    let client = (words(&record.client), (ports >> 16) as u16);
    let server = (words(&record.server), ports as u16);
    ShuntKey::between(client, server, record.link.get())
}
