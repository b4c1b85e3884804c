//! A mirror port: how many packets a second, beside a receiver that keeps them without TCP, and receivers that do nothing with them.

use anyhow::{Result, ensure};
use monitor_tests::{Pair, Program, until};

use super::network;
use crate::context::{Benchmark, Context};
use crate::report::{Line, Report, Threshold, Unit};
use crate::sys::{self, bpf};

pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "mirror.64",
        measure: |context, name, report| measure(context, name, 64, report),
    },
    Benchmark {
        name: "mirror.1514",
        measure: |context, name, report| measure(context, name, 1514, report),
    },
];

/// Duration of the count, seconds.
const SECONDS: f64 = 1.5;
/// Duration of the sender, seconds, unless it is ended before.
const SENDING: u32 = 10;

fn measure(context: &Context, name: &str, bytes: usize, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["ethtool"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let [mut ours, mut sockets, mut keep, mut xdp, mut packet] = [const { Vec::new() }; 5];
    for _ in 0..context.repeat {
        ours.push(monitored(context, bytes, "xdp")?);
        sockets.push(monitored(context, bytes, "packet")?);
        keep.push(bare(context, "keep", bytes)?);
        xdp.push(bare(context, "xdp", bytes)?);
        packet.push(bare(context, "packet", bytes)?);
    }
    let line = Line::pair(
        name,
        "sustained",
        Unit::PerSecond,
        &ours,
        "without TCP",
        &keep,
    );
    report.add(line.threshold(Threshold::RatioAtLeast(0.95)));
    let line = Line::pair(
        name,
        "sustained",
        Unit::PerSecond,
        &ours,
        "bare AF_XDP",
        &xdp,
    );
    report.add(line);
    let line = Line::pair(
        name,
        "sustained",
        Unit::PerSecond,
        &ours,
        "TPACKET_V3",
        &packet,
    );
    report.add(line.threshold(Threshold::RatioAtLeast(1.7)));
    // The path without XDP, for comparison.
    report.add(Line::pair(
        &format!("{name}, packet path"),
        "sustained",
        Unit::PerSecond,
        &sockets,
        "TPACKET_V3",
        &packet,
    ));
    Ok(())
}

fn monitored(context: &Context, bytes: usize, path: &str) -> Result<f64> {
    let Pair { a, b } = network::cable();
    // Without an XDP program, a veth doesn't take the sender's frames.
    let takes_frames = || a.enter(|| bpf::pass(sys::index("veth")?));
    let _takes_frames = (path == "packet").then(takes_frames).transpose()?;
    let daemon = network::mirror_by(&a, path);
    let mut rpc = daemon.rpc();
    let sender = network::flood(context, &b, bytes, SENDING)?;
    let rate = network::rate(&mut rpc, SECONDS);
    drop(sender);
    let stats = rpc.ok("stats", serde_json::json!({}));
    ensure!(stats["capture"]["path"] == path, "not by {path}");
    let native = stats["capture"]["xdp"] == "native";
    ensure!(native == (path == "xdp"), "not native");
    ensure!(
        stats["decode"]["bad_checksum"] == 0,
        "the sender's checksums are wrong"
    );
    daemon.stop();
    Ok(rate)
}

fn bare(context: &Context, kind: &str, bytes: usize) -> Result<f64> {
    let Pair { a, b } = network::cable();
    let mut receiver = network::inside(context, &a)?;
    receiver.args([
        "receive",
        kind,
        "veth",
        &SECONDS.to_string(),
        &network::RECEIVER_CORE.to_string(),
    ]);
    let receiver = Program::start(&mut receiver);
    until("the receiver", || {
        receiver.stderr().contains("ready").then_some(())
    });
    let sender = network::flood(context, &b, bytes, SENDING)?;
    let counted = network::said(receiver)?;
    drop(sender);
    Ok(counted["packets"].as_f64().unwrap_or_default()
        / counted["seconds"].as_f64().unwrap_or(f64::NAN))
}
