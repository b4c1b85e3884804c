//! Display settings and keys.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::Row;
pub use super::sort::Sort;

/// Sampling intervals; + and - step through them.
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

impl Sort {
    /// Sorts the largest value first, or last if reversed. Equal rows keep their order by sockid.
    pub fn order(self, rows: &mut [Row], reverse: bool) {
        rows.sort_by(|one, other| {
            let order = self.value(other).total_cmp(&self.value(one));
            let order = if reverse { order.reverse() } else { order };
            order.then(one.socket.sockid.cmp(&other.socket.sockid))
        });
    }

    /// Returns the sort key. Counts are below 2^53.
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

/// Effect of a key on the main loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    Quit,
    Suspend,
}

/// Display settings.
#[derive(Debug)]
pub struct View {
    pub sort: Sort,
    pub reverse: bool,
    pub interval: Duration,
    pub paused: bool,
    /// Index of the first visible row.
    pub first: usize,
    /// Number of visible rows, set when the screen is drawn.
    pub page: usize,
    /// Message of the last failed sample.
    pub failure: Option<String>,
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
            failure: None,
        }
    }

    /// Handles a key, with a list of `rows` rows.
    pub fn key(&mut self, key: KeyEvent, rows: usize) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('z') => Action::Suspend,
                _ => Action::Continue,
            };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
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
        self.clamp(rows);
        Action::Continue
    }

    /// Limits the position after the list became shorter.
    pub fn clamp(&mut self, rows: usize) {
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

    fn press(view: &mut View, code: KeyCode) -> Action {
        view.key(KeyEvent::from(code), 100)
    }

    #[test]
    fn keys_change_order_position_and_interval() {
        let mut view = View {
            page: 10,
            ..View::new(Sort::Rate, Duration::from_secs(1))
        };
        assert_eq!(press(&mut view, KeyCode::Char('m')), Action::Continue);
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
        assert_eq!(press(&mut view, KeyCode::Char('q')), Action::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(interrupt, 0), Action::Quit);
    }
}
