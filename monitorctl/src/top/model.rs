//! Data of the screen: counters of a sample, and rates from two samples.

use std::collections::HashMap;

use monitor_client::Counters;
use monitor_client::types::{Socket, WorkerStats};
use serde::Serialize;

use super::sample::Sample;

/// Counters of `stats` for packets lost before an engine saw them. Each lost packet is in one of them only.
const LOSSES: &[&str] = &[
    "rx_dropped",
    "rx_ring_full",
    "rx_oversized",
    "device_dropped",
    "handoffs_lost",
    "tap_clone_failed",
    "tap_vlan_lost",
];

/// Data of one screen, and of one line of JSON.
#[derive(Debug, Default, Serialize)]
pub struct Model {
    /// Seconds between the two samples; 0 if there is only one, and all rates are 0 then.
    pub seconds: f64,
    /// `tap`, `mirror` or `replay`.
    pub mode: String,
    pub interfaces: Vec<String>,
    /// Hosts of a fleet that answered, those that didn't, and those with an answer of another version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub invalid: Vec<String>,
    pub finished: bool,
    #[serde(rename = "packets_per_second")]
    pub packets: f64,
    #[serde(rename = "bytes_per_second")]
    pub bytes: f64,
    /// Packets lost since the daemon started.
    pub lost: u64,
    #[serde(rename = "lost_per_second")]
    pub lost_rate: f64,
    /// Bytes of lost ranges.
    pub gap_bytes: u64,
    pub unstored_bytes: u64,
    #[serde(rename = "evicted_bytes_per_second")]
    pub evicted: f64,
    pub active: u64,
    pub lingering: u64,
    #[serde(rename = "opened_per_second")]
    pub opened: f64,
    pub used: u64,
    pub budget: u64,
    pub workers: Vec<Load>,
    #[serde(rename = "connections")]
    pub rows: Vec<Row>,
}

/// Load of one worker.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Load {
    /// Its host in a fleet; `None` for the daemon of this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub worker: u16,
    /// Share of a core, 0 to 1, if visible.
    pub cpu: Option<f64>,
    #[serde(rename = "packets_per_second")]
    pub packets: f64,
    #[serde(rename = "bytes_per_second")]
    pub bytes: f64,
    pub active: u64,
    pub used: u64,
    pub budget: u64,
}

/// Connection with its rates.
#[derive(Debug, Serialize)]
pub struct Row {
    #[serde(flatten)]
    pub socket: Socket,
    /// Name in the fleet; `None` for the daemon of this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Stream bytes per second to the server.
    #[serde(rename = "to_server_per_second")]
    pub to_server: f64,
    #[serde(rename = "to_client_per_second")]
    pub to_client: f64,
}

impl Model {
    pub fn new(before: Option<&Sample>, now: &Sample) -> Self {
        let seconds =
            before.and_then(|before| Some(now.at?.duration_since(before.at?).as_secs_f64()));
        let seconds = seconds.unwrap_or_default();
        let none = Sample::default();
        let before = before.unwrap_or(&none);
        let rate = Rate { seconds };
        let stats = |sample: &Sample, group: fn(&Sample) -> &Counters, name: &str| {
            count(group(sample), name)
        };
        let per_second = |group: fn(&Sample) -> &Counters, name: &str| {
            rate.of(stats(before, group, name), stats(now, group, name))
        };
        let (lost_before, lost) = (losses(before), losses(now));
        let capture = &now.stats.capture;
        Self {
            seconds,
            hosts: Vec::new(),
            silent: Vec::new(),
            invalid: Vec::new(),
            mode: capture.mode.clone().into_owned(),
            interfaces: capture
                .interfaces
                .iter()
                .map(|interface| interface.name.clone())
                .collect(),
            finished: capture.finished,
            packets: per_second(|sample| &sample.stats.capture.counters, "rx_packets"),
            bytes: per_second(|sample| &sample.stats.capture.counters, "rx_bytes"),
            lost,
            lost_rate: rate.of(lost_before, lost),
            gap_bytes: count(&now.stats.tcp, "gap_bytes"),
            unstored_bytes: count(&now.stats.store, "unstored_bytes"),
            evicted: per_second(|sample| &sample.stats.store, "evicted_bytes"),
            active: count(&now.stats.flows, "active"),
            lingering: count(&now.stats.flows, "lingering"),
            opened: per_second(|sample| &sample.stats.flows, "opened"),
            used: count(&now.stats.store, "used"),
            budget: count(&now.stats.store, "budget"),
            workers: now
                .stats
                .workers
                .iter()
                .map(|own| load(rate, before, now, own))
                .collect(),
            rows: rows(rate, before, now),
        }
    }
}

#[cfg(feature = "fleet")]
impl Model {
    /// Returns the model of a fleet without hosts.
    pub fn of_fleet() -> Self {
        Self {
            mode: "fleet".to_owned(),
            ..Self::default()
        }
    }

    /// Adds a host. `name` returns the name of a connection in the fleet.
    pub fn add(&mut self, host: &str, other: Self, name: impl Fn(u64) -> String) {
        self.seconds = self.seconds.max(other.seconds);
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.lost_rate += other.lost_rate;
        self.gap_bytes += other.gap_bytes;
        self.unstored_bytes += other.unstored_bytes;
        self.evicted += other.evicted;
        self.active += other.active;
        self.lingering += other.lingering;
        self.opened += other.opened;
        self.used += other.used;
        self.budget += other.budget;
        self.hosts.push(host.to_owned());
        self.workers
            .extend(other.workers.into_iter().map(|load| Load {
                host: Some(host.to_owned()),
                ..load
            }));
        self.rows.extend(other.rows.into_iter().map(|row| Row {
            name: Some(name(row.socket.sockid)),
            ..row
        }));
    }
}

/// Conversion of counter differences to rates.
#[derive(Clone, Copy)]
struct Rate {
    seconds: f64,
}

impl Rate {
    /// Returns 0 without a previous sample, and after a restart of the daemon resets its counters.
    fn of(self, before: u64, now: u64) -> f64 {
        if self.seconds > 0.0 {
            now.saturating_sub(before) as f64 / self.seconds
        } else {
            0.0
        }
    }
}

fn count(counters: &Counters, name: &str) -> u64 {
    counters.get(name).unwrap_or(0)
}

fn losses(sample: &Sample) -> u64 {
    LOSSES
        .iter()
        .map(|name| count(&sample.stats.capture.counters, name))
        .sum()
}

fn load(rate: Rate, before: &Sample, now: &Sample, own: &WorkerStats) -> Load {
    let nothing = WorkerStats::default();
    let then = before
        .stats
        .workers
        .iter()
        .find(|then| then.worker == own.worker)
        .unwrap_or(&nothing);
    let cpu = |sample: &Sample| *sample.cpu.get(usize::from(own.worker))?;
    let cpu = match (cpu(before), cpu(now)) {
        (Some(then), Some(now)) if rate.seconds > 0.0 => {
            Some(((now - then) / rate.seconds).clamp(0.0, 1.0))
        }
        _ => None,
    };
    Load {
        host: None,
        worker: own.worker,
        cpu,
        packets: rate.of(
            count(&then.decode, "packets"),
            count(&own.decode, "packets"),
        ),
        bytes: rate.of(count(&then.decode, "bytes"), count(&own.decode, "bytes")),
        active: count(&own.flows, "active"),
        used: count(&own.store, "used"),
        budget: count(&own.store, "budget"),
    }
}

fn rows(rate: Rate, before: &Sample, now: &Sample) -> Vec<Row> {
    let then: HashMap<u64, &Socket> = before
        .sockets
        .iter()
        .map(|socket| (socket.sockid, socket))
        .collect();
    let row = |socket: &Socket| {
        let (server, client) = match then.get(&socket.sockid) {
            Some(then) => (then.sides.server.end, then.sides.client.end),
            // A new connection received all of its bytes since the previous sample.
            None if !before.is_cut || socket.opened >= before.time => (0, 0),
            // It was beyond the limit of the previous sample: its rate is known at the next one.
            None => (socket.sides.server.end, socket.sides.client.end),
        };
        Row {
            to_server: rate.of(server, socket.sides.server.end),
            to_client: rate.of(client, socket.sides.client.end),
            socket: socket.clone(),
            name: None,
        }
    };
    now.sockets.iter().map(row).collect()
}
