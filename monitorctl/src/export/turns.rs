//! Source of the order and the times of a connection's bytes.

use std::collections::VecDeque;

use monitor_client::Side;
use monitor_client::types::Socket;

use super::connection::micros;

/// Run of bytes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub side: Side,
    /// Offset after its last byte.
    pub to: u64,
    /// Microseconds since the epoch.
    pub time: u64,
}

/// Turns of a connection, in the order of the conversation.
#[derive(Debug)]
pub struct Turns {
    loaded: VecDeque<Turn>,
}

impl Turns {
    /// Returns the turns of a connection: the request when it opened, the response at its last packet.
    pub fn new(socket: &Socket) -> Self {
        let turn = |side, time| Turn {
            side,
            to: socket.sides.get(side).end,
            time: micros(time),
        };
        let loaded = [
            turn(Side::Server, socket.opened),
            turn(Side::Client, socket.last),
        ];
        Self {
            loaded: loaded.into(),
        }
    }

    /// Returns the next turn without removing it.
    pub fn peek(&self) -> Option<Turn> {
        self.loaded.front().copied()
    }

    /// Removes the next turn.
    pub fn skip(&mut self) {
        self.loaded.pop_front();
    }
}
