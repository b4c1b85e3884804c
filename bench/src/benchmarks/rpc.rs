//! Reading over the RPC, beside a server on a Unix socket that answers as many bytes and knows nothing.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use monitor_tests::wiregen::{Capture, End, Flow, Layers};
use monitor_tests::{Daemon, Namespace, Pair, Program, inject, until};
use serde_json::json;

use super::network;
use crate::context::{Benchmark, Context};
use crate::load::Sending;
use crate::report::{Line, Report, Threshold, Unit};
use crate::rpc::Target;

pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "rpc.ppeek",
        measure: ppeek,
    },
    Benchmark {
        name: "rpc.requests",
        measure: requests,
    },
    Benchmark {
        name: "rpc.busy",
        measure: busy,
    },
];

const ECHO: &str = "bare echo";
/// Requested length, number of requests, and name.
const SIZES: [(usize, usize, &str); 3] = [
    (64, 20_000, "64 B"),
    (64 << 10, 4000, "64 KiB"),
    (1 << 20, 400, "1 MiB"),
];
/// Duration of the count of requests.
const TIME: Duration = Duration::from_millis(800);
const CLIENTS: [usize; 2] = [1, 32];
/// Bytes of the connection that is read.
const KEPT: usize = 2 << 20;

/// The daemon with a connection to read, and the server that it is compared with.
struct Pairing {
    ours: Target,
    theirs: Target,
    // Killed when the benchmark is done.
    _echo: Program,
}

impl Pairing {
    fn new(context: &Context, daemon: &Daemon, flow: &Flow) -> Result<Self> {
        let (client, server) = (flow.client.to_string(), flow.server.to_string());
        let wanted = json!({"client": client, "server": server});
        let mut rpc = daemon.rpc();
        let sockid = until("the connection", || {
            rpc.call("lookup", wanted.clone()).ok()?["sockid"].as_u64()
        });
        let ours = Target {
            socket: daemon.socket(),
            sockid,
        };
        let line = ours.line(64)?.to_string();
        let socket = daemon.socket().with_file_name("echo.sock");
        let echo =
            Program::start(&mut context.part(&["echo", &socket.display().to_string(), &line])?);
        until("the echo", || socket.exists().then_some(()));
        Ok(Self {
            ours,
            theirs: Target { socket, sockid },
            _echo: echo,
        })
    }

    /// Both, one after the other, several times.
    fn turns<T>(
        &self,
        repeat: usize,
        mut measure: impl FnMut(&Target) -> Result<T>,
    ) -> Result<[Vec<T>; 2]> {
        let mut both = [Vec::new(), Vec::new()];
        for _ in 0..repeat {
            both[0].push(measure(&self.ours)?);
            both[1].push(measure(&self.theirs)?);
        }
        Ok(both)
    }

    fn latency(
        &self,
        repeat: usize,
        size: (usize, usize, &str),
        name: &str,
        report: &mut Report,
    ) -> Result<()> {
        let (len, count, called) = size;
        let times = self.turns(repeat, |target| target.round_trips(len, count))?;
        for (what, share, threshold) in [
            ("p50", 50, Some(Threshold::RatioAtMost(1.5))),
            ("p99", 99, None),
        ] {
            let [ours, theirs] = times.each_ref().map(|runs| {
                runs.iter()
                    .map(|times| times[times.len() * share / 100] as f64)
                    .collect::<Vec<_>>()
            });
            let line = Line::pair(
                &format!("{name}, {called}"),
                what,
                Unit::Microseconds,
                &ours,
                ECHO,
                &theirs,
            );
            // Larger ones are a matter of bytes, not of requests.
            report.add(line.threshold_if(threshold.filter(|_| len == 64)));
        }
        Ok(())
    }

    fn requests(&self, repeat: usize, name: &str, report: &mut Report) -> Result<()> {
        for clients in CLIENTS {
            let [ours, theirs] = self.turns(repeat, |target| target.requests(64, clients, TIME))?;
            let name = format!(
                "{name}, 64 B, {clients} client{}",
                if clients == 1 { "" } else { "s" }
            );
            report.add(Line::pair(
                &name,
                "requests",
                Unit::PerSecond,
                &ours,
                ECHO,
                &theirs,
            ));
        }
        Ok(())
    }
}

/// A replay that is over.
fn quiet(context: &Context) -> Result<(Daemon, Pairing)> {
    let flow = flow(KEPT);
    let file = context.directory.join("rpc.pcap");
    fs::create_dir_all(&context.directory)?;
    fs::write(&file, Capture::of(&Layers::ethernet(), &flow).pcap())
        .context("cannot write a capture")?;
    let daemon = Daemon::replay(
        &[&file],
        "[store]\nwindow = '4MiB'\n[log]\nlevel = 'warn'\n",
        &[],
    );
    daemon.finished();
    let pairing = Pairing::new(context, &daemon, &flow)?;
    Ok((daemon, pairing))
}

fn flow(bytes: usize) -> Flow {
    let mut flow = Flow::new("192.0.2.1:40000", "198.51.100.1:80");
    flow.open().send(End::Client, &vec![0x55; bytes]);
    flow
}

fn ppeek(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let (daemon, pairing) = quiet(context)?;
    for size in SIZES {
        pairing.latency(context.repeat, size, name, report)?;
    }
    let (len, count, called) = SIZES[2];
    let [ours, theirs] = pairing.turns(context.repeat, |target| target.stream(len, count))?;
    let line = Line::pair(
        &format!("{name}, {called}"),
        "stream",
        Unit::BytesPerSecond,
        &ours,
        ECHO,
        &theirs,
    );
    report.add(line.threshold(Threshold::RatioAtLeast(0.7)));
    daemon.stop();
    Ok(())
}

fn requests(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    let (daemon, pairing) = quiet(context)?;
    pairing.requests(context.repeat, name, report)?;
    daemon.stop();
    Ok(())
}

/// The same while packets come as fast as they can be sent, and both processors are in use.
fn busy(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["ethtool", "python3"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let Pair { a, b } = network::cable();
    let daemon = network::mirror(&a);
    let flow = flow(64 << 10);
    put(&b, &flow);
    let pairing = Pairing::new(context, &daemon, &flow)?;
    // Longer than the measurement: it is killed at its end.
    let sending = Sending {
        bytes: 64,
        seconds: 600.0,
        rate: 0,
        core: network::SENDER_CORE,
    };
    let sender = network::send(context, &b, sending)?;
    let rate = network::rate(&mut daemon.rpc(), 0.5);
    report.note(name, &format!("{rate:.0} packets of 64 B a second"));
    pairing.latency(context.repeat, (64, 4000, "64 B"), name, report)?;
    pairing.requests(context.repeat, name, report)?;
    drop(sender);
    daemon.stop();
    Ok(())
}

/// A connection that stays open and is read while others come and go.
fn put(from: &Namespace, flow: &Flow) {
    inject(from, "veth", &Capture::of(&Layers::ethernet(), flow), &[0]);
}
