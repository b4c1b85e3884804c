//! Output of `monitord replay --exit`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::ServiceError;
use crate::stats;
use crate::status::Status;

/// Returns the totals (`packets` and `bytes` of the files, `payload_bytes` and `flows` of TCP, wall-clock `seconds`), and
/// in `stats` the result of the RPC's `stats`.
pub(super) fn of(status: &Status, elapsed: Duration) -> Result<Value, ServiceError> {
    let stats = stats::gather(status.capture.snapshot(), &status.engines);
    let stats = serde_json::to_value(stats).map_err(|error| ServiceError::Output(error.into()))?;
    Ok(json!({
        "packets": stats["capture"]["rx_packets"],
        "bytes": stats["capture"]["rx_bytes"],
        "payload_bytes": stats["tcp"]["payload_bytes"],
        "flows": stats["flows"]["opened"],
        "seconds": elapsed.as_secs_f64(),
        "stats": stats,
    }))
}

/// Writes one line to standard output.
pub(super) fn print(line: &(impl std::fmt::Display + ?Sized)) -> Result<(), ServiceError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(ServiceError::Output)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use monitor_engine::{LinkType, Packet};

    use super::*;
    use crate::control::{CommandQueues, Engine};
    use crate::events::Publisher;
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
        let mut engines = [(); 2].map(|()| Publisher::engine(Default::default()).unwrap());
        for engine in &mut engines {
            engine.process(&[Packet {
                time: 1,
                interface: 0,
                link: LinkType::Ethernet,
                data: &[0; 60],
                more: &[],
                cut: 0,
                checksum: monitor_engine::Checksum::Unknown,
            }]);
        }
        let status = Status {
            readers: engines.iter().map(Engine::reader).collect(),
            engines: engines.iter().map(Engine::counters).collect(),
            command_queues: CommandQueues::new(2).unwrap(),
            capture: Arc::new(Files),
            settings: Arc::default(),
        };
        let summary = of(&status, Duration::from_millis(1500)).unwrap();
        assert_eq!(summary["packets"], 7);
        assert_eq!(summary["seconds"], 1.5);
        assert_eq!(summary["flows"], 0);
        assert_eq!(summary["stats"]["decode"]["packets"], 2);
    }
}
