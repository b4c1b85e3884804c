//! Checks of the daemon that run in a virtual machine, against its kernel and its network cards.
//!
//! `guest [CHECK...]` runs the named checks (all by default) and prints a line `RESULT NAME ok|FAILED|skipped DETAIL` for
//! each. `cargo xtask test-kernels` boots the machines and reads these lines.

#![expect(
    clippy::unwrap_used,
    reason = "a check fails by panicking; main reports it"
)]

mod cards;
mod checks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;

use self::checks::{CHECKS, Verdict};

/// Message of the last panic.
static MESSAGE: Mutex<String> = Mutex::new(String::new());

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let mut message = MESSAGE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // The first panic has the reason; others follow from it while threads are joined.
        if message.is_empty() {
            *message = panic.to_string();
        }
    }));
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = false;
    for (name, check) in CHECKS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        MESSAGE.lock().unwrap().clear();
        let (result, detail) = match catch_unwind(AssertUnwindSafe(check)) {
            Ok(Verdict::Ok(detail)) => ("ok", detail),
            Ok(Verdict::Skipped(reason)) => ("skipped", reason),
            Err(_) => {
                failed = true;
                ("FAILED", MESSAGE.lock().unwrap().clone())
            }
        };
        let line = detail.replace('\n', " ");
        let end = line
            .char_indices()
            .nth(1500)
            .map_or(line.len(), |(end, _)| end);
        println!("RESULT {name} {result} {}", &line[..end]);
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
