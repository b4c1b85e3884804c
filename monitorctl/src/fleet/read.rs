//! The commands `info`, `fragments`, `ppeek`, `follow` and `call`.

use std::io::Write as _;

use monitor_client::types::{Fragments, Ppeek as Head, Socket};
use monitor_client::{Code, Error, ErrorObject, Next};
use monitor_relay::fleet::subjects::ConnectionName;
use serde_json::{Map, Value, json};

use super::session::{Session, result};
use crate::call::parameter;
use crate::context::report;
use crate::failure::Failure;
use crate::show;
use crate::show::format::Format;
use crate::values::FormatArgs;

/// Bytes per request when no length is given. A message of the server holds 1 MiB by default.
const CHUNK: u64 = 512 << 10;

/// Name of a connection.
#[derive(Debug, clap::Args)]
pub(super) struct Connection {
    /// Connection, HOST/INSTANCE/SOCKID as listed by `sockets`
    connection: ConnectionName,
}

/// Name of a side.
#[derive(Debug, clap::Args)]
pub(super) struct Side {
    /// Connection, HOST/INSTANCE/SOCKID as listed by `sockets`
    connection: ConnectionName,
    /// Receiving side: `server` holds the bytes that the client sent
    side: monitor_client::Side,
}

/// The bytes.
#[derive(Debug, clap::Args)]
pub(super) struct Ppeek {
    #[command(flatten)]
    of: Side,
    /// Distance from the first payload byte
    off: u64,
    /// Maximum number of bytes; by default all up to the next hole
    len: Option<u64>,
    #[command(flatten)]
    format: FormatArgs,
}

/// The bytes to come.
#[derive(Debug, clap::Args)]
pub(super) struct Follow {
    #[command(flatten)]
    of: Side,
    /// Offset of the first byte
    #[arg(long, default_value = "0")]
    off: u64,
    #[command(flatten)]
    format: FormatArgs,
}

/// Host, method and parameters.
#[derive(Debug, clap::Args)]
pub(super) struct Call {
    /// Name of the host
    host: String,
    /// Name of the method in docs/rpc.md
    method: String,
    /// Parameters, NAME=VALUE; a value that isn't JSON is a string
    #[arg(value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, Value)>,
}

pub(super) async fn info(session: &mut Session<'_>, args: &Connection) -> Result<(), Failure> {
    let name = &args.connection;
    let params = json!({ "sockid": name.sockid });
    let asked = session
        .fleet
        .call(&name.host, Some(name.instance), "info", &params);
    let (socket, _): (Socket, _) = result(asked).await?;
    if session.json {
        return session.json(&socket);
    }
    writeln!(session.out, "host       {}", name.host)?;
    show::socket::print(&mut session.out, &socket)
}

pub(super) async fn fragments(session: &mut Session<'_>, args: &Side) -> Result<(), Failure> {
    let name = &args.connection;
    let params = json!({ "sockid": name.sockid, "side": args.side });
    let asked = session
        .fleet
        .call(&name.host, Some(name.instance), "fragments", &params);
    let (fragments, _): (Fragments, _) = result(asked).await?;
    if session.json {
        return session.json(&fragments);
    }
    crate::fragments::table(&fragments).print(&mut session.out)?;
    Ok(())
}

pub(super) async fn ppeek(session: &mut Session<'_>, args: &Ppeek) -> Result<(), Failure> {
    let format = Format::choose(args.format, Format::Hex);
    let mut left = args.len.unwrap_or(u64::MAX);
    let mut off = args.off;
    loop {
        let (read, bytes) = bytes(session, &args.of, off, left.min(CHUNK)).await?;
        let head = match read {
            Ok(head) => head,
            // No data is a failure only at the first read.
            Err(error) if off > args.off && error.known_code() == Some(Code::NoData) => {
                return Ok(());
            }
            Err(error) => return Err(Failure::Client(Error::Rpc(error))),
        };
        format.print(&mut session.out, off, &bytes)?;
        off += head.len;
        left -= head.len;
        if head.eof || head.len == 0 || left == 0 {
            return Ok(());
        }
    }
}

/// Reads at an offset, as much as a message holds. Errors of the daemon are in the result.
pub(super) async fn bytes(
    session: &Session<'_>,
    of: &Side,
    off: u64,
    len: u64,
) -> Result<(Result<Head, ErrorObject>, Vec<u8>), Failure> {
    let name = &of.connection;
    let params = json!({ "sockid": name.sockid, "side": of.side, "off": off, "len": len });
    let asked = session
        .fleet
        .call(&name.host, Some(name.instance), "ppeek", &params);
    let answer = asked.await?;
    match answer.result {
        Ok(head) => Ok((Ok(serde_json::from_value(head)?), answer.bytes)),
        Err(error) => Ok((Err(error), Vec::new())),
    }
}

/// Reads at the pace of the output: the next bytes are requested when the previous ones are written.
pub(super) async fn follow(session: &mut Session<'_>, args: &Follow) -> Result<(), Failure> {
    let format = Format::choose(args.format, Format::Text);
    let mut off = args.off;
    loop {
        let (read, bytes) = bytes(session, &args.of, off, CHUNK).await?;
        let next = Next::from_reply(off, read.as_ref().map_err(Clone::clone));
        match next.map_err(|error| Failure::Client(Error::Rpc(error)))? {
            Next::Bytes { len, eof } => {
                format.print(&mut session.out, off, &bytes)?;
                session.out.flush()?;
                off += len;
                if eof {
                    return Ok(());
                }
            }
            Next::Lost { to } | Next::Gap { to } => {
                report(&format_args!("{} bytes missing at offset {off}", to - off));
                off = to;
            }
            Next::Pending { .. } => {
                if !wait(session, &args.of, off).await? {
                    return Ok(());
                }
            }
            Next::Eof => return Ok(()),
            Next::Disabled | Next::Gone => {
                return match read {
                    Err(error) => Err(Failure::Client(Error::Rpc(error))),
                    Ok(_) => Ok(()),
                };
            }
        }
    }
}

/// Waits for a byte; returns false if it can no longer arrive.
async fn wait(session: &Session<'_>, of: &Side, off: u64) -> Result<bool, Failure> {
    let name = &of.connection;
    let params = json!({ "sockid": name.sockid, "side": of.side, "off": off, "timeout": 20 });
    let asked = session
        .fleet
        .call(&name.host, Some(name.instance), "wait", &params);
    match asked.await?.result {
        Ok(_) => Ok(true),
        Err(error) => match error.known_code() {
            Some(Code::TimedOut) => Ok(true),
            // A hole that was declared lost, or evicted bytes: the next read says how to continue.
            Some(Code::NoData) => Ok(error.reason() != Some(monitor_client::Reason::Closed)),
            _ => Err(Failure::Client(Error::Rpc(error))),
        },
    }
}

pub(super) async fn call(session: &mut Session<'_>, args: &Call) -> Result<(), Failure> {
    let params: Map<String, Value> = args.params.iter().cloned().collect();
    let params = Value::Object(params);
    let asked = session.fleet.call(&args.host, None, &args.method, &params);
    let (value, _): (Value, _) = result(asked).await?;
    session.json(&value)
}

impl Side {
    pub(super) fn new(connection: ConnectionName, side: monitor_client::Side) -> Self {
        Self { connection, side }
    }
}
