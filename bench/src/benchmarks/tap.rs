//! Tap: the cost of monitoring the host's own connections, and the share of them that is captured.

use anyhow::{Context as _, Result};
use monitor_tests::{Daemon, Namespace, Network, Pair, Program, until};
use serde_json::{Value, json};

use super::network;
use crate::context::{Benchmark, Context};
use crate::report::{Line, Report, Threshold, Unit};

pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "tap.veth",
        measure: veth,
    },
    Benchmark {
        name: "tap.lo",
        measure: lo,
    },
];

/// Seconds of each transfer.
const SECONDS: &str = "2";
/// Connections at once.
const FLOWS: [u32; 2] = [1, 8];
/// Capture paths.
const PATHS: [&str; 2] = ["xdp", "packet"];
const KEPT: f64 = 0.85;
const CAPTURED: f64 = 0.9999;

/// Namespaces of a server and its clients; the monitor is with the server.
struct Place<'a> {
    server: &'a Namespace,
    client: &'a Namespace,
    interface: &'a str,
    address: &'a str,
}

/// Outcome of a transfer.
struct Transfer {
    /// Bits a second.
    rate: f64,
    /// Bytes that the server received.
    bytes: f64,
}

fn veth(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["iperf3"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let Pair { a, b } = Network::default().pair();
    Place {
        server: &a,
        client: &b,
        interface: "veth",
        address: "10.9.0.1",
    }
    .measure(context, name, report)
}

fn lo(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["iperf3"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let host = Namespace::new();
    Place {
        server: &host,
        client: &host,
        interface: "lo",
        address: "127.0.0.1",
    }
    .measure(context, name, report)
}

impl Place<'_> {
    fn measure(&self, context: &Context, name: &str, report: &mut Report) -> Result<()> {
        for flows in FLOWS {
            let mut without = Vec::new();
            let [mut with, mut captured] = [const { [const { Vec::new() }; PATHS.len()] }; 2];
            for _ in 0..context.repeat {
                without.push(self.transfer(flows)?.rate);
                for (index, path) in PATHS.into_iter().enumerate() {
                    let (rate, share) = self.watched(flows, path)?;
                    with[index].push(rate);
                    captured[index].push(share);
                }
            }
            let one = flows == 1;
            for (index, path) in PATHS.into_iter().enumerate() {
                // The default path has a threshold; the other is shown for comparison.
                let is_held = one && path == "xdp";
                let name = format!("{name}, {flows} flow{}, {path}", if one { "" } else { "s" });
                let line = Line::pair(
                    &name,
                    "watched",
                    Unit::BitsPerSecond,
                    &with[index],
                    "not watched",
                    &without,
                );
                report.add(line.threshold_if(is_held.then_some(Threshold::RatioAtLeast(KEPT))));
                let line = Line::alone(&name, "captured", Unit::Share, &captured[index]);
                report.add(line.threshold_if(is_held.then_some(Threshold::AtLeast(CAPTURED))));
            }
        }
        Ok(())
    }

    /// The rate, and the share of bytes that were captured.
    fn watched(&self, flows: u32, path: &str) -> Result<(f64, f64)> {
        let settings = format!(
            "[capture]\npath = '{path}'\ninterfaces = ['{}']\n[log]\nlevel = 'warn'\n",
            self.interface
        );
        let daemon = Daemon::start(self.server, &settings);
        let Transfer { rate, bytes } = self.transfer(flows)?;
        let mut rpc = daemon.rpc();
        // Packets that still wait in a ring are captured before the counters settle.
        let mut last = Value::Null;
        let stats = until("the last packets", || {
            let stats = rpc.ok("stats", json!({}));
            let same = stats["tcp"] == last;
            last = stats["tcp"].clone();
            same.then_some(stats)
        });
        let count = |name: &str| stats["tcp"][name].as_f64().unwrap_or(f64::NAN);
        // iperf3's few words with itself are payload too, and make no difference.
        let once = count("payload_bytes") - count("retransmitted_bytes");
        daemon.stop();
        Ok((rate, (once / bytes).min(1.0)))
    }

    fn transfer(&self, flows: u32) -> Result<Transfer> {
        let server = Program::start(self.server.command("iperf3").args(["-s", "-1"]));
        until("iperf3 to listen", || {
            let listening = self.server.run("ss -Htln sport = :5201");
            (!listening.trim().is_empty()).then_some(())
        });
        let mut client = self.client.command("iperf3");
        client.args([
            "-c",
            self.address,
            "-t",
            SECONDS,
            "-P",
            &flows.to_string(),
            "-J",
        ]);
        let text = Program::run(&mut client).text();
        drop(server);
        let result: Value = serde_json::from_str(&text).context("iperf3 prints JSON")?;
        let number = |name: &str| {
            result["end"]["sum_received"][name]
                .as_f64()
                .with_context(|| format!("iperf3 has no {name}"))
        };
        Ok(Transfer {
            rate: number("bits_per_second")?,
            bytes: number("bytes")?,
        })
    }
}
