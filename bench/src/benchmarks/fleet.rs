//! Fleet: reads through the hub, records of a relay, and the packets that a relay costs.
//!
//! nats-server, daemon and relay run on this machine. So the figures contain no network, and the programs share the
//! processors.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use monitor_tests::wiregen::{Capture, End, Flow, Layers};
use monitor_tests::{Daemon, NatsClient, NatsServer, Pair, Program, monitor_relay, until, within};
use serde_json::json;
use tempfile::TempDir;

use super::network;
use crate::context::{Benchmark, Context};
use crate::load::Sending;
use crate::report::{Line, Report, Threshold, Unit};
use crate::rpc::Target;

pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "fleet.ppeek",
        measure: ppeek,
    },
    Benchmark {
        name: "fleet.records",
        measure: records,
    },
    Benchmark {
        name: "fleet.capture",
        measure: capture,
    },
];

const LOCAL: &str = "local socket";
/// Requested length, number of requests, and name.
const SIZES: [(usize, usize, &str); 2] = [(64, 3000, "64 B"), (64 << 10, 1000, "64 KiB")];
/// Bytes of the connection that is read.
const KEPT: usize = 256 << 10;
/// Connections with a record each.
const CONNECTIONS: u16 = 50_000;
/// Time for all records.
const LONG: Duration = Duration::from_secs(120);
const LOAD: Sending = Sending {
    bytes: 1514,
    seconds: 3.0,
    rate: 100_000,
    core: network::SENDER_CORE,
};

/// Relay named h1, in a directory of its own.
struct Relay {
    program: Program,
    _directory: TempDir,
}

impl Relay {
    /// Starts it, and waits until it's in the fleet.
    fn start(daemon: &Daemon, nats: &NatsServer) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = directory.path().join("relay.toml");
        let (socket, spool) = (daemon.socket(), directory.path().join("spool"));
        let settings = format!(
            "[monitor]\nsocket = {socket:?}\n[metrics]\nlisten = []\n\
             [fleet]\nurl = '{}'\nhost = 'h1'\nspool = {spool:?}\n",
            nats.url()
        );
        fs::write(&config, settings)?;
        let mut command = Command::new(monitor_relay());
        let program = Program::start(command.arg("--config").arg(&config));
        until("the relay to be in the fleet", || {
            program.stderr().contains("in the fleet as").then_some(())
        });
        Ok(Self {
            program,
            _directory: directory,
        })
    }

    /// Returns its processor time.
    fn cpu(&self) -> Result<Duration> {
        cpu(self.program.pid())
    }
}

/// Returns the processor time of a running process, which the kernel counts in hundredths of a second.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
    // Fields 14 and 15 of proc(5); the first one here is the third.
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(10 * ticks))
}

fn missing() -> Option<String> {
    (!monitor_tests::have("nats-server")).then(|| "needs nats-server".to_owned())
}

/// Replays a capture to its end.
fn replay(context: &Context, name: &str, capture: &Capture, memory: &str) -> Result<Daemon> {
    let file = context.directory.join(name);
    fs::create_dir_all(&context.directory)?;
    fs::write(&file, capture.pcap()).context("cannot write a capture")?;
    let settings = format!("[store]\n{memory}\n[log]\nlevel = 'warn'\n");
    let daemon = Daemon::replay(&[&file], &settings, &[]);
    daemon.finished();
    Ok(daemon)
}

fn ppeek(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = missing() {
        report.skip(name, &missing);
        return Ok(());
    }
    let mut flow = Flow::new("192.0.2.1:40000", "198.51.100.1:80");
    flow.open().send(End::Client, &vec![0x55; KEPT]);
    let stream = Capture::of(&Layers::ethernet(), &flow);
    let daemon = replay(context, "fleet.pcap", &stream, "window = '1MiB'")?;
    let sockets = daemon.rpc().sockets(json!({}));
    let sockid = sockets[0]["sockid"].as_u64().context("no connection")?;
    let local = Target {
        socket: daemon.socket(),
        sockid,
    };
    let nats = NatsServer::start();
    let relay = Relay::start(&daemon, &nats)?;
    for (len, count, called) in SIZES {
        let (mut hub, mut own, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..context.repeat {
            let before = relay.cpu()?;
            hub.push(round_trips(&nats, sockid, len, count)?);
            // A tenth of the requests come before those that are counted.
            let requests = (count + count / 10) as f64;
            costs.push((relay.cpu()? - before).as_nanos() as f64 / requests);
            own.push(local.round_trips(len, count)?);
        }
        let benchmark = format!("{name}, {called}");
        for (what, share) in [("p50", 50), ("p99", 99)] {
            let [hub, own] = [&hub, &own].map(|runs| {
                let at = |times: &Vec<u64>| times[times.len() * share / 100] as f64;
                runs.iter().map(at).collect::<Vec<_>>()
            });
            let unit = Unit::Microseconds;
            report.add(Line::pair(&benchmark, what, unit, &hub, LOCAL, &own));
        }
        let what = "relay's CPU per request";
        report.add(Line::alone(&benchmark, what, Unit::Microseconds, &costs));
    }
    daemon.stop();
    Ok(())
}

/// Returns the durations of single requests for `len` bytes through the hub, nanoseconds, in order of size.
fn round_trips(nats: &NatsServer, sockid: u64, len: usize, count: usize) -> Result<Vec<u64>> {
    let mut client = NatsClient::connect(nats);
    let params = json!({"sockid": sockid, "side": "server", "off": 0, "len": len}).to_string();
    let mut trip = || {
        let started = Instant::now();
        let reply = client.request("mon.v1.h1.rpc.ppeek", &params);
        let elapsed = started.elapsed().as_nanos() as u64;
        ensure!(reply.len() > len, "{}", String::from_utf8_lossy(&reply));
        Ok(elapsed)
    };
    for _ in 0..count / 10 {
        trip()?;
    }
    let mut times = (0..count).map(|_| trip()).collect::<Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times)
}

/// Time from the start of a relay until the stream has the records of all connections that the daemon lists.
fn records(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = missing() {
        report.skip(name, &missing);
        return Ok(());
    }
    let flows = (0..CONNECTIONS).map(|number| {
        let mut flow = Flow::new(&format!("192.0.2.1:{}", 10_000 + number), "198.51.100.1:80");
        flow.open().send(End::Client, b"GET /").close();
        Capture::of(&Layers::ethernet(), &flow)
    });
    let all = Capture::mix(flows);
    let daemon = replay(context, "fleet-records.pcap", &all, "memory = '512MiB'")?;
    let (mut rates, mut relays, mut hubs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..context.repeat {
        let nats = NatsServer::start();
        let started = Instant::now();
        let relay = Relay::start(&daemon, &nats)?;
        within(LONG, "all records", || {
            let count = nats.count("MON_FLOWS")?;
            (count >= u64::from(CONNECTIONS)).then_some(())
        });
        let count = f64::from(CONNECTIONS);
        rates.push(count / started.elapsed().as_secs_f64());
        relays.push(relay.cpu()?.as_nanos() as f64 / count);
        hubs.push(cpu(nats.pid())?.as_nanos() as f64 / count);
    }
    report.add(Line::alone(name, "records", Unit::PerSecond, &rates));
    for (what, costs) in [
        ("relay's CPU per record", &relays),
        ("nats-server's CPU per record", &hubs),
    ] {
        report.add(Line::alone(name, what, Unit::Microseconds, costs));
    }
    daemon.stop();
    Ok(())
}

/// Packets lost by a capture without a relay, and with one that is asked for its connections all the time.
fn capture(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["ethtool", "nats-server"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let mut outcomes = [(0, 0); 2];
    for _ in 0..context.repeat {
        for (has_relay, (sent, lost)) in [false, true].into_iter().zip(&mut outcomes) {
            let outcome = loaded(context, has_relay)?;
            *sent += outcome.0;
            *lost += outcome.1;
        }
    }
    let [(alone, lost_alone), (both, lost)] = outcomes;
    for (what, value) in [("sent with a relay", both), ("sent without", alone)] {
        report.add(Line::alone(name, what, Unit::Count, &[value as f64]));
    }
    let (lost, alone) = ([lost as f64], [lost_alone as f64]);
    let line = Line::difference(
        name,
        "lost with a relay",
        Unit::Count,
        &lost,
        "without",
        &alone,
    );
    report.add(line.threshold(Threshold::NotMore));
    Ok(())
}

/// Returns the numbers of packets that were sent and lost.
fn loaded(context: &Context, has_relay: bool) -> Result<(u64, u64)> {
    let Pair { a, b } = network::cable();
    b.set("ipv6/conf/veth/disable_ipv6", "1");
    let daemon = network::mirror(&a);
    let nats = has_relay.then(NatsServer::start);
    let relay = nats.as_ref().map(|nats| Relay::start(&daemon, nats));
    let relay = relay.transpose()?;
    let sender = network::send(context, &b, LOAD)?;
    network::rate(&mut daemon.rpc(), 0.1);
    let end = Instant::now() + Duration::from_secs_f64(LOAD.seconds);
    if let Some(nats) = &nats {
        let mut client = NatsClient::connect(nats);
        // As `monitorctl --fleet top` asks, but ten times a second.
        while Instant::now() < end {
            client.request("mon.v1.h1.rpc.stats", "{}");
            client.request("mon.v1.h1.rpc.sockets", "{}");
            thread::sleep(Duration::from_millis(100));
        }
    }
    let said = network::said(sender)?;
    let sent = said["packets"].as_u64().context("no number of packets")?;
    // The worker empties the rings.
    thread::sleep(Duration::from_millis(200));
    let taken = network::taken(&mut daemon.rpc());
    ensure!(sent > 0 && taken > 0, "nothing came: {said}");
    drop(relay);
    daemon.stop();
    Ok((sent, sent.saturating_sub(taken)))
}
