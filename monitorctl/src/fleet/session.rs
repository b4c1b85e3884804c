//! Connection and output of a command, and the parts of answers that all commands share.

use std::future::Future;
use std::io::{BufWriter, StdoutLock, Write as _};

use monitor_client::Error;
use monitor_relay::fleet::client::{Answer, AskError, Fleet};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::report;
use crate::failure::Failure;

/// Connection and output of a command.
pub(super) struct Session<'a> {
    pub(super) fleet: Fleet,
    pub(super) json: bool,
    pub(super) out: BufWriter<StdoutLock<'a>>,
}

impl Session<'_> {
    /// Prints a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, value)?;
        writeln!(self.out)?;
        Ok(())
    }
}

/// Returns the result of an answer, with its bytes.
pub(super) async fn result<T: DeserializeOwned>(
    asked: impl Future<Output = Result<Answer, AskError>>,
) -> Result<(T, Vec<u8>), Failure> {
    let answer = asked.await?;
    let value = answer
        .result
        .map_err(|error| Failure::Client(Error::Rpc(error)))?;
    Ok((serde_json::from_value(value)?, answer.bytes))
}

/// Names a host with an answer that cannot be used, or without one. The other hosts count all the same.
///
/// # Errors
/// Any other failure, such as that of the connection to the server.
pub(super) fn report_host(host: &str, failure: Failure) -> Result<(), Failure> {
    match failure {
        Failure::Fleet(AskError::Silent(_)) => report_silent(&[host.to_owned()]),
        Failure::Fleet(AskError::Reply(_)) | Failure::Json(_) => {
            report(&AskError::Reply(host.to_owned()));
        }
        Failure::Client(Error::Rpc(_)) => report(&format_args!("{host}: {}", failure.message())),
        failure => return Err(failure),
    }
    Ok(())
}

/// Names the hosts that didn't answer.
pub(super) fn report_silent(silent: &[String]) {
    for host in silent {
        report(&format_args!("{host} did not answer"));
    }
}
