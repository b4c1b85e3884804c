//! `ppeek`.

use std::io::Write;

use monitor_client::types::{Encoding, Ppeek, PpeekParams};
use monitor_client::{Code, Error, Method, Reason};

use crate::Context;
use crate::args::PpeekArgs;
use crate::failure::Failure;
use crate::format::{Format, LINE};

/// Asked for at once when everything that follows is wanted. Whole lines of a hex dump.
const CHUNK: u64 = 1 << 20;
const _: () = assert!(CHUNK.is_multiple_of(LINE as u64));

pub fn ppeek<W: Write>(context: &mut Context<W>, args: &PpeekArgs) -> Result<(), Failure> {
    if context.json {
        return json(context, args);
    }
    let format = Format::choose(args.format, Format::Hex);
    let Some(len) = args.len else { return to_the_end(context, args, format) };
    let read = context.client.ppeek(args.sockid, args.side, args.off, len)?;
    format.print(&mut context.out, args.off, &read.bytes)?;
    Ok(())
}

fn json<W: Write>(context: &mut Context<W>, args: &PpeekArgs) -> Result<(), Failure> {
    let params = PpeekParams {
        sockid: args.sockid,
        side: args.side,
        off: args.off,
        len: args.len.unwrap_or(monitor_client::MAX_LEN),
        encoding: Encoding::Base64,
        worker: None,
    };
    let reply: Ppeek = context.client.call(Method::Ppeek, &params)?;
    serde_json::to_writer(&mut context.out, &reply)?;
    writeln!(context.out)?;
    Ok(())
}

/// Reads on until there is no next byte. Only nothing at all is a failure.
fn to_the_end<W: Write>(context: &mut Context<W>, args: &PpeekArgs, format: Format) -> Result<(), Failure> {
    let mut off = args.off;
    let mut bytes = Vec::new();
    loop {
        match context.client.ppeek_into(args.sockid, args.side, off, CHUNK, &mut bytes) {
            Ok(head) => {
                format.print(&mut context.out, off, &bytes)?;
                off += head.len;
                if head.eof || head.len == 0 {
                    return Ok(());
                }
            }
            Err(Error::Rpc(error)) if off > args.off && error.known_code() == Some(Code::NoData) => {
                if error.reason() != Some(Reason::Future) {
                    context.out.flush()?;
                    eprintln!("monitorctl: stopped: {error}");
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}
