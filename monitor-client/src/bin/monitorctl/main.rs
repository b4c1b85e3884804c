//! monitorctl: looks into live TCP connections through monitord.

mod args;
mod connections;
mod failure;
mod follow;
mod format;
mod read;
mod stats;
mod table;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use args::{Args, Verb};
use clap::Parser;
use failure::Failure;
use monitor_client::Client;

/// What every verb needs.
struct Context<W: Write> {
    client: Client,
    json: bool,
    out: W,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way too, and are no failures.
            let failed = error.use_stderr();
            let _ = error.print();
            return if failed { failure::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("monitorctl: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let mut client = Client::connect(&args.socket)?;
    client.hello(concat!("monitorctl ", env!("CARGO_PKG_VERSION")))?;
    let out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut context = Context { client, json: args.json, out };
    match args.verb {
        Verb::Sockets(filter) => connections::sockets(&mut context, filter),
        Verb::Info { sockid } => connections::info(&mut context, sockid),
        Verb::Lookup(ends) => connections::lookup(&mut context, ends),
        Verb::Ppeek(ppeek) => read::ppeek(&mut context, &ppeek),
        Verb::Follow(follow) => follow::follow(&mut context, &follow),
        Verb::Stats { workers } => stats::stats(&mut context, workers),
    }?;
    context.out.flush().map_err(Failure::Output)
}
