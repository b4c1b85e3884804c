//! Parameters and results of every method. Optional parameters are left out when they are `None`.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::number::{optional, port, whole};
pub use crate::socket::{Closed, SideInfo, Sides, Socket, States};
pub use crate::state::State;
use crate::{Counters, Side};

/// `hello`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloParams {
    /// Who calls, for the daemon's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// `hello`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Of the RPC.
    pub version: u32,
    /// Name and version of the program.
    pub server: String,
    /// Its process.
    pub pid: u32,
    /// What it captures.
    pub capture: HelloCapture,
    /// Most bytes that one `ppeek` returns.
    pub max_len: u64,
    /// Every method that this server answers.
    pub methods: Vec<Cow<'static, str>>,
}

/// What a server captures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelloCapture {
    /// `tap`, `mirror` or `replay`.
    pub mode: Cow<'static, str>,
    /// Names of the interfaces, or paths of the files.
    pub interfaces: Vec<String>,
    /// Worker threads.
    pub workers: u16,
}

/// `sockets`. Filters that are given must all match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketsParams {
    /// One of the ends is in this state (a name of RFC 9293, in any case).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// One of the ends has this port.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "port")]
    pub port: Option<u16>,
    /// One of the ends has this address, or an address in this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Most connections in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub limit: Option<u64>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub after: Option<u64>,
}

/// `sockets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sockets {
    /// In the order of workers and records, which does not change while connections come and go.
    pub sockets: Vec<Socket>,
    /// `after` of the next page; `None` at the end.
    pub next: Option<u64>,
}

/// `lookup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupParams {
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port of the server.
    pub server: SocketAddr,
    /// VLAN ids, outermost first; `[]`: untagged only; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vec<u16>>,
}

/// `info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// The worker that is expected to own it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// `fragments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FragmentsParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes.
    pub side: Side,
    /// The worker that is expected to own it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// `fragments`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fragments {
    /// Offset and length of every retained run of bytes, in order.
    pub extents: Vec<(u64, u64)>,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
}

/// `ppeek`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PpeekParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Whose received bytes.
    pub side: Side,
    /// Distance from the first payload byte.
    #[serde(deserialize_with = "whole")]
    pub off: u64,
    /// Most bytes wanted.
    #[serde(deserialize_with = "whole")]
    pub len: u64,
    /// How the bytes are sent.
    #[serde(default)]
    pub encoding: Encoding,
    /// The worker that is expected to own it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// How bytes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// In the reply's `data`.
    #[default]
    Base64,
    /// After the reply's line, `raw` of them.
    Raw,
}

/// `ppeek`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ppeek {
    /// As asked.
    pub off: u64,
    /// Bytes returned.
    pub len: u64,
    /// Lowest retained offset.
    pub base: u64,
    /// The in-order edge.
    pub next: u64,
    /// One past the highest byte received.
    pub end: u64,
    /// Offset of the FIN, once seen.
    pub fin: Option<u64>,
    /// This read ends where the FIN is.
    pub eof: bool,
    /// Bytes that follow the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<u64>,
    /// The bytes in base64 (RFC 4648, section 4, padded).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// `stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatsParams {}

/// `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The capture.
    pub capture: CaptureStats,
    /// Frames to segments, all workers.
    pub decode: Counters,
    /// Connections, all workers.
    pub flows: Counters,
    /// Segments to streams, all workers.
    pub tcp: Counters,
    /// Memory of streams and records, all workers.
    pub store: Counters,
    /// The RPC itself.
    pub rpc: Counters,
    /// Each worker's own share.
    pub workers: Vec<WorkerStats>,
}

/// The capture's part of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CaptureStats {
    /// `tap`, `mirror` or `replay`.
    pub mode: Cow<'static, str>,
    /// `zerocopy`, `native` or `generic`; `None` in replay.
    pub xdp: Option<Cow<'static, str>>,
    /// Replay: all files are done.
    pub finished: bool,
    /// Each interface or file.
    pub interfaces: Vec<InterfaceStats>,
    /// Worker threads.
    pub workers: u16,
    /// Counters of the whole capture.
    #[serde(flatten)]
    pub counters: Counters,
}

/// One interface (or file) of a capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStats {
    /// Its name (or path).
    pub name: String,
    /// Whether packets are being captured from it now.
    pub up: bool,
    /// How packets reach the sockets of this interface.
    pub xdp: Option<Cow<'static, str>>,
    /// Receive queues in use.
    pub queues: u32,
}

/// One worker's part of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Which one.
    pub worker: u16,
    /// As in [`Stats`].
    pub decode: Counters,
    /// As in [`Stats`].
    pub flows: Counters,
    /// As in [`Stats`].
    pub tcp: Counters,
    /// As in [`Stats`].
    pub store: Counters,
}
