//! What the person at the screen wants to see.

use std::time::Duration;

use clap::ValueEnum;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::Row;

/// Between one look and the next; + and - go through them.
pub const INTERVALS: [Duration; 8] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Bytes a second, both sides
    Rate,
    /// Bytes so far, both sides
    Bytes,
    /// Bytes kept
    Memory,
    /// Holes
    Holes,
    /// The newest
    Opened,
    /// The last packet
    Last,
}

impl Sort {
    /// The most first, or last when reversed; those that are equal stay where they are from look to look.
    pub fn order(self, rows: &mut [Row], reverse: bool) {
        rows.sort_by(|one, other| {
            let order = self.value(other).total_cmp(&self.value(one));
            let order = if reverse { order.reverse() } else { order };
            order.then(one.socket.sockid.cmp(&other.socket.sockid))
        });
    }

    /// Counts are far below 2^53.
    fn value(self, row: &Row) -> f64 {
        let sides = &row.socket.sides;
        match self {
            Sort::Rate => row.to_server + row.to_client,
            Sort::Bytes => (sides.server.end + sides.client.end) as f64,
            Sort::Memory => (sides.server.retained + sides.client.retained) as f64,
            Sort::Holes => (sides.server.gaps + sides.client.gaps) as f64,
            Sort::Opened => row.socket.opened,
            Sort::Last => row.socket.last,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Sort::Rate => "rate",
            Sort::Bytes => "bytes",
            Sort::Memory => "memory",
            Sort::Holes => "holes",
            Sort::Opened => "opened",
            Sort::Last => "last",
        }
    }
}

/// What a key asks of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    Quit,
    Suspend,
}

/// The screen's settings.
#[derive(Debug)]
pub struct View {
    pub sort: Sort,
    pub reverse: bool,
    pub interval: Duration,
    pub paused: bool,
    /// The first row shown.
    pub first: usize,
    /// Rows that fit; the screen says so when it is drawn.
    pub page: usize,
    /// Why the last look failed.
    pub trouble: Option<String>,
}

impl View {
    pub fn new(sort: Sort, interval: Duration) -> Self {
        Self {
            sort,
            reverse: false,
            interval,
            paused: false,
            first: 0,
            page: 1,
            trouble: None,
        }
    }

    /// Does what a key means, in a list of so many rows.
    pub fn key(&mut self, key: KeyEvent, rows: usize) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Wish::Quit,
                KeyCode::Char('z') => Wish::Suspend,
                _ => Wish::Nothing,
            };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char('r') => self.sort = Sort::Rate,
            KeyCode::Char('b') => self.sort = Sort::Bytes,
            KeyCode::Char('m') => self.sort = Sort::Memory,
            KeyCode::Char('h') => self.sort = Sort::Holes,
            KeyCode::Char('o') => self.sort = Sort::Opened,
            KeyCode::Char('l') => self.sort = Sort::Last,
            KeyCode::Char('i') => self.reverse = !self.reverse,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('+') => self.interval = longer(self.interval),
            KeyCode::Char('-') => self.interval = shorter(self.interval),
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.first += 1,
            KeyCode::PageUp => self.first = self.first.saturating_sub(self.page),
            KeyCode::PageDown => self.first += self.page,
            KeyCode::Home => self.first = 0,
            KeyCode::End => self.first = rows,
            _ => {}
        }
        self.keep_inside(rows);
        Wish::Nothing
    }

    /// The list may be shorter than before: its end stays at the end of the screen.
    pub fn keep_inside(&mut self, rows: usize) {
        self.first = self.first.min(rows.saturating_sub(self.page));
    }
}

fn longer(interval: Duration) -> Duration {
    INTERVALS
        .into_iter()
        .find(|step| *step > interval)
        .unwrap_or(interval)
}

fn shorter(interval: Duration) -> Duration {
    INTERVALS
        .into_iter()
        .rev()
        .find(|step| *step < interval)
        .unwrap_or(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, code: KeyCode) -> Wish {
        view.key(KeyEvent::from(code), 100)
    }

    #[test]
    fn keys() {
        let mut view = View {
            page: 10,
            ..View::new(Sort::Rate, Duration::from_secs(1))
        };
        assert_eq!(press(&mut view, KeyCode::Char('m')), Wish::Nothing);
        assert_eq!(view.sort, Sort::Memory);
        for (key, first) in [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 11),
            (KeyCode::End, 90),
            (KeyCode::Down, 90),
            (KeyCode::PageUp, 80),
            (KeyCode::Home, 0),
        ] {
            press(&mut view, key);
            assert_eq!(view.first, first, "{key:?}");
        }
        press(&mut view, KeyCode::Char('+'));
        assert_eq!(view.interval, Duration::from_secs(2));
        for _ in 0..20 {
            press(&mut view, KeyCode::Char('-'));
        }
        assert_eq!(view.interval, INTERVALS[0]);
        assert_eq!(press(&mut view, KeyCode::Char('q')), Wish::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(interrupt, 0), Wish::Quit);
    }
}
