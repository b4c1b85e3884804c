//! Logging, to standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

/// The variable that wins over the configured level.
const VARIABLE: &str = "RUST_LOG";

/// Starts logging at the configured level, or at what `RUST_LOG` says. A `RUST_LOG` that cannot be understood is said
/// and left aside.
pub fn start(level: &str) {
    let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let named = variable.as_deref().map(EnvFilter::try_new);
    let complaint = named.as_ref().and_then(|result| result.as_ref().err().map(ToString::to_string));
    let filter = named.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(level));
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // Refused when a logger runs already, in tests: theirs is as good.
    let _ = tracing::subscriber::set_global_default(log);
    if let Some(complaint) = complaint {
        tracing::warn!("{VARIABLE} is not a filter ({complaint}); using \"{level}\"");
    }
}
