//! The verb `wait`.

use std::io::Write;

use monitor_client::types::{WaitParams, Waited};
use monitor_client::{Method, Side};

use crate::context::Context;
use crate::failure::Failure;
use crate::values::seconds;

/// The byte and the timeout.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Connection, as listed by `sockets`
    sockid: u64,
    /// Receiving side: `server` holds the bytes that the client sent
    side: Side,
    /// Distance from the first payload byte
    off: u64,
    /// Timeout, at most an hour: 2, 500ms, 10m; 0 checks once
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "30")]
    timeout: f64,
}

pub fn wait<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let Args {
        sockid,
        side,
        off,
        timeout,
    } = *args;
    let params = WaitParams {
        sockid,
        side,
        off,
        timeout: Some(timeout),
    };
    let waited: Waited = context.client.call(Method::Wait, &params)?;
    if context.json {
        return context.json(&waited);
    }
    writeln!(
        context.out,
        "{} bytes are available from offset {} on",
        waited.available, waited.off
    )?;
    Ok(())
}
