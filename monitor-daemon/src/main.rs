//! monitord: captures TCP, reassembles it, and serves its bytes over a Unix socket.

use std::process::ExitCode;

use clap::Parser;
use monitor_daemon::service;
use monitor_daemon::service::cli::Cli;

fn main() -> ExitCode {
    match service::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monitord: {error}");
            ExitCode::FAILURE
        }
    }
}
