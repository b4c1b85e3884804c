//! monitord: captures TCP, reassembles it, and serves its bytes over a Unix socket.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use monitor_daemon::service;
use monitor_daemon::service::cli::Cli;
use monitor_daemon::util::chain::Chain;
use monitor_daemon::util::stderr::{Priority, Stderr};

/// It returns the memory of clients that have gone to the system. Of the C library's allocator, up to 170 MiB stayed.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match service::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Does not panic when standard error cannot be written.
            let line = format!("monitord: {}\n", Chain(&error));
            let _ = Stderr(Priority::Error).write_all(line.as_bytes());
            ExitCode::FAILURE
        }
    }
}
