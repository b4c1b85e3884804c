//! How much is retained of sides whose window is not the configured one. A side's record has a byte for it.

use super::cell::{Cell32, Cell64};
use super::{Release, fence};

/// As many as a byte can name.
pub const MOST: usize = 256;

/// Windows by name. 0 names the configured one.
///
/// Written by the worker alone. A reader that got a name from a record looks its window up before it looks at the
/// record's lock again: a name is used anew only after all records that said it were written to.
#[derive(Debug)]
pub struct Windows {
    bytes: Vec<Cell64>,
    /// How many sides and rules use it.
    users: Vec<Cell32>,
}

impl Windows {
    /// Room for `most` windows, up to [`MOST`], of which the first is `configured`.
    pub fn new(configured: u64, most: usize) -> Self {
        let windows = Self {
            bytes: (0..most).map(|_| Cell64::default()).collect(),
            users: (0..most).map(|_| Cell32::default()).collect(),
        };
        windows
            .bytes
            .iter()
            .take(1)
            .for_each(|first| first.set(configured));
        windows
    }

    /// The window of this name, bytes.
    #[inline(always)]
    pub fn get(&self, name: u8) -> u64 {
        self.bytes.get(usize::from(name)).map_or(0, Cell64::get)
    }

    /// A name for this window, for one more user; `None` when all are taken.
    pub fn take(&self, window: u64) -> Option<u8> {
        if window == self.get(0) {
            return Some(0);
        }
        let at = self
            .find(window)
            .or_else(|| self.names().find(|name| !self.used(*name)))?;
        // Pairs with the reader's fence in `Record::read`.
        fence(Release);
        self.bytes[usize::from(at)].set(window);
        let users = &self.users[usize::from(at)];
        users.set(users.get() + 1);
        Some(at)
    }

    /// The name that this window has, other than 0.
    fn find(&self, window: u64) -> Option<u8> {
        self.names()
            .find(|name| self.used(*name) && self.get(*name) == window)
    }

    fn names(&self) -> impl Iterator<Item = u8> {
        (1..self.bytes.len()).filter_map(|at| u8::try_from(at).ok())
    }

    fn used(&self, name: u8) -> bool {
        self.users[usize::from(name)].get() > 0
    }

    /// A user less. To be called after the record no longer says the name.
    pub fn give(&self, name: u8) {
        if let Some(users) = self.users.get(usize::from(name)).filter(|_| name > 0) {
            users.set(users.get().saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shared_and_used_again() {
        let windows = Windows::new(100, 3);
        assert_eq!(windows.take(100), Some(0), "the configured one");
        assert_eq!(
            (windows.take(5), windows.take(5), windows.take(6)),
            (Some(1), Some(1), Some(2))
        );
        assert_eq!(windows.take(7), None);
        windows.give(1);
        assert_eq!(
            (windows.take(7), windows.get(1)),
            (None, 5),
            "one user is left"
        );
        windows.give(1);
        windows.give(0);
        assert_eq!(
            (windows.take(7), windows.get(1), windows.get(0)),
            (Some(1), 7, 100)
        );
    }
}
