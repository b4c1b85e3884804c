//! `follow`: connections' bytes as they come.

mod print;

use std::collections::HashMap;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_client::types::{
    Encoding, EventKind, EventParams, FollowParams, Listening, Socket, SocketsParams,
    SubscribeParams,
};
use monitor_client::{Error, Event, Method, Side};

use crate::args::FormatArgs;
use crate::failure::Failure;
use crate::show::format::Format;
use crate::sockets::pages;
use crate::{Context, say};
use print::{Origin, Printer};

/// What to follow.
///
/// One connection: from its start, until it is over. With --filter: connections that are there from now on, those that
/// come from their start, until this is interrupted. What is missing is said, never skipped silently.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub struct Args {
    /// As `sockets` lists it
    #[arg(group = "which")]
    sockid: Option<u64>,
    /// Whose received bytes; both sides when not given
    #[arg(conflicts_with = "filter")]
    side: Option<Side>,
    /// All connections that this filter wants, in the words of tcpdump; '' wants every one
    #[arg(long, value_name = "FILTER", group = "which")]
    filter: Option<String>,
    /// Where to start in the stream
    #[arg(
        long,
        value_name = "OFFSET",
        default_value = "0",
        conflicts_with = "filter"
    )]
    off: u64,
    #[command(flatten)]
    format: FormatArgs,
}

pub fn follow<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let many = args.filter.is_some();
    // Bytes of several connections as they are could not be told apart.
    let format = match Format::choose(args.format, Format::Text) {
        Format::Raw if many && !args.format.raw => Format::Text,
        format => format,
    };
    let printer = Printer::new(format, args.side.is_none(), context.palette);
    let mut follower = Follower {
        printer,
        streams: HashMap::new(),
    };
    match (args.sockid, &args.filter) {
        (Some(sockid), _) => {
            follower.start(context, sockid, args.side, Some(args.off), None)?;
        }
        (None, filter) => follower.all(context, filter.clone())?,
    }
    while many || !follower.streams.is_empty() {
        let event = context.event()?;
        follower.take(context, &event)?;
    }
    Ok(())
}

/// What is followed.
struct Follower {
    printer: Printer,
    /// By listener.
    streams: HashMap<u64, Stream>,
}

/// What a listener follows.
struct Stream {
    sockid: u64,
    /// When there may be several connections.
    ends: Option<(String, String)>,
    /// Sides that are not over.
    open: u32,
}

impl Follower {
    /// Follows those that there are, and hears of those to come.
    fn all<W: Write>(
        &mut self,
        context: &mut Context<W>,
        filter: Option<String>,
    ) -> Result<(), Failure> {
        let opened = SubscribeParams {
            events: Some(vec![EventKind::Opened]),
            filter: filter.clone(),
            ..SubscribeParams::default()
        };
        // Before they are listed: none is missed between.
        let _: Listening = context.client.call(Method::Subscribe, &opened)?;
        let mut sockets: Vec<Socket> = Vec::new();
        let params = SocketsParams {
            filter,
            closed: Some(false),
            ..SocketsParams::default()
        };
        pages(&mut context.client, params, u64::MAX, |page| {
            sockets.append(page);
            Ok(())
        })?;
        for socket in sockets {
            let ends = (socket.client.to_string(), socket.server.to_string());
            for side in Side::BOTH {
                let off = Some(socket.sides.get(side).next);
                self.start_or_say(context, socket.sockid, Some(side), off, ends.clone())?;
            }
        }
        Ok(())
    }

    fn start<W: Write>(
        &mut self,
        context: &mut Context<W>,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
        ends: Option<(String, String)>,
    ) -> Result<(), Failure> {
        let encoding = if context.json {
            Encoding::Base64
        } else {
            Encoding::Raw
        };
        let params = FollowParams {
            sockid,
            side,
            off,
            encoding,
        };
        let listening: Listening = context.client.call(Method::Follow, &params)?;
        let open = if side.is_none() { 2 } else { 1 };
        self.streams
            .insert(listening.sockid, Stream { sockid, ends, open });
        Ok(())
    }

    /// One of many: that it cannot be followed (it is gone again, there are too many) must not end the others.
    fn start_or_say<W: Write>(
        &mut self,
        context: &mut Context<W>,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
        ends: (String, String),
    ) -> Result<(), Failure> {
        match self.start(context, sockid, side, off, Some(ends)) {
            Err(Failure::Client(Error::Rpc(error))) => {
                say(&format_args!("{sockid} is not followed: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    fn take<W: Write>(&mut self, context: &mut Context<W>, event: &Event) -> Result<(), Failure> {
        let told: EventParams = event.read()?;
        if told.event == "opened" {
            if let (Some(sockid), Some(client), Some(server)) = (told.sockid, told.client, told.server)
                // Opened while the others were listed, it is followed already.
                && !self.streams.values().any(|stream| stream.sockid == sockid)
            {
                self.start_or_say(
                    context,
                    sockid,
                    None,
                    Some(0),
                    (client.to_string(), server.to_string()),
                )?;
            }
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&told.listener) else {
            return Ok(());
        };
        let ends = stream.ends.clone();
        if told.event == "end" {
            stream.open = stream.open.saturating_sub(1);
            if stream.open == 0 {
                self.streams.remove(&told.listener);
            }
        }
        if context.json {
            writeln!(context.out, "{}", event.params)?;
            return Ok(());
        }
        let Some(side) = told.side else { return Ok(()) };
        let (client, server) = ends
            .as_ref()
            .map_or(("client", "server"), |(client, server)| {
                (client.as_str(), server.as_str())
            });
        let origin = Origin {
            sockid: told.sockid.unwrap_or(0),
            client,
            server,
            side,
        };
        self.print(&mut context.out, origin, &told, &event.bytes)
    }

    fn print(
        &mut self,
        out: &mut impl Write,
        origin: Origin<'_>,
        told: &EventParams,
        raw: &[u8],
    ) -> Result<(), Failure> {
        let (off, len) = (told.off.unwrap_or(0), told.len.unwrap_or(0));
        let what = match (told.event.as_ref(), &told.data) {
            ("data", Some(data)) => {
                let bytes = STANDARD.decode(data).unwrap_or_default();
                return Ok(self.printer.bytes(out, origin, off, &bytes)?);
            }
            ("data", None) => return Ok(self.printer.bytes(out, origin, off, raw)?),
            ("gap", _) => format!("{len} bytes missing at offset {off}, never captured"),
            ("lost", _) => {
                format!("{len} bytes missing at offset {off}, evicted before they were read")
            }
            ("end", _) => return self.end(out, origin, told.reason.as_deref().unwrap_or("closed")),
            _ => return Ok(()),
        };
        if !self.printer.note(out, origin, &what)? {
            out.flush()?;
            say(&format_args!("{}: {what}", origin.side));
        }
        Ok(())
    }

    /// An end in order is worth a line among many connections only.
    fn end(
        &mut self,
        out: &mut impl Write,
        origin: Origin<'_>,
        reason: &str,
    ) -> Result<(), Failure> {
        let is_one_of_many = origin.client != "client";
        match reason {
            "eof" | "closed" if is_one_of_many => {
                self.printer.note(out, origin, &format!("end ({reason})"))?;
            }
            "eof" | "closed" => {}
            _ => {
                out.flush()?;
                say(&format_args!(
                    "{}: its bytes cannot be read any more ({reason})",
                    origin.side
                ));
            }
        }
        Ok(())
    }
}
