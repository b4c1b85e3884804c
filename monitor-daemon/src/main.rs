//! monitord: captures TCP, reassembles it, and serves its bytes over a Unix socket.

use std::process::ExitCode;

use clap::Parser;
use monitor_daemon::service;
use monitor_daemon::service::cli::Cli;
use monitor_daemon::util::chain::Chain;

fn main() -> ExitCode {
    match service::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monitord: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
