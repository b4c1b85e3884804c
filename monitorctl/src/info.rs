//! The verb `info`.

use std::io::Write;

use crate::context::Context;
use crate::failure::Failure;
use crate::show;

/// The connection.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connection, as listed by `sockets`
    sockid: u64,
}

pub fn info<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let socket = context.client.info(args.sockid)?;
    if context.json {
        context.json(&socket)
    } else {
        show::socket::print(&mut context.out, &socket)
    }
}
