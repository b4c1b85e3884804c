//! What `monitord replay --exit` prints.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::ServiceError;
use crate::status::Status;

/// The headline (`packets` and `bytes` of the files, `payload_bytes` and `flows` of TCP, wall-clock `seconds`), and in
/// `stats` every counter, in the groups of the RPC's `stats`.
pub(super) fn of(status: &Status, elapsed: Duration) -> Value {
    let capture = status.capture.snapshot();
    let mut stats = Map::new();
    for (name, _, value) in &capture.counters {
        add(&mut stats, "capture", name, *value);
    }
    for engine in &status.engines {
        engine.each().for_each(|(group, name, _, value)| add(&mut stats, group, name, value));
    }
    let get = |group: &str, name: &str| stats.get(group).and_then(|group| group.get(name)).cloned();
    json!({
        "packets": get("capture", "rx_packets"),
        "bytes": get("capture", "rx_bytes"),
        "payload_bytes": get("tcp", "payload_bytes"),
        "flows": get("flows", "opened"),
        "seconds": elapsed.as_secs_f64(),
        "stats": stats,
    })
}

/// Writes one line to standard output.
pub(super) fn print(line: &(impl std::fmt::Display + ?Sized)) -> Result<(), ServiceError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(ServiceError::Output)
}

fn add(stats: &mut Map<String, Value>, group: &str, name: &str, value: u64) {
    let group = stats.entry(group).or_insert_with(|| json!({}));
    let sum = group.get(name).and_then(Value::as_u64).unwrap_or(0);
    group[name] = json!(sum + value);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use monitor_engine::{Engine, Link, Packet};

    use super::*;
    use crate::status::{CaptureSnapshot, CaptureStatus};

    struct Files;

    impl CaptureStatus for Files {
        fn snapshot(&self) -> CaptureSnapshot {
            CaptureSnapshot {
                counters: vec![("rx_packets", "", 7), ("rx_bytes", "", 700)],
                ..Default::default()
            }
        }
    }

    #[test]
    fn counters_of_all_engines_are_summed() {
        let mut engines = [(); 2].map(|()| Engine::new(Default::default(), ()).unwrap());
        for engine in &mut engines {
            engine.process(&[Packet { time: 1, link: Link::Ethernet, data: &[0; 60], more: &[] }]);
        }
        let status = Status {
            readers: engines.iter().map(Engine::reader).collect(),
            engines: engines.iter().map(Engine::counters).collect(),
            capture: Arc::new(Files),
        };
        let summary = of(&status, Duration::from_millis(1500));
        assert_eq!(summary["packets"], 7);
        assert_eq!(summary["seconds"], 1.5);
        assert_eq!(summary["flows"], 0);
        assert_eq!(summary["stats"]["decode"]["packets"], 2);
    }
}
