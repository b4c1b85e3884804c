//! Entries of an event log: an event with its time and, where subscribers cannot look them up later, its endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use monitor_engine::{CloseReason, Event, EventKind, Refusal, Side, SockId, TcpState};

use super::filter::subject;
use super::record::Endpoints;

/// Number of words of an entry in a log.
pub(super) const WORDS: usize = 8;

/// Event on its way to all subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Number of the worker's batch of packets: data is merged within a batch.
    pub(super) batch: u32,
    /// Time of the packet, in nanoseconds since the epoch. Of data from several packets, the last one's.
    pub(super) time: u64,
    pub(super) event: Event,
    /// Endpoints, with events at the start and the end of a connection: it may be gone when the entry is read.
    pub(super) ends: Option<Endpoints>,
}

/// Bits of the second word, above the kind (8 bits), the side (8) and the detail (8).
const TAGS: u32 = 24;
const MIDSTREAM: u64 = 1 << 26;
const CLIENT_V6: u64 = 1 << 27;
const SERVER_V6: u64 = 1 << 28;
const ENDS: u64 = 1 << 29;

impl Entry {
    /// Appends data that directly follows on the same side. Returns false for any other event.
    pub(super) fn grow(&mut self, next: &Self) -> bool {
        let Event::Data { id, side, off, len } = &mut self.event else {
            return false;
        };
        match next.event {
            Event::Data {
                id: of,
                side: to,
                off: from,
                len: more,
            } if next.batch == self.batch && of == *id && to == *side && from == *off + *len => {
                *len += more;
                self.time = next.time;
                true
            }
            _ => false,
        }
    }

    /// Returns its words for a log.
    pub(super) fn words(&self) -> [u64; WORDS] {
        let (id, side) = subject(&self.event);
        let (detail, range) = match self.event {
            Event::Opened { .. } | Event::Established { .. } | Event::Evicted { .. } => (0, [0; 2]),
            Event::Data { off, len, .. }
            | Event::Gap { off, len, .. }
            | Event::Filled { off, len, .. }
            | Event::Retransmit { off, len, .. } => (0, [off, len]),
            Event::Conflict { off, len, late, .. } => (u64::from(late), [off, len]),
            Event::Refused {
                seq, len, reason, ..
            } => (reason as u64, [u64::from(seq), u64::from(len)]),
            Event::State { state, .. } => (state as u64, [0; 2]),
            Event::Closed { reason, .. } => {
                let place = CloseReason::ALL.iter().position(|own| *own == reason);
                (place.unwrap_or(0) as u64, [0; 2])
            }
        };
        let mut head = self.event.kind() as u64
            | side.map_or(0, |side| side.index() as u64) << 8
            | detail << 16
            | u64::from(self.batch) << 32;
        let mut rest = [range[0], range[1], 0, 0, 0];
        if let Some(ends) = &self.ends {
            let (client, server) = (ends.client, ends.server);
            head |= ENDS | u64::from(ends.tagged) << TAGS;
            for (set, bit) in [
                (ends.midstream, MIDSTREAM),
                (client.0.is_ipv6(), CLIENT_V6),
                (server.0.is_ipv6(), SERVER_V6),
            ] {
                head |= if set { bit } else { 0 };
            }
            let ([a, b], [c, d]) = (address_words(client.0), address_words(server.0));
            let ports = [client.1, server.1, ends.tags[0], ends.tags[1]];
            let ports = ports
                .iter()
                .fold(0, |all, port| all << 16 | u64::from(*port));
            rest = [a, b, c, d, ports];
        }
        let [a, b, c, d, e] = rest;
        [self.time, id.as_u64(), head, a, b, c, d, e]
    }

    /// Returns the entry of the words in a log.
    pub(super) fn from_words(words: &[u64; WORDS]) -> Self {
        let [time, id, head, a, b, c, d, ports] = *words;
        // Words that were written by `words` name a connection, a side and a kind.
        let id = SockId::from_u64(id).unwrap_or(SockId::new(0, 0, 0));
        let side = Side::BOTH[(head >> 8 & 1) as usize];
        let detail = (head >> 16 & 0xff) as usize;
        let [off, len] = [a, b];
        let kind = EventKind::ALL.get((head & 0xff) as usize);
        let event = match kind.copied().unwrap_or(EventKind::Evicted) {
            EventKind::Opened => Event::Opened { id },
            EventKind::Established => Event::Established { id },
            EventKind::Data => Event::Data { id, side, off, len },
            EventKind::Gap => Event::Gap { id, side, off, len },
            EventKind::Filled => Event::Filled { id, side, off, len },
            EventKind::Retransmit => Event::Retransmit { id, side, off, len },
            EventKind::Conflict => Event::Conflict {
                id,
                side,
                off,
                len,
                late: detail != 0,
            },
            EventKind::Refused => Event::Refused {
                id,
                side,
                seq: off as u32,
                len: len as u32,
                reason: Refusal::ALL.get(detail).copied().unwrap_or(Refusal::NoAck),
            },
            EventKind::State => {
                let state = TcpState::ALL.get(detail).copied().unwrap_or_default();
                Event::State { id, side, state }
            }
            EventKind::Closed => {
                let reason = CloseReason::ALL.get(detail).copied();
                let reason = reason.unwrap_or(CloseReason::ALL[0]);
                Event::Closed { id, reason }
            }
            EventKind::Evicted => Event::Evicted { id },
        };
        let port = |place: u32| (ports >> (48 - 16 * place)) as u16;
        let ends = (head & ENDS != 0).then(|| Endpoints {
            client: (address([a, b], head & CLIENT_V6 != 0), port(0)),
            server: (address([c, d], head & SERVER_V6 != 0), port(1)),
            tags: [port(2), port(3)],
            tagged: (head >> TAGS & 3) as u8,
            midstream: head & MIDSTREAM != 0,
        });
        Self {
            batch: (head >> 32) as u32,
            time,
            event,
            ends,
        }
    }
}

fn address_words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, u64::from(address.to_bits())],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

fn address([high, low]: [u64; 2], v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        ]
    }

    fn events(id: SockId, side: Side, off: u64, len: u64, pick: usize) -> [Event; 11] {
        [
            Event::Opened { id },
            Event::Established { id },
            Event::Data { id, side, off, len },
            Event::Gap { id, side, off, len },
            Event::Filled { id, side, off, len },
            Event::Retransmit { id, side, off, len },
            Event::Conflict {
                id,
                side,
                off,
                len,
                late: pick.is_multiple_of(2),
            },
            Event::Refused {
                id,
                side,
                seq: off as u32,
                len: len as u32,
                reason: Refusal::ALL[pick % Refusal::ALL.len()],
            },
            Event::State {
                id,
                side,
                state: TcpState::ALL[pick % TcpState::ALL.len()],
            },
            Event::Closed {
                id,
                reason: CloseReason::ALL[pick % CloseReason::ALL.len()],
            },
            Event::Evicted { id },
        ]
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(
            (batch, time, id) in (any::<u32>(), any::<u64>(), 0..1_u64 << 53),
            (off, len, pick) in (any::<u64>(), any::<u64>(), any::<usize>()),
            (client, server) in ((ip(), any::<u16>()), (ip(), any::<u16>())),
            (tags, tagged, midstream) in (any::<[u16; 2]>(), 0..3_u8, any::<bool>()),
        ) {
            let id = SockId::from_u64(id).unwrap();
            let ends = Endpoints { client, server, tags, tagged, midstream };
            for event in events(id, Side::BOTH[pick % 2], off, len, pick) {
                let has_ends = matches!(event.kind(), EventKind::Opened | EventKind::Closed | EventKind::Evicted);
                let entry = Entry { batch, time, event, ends: has_ends.then_some(ends) };
                prop_assert_eq!(Entry::from_words(&entry.words()), entry);
            }
        }
    }
}
