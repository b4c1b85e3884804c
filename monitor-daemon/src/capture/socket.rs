//! Socket of either path, as a worker reads it, and the handle for its statistics.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use monitor_engine::Packet;

use super::CaptureError;
use super::checksums::ChecksumTrial;
use super::packet::{self, PacketSocket};
use super::source::Source;
use super::statistics::Received;
use super::xsk::{self, RxSocket};

/// Socket of a worker.
pub enum CaptureSocket {
    /// AF_XDP socket, with the trial of its device's checksums.
    Xdp(RxSocket, Arc<ChecksumTrial>),
    /// AF_PACKET socket.
    Packet(PacketSocket),
}

/// Handle for the statistics of a socket.
pub enum Probe {
    /// Of an AF_XDP socket.
    Xdp(xsk::Probe),
    /// Of an AF_PACKET socket.
    Packet(packet::Probe),
}

impl CaptureSocket {
    /// Returns a handle for its statistics.
    pub fn probe(&self) -> Result<Probe, CaptureError> {
        match self {
            Self::Xdp(socket, _) => socket.probe().map(Probe::Xdp),
            Self::Packet(socket) => socket.probe().map(Probe::Packet),
        }
        .map_err(CaptureError::Probe)
    }
}

impl Probe {
    /// Lets no further packet into a packet socket. XDP sockets receive none once their program is detached.
    pub fn stop(&self) {
        if let Self::Packet(probe) = self {
            probe.stop();
        }
    }

    /// Returns the counters.
    #[must_use]
    pub fn read(&self) -> Received {
        match self {
            Self::Xdp(probe) => probe.read(),
            Self::Packet(probe) => probe.read(),
        }
    }
}

impl From<PacketSocket> for CaptureSocket {
    fn from(socket: PacketSocket) -> Self {
        Self::Packet(socket)
    }
}

impl Source for CaptureSocket {
    fn receive(&mut self, time: u64, deliver: &mut dyn FnMut(&[Packet<'_>])) -> usize {
        match self {
            Self::Xdp(socket, _) => socket.receive(time, deliver),
            Self::Packet(socket) => socket.receive(time, deliver),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Xdp(socket, _) => socket.fd(),
            Self::Packet(socket) => socket.fd(),
        }
    }

    fn clear_error(&mut self) {
        match self {
            Self::Xdp(socket, _) => socket.clear_error(),
            Self::Packet(socket) => socket.clear_error(),
        }
    }

    fn trial(&self) -> Option<Arc<ChecksumTrial>> {
        match self {
            Self::Xdp(_, trial) => Some(Arc::clone(trial)),
            // A packet socket reports the state of each checksum.
            Self::Packet(_) => None,
        }
    }
}
