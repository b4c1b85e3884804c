//! Metrics with their names, meanings and samples, made from `stats`.
//!
//! A counter `NAME` of a group `GROUP` is the metric `monitord_GROUP_NAME`; counters of workers have the label `worker`.
//! The exceptions are in [`place`]: losses share one metric, connections another, and memory is named after its unit.
//!
//! **Invariant:** each counter of `stats` is exactly one sample (per worker, where workers have their own). Sums over
//! workers are left to the query.

use std::borrow::Cow;

use monitor_client::Counters;
use monitor_client::types::{CaptureStats, InterfaceStats, MethodStats, Stats, WorkerStats};

use super::help::{COUNTERS, meaning};
use super::scrape::Scrape;
use crate::status::Snapshot;

const NANOSECONDS: f64 = 1e9;

/// Counters of packets that were lost before a worker read them. `tap_refused` isn't one: its packets are counted a second
/// time as `device_dropped`.
const LOSSES: [&str; 7] = [
    "rx_dropped",
    "rx_ring_full",
    "rx_oversized",
    "device_dropped",
    "handoffs_lost",
    "tap_clone_failed",
    "tap_vlan_lost",
];

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Never decreases while the daemon runs. Samples are named with `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Distribution.
    Histogram,
}

/// Value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Whole number.
    Count(u64),
    /// Number of seconds.
    Seconds(f64),
    /// Distribution: sum in seconds, number, and upper bounds in seconds with the number above the bound before.
    Times(f64, u64, Vec<(f64, u64)>),
}

/// Labels and value.
pub type Sample = (Vec<(&'static str, String)>, Value);

/// Metric with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name without `_total`.
    pub name: String,
    /// Meaning, in a sentence.
    pub help: String,
    /// Type.
    pub kind: Kind,
    /// Samples, each with other labels.
    pub samples: Vec<Sample>,
}

/// Metrics of a scrape, in the order of `stats`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Families(pub Vec<Family>);

impl Families {
    /// Returns all metrics of a scrape. Those of the daemon are missing while it is down.
    #[must_use]
    pub fn of(scrape: &Scrape) -> Self {
        let mut families = Self::default();
        families.gauge(
            "monitord_up",
            "1 if monitord answers within 2 s, else 0.",
            vec![],
            u64::from(scrape.answer.is_some()),
        );
        families.add(
            "monitord_scrape_duration_seconds",
            "Time that monitord took to answer this scrape.",
            Kind::Gauge,
            (vec![], Value::Seconds(scrape.took.as_secs_f64())),
        );
        families.gauge(
            "monitord_relay_build_info",
            "Version of monitor-relay.",
            vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
            1,
        );
        if let Some(fleet) = scrape.fleet {
            families.fleet(fleet);
        }
        if let Some((hello, stats)) = &scrape.answer {
            families.daemon(&hello.server, stats);
        }
        families
    }

    /// Returns every metric that this version knows, with zeros: those of all modes of capture, one worker, one interface.
    #[must_use]
    pub fn known() -> Self {
        let counters = |group: &str| {
            let own = COUNTERS.iter().filter(|(of, ..)| *of == group);
            Counters(own.map(|(_, name, _)| ((*name).into(), 0)).collect())
        };
        let stats = Stats {
            capture: CaptureStats {
                counters: counters("capture"),
                interfaces: vec![InterfaceStats::default()],
                ..CaptureStats::default()
            },
            rpc: counters("rpc"),
            workers: vec![WorkerStats {
                decode: counters("decode"),
                flows: counters("flows"),
                tcp: counters("tcp"),
                store: counters("store"),
                ..WorkerStats::default()
            }],
            methods: vec![MethodStats::default()],
            ..Stats::default()
        };
        let mut families = Self::of(&Scrape {
            fleet: Some(Snapshot::default()),
            ..Scrape::default()
        });
        families.daemon("", &stats);
        families
    }

    fn daemon(&mut self, server: &str, stats: &Stats) {
        let version = server.trim_start_matches("monitord ").to_owned();
        let version = vec![("version", version)];
        self.gauge("monitord_build_info", "Version of monitord.", version, 1);
        let capture = &stats.capture;
        let text = |text: &Option<Cow<str>>| text.as_deref().unwrap_or_default().to_owned();
        let labels = vec![
            ("mode", capture.mode.clone().into_owned()),
            ("path", text(&capture.path)),
            ("xdp", text(&capture.xdp)),
        ];
        let help = "Mode of the capture, path of the packets (the slowest of all interfaces) and mode of XDP.";
        self.gauge("monitord_capture_info", help, labels, 1);
        let workers = capture.workers.into();
        self.gauge(
            "monitord_workers",
            "Number of worker threads.",
            vec![],
            workers,
        );
        for interface in &capture.interfaces {
            self.interface(interface);
        }
        self.counters("capture", &capture.counters, None);
        for worker in &stats.workers {
            self.worker(worker);
        }
        self.counters("rpc", &stats.rpc, None);
        for method in &stats.methods {
            self.method(method);
        }
    }

    fn fleet(&mut self, fleet: Snapshot) {
        let help = "1 while the relay is connected to the NATS server, else 0.";
        let connected = fleet.connected.into();
        self.gauge("monitord_relay_connected", help, vec![], connected);
        let help = "Bytes of records that wait for the NATS server.";
        let waiting = fleet.waiting_bytes;
        self.gauge("monitord_relay_spool_bytes", help, vec![], waiting);
        for (name, help, value) in [
            (
                "monitord_relay_records",
                "Records of connections that the NATS server acknowledged.",
                fleet.sent,
            ),
            (
                "monitord_relay_dropped_records",
                "Records dropped because the spool was full.",
                fleet.dropped,
            ),
        ] {
            self.add(name, help, Kind::Counter, (vec![], Value::Count(value)));
        }
    }

    fn interface(&mut self, interface: &InterfaceStats) {
        let labels = vec![("interface", interface.name.clone())];
        let help = "1 while packets are captured from the interface, else 0.";
        self.gauge(
            "monitord_interface_up",
            help,
            labels.clone(),
            interface.up.into(),
        );
        let help = "Number of receive queues in use.";
        self.gauge(
            "monitord_interface_queues",
            help,
            labels,
            interface.queues.into(),
        );
    }

    fn worker(&mut self, stats: &WorkerStats) {
        let worker = stats.worker.to_string();
        self.add(
            "monitord_worker_cpu_seconds",
            "Processor time of the worker's thread; its rate is the busy share of the worker.",
            Kind::Counter,
            (
                vec![("worker", worker.clone())],
                Value::Seconds(stats.cpu_ns as f64 / NANOSECONDS),
            ),
        );
        for (group, counters) in [
            ("decode", &stats.decode),
            ("flows", &stats.flows),
            ("tcp", &stats.tcp),
            ("store", &stats.store),
        ] {
            self.counters(group, counters, Some(&worker));
        }
    }

    fn counters(&mut self, group: &str, counters: &Counters, worker: Option<&str>) {
        for (name, value) in &counters.0 {
            let place = place(group, name);
            let mut labels = Vec::new();
            labels.extend(worker.map(|worker| ("worker", worker.to_owned())));
            labels.extend(place.label);
            self.add(
                &place.name,
                &place.help,
                place.kind,
                (labels, Value::Count(*value)),
            );
        }
    }

    fn method(&mut self, method: &MethodStats) {
        let buckets = method.buckets.iter();
        let buckets = buckets.map(|&(bound, count)| (bound as f64 / NANOSECONDS, count));
        let time = method.time_ns as f64 / NANOSECONDS;
        self.add(
            "monitord_rpc_request_duration_seconds",
            "Time from a request's arrival to its reply, by method; that of `wait` includes the waiting.",
            Kind::Histogram,
            (
                vec![("method", method.method.clone().into_owned())],
                Value::Times(time, method.requests, buckets.collect()),
            ),
        );
    }

    fn gauge(&mut self, name: &str, help: &str, labels: Vec<(&'static str, String)>, value: u64) {
        self.add(name, help, Kind::Gauge, (labels, Value::Count(value)));
    }

    /// Appends a sample to its family; a new family is appended.
    pub(crate) fn add(&mut self, name: &str, help: &str, kind: Kind, sample: Sample) {
        match self.0.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => self.0.push(Family {
                name: name.to_owned(),
                help: help.to_owned(),
                kind,
                samples: vec![sample],
            }),
        }
    }
}

/// Metric of a counter.
struct Place {
    name: String,
    help: String,
    kind: Kind,
    label: Option<(&'static str, String)>,
}

/// Returns the metric of a counter of `stats`.
fn place(group: &str, name: &str) -> Place {
    let help = meaning(group, name).map_or_else(
        || format!("Counter {name} of the group {group} in stats."),
        str::to_owned,
    );
    let gauge = |name: &str, help| Place {
        name: name.to_owned(),
        help,
        kind: Kind::Gauge,
        label: None,
    };
    match (group, name) {
        ("capture", _) if LOSSES.contains(&name) => Place {
            name: "monitord_lost_packets".to_owned(),
            help: losses_help(),
            kind: Kind::Counter,
            label: Some(("reason", name.to_owned())),
        },
        ("flows", "active" | "lingering") => Place {
            label: Some(("state", name.to_owned())),
            ..gauge(
                "monitord_connections",
                "Connections by state: active ones are followed, lingering ones are closed and still readable.".to_owned(),
            )
        },
        ("store", "budget") => gauge("monitord_store_capacity_bytes", help),
        ("store", "used") => gauge("monitord_store_used_bytes", help),
        _ => {
            let kind = if help.contains("(gauge") { Kind::Gauge } else { Kind::Counter };
            let in_bytes = help.starts_with("Bytes of memory");
            let unit = if in_bytes { "_bytes" } else { "" };
            Place {
                name: format!("monitord_{group}_{name}{unit}"),
                help,
                kind,
                label: None,
            }
        }
    }
}

/// Returns the meanings of all reasons, in one line.
fn losses_help() -> String {
    let mut help = "Packets lost before a worker read them, by reason.".to_owned();
    for name in LOSSES {
        if let Some(meaning) = meaning("capture", name) {
            help += &format!(" {name}: {meaning}");
        }
    }
    help
}
