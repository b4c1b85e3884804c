//! Programs of `cargo xtask bench`. Every benchmark runs the monitor beside a peer or a baseline
//! that does the same work, in turns, several times; the medians are shown with the threshold that
//! they have to reach.
//!
//! A package of its own, separate from the tests: its baseline, receivers and packet generators
//! need `unsafe`, which neither the shipped crates nor the tests contain.

mod floor;
mod load;
mod measure;
mod report;
mod rows;
mod rpc;
mod scale;
mod sys;
mod workload;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

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
    /// Rooms (`engine`) or single rows (`engine.bulk`); all by default.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
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
    /// The floor of the engine.
    Floor {
        file: PathBuf,
        verify: floor::Verify,
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

/// Context shared by the benchmarks.
struct Context {
    repeat: usize,
    directory: PathBuf,
}

impl Context {
    /// This program.
    #[expect(clippy::unused_self, reason = "what the rows share")]
    fn program(&self) -> Result<PathBuf> {
        std::env::current_exe().context("cannot find this program")
    }

    /// A part of this program, as a program.
    fn part(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        command.args(words).arg("--directory").arg(&self.directory);
        Ok(command)
    }

    /// A capture's file, made if it is not there.
    fn capture(&self, workload: Workload) -> Result<PathBuf> {
        let file = workload.file(&self.directory);
        if !file.exists() {
            measure::run(&mut self.part(&["make", workload.name()])?)?;
        }
        Ok(file)
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments {
        rows,
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
    for row in rows::chosen(&rows)? {
        (row.measure)(&context, row.name, &mut report).with_context(|| row.name)?;
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
            Self::Check { workload } => rows::check(context, workload)?,
            Self::Floor { file, verify } => floor::run(&file, verify)?,
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
