//! State shared by the verbs: the connection to the daemon and the output.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use monitor_client::{Client, Error, Notification};
use serde::Serialize;

use crate::failure::Failure;
use crate::show::colour::Palette;

/// Connection, output and output settings of a verb.
pub struct Context<W: Write> {
    pub client: Client,
    pub json: bool,
    pub palette: Palette,
    pub out: W,
}

impl<W: Write> Context<W> {
    /// Prints a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, value)?;
        writeln!(self.out)?;
        Ok(())
    }

    /// Waits for the next event. The output is flushed before it waits.
    pub fn event(&mut self) -> Result<Notification, Failure> {
        if !self.client.has_event() {
            self.out.flush()?;
        }
        Ok(self.client.event()?)
    }
}

/// Connects, and sends the program's name and version.
pub fn connect(socket: &Path) -> Result<Client, Error> {
    let mut client = Client::connect(socket)?;
    client.hello(concat!("monitorctl ", env!("CARGO_PKG_VERSION")))?;
    Ok(client)
}

/// Prints a message on standard error. A closed standard error is ignored.
pub fn report(message: &impl Display) {
    let _ = writeln!(std::io::stderr(), "monitorctl: {message}");
}
