//! monitord: captures TCP, reassembles it, and serves its bytes over a Unix socket.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use monitor_daemon::service;
use monitor_daemon::service::cli::Cli;
use monitor_daemon::util::chain::Chain;
use monitor_daemon::util::stderr::Stderr;

fn main() -> ExitCode {
    match service::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Does not panic when standard error cannot be written.
            let _ = writeln!(Stderr, "monitord: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
