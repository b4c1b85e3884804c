//! The verb `log`: one record per connection, for months.
//!
//! `session` follows one run of the daemon: it subscribes, lists the ended connections, and writes a record for each
//! event. Here sessions follow each other: the daemon may restart, and a session that failed begins again with a listing,
//! so it loses nothing that the daemon still lists. [`Tracker`] decides which records are due. `output` writes lines to
//! the file, `position` finds the records that were written before a start.

mod output;
mod position;
mod session;
mod signals;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor_client::Error;

use crate::context::report;
use crate::failure::Failure;
use crate::values::seconds;
use output::Output;
use session::{Log, Session};
use signals::Signals;

/// Pause before a new session.
const PAUSE: Duration = Duration::from_secs(1);

/// Records, until it is stopped.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to append to, by one `log` at a time; standard output by default
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Time between interim records of an open connection: 90, 5m, 1h; at least a second
    #[arg(long, value_name = "TIME", value_parser = interim, default_value = "5m")]
    interim: Duration,
    /// Events of each worker that wait in the daemon while the log is busy, at most 65536; the memory is the daemon's
    #[arg(long, value_name = "COUNT", default_value_t = 16_384)]
    queue: u64,
}

fn interim(text: &str) -> Result<Duration, String> {
    let time = Duration::try_from_secs_f64(seconds(text)?).map_err(|error| error.to_string())?;
    if time < Duration::from_secs(1) {
        return Err("at least a second, like 90, 5m or 1h".to_owned());
    }
    Ok(time)
}

pub fn log(socket: &Path, args: &Args) -> Result<(), Failure> {
    let signals = Signals::register().map_err(Failure::Signals)?;
    let mut log = Log {
        socket,
        filter: args.filter.as_deref(),
        interim: args.interim,
        queue: args.queue,
        host: host_name(),
        out: Output::open(args.output.as_deref(), signals.clone())?,
        signals,
        tracker: None,
    };
    let mut last = String::new();
    while !log.signals.is_stopped() {
        match Session::run(&mut log) {
            Ok(()) => break,
            // Wrong arguments, or no daemon: as any other verb.
            Err(failure) if log.tracker.is_none() => return Err(failure),
            Err(Failure::Client(error)) => note(&mut last, error),
            Err(failure) => return Err(failure),
        }
        log.signals.wait(PAUSE);
        // The daemon may be away for days.
        log.out.follow()?;
    }
    log.out.flush()?;
    if let Some(tracker) = &log.tracker {
        log.out.save(tracker);
    }
    Ok(())
}

/// Reports an error, once for attempts that all fail in the same way.
fn note(last: &mut String, error: Error) {
    let message = Failure::Client(error).message();
    if message != *last {
        report(&format_args!("{message}; trying again"));
        *last = message;
    }
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
