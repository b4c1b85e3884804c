//! A C program for mOS's API that reads all new bytes in its callback, beside the capture.

use anyhow::{Context as _, Result};
use monitor_tests::wiregen::Capture;
use monitor_tests::{CProgram, Pair, Program, inject, until};
use rustix::process::Signal;
use serde_json::Value;

use super::network;
use crate::context::{Benchmark, Context};
use crate::load;
use crate::report::{Line, Report, Unit};

pub const BENCHMARKS: &[Benchmark] = &[Benchmark {
    name: "attach.callback",
    measure,
}];

/// Bytes of a frame, and of its payload.
const FRAME: usize = 1514;
const PAYLOAD: f64 = 1460.0;
/// Duration of the count, and the longest of the sender, seconds.
const SECONDS: f64 = 2.0;
const SENDING: u32 = 15;

fn measure(context: &Context, name: &str, report: &mut Report) -> Result<()> {
    if let Some(missing) = network::missing(&["ethtool", "cc", "python3"]) {
        report.skip(name, &missing);
        return Ok(());
    }
    let program = CProgram::compile("bench/mos/callback.c");
    let [mut with, mut without, mut shares] = [const { Vec::new() }; 3];
    for _ in 0..context.repeat {
        let (rate, share) = run(context, Some(&program))?;
        with.push(rate);
        shares.extend(share);
        without.push(run(context, None)?.0);
    }
    report.add(Line::pair(
        name,
        "sustained",
        Unit::BitsPerSecond,
        &with,
        "without it",
        &without,
    ));
    report.add(Line::alone(name, "read in callbacks", Unit::Share, &shares));
    Ok(())
}

/// Returns the payload that the worker takes, bits a second, and the share of it that the program reads.
fn run(context: &Context, program: Option<&CProgram>) -> Result<(f64, Option<f64>)> {
    let Pair { a, b } = network::cable();
    let daemon = network::mirror_with(&a, "auto", "[store]\nshare = true\n");
    let mut rpc = daemon.rpc();
    let reader = program.map(|program| Program::start(&mut program.command(&daemon.socket())));
    if let Some(reader) = &reader {
        until("it to observe", || {
            reader.stdout().starts_with(b"ready").then_some(())
        });
    }
    // A program for mOS learns of a connection by its SYN. Nothing comes from the servers.
    inject(&b, "veth", &Capture::mix(load::syns()), &[0]);
    let sender = network::flood(context, &b, FRAME, SENDING)?;
    let rate = network::rate(&mut rpc, SECONDS) * PAYLOAD * 8.0;
    let share = reader.map(said).transpose()?;
    drop(sender);
    daemon.stop();
    Ok((rate, share))
}

/// Ends the program. Returns the share of the bytes that it read in time.
fn said(reader: Program) -> Result<f64> {
    reader.signal(Signal::TERM);
    let finished = reader.finish();
    anyhow::ensure!(finished.status.success(), "{}", finished.stderr);
    let text = finished.text();
    let counts = text.lines().last().context("it prints its counts")?;
    let counts: Value = serde_json::from_str(counts).with_context(|| text.clone())?;
    let count = |name: &str| counts[name].as_f64().context("a number");
    Ok(count("read")? / (count("read")? + count("lost")?))
}
