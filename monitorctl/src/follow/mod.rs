//! The verb `follow`: bytes of connections as they arrive.

mod print;

use std::collections::HashMap;
use std::io::Write;

use monitor_client::types::{
    Encoding, EventKind, FollowParams, Listening, SocketsParams, SubscribeParams,
};
use monitor_client::{Error, EventBody, Method, Notification, Side};

use crate::context::{Context, report};
use crate::failure::Failure;
use crate::pages;
use crate::show::format::Format;
use crate::values::FormatArgs;
use print::{Headings, Origin, Printer};

/// Followed connections.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
pub struct Args {
    /// Connection, as listed by `sockets`
    #[arg(group = "target")]
    sockid: Option<u64>,
    /// Receiving side; both by default
    #[arg(conflicts_with = "filter")]
    side: Option<Side>,
    /// All connections that match this filter, in the language of tcpdump; '' matches all
    #[arg(long, value_name = "FILTER", group = "target")]
    filter: Option<String>,
    /// Offset of the first byte
    #[arg(
        long,
        value_name = "OFFSET",
        default_value = "0",
        conflicts_with = "filter"
    )]
    off: u64,
    /// Show the time of each piece, in UTC; the bytes are printed as text or as a hex dump
    #[arg(long, conflicts_with = "raw")]
    time: bool,
    #[command(flatten)]
    format: FormatArgs,
}

pub fn follow<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let many = args.filter.is_some();
    // Raw bytes of several connections could not be distinguished, nor times from bytes.
    let format = match Format::choose(args.format, Format::Text) {
        Format::Raw if (many || args.time) && !args.format.raw => Format::Text,
        format => format,
    };
    let headings = match (args.time, args.side) {
        (true, _) => Headings::Timed,
        (false, None) => Headings::Streams,
        (false, Some(_)) => Headings::None,
    };
    let printer = Printer::new(format, headings, context.palette);
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
        follower.on_event(context, &event)?;
    }
    Ok(())
}

/// The followed streams.
struct Follower {
    printer: Printer,
    /// By listener.
    streams: HashMap<u64, Stream>,
}

/// The stream of one listener.
struct Stream {
    sockid: u64,
    /// Set when several connections are followed.
    ends: Option<(String, String)>,
    /// Number of sides that have not ended.
    open: u32,
}

impl Follower {
    /// Follows open connections, and subscribes to new ones.
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
        // Before the list is read: no connection is missed in between.
        let _: Listening = context.client.call(Method::Subscribe, &opened)?;
        let params = SocketsParams {
            filter,
            closed: Some(false),
            ..SocketsParams::default()
        };
        let sockets = pages::all(&mut context.client, params)?;
        for socket in sockets {
            let ends = (socket.client.to_string(), socket.server.to_string());
            for side in Side::BOTH {
                let off = Some(socket.sides.get(side).next);
                self.start_or_report(context, socket.sockid, Some(side), off, ends.clone())?;
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

    /// Follows one of several connections. A refusal (it is gone, or a limit is reached) must not end the others.
    fn start_or_report<W: Write>(
        &mut self,
        context: &mut Context<W>,
        sockid: u64,
        side: Option<Side>,
        off: Option<u64>,
        ends: (String, String),
    ) -> Result<(), Failure> {
        match self.start(context, sockid, side, off, Some(ends)) {
            Err(Failure::Client(Error::Rpc(error))) => {
                report(&format_args!("{sockid} is not followed: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    fn on_event<W: Write>(
        &mut self,
        context: &mut Context<W>,
        event: &Notification,
    ) -> Result<(), Failure> {
        if let EventBody::Opened { client, server, .. } = event.body {
            if let Some(sockid) = event.sockid
                // A connection that opened during the listing is followed already.
                && !self.streams.values().any(|stream| stream.sockid == sockid)
            {
                let ends = (client.to_string(), server.to_string());
                self.start_or_report(context, sockid, None, Some(0), ends)?;
            }
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&event.listener) else {
            return Ok(());
        };
        let ends = stream.ends.clone();
        if matches!(event.body, EventBody::End { .. }) {
            stream.open = stream.open.saturating_sub(1);
            if stream.open == 0 {
                self.streams.remove(&event.listener);
            }
        }
        if context.json {
            return context.json(event);
        }
        let Some(side) = event.body.side() else {
            return Ok(());
        };
        let (client, server) = ends
            .as_ref()
            .map_or(("client", "server"), |(client, server)| {
                (client.as_str(), server.as_str())
            });
        let origin = Origin {
            sockid: event.sockid.unwrap_or(0),
            client,
            server,
            side,
        };
        self.print(&mut context.out, origin, event.time, &event.body)
    }

    fn print(
        &mut self,
        out: &mut impl Write,
        origin: Origin<'_>,
        time: Option<f64>,
        body: &EventBody,
    ) -> Result<(), Failure> {
        let (off, len) = body.range().map_or((0, 0), |range| (range.off, range.len));
        let note = match body {
            EventBody::Data { data, .. } => {
                let bytes = data.as_ref().map_or(&[][..], |data| &data.0);
                return Ok(self.printer.bytes(out, origin, off, time, bytes)?);
            }
            EventBody::Gap(_) => format!("{len} bytes missing at offset {off}, never captured"),
            EventBody::Lost { .. } => {
                format!("{len} bytes missing at offset {off}, evicted before they were read")
            }
            EventBody::End { reason, .. } => return self.end(out, origin, reason),
            _ => return Ok(()),
        };
        if !self.printer.note(out, origin, &note)? {
            out.flush()?;
            report(&format_args!("{}: {note}", origin.side));
        }
        Ok(())
    }

    /// Prints a normal end only among several connections.
    fn end(
        &mut self,
        out: &mut impl Write,
        origin: Origin<'_>,
        reason: &str,
    ) -> Result<(), Failure> {
        let is_one_of_several = origin.client != "client";
        match reason {
            "eof" | "closed" if is_one_of_several => {
                self.printer.note(out, origin, &format!("end ({reason})"))?;
            }
            "eof" | "closed" => {}
            _ => {
                out.flush()?;
                report(&format_args!(
                    "{}: its bytes can no longer be read ({reason})",
                    origin.side
                ));
            }
        }
        Ok(())
    }
}
