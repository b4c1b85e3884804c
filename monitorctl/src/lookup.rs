//! The verb `lookup`.

use std::io::Write;
use std::net::SocketAddr;

use monitor_client::types::LookupParams;

use crate::context::Context;
use crate::failure::Failure;
use crate::show;

/// The two ends.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port of the client, 10.0.0.1:1234 or [2001:db8::1]:1234
    client: SocketAddr,
    /// Address and port of the server
    server: SocketAddr,
    /// VLAN ids, outermost first; by default any
    #[arg(long, value_delimiter = ',', value_name = "ID,...")]
    vlan: Option<Vec<u16>>,
}

pub fn lookup<W: Write>(context: &mut Context<W>, args: Args) -> Result<(), Failure> {
    let params = LookupParams {
        client: args.client,
        server: args.server,
        vlan: args.vlan,
    };
    let socket = context.client.lookup(&params)?;
    if context.json {
        context.json(&socket)
    } else {
        show::socket::print(&mut context.out, &socket)
    }
}
