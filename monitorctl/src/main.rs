//! monitorctl, the command line client of monitord.
//!
//! Each verb has a module of its own with its arguments, requests and output. [`show`] formats values without I/O;
//! [`failure`] defines messages and exit codes.

mod args;
mod call;
mod capture;
mod completions;
mod config;
mod context;
mod doctor;
mod ends;
mod events;
mod export;
mod extcap;
mod failure;
#[cfg(feature = "fleet")]
mod fleet;
mod follow;
mod fragments;
mod info;
mod log;
mod lookup;
mod man;
mod pages;
mod pcapng;
mod peek;
mod ppeek;
mod ready;
mod save;
mod set;
mod show;
mod sockets;
mod stats;
mod stop;
mod top;
mod values;
mod wait;
mod watch;

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use args::{Args, Verb};
use clap::{CommandFactory as _, Parser};
use context::{Context, connect, report};
use failure::Failure;
use show::colour::Palette;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let result = if Path::new(&name).file_name() == Some(extcap::NAME.as_ref()) {
        extcap::run(std::env::args_os())
    } else {
        execute()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(Failure::Arguments(error)) => {
            // clap returns help and version as errors as well.
            let failed = error.use_stderr();
            let _ = error.print();
            if failed {
                failure::USAGE.into()
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(failure) => {
            report(&failure.message());
            failure.exit_code()
        }
    }
}

/// Runs the command line: one for a fleet, or one for the daemon of this host.
fn execute() -> Result<(), Failure> {
    #[cfg(feature = "fleet")]
    if fleet::is_requested(std::env::args_os()) {
        return fleet::run(std::env::args_os());
    }
    let args = Args::try_parse().map_err(Failure::Arguments)?;
    run(args)
}

fn run(args: Args) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    match args.verb {
        // These need no daemon.
        Verb::Completions(args) => completions::completions(&mut out, &args, Args::command())?,
        Verb::Man(args) => {
            #[cfg(feature = "fleet")]
            let others = vec![fleet::command()];
            #[cfg(not(feature = "fleet"))]
            let others = Vec::new();
            man::man(&mut out, &args, Args::command(), others)?;
        }
        Verb::Extcap(args) => extcap::extcap(&mut out, &args)?,
        // It works without a daemon as well.
        Verb::Doctor(doctor) => {
            doctor::doctor(&mut out, &args.socket, args.json, &doctor)?;
        }
        // It waits for the daemon.
        Verb::Ready(ready) => ready::ready(&mut out, &args.socket, args.json, &ready)?,
        // These reconnect after a restart of the daemon.
        Verb::Log(log) => return log::log(&args.socket, &log),
        Verb::Top(top) => return top::top(out, &args.socket, args.json, &top),
        verb => {
            let client = connect(&args.socket)?;
            let mut context = Context {
                client,
                json: args.json,
                palette: Palette::choose(args.color),
                out,
            };
            dispatch(&mut context, &args.socket, verb)?;
            out = context.out;
        }
    }
    out.flush().map_err(Failure::Output)
}

fn dispatch<W: Write>(context: &mut Context<W>, socket: &Path, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Sockets(args) => sockets::sockets(context, &args),
        Verb::Info(args) => info::info(context, &args),
        Verb::Lookup(args) => lookup::lookup(context, args),
        Verb::Fragments(args) => fragments::fragments(context, &args),
        Verb::Ppeek(args) => ppeek::ppeek(context, &args),
        Verb::Wait(args) => wait::wait(context, &args),
        Verb::Events(args) => events::events(context, &args),
        Verb::Watch(args) => watch::watch(context, &args),
        Verb::Peek(args) => peek::peek(context, &args),
        Verb::Stop(args) => stop::stop(context, &args),
        Verb::Set(args) => set::set(context, &args),
        Verb::Config(args) => config::config(context, &args),
        Verb::Follow(args) => follow::follow(context, &args),
        Verb::Capture(args) => capture::capture(context, &args),
        Verb::Export(args) => export::export(context, socket, &args),
        Verb::Save(args) => save::save(context, &args),
        Verb::Stats(args) => stats::stats(context, &args),
        Verb::Call(args) => call::call(context, &args),
        Verb::Completions(_)
        | Verb::Doctor(_)
        | Verb::Extcap(_)
        | Verb::Log(_)
        | Verb::Man(_)
        | Verb::Ready(_)
        | Verb::Top(_) => {
            unreachable!("run() handles these verbs")
        }
    }
}
