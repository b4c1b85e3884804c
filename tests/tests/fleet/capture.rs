//! Packets of a capture beside a relay and a busy fleet.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};
use monitor_tests::{
    Count, Daemon, Generator, Namespace, NatsClient, NatsServer, Network, Pair, monitor_relay,
    needs, skip,
};

use crate::Host;

/// Packets a second, the first of which that the machine can process.
const RATES: [u32; 3] = [100_000, 50_000, 25_000];
/// Pairs of runs at a rate. Other programs of the machine can make any run lose packets.
const PAIRS: usize = 3;
/// Duration of a run.
const TIME: Duration = Duration::from_secs(3);
const SETTINGS: &str = "[capture]\nmode = 'mirror'\ninterfaces = ['veth']\nworkers = 1\nbuffers = '256MiB'\n\
                        [store]\nmemory = '256MiB'\nwindow = '1MiB'\n[tcp]\nlinger = '5s'\n";

/// Returns connections of small segments, which end and begin again.
fn traffic() -> Capture {
    let layers = Layers::ethernet();
    Capture::mix((0..50_u16).map(|number| {
        let mut flow = Flow::new(&format!("10.9.0.2:{}", 10_000 + number), "10.9.0.1:80");
        flow.mss = 64;
        let data = Random::new(u64::from(number)).bytes(64 * 260);
        flow.open().send(End::Client, &data).reset(End::Client);
        Capture::of(&layers, &flow)
    }))
}

/// Asks the host for its counters and connections, ten times a second.
fn ask(nats: &NatsServer) {
    let (mut client, end) = (NatsClient::connect(nats), Instant::now() + TIME);
    while Instant::now() < end {
        for method in ["stats", "sockets"] {
            let reply = client.request(&format!("mon.v1.h1.rpc.{method}"), "{}");
            assert!(
                reply.starts_with(b"{"),
                "{}",
                String::from_utf8_lossy(&reply)
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn run(host: &Host, from: &Namespace, load: (&Capture, u32), body: impl FnOnce()) -> Count {
    Generator::beside(&host.daemon, from, "veth", load, body)
}

#[test]
fn a_relay_costs_a_capture_no_packet() {
    needs!("nats-server", "python3");
    let Pair { a, b } = Network::default().pair();
    // Only the frames sent here shall arrive.
    b.set("ipv6/conf/veth/disable_ipv6", "1");
    let nats = NatsServer::start();
    let mut host = Host::of("h1", Daemon::start(&a, SETTINGS), &nats);
    let capture = traffic();
    for rate in RATES {
        let mut is_alone_lossless = true;
        for _ in 0..PAIRS {
            let alone = run(&host, &b, (&capture, rate), || thread::sleep(TIME));
            host.start_relay(Command::new(monitor_relay()));
            host.until_in_the_fleet();
            let relayed = run(&host, &b, (&capture, rate), || ask(&nats));
            host.kill_relay();
            eprintln!("{rate} packets a second: {alone:?}; with a relay: {relayed:?}");
            if relayed.lost == 0 {
                let records = nats.count("MON_FLOWS").unwrap_or(0);
                assert!(records > 0, "the relay had nothing to do");
                return;
            }
            is_alone_lossless &= alone.lost == 0;
        }
        assert!(!is_alone_lossless, "a relay costs packets");
    }
    skip!("the machine loses packets without a relay, too");
}
