//! Stored connections, merged into one capture by time.
//!
//! The order is that of turns: a turn of one connection is written whole, then the next turn of all connections. A
//! connection's turns are loaded when it opens and dropped when it ends, so memory is bounded by the connections that
//! were open at the same time. Stream bytes are read when they are written, in pieces.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;

use monitor_client::Side;
use monitor_client::types::{Offsets, Socket};

use super::capture::Capture;
use super::connection::{Connection, Form, Source, Tally};
use super::endings::{Ending, micros};
use super::turns::Turns;
use crate::context::report;
use crate::failure::Failure;

/// Treatment of connections that are open at the time of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Everything received is written, also beyond holes that may be filled.
    Settle,
    /// The bytes in order are written; the rest follows later.
    Keep,
}

/// Stored connection between two of its turns.
struct Stored {
    connection: Connection,
    turns: Turns,
    /// True until the handshake is written.
    is_new: bool,
}

/// Result of a step.
enum Step {
    More,
    Done,
    Gone,
}

/// Writes connections. Returns those that are kept, and the sum of the others.
pub fn merge<W: Write>(
    mut sockets: Vec<Socket>,
    form: Form,
    open: Open,
    source: &mut Source<'_>,
    capture: &mut Capture<W>,
) -> Result<(Vec<Connection>, Tally), Failure> {
    let mut tally = Tally::default();
    let mut kept = Vec::new();
    // By opening time, the first at the end.
    sockets.sort_by(|one, other| other.opened.total_cmp(&one.opened));
    let mut active: Vec<Option<Stored>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut queue: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    loop {
        let first = queue.peek().map(|Reverse((time, _))| *time);
        if let Some(socket) = sockets.pop_if(|socket| {
            let opened = micros(socket.opened);
            first.is_none_or(|first| opened <= first)
        }) {
            let stored = Stored::new(socket, form);
            let place = free.pop().unwrap_or_else(|| {
                active.push(None);
                active.len() - 1
            });
            queue.push(Reverse((stored.time(), place)));
            active[place] = Some(stored);
            continue;
        }
        let Some(Reverse((_, place))) = queue.pop() else {
            return Ok((kept, tally));
        };
        let Some(stored) = &mut active[place] else {
            continue;
        };
        match stored.step(open, source, capture)? {
            Step::More => {
                queue.push(Reverse((stored.time(), place)));
                continue;
            }
            Step::Done => {}
            Step::Gone => report(&format_args!(
                "connection {} was evicted while it was exported: its end is missing",
                stored.connection.socket.sockid
            )),
        }
        if let Some(stored) = active[place].take() {
            free.push(place);
            if open == Open::Keep && stored.connection.socket.closed.is_none() {
                kept.push(stored.connection);
            } else {
                tally.add(stored.connection.tally());
            }
        }
    }
}

impl Stored {
    fn new(socket: Socket, form: Form) -> Self {
        Self {
            turns: Turns::new(socket.sockid),
            connection: Connection::new(socket, form),
            is_new: true,
        }
    }

    /// Returns the time of the next step.
    fn time(&self) -> u64 {
        let socket = &self.connection.socket;
        if self.is_new {
            return micros(socket.opened);
        }
        let turn = self.turns.peek().map(|turn| micros(turn.time));
        let ending = self.connection.next_ending().map(|(time, _)| time);
        let next = turn.into_iter().chain(ending).min();
        next.unwrap_or(micros(socket.last))
    }

    /// Returns the next ending, if it comes before the next turn.
    fn ending(&self) -> Option<(u64, Ending)> {
        let turn = self.turns.peek().map(|turn| micros(turn.time));
        let ending = self.connection.next_ending();
        ending.filter(|(time, _)| turn.is_none_or(|turn| *time < turn))
    }

    /// Writes the handshake, a turn, an ending, or the rest.
    fn step<W: Write>(
        &mut self,
        open: Open,
        source: &mut Source<'_>,
        capture: &mut Capture<W>,
    ) -> Result<Step, Failure> {
        let keeps = open == Open::Keep && self.connection.socket.closed.is_none();
        let limit = |socket: &Socket, side: Side| {
            let stats = socket.sides.get(side);
            if keeps { stats.next } else { stats.end }
        };
        let socket = &self.connection.socket;
        let limits = Offsets {
            client: limit(socket, Side::Client),
            server: limit(socket, Side::Server),
        };
        if std::mem::take(&mut self.is_new) {
            self.connection.open(capture)?;
            self.turns.load(source.client, limits)?;
            return Ok(Step::More);
        }
        if let Some((time, ending)) = self.ending() {
            // Without missing bytes all before a FIN is written.
            let connection = &mut self.connection;
            if let Ending::Fin(end, off) = ending
                && !connection.copy(source, end.peer(), off, time, capture)?
            {
                connection.close(capture)?;
                return Ok(Step::Gone);
            }
            connection.end((time, ending), capture)?;
            return Ok(Step::More);
        }
        let connection = &mut self.connection;
        if let Some(turn) = self.turns.peek() {
            self.turns.skip();
            let to = (turn.off + turn.len).min(limit(&connection.socket, turn.side));
            let time = micros(turn.time);
            if !connection.copy(source, turn.side, to, time, capture)? {
                connection.close(capture)?;
                return Ok(Step::Gone);
            }
            self.turns.load(source.client, limits)?;
            return Ok(Step::More);
        }
        let last = micros(connection.socket.last);
        for side in Side::BOTH {
            let to = limit(&connection.socket, side);
            if !connection.copy(source, side, to, last, capture)? {
                connection.close(capture)?;
                return Ok(Step::Gone);
            }
        }
        if !keeps {
            connection.close(capture)?;
        }
        Ok(Step::Done)
    }
}
