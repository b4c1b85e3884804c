//! Order and times of a connection's bytes: its turns, loaded page by page.

use std::collections::VecDeque;

use monitor_client::types::{Offsets, Turn};
use monitor_client::{Client, Code, Error};

use crate::failure::Failure;

/// Turns per request. Every connection that is open at some time of the export holds one page.
const PAGE: u64 = 256;

/// Turns of a connection that were not exported, in the order of the conversation.
#[derive(Debug)]
pub struct Turns {
    sockid: u64,
    loaded: VecDeque<Turn>,
    /// Offsets of the next page; `None` after the last one.
    next: Option<Offsets>,
}

impl Turns {
    /// Creates the list of a connection's turns; none is loaded.
    pub fn new(sockid: u64) -> Self {
        Self {
            sockid,
            loaded: VecDeque::new(),
            next: Some(Offsets::default()),
        }
    }

    /// Returns the next turn without removing it, if it is loaded.
    pub fn peek(&self) -> Option<Turn> {
        self.loaded.front().copied()
    }

    /// Removes the next turn.
    pub fn skip(&mut self) {
        self.loaded.pop_front();
    }

    /// Loads the next page if all turns before it were removed. Turns that begin at or beyond `limits` follow no more.
    pub fn load(&mut self, client: &mut Client, limits: Offsets) -> Result<(), Failure> {
        let Some(from) = self.next.filter(|_| self.loaded.is_empty()) else {
            return Ok(());
        };
        self.next = None;
        if from.client >= limits.client && from.server >= limits.server {
            return Ok(());
        }
        let start = (from != Offsets::default()).then_some(from);
        match client.turns(self.sockid, start, Some(PAGE)) {
            Ok(page) => {
                // A page that isn't full is the last one.
                if page.turns.len() as u64 >= PAGE && page.next != from {
                    self.next = Some(page.next);
                }
                self.loaded = page.turns.into();
                Ok(())
            }
            // It is gone, or has no bytes: reading them says which.
            Err(Error::Rpc(error))
                if matches!(
                    error.known_code(),
                    Some(Code::BadSocket | Code::NotConnected)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
