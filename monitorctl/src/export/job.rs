//! Export: the connections that are chosen, written once or as bytes arrive.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use indicatif::ProgressBar;
use monitor_client::types::Socket;
use monitor_client::{Client, Next, Side};
use serde::Serialize;

use super::capture::Capture;
use super::client_hello::SEARCHED;
use super::connection::{Form, Source, has_unknowns, note};
use super::keylog::KeyLog;
use super::live::{Live, subscribe};
use super::merge::{Open, merge};
use super::selection::Selection;
use crate::failure::Failure;
use crate::pages;

/// Connections that the comment of the section describes one by one.
const DESCRIBED: usize = 100;

/// Settings of an export.
#[derive(Clone, Debug)]
pub struct Job {
    pub selection: Selection,
    pub form: Form,
    /// TLS key log.
    pub keylog: Option<PathBuf>,
    /// True: continues as bytes arrive.
    pub live: bool,
}

/// Result of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub connections: u64,
    pub packets: u64,
    pub bytes: u64,
    pub missing: u64,
}

impl Job {
    /// Writes the capture. `is_over` is called while a live export waits; true ends it.
    pub fn run<W: Write>(
        &self,
        client: &mut Client,
        out: W,
        bar: &ProgressBar,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Summary, Failure> {
        let keylog = self.keylog.as_deref().map(KeyLog::open).transpose()?;
        // Before the list is read: no connection is missed in between.
        let mut events = match self.live {
            true => Some(subscribe(client, &self.selection)?),
            false => None,
        };
        let sockets = self.sockets(client)?;
        let form = Form {
            ethernet: self.form.ethernet || sockets.iter().any(|socket| !socket.vlan.is_empty()),
            ..self.form
        };
        let mut capture = Capture::new(out, form.ethernet, &comment(&sockets), keylog)?;
        let mut source = Source {
            client,
            bytes: Vec::new(),
            progress: &|bytes| bar.inc(bytes),
        };
        if self.keylog.is_some() {
            for socket in &sockets {
                search(socket, &mut source, &mut capture)?;
            }
            capture.write_secrets()?;
        }
        bar.set_length(sockets.iter().map(retained).sum());
        let mut connections = sockets.len() as u64;
        let ended = sockets.iter().filter(|socket| socket.closed.is_some());
        let ended = ended.map(|socket| socket.sockid).collect();
        let open = if self.live { Open::Keep } else { Open::Settle };
        let (kept, mut tally) = merge(sockets, form, open, &mut source, &mut capture)?;
        bar.finish_and_clear();
        if let Some(events) = &mut events {
            let live = Live::new(&self.selection, form, source, &mut capture, kept, ended);
            let totals = live.run(events, is_over)?;
            connections += totals.joined;
            tally.add(totals.tally);
        }
        capture.finish(&client.stats()?)?;
        Ok(Summary {
            connections,
            packets: capture.packets(),
            bytes: tally.bytes,
            missing: tally.missing,
        })
    }

    /// Returns the chosen connections. One that was named must exist.
    fn sockets(&self, client: &mut Client) -> Result<Vec<Socket>, Failure> {
        match &self.selection {
            Selection::Sockids(sockids) => sockids
                .iter()
                .map(|&sockid| Ok(client.info(sockid)?))
                .collect(),
            Selection::Filter(_) => pages::all(client, self.selection.params()),
        }
    }
}

fn retained(socket: &Socket) -> u64 {
    socket.sides.client.retained + socket.sides.server.retained
}

/// Reads the start of both streams for the sessions of a key log.
fn search<W: Write>(
    socket: &Socket,
    source: &mut Source<'_>,
    capture: &mut Capture<W>,
) -> Result<(), Failure> {
    for side in Side::BOTH {
        if let Next::Bytes { .. } = source.read(socket.sockid, side, 0, SEARCHED)? {
            capture.search(&source.bytes);
        }
    }
    Ok(())
}

/// Returns the comment of the section: its origin, and the numbers that are unknown.
fn comment(sockets: &[Socket]) -> String {
    let mut comment = "Made from reassembled streams. Bytes, their order and times, addresses, ports and sequence \
        numbers are those of the connections; segments, handshakes, acknowledgments, ends and Ethernet addresses are \
        reconstructed."
        .to_owned();
    let unknown: Vec<_> = sockets.iter().filter(|it| has_unknowns(it)).collect();
    for socket in unknown.iter().take(DESCRIBED) {
        let _ = write!(comment, "\n{}", note(socket));
    }
    if unknown.len() > DESCRIBED {
        let _ = write!(
            comment,
            "\n{} more connections have unknown numbers: see the comments of their first packets.",
            unknown.len() - DESCRIBED
        );
    }
    comment
}
