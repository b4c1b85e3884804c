//! Checks of the host: kernel, privileges, devices, limits and memory.

use super::report::Report;
use super::system::System;
use super::target::Target;
use crate::show::units::size;

/// First kernel with each path.
const XDP_TAP: (u32, u32) = (6, 6);
const XDP_MIRROR: (u32, u32) = (5, 18);
const PACKET: (u32, u32) = (5, 10);

/// Kernel options, each with its purpose and with the paths that need it.
const OPTIONS: &[(&str, &str, bool)] = &[
    ("CONFIG_PACKET", "packet sockets", true),
    ("CONFIG_BPF_SYSCALL", "BPF programs", true),
    ("CONFIG_XDP_SOCKETS", "the xdp path", false),
    ("CONFIG_NET_XGRESS", "the xdp path in tap mode", false),
    ("CONFIG_TUN", "the xdp path in tap mode", false),
];

/// Capabilities by bit, with their purpose.
const CAPABILITIES: [(u32, &str, &str); 5] = [
    (13, "CAP_NET_RAW", "open packet and XDP sockets"),
    (39, "CAP_BPF", "load BPF programs"),
    (12, "CAP_NET_ADMIN", "attach programs to interfaces"),
    (38, "CAP_PERFMON", "use packet pointers in BPF programs"),
    (14, "CAP_IPC_LOCK", "register packet buffers"),
];
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;

/// Minimum backlogs: the kernel's own defaults.
const SYSCTLS: [(&str, u64, &str); 2] = [
    (
        "net.core.netdev_max_backlog",
        1000,
        "clones are lost in tap mode (device_dropped)",
    ),
    (
        "net.core.netdev_budget",
        300,
        "the kernel takes few packets at once, and network cards drop the others",
    ),
];

/// Runs all checks of the host. Returns the reasons against the xdp path.
pub fn check(system: &System, target: &Target, report: &mut Report) -> Vec<String> {
    let mut against = Vec::new();
    kernel(system, target, report, &mut against);
    options(system, target, report, &mut against);
    features(system, report);
    let held = effective(system, "/proc/self/status");
    capabilities("caller", held, target.pid.is_none(), report, &mut against);
    if let Some(pid) = target.pid {
        // Its supervisor keeps them, and all other threads give them up.
        let tasks = format!("/proc/{pid}/task");
        let threads = system.names(&tasks);
        let held = threads
            .iter()
            .filter_map(|thread| effective(system, &format!("{tasks}/{thread}/status")))
            .reduce(|all, held| all | held);
        capabilities("daemon", held, true, report, &mut against);
    }
    tun(system, target, report, &mut against);
    sysctls(system, report);
    memory(system, target, report);
    against
}

fn kernel(system: &System, target: &Target, report: &mut Report, against: &mut Vec<String>) {
    let Some(release) = system.read("/proc/sys/kernel/osrelease") else {
        return report.unknown("kernel", "/proc/sys/kernel/osrelease cannot be read");
    };
    let cure = "install a newer kernel (Debian: linux-image-amd64 from backports)";
    let Some(version) = version(&release) else {
        return report.unknown("kernel", release);
    };
    let needed = if target.mode == "mirror" {
        XDP_MIRROR
    } else {
        XDP_TAP
    };
    if version >= needed {
        return report.ok("kernel", release);
    }
    let reason = format!("Linux {}.{} or newer is needed", needed.0, needed.1);
    if version < PACKET {
        report.problem("kernel", format!("{release} is too old"), cure);
    } else if target.path == "xdp" {
        report.problem(
            "kernel",
            format!("{release}: {reason} for capture.path = \"xdp\""),
            cure,
        );
    } else {
        report.warning(
            "kernel",
            format!("{release}: {reason} for the xdp path"),
            cure,
        );
    }
    against.push(reason);
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn options(system: &System, target: &Target, report: &mut Report, against: &mut Vec<String>) {
    let release = system
        .read("/proc/sys/kernel/osrelease")
        .unwrap_or_default();
    let config = system
        .output("zcat", &["/proc/config.gz"])
        .or_else(|| system.read(&format!("/boot/config-{release}")));
    let Some(config) = config else {
        return report.unknown(
            "kernel options",
            format!("neither /proc/config.gz nor /boot/config-{release} can be read"),
        );
    };
    let is_set = |option: &str| {
        let is_option = |line: &str| {
            let (name, value) = line.split_once('=').unwrap_or_default();
            name == option && matches!(value, "y" | "m")
        };
        config.lines().any(is_option)
    };
    let is_tap = target.mode != "mirror";
    let mut missing = OPTIONS
        .iter()
        .filter(|(option, purpose, _)| {
            (is_tap || !purpose.ends_with("tap mode")) && !is_set(option)
        })
        .peekable();
    if missing.peek().is_none() {
        return report.ok("kernel options", "all are set");
    }
    for (option, purpose, always) in missing {
        let found = format!("{option} is not set; it is needed for {purpose}");
        let cure = format!("use a kernel with {option}");
        if *always || target.path == "xdp" {
            report.problem("kernel options", found.as_str(), cure);
        } else {
            report.warning("kernel options", found.as_str(), cure);
        }
        against.push(found);
    }
}

fn features(system: &System, report: &mut Report) {
    if system.exists("/sys/kernel/btf/vmlinux") {
        report.ok("BTF", "present");
    } else {
        report.ok("BTF", "absent; monitord doesn't need it");
    }
    match system.number("/proc/sys/net/core/bpf_jit_enable") {
        Some(0) => report.warning(
            "BPF JIT",
            "off: programs are interpreted, several times slower",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Some(_) => report.ok("BPF JIT", "on"),
        None => report.unknown("BPF JIT", "net.core.bpf_jit_enable cannot be read"),
    }
}

/// Returns the effective capabilities in a `status` file of /proc.
fn effective(system: &System, status: &str) -> Option<u64> {
    let status = system.read(status)?;
    let mut lines = status.lines();
    let held = lines.find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(held.trim(), 16).ok()
}

/// Checks the capabilities of a process. They matter for the daemon, or if none runs for the caller.
fn capabilities(
    process: &str,
    held: Option<u64>,
    matters: bool,
    report: &mut Report,
    against: &mut Vec<String>,
) {
    let check = format!("capabilities of the {process}");
    let Some(held) = held else {
        return report.unknown(&check, "they cannot be read");
    };
    let has = |bit: u32| held & (1 << bit) != 0;
    // CAP_SYS_ADMIN includes the two of Linux 5.8.
    let is_held = |bit: u32| has(bit) || (bit >= 38 && has(CAP_SYS_ADMIN));
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(bit, ..)| !is_held(*bit))
        .collect();
    if missing.is_empty() {
        return report.ok(&check, "complete");
    }
    let list: Vec<_> = missing
        .iter()
        .map(|(_, name, purpose)| format!("{name} (to {purpose})"))
        .collect();
    let found = format!("missing {}", list.join(", "));
    if !matters {
        return report.ok(&check, format!("{found}; a client needs none"));
    }
    against.push(found.clone());
    let names: Vec<_> = missing
        .iter()
        .map(|(_, name, _)| name.to_lowercase())
        .collect();
    let cure = format!(
        "run monitord as root or by its systemd unit, or `setcap {}+ep $(command -v monitord)`",
        names.join(",")
    );
    if missing.iter().any(|(bit, ..)| *bit == CAP_NET_RAW) {
        report.problem(&check, found, cure);
    } else {
        report.warning(&check, format!("{found}: only the packet path works"), cure);
    }
}

fn tun(system: &System, target: &Target, report: &mut Report, against: &mut Vec<String>) {
    if target.mode == "mirror" {
        return;
    }
    if system.exists("/dev/net/tun") {
        return report.ok("TUN", "/dev/net/tun is present");
    }
    let found = "/dev/net/tun is missing";
    let cure = "modprobe tun; for a container: --device /dev/net/tun";
    if target.path == "xdp" {
        report.problem("TUN", found, cure);
    } else {
        report.warning("TUN", format!("{found}: only the packet path works"), cure);
    }
    against.push(found.to_owned());
}

fn sysctls(system: &System, report: &mut Report) {
    for (name, least, effect) in SYSCTLS {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        match system.number(&path) {
            Some(value) if value < least => report.problem(
                name,
                format!("{value} is low: {effect}"),
                format!("sysctl -w {name}={least}"),
            ),
            Some(value) => report.ok(name, value.to_string()),
            None => report.unknown(name, "it can be read in the host's network namespace only"),
        }
    }
}

fn memory(system: &System, target: &Target, report: &mut Report) {
    let needed = size(target.memory);
    let cgroup = cgroup_limit(system, target.pid);
    if let Some((limit, file)) = cgroup
        && limit < target.memory
    {
        return report.problem(
            "memory",
            format!(
                "store.memory and capture.buffers take {needed}, the cgroup allows {}",
                size(limit)
            ),
            format!("lower store.memory, or raise {file}"),
        );
    }
    let info = system.read("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| -> Option<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    // The memory of a running daemon isn't available any more.
    let name = if target.pid.is_some() {
        "MemTotal:"
    } else {
        "MemAvailable:"
    };
    match kib(name).map(|kib| kib.saturating_mul(1024)) {
        Some(bytes) if bytes < target.memory => report.problem(
            "memory",
            format!(
                "store.memory and capture.buffers take {needed}, the host has {}",
                size(bytes)
            ),
            "lower store.memory",
        ),
        Some(bytes) => report.ok("memory", format!("{needed} of {}", size(bytes))),
        None => report.unknown("memory", "/proc/meminfo cannot be read"),
    }
}

/// Returns the lowest memory limit of a process's cgroup and those above it, and its file. Without a pid: of the caller.
fn cgroup_limit(system: &System, pid: Option<u32>) -> Option<(u64, String)> {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let text = system.read(&format!("/proc/{process}/cgroup"))?;
    let mut limits = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (top, name) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        loop {
            let file = format!("{top}{path}/{name}");
            limits.extend(system.number(&file).map(|limit| (limit, file)));
            let Some((parent, _)) = path.rsplit_once('/') else {
                break;
            };
            path = parent;
        }
    }
    limits.into_iter().min()
}
