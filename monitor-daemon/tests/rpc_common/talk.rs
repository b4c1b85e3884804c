//! Generated connections: the frames of two ends.

use std::net::{IpAddr, SocketAddr};

use monitor_daemon::control::Engine;
use monitor_engine::{LinkType, Packet, SockId};

pub const SYN: u8 = 2;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;
const SECOND: u64 = 1_000_000_000;

/// A conversation, with a clock and both ends' initial sequence numbers.
pub struct Talk {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub vlan: Vec<u16>,
    /// Of the client and of the server.
    pub isn: [u32; 2],
    /// Number of bytes that each end has sent.
    pub sent: [u64; 2],
    pub time: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

impl Talk {
    pub fn new(client: &str, server: &str) -> Self {
        Self {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            vlan: Vec::new(),
            isn: [1000, 0xffff_ff00],
            sent: [0, 0],
            time: 1_700_000_000 * SECOND,
        }
    }

    pub fn syn(&mut self, engine: &mut Engine) {
        self.segment(engine, From::Client, SYN, self.isn[0], 0, b"");
    }

    pub fn open(&mut self, engine: &mut Engine) {
        self.syn(engine);
        self.segment(
            engine,
            From::Server,
            SYN | ACK,
            self.isn[1],
            self.isn[0].wrapping_add(1),
            b"",
        );
        self.at(engine, From::Client, 0, b"");
    }

    /// Sends the next bytes of an end, which the other one acknowledges.
    pub fn say(&mut self, engine: &mut Engine, from: From, bytes: &[u8]) {
        for segment in bytes.chunks(60_000) {
            self.at(engine, from, self.sent[from as usize], segment);
            self.sent[from as usize] += segment.len() as u64;
            // Until its scaled window is known, a receiver accepts at most 64 KiB.
            self.acknowledge(engine, from);
        }
    }

    /// Sends bytes of an end at an offset, without an acknowledgment.
    pub fn at(&mut self, engine: &mut Engine, from: From, off: u64, bytes: &[u8]) {
        let (seq, ack) = self.numbers(from, off);
        self.segment(engine, from, ACK, seq, ack, bytes);
    }

    pub fn fin(&mut self, engine: &mut Engine, from: From) {
        let (seq, ack) = self.numbers(from, self.sent[from as usize]);
        self.segment(engine, from, FIN | ACK, seq, ack, b"");
        self.sent[from as usize] += 1;
        self.acknowledge(engine, from);
    }

    pub fn reset(&mut self, engine: &mut Engine, from: From) {
        let (seq, ack) = self.numbers(from, self.sent[from as usize]);
        self.segment(engine, from, RST | ACK, seq, ack, b"");
    }

    /// The id under which the engine knows it; the newest one of these ends.
    pub fn id(&self, engine: &Engine) -> SockId {
        let reader = engine.reader();
        let own = reader
            .connections(None)
            .filter(|it| it.client == self.client && it.server == self.server);
        own.max_by_key(|it| it.opened)
            .expect("the engine knows the connection")
            .id
    }

    fn acknowledge(&mut self, engine: &mut Engine, of: From) {
        let from = if of == From::Client {
            From::Server
        } else {
            From::Client
        };
        self.at(engine, from, self.sent[from as usize], b"");
    }

    fn numbers(&self, from: From, off: u64) -> (u32, u32) {
        let number = |end: usize, off: u64| self.isn[end].wrapping_add(1).wrapping_add(off as u32);
        let (own, peer) = if from == From::Client { (0, 1) } else { (1, 0) };
        (number(own, off), number(peer, self.sent[peer]))
    }

    fn segment(
        &mut self,
        engine: &mut Engine,
        from: From,
        flags: u8,
        seq: u32,
        ack: u32,
        payload: &[u8],
    ) {
        let (src, dst) = if from == From::Client {
            (self.client, self.server)
        } else {
            (self.server, self.client)
        };
        let mut tcp = Vec::new();
        tcp.extend(src.port().to_be_bytes());
        tcp.extend(dst.port().to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        // A scaled window that takes everything the tests send.
        tcp.extend(if flags & SYN == 0 {
            [0x50, flags]
        } else {
            [0x60, flags]
        });
        tcp.extend([0xff, 0xff, 0, 0, 0, 0]);
        if flags & SYN != 0 {
            tcp.extend([3, 3, 14, 0]);
        }
        tcp.extend(payload);
        let frame = frame(src.ip(), dst.ip(), &self.vlan, &tcp);
        self.time += 1_000;
        let packet = Packet {
            time: self.time,
            interface: 0,
            link: LinkType::Ethernet,
            data: &frame,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        };
        engine.process(&[packet]);
    }
}

fn frame(src: IpAddr, dst: IpAddr, vlan: &[u16], tcp: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for id in vlan {
        frame.extend([0x81, 0x00]);
        frame.extend(id.to_be_bytes());
    }
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend(((20 + tcp.len()) as u16).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((tcp.len() as u16).to_be_bytes());
            frame.extend([6, 64]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
        }
        _ => panic!("both ends have addresses of one family"),
    }
    frame.extend(tcp);
    frame
}
