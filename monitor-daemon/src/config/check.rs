//! Check of values that parse and cannot work.

use std::collections::HashSet;
use std::time::Duration;

use monitor_engine::SockId;

use super::{Capture, CapturePath, Config, FlowInterface, Mode};

/// Number of workers that a sockid can express; the XSKMAP has at least as many entries for each queue.
pub const MAX_WORKERS: u16 = SockId::MAX_WORKERS;
const _: () = assert!(MAX_WORKERS as u32 <= monitor_common::abi::MAX_WORKERS);

/// Capacity of the BPF programs' map of networks.
const MAX_NETWORKS: usize = monitor_common::abi::MAX_NETWORKS as usize;

const MIB: u64 = 1 << 20;
/// Minimum of packet buffers, bytes. With fewer, every delay of the scheduler loses packets.
const LEAST_BUFFERS: u64 = MIB;
/// Memory of four clients.
const LEAST_RPC_MEMORY: u64 = MIB;
/// Minimum window, bytes. A smaller one can't hold the receive window of old hosts and is of no use to a reader.
pub const LEAST_WINDOW: u64 = 4096;
/// Longest interface name: IFNAMSIZ of the kernel, without the final zero.
const LONGEST_NAME: usize = 15;
/// Longest time. Longer ones are meant to be "off"; they would overflow nanosecond clocks.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Longest coalescing delay. A fast sender fills the default buffers in that time.
const LONGEST_NAP: Duration = Duration::from_millis(10);

impl Config {
    /// Refuses values that cannot work, with a sentence that names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        self.capture.check()?;
        self.check_flow()?;
        self.check_filter()?;
        self.check_store()?;
        self.check_times()?;
        self.check_policies()?;
        if self.rpc.socket.as_os_str().is_empty() {
            return Err("[rpc] socket is empty: give the path of the Unix socket".into());
        }
        if self.rpc.memory < LEAST_RPC_MEMORY {
            return Err(format!(
                "[rpc] memory is {} bytes: each client needs 256 KiB, so give at least \"1MiB\"",
                self.rpc.memory
            ));
        }
        super::level::check(&self.log.level)
    }

    fn check_filter(&self) -> Result<(), String> {
        let networks = self.filter.networks.len();
        if networks > MAX_NETWORKS {
            return Err(format!(
                "[filter] networks names {networks} prefixes: at most {MAX_NETWORKS} are possible"
            ));
        }
        if self.filter.ports.contains(&0) {
            return Err("[filter] ports contains 0: ports are 1 to 65535".into());
        }
        Ok(())
    }

    /// Clones in the monitor device don't show their interface.
    fn check_flow(&self) -> Result<(), String> {
        if self.flow.interface == FlowInterface::Separate
            && self.capture.mode == Mode::Tap
            && self.capture.path == CapturePath::Xdp
            && self.capture.has_several()
        {
            return Err(
                "[flow] interface \"separate\" with several interfaces in tap mode needs packet sockets: set [capture] \
                 path to \"auto\" or \"packet\""
                    .into(),
            );
        }
        Ok(())
    }

    fn check_store(&self) -> Result<(), String> {
        let (memory, window) = (self.store.memory, self.store.window);
        if window < LEAST_WINDOW {
            return Err(format!(
                "[store] window is {window} bytes: at least {LEAST_WINDOW} are needed"
            ));
        }
        // The record's field has 32 bits.
        if window > u64::from(u32::MAX) {
            return Err(format!(
                "[store] window is {window} bytes: at most {} are possible",
                u32::MAX
            ));
        }
        if memory < window {
            return Err(format!(
                "[store] memory ({memory} bytes) is smaller than [store] window ({window})"
            ));
        }
        Ok(())
    }

    fn check_policies(&self) -> Result<(), String> {
        match self
            .tcp
            .policy
            .iter()
            .position(|policy| policy.networks.is_empty())
        {
            Some(at) => Err(format!(
                "[[tcp.policy]] number {} has no networks: name at least one, like \"10.0.0.0/8\"",
                at + 1
            )),
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), String> {
        let times = [
            ("idle_timeout", self.tcp.idle_timeout),
            ("linger", self.tcp.linger),
        ];
        for (key, time) in times {
            if time.is_some_and(|time| time > LONGEST_TIME) {
                return Err(format!("[tcp] {key} is longer than 10 years: say \"off\""));
            }
        }
        if self
            .tcp
            .idle_timeout
            .is_some_and(|time| time < Duration::from_secs(1))
        {
            return Err(
                "[tcp] idle_timeout is below 1s: every connection would end between two packets"
                    .into(),
            );
        }
        Ok(())
    }
}

/// Returns whether an interface is given by a pattern of names.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

impl Capture {
    /// Returns whether several interfaces may be captured.
    #[must_use]
    pub fn has_several(&self) -> bool {
        self.interfaces.len() > 1 || self.interfaces.iter().any(|name| is_pattern(name))
    }

    fn check(&self) -> Result<(), String> {
        if self.workers > MAX_WORKERS {
            return Err(format!(
                "[capture] workers is {}: at most {MAX_WORKERS} are possible",
                self.workers
            ));
        }
        if self.buffers < LEAST_BUFFERS || self.buffers > 64 << 30 {
            return Err(format!(
                "[capture] buffers is {} bytes: 1MiB to 64GiB are possible",
                self.buffers
            ));
        }
        if self.nap.is_some_and(|nap| nap > LONGEST_NAP) {
            return Err("[capture] nap is above 10ms: buffers run over meanwhile".into());
        }
        if !(-20..=19).contains(&self.nice) {
            return Err(format!(
                "[capture] nice is {}: -20 to 19 are possible",
                self.nice
            ));
        }
        self.check_interfaces()
    }

    fn check_interfaces(&self) -> Result<(), String> {
        if self.interfaces.is_empty() {
            return Err("[capture] interfaces is empty: name at least one, like \"lo\"".into());
        }
        let mut seen = HashSet::new();
        for name in &self.interfaces {
            if is_pattern(name) {
                glob::Pattern::new(name).map_err(|error| {
                    format!("[capture] interfaces: \"{name}\" is no pattern: {error}")
                })?;
            } else if name.is_empty()
                || name.len() > LONGEST_NAME
                || name.contains(['/', ' ', '\0'])
            {
                return Err(format!(
                    "[capture] interfaces: \"{name}\" cannot be an interface's name"
                ));
            }
            if !seen.insert(name) {
                return Err(format!("[capture] interfaces names \"{name}\" twice"));
            }
        }
        if self.mode == Mode::Mirror && self.interfaces.iter().any(|name| name == "lo") {
            return Err(
                "[capture] mode \"mirror\" takes packets away for good and would cut off this host's own \
                        connections over lo: use mode \"tap\" there"
                    .into(),
            );
        }
        Ok(())
    }
}
