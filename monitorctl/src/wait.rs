//! `wait`.

use std::io::Write;

use monitor_client::types::{WaitParams, Waited};
use monitor_client::{Method, Side};

use crate::Context;
use crate::args::seconds;
use crate::failure::Failure;

/// For which byte, and how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `sockets` lists it
    sockid: u64,
    /// Whose received bytes: `server` holds what the client sent
    side: Side,
    /// Distance from the first payload byte
    off: u64,
    /// No longer than this, up to an hour: 2, 500ms, 10m; 0 looks once
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
        "{} bytes are there from offset {} on",
        waited.available, waited.off
    )?;
    Ok(())
}
