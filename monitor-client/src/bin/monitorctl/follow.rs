//! `follow`: a connection's bytes as they come.

mod print;

use std::io::Write;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_client::{Client, Error, ErrorData, ErrorObject, Reason, Side};
use serde_json::json;

use crate::args::FormatArgs;
use crate::failure::Failure;
use crate::show::format::Format;
use crate::{Context, say};
use print::{Origin, Printer};

/// What to follow.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `sockets` lists it
    sockid: u64,
    /// Whose received bytes; both sides when not given
    side: Option<Side>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Asked for at once.
const CHUNK: u64 = 256 * 1024;
/// Pause when nothing new is there: doubled from the first to the second while it stays quiet.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(160));

/// Prints until both sides (or the one asked for) are over. What is missing is said on standard error, never
/// skipped silently.
pub fn follow<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let sides = args.side.map_or_else(|| Side::BOTH.to_vec(), |side| vec![side]);
    let mut cursors: Vec<Cursor> = sides.into_iter().map(Cursor::new).collect();
    let format = Format::choose(args.format, Format::Text);
    let printer = Printer::new(format, args.side.is_none(), context.palette);
    let mut printer = Follower { json: context.json, printer };
    let mut pause = PAUSE.0;
    loop {
        // Asked before reading: bytes that came before the end are read before it is believed.
        let closed = context.client.info(args.sockid)?.closed.is_some();
        let mut moved = false;
        for cursor in cursors.iter_mut().filter(|cursor| !cursor.over) {
            moved |= cursor.step(&mut context.client, args.sockid, closed, &mut printer, &mut context.out)?;
        }
        if cursors.iter().all(|cursor| cursor.over) {
            return Ok(());
        }
        if moved {
            pause = PAUSE.0;
        } else {
            context.out.flush()?;
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// Where reading one side stands.
struct Cursor {
    side: Side,
    off: u64,
    over: bool,
    bytes: Vec<u8>,
}

impl Cursor {
    fn new(side: Side) -> Self {
        Self { side, off: 0, over: false, bytes: Vec::new() }
    }

    /// Reads once. True when it got on.
    fn step(
        &mut self,
        client: &mut Client,
        sockid: u64,
        closed: bool,
        printer: &mut Follower,
        out: &mut impl Write,
    ) -> Result<bool, Failure> {
        match client.ppeek_into(sockid, self.side, self.off, CHUNK, &mut self.bytes) {
            Ok(head) => {
                printer.bytes(out, self.side, self.off, &self.bytes)?;
                self.off += head.len;
                self.over = head.eof;
                Ok(true)
            }
            Err(Error::Rpc(error)) => match self.next(&error, closed) {
                Next::Over => {
                    self.over = true;
                    Ok(true)
                }
                Next::Wait => Ok(false),
                Next::Skip { to, why } => {
                    out.flush()?;
                    printer.missing(out, self.side, self.off, to, why)?;
                    self.off = to;
                    Ok(true)
                }
                Next::Fail => Err(Error::Rpc(error).into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// What to do when there is no byte at the cursor.
    fn next(&self, error: &ErrorObject, closed: bool) -> Next {
        let wait = if closed { Next::Over } else { Next::Wait };
        match (error.reason(), error.data.as_deref()) {
            (Some(Reason::NotEstablished | Reason::Future), _) => wait,
            (Some(Reason::Eof), _) => Next::Over,
            (Some(Reason::Evicted), Some(&ErrorData { base: Some(base), .. })) if base > self.off => {
                Next::Skip { to: base, why: "evicted before they were read" }
            }
            (Some(Reason::Gap), Some(data)) => {
                let declared_lost = data.next.is_some_and(|next| next > self.off);
                match data.next_extent.flatten() {
                    Some(to) if to > self.off && (declared_lost || closed) => {
                        Next::Skip { to, why: "never captured" }
                    }
                    // It may still be filled, or bytes after it come.
                    _ => wait,
                }
            }
            _ => Next::Fail,
        }
    }
}

enum Next {
    Over,
    Wait,
    Skip { to: u64, why: &'static str },
    Fail,
}

/// Prints both sides' bytes apart, or as JSON.
struct Follower {
    json: bool,
    printer: Printer,
}

impl Follower {
    fn bytes(&mut self, out: &mut impl Write, side: Side, off: u64, bytes: &[u8]) -> Result<(), Failure> {
        if !self.json {
            self.printer.bytes(out, origin(side), off, bytes)?;
        } else if !bytes.is_empty() {
            let line =
                json!({ "side": side, "off": off, "len": bytes.len(), "data": STANDARD.encode(bytes) });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn missing(
        &mut self,
        out: &mut impl Write,
        side: Side,
        off: u64,
        to: u64,
        why: &str,
    ) -> Result<(), Failure> {
        if self.json {
            let line = json!({ "side": side, "off": off, "missing": to - off, "reason": why });
            writeln!(out, "{line}")?;
            return Ok(());
        }
        let what = format!("{} bytes missing at offset {off}, {why}", to - off);
        if !self.printer.note(out, origin(side), &what)? {
            say(&format_args!("{side}: {what}"));
        }
        Ok(())
    }
}

fn origin(side: Side) -> Origin<'static> {
    Origin { sockid: 0, client: "client", server: "server", side }
}
