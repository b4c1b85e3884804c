//! Privileges of this process for a live capture.

use rustix::thread::{CapabilitySet, capabilities};

use crate::config::CapturePath;
use crate::live::Privileges;

/// Capability, its name, its purpose.
type Needed = (CapabilitySet, &'static str, &'static str);

const NET_RAW: Needed = (
    CapabilitySet::NET_RAW,
    "CAP_NET_RAW",
    "open packet and XDP sockets",
);

/// Capabilities for XDP.
const XDP: [Needed; 5] = [
    (
        CapabilitySet::NET_ADMIN,
        "CAP_NET_ADMIN",
        "attach programs to interfaces and create the monitor device",
    ),
    NET_RAW,
    (CapabilitySet::BPF, "CAP_BPF", "load BPF programs"),
    (
        CapabilitySet::PERFMON,
        "CAP_PERFMON",
        "let BPF programs compute with packet pointers",
    ),
    (
        CapabilitySet::IPC_LOCK,
        "CAP_IPC_LOCK",
        "register packet buffers with the kernel",
    ),
];

/// Missing capabilities.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("missing {}: run monitord as root, or give it {}", self.list(), self.pronoun())]
pub struct MissingPrivilege {
    missing: Vec<(&'static str, &'static str)>,
}

/// Returns the privileges of this process, or the capabilities that are missing for a path.
pub fn check(path: CapturePath) -> Result<Privileges, MissingPrivilege> {
    // Without an answer of the kernel, the first call that needs a capability fails.
    let held = capabilities(None).map_or(CapabilitySet::all(), |sets| sets.effective);
    privileges(held, path)
}

fn privileges(held: CapabilitySet, path: CapturePath) -> Result<Privileges, MissingPrivilege> {
    // CAP_SYS_ADMIN includes these two, which exist from Linux 5.8 on.
    let split = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let held = if held.contains(CapabilitySet::SYS_ADMIN) {
        held | split
    } else {
        held
    };
    let needed: &[Needed] = match path {
        CapturePath::Xdp => &XDP,
        CapturePath::Auto | CapturePath::Packet => &[NET_RAW],
    };
    require(held, needed)?;
    let bpf = held.contains(CapabilitySet::BPF);
    let missing = require(held, &XDP).err();
    Ok(Privileges {
        xdp_missing: missing.map(|missing| format!("missing {} for XDP", missing.list())),
        bpf,
    })
}

fn require(held: CapabilitySet, needed: &[Needed]) -> Result<(), MissingPrivilege> {
    let missing: Vec<_> = needed
        .iter()
        .filter(|(capability, ..)| !held.contains(*capability))
        .map(|(_, name, purpose)| (*name, *purpose))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(MissingPrivilege { missing })
    }
}

impl MissingPrivilege {
    fn list(&self) -> String {
        let each = self
            .missing
            .iter()
            .map(|(name, purpose)| format!("{name} (to {purpose})"));
        each.collect::<Vec<_>>().join(", ")
    }

    fn pronoun(&self) -> &'static str {
        if self.missing.len() == 1 {
            "that capability"
        } else {
            "those capabilities"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named_with_its_purpose() {
        let all = XDP
            .iter()
            .fold(CapabilitySet::empty(), |set, (capability, ..)| {
                set | *capability
            });
        let full = Privileges {
            xdp_missing: None,
            bpf: true,
        };
        assert_eq!(privileges(all, CapturePath::Xdp), Ok(full.clone()));
        let old = (all - CapabilitySet::BPF) | CapabilitySet::SYS_ADMIN;
        assert_eq!(privileges(old, CapturePath::Auto), Ok(full));
        for path in [CapturePath::Auto, CapturePath::Xdp, CapturePath::Packet] {
            let error = privileges(all - CapabilitySet::NET_RAW, path).unwrap_err();
            assert_eq!(
                error.to_string(),
                "missing CAP_NET_RAW (to open packet and XDP sockets): run monitord as root, or give it that capability"
            );
        }
    }

    #[test]
    fn packet_sockets_need_cap_net_raw_alone() {
        let raw = privileges(CapabilitySet::NET_RAW, CapturePath::Auto).unwrap();
        assert!(!raw.bpf);
        assert!(
            raw.xdp_missing
                .unwrap()
                .starts_with("missing CAP_NET_ADMIN (to attach")
        );
        let held = CapabilitySet::NET_RAW | CapabilitySet::BPF;
        assert!(privileges(held, CapturePath::Packet).unwrap().bpf);
        assert!(privileges(held, CapturePath::Xdp).is_err());
    }
}
