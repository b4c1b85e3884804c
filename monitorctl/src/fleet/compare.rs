//! The command `compare`: the bytes of one connection as several hosts have captured them.
//!
//! Captures of one connection have the same Community ID and overlap in time. Their streams are read in parallel and compared
//! where both hosts still have the bytes.

use std::io::Write as _;

use monitor_client::types::SideStats;
use monitor_client::{Error, Next, Side};
use monitor_records::community_id;

use super::list::{Named, each};
use super::read::{self, bytes};
use super::session::Session;
use crate::failure::Failure;

/// Bytes per request.
const CHUNK: u64 = 256 << 10;
/// Difference of the hosts' clocks that is allowed, in seconds.
const SKEW: f64 = 5.0;

/// The connection.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Community ID of the connection, as listed by `sockets`
    community_id: String,
}

/// Result for one side.
#[derive(Debug, Default, PartialEq)]
struct Comparison {
    /// Number of equal bytes.
    equal: u64,
    /// Number of bytes that a host lacks.
    skipped: u64,
    /// Offset of the first difference.
    differs: Option<u64>,
}

pub(super) async fn compare(session: &mut Session<'_>, args: &Args) -> Result<(), Failure> {
    let mut listed = each(session).await?;
    listed.retain(|Named { socket, .. }| {
        community_id(0, socket.client, socket.server) == args.community_id
    });
    let captures = newest(listed);
    let [first, others @ ..] = captures.as_slice() else {
        return Err(Failure::Usage(
            "no host has this connection: `sockets` lists Community IDs",
        ));
    };
    if others.is_empty() {
        return Err(Failure::Usage(
            "one host alone has this connection; nothing to compare",
        ));
    }
    let mut different = false;
    for other in others {
        for side in Side::BOTH {
            let found = compare_side(session, [first, other], side).await?;
            different |= found.differs.is_some();
            print(session, [first, other], side, &found)?;
        }
    }
    session.out.flush()?;
    if different {
        Err(Failure::Different)
    } else {
        Ok(())
    }
}

/// Returns the newest capture, and those of other hosts that overlap with it in time, one for each host.
fn newest(mut listed: Vec<Named>) -> Vec<Named> {
    listed.sort_by(|one, other| other.socket.opened.total_cmp(&one.socket.opened));
    let mut captures: Vec<Named> = Vec::new();
    for named in listed {
        let overlaps = captures.first().is_none_or(|first| {
            named.socket.last + SKEW >= first.socket.opened
                && first.socket.last + SKEW >= named.socket.opened
        });
        if overlaps
            && captures
                .iter()
                .all(|known| known.name.host != named.name.host)
        {
            captures.push(named);
        }
    }
    captures.sort_by(|one, other| one.name.host.cmp(&other.name.host));
    captures
}

async fn compare_side(
    session: &Session<'_>,
    captures: [&Named; 2],
    side: Side,
) -> Result<Comparison, Failure> {
    let of = captures.map(|named| read::Side::new(named.name.clone(), side));
    let states: [&SideStats; 2] = captures.map(|named| named.socket.sides.get(side));
    let mut off = states[0].base.max(states[1].base);
    let end = states[0].end.min(states[1].end);
    let mut found = Comparison {
        skipped: off,
        ..Comparison::default()
    };
    while off < end {
        let len = CHUNK.min(end - off);
        let (one, other) = tokio::join!(
            bytes(session, &of[0], off, len),
            bytes(session, &of[1], off, len)
        );
        let ((one, left), (other, right)) = (one?, other?);
        let mut next = off;
        for reply in [&one, &other] {
            let state = Next::from_reply(off, reply.as_ref().map_err(Clone::clone));
            match state.map_err(|error| Failure::Client(Error::Rpc(error)))? {
                Next::Bytes { .. } => {}
                Next::Lost { to } | Next::Gap { to } | Next::Pending { beyond: Some(to) } => {
                    next = next.max(to);
                }
                Next::Pending { beyond: None } | Next::Eof | Next::Disabled | Next::Gone => {
                    next = end;
                }
            }
        }
        if next > off {
            found.skipped += next.min(end) - off;
            off = next;
            continue;
        }
        let common = left.len().min(right.len());
        if common == 0 {
            break;
        }
        if let Some(at) = (0..common).find(|&at| left[at] != right[at]) {
            found.equal += at as u64;
            found.differs = Some(off + at as u64);
            break;
        }
        found.equal += common as u64;
        off += common as u64;
    }
    Ok(found)
}

fn print(
    session: &mut Session<'_>,
    captures: [&Named; 2],
    side: Side,
    found: &Comparison,
) -> Result<(), Failure> {
    let names = captures.map(|named| named.name.to_string());
    if session.json {
        return session.json(&serde_json::json!({
            "captures": names, "side": side, "equal": found.equal, "skipped": found.skipped,
            "differs": found.differs,
        }));
    }
    let [one, other] = names;
    write!(session.out, "{one} and {other}, {} side: ", side.name())?;
    match found.differs {
        Some(off) => write!(session.out, "the bytes differ at offset {off}")?,
        None => write!(session.out, "{} bytes are equal", found.equal)?,
    }
    if found.skipped > 0 {
        write!(
            session.out,
            "; {} bytes are not retained by both",
            found.skipped
        )?;
    }
    for (named, other) in [(captures[0], captures[1]), (captures[1], captures[0])] {
        let ends = [named, other].map(|named| named.socket.sides.get(side).end);
        if ends[0] > ends[1] {
            write!(
                session.out,
                "; {} has {} bytes more",
                named.name.host,
                ends[0] - ends[1]
            )?;
        }
        if named.socket.midstream {
            write!(
                session.out,
                "; {} did not capture the start: offsets may differ",
                named.name.host
            )?;
        }
    }
    writeln!(session.out)?;
    Ok(())
}
