//! Overlapping segments sent to a real socket: bytes read by the application, compared with those of the engine.
//!
//! The segments enter through a TUN device in a namespace, so that the running kernel's receive path decides.
//! `MONITOR_SEED` selects other random segments.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../../monitor-engine/tests/common/frame.rs"]
#[allow(
    dead_code,
    reason = "shared with the engine's tests, which use more of it"
)]
mod frame;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use frame::{ACK, FIN, PSH, RST, SYN, Segment};
use monitor_daemon::capture::tap;
use monitor_engine::{Engine, EngineConfig, LinkType, Packet, Side};
use monitor_tests::{Namespace, needs, skip};
use rustix::fs::{OFlags, fcntl_setfl};

const SERVER: &str = "10.77.0.1:7777";
/// Number of random conversations.
const CONVERSATIONS: u16 = 400;
/// Timeout of an answer of the kernel.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn overlaps_are_resolved_like_this_kernel_does() {
    needs!("ip");
    if let Err(error) = tap::supported() {
        skip!("needs /dev/net/tun: {error}");
    }
    let seed = std::env::var("MONITOR_SEED").map_or(1, |seed| seed.parse().unwrap());
    let namespace = Namespace::new();
    namespace.set("ipv6/conf/all/disable_ipv6", "1");
    namespace.set("ipv6/conf/default/disable_ipv6", "1");
    namespace.enter(|| {
        let (tun, name) = tap::make(LinkType::Ip).unwrap();
        fcntl_setfl(&tun, OFlags::NONBLOCK).unwrap();
        namespace.ip(&format!("address add 10.77.0.1/24 dev {name}"));
        namespace.ip(&format!("link set {name} up"));
        let listener = TcpListener::bind(SERVER).unwrap();
        let mut random = Random(seed);
        let mut overlapped = 0;
        for number in 0..CONVERSATIONS {
            let plan = Plan::new(&mut random);
            let mut talk = Conversation::open(&tun, &listener, number, random.next() as u32);
            talk.follow(&plan);
            let (kernel, engine) = talk.close(plan.len);
            assert_eq!(
                kernel, engine,
                "MONITOR_SEED={seed}, conversation {number}: {plan:?}"
            );
            overlapped += usize::from(plan.overlaps());
        }
        assert!(
            overlapped > usize::from(CONVERSATIONS / 2),
            "{overlapped} conversations overlap themselves"
        );
    });
}

/// Random number generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn within(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % range.len() as u64) as usize
    }
}

/// Segments that the client sends.
#[derive(Debug)]
struct Plan {
    /// Bytes in the stream: few enough for the kernel to merge adjacent segments (it copies into the space behind the
    /// bytes of the first).
    len: usize,
    /// Offsets of segments in sending order, with a flag for the FIN.
    segments: Vec<(Range<usize>, bool)>,
    /// Lengths of the segments that fill the holes afterwards.
    fillers: Vec<usize>,
    /// The stream ends with a FIN.
    fin: bool,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        let len = random.within(4..40);
        let fin = random.within(0..3) == 0;
        // Pairs and triples are as frequent as longer sequences; most follow a hole.
        let count = [2, 3, random.within(4..9), random.within(4..20)][random.within(0..4)];
        let lowest = usize::from(random.within(0..4) != 0);
        let longest = [3, 6, 16][random.within(0..3)];
        let segment = |random: &mut Random| {
            let start = random.within(lowest..len);
            let end = (start + random.within(1..longest + 1)).min(len);
            let alone = fin && random.within(0..20) == 0;
            let range = if alone { len..len } else { start..end };
            let carries = alone || (fin && range.end == len && random.within(0..2) == 0);
            (range, carries)
        };
        let segments = (0..count).map(|_| segment(random)).collect();
        let fillers = (0..len).map(|_| random.within(1..4)).collect();
        Self {
            len,
            segments,
            fillers,
            fin,
        }
    }

    fn overlaps(&self) -> bool {
        let ranges = || self.segments.iter().map(|segment| &segment.0).enumerate();
        ranges().any(|(i, a)| ranges().any(|(j, b)| i < j && a.start < b.end && b.start < a.end))
    }
}

/// Connection between this test and the kernel, which the engine monitors.
struct Conversation<'a> {
    tun: &'a File,
    client: SocketAddr,
    server: SocketAddr,
    isn: u32,
    server_isn: Option<u32>,
    engine: Engine,
    accepted: Option<TcpStream>,
}

impl<'a> Conversation<'a> {
    fn open(tun: &'a File, listener: &TcpListener, number: u16, isn: u32) -> Self {
        let config = EngineConfig {
            memory: 1 << 20,
            ..EngineConfig::default()
        };
        let mut this = Self {
            tun,
            client: format!("10.77.0.2:{}", 20_000 + number).parse().unwrap(),
            server: SERVER.parse().unwrap(),
            isn,
            server_isn: None,
            engine: Engine::new(config, ()).unwrap(),
            accepted: None,
        };
        this.send(-1, SYN, b"");
        let start = Instant::now();
        while this.server_isn.is_none() {
            assert!(start.elapsed() < PATIENCE, "no answer to the SYN");
            this.answers();
        }
        this.send(0, ACK, b"");
        let accepted = listener.accept().unwrap();
        assert_eq!(accepted.1, this.client);
        this.accepted = Some(accepted.0);
        this
    }

    fn follow(&mut self, plan: &Plan) {
        for ((range, fin), letter) in plan.segments.iter().zip((b'a'..=b'z').cycle()) {
            let flags = if *fin { PSH | FIN } else { PSH };
            self.send(range.start as i64, flags, &vec![letter; range.len()]);
        }
        for len in &plan.fillers {
            let next = self.next();
            if next < plan.len {
                self.send(next as i64, PSH, &vec![b'.'; (*len).min(plan.len - next)]);
            }
        }
        if plan.fin {
            self.send(plan.len as i64, FIN, b"");
        }
    }

    /// Returns the bytes that the application reads, and those of the engine.
    fn close(mut self, len: usize) -> (String, String) {
        let mut stream = self.accepted.take().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut kernel = vec![0; len];
        stream.read_exact(&mut kernel).unwrap();
        let mut engine = vec![0; len];
        let reader = self.engine.reader();
        let id = reader.connections(None).next().unwrap().id;
        assert_eq!(
            reader.peek(id, Side::Server, 0, &mut engine).unwrap().len,
            len
        );
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        self.send(len as i64 + 1, RST, b"");
        self.send(len as i64, RST, b"");
        (text(kernel), text(engine))
    }

    /// Returns the in-order edge.
    fn next(&self) -> usize {
        let connection = self.engine.reader().connections(None).next().unwrap();
        connection.sides[Side::Server.index()].next as usize
    }

    /// Sends a segment at an offset of the client's stream to the kernel and to the engine.
    fn send(&mut self, off: i64, flags: u8, payload: &[u8]) {
        let seq = self.isn.wrapping_add(1).wrapping_add(off as u32);
        let mut segment = Segment::new(self.client, self.server, seq, flags);
        if let Some(isn) = self.server_isn {
            segment.flags |= ACK;
            segment.ack = isn.wrapping_add(1);
        }
        segment.payload = payload.to_vec();
        let packet = segment.ip();
        self.tun.write_all(&packet).unwrap();
        self.see(&packet);
        self.answers();
    }

    /// Passes the kernel's segments to the engine.
    fn answers(&mut self) {
        let mut packet = [0; 2048];
        loop {
            let len = match self.tun.read(&mut packet) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("reading from the TUN device: {error}"),
            };
            // IPv4 without options, then TCP; possibly of an earlier connection.
            if len < 40 || packet[22..24] != self.client.port().to_be_bytes() {
                continue;
            }
            if packet[33] & SYN != 0 {
                self.server_isn = packet[24..28].try_into().ok().map(u32::from_be_bytes);
            }
            self.see(&packet[..len]);
        }
    }

    fn see(&mut self, packet: &[u8]) {
        self.engine.process(&[Packet {
            time: 1_000_000_000,
            interface: 0,
            link: LinkType::Ip,
            data: packet,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
    }
}
