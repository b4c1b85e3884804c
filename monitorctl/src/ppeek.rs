//! The verb `ppeek`.

use std::io::Write;

use monitor_client::types::{Encoding, Ppeek, PpeekParams};
use monitor_client::{Code, Error, Method, Reason, Side};

use crate::context::{Context, report};
use crate::failure::Failure;
use crate::show::format::{Format, LINE};
use crate::values::FormatArgs;

/// The bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connection, as listed by `sockets`
    sockid: u64,
    /// Receiving side: `server` holds the bytes that the client sent
    side: Side,
    /// Distance from the first payload byte
    off: u64,
    /// Maximum number of bytes; by default all up to the next hole
    len: Option<u64>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Bytes per request when no length is given, a multiple of a hex dump's line.
const CHUNK: u64 = 1 << 20;
const _: () = assert!(CHUNK.is_multiple_of(LINE as u64));

pub fn ppeek<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    if context.json {
        return json(context, args);
    }
    let format = Format::choose(args.format, Format::Hex);
    let Some(len) = args.len else {
        return to_the_end(context, args, format);
    };
    let read = context
        .client
        .ppeek(args.sockid, args.side, args.off, len)?;
    format.print(&mut context.out, args.off, &read.bytes)?;
    Ok(())
}

fn json<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let params = PpeekParams {
        sockid: args.sockid,
        side: args.side,
        off: args.off,
        len: args.len.unwrap_or(monitor_client::MAX_LEN),
        encoding: Encoding::Base64,
        worker: None,
    };
    let reply: Ppeek = context.client.call(Method::Ppeek, &params)?;
    context.json(&reply)
}

/// Reads up to the next hole or the end. No data is a failure only at the first read.
fn to_the_end<W: Write>(
    context: &mut Context<W>,
    args: &Args,
    format: Format,
) -> Result<(), Failure> {
    let mut off = args.off;
    let mut bytes = Vec::new();
    loop {
        match context
            .client
            .ppeek_into(args.sockid, args.side, off, CHUNK, &mut bytes)
        {
            Ok(head) => {
                format.print(&mut context.out, off, &bytes)?;
                off += head.len;
                if head.eof || head.len == 0 {
                    return Ok(());
                }
            }
            Err(Error::Rpc(error))
                if off > args.off && error.known_code() == Some(Code::NoData) =>
            {
                if error.reason() != Some(Reason::Future) {
                    context.out.flush()?;
                    report(&format_args!("stopped: {error}"));
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}
