//! Log messages of the BPF programs, forwarded to the log of the daemon.

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::BpfError;

/// Ring of messages of the programs of one object.
pub(super) struct Log(EbpfLogger<Forward>);

impl Log {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, BpfError> {
        Ok(Self(EbpfLogger::init_with_logger(ebpf, Forward)?))
    }

    pub(super) fn drain(&mut self) {
        self.0.flush();
    }
}

/// Logger that forwards to `tracing`, under the target `bpf`.
struct Forward;

impl log::Log for Forward {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        match record.level() {
            log::Level::Error => tracing::error!(target: "bpf", "{}", record.args()),
            log::Level::Warn => tracing::warn!(target: "bpf", "{}", record.args()),
            log::Level::Info => tracing::info!(target: "bpf", "{}", record.args()),
            log::Level::Debug => tracing::debug!(target: "bpf", "{}", record.args()),
            log::Level::Trace => tracing::trace!(target: "bpf", "{}", record.args()),
        }
    }

    fn flush(&self) {}
}
