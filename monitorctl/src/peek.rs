//! The verb `peek`.

use std::io::Write;

use monitor_client::types::Base64;
use monitor_client::{Code, Error, Peek, Reason, Side};

use crate::context::{Context, report};
use crate::failure::Failure;
use crate::show::format::{Format, LINE};
use crate::values::FormatArgs;

/// Bytes per request, a multiple of a hex dump's line.
const CHUNK: u64 = 1 << 20;
const _: () = assert!(CHUNK.is_multiple_of(LINE as u64));

/// The bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connection, as listed by `sockets`
    sockid: u64,
    /// Receiving side: `server` holds the bytes that the client sent
    side: Side,
    /// Maximum number of bytes; by default all that were received
    len: Option<u64>,
    #[command(flatten)]
    format: FormatArgs,
}

pub fn peek<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let format = Format::choose(args.format, Format::Hex);
    let mut left = args.len.unwrap_or(u64::MAX);
    let mut any = false;
    while left > 0 {
        match step(context, args, left.min(CHUNK), format) {
            Ok(head) => {
                left -= head.len.min(left);
                if head.eof {
                    return Ok(());
                }
            }
            // No data is a failure only if nothing was printed.
            Err(Failure::Client(Error::Rpc(error)))
                if any && error.known_code() == Some(Code::NoData) =>
            {
                if error.reason() == Some(Reason::Gap) {
                    context.out.flush()?;
                    report(&format_args!("stopped: {error}"));
                }
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        any = true;
    }
    Ok(())
}

/// Requests and prints one chunk.
fn step<W: Write>(
    context: &mut Context<W>,
    args: &Args,
    len: u64,
    format: Format,
) -> Result<Peek, Failure> {
    if context.json {
        let peeked = context.client.peek(args.sockid, args.side, len)?;
        let head = Peek {
            data: Some(Base64(peeked.bytes)),
            ..peeked.head
        };
        context.json(&head)?;
        return Ok(head);
    }
    let peeked = context.client.peek(args.sockid, args.side, len)?;
    let head = peeked.head;
    if head.lost > 0 {
        missing(
            context,
            head.off - head.lost.min(head.off),
            head.lost,
            "evicted before they were read",
        )?;
    }
    format.print(&mut context.out, head.off, &peeked.bytes)?;
    if let Some(gap) = head.gap {
        missing(context, gap.off, gap.len, "never captured")?;
    }
    Ok(head)
}

fn missing<W: Write>(
    context: &mut Context<W>,
    off: u64,
    len: u64,
    why: &str,
) -> Result<(), Failure> {
    context.out.flush()?;
    report(&format_args!("{len} bytes missing at offset {off}, {why}"));
    Ok(())
}
