//! Network namespaces and the cables between them. Everything is removed when it is dropped.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Program, until};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace of its own, with `lo` up.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, named `mt-PID-N`.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new() -> Self {
        let name = format!("mt-{}-{}", id(), NEXT.fetch_add(1, Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, for ip-netns.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that names it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A program that will run in it. Only the network is its own: `ip netns exec` would hide /sys/fs/bpf too.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// Runs a program in the namespace until it ends successfully, and returns its output.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a program");
        Program::run(self.command(program).args(words)).text()
    }

    /// `ip` with these words.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        self.run(&format!("ip {words}"))
    }

    /// Calls `body` on a thread that is in this namespace: sockets that it opens belong to it, wherever they go then.
    ///
    /// # Panics
    /// When `body` does.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        enter(&self.path(), body)
    }

    /// Changes one of its kernel settings, by the path below /proc/sys/net.
    ///
    /// # Panics
    /// When there is no such setting, or it does not take the value.
    #[track_caller]
    pub fn set(&self, setting: &str, value: &str) {
        let path = Path::new("/proc/sys/net").join(setting);
        // The kernel resolves these files in the namespace of the thread that opens them.
        self.enter(|| fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Waits until the kernel lets packets through an interface. That is later than its carrier: with many new
    /// interfaces, the kernel works through their carriers in batches, one each second.
    ///
    /// # Panics
    /// When it takes longer than [`DEADLINE`](crate::DEADLINE).
    #[track_caller]
    pub fn until_up(&self, interface: &str) {
        let link = format!("ip -oneline link show dev {interface}");
        until(&format!("{interface} to be up"), || {
            self.run(&link).contains(" state UP ").then_some(())
        });
    }

    /// A number that the kernel keeps of an interface, by its name in /sys/class/net/NAME/statistics.
    ///
    /// # Panics
    /// When there is no such interface or number.
    #[must_use]
    pub fn statistic(&self, interface: &str, name: &str) -> u64 {
        let links = self.run(&format!("ip -json -stats link show dev {interface}"));
        let links: serde_json::Value = serde_json::from_str(&links).expect("ip prints JSON");
        let (direction, name) = name.split_once('_').expect("rx_ or tx_");
        links[0]["stats64"][direction][name]
            .as_u64()
            .expect("a number of the interface")
    }
}

/// Calls `body` on a thread that is in the namespace at a path.
pub(crate) fn enter<T: Send>(path: &Path, body: impl FnOnce() -> T + Send) -> T {
    let file = File::open(path).expect("the namespace's file");
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter a namespace");
            body()
        });
        inside
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let status = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("cannot remove the namespace {}", self.name);
        }
    }
}

/// Connection between two namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Queues of each end, each way.
    pub queues: u32,
    /// Largest IP packet.
    pub mtu: u32,
    /// Segmentation and checksums left to the device, as cards do.
    pub offloads: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            queues: 1,
            mtu: 1500,
            offloads: true,
        }
    }
}

/// Two namespaces and the cable between them: `veth` in each, 10.9.0.1/24 and fd09::1/64 in `a`, 10.9.0.2 and
/// fd09::2 in `b`.
pub struct Pair {
    /// Namespace of the server and the monitor.
    pub a: Namespace,
    /// Namespace of the client.
    pub b: Namespace,
}

/// Hub and hosts on its bridge `br0`: 10.9.0.3/24 and fd09::3/64 on `br0` in `hub`, 10.9.0.1 and fd09::1 on `veth` in `a`,
/// 10.9.0.2 and fd09::2 on `veth` in `b`.
pub struct Bridge {
    /// Namespace of the bridge, whose ports are `port1` and `port2`.
    pub hub: Namespace,
    /// First host.
    pub a: Namespace,
    /// Second host.
    pub b: Namespace,
}

impl Network {
    /// Two new namespaces and the cable between them.
    #[must_use]
    #[track_caller]
    pub fn pair(self) -> Pair {
        let pair = Pair {
            a: Namespace::new(),
            b: Namespace::new(),
        };
        self.connect(&pair.a, &pair.b);
        pair
    }

    /// Lays the cable.
    #[track_caller]
    pub fn connect(self, a: &Namespace, b: &Namespace) {
        self.cable((a, "veth"), (b, "veth"));
        for (namespace, number) in [(a, 1), (b, 2)] {
            address(namespace, "veth", number);
        }
        for namespace in [a, b] {
            namespace.until_up("veth");
        }
    }

    /// A new hub and two new hosts on its bridge.
    #[must_use]
    #[track_caller]
    pub fn bridge(self) -> Bridge {
        let [hub, a, b] = [(); 3].map(|()| Namespace::new());
        hub.ip("link add br0 type bridge");
        for (host, port, number) in [(&a, "port1", 1), (&b, "port2", 2)] {
            self.cable((&hub, port), (host, "veth"));
            hub.ip(&format!("link set {port} master br0 up"));
            address(host, "veth", number);
        }
        address(&hub, "br0", 3);
        for (namespace, interface) in [(&hub, "br0"), (&a, "veth"), (&b, "veth")] {
            namespace.until_up(interface);
        }
        Bridge { hub, a, b }
    }

    /// Makes an interface in each namespace, with a cable between them.
    #[track_caller]
    fn cable(self, (a, one): (&Namespace, &str), (b, other): (&Namespace, &str)) {
        let Self {
            queues,
            mtu,
            offloads,
        } = self;
        let end = format!("mtu {mtu} numrxqueues {queues} numtxqueues {queues}");
        let peer = format!("peer name {other} {end} netns {}", b.name);
        a.ip(&format!("link add {one} {end} type veth {peer}"));
        if !offloads {
            for (namespace, interface) in [(a, one), (b, other)] {
                let off = "tso off gso off gro off tx off rx off";
                namespace.run(&format!("ethtool -K {interface} {off}"));
            }
        }
    }
}

/// Sets the addresses of an interface, and sets it up.
#[track_caller]
fn address(namespace: &Namespace, interface: &str, number: u8) {
    // No router solicitations, no duplicate address detection: the only packets are the test's.
    namespace.set(&format!("ipv6/conf/{interface}/accept_dad"), "0");
    namespace.set(&format!("ipv6/conf/{interface}/router_solicitations"), "0");
    for address in [
        format!("10.9.0.{number}/24"),
        format!("fd09::{number}/64 nodad"),
    ] {
        namespace.ip(&format!("address add {address} dev {interface}"));
    }
    namespace.ip(&format!("link set {interface} up"));
}

#[track_caller]
fn ip(words: &[&str]) {
    Program::run(Command::new("ip").args(words));
}
