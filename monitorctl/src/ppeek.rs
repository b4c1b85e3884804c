//! `ppeek`.

use std::io::Write;

use monitor_client::types::{Encoding, Ppeek, PpeekParams};
use monitor_client::{Code, Error, Method, Reason, Side};

use crate::args::FormatArgs;
use crate::failure::Failure;
use crate::show::format::{Format, LINE};
use crate::{Context, say};

/// Which bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `sockets` lists it
    sockid: u64,
    /// Whose received bytes: `server` holds what the client sent
    side: Side,
    /// Distance from the first payload byte
    off: u64,
    /// Most bytes; without it, all that follow without a hole
    len: Option<u64>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Asked for at once when everything that follows is wanted. Whole lines of a hex dump.
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

/// Reads on until there is no next byte. Only nothing at all is a failure.
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
                    say(&format_args!("stopped: {error}"));
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}
