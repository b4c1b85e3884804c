//! Frames that no network stack made, put on a cable as they are.

use crate::wiregen::Capture;
use crate::{Namespace, Program};

/// Sends the frames of a pcap file through a packet socket. With more than one processor named, frames of the two
/// directions (by the sender's MAC address) go out on different ones, hence on different transmit queues.
const SENDER: &str = r"
import os, socket, struct, sys
path, interface, cpus = sys.argv[1], sys.argv[2], [int(cpu) for cpu in sys.argv[3:]]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((interface, 0))
# PACKET_QDISC_BYPASS: the transmit queue is the one of the processor.
s.setsockopt(263, 20, 1)
data = open(path, 'rb').read()
at = 24
while at < len(data):
    length = struct.unpack_from('<I', data, at + 8)[0]
    frame = data[at + 16:at + 16 + length]
    at += 16 + length
    os.sched_setaffinity(0, {cpus[frame[11] % len(cpus)]})
    while True:
        try:
            s.send(frame)
            break
        except OSError as error:
            # ENOBUFS: the queue is full.
            if error.errno != 105: raise
";

/// Sends the frames of a capture out of an interface. The two directions (by the sender's MAC address) go out from
/// `processors[0]` and `processors[1]`, hence on different transmit queues; with one processor named, both on one.
///
/// # Panics
/// When a frame cannot be sent.
#[track_caller]
pub fn inject(from: &Namespace, interface: &str, capture: &Capture, processors: &[u32]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("capture.pcap");
    std::fs::write(&file, capture.pcap()).expect("room for the frames");
    let mut python = from.command("python3");
    python.args(["-c", SENDER]).arg(&file).arg(interface);
    Program::run(python.args(processors.iter().map(ToString::to_string)));
}
