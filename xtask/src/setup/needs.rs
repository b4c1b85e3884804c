//! Requirements: a probe for each, and the packages that bring it.

use std::path::Path;

use crate::command::find;

/// A program or a header that something here uses.
#[derive(Debug)]
pub struct Need {
    /// Name in messages.
    pub name: &'static str,
    probe: Probe,
    /// Debian's package.
    pub package: &'static str,
}

#[derive(Debug)]
enum Probe {
    Program(&'static str),
    Header(&'static str),
}

/// To compile the daemon: libxdp and libbpf (inside xsk-rs) are C, and their bindings are made by libclang.
/// To run it: `ip`, which its users reach for anyway.
pub const BUILD: &[Need] = &[
    program("cc", "gcc"),
    program("make", "make"),
    program("m4", "m4"),
    program("pkg-config", "pkg-config"),
    program("clang", "clang"),
    header("gelf.h", "libelf-dev"),
    header("zlib.h", "zlib1g-dev"),
    program("ip", "iproute2"),
];

/// To show it at work: a server, a client, namespaces.
pub const DEMO: &[Need] = &[
    program("unshare", "util-linux"),
    program("nsenter", "util-linux"),
    program("python3", "python3"),
    program("curl", "curl"),
];

/// To fuzz it: libFuzzer is C++.
pub const FUZZ: &[Need] = &[program("c++", "g++")];

/// To test it: real servers, clients and tools of the same kind to compare with.
pub const TEST: &[Need] = &[
    program("unshare", "util-linux"),
    program("nsenter", "util-linux"),
    program("python3", "python3"),
    program("curl", "curl"),
    program("openssl", "openssl"),
    program("nginx", "nginx-light"),
    program("ethtool", "ethtool"),
    program("tc", "iproute2"),
    program("ping", "iputils-ping"),
    program("socat", "socat"),
    program("bpftool", "bpftool"),
    program("tmux", "tmux"),
    program("tcpdump", "tcpdump"),
    program("tshark", "tshark"),
    program("capinfos", "wireshark-common"),
    program("editcap", "wireshark-common"),
    program("tcpflow", "tcpflow"),
    program("tcpreplay", "tcpreplay"),
    program("script", "bsdutils"),
    program("setpriv", "util-linux"),
    program("promtool", "prometheus"),
    program("nats-server", "nats-server"),
];

/// Needed to boot other kernels: QEMU, and tools that build an initramfs.
pub const KERNELS: &[Need] = &[
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("busybox", "busybox-static"),
    program("modprobe", "kmod"),
    program("xz", "xz-utils"),
    program("zstd", "zstd"),
    program("bpftool", "bpftool"),
    program("ping", "iputils-ping"),
];

/// To measure it: a source of traffic, and peers that read the same captures.
pub const BENCH: &[Need] = &[
    program("nsenter", "util-linux"),
    program("python3", "python3"),
    program("ethtool", "ethtool"),
    program("iperf3", "iperf3"),
    program("nats-server", "nats-server"),
    header("nids.h", "libnids-dev"),
    // nids.h includes it, but its package doesn't depend on it.
    header("pcap.h", "libpcap-dev"),
];

const fn program(name: &'static str, package: &'static str) -> Need {
    Need {
        name,
        probe: Probe::Program(name),
        package,
    }
}

const fn header(name: &'static str, package: &'static str) -> Need {
    Need {
        name,
        probe: Probe::Header(name),
        package,
    }
}

impl Need {
    /// Looks at files only: cheap enough to do before every build.
    pub fn is_present(&self) -> bool {
        match self.probe {
            Probe::Program(program) => find(program).is_some(),
            Probe::Header(header) => {
                let multiarch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
                ["/usr/include", "/usr/local/include", &multiarch]
                    .iter()
                    .any(|directory| Path::new(directory).join(header).exists())
            }
        }
    }
}

/// Returns the requirements that this machine lacks.
pub fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| !need.is_present()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_needed_together_with_those_that_it_includes() {
        let packages: Vec<_> = BENCH.iter().map(|need| need.package).collect();
        assert!(packages.contains(&"libnids-dev"));
        assert!(packages.contains(&"libpcap-dev"), "nids.h includes pcap.h");
        let probes: Vec<_> = BENCH.iter().map(|need| need.name).collect();
        assert!(probes.contains(&"nids.h") && probes.contains(&"pcap.h"));
    }
}
