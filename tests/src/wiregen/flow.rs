//! Connections as lists of segments.

use std::net::SocketAddr;

use super::Random;

/// TCP flags.
pub mod flags {
    #![allow(missing_docs, reason = "the names are RFC 9293's")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

use flags::{ACK, FIN, PSH, RST, SYN};

/// End of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end that opens.
    Client,
    /// The end that accepts.
    Server,
}

impl End {
    /// The other one.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Sender.
    pub from: End,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; sent as 0 without ACK.
    pub ack: u32,
    /// See [`flags`].
    pub flags: u8,
    /// Window field of the header, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Whole options; padded to 4 bytes on the wire.
    pub options: Vec<u8>,
    /// Its data.
    pub payload: Vec<u8>,
}

/// A connection that is being written down. Methods append segments and move the clock; [`Flow::segments`] is there
/// to be changed by hand.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The server's address and port.
    pub server: SocketAddr,
    /// Segments in the order of arrival.
    pub segments: Vec<Segment>,
    /// Most payload bytes of a segment that [`Flow::send`] makes.
    pub mss: usize,
    /// Time of the next segment, nanoseconds since the epoch.
    pub now: u64,
    /// Nanoseconds between two segments.
    pub step: u64,
    isn: [u32; 2],
    next: [u32; 2],
    sent: [Vec<u8>; 2],
}

impl Flow {
    /// A connection that has not sent anything yet.
    ///
    /// # Panics
    /// When an address cannot be parsed.
    #[must_use]
    pub fn new(client: &str, server: &str) -> Self {
        Self {
            client: client.parse().expect("address:port of the client"),
            server: server.parse().expect("address:port of the server"),
            segments: Vec::new(),
            mss: 1448,
            now: 1_700_000_000_000_000_000,
            step: 100_000,
            isn: [1000, 5000],
            next: [1000, 5000],
            sent: [Vec::new(), Vec::new()],
        }
    }

    /// Sets the initial sequence numbers; before anything is sent.
    pub fn isn(&mut self, client: u32, server: u32) -> &mut Self {
        self.isn = [client, server];
        self.next = self.isn;
        self
    }

    /// The three-way handshake.
    pub fn open(&mut self) -> &mut Self {
        self.segment(End::Client, SYN, &[]);
        self.segment(End::Server, SYN | ACK, &[]);
        self.segment(End::Client, ACK, &[])
    }

    /// Starts in the middle of a connection: the sequence numbers stand where a handshake leaves them.
    pub fn midstream(&mut self) -> &mut Self {
        self.next = [self.isn[0].wrapping_add(1), self.isn[1].wrapping_add(1)];
        self
    }

    /// Data in segments of up to [`Flow::mss`] bytes; the peer acknowledges every second one and the last.
    pub fn send(&mut self, from: End, data: &[u8]) -> &mut Self {
        let pieces = data.chunks(self.mss).count();
        for (index, piece) in data.chunks(self.mss).enumerate() {
            self.segment(from, PSH | ACK, piece);
            if index % 2 == 1 || index + 1 == pieces {
                self.segment(from.peer(), ACK, &[]);
            }
        }
        self
    }

    /// Both ends close, the client first.
    pub fn close(&mut self) -> &mut Self {
        self.segment(End::Client, FIN | ACK, &[]);
        self.segment(End::Server, ACK, &[]);
        self.segment(End::Server, FIN | ACK, &[]);
        self.segment(End::Client, ACK, &[])
    }

    /// Sends an RST from one end.
    pub fn reset(&mut self, from: End) -> &mut Self {
        self.segment(from, RST | ACK, &[])
    }

    /// Appends one segment in order. SYN and FIN take a sequence number each, payload takes its length.
    pub fn segment(&mut self, from: End, flags: u8, payload: &[u8]) -> &mut Self {
        let seq = self.next[from as usize];
        self.segment_at(from, seq, flags, payload);
        let length =
            payload.len() as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.next[from as usize] = seq.wrapping_add(length);
        self.sent[from as usize].extend(payload);
        self
    }

    /// Appends a segment with any sequence number; its payload does not count as sent.
    pub fn segment_at(&mut self, from: End, seq: u32, flags: u8, payload: &[u8]) -> &mut Self {
        let ack = if flags & ACK != 0 {
            self.next[from.peer() as usize]
        } else {
            0
        };
        self.segments.push(Segment {
            time: self.now,
            from,
            seq,
            ack,
            flags,
            window: 65535,
            urgent: 0,
            options: Vec::new(),
            payload: payload.to_vec(),
        });
        self.wait(self.step)
    }

    /// Adds an idle time.
    pub fn wait(&mut self, nanoseconds: u64) -> &mut Self {
        self.now += nanoseconds;
        self
    }

    /// Returns the sequence number of an offset in the stream of `from`.
    #[must_use]
    pub fn seq(&self, from: End, offset: u64) -> u32 {
        self.isn[from as usize]
            .wrapping_add(1)
            .wrapping_add(offset as u32)
    }

    /// The stream that `end` receives.
    #[must_use]
    pub fn received_by(&self, end: End) -> &[u8] {
        &self.sent[end.peer() as usize]
    }

    /// Sends some segments with payload twice.
    pub fn duplicate(&mut self, random: &mut Random, percent: u64) -> &mut Self {
        let mut segments = Vec::with_capacity(self.segments.len());
        for segment in self.segments.drain(..) {
            if !segment.payload.is_empty() && random.chance(percent) {
                segments.push(segment.clone());
            }
            segments.push(segment);
        }
        self.segments = segments;
        self.retime()
    }

    /// Lets some segments with payload change places with one of the `distance` segments behind them.
    pub fn reorder(&mut self, random: &mut Random, percent: u64, distance: usize) -> &mut Self {
        let movable = |segment: &Segment| segment.flags & (SYN | FIN | RST) == 0;
        for index in 0..self.segments.len() {
            let other = (index + 1 + random.below(distance)).min(self.segments.len() - 1);
            let both = movable(&self.segments[index]) && movable(&self.segments[other]);
            if both && !self.segments[index].payload.is_empty() && random.chance(percent) {
                self.segments.swap(index, other);
            }
        }
        self.retime()
    }

    /// Sends some segments with payload later again, together with half of their predecessor: overlaps that agree.
    pub fn overlap(&mut self, random: &mut Random, percent: u64) -> &mut Self {
        let mut segments: Vec<Segment> = Vec::with_capacity(self.segments.len());
        for segment in self.segments.drain(..) {
            let before = segments.iter().rev().take(8).find(|earlier| {
                let end = earlier.seq.wrapping_add(earlier.payload.len() as u32);
                earlier.from == segment.from && end == segment.seq && !earlier.payload.is_empty()
            });
            let again = before
                .filter(|_| !segment.payload.is_empty())
                .map(|earlier| {
                    let half = earlier.payload.len() / 2;
                    let seq = earlier.seq.wrapping_add(half as u32);
                    let payload = [&earlier.payload[half..], &segment.payload[..]].concat();
                    Segment {
                        seq,
                        payload,
                        ..segment.clone()
                    }
                });
            segments.push(segment);
            segments.extend(again.filter(|_| random.chance(percent)));
        }
        self.segments = segments;
        self.retime()
    }

    /// Removes some segments with payload for good. Returns the ranges that are missing on the
    /// wire, as (receiver, offset, length) in the order of the segments.
    pub fn lose(&mut self, random: &mut Random, percent: u64) -> Vec<(End, u64, u64)> {
        let mut lost = Vec::new();
        let isn = self.isn;
        self.segments.retain(|segment| {
            let lose = !segment.payload.is_empty() && random.chance(percent);
            if lose {
                let offset = segment
                    .seq
                    .wrapping_sub(isn[segment.from as usize])
                    .wrapping_sub(1);
                lost.push((
                    segment.from.peer(),
                    u64::from(offset),
                    segment.payload.len() as u64,
                ));
            }
            !lose
        });
        self.retime();
        lost
    }

    /// Gives the segments increasing times again, in the order they are in.
    pub fn retime(&mut self) -> &mut Self {
        let first = self
            .segments
            .iter()
            .map(|segment| segment.time)
            .min()
            .unwrap_or(self.now);
        let step = self.step;
        for (index, segment) in self.segments.iter_mut().enumerate() {
            segment.time = first + index as u64 * step;
        }
        self
    }
}
