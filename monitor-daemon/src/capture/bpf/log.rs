//! Log messages of the BPF programs, forwarded to the log of the daemon.

use std::sync::{Arc, OnceLock};

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::BpfError;

/// Ring of messages of the programs of one object.
pub(super) struct Log {
    logger: EbpfLogger<Forward>,
    interface: Arc<OnceLock<String>>,
}

impl Log {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, BpfError> {
        let interface = Arc::default();
        let forward = Forward(Arc::clone(&interface));
        Ok(Self {
            logger: EbpfLogger::init_with_logger(ebpf, forward)?,
            interface,
        })
    }

    /// Names the interface of the programs, for their messages. The first name stays.
    pub(super) fn set_interface(&self, name: &str) {
        // Fails if there is a name already.
        let _ = self.interface.set(name.to_owned());
    }

    pub(super) fn drain(&mut self) {
        self.logger.flush();
    }
}

/// Logger that forwards to `tracing`, under the target `bpf`, with the name of the interface.
struct Forward(Arc<OnceLock<String>>);

impl log::Log for Forward {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let interface = self.0.get().map_or("?", String::as_str);
        let text = record.args();
        match record.level() {
            log::Level::Error => tracing::error!(target: "bpf", "{interface}: {text}"),
            log::Level::Warn => tracing::warn!(target: "bpf", "{interface}: {text}"),
            log::Level::Info => tracing::info!(target: "bpf", "{interface}: {text}"),
            log::Level::Debug => tracing::debug!(target: "bpf", "{interface}: {text}"),
            log::Level::Trace => tracing::trace!(target: "bpf", "{interface}: {text}"),
        }
    }

    fn flush(&self) {}
}
