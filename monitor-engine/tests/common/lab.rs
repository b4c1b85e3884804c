//! Engine with a clock, and short queries.

use std::net::SocketAddr;

use monitor_engine::{
    Connection, Engine, EngineConfig, Event, LinkType, OverlapPolicy, Packet, PeekError, Reader,
    Refusal, Side, SideStats, SockId,
};

use super::{MS, S};

/// An engine that keeps its events, and the time.
pub struct Lab {
    pub engine: Engine<Vec<Event>>,
    pub reader: Reader,
    /// Nanoseconds since the epoch.
    pub now: u64,
    /// Number of the interface of the packets.
    pub interface: u16,
}

impl Lab {
    /// With the default settings and 16 MiB.
    pub fn new() -> Self {
        Self::with(Self::config())
    }

    /// Returns the settings of [`Lab::new`], to be changed.
    pub fn config() -> EngineConfig {
        EngineConfig {
            memory: 16 << 20,
            seed: [3, 4],
            ..EngineConfig::default()
        }
    }

    pub fn policy(overlap: OverlapPolicy) -> Self {
        let mut config = Self::config();
        config.tcp.overlap = overlap;
        Self::with(config)
    }

    pub fn with(config: EngineConfig) -> Self {
        let engine = Engine::new(config, Vec::new()).unwrap();
        let reader = engine.reader();
        Self {
            engine,
            reader,
            now: 1_000_000 * S,
            interface: 0,
        }
    }

    /// Processes an IP packet.
    pub fn ip(&mut self, data: &[u8]) {
        self.frame(LinkType::Ip, data);
    }

    /// Processes a frame.
    pub fn frame(&mut self, link: LinkType, data: &[u8]) {
        self.engine.process(&[Packet {
            time: self.now,
            interface: self.interface,
            link,
            data,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
    }

    /// Milliseconds pass.
    pub fn wait(&mut self, ms: u64) {
        self.now += ms * MS;
        self.engine.advance(self.now);
    }

    /// All events since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(self.engine.sink())
    }

    pub fn connections(&self) -> Vec<Connection> {
        self.reader.connections(None).collect()
    }

    /// The only connection there is.
    pub fn only(&self) -> Connection {
        let mut all = self.connections();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// The newest connection between two ends.
    pub fn newest(&self, client: SocketAddr, server: SocketAddr) -> Option<Connection> {
        self.connections()
            .into_iter()
            .filter(|c| (c.client, c.server) == (client, server))
            .max_by_key(|c| (c.closed.is_none(), c.opened, c.id.generation()))
    }

    pub fn side(&self, side: Side) -> SideStats {
        self.only().sides[side.index()]
    }

    /// Every retained run of bytes of one side.
    pub fn runs(&self, id: SockId, side: Side) -> Vec<(u64, Vec<u8>)> {
        let extents = self.reader.extents(id, side).unwrap();
        let run = |(off, len)| {
            let mut bytes = vec![0; len as usize];
            let peek = self.reader.peek(id, side, off, &mut bytes).unwrap();
            assert_eq!(peek.len as u64, len, "a run is read whole");
            (off, bytes)
        };
        extents.runs.into_iter().map(run).collect()
    }

    /// The runs of the only connection.
    pub fn held(&self, side: Side) -> Vec<(u64, Vec<u8>)> {
        self.runs(self.only().id, side)
    }

    /// The bytes of the only connection's side, which must be one run from 0 on (or none).
    pub fn text(&self, side: Side) -> String {
        let runs = self.held(side);
        assert!(
            runs.len() <= 1 && runs.first().is_none_or(|run| run.0 == 0),
            "{runs:?}"
        );
        runs.into_iter()
            .map(|run| String::from_utf8_lossy(&run.1).into_owned())
            .collect()
    }

    pub fn peek(&self, id: SockId, side: Side, off: u64, len: usize) -> Result<Vec<u8>, PeekError> {
        let mut bytes = vec![0; len];
        let peek = self.reader.peek(id, side, off, &mut bytes)?;
        bytes.truncate(peek.len);
        Ok(bytes)
    }

    /// A counter by its name.
    pub fn count(&self, name: &str) -> u64 {
        let counters = self.engine.counters();
        counters
            .each()
            .find(|(_, n, _, _)| *n == name)
            .map(|(_, _, _, value)| value)
            .unwrap()
    }

    /// Number of segments refused for `reason`, counted and reported: an event for each, unless [`Self::events`] took it.
    pub fn refused(&mut self, reason: Refusal) -> u64 {
        let count = match reason {
            Refusal::Rst => self.count("rst_ignored"),
            _ => self.count(&format!("refused_{}", reason.name())),
        };
        let events = self.engine.sink().iter();
        let refused = events
            .filter(|event| matches!(event, Event::Refused { reason: own, .. } if *own == reason));
        assert_eq!(refused.count() as u64, count, "events of {reason:?}");
        count
    }
}
