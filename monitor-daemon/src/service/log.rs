//! Logging, to standard error.

use std::fmt as text;
use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::ApplyFn;
use crate::util::stderr::{Priority, Stderr, is_journal};

/// Variable that overrides the configured level.
const VARIABLE: &str = "RUST_LOG";

/// Starts logging at the configured level, or at the filter in `RUST_LOG`. An invalid `RUST_LOG` is reported and
/// ignored. The returned function changes the level later; there is none when `RUST_LOG` is in force.
pub fn start(level: &str) -> Option<ApplyFn> {
    let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let named = variable.as_deref().map(EnvFilter::try_new);
    let complaint = named
        .as_ref()
        .and_then(|result| result.as_ref().err().map(ToString::to_string));
    let named = named.and_then(Result::ok);
    let ruled = named.is_some();
    let log = fmt()
        .with_timer(Time)
        .with_env_filter(named.unwrap_or_else(|| EnvFilter::new(level)))
        .with_writer(Lines)
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_level(!is_journal())
        .with_filter_reloading();
    let handle = log.reload_handle();
    // Refused when a logger runs already, in tests.
    let _ = tracing::subscriber::set_global_default(log.finish());
    if let Some(complaint) = complaint {
        tracing::warn!("{VARIABLE} is not a filter ({complaint}); using \"{level}\"");
    }
    let take: ApplyFn = Box::new(move |config| {
        let level = &config.log.level;
        if let Err(error) = EnvFilter::try_new(level).map(|filter| handle.reload(filter)) {
            tracing::warn!(%error, "the log stays as it is");
        }
    });
    (!ruled).then_some(take)
}

/// Time stamps of the lines. The journal has its own, and shows the priority in place of the level.
struct Time;

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> text::Result {
        if is_journal() {
            return Ok(());
        }
        SystemTime.format_time(writer)
    }
}

/// Writers of lines at the priority of their level.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Stderr;

    fn make_writer(&self) -> Stderr {
        Stderr(Priority::Info)
    }

    fn make_writer_for(&self, line: &Metadata<'_>) -> Stderr {
        Stderr(match *line.level() {
            Level::ERROR => Priority::Error,
            Level::WARN => Priority::Warning,
            Level::INFO => Priority::Info,
            Level::DEBUG | Level::TRACE => Priority::Debug,
        })
    }
}
