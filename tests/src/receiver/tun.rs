//! TUN device: the kernel's TCP on one end, the test on the other.
//!
//! The kernel handles a written packet before `write` returns, answers included. A script therefore needs no waiting: it
//! writes a segment, then reads the answers until there are none.

use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::{Namespace, Program};

/// Name of the device.
pub const DEVICE: &str = "t0";

/// Opens the device and passes its descriptor on: TUNSETIFF has no safe wrapper in Rust.
const OPENER: &str = r"
import fcntl, os, socket, struct, sys
fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH', sys.argv[2].encode(), 0x1001))
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(s, [b'x'], [fd])
";

/// The test's end of the device.
pub struct Tun(File);

impl Tun {
    /// Creates the device in a namespace: 10.9.0.1/16 and fd09::1/64 are the kernel's addresses.
    ///
    /// # Panics
    /// Without root, python3 or /dev/net/tun.
    #[must_use]
    #[track_caller]
    pub fn new(namespace: &Namespace) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tun.sock");
        let listener = UnixListener::bind(&path).expect("room for a socket");
        let mut python = namespace.command("python3");
        Program::run(python.args(["-c", OPENER]).arg(&path).arg(DEVICE));
        let (stream, _) = listener.accept().expect("the program has connected");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        recvmsg(&stream, &mut buffers, &mut ancillary, RecvFlags::empty()).expect("one message");
        let mut received = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let descriptor = received.next().expect("a descriptor");
        drop(received);
        for (setting, value) in [
            ("ipv6/conf/t0/accept_dad", "0"),
            ("ipv6/conf/t0/router_solicitations", "0"),
            ("ipv4/tcp_syncookies", "0"),
            // Every out-of-window segment is answered, not one each half second.
            ("ipv4/tcp_invalid_ratelimit", "0"),
            ("ipv4/tcp_max_syn_backlog", "4096"),
        ] {
            namespace.set(setting, value);
        }
        namespace.ip(&format!("link set {DEVICE} txqueuelen 20000"));
        namespace.ip(&format!("address add 10.9.0.1/16 dev {DEVICE}"));
        namespace.ip(&format!("address add fd09::1/64 dev {DEVICE} nodad"));
        namespace.ip(&format!("link set {DEVICE} up"));
        Self(File::from(descriptor))
    }

    /// Sends an IP packet to the kernel.
    ///
    /// # Panics
    /// When the kernel takes no packet of this form.
    pub fn send(&self, packet: &[u8]) {
        let written = (&self.0).write(packet).expect("the kernel takes packets");
        assert_eq!(written, packet.len());
    }

    /// Returns the next IP packet from the kernel, if there is one.
    ///
    /// # Panics
    /// When the device is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        match (&self.0).read(buffer) {
            Ok(len) => Some(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{DEVICE}: {error}"),
        }
    }
}
