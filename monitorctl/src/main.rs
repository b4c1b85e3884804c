//! monitorctl: looks into live TCP connections through monitord.
//!
//! A file for each verb: its arguments, what it asks, what it prints. [`show`] is what they print with, apart from any
//! I/O; [`failure`] what goes wrong.

mod args;
mod call;
mod completions;
mod config;
mod ends;
mod events;
mod failure;
mod follow;
mod fragments;
mod info;
mod lookup;
mod man;
mod peek;
mod ppeek;
mod save;
mod set;
mod show;
mod sockets;
mod stats;
mod stop;
mod top;
mod wait;
mod watch;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use args::{Args, Verb};
use clap::Parser;
use failure::Failure;
use monitor_client::Client;
use show::colour::Palette;

/// What every verb needs.
struct Context<W: Write> {
    client: Client,
    json: bool,
    palette: Palette,
    out: W,
}

impl<W: Write> Context<W> {
    /// Prints a value as one line of JSON.
    fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, value)?;
        writeln!(self.out)?;
        Ok(())
    }

    /// The next event. Everything before it is printed before it is waited for.
    fn event(&mut self) -> Result<monitor_client::Event, Failure> {
        if !self.client.has_event() {
            self.out.flush()?;
        }
        Ok(self.client.event()?)
    }
}

/// Says something beside the output. That nobody listens is no failure.
fn say(message: &impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "monitorctl: {message}");
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way too, and are no failures.
            let failed = error.use_stderr();
            let _ = error.print();
            return if failed {
                failure::USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure);
            failure.exit_code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    match args.verb {
        // Nobody has to be asked.
        Verb::Completions(args) => completions::completions(&mut out, &args)?,
        Verb::Man(args) => man::man(&mut out, &args)?,
        // It asks again and again, and outlives the daemon.
        Verb::Top(top) => return top::top(out, &args.socket, args.json, &top),
        verb => {
            let client = connect(&args.socket)?;
            let mut context = Context {
                client,
                json: args.json,
                palette: Palette::choose(args.color),
                out,
            };
            ask(&mut context, verb)?;
            out = context.out;
        }
    }
    out.flush().map_err(Failure::Output)
}

/// Connects, and says who calls.
fn connect(socket: &std::path::Path) -> Result<Client, monitor_client::Error> {
    let mut client = Client::connect(socket)?;
    client.hello(concat!("monitorctl ", env!("CARGO_PKG_VERSION")))?;
    Ok(client)
}

fn ask<W: Write>(context: &mut Context<W>, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Sockets(args) => sockets::sockets(context, args),
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
        Verb::Save(args) => save::save(context, &args),
        Verb::Stats(args) => stats::stats(context, &args),
        Verb::Call(args) => call::call(context, &args),
        Verb::Completions(_) | Verb::Man(_) | Verb::Top(_) => unreachable!("run() has taken them"),
    }
}
