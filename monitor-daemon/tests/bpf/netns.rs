//! Network namespace of a test, with helpers for interfaces, frames and counters.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use monitor_daemon::capture::bpf::{self, Counter};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `test` in a new network namespace. Prints the reason where it must be skipped.
pub fn within(name: &str, test: impl FnOnce() + Send) {
    if let Some(reason) = missing() {
        monitor_tests::skip::record(&format!("bpf::{name}"), &reason);
        return;
    }
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter();
            // Without IPv6 the kernel sends nothing of its own on new interfaces, which would be counted.
            for which in ["all", "default"] {
                fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1").unwrap();
            }
            run("ip link set lo up");
            test();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    bpf::available().err().map(|error| error.to_string())
}

/// Enters a new namespace. Its name is removed, so that it ends with this thread and its children.
fn enter() {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "kernel-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    run(&format!("ip netns add {name}"));
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    run(&format!("ip netns del {name}"));
}

/// Runs a command in this thread's namespace, which must succeed.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Creates a pair of veth interfaces, up, for frames of every size that a packet socket sends.
pub fn veth(one: &str, other: &str) {
    run(&format!(
        "ip link add {one} mtu 9000 type veth peer name {other} mtu 9000"
    ));
    run(&format!("ip link set {one} up"));
    run(&format!("ip link set {other} up"));
}

/// Creates a monitor device: `tap` or `tun`.
pub fn monitor(name: &str, mode: &str, mtu: u32) -> u32 {
    run(&format!("ip tuntap add dev {name} mode {mode}"));
    run(&format!("ip link set {name} mtu {mtu} up"));
    index(name)
}

/// Returns the index of an interface.
pub fn index(name: &str) -> u32 {
    let line = run(&format!("ip -o link show dev {name}"));
    line.split(':').next().unwrap().parse().unwrap()
}

/// Creates a socket for the XSKMAP. It is not bound: the kernel drops packets redirected to it.
pub fn xdp_socket() -> OwnedFd {
    socket(AddressFamily::XDP, SocketType::RAW, None).unwrap()
}

/// Sends frames through a packet socket on an interface.
pub fn send(interface: &str, frames: &[Vec<u8>]) {
    assert!(try_send(interface, frames), "sending on {interface}");
}

/// Sends frames; returns whether the interface accepted all of them.
pub fn try_send(interface: &str, frames: &[Vec<u8>]) -> bool {
    let mut sender = python("send", interface, frames.len());
    let mut input = sender.stdin.take().unwrap();
    for frame in frames {
        writeln!(input, "{}", hex(frame)).unwrap();
    }
    drop(input);
    sender.wait().unwrap().success()
}

/// Starts to receive frames from a packet socket on an interface, before TC; [`Receiver::frames`] ends it.
pub fn receive(interface: &str, count: usize) -> Receiver {
    receiver("receive", interface, count)
}

/// Starts to receive IPv4 frames from an interface, as the network stack does: after TC, without VLAN tag.
pub fn receive_as_stack(interface: &str, count: usize) -> Receiver {
    receiver("receive-ip", interface, count)
}

fn receiver(verb: &str, interface: &str, count: usize) -> Receiver {
    let mut child = python(verb, interface, count);
    let mut ready = [0];
    io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    Receiver(child)
}

/// A running receiver.
pub struct Receiver(Child);

impl Receiver {
    /// Returns the frames received: the expected number, or those of five seconds.
    pub fn frames(self) -> Vec<Vec<u8>> {
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .split_whitespace()
            .map(unhex)
            .collect()
    }
}

fn python(verb: &str, interface: &str, count: usize) -> Child {
    Command::new("python3")
        .args([
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bpf/frames.py"),
            verb,
            interface,
            &count.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Returns the value of a counter.
pub fn value(counters: &[Counter], name: &str) -> u64 {
    counters
        .iter()
        .find(|counter| counter.0 == name)
        .expect(name)
        .2
}

/// Returns the counters that are not 0.
pub fn nonzero(counters: &[Counter]) -> Vec<(&'static str, u64)> {
    counters
        .iter()
        .filter(|counter| counter.2 != 0)
        .map(|counter| (counter.0, counter.2))
        .collect()
}

/// Waits until `condition` holds: packets pass softirqs asynchronously.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "still not: {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
