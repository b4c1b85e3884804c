//! Comparison of the monitor's connections with those of the kernel.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::difference::{Difference, pcap};
use super::kernel::{Application, Ending};
use super::versions::Versions;
use crate::Rpc;

/// Time in which the monitor has decided on a held segment, with a margin for a busy machine.
const DECISION: Duration = Duration::from_millis(2500);

/// End of the connection that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The kernel listens; the script connects.
    Server,
    /// The kernel connects; the script answers.
    Client,
}

impl Role {
    fn side(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// Connection as the kernel and its application saw it.
pub struct Truth {
    pub seed: u64,
    pub role: Role,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub bytes: Vec<u8>,
    pub ending: Ending,
    pub is_open: bool,
    /// The segments show whether the connection is open.
    pub shows_end: bool,
    /// Segments may have had effects that no packet shows.
    pub hides_effects: bool,
    pub versions: Versions,
    /// The kernel has dropped nothing for lack of memory, which no packet shows.
    pub is_complete: bool,
    pub log: Vec<String>,
    pub packets: Vec<Vec<u8>>,
    pub application: Option<Application>,
}

/// Compares the connections of the monitor with those of the kernel, whose scripted ends have addresses of `network`.
///
/// # Panics
/// When too many scripts are undecided for the comparison to mean something.
#[track_caller]
pub fn compare(rpc: &mut Rpc, network: &[String], truths: &[Truth]) -> Vec<Difference> {
    let mut sockets = Vec::new();
    for address in network {
        sockets.extend(rpc.sockets(json!({ "address": address })));
    }
    let mut differences = Vec::new();
    let mut undecided = 0;
    let mut rest = truths;
    while let Some(first) = rest.first() {
        let same = |truth: &&Truth| truth.client == first.client && truth.server == first.server;
        let count = rest.iter().take_while(same).count();
        let (own, others) = rest.split_at(count);
        rest = others;
        if let Some(what) = difference(rpc, &sockets, own, &mut undecided) {
            let packets = own.iter().flat_map(|truth| &truth.packets);
            differences.push(Difference {
                seed: first.seed,
                what,
                log: own.iter().flat_map(|truth| truth.log.clone()).collect(),
                pcap: pcap(packets),
            });
        }
    }
    assert!(
        undecided * 20 <= truths.len(),
        "{undecided} of {} connections can't be compared",
        truths.len()
    );
    differences
}

/// Returns the bytes that are served from offset 0 to the in-order edge, or to the first hole.
fn served(rpc: &mut Rpc, sockid: u64, side: &str, next: &Value) -> Vec<u8> {
    let mut stream = Vec::new();
    while Some(stream.len() as u64) < next.as_u64()
        && let Ok((_, bytes)) = rpc.ppeek(sockid, side, stream.len() as u64, 1 << 20)
        && !bytes.is_empty()
    {
        stream.extend(bytes);
    }
    stream
}

/// Returns whether a connection closes once its held segments are decided on. Without an answer of their receiver, that
/// takes a second.
fn closes(rpc: &mut Rpc, sockid: u64) -> bool {
    let start = Instant::now();
    while start.elapsed() < DECISION {
        let socket = rpc.ok("info", json!({ "sockid": sockid }));
        if !socket["closed"].is_null() {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Compares the connections between two ends with those of the kernel, in order.
fn difference(
    rpc: &mut Rpc,
    sockets: &[Value],
    truths: &[Truth],
    undecided: &mut usize,
) -> Option<String> {
    let first = truths.first()?;
    let (client, server) = (first.client.to_string(), first.server.to_string());
    let mut listed: Vec<&Value> = sockets
        .iter()
        .filter(|socket| socket["client"] == client && socket["server"] == server)
        .collect();
    listed.sort_by(|a, b| {
        a["opened"]
            .as_f64()
            .partial_cmp(&b["opened"].as_f64())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    if listed.len() != truths.len() {
        // Where memory was short, a RST at the monitor's edge may be beyond the kernel's, which then refuses a later SYN.
        if truths.iter().any(|truth| !truth.is_complete) {
            *undecided += truths.len();
            return None;
        }
        return Some(format!(
            "{} connections instead of {}",
            listed.len(),
            truths.len()
        ));
    }
    for (socket, truth) in listed.into_iter().zip(truths) {
        let side = truth.role.side();
        let sockid = socket["sockid"].as_u64()?;
        let state = &socket["sides"][side];
        let stream = served(rpc, sockid, side, &state["next"]);
        let conflicts = if truth.hides_effects {
            u64::MAX
        } else {
            state["conflicts"].as_u64()?
        };
        let is_explained = || truth.versions.explain(&stream, &truth.bytes, conflicts);
        // After a RST that may not have counted, bytes are served until the other end sends one.
        let is_longer = truth.hides_effects && !truth.is_open && stream.starts_with(&truth.bytes);
        let is_explained = || is_longer || is_explained();
        if !truth.is_complete || (stream != truth.bytes && is_explained()) {
            *undecided += 1;
            continue;
        }
        if stream != truth.bytes {
            let same = stream.iter().zip(&truth.bytes).take_while(|(a, b)| a == b);
            return Some(format!(
                "bytes: {} instead of {}, equal up to {}; gaps {}",
                stream.len(),
                truth.bytes.len(),
                same.count(),
                state["gaps"],
            ));
        }
        // A hole that is declared lost at the end of a replay comes before the end of the stream.
        let eof = state["fin"].is_u64() && state["fin"] == state["next"] && state["gaps"] == 0;
        if eof != (truth.ending == Ending::EndOfStream) && truth.ending != Ending::Reset {
            return Some(format!(
                "fin {} next {}, application: {:?}",
                state["fin"], state["next"], truth.ending
            ));
        }
        let closed = !socket["closed"].is_null() || (!truth.is_open && closes(rpc, sockid));
        let is_late = truth.hides_effects && !closed;
        if truth.shows_end && closed == truth.is_open && !is_late {
            return Some(format!(
                "closed: {}, kernel: open {}",
                socket["closed"], truth.is_open
            ));
        }
    }
    None
}
