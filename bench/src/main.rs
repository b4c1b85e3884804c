//! Programs of `cargo xtask bench`. Every benchmark runs the monitor beside a peer or a baseline
//! that does the same work, in turns, several times; the medians are shown with the threshold that
//! they have to reach.
//!
//! A package of its own, separate from the tests: its baseline, receivers and packet generators
//! need `unsafe`, which neither the shipped crates nor the tests contain.

mod baseline;
mod benchmarks;
mod context;
mod load;
mod measure;
mod report;
mod rpc;
mod scale;
mod sys;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use context::Context;
use report::Report;
use workload::Workload;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Groups (`engine`) or single benchmarks (`engine.bulk`); all by default.
    #[arg(value_name = "BENCHMARK")]
    benchmarks: Vec<String>,
    /// Number of runs of each program.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// File to which the result is written as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory in which captures are kept between runs.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "target/bench",
        global = true
    )]
    directory: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Part that runs in a process of its own: to be measured, or to keep its memory out of a
/// measurement.
#[derive(Subcommand)]
enum Part {
    /// Makes a capture.
    Make { workload: Workload },
    /// Compares monitord's streams of a capture with the known content.
    Check { workload: Workload },
    /// The baseline of the engine.
    Baseline {
        file: PathBuf,
        verify: baseline::Verify,
    },
    /// Measures the engine among a number of open connections.
    Among { flows: u64 },
    /// The engine while connections open and close.
    Lives,
    /// Answers requests for bytes with some bytes.
    Echo { socket: PathBuf, line: usize },
    /// Sends packets.
    Send {
        interface: String,
        #[command(flatten)]
        sending: load::Sending,
    },
    /// Has the kernel make packets and send them.
    Flood {
        interface: String,
        bytes: usize,
        seconds: u32,
        core: usize,
    },
    /// Counts packets.
    Receive {
        kind: load::Kind,
        interface: String,
        seconds: f64,
        core: usize,
    },
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments {
        benchmarks,
        repeat,
        json,
        directory,
        part,
    } = arguments;
    let context = Context { repeat, directory };
    if let Some(part) = part {
        println!("{}", part.run(&context)?);
        return Ok(ExitCode::SUCCESS);
    }
    if repeat == 0 {
        bail!("--repeat must be at least 1");
    }
    let mut report = Report::default();
    for benchmark in benchmarks::chosen(&benchmarks)? {
        (benchmark.measure)(&context, benchmark.name, &mut report)
            .with_context(|| benchmark.name)?;
    }
    println!("{}", report.table());
    if let Some(path) = json {
        report.save(&path, repeat)?;
    }
    Ok(if report.missed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Part {
    fn run(self, context: &Context) -> Result<serde_json::Value> {
        Ok(match self {
            Self::Make { workload } => workload.make(&context.directory)?.into(),
            Self::Check { workload } => benchmarks::check(context, workload)?,
            Self::Baseline { file, verify } => baseline::run(&file, verify)?,
            Self::Among { flows } => scale::among(flows)?,
            Self::Lives => scale::lives()?,
            Self::Echo { socket, line } => rpc::echo(&socket, line)?,
            Self::Send { interface, sending } => load::send(&interface, sending)?,
            Self::Flood {
                interface,
                bytes,
                seconds,
                core,
            } => load::flood(&interface, bytes, seconds, core)?,
            Self::Receive {
                kind,
                interface,
                seconds,
                core,
            } => load::receive(kind, &interface, seconds, core)?,
        })
    }
}
