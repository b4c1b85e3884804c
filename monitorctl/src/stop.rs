//! `stop`.

use std::io::Write;

use monitor_client::Side;

use crate::Context;
use crate::failure::Failure;
use crate::show;

/// What nobody wants to see more of.
///
/// Without a side the connection is closed here (not between its ends), its packets are left alone, and what was read
/// stays readable for a while. With a side, no more bytes of it are kept; the connection goes on. There is no way back.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `sockets` lists it
    sockid: u64,
    /// This side alone
    side: Option<Side>,
}

pub fn stop<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let socket = context.client.stop(args.sockid, args.side)?;
    if context.json {
        context.json(&socket)
    } else {
        show::socket::print(&mut context.out, &socket)
    }
}
