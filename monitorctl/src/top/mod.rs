//! `top`: a live screen, or a line of JSON each time.

mod columns;
mod cpu;
mod model;
mod poll;
mod screen;
mod terminal;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::args::seconds;
use crate::failure::Failure;
use model::Model;
use poll::{Poller, Sample, Source};
use terminal::{Signals, Terminal};
use view::{Sort, View, Wish};

/// How long a signal or an answer may go unnoticed. Keys are noticed at once.
const TICK: Duration = Duration::from_millis(100);

/// What is shown, how often.
///
/// Keys: r, b, m, h, o, l sort by rate, bytes, memory, holes, opened, last packet; i turns the order round; up, down,
/// page up, page down, home, end move through the list; + and - change the interval; space stops and goes on; q or
/// Ctrl-C quits. A length with a `*` has bytes missing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds from one look to the next, or with a unit: 500ms
    #[arg(long, short, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// What comes first
    #[arg(long, short, default_value = "rate")]
    sort: Sort,
    /// Only connections that this filter wants, in the words of tcpdump
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// End after so many looks
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

pub fn top(out: impl Write, socket: &Path, json: bool, args: &Args) -> Result<(), Failure> {
    if json {
        return lines(out, Source::connect(socket, args.filter.clone())?, args);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "top draws on a terminal; for a pipe or a file: monitorctl top --json",
        ));
    }
    let source = Source::connect(socket, args.filter.clone())?;
    let signals = Signals::catch().map_err(Failure::Output)?;
    let mut terminal = Terminal::enter().map_err(Failure::Output)?;
    let ended = watch(&mut terminal, &signals, Poller::start(source), args);
    // The terminal is a shell's again before anything is said, and before a signal ends us.
    drop(terminal);
    if let Some(signal) = ended? {
        signals.end_by(signal);
    }
    Ok(())
}

/// One object for each look.
fn lines(mut out: impl Write, mut source: Source, args: &Args) -> Result<(), Failure> {
    let mut before: Option<Sample> = None;
    for look in 0.. {
        if args.count == Some(look) {
            break;
        }
        if look > 0 {
            thread::sleep(args.interval);
        }
        let sample = source.look()?;
        let mut model = Model::new(before.as_ref(), &sample);
        args.sort.order(&mut model.rows, false);
        serde_json::to_writer(&mut out, &model)?;
        writeln!(out)?;
        out.flush()?;
        before = Some(sample);
    }
    Ok(())
}

/// Draws until a key or a signal ends it; the signal, if it was one.
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
        if args.count.is_some_and(|count| live.looks >= count) {
            return Ok(None);
        }
        match live.change(signals)? {
            Change::Signal(signal) => return Ok(Some(signal)),
            Change::Wish(Wish::Quit) => return Ok(None),
            Change::Wish(Wish::Suspend) => terminal.suspend().map_err(Failure::Output)?,
            Change::Wish(Wish::Nothing) | Change::Answer => {}
        }
    }
}

/// The screen's state.
struct Live {
    poller: Poller,
    view: View,
    model: Model,
    before: Option<Sample>,
    /// When the last look was done; `None` while there is one under way.
    looked: Option<Instant>,
    looks: u64,
}

/// What makes drawing worth while.
enum Change {
    Answer,
    Wish(Wish),
    Signal(i32),
}

impl Live {
    fn new(poller: Poller, args: &Args) -> Self {
        poller.ask();
        let view = View::new(args.sort, args.interval);
        Self {
            poller,
            view,
            model: Model::default(),
            before: None,
            looked: None,
            looks: 0,
        }
    }

    /// Waits for it.
    fn change(&mut self, signals: &Signals) -> Result<Change, Failure> {
        loop {
            if let Some(signal) = signals.caught() {
                return Ok(Change::Signal(signal));
            }
            if let Some(answer) = self.poller.answer() {
                self.take(answer);
                return Ok(Change::Answer);
            }
            if !self.view.paused
                && self
                    .looked
                    .is_some_and(|looked| looked.elapsed() >= self.view.interval)
            {
                self.looked = None;
                self.poller.ask();
            }
            if event::poll(self.patience()).map_err(Failure::Output)? {
                let event = event::read().map_err(Failure::Output)?;
                return Ok(Change::Wish(happened(
                    &event,
                    &mut self.view,
                    self.model.rows.len(),
                )));
            }
        }
    }

    /// Until the next look, if nothing else happens.
    fn patience(&self) -> Duration {
        let left = self
            .looked
            .map(|looked| self.view.interval.saturating_sub(looked.elapsed()));
        left.unwrap_or(TICK).min(TICK)
    }

    fn take(&mut self, answer: Result<Sample, Failure>) {
        self.looked = Some(Instant::now());
        self.looks += 1;
        match answer {
            Ok(sample) => {
                self.model = Model::new(self.before.as_ref(), &sample);
                self.before = Some(sample);
                self.view.trouble = None;
            }
            Err(failure) => self.view.trouble = Some(failure.to_string()),
        }
    }
}

fn happened(event: &Event, view: &mut View, rows: usize) -> Wish {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => view.key(*key, rows),
        _ => Wish::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_seconds_or_have_a_unit() {
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert!(interval("-1").is_err() && interval("1h").is_err() && interval("0").is_err());
    }
}
