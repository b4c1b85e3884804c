//! Whether this process may do what a live capture takes.

use rustix::thread::{CapabilitySet, capabilities};

/// What the kernel asks for, and what for.
const NEEDED: [(CapabilitySet, &str, &str); 5] = [
    (
        CapabilitySet::NET_ADMIN,
        "CAP_NET_ADMIN",
        "attach programs to interfaces and make the monitor device",
    ),
    (CapabilitySet::NET_RAW, "CAP_NET_RAW", "open XDP sockets"),
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

/// Capabilities that are missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("missing {}: run monitord as root, or give it {}", self.list(), self.pronoun())]
pub struct MissingPrivilege {
    missing: Vec<(&'static str, &'static str)>,
}

/// Says which capabilities this process lacks for a live capture.
pub fn check() -> Result<(), MissingPrivilege> {
    // When the kernel does not say, it will say at the first call that needs one.
    capabilities(None).map_or(Ok(()), |sets| lacking(sets.effective))
}

fn lacking(held: CapabilitySet) -> Result<(), MissingPrivilege> {
    // Before Linux 5.8 CAP_SYS_ADMIN stood for these two, and it still does.
    let split = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let held = if held.contains(CapabilitySet::SYS_ADMIN) {
        held | split
    } else {
        held
    };
    let missing: Vec<_> = NEEDED
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
    fn names_each_missing_capability_and_its_purpose() {
        let all = NEEDED
            .iter()
            .fold(CapabilitySet::empty(), |set, (capability, ..)| {
                set | *capability
            });
        assert_eq!(lacking(all), Ok(()));
        assert_eq!(
            lacking((all - CapabilitySet::BPF) | CapabilitySet::SYS_ADMIN),
            Ok(())
        );
        let error = lacking(all - CapabilitySet::NET_RAW)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "missing CAP_NET_RAW (to open XDP sockets): run monitord as root, or give it that capability"
        );
    }
}
