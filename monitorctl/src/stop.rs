//! The verb `stop`.

use std::io::Write;

use monitor_client::Side;

use crate::context::Context;
use crate::failure::Failure;
use crate::show;

/// The connection or side to stop.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connection, as listed by `sockets`
    sockid: u64,
    /// Only this side
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
