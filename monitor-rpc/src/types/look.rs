//! `hello`, `info`, `stats`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Counters;
use crate::number::{optional, whole};

/// `hello`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HelloParams {
    /// Who calls, for the daemon's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// `hello`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Of the RPC.
    pub version: u32,
    /// Name and version of the program.
    pub server: String,
    /// Its process.
    pub pid: u32,
    /// Which start of it: sockids of another one mean nothing to this one. `None` from a server that does not tell.
    #[serde(default)]
    pub instance: Option<u64>,
    /// What it captures.
    pub capture: HelloCapture,
    /// Most bytes that one `ppeek` returns.
    pub max_len: u64,
    /// Every method that this server answers.
    pub methods: Vec<Cow<'static, str>>,
}

/// What a server captures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HelloCapture {
    /// `tap`, `mirror` or `replay`.
    pub mode: Cow<'static, str>,
    /// Path of the packets: `xdp` or `packet`; of several interfaces the slowest. `None` in replay.
    #[serde(default)]
    pub path: Option<Cow<'static, str>>,
    /// Names of the interfaces, or paths of the files.
    pub interfaces: Vec<String>,
    /// Worker threads.
    pub workers: u16,
}

/// `info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfoParams {
    /// Which connection.
    #[serde(deserialize_with = "whole")]
    pub sockid: u64,
    /// The worker that is expected to own it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub worker: Option<u64>,
}

/// `stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsParams {}

/// `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceStats {
    /// Its name (or path).
    pub name: String,
    /// Whether packets are being captured from it now.
    pub up: bool,
    /// Path of its packets: `xdp` or `packet`; `None` in replay.
    #[serde(default)]
    pub path: Option<Cow<'static, str>>,
    /// Mode of XDP.
    pub xdp: Option<Cow<'static, str>>,
    /// Receive queues in use.
    pub queues: u32,
}

/// One worker's part of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
