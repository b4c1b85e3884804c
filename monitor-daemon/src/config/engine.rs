//! Settings of the engines, from the configuration.

use std::time::Duration;

use ipnet::IpNet;
use monitor_engine::{
    EngineConfig, FlowConfig, FlowFilter, OverlapPolicy, Prefix, TcpConfig, TcpPolicy,
    VerifyChecksums,
};

use super::{Config, FilterSettings, FlowInterface, FlowVlan, Mode, Origin, Overlap, Policy, When};

impl Config {
    /// Returns whether workers are bound to cores. At a mirror port each has one, which its packets keep busy. In tap mode
    /// workers share the cores with the monitored programs and move to free ones: a kernel without preemption lets a
    /// program send for 200 ms before it gives the core to another thread.
    #[must_use]
    pub fn pins(&self, origin: Origin) -> bool {
        self.capture.pin.holds(origin, self.capture.mode)
    }

    /// Returns the segments to verify. Packets of the host itself get their checksums from the card, after the capture;
    /// public captures are full of wrong ones.
    fn verify_checksums(&self, origin: Origin) -> VerifyChecksums {
        match (self.tcp.verify_checksums, origin, self.capture.mode) {
            (When::Never, _, _) | (When::Auto, Origin::Files, _) => VerifyChecksums::Never,
            (When::Auto, Origin::Live, Mode::Tap) => VerifyChecksums::Reported,
            (When::Always, _, _) | (When::Auto, Origin::Live, Mode::Mirror) => {
                VerifyChecksums::Always
            }
        }
    }

    /// Returns the settings of the engine of one of `workers` workers. `seed` is the key of the flow hash.
    #[must_use]
    pub fn engine(
        &self,
        origin: Origin,
        worker: u16,
        workers: u16,
        seed: [u64; 2],
    ) -> EngineConfig {
        EngineConfig {
            worker,
            workers,
            seed,
            only_own: origin == Origin::Files,
            memory: self.store.memory / u64::from(workers.max(1)),
            window: self.store.window,
            instance: 0,
            share: self.store.share,
            filter: self.filter.flows(),
            flow: FlowConfig {
                ignore_vlan: self.flow.vlan == FlowVlan::Ignore,
                separate_interfaces: self.flow.interface == FlowInterface::Separate,
            },
            tunnels: self.decode.tunnels,
            tcp: TcpConfig {
                overlap: self.tcp.overlap.into(),
                policies: self.tcp.policy.iter().map(Policy::engine).collect(),
                verify_checksums: self.verify_checksums(origin),
                idle_timeout: self.tcp.idle_timeout.map(nanoseconds),
                linger: self.tcp.linger.map(nanoseconds),
                ..TcpConfig::default()
            },
        }
    }
}

impl FilterSettings {
    /// Returns the filter in the engine's form.
    fn flows(&self) -> FlowFilter {
        FlowFilter {
            ports: self.ports.clone(),
            networks: self.networks.iter().map(prefix).collect(),
        }
    }
}

impl Policy {
    /// Returns the policies in the engine's form.
    fn engine(&self) -> TcpPolicy {
        TcpPolicy {
            networks: self.networks.iter().map(prefix).collect(),
            overlap: self.overlap.into(),
        }
    }
}

/// Returns a network in the 128-bit form.
pub(crate) fn prefix(network: &IpNet) -> Prefix {
    let len = match network {
        IpNet::V4(v4) => 96 + v4.prefix_len(),
        IpNet::V6(v6) => v6.prefix_len(),
    };
    Prefix::masked(network.addr().into(), len)
}

impl From<Overlap> for OverlapPolicy {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Linux => Self::Linux,
            Overlap::First => Self::First,
            Overlap::Last => Self::Last,
            Overlap::Bsd => Self::Bsd,
        }
    }
}

impl When {
    fn holds(self, origin: Origin, mode: Mode) -> bool {
        match self {
            Self::Auto => origin == Origin::Live && mode == Mode::Mirror,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Converts to nanoseconds. The check allows years at most, so that nothing is cut off.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
