//! Checks of an interface: driver, queues, path, frame size, offloads and foreign XDP programs.

use serde_json::Value;

use super::report::Report;
use super::system::System;
use super::target::Target;

/// Drivers that run XDP programs and redirect from them, by the kernel's sources up to 6.18.
const NATIVE: &[&str] = &[
    "atlantic",
    "bnxt_en",
    "ena",
    "enetc",
    "fsl_dpaa2_eth",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "netsec",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "tun",
    "veth",
    "virtio_net",
    "vmxnet3",
];

/// Drivers with zero-copy AF_XDP sockets.
const ZERO_COPY: &[&str] = &[
    "fsl_dpaa2_eth",
    "gve",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "mlx5_core",
    "nfp",
    "stmmac",
    "virtio_net",
];

/// Bytes of a frame in one packet buffer: a page without the kernel's headroom.
const FRAME: u64 = 4096 - 256;
/// Ethernet header with two VLAN tags.
const HEADER: u64 = 22;

/// Runs all checks of one interface. `against` has the host's reasons against the xdp path.
pub fn check(
    system: &System,
    target: &Target,
    name: &str,
    against: &[String],
    report: &mut Report,
) {
    let class = format!("/sys/class/net/{name}");
    let label = |check: &str| format!("{name}: {check}");
    if !system.exists(&class) {
        return report.problem(
            &label("state"),
            "there is no such interface",
            "correct capture.interfaces; `ip link` lists the interfaces",
        );
    }
    let link = link(system, name);
    state(system, name, report);
    let driver = driver(system, name, link.as_ref());
    let queues = system.names(&format!("{class}/queues"));
    let queues = queues
        .iter()
        .filter(|queue| queue.starts_with("rx-"))
        .count();
    let shown = driver.as_deref().unwrap_or("unknown");
    report.ok(
        &label("driver"),
        format!("{shown}, {queues} receive queues"),
    );
    let is_mirror = target.mode == "mirror";
    foreign_program(name, link.as_ref(), is_mirror, report);
    let mut against = against.to_vec();
    if is_mirror {
        against.extend(xdp_support(name, driver.as_deref(), report));
        frame_size(system, name, report);
        offloads(system, name, report);
    }
    path(target, name, &against, report);
}

/// Returns the interface as `ip` describes it.
fn link(system: &System, name: &str) -> Option<Value> {
    let text = system.output("ip", &["-j", "-d", "link", "show", "dev", name])?;
    let links: Value = serde_json::from_str(&text).ok()?;
    links.get(0).cloned()
}

fn state(system: &System, name: &str, report: &mut Report) {
    let flags = system.read(&format!("/sys/class/net/{name}/flags"));
    let flags =
        flags.and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok());
    let check = format!("{name}: state");
    match flags {
        // IFF_UP
        Some(flags) if flags & 1 == 0 => {
            report.problem(&check, "down", format!("ip link set dev {name} up"));
        }
        Some(_) => report.ok(&check, "up"),
        None => report.unknown(&check, "its flags cannot be read"),
    }
}

/// Returns the driver of a card, or the kind of a virtual interface.
fn driver(system: &System, name: &str, link: Option<&Value>) -> Option<String> {
    let driver = system.link(&format!("/sys/class/net/{name}/device/driver"));
    driver.or_else(|| {
        let link = link?;
        let kind = link["linkinfo"]["info_kind"].as_str();
        kind.or_else(|| link["link_type"].as_str())
            .map(str::to_owned)
    })
}

fn foreign_program(name: &str, link: Option<&Value>, is_mirror: bool, report: &mut Report) {
    let check = format!("{name}: XDP program");
    let Some(link) = link else {
        return report.unknown(&check, "`ip` (iproute2) is needed to see it");
    };
    let program = &link["xdp"]["prog"];
    if program.is_null() {
        return report.ok(&check, "none");
    }
    let found = format!(
        "{} (id {})",
        program["name"].as_str().unwrap_or("unnamed"),
        program["id"]
    );
    // monitord's own program.
    if program["name"].as_str() == Some("steer") {
        return report.ok(&check, format!("{found}, of monitord"));
    }
    if is_mirror {
        report.problem(
            &check,
            format!("{found} owns the XDP hook"),
            format!(
                "ip link set dev {name} xdp off; if the kernel refuses, it is attached by a link: \
                 find its id with `bpftool link`, then `bpftool link detach id ID`"
            ),
        );
    } else {
        report.ok(
            &check,
            format!("{found}; tap mode doesn't use the XDP hook"),
        );
    }
}

/// Reports the support of XDP. Returns the reason against the xdp path.
fn xdp_support(name: &str, driver: Option<&str>, report: &mut Report) -> Option<String> {
    let check = format!("{name}: XDP support");
    let Some(driver) = driver else {
        report.unknown(&check, "the driver is unknown");
        return None;
    };
    if ZERO_COPY.contains(&driver) {
        report.ok(&check, "native, zero-copy with a recent kernel");
        return None;
    }
    if NATIVE.contains(&driver) {
        report.ok(&check, "native");
        return None;
    }
    let (found, cure) = if driver == "bond" {
        (
            "a bond's packets carry the queues of its slaves",
            "set capture.interfaces to the slaves",
        )
    } else {
        (
            "the driver is not known to run XDP programs",
            "the packet path works; for XDP use a card with i40e, ice, ixgbe, mlx5_core or virtio_net",
        )
    };
    report.warning(&check, found, cure);
    Some(found.to_owned())
}

fn frame_size(system: &System, name: &str, report: &mut Report) {
    let check = format!("{name}: MTU");
    let Some(mtu) = system.number(&format!("/sys/class/net/{name}/mtu")) else {
        return report.unknown(&check, "it cannot be read");
    };
    if mtu + HEADER <= FRAME {
        return report.ok(&check, mtu.to_string());
    }
    let fitting = FRAME - HEADER;
    report.warning(
        &check,
        format!("{mtu}: a frame doesn't fit one packet buffer ({FRAME} bytes); XDP needs a driver with multi-buffer support"),
        format!("ip link set dev {name} mtu {fitting}, if the link carries no larger frames; else the packet path is used"),
    );
}

fn offloads(system: &System, name: &str, report: &mut Report) {
    let check = format!("{name}: offloads");
    let Some(text) = system.output("ethtool", &["-k", name]) else {
        return report.unknown(&check, "`ethtool` is needed to see them");
    };
    let is_on = |feature: &str| {
        text.lines().any(|line| {
            let (key, value) = line.trim().split_once(':').unwrap_or_default();
            key == feature && value.trim_start().starts_with("on")
        })
    };
    let merging: Vec<_> = [("large-receive-offload", "lro"), ("rx-gro-hw", "rx-gro-hw")]
        .into_iter()
        .filter(|(feature, _)| is_on(feature))
        .map(|(_, short)| short)
        .collect();
    if merging.is_empty() {
        let gro = if is_on("generic-receive-offload") {
            "GRO is on; it runs after XDP"
        } else {
            "GRO is off"
        };
        return report.ok(&check, format!("LRO is off, {gro}"));
    }
    let cures: Vec<_> = merging.iter().map(|short| format!("{short} off")).collect();
    report.warning(
        &check,
        format!(
            "the card merges packets ({}): drivers refuse XDP then",
            merging.join(", ")
        ),
        format!("ethtool -K {name} {}", cures.join(" ")),
    );
}

/// Reports the path that `capture.path` leads to, with the reason.
fn path(target: &Target, name: &str, against: &[String], report: &mut Report) {
    let check = format!("{name}: path");
    match (target.path.as_str(), against.first()) {
        ("packet", _) => report.ok(&check, "packet, by capture.path"),
        ("xdp", Some(reason)) => report.problem(
            &check,
            format!("capture.path is \"xdp\", but {reason}"),
            "set capture.path = \"auto\"",
        ),
        (_, Some(reason)) => report.ok(&check, format!("packet: {reason}")),
        (_, None) => report.ok(&check, "xdp"),
    }
}
