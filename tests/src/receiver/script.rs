//! Random scripts: honest segments, forged ones, and an application that reads when it likes.
//!
//! Everything follows from the seed and from the kernel's answers.

use std::ops::Range;

use super::kernel::Application;
use super::peer::{Forgery, Peer};
use super::tun::Tun;
use crate::wiregen::Random;
use crate::wiregen::flags::{ACK, FIN, PSH, RST, SYN};

/// Segment kinds that a script may forge. Tests leave out those that a capture cannot judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Segments with a wrong checksum.
    pub checksums: bool,
}

/// Script of one connection after its handshake.
pub struct Script<'a> {
    random: Random,
    tun: &'a Tun,
    /// Scripted end.
    pub peer: Peer,
    /// Application on the kernel's end.
    pub application: Application,
    kinds: Kinds,
    /// Honest bytes, as many as any script sends.
    stream: Vec<u8>,
    sent: usize,
    /// Parts of the honest stream that were sent, in the order of sending.
    parts: Vec<Range<usize>>,
    fin: Option<usize>,
    /// Percentage of forged segments.
    forged: u64,
    /// Percentage of reads.
    eager: u64,
}

impl<'a> Script<'a> {
    /// Creates the script of an established connection.
    #[must_use]
    pub fn new(
        mut random: Random,
        tun: &'a Tun,
        peer: Peer,
        application: Application,
        kinds: Kinds,
    ) -> Self {
        let stream = random.bytes(200_000);
        let sent = peer.expected();
        Self {
            tun,
            peer,
            application,
            kinds,
            stream,
            sent,
            parts: Vec::new(),
            fin: None,
            forged: [0, 10, 30, 60][random.below(4)],
            eager: [0, 5, 30][random.below(3)],
            random,
        }
    }

    /// Runs to the end. The application reads all there is to read.
    pub fn run(&mut self) {
        let steps = 5 + self.random.below(40);
        for _ in 0..steps {
            if self.peer.reset && self.random.chance(70) {
                break;
            }
            self.step();
        }
        match self.random.below(10) {
            0..6 => self.close(),
            6 => {
                let off = self.peer.expected();
                self.honest("end", self.peer.seq(off), RST, &[]);
            }
            _ => self.repair(),
        }
        if self.random.chance(30) {
            self.forge();
        }
        self.application.read(usize::MAX);
        self.peer.drain(self.tun);
    }

    fn step(&mut self) {
        if self.random.chance(self.forged) {
            self.forge();
        } else if self.random.chance(self.eager) {
            let limit = [1, 100, 5000, usize::MAX][self.random.below(4)];
            self.application.read(limit);
            self.peer.drain(self.tun);
        } else {
            self.behave();
        }
    }

    /// Sends an honest segment.
    fn behave(&mut self) {
        match self.random.below(100) {
            0..45 => self.next(),
            45..55 => self.repeat(),
            55..65 => self.ahead(),
            65..75 => self.fill(),
            75..82 => self.acknowledge("ack"),
            82..86 => self.keep_alive(),
            // A write would take the error of a reset connection, and the next read would see the end of the stream.
            86..94 if self.application.is_closed() => {}
            86..94 => {
                let len = 1 + self.random.below(3000);
                let bytes = self.random.bytes(len);
                self.application.write(&bytes);
                self.peer.drain(self.tun);
                if self.random.chance(60) {
                    self.acknowledge("ack");
                }
            }
            94..96 => {
                self.application.shutdown();
                self.peer.drain(self.tun);
            }
            96..98 => self.probe(),
            _ => self.fin(),
        }
    }

    fn honest(&mut self, name: &str, seq: u32, bits: u8, payload: &[u8]) {
        self.peer.honest(self.tun, name, seq, bits, payload);
    }

    fn len(&mut self) -> usize {
        let most = [10, 100, 600, 1400][self.random.below(4)];
        1 + self.random.below(most)
    }

    /// Sends honest bytes from an offset, none beyond the FIN and none beyond the window.
    fn data(&mut self, name: &str, off: usize, len: usize) {
        let limit = self.fin.unwrap_or(self.stream.len());
        let window = self.peer.expected() + self.peer.window();
        let end = (off + len).min(limit).min(window);
        if off >= end {
            return;
        }
        let payload = self.stream[off..end].to_vec();
        self.honest(name, self.peer.seq(off), ACK | PSH, &payload);
        self.sent = self.sent.max(end);
        self.parts.push(off..end);
    }

    /// Sends again what the kernel has dropped for lack of memory: an honest sender does so.
    fn repair(&mut self) {
        for _ in 0..200 {
            let off = self.peer.expected();
            let is_dropped = self.parts.iter().any(|part| part.contains(&off));
            if !is_dropped || self.peer.reset {
                return;
            }
            self.application.read(usize::MAX);
            self.peer.drain(self.tun);
            self.data("again", off, 1400);
        }
    }

    fn next(&mut self) {
        let len = self.len();
        self.data("next", self.sent, len);
    }

    fn repeat(&mut self) {
        let off = self.random.below(self.sent + 1);
        let len = self.len();
        self.data("repeat", off, len);
    }

    fn ahead(&mut self) {
        let off = self.sent + 1 + self.random.below(2000);
        let len = self.len();
        self.data("ahead", off, len);
    }

    fn fill(&mut self) {
        let len = self.len();
        self.data("fill", self.peer.expected(), len);
    }

    fn acknowledge(&mut self, name: &str) {
        let seq = self.peer.seq(self.sent);
        self.honest(name, seq, ACK, &[]);
    }

    /// Sends a keep-alive probe, with or without a byte of garbage (RFC 9293, 3.8.4).
    fn keep_alive(&mut self) {
        let seq = self.peer.acked.wrapping_sub(1);
        let garbage = self.random.below(2);
        self.honest("keep-alive", seq, ACK, &[0][..garbage]);
    }

    /// Sends one byte beyond a closed window, or within an open one (RFC 9293, 3.8.6.1).
    fn probe(&mut self) {
        let off = self.peer.expected();
        if self.fin.is_some_and(|fin| off >= fin) || off >= self.stream.len() {
            return;
        }
        let byte = [self.stream[off]];
        self.honest("probe", self.peer.seq(off), ACK, &byte);
        if self.peer.window() > 0 {
            self.sent = self.sent.max(off + 1);
        }
    }

    fn fin(&mut self) {
        let off = *self.fin.get_or_insert(self.sent);
        self.honest("fin", self.peer.seq(off), FIN | ACK, &[]);
    }

    /// Sends all that is missing, then FINs both ways, in one of the usual orders.
    fn close(&mut self) {
        let crossed = self.random.chance(30);
        let active = self.random.chance(50);
        if active {
            self.application.shutdown();
            if !crossed {
                self.peer.drain(self.tun);
            }
        }
        let mut rounds = 0;
        while self.peer.expected() < self.sent && rounds < 200 && !self.peer.reset {
            rounds += 1;
            self.application.read(usize::MAX);
            self.peer.drain(self.tun);
            self.data("fill", self.peer.expected(), 1400);
        }
        self.fin();
        if !active && self.random.chance(70) {
            self.application.shutdown();
            self.peer.drain(self.tun);
        }
        let end = self.peer.seq(self.fin.unwrap_or(self.sent)).wrapping_add(1);
        self.honest("last", end, ACK, &[]);
    }

    /// Sends a forged segment of any kind, at any place.
    fn forge(&mut self) {
        let off = self.place();
        let seq = self.peer.seq(0).wrapping_add(off as u32);
        let len = self.len();
        let payload = self.random.bytes(len);
        let mut forged = Forgery::default();
        match self.random.below(100) {
            // Honest numbers, other bytes: the overlap policy decides, or the kernel believes them.
            0..8 => self.send("other bytes", seq, ACK | PSH, &payload, &forged),
            // A SYN after the end is the beginning of something else.
            8..16 if !self.application.is_closed() => {
                let bits = [SYN, SYN | ACK, SYN | FIN, SYN | ACK | PSH][self.random.below(4)];
                let seq = if self.random.chance(50) {
                    self.random.number() as u32
                } else {
                    seq
                };
                let len = [0, 0, payload.len()][self.random.below(3)];
                self.send("syn", seq, bits, &payload[..len], &forged);
            }
            16..26 => {
                let bits = [RST, RST | ACK][self.random.below(2)];
                self.defect(&mut forged, 30);
                let len = [0, 0, 0, payload.len()][self.random.below(4)];
                // Beyond the window, Linux decides by the bytes that the application hasn't read, which no packet shows.
                let room = self.peer.edge.wrapping_sub(seq) as i32;
                let len = len.min(room.max(0) as usize);
                self.send("rst", seq, bits, &payload[..len], &forged);
            }
            26..40 => {
                let bits = [FIN, FIN | PSH, 0, PSH][self.random.below(4)];
                let len = if bits & FIN != 0 { 0 } else { payload.len() };
                self.send("no ack flag", seq, bits, &payload[..len], &forged);
            }
            _ => {
                let bits = [ACK | PSH, ACK | PSH, ACK | FIN, ACK][self.random.below(4)];
                self.defect(&mut forged, 100);
                let len = if bits == ACK | PSH {
                    payload.len()
                } else {
                    [0, payload.len()][self.random.below(2)]
                };
                self.send("defect", seq, bits, &payload[..len], &forged);
            }
        }
    }

    fn send(&mut self, name: &str, seq: u32, bits: u8, payload: &[u8], forged: &Forgery) {
        self.peer.send(self.tun, name, (seq, bits), payload, forged);
    }

    /// Gives a segment one of the defects for which a receiver discards it.
    fn defect(&mut self, forged: &mut Forgery, percent: u64) {
        if !self.random.chance(percent) {
            return;
        }
        match self.random.below(8) {
            0 => forged.ack_by = 1 + self.random.below(100_000) as u32,
            1 => forged.ack_by = 0x4000_0000 + self.random.below(1 << 20) as u32,
            2 => forged.ack_by = 0_u32.wrapping_sub(self.random.below(200_000) as u32),
            3 => forged.ack_by = 0_u32.wrapping_sub(1 << 30),
            4 => forged.timestamp_by = 0_u32.wrapping_sub(1 << 20),
            5 => forged.timestamp_by = 0_u32.wrapping_sub(2 + self.random.below(60) as u32),
            6 => forged.no_timestamp = true,
            _ if self.kinds.checksums => forged.bad_checksum = true,
            _ => forged.ack_by = 0x7fff_0000,
        }
    }

    /// Returns an offset near the edges of the kernel's window.
    fn place(&mut self) -> i64 {
        let expected = self.peer.expected() as i64;
        let window = self.peer.window() as i64;
        let near = self.random.below(300) as i64;
        match self.random.below(12) {
            0..4 => expected,
            4 => self.sent as i64,
            5 => expected + near,
            6 => expected - near,
            7 => expected + self.random.below(window as usize + 1) as i64,
            8 => expected + window,
            9 => expected + window - near,
            10 => expected + window + near,
            _ => expected + window + 0x1000_0000,
        }
    }
}
