//! `hello`, `info`, `stats`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Counters;
use crate::number::{none, optional, whole};

/// Parameters of `hello`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HelloParams {
    /// Name of the client, for the daemon's log.
    #[serde(default, skip_serializing_if = "none")]
    pub client: Option<String>,
}

/// Result of `hello`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Version of the RPC.
    pub version: u32,
    /// Name and version of the program.
    pub server: String,
    /// Process id.
    pub pid: u32,
    /// Random number of this start of the server. Sockids are valid within one instance. `None` from an older server.
    #[serde(default)]
    pub instance: Option<u64>,
    /// Capture.
    pub capture: HelloCapture,
    /// Maximum number of bytes that one `ppeek` returns.
    pub max_len: u64,
    /// Methods of this server.
    pub methods: Vec<Cow<'static, str>>,
}

/// Capture, as `hello` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HelloCapture {
    /// `tap`, `mirror` or `replay`.
    pub mode: Cow<'static, str>,
    /// Path of the packets: `xdp` or `packet`; of several interfaces the slowest. `None` in replay.
    #[serde(default)]
    pub path: Option<Cow<'static, str>>,
    /// Names of the interfaces, or paths of the files.
    pub interfaces: Vec<String>,
    /// Number of worker threads.
    pub workers: u16,
}

/// Parameters of `info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfoParams {
    /// Connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// Worker that is expected to own the connection.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "optional")]
    pub worker: Option<u64>,
}

/// Parameters of `stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsParams {}

/// Result of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Capture.
    pub capture: CaptureStats,
    /// Decoder, from frames to segments, of all workers.
    pub decode: Counters,
    /// Connections of all workers.
    pub flows: Counters,
    /// Reassembly, from segments to streams, of all workers.
    pub tcp: Counters,
    /// Memory of streams and records of all workers.
    pub store: Counters,
    /// RPC.
    pub rpc: Counters,
    /// Counters of each worker.
    pub workers: Vec<WorkerStats>,
    /// Times of each method. Empty from an older server.
    #[serde(default)]
    pub methods: Vec<MethodStats>,
}

/// Capture, as `stats` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureStats {
    /// `tap`, `mirror` or `replay`.
    pub mode: Cow<'static, str>,
    /// Path of the packets: `xdp` or `packet`; of several interfaces the slowest. `None` in replay.
    #[serde(default)]
    pub path: Option<Cow<'static, str>>,
    /// Reason for the path `packet` where the setting is `auto`.
    #[serde(default)]
    pub path_reason: Option<String>,
    /// Mode of XDP: `zerocopy`, `native` or `generic`; `None` without XDP.
    pub xdp: Option<Cow<'static, str>>,
    /// True if a replay has read all files.
    pub finished: bool,
    /// Interfaces or files.
    pub interfaces: Vec<InterfaceStats>,
    /// Number of worker threads.
    pub workers: u16,
    /// Counters of the whole capture.
    #[serde(flatten)]
    pub counters: Counters,
}

/// Interface or file of a capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceStats {
    /// Name, or path of a file.
    pub name: String,
    /// True while packets are captured from it.
    pub up: bool,
    /// Path of its packets: `xdp` or `packet`; `None` in replay.
    #[serde(default)]
    pub path: Option<Cow<'static, str>>,
    /// Mode of XDP.
    pub xdp: Option<Cow<'static, str>>,
    /// Number of receive queues in use.
    pub queues: u32,
}

/// Counters of one worker, as in [`Stats`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStats {
    /// Number of the worker.
    pub worker: u16,
    /// Processor time of its thread, in nanoseconds; at most 100 ms old while packets are captured.
    #[serde(default)]
    pub cpu_ns: u64,
    /// Decoder.
    pub decode: Counters,
    /// Connections.
    pub flows: Counters,
    /// Reassembly.
    pub tcp: Counters,
    /// Memory.
    pub store: Counters,
}

/// Times of one method's requests, as in [`Stats`]. Malformed and refused requests don't count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MethodStats {
    /// Name of the method.
    pub method: Cow<'static, str>,
    /// Number of requests.
    pub requests: u64,
    /// Sum of their times, in nanoseconds.
    pub time_ns: u64,
    /// Upper bounds in nanoseconds, ascending, each with the number of requests above the bound before it. Requests above
    /// the last bound count in `requests` only.
    pub buckets: Vec<(u64, u64)>,
}
