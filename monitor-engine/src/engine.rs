//! The engine: packets in, connections out.

use std::sync::Arc;

use crate::{Counters, EngineConfig, Packet, Reader, Sink};

/// Follows the connections of one worker.
pub struct Engine<S: Sink = ()> {
    counters: Arc<Counters>,
    _sink: S,
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The budget cannot hold even one connection with its window.
    #[error(
        "a store of {memory} bytes for each worker is too small: at least {least} are needed; raise [store] memory or lower [capture] workers"
    )]
    TooSmall {
        /// Asked for, bytes for this worker.
        memory: u64,
        /// The least that works.
        least: u64,
    },
    /// The address space or memory was refused.
    #[error("cannot reserve {memory} bytes for the store")]
    Reserve {
        /// Asked for, bytes.
        memory: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A datagram put together here whose flow belongs to another worker.
#[derive(Debug)]
pub struct Handoff {
    /// Who is to get it.
    pub worker: u16,
    /// Its time, nanoseconds since the epoch.
    pub time: u64,
    /// The whole IP packet, its header repaired ([`crate::Link::Ip`]).
    pub data: Vec<u8>,
}

impl<S: Sink> Engine<S> {
    /// An engine with its memory reserved.
    pub fn new(config: EngineConfig, sink: S) -> Result<Self, EngineError> {
        let _ = config;
        Ok(Self { counters: Arc::default(), _sink: sink })
    }

    /// Follows a batch of packets, in order. Never fails: what cannot be followed is counted.
    pub fn process(&mut self, packets: &[Packet<'_>]) {
        self.counters.packets.add(packets.len() as u64);
    }

    /// Tells the time when no packets come (nanoseconds since the epoch): timeouts fire.
    pub fn advance(&mut self, _now: u64) {}

    /// The capture is over: holes that can no longer be filled are declared lost. Connections stay as they are.
    pub fn finish(&mut self) {}

    /// Datagrams for other workers since the last call. Empty nearly always; costs nothing then.
    pub fn handoffs(&mut self) -> std::vec::Drain<'_, Handoff> {
        unreachable!("replaced before anybody calls it")
    }

    /// A view for any thread.
    pub fn reader(&self) -> Reader {
        Reader {}
    }

    /// Its counters, for any thread.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}
