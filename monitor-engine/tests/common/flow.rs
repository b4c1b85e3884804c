//! Both ends of one connection, as a script writes them.

use std::net::SocketAddr;

use monitor_engine::Side;

use super::frame::{ACK, FIN, PSH, RST, SYN, Segment};
use super::lab::Lab;

/// Two ends of a connection. Methods name the sender: bytes that `Side::Client` sends is received by `Side::Server`.
#[derive(Clone, Debug)]
pub struct Flow {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Initial sequence number of each end, by [`Side::index`] of the sender.
    pub isn: [u32; 2],
    /// The offset that each end says it expects next.
    pub acked: [u64; 2],
    /// The window field of each end.
    pub window: [u16; 2],
    /// Window scale in the SYN of each end.
    pub scale: [Option<u8>; 2],
    /// Next offset of each end.
    pub sent: [u64; 2],
    /// Highest acknowledgment of each end that was captured.
    pub acks: [u64; 2],
    /// Acknowledges nothing: the acknowledgment number stays at the peer's first byte.
    pub mute: bool,
}

impl Flow {
    pub fn new() -> Self {
        Self::numbered(1)
    }

    /// Creates one of many flows.
    pub fn numbered(n: u32) -> Self {
        let [_, a, b, c] = (n / 20_000).to_be_bytes();
        let port = 40_000 + (n % 20_000) as u16;
        Self::between(&format!("10.{a}.{b}.{c}:{port}"), "192.0.2.1:80")
    }

    pub fn between(client: &str, server: &str) -> Self {
        Self {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            isn: [1000, 5000],
            acked: [0, 0],
            window: [65535, 65535],
            scale: [None, None],
            acks: [0, 0],
            sent: [0, 0],
            mute: false,
        }
    }

    /// A segment at an offset of the sender's stream.
    pub fn segment(&self, from: Side, off: i64, flags: u8, payload: &[u8]) -> Segment {
        let (src, dst) = match from {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        };
        let first = self.isn[from.index()].wrapping_add(1);
        let mut segment = Segment::new(src, dst, first.wrapping_add(off as u32), flags);
        segment.window = self.window[from.index()];
        segment.payload = payload.to_vec();
        segment.flags |= ACK;
        let peer = self.isn[from.peer().index()].wrapping_add(1);
        let acked = if self.mute {
            0
        } else {
            self.acked[from.index()] as u32
        };
        segment.ack = peer.wrapping_add(acked);
        segment
    }

    /// Sends payload at an offset.
    pub fn at(&mut self, lab: &mut Lab, from: Side, off: i64, payload: &[u8]) {
        lab.ip(&self.segment(from, off, PSH, payload).ip());
    }

    /// Returns the segment with the next payload of an end; the peer has it from then on.
    pub fn data(&mut self, from: Side, payload: &[u8]) -> Segment {
        let off = self.sent[from.index()];
        let segment = self.segment(from, off as i64, PSH, payload);
        self.sent[from.index()] = off + payload.len() as u64;
        self.acked[from.peer().index()] = self.sent[from.index()];
        segment
    }

    /// Sends the next payload of an end; the peer has it from then on.
    pub fn send(&mut self, lab: &mut Lab, from: Side, payload: &[u8]) {
        lab.ip(&self.data(from, payload).ip());
        let peer = from.peer();
        // As receivers do, before the window is used up.
        if !self.mute && self.sent[from.index()] - self.acks[peer.index()] >= 24 << 10 {
            self.ack(lab, peer, self.sent[from.index()]);
        }
    }

    /// An end acknowledges everything below `off`.
    pub fn ack(&mut self, lab: &mut Lab, from: Side, off: u64) {
        self.acked[from.index()] = off;
        self.acks[from.index()] = self.acks[from.index()].max(off);
        let at = self.sent[from.index()] as i64;
        lab.ip(&self.segment(from, at, ACK, b"").ip());
    }

    pub fn syn(&self) -> Segment {
        let mut syn = self.segment(Side::Client, -1, SYN, b"");
        syn.flags = SYN;
        syn.ack = 0;
        syn.scale = self.scale[0];
        syn
    }

    pub fn syn_ack(&self) -> Segment {
        let mut answer = self.segment(Side::Server, -1, SYN | ACK, b"");
        answer.scale = self.scale[1];
        answer
    }

    /// The three-way handshake.
    pub fn open(&mut self, lab: &mut Lab) {
        lab.ip(&self.syn().ip());
        lab.ip(&self.syn_ack().ip());
        self.ack(lab, Side::Client, 0);
    }

    /// An end sends its FIN; the peer has it from then on.
    pub fn fin(&mut self, lab: &mut Lab, from: Side) {
        let off = self.sent[from.index()];
        lab.ip(&self.segment(from, off as i64, FIN, b"").ip());
        self.sent[from.index()] = off + 1;
        self.acked[from.peer().index()] = off + 1;
    }

    /// Both FINs and their acknowledgments, the client first.
    pub fn close(&mut self, lab: &mut Lab) {
        self.fin(lab, Side::Client);
        self.fin(lab, Side::Server);
        self.ack(lab, Side::Client, self.acked[0]);
    }

    /// A RST at an offset.
    pub fn rst(&mut self, lab: &mut Lab, from: Side, off: i64) {
        lab.ip(&self.segment(from, off, RST, b"").ip());
    }
}
