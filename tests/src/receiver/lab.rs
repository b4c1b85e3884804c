//! Batches of scripts, and the comparison of the monitor's connections with the kernel's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;

use super::compare::{Role, Truth, compare};
use super::difference::{Difference, pcap};
use super::handshake::{self, kernel_address};
use super::kernel::{Ending, Listener, dropped_for_memory, open_connections};
use super::packet::Incoming;
use super::peer::Peer;
use super::script::{Kinds, Script};
use super::tun::{DEVICE, Tun};
use super::versions::Versions;
use crate::wiregen::{Random, flags};
use crate::{Daemon, Namespace, until};

/// Receive buffer of the small sockets, bytes.
const SMALL: usize = 4096;
/// Settings of every daemon here: nothing times out, nothing is evicted.
const SETTINGS: &str =
    "[store]\nmemory = '256MiB'\nwindow = '1MiB'\n[tcp]\nlinger = '10h'\nidle_timeout = '10h'\n";

/// Namespace, device, listening sockets and the daemon.
pub struct Lab {
    tun: Tun,
    daemon: Daemon,
    namespace: Namespace,
    kinds: Kinds,
    listeners: [Listener; 4],
    batch: u32,
}

impl Lab {
    /// Starts everything. `settings`: further lines of the daemon's section `[capture]`.
    #[must_use]
    #[track_caller]
    pub fn new(settings: &str, kinds: Kinds) -> Self {
        let namespace = Namespace::new();
        let tun = Tun::new(&namespace);
        let settings = format!(
            "[capture]\nmode = 'tap'\ninterfaces = ['{DEVICE}']\nworkers = 1\n{settings}\n{SETTINGS}"
        );
        let daemon = Daemon::start(&namespace, &settings);
        let listeners = namespace.enter(|| {
            let socket = |v6, port, buffer| Listener::new(kernel_address(v6, port), buffer);
            [
                socket(false, 7000, None),
                socket(true, 7000, None),
                socket(false, 7001, Some(SMALL)),
                socket(true, 7001, Some(SMALL)),
            ]
        });
        Self {
            tun,
            daemon,
            namespace,
            kinds,
            listeners,
            batch: 0,
        }
    }

    /// Runs one script for each seed, at most 500, and compares. Returns the differences of the live capture, then those
    /// of its replay.
    #[track_caller]
    pub fn run(
        &mut self,
        role: Role,
        seeds: impl Iterator<Item = u64> + Send,
    ) -> [Vec<Difference>; 2] {
        self.batch += 1;
        let batch = self.batch;
        let mut truths = Vec::new();
        let namespace = &self.namespace;
        namespace.enter(|| {
            // Packets of one processor keep their order on the way to the monitor.
            pin();
            for (index, seed) in seeds.enumerate() {
                truths.extend(self.script(role, seed, batch, index as u16));
            }
            let open = open_connections();
            for truth in &mut truths {
                let (local, remote) = match role {
                    Role::Server => (truth.server, truth.client),
                    Role::Client => (truth.client, truth.server),
                };
                truth.is_open &= open.contains_key(&(local, remote));
            }
            self.mark(batch);
        });
        let mut rpc = self.daemon.rpc();
        let marker = marker(batch).to_string();
        let server = kernel_address(false, 7000).to_string();
        until("the last packet", || {
            rpc.call("lookup", json!({"client": marker, "server": server}))
                .ok()
        });
        let stats = rpc.ok("stats", json!({}));
        for name in ["rx_dropped", "rx_ring_full", "fill_ring_empty"] {
            assert_eq!(stats["capture"][name], 0, "{name}: {stats:#}");
        }
        let network = network(batch);
        let live = compare(&mut rpc, &network, &truths);
        let replayed = replay(&network, &truths);
        self.namespace.enter(|| {
            for truth in &mut truths {
                if let Some(application) = truth.application.take() {
                    application.abort();
                }
            }
            let mut buffer = [0; 65536];
            while self.tun.receive(&mut buffer).is_some() {}
        });
        [live, replayed]
    }

    /// Runs one script: one connection, or several one after another on the same addresses and ports.
    fn script(&self, role: Role, seed: u64, batch: u32, index: u16) -> Vec<Truth> {
        let mut random = Random::new(seed.wrapping_mul(0x1000_0001) ^ 0x5eed);
        let v6 = random.chance(50);
        let small = random.chance(40);
        let remote = SocketAddr::new(host(v6, batch), 10_000 + index);
        let reused = random.chance(10);
        let mut truths: Vec<Truth> = Vec::new();
        let mut last = None;
        for _ in 0..=usize::from(reused) {
            let port = match role {
                Role::Server => 7000 + u16::from(small),
                Role::Client => 10_000 + index,
            };
            let local = kernel_address(v6, port);
            let offer = handshake::offer(&mut random);
            let mut peer = Peer::new(remote, local, offer, &mut random);
            if let Some(last) = last {
                peer.succeed(last);
            }
            let application = match role {
                Role::Server => {
                    let listener = &self.listeners[usize::from(small) * 2 + usize::from(v6)];
                    handshake::call(&self.tun, &mut peer, listener, &mut random)
                }
                Role::Client => {
                    handshake::answer(&self.tun, &mut peer, &mut random, small.then_some(SMALL))
                }
            };
            let (client, server) = match role {
                Role::Server => (remote, local),
                Role::Client => (local, remote),
            };
            let mut truth = Truth {
                seed,
                role,
                client,
                server,
                bytes: Vec::new(),
                ending: Ending::None,
                is_open: true,
                shows_end: true,
                hides_effects: false,
                versions: Versions::default(),
                is_complete: true,
                log: Vec::new(),
                packets: Vec::new(),
                application: None,
            };
            match application {
                Some(application) => {
                    let mut script =
                        Script::new(random.clone(), &self.tun, peer, application, self.kinds);
                    let dropped = dropped_for_memory();
                    script.run();
                    truth.is_complete = dropped_for_memory() == dropped;
                    random.number();
                    let Script {
                        peer, application, ..
                    } = script;
                    truth.bytes.clone_from(&application.bytes);
                    truth.ending = application.ending;
                    last = Some(peer.last());
                    truth.versions = peer.versions;
                    truth.hides_effects = peer.hides_effects;
                    truth.log = peer.log;
                    truth.packets = peer.packets;
                    truth.application = Some(application);
                    truths.push(truth);
                }
                None if role == Role::Client => break,
                None => {
                    // The kernel has accepted nothing: no byte may be served.
                    truth.shows_end = false;
                    truth.log = peer.log;
                    truth.packets = peer.packets;
                    truths.push(truth);
                    break;
                }
            }
            if reused && let Some(truth) = truths.last_mut() {
                // The application gives up: the addresses are free again.
                if let Some(application) = truth.application.take() {
                    application.abort();
                }
                let mut buffer = [0; 65536];
                truth.shows_end = false;
                while let Some(len) = self.tun.receive(&mut buffer) {
                    let packet = &buffer[..len];
                    truth.shows_end |= Incoming::read(packet)
                        .is_some_and(|segment| segment.flags & flags::RST != 0);
                    truth.packets.push(packet.to_vec());
                }
                truth.is_open = false;
            }
        }
        truths
    }

    /// Opens a connection. When the monitor lists it, the monitor has taken everything before it.
    fn mark(&self, batch: u32) {
        let mut random = Random::new(u64::from(batch));
        let mut peer = Peer::new(
            marker(batch),
            kernel_address(false, 7000),
            handshake::offer(&mut Random::new(0)),
            &mut random,
        );
        peer.honest(&self.tun, "marker", peer.isn, flags::SYN, &[]);
    }
}

fn pin() {
    let mut set = rustix::thread::CpuSet::new();
    set.set(0);
    rustix::thread::sched_setaffinity(None, &set).expect("a thread may choose processor 0");
}

fn marker(batch: u32) -> SocketAddr {
    SocketAddr::new(host(false, batch), 9999)
}

/// Address of the scripted ends of a batch.
fn host(v6: bool, batch: u32) -> IpAddr {
    let [_, _, high, low] = batch.to_be_bytes();
    if v6 {
        Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 1, batch as u16).into()
    } else {
        Ipv4Addr::new(10, 9, 1 + high, low).into()
    }
}

/// Address prefixes of a batch.
fn network(batch: u32) -> [String; 2] {
    [false, true].map(|v6| host(v6, batch).to_string())
}

/// Replays the packets of all scripts and compares.
#[track_caller]
fn replay(network: &[String], truths: &[Truth]) -> Vec<Difference> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("scripts.pcap");
    let packets = truths.iter().flat_map(|truth| &truth.packets);
    std::fs::write(&file, pcap(packets)).expect("room for the capture");
    let settings = format!("{SETTINGS}verify_checksums = 'always'\n");
    let daemon = Daemon::replay(&[&file], &settings, &[]);
    daemon.finished();
    compare(&mut daemon.rpc(), network, truths)
}
