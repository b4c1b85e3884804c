//! Packets of connections that no event has shown yet: a packet may arrive long before the event of its connection.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::frame::Frame;
use crate::item::Purpose;

/// Time that the event of a connection has to arrive after its SYN.
const WAIT: Duration = Duration::from_secs(2);
/// Most connections, and most packets of each.
const MOST: usize = 65_536;
const MOST_PACKETS: usize = 1024;
/// Most bytes of all packets: a filter of orphans may select much more than that of connections.
const MOST_BYTES: usize = 64 << 20;

/// Socket of mtcp_socket(), client and server.
type Key = (c_int, [SocketAddr; 2]);
/// Packet and its use.
type Held = (Arc<Frame>, Purpose);

/// Packets that wait, by connection. The first packet of each is a SYN.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    connections: HashMap<Key, Vec<Held>>,
    /// Time of the SYN of each connection, the oldest first.
    order: VecDeque<(Instant, Key)>,
    /// Length of all packets.
    bytes: usize,
}

impl Pending {
    /// Takes a packet that is a SYN, or follows a SYN that waits. Returns false if it's neither: its connection has begun
    /// before.
    pub(crate) fn hold(&mut self, listener: c_int, held: Held, now: Instant) -> bool {
        let Some(segment) = held.0.segment() else {
            return false;
        };
        let key = (listener, [segment.source, segment.destination]);
        let reverse = (listener, [segment.destination, segment.source]);
        let known = if self.connections.contains_key(&reverse) {
            reverse
        } else {
            key
        };
        let length = held.0.length();
        let is_full = self.bytes + length > MOST_BYTES;
        if let Some(packets) = self.connections.get_mut(&known) {
            if packets.len() < MOST_PACKETS && !is_full {
                self.bytes += length;
                packets.push(held);
            }
            return true;
        }
        if !segment.is_first || is_full || self.connections.len() >= MOST {
            return false;
        }
        self.bytes += length;
        self.order.push_back((now, key));
        self.connections.insert(key, vec![held]);
        true
    }

    /// Removes and returns the packets of a connection.
    pub(crate) fn take(&mut self, listener: c_int, ends: [SocketAddr; 2]) -> Vec<Held> {
        self.remove(&(listener, ends))
    }

    fn remove(&mut self, key: &Key) -> Vec<Held> {
        let packets = self.connections.remove(key).unwrap_or_default();
        let lengths = packets.iter().map(|(frame, _)| frame.length());
        self.bytes -= lengths.sum::<usize>();
        packets
    }

    /// Removes and returns the packets of connections that no event has shown in time.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<(c_int, Held)> {
        let mut expired = Vec::new();
        while let Some(&(since, key)) = self.order.front() {
            if since + WAIT > now {
                break;
            }
            self.order.pop_front();
            let packets = self.remove(&key);
            expired.extend(packets.into_iter().map(|held| (key.0, held)));
        }
        expired
    }

    /// Returns the time at which packets have waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.order.front().map(|(since, _)| *since + WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packet of 10.0.0.1:1000 and 10.0.0.2:80, from the first of them or from the second.
    fn packet(from_client: bool, flags: u8) -> Held {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        let ends: [[u8; 6]; 2] = [[10, 0, 0, 1, 3, 232], [10, 0, 0, 2, 0, 80]];
        let [source, destination] = if from_client {
            ends
        } else {
            [ends[1], ends[0]]
        };
        bytes.extend(
            [
                &source[..4],
                &destination[..4],
                &source[4..],
                &destination[4..],
            ]
            .concat(),
        );
        bytes.resize(40, 0);
        bytes[32..34].copy_from_slice(&[0x50, flags]);
        let frame = Frame::parse(1, 101, &bytes).unwrap();
        (Arc::new(frame), Purpose::Flow)
    }

    #[test]
    fn packets_wait_from_a_syn_on() {
        const SYN: u8 = 2;
        const ACK: u8 = 16;
        let (mut pending, now) = (Pending::default(), Instant::now());
        assert!(
            !pending.hold(1, packet(true, ACK), now),
            "not from its start"
        );
        assert!(!pending.hold(1, packet(false, SYN | ACK), now));
        for (from_client, flags) in [(true, SYN), (false, SYN | ACK), (true, ACK)] {
            assert!(pending.hold(1, packet(from_client, flags), now));
        }
        assert!(!pending.hold(2, packet(true, ACK), now), "another socket");
        let ends = ["10.0.0.1:1000", "10.0.0.2:80"].map(|end| end.parse().unwrap());
        assert_eq!(pending.take(1, ends).len(), 3);
        assert!(pending.take(1, ends).is_empty());

        assert!(pending.hold(1, packet(true, SYN), now));
        assert!(pending.expired(now).is_empty());
        assert_eq!(pending.expired(now + WAIT).len(), 1);
        assert_eq!(pending.deadline(), None);

        assert_eq!(pending.bytes, 0);
        pending.bytes = MOST_BYTES;
        assert!(!pending.hold(1, packet(true, SYN), now), "no room");
    }
}
