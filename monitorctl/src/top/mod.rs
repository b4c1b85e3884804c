//! The verb `top`: a live screen, or a line of JSON per sample.

mod columns;
mod cpu;
mod model;
mod poll;
mod sample;
mod screen;
mod sort;
mod terminal;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::failure::Failure;
use crate::values::seconds;
pub use model::Model;
pub use poll::Source;
#[cfg(feature = "fleet")]
pub use poll::params;
use poll::{Poller, Sampler};
#[cfg(feature = "fleet")]
pub use sample::Sample;
use terminal::{Signals, Terminal};
pub use view::Sort;
use view::{Action, View};

/// Maximum delay until a signal or a sample is noticed. Keys are noticed at once.
const TICK: Duration = Duration::from_millis(100);

/// Interval, order and filter.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sampling interval in seconds, or with a unit: 500ms
    #[arg(long, short, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Order of the list
    #[arg(long, short, default_value = "rate")]
    sort: Sort,
    /// Only connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Exit after this number of samples
    #[arg(long, short = 'n', value_name = "COUNT")]
    count: Option<u64>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval =
        Duration::try_from_secs_f64(seconds(text)?).map_err(|error| error.to_string())?;
    let range = view::INTERVALS;
    if interval < range[0] || interval > range[range.len() - 1] {
        return Err("from 100ms to 1m".to_owned());
    }
    Ok(interval)
}

/// Runs it for the daemon of this host.
pub fn top(out: impl Write, socket: &Path, json: bool, args: &Args) -> Result<(), Failure> {
    let sampler = || Sampler::connect(socket, args.filter.clone());
    show(out, json, args, || Ok(Box::new(sampler()?)))
}

/// Runs it for a source, which is connected once the output is known to be usable.
pub fn show(
    out: impl Write,
    json: bool,
    args: &Args,
    connect: impl FnOnce() -> Result<Box<dyn Source>, Failure>,
) -> Result<(), Failure> {
    if json {
        return lines(out, &mut *connect()?, args);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "top draws on a terminal; for a pipe or a file: monitorctl top --json",
        ));
    }
    let source = connect()?;
    let signals = Signals::catch().map_err(Failure::Output)?;
    let mut terminal = Terminal::enter().map_err(Failure::Output)?;
    let ended = watch(&mut terminal, &signals, Poller::start(source), args);
    // The terminal is restored before a message is printed, and before a signal ends the process.
    drop(terminal);
    if let Some(signal) = ended? {
        signals.end_by(signal);
    }
    Ok(())
}

/// Prints one object per sample.
fn lines(mut out: impl Write, source: &mut dyn Source, args: &Args) -> Result<(), Failure> {
    for count in 0.. {
        if args.count == Some(count) {
            break;
        }
        if count > 0 {
            thread::sleep(args.interval);
        }
        let mut model = source.model(args.sort)?;
        args.sort.order(&mut model.rows, false);
        serde_json::to_writer(&mut out, &model)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

/// Draws until a key or a signal ends the loop. Returns the signal, if any.
fn watch(
    terminal: &mut Terminal,
    signals: &Signals,
    poller: Poller,
    args: &Args,
) -> Result<Option<i32>, Failure> {
    let mut live = Live::new(poller, args);
    loop {
        live.view
            .sort
            .order(&mut live.model.rows, live.view.reverse);
        terminal
            .draw(|frame| screen::draw(frame, &live.model, &mut live.view))
            .map_err(Failure::Output)?;
        if args.count.is_some_and(|count| live.samples >= count) {
            return Ok(None);
        }
        match live.next_change(signals)? {
            Change::Signal(signal) => return Ok(Some(signal)),
            Change::Key(Action::Quit) => return Ok(None),
            Change::Key(Action::Suspend) => terminal.suspend().map_err(Failure::Output)?,
            Change::Key(Action::Continue) | Change::Sample => {}
        }
    }
}

/// State of the live screen.
struct Live {
    poller: Poller,
    view: View,
    model: Model,
    /// Time of the last sample; `None` while one is in progress.
    sampled: Option<Instant>,
    samples: u64,
}

/// Reason to draw again.
enum Change {
    Sample,
    Key(Action),
    Signal(i32),
}

impl Live {
    fn new(poller: Poller, args: &Args) -> Self {
        poller.request(args.sort);
        let view = View::new(args.sort, args.interval);
        Self {
            poller,
            view,
            model: Model::default(),
            sampled: None,
            samples: 0,
        }
    }

    /// Waits for a signal, a sample or a key.
    fn next_change(&mut self, signals: &Signals) -> Result<Change, Failure> {
        loop {
            if let Some(signal) = signals.caught() {
                return Ok(Change::Signal(signal));
            }
            if let Some(result) = self.poller.result() {
                self.on_sample(result);
                return Ok(Change::Sample);
            }
            if !self.view.paused
                && self
                    .sampled
                    .is_some_and(|sampled| sampled.elapsed() >= self.view.interval)
            {
                self.sampled = None;
                self.poller.request(self.view.sort);
            }
            if event::poll(self.timeout()).map_err(Failure::Output)? {
                let event = event::read().map_err(Failure::Output)?;
                return Ok(Change::Key(on_terminal_event(
                    &event,
                    &mut self.view,
                    self.model.rows.len(),
                )));
            }
        }
    }

    /// Returns the time until the next sample, at most a tick.
    fn timeout(&self) -> Duration {
        let left = self
            .sampled
            .map(|sampled| self.view.interval.saturating_sub(sampled.elapsed()));
        left.unwrap_or(TICK).min(TICK)
    }

    fn on_sample(&mut self, result: Result<Model, Failure>) {
        self.sampled = Some(Instant::now());
        self.samples += 1;
        match result {
            Ok(model) => {
                self.model = model;
                self.view.failure = None;
            }
            Err(failure) => self.view.failure = Some(failure.message()),
        }
    }
}

fn on_terminal_event(event: &Event, view: &mut View, rows: usize) -> Action {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => view.key(*key, rows),
        _ => Action::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_accept_units() {
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert!(interval("-1").is_err() && interval("1h").is_err() && interval("0").is_err());
    }
}
