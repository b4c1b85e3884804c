//! State and counters of a replay, for `stats`.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU16, AtomicUsize};

use monitor_engine::{Counter, Packet};

use crate::status::{CaptureSnapshot, CaptureStatus, InterfaceSnapshot};

/// State of a replay. Written by worker 0 only.
#[derive(Debug)]
pub struct ReplayStatus {
    files: Vec<String>,
    workers: u16,
    workers_done: AtomicU16,
    /// Index of the current file.
    current: AtomicUsize,
    packets: Counter,
    bytes: Counter,
    skipped: Counter,
    broken: Counter,
}

impl ReplayStatus {
    pub(super) fn new(files: &[PathBuf], workers: u16) -> Self {
        Self {
            files: files
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
            workers: workers.max(1),
            workers_done: AtomicU16::new(0),
            current: AtomicUsize::new(0),
            packets: Counter::default(),
            bytes: Counter::default(),
            skipped: Counter::default(),
            broken: Counter::default(),
        }
    }

    /// Returns whether every worker has read all files.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.workers_done.load(Relaxed) >= self.workers
    }

    pub(super) fn start(&self, file: usize) {
        self.current.store(file, Relaxed);
    }

    pub(super) fn count(&self, packets: &[Packet<'_>]) {
        let bytes: usize = packets.iter().map(|packet| packet.data.len()).sum();
        self.packets.add(packets.len() as u64);
        self.bytes.add(bytes as u64);
    }

    pub(super) fn skip(&self, frames: u64) {
        self.skipped.add(frames);
    }

    pub(super) fn broken(&self) {
        self.broken.add(1);
    }

    pub(super) fn worker_done(&self) {
        self.workers_done.fetch_add(1, Relaxed);
    }
}

impl CaptureStatus for ReplayStatus {
    fn snapshot(&self) -> CaptureSnapshot {
        let finished = self.finished();
        let current = self.current.load(Relaxed);
        let mut interfaces = Vec::with_capacity(self.files.len());
        for (index, name) in self.files.iter().enumerate() {
            interfaces.push(InterfaceSnapshot {
                name: name.clone(),
                up: !finished && index == current,
                ..InterfaceSnapshot::default()
            });
        }
        CaptureSnapshot {
            mode: "replay",
            path: None,
            path_reason: None,
            xdp: None,
            finished,
            interfaces,
            workers: self.workers,
            counters: vec![
                (
                    "rx_packets",
                    "Packets read from the files.",
                    self.packets.get(),
                ),
                (
                    "rx_bytes",
                    "Captured bytes of those packets.",
                    self.bytes.get(),
                ),
                (
                    "rx_dropped",
                    "Packets dropped by the kernel; none in a replay.",
                    0,
                ),
                (
                    "rx_ring_full",
                    "Packets lost to a full receive ring; none in a replay.",
                    0,
                ),
                (
                    "fill_ring_empty",
                    "Number of times that the fill ring was empty; none in a replay.",
                    0,
                ),
                ("passed", "Packets not captured; none in a replay.", 0),
                (
                    "skipped_frames",
                    "Frames of link types that are not supported, without an IP packet that can be read, or of interfaces that their file does not describe.",
                    self.skipped.get(),
                ),
                (
                    "broken_files",
                    "Files that are truncated or malformed from some byte on.",
                    self.broken.get(),
                ),
            ],
        }
    }
}
