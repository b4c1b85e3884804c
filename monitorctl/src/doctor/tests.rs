//! Tests of the checks on a system made of files.

use std::fs;

use tempfile::TempDir;

use super::examine;
use super::report::{Finding, Level, Report};
use super::system::System;
use super::target::Target;

/// A system without a problem: a current kernel, all capabilities and one card.
struct Host {
    dir: TempDir,
    target: Target,
}

impl Host {
    fn new(mode: &str) -> Self {
        let target = Target {
            mode: mode.to_owned(),
            interfaces: vec!["eth0".to_owned()],
            ..Target::default()
        };
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
            target,
        };
        host.write("proc/sys/kernel/osrelease", "6.12.1-amd64\n");
        let options = "CONFIG_PACKET=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_XDP_SOCKETS=y\nCONFIG_NET_XGRESS=y\nCONFIG_TUN=m\n";
        host.write("boot/config-6.12.1-amd64", options);
        host.write("sys/kernel/btf/vmlinux", "");
        host.write("proc/sys/net/core/bpf_jit_enable", "1\n");
        host.write("proc/sys/net/core/netdev_max_backlog", "1000\n");
        host.write("proc/sys/net/core/netdev_budget", "300\n");
        host.write("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
        host.write("proc/self/cgroup", "0::/a/b\n");
        host.write(
            "proc/meminfo",
            "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n",
        );
        host.write("dev/net/tun", "");
        host.write("sys/class/net/eth0/flags", "0x1003\n");
        host.write("sys/class/net/eth0/mtu", "1500\n");
        host.write("sys/class/net/eth0/queues/rx-0/x", "");
        host.write(
            "output/ip -j -d link show dev eth0",
            r#"[{"linkinfo":{"info_kind":"veth"}}]"#,
        );
        host.write(
            "output/ethtool -k eth0",
            "large-receive-offload: off [fixed]\n",
        );
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.dir.path().join(path)).unwrap();
    }

    fn findings(&self) -> Vec<Finding> {
        let mut report = Report::default();
        examine(&System::at(self.dir.path()), &self.target, &mut report);
        report.findings
    }

    /// Asserts that there is one finding of this level, of this check and with these words in text and cure.
    #[track_caller]
    fn assert_only(&self, level: Level, check: &str, found: &str, cure: &str) {
        let findings = self.findings();
        let worse: Vec<_> = findings
            .iter()
            .filter(|finding| finding.level != Level::Ok)
            .collect();
        let [finding] = worse.as_slice() else {
            panic!("{worse:#?}");
        };
        assert_eq!((finding.level, finding.check.as_str()), (level, check));
        assert!(finding.found.contains(found), "{finding:?}");
        assert!(finding.cure.as_ref().unwrap().contains(cure), "{finding:?}");
    }

    #[track_caller]
    fn assert_path(&self, text: &str) {
        let findings = self.findings();
        let path = findings
            .iter()
            .find(|finding| finding.check == "eth0: path");
        assert!(path.unwrap().found.starts_with(text), "{path:?}");
    }
}

#[test]
fn a_good_host_has_no_findings() {
    for mode in ["tap", "mirror"] {
        let host = Host::new(mode);
        assert!(
            host.findings()
                .iter()
                .all(|finding| finding.level == Level::Ok),
            "{:#?}",
            host.findings()
        );
        host.assert_path("xdp");
    }
}

#[test]
fn a_missing_tun_device_is_named() {
    let host = Host::new("tap");
    host.remove("dev/net/tun");
    host.assert_only(
        Level::Warning,
        "TUN",
        "/dev/net/tun is missing",
        "modprobe tun",
    );
    host.assert_path("packet: /dev/net/tun is missing");
}

#[test]
fn missing_capabilities_are_named() {
    let host = Host::new("tap");
    // All but CAP_BPF and CAP_SYS_ADMIN.
    host.write("proc/self/status", "CapEff:\t0000017fffdfffff\n");
    let check = "capabilities of the caller";
    host.assert_only(Level::Warning, check, "CAP_BPF", "setcap cap_bpf+ep");
    host.write("proc/self/status", "CapEff:\t0000000000000000\n");
    host.assert_only(Level::Problem, check, "CAP_NET_RAW", "run monitord as root");
}

#[test]
fn the_capabilities_of_a_daemon_are_those_of_all_its_threads() {
    let mut host = Host::new("tap");
    host.target.pid = Some(7);
    let none = "CapEff:\t0000000000000000\n";
    host.write("proc/7/status", none);
    host.write("proc/7/task/7/status", none);
    host.write("proc/7/task/8/status", "CapEff:\t000000c000007000\n");
    // A client needs none.
    host.write("proc/self/status", none);
    let findings = host.findings();
    assert!(findings.iter().all(|finding| finding.level == Level::Ok));
    host.write("proc/7/task/8/status", none);
    let check = "capabilities of the daemon";
    host.assert_only(Level::Problem, check, "CAP_NET_RAW", "run monitord as root");
}

#[test]
fn a_foreign_xdp_program_is_named() {
    let host = Host::new("mirror");
    let link =
        r#"[{"linkinfo":{"info_kind":"veth"},"xdp":{"mode":1,"prog":{"id":7,"name":"other"}}}]"#;
    host.write("output/ip -j -d link show dev eth0", link);
    let check = "eth0: XDP program";
    host.assert_only(Level::Problem, check, "other (id 7)", "bpftool link detach");
}

#[test]
fn a_large_mtu_is_named() {
    let host = Host::new("mirror");
    host.write("sys/class/net/eth0/mtu", "9000\n");
    host.assert_only(Level::Warning, "eth0: MTU", "9000", "mtu 3818");
}

#[test]
fn low_backlogs_are_named() {
    let host = Host::new("tap");
    host.write("proc/sys/net/core/netdev_max_backlog", "100\n");
    let check = "net.core.netdev_max_backlog";
    host.assert_only(
        Level::Problem,
        check,
        "100 is low",
        "sysctl -w net.core.netdev_max_backlog=1000",
    );
}

#[test]
fn memory_above_the_cgroup_or_the_host_is_named() {
    let host = Host::new("tap");
    host.write("sys/fs/cgroup/a/memory.max", "209715200\n");
    host.write("sys/fs/cgroup/a/b/memory.max", "max\n");
    host.assert_only(
        Level::Problem,
        "memory",
        "the cgroup allows 200 MiB",
        "/sys/fs/cgroup/a/memory.max",
    );
    let host = Host::new("tap");
    host.write("proc/self/cgroup", "4:memory:/x\n0::/\n");
    host.write(
        "sys/fs/cgroup/memory/x/memory.limit_in_bytes",
        "104857600\n",
    );
    host.assert_only(
        Level::Problem,
        "memory",
        "the cgroup allows 100 MiB",
        "lower store.memory",
    );
    let host = Host::new("tap");
    host.write("proc/meminfo", "MemAvailable: 100000 kB\n");
    host.assert_only(
        Level::Problem,
        "memory",
        "the host has 98 MiB",
        "lower store.memory",
    );
}

#[test]
fn old_kernels_take_the_packet_path() {
    let mut host = Host::new("tap");
    host.write("proc/sys/kernel/osrelease", "6.1.0-30-amd64\n");
    host.write("boot/config-6.1.0-30-amd64", "CONFIG_PACKET=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_XDP_SOCKETS=y\nCONFIG_NET_XGRESS=y\nCONFIG_TUN=y\n");
    host.assert_only(
        Level::Warning,
        "kernel",
        "Linux 6.6 or newer",
        "newer kernel",
    );
    host.assert_path("packet: Linux 6.6");
    host.target.mode = "mirror".to_owned();
    host.assert_path("xdp");
    host.target.mode = "tap".to_owned();
    host.target.path = "xdp".to_owned();
    let findings = host.findings();
    assert!(
        findings
            .iter()
            .any(|finding| finding.check == "eth0: path" && finding.level == Level::Problem)
    );
}

#[test]
fn interfaces_that_are_missing_down_or_merge_packets_are_named() {
    let mut host = Host::new("mirror");
    host.write("sys/class/net/eth0/flags", "0x1002\n");
    host.assert_only(
        Level::Problem,
        "eth0: state",
        "down",
        "ip link set dev eth0 up",
    );
    host.write("sys/class/net/eth0/flags", "0x1003\n");
    host.write("output/ethtool -k eth0", "large-receive-offload: on\n");
    host.assert_only(
        Level::Warning,
        "eth0: offloads",
        "lro",
        "ethtool -K eth0 lro off",
    );
    host.target.interfaces = vec!["eth9".to_owned()];
    host.assert_only(
        Level::Problem,
        "eth9: state",
        "no such interface",
        "capture.interfaces",
    );
}
