//! Requirements: a probe for each, and the packages that bring it.

use std::path::Path;

use crate::command::find;

/// A program or a header that something here uses.
#[derive(Debug)]
pub struct Need {
    /// Name in messages.
    pub name: &'static str,
    probe: Probe,
    /// Its package for apt, dnf and pacman, in this order.
    pub packages: [&'static str; 3],
}

#[derive(Debug)]
enum Probe {
    Program(&'static str),
    Header(&'static str),
}

/// To compile the daemon: libxdp and libbpf (inside xsk-rs) are C, and their bindings are made by libclang.
/// To run it: `ip`, which its users reach for anyway.
pub const BUILD: &[Need] = &[
    program("cc", ["gcc", "gcc", "gcc"]),
    program("make", ["make", "make", "make"]),
    program("m4", ["m4", "m4", "m4"]),
    program(
        "pkg-config",
        ["pkg-config", "pkgconf-pkg-config", "pkgconf"],
    ),
    program("clang", ["clang", "clang", "clang"]),
    header("gelf.h", ["libelf-dev", "elfutils-libelf-devel", "libelf"]),
    header("zlib.h", ["zlib1g-dev", "zlib-devel", "zlib"]),
    program("ip", ["iproute2", "iproute", "iproute2"]),
];

/// To show it at work: a server, a client, namespaces.
pub const DEMO: &[Need] = &[
    program("unshare", ["util-linux", "util-linux", "util-linux"]),
    program("nsenter", ["util-linux", "util-linux", "util-linux"]),
    program("python3", ["python3", "python3", "python"]),
    program("curl", ["curl", "curl", "curl"]),
];

/// To fuzz it: libFuzzer is C++.
pub const FUZZ: &[Need] = &[program("c++", ["g++", "gcc-c++", "gcc"])];

/// To test it: real servers, clients and tools of the same kind to compare with.
pub const TEST: &[Need] = &[
    program("unshare", ["util-linux", "util-linux", "util-linux"]),
    program("nsenter", ["util-linux", "util-linux", "util-linux"]),
    program("python3", ["python3", "python3", "python"]),
    program("curl", ["curl", "curl", "curl"]),
    program("openssl", ["openssl", "openssl", "openssl"]),
    program("nginx", ["nginx-light", "nginx", "nginx"]),
    program("ethtool", ["ethtool", "ethtool", "ethtool"]),
    program("tc", ["iproute2", "iproute-tc", "iproute2"]),
    program("ping", ["iputils-ping", "iputils", "iputils"]),
    program("socat", ["socat", "socat", "socat"]),
    program("bpftool", ["bpftool", "bpftool", "bpf"]),
    program("tmux", ["tmux", "tmux", "tmux"]),
];

/// Needed to boot other kernels: QEMU, and tools that build an initramfs.
pub const KERNELS: &[Need] = &[
    program(
        "qemu-system-x86_64",
        ["qemu-system-x86", "qemu-system-x86-core", "qemu-base"],
    ),
    program("busybox", ["busybox-static", "busybox", "busybox"]),
    program("modprobe", ["kmod", "kmod", "kmod"]),
    program("xz", ["xz-utils", "xz", "xz"]),
    program("zstd", ["zstd", "zstd", "zstd"]),
    program("bpftool", ["bpftool", "bpftool", "bpf"]),
    program("ping", ["iputils-ping", "iputils", "iputils"]),
];

/// To measure it: a source of traffic, and peers that read the same captures.
pub const BENCH: &[Need] = &[
    program("nsenter", ["util-linux", "util-linux", "util-linux"]),
    program("python3", ["python3", "python3", "python"]),
    program("ethtool", ["ethtool", "ethtool", "ethtool"]),
    program("iperf3", ["iperf3", "iperf3", "iperf3"]),
    header("nids.h", ["libnids-dev", "libnids-devel", "libnids"]),
];

const fn program(name: &'static str, packages: [&'static str; 3]) -> Need {
    Need {
        name,
        probe: Probe::Program(name),
        packages,
    }
}

const fn header(name: &'static str, packages: [&'static str; 3]) -> Need {
    Need {
        name,
        probe: Probe::Header(name),
        packages,
    }
}

impl Need {
    /// Looks at files only: cheap enough to do before every build.
    pub fn is_there(&self) -> bool {
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

/// Returns the requirements whose probe fails.
pub fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| !need.is_there()).collect()
}
