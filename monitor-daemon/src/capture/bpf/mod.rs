//! Loader of the BPF programs: their settings, filters, attachments and counters.
//!
//! Each interface has a loaded object of its own. [`Steer`] redirects the packets of an interface into AF_XDP sockets; [`Tap`]
//! clones the packets of an interface into a monitor device. Settings are read-only data that the verifier knows, so
//! that a disabled filter costs nothing. An interface that changes or is recreated gets another object.
//!
//! **Invariant:** file descriptors of this process own everything, and nothing is pinned. The kernel detaches the
//! programs and frees the maps when the process ends, even by SIGKILL.

mod error;
mod log;
mod shunt;
mod socket;
mod steer;
mod tap;

use aya::Ebpf;
use aya::EbpfLoader;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, Map, PerCpuArray};
use aya::programs::{Program, ProgramError};
use aya::util::KernelVersion;
use monitor_common::abi::{self, Config, Count, names, option};
use monitor_common::steer::Filter;
use monitor_common::wire::Address;
use monitor_common::{Prefix, TunnelKinds};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use error::BpfError;
pub use shunt::Shunts;
pub use socket::{PacketFilter, PacketFilterSettings};
pub use steer::{Steer, SteerSettings, XdpMode};
pub use tap::{Hook, Tap, TapSettings};

/// Object built by `cargo xtask build-ebpf`; empty when the daemon was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor-ebpf"));

/// Object of the programs of packet sockets. Its maps need CAP_BPF alone, unlike those of [`OBJECT`].
static SOCKET_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor-ebpf-socket"));

/// Size of the message ring of one object, which [`Steer::drain_log`] and [`Tap::drain_log`] empty. A full ring loses
/// messages, never packets. Must be a power of two of pages.
const LOG_BYTES: u32 = 16 * 1024;
const LOG_MAP: &str = "AYA_LOGS";

/// Counter: its name in `stats`, its meaning, its value. It never decreases while its object is loaded.
pub type Counter = (&'static str, &'static str, u64);

/// Filter of the flows to capture.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaptureFilter<'a> {
    /// Ports; a flow passes with either end at one of them. Empty: all.
    pub ports: &'a [u16],
    /// Prefixes; a flow passes with either end in one of them. Empty: all. At most [`abi::MAX_NETWORKS`].
    pub networks: &'a [Prefix],
    /// Kinds of tunnels that pass, with any packet inside.
    pub tunnels: TunnelKinds,
}

/// Same decision as in the BPF programs, in user space.
impl Filter for CaptureFilter<'_> {
    fn port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    fn network(&self, address: &Address) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|prefix| prefix.contains(address))
    }

    fn tunnels(&self) -> TunnelKinds {
        self.tunnels
    }
}

/// Checks that this daemon was built with the BPF object.
///
/// # Errors
/// [`BpfError::NoObject`] when it was not.
pub fn available() -> Result<(), BpfError> {
    if OBJECT.is_empty() || SOCKET_OBJECT.is_empty() {
        Err(BpfError::NoObject)
    } else {
        Ok(())
    }
}

/// Object with its maps filled. Programs are loaded by its users.
struct Object {
    ebpf: Ebpf,
    /// Options of the programs. A filter that is not among them cannot be enabled later.
    options: u64,
    /// Networks in the map.
    networks: Vec<Prefix>,
    /// Owner of the map that the programs log into: must not be dropped before they are loaded.
    log: Option<log::Log>,
}

impl Object {
    fn new(
        object: &[u8],
        mut config: Config,
        filter: &CaptureFilter<'_>,
        sockets: u32,
    ) -> Result<Self, BpfError> {
        available()?;
        raise_locked_memory();
        config.options |= when(!filter.ports.is_empty(), option::FILTER_PORTS);
        config.options |= when(!filter.networks.is_empty(), option::FILTER_NETWORKS);
        config.options |= u64::from(filter.tunnels.bits()) << option::TUNNELS_SHIFT;
        let mut ebpf = EbpfLoader::new()
            .override_global(names::CONFIG, &config, true)
            .map_max_entries(names::SOCKETS, sockets)
            .map_max_entries(LOG_MAP, LOG_BYTES)
            .load(object)
            .map_err(BpfError::load)?;
        // Absent from an object without messages.
        let log = match ebpf.map(LOG_MAP) {
            Some(_) => Some(log::Log::new(&mut ebpf)?),
            None => None,
        };
        let mut object = Self {
            ebpf,
            log,
            options: config.options,
            networks: Vec::new(),
        };
        object.set_filter(filter)?;
        Ok(object)
    }

    /// Replaces the filter. Flows that pass both the old and the new one lose no packet. A filter that was disabled at
    /// load stays disabled: more packets than wanted arrive, and the engine skips them.
    fn set_filter(&mut self, filter: &CaptureFilter<'_>) -> Result<(), BpfError> {
        if self.options & option::FILTER_PORTS != 0 {
            self.set_ports(filter.ports)?;
        }
        if self.options & option::FILTER_NETWORKS != 0 {
            self.set_networks(filter.networks.to_vec())?;
        }
        Ok(())
    }

    fn set_log_interface(&self, name: &str) {
        if let Some(log) = &self.log {
            log.set_interface(name);
        }
    }

    fn drain_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.drain();
        }
    }

    fn set_ports(&mut self, ports: &[u16]) -> Result<(), BpfError> {
        let all = if ports.is_empty() { u64::MAX } else { 0 };
        let mut words = vec![all; abi::PORT_WORDS as usize];
        for &port in ports {
            let (word, bit) = abi::port_bit(port);
            words[word as usize] |= bit;
        }
        let mut map: Array<_, u64> = self.map_mut(names::PORTS)?.try_into()?;
        for (index, word) in (0..).zip(words) {
            map.set(index, word, 0)?;
        }
        Ok(())
    }

    fn set_networks(&mut self, mut networks: Vec<Prefix>) -> Result<(), BpfError> {
        if networks.is_empty() {
            networks.push(Prefix::ALL);
        }
        // The map holds the old and the new ones for a moment.
        let stale: Vec<_> = self
            .networks
            .iter()
            .filter(|network| !networks.contains(network))
            .copied()
            .collect();
        if networks.len() > abi::MAX_NETWORKS as usize {
            return Err(BpfError::TooManyNetworks {
                given: networks.len(),
            });
        }
        let mut map: LpmTrie<_, [u8; 16], u8> = self.map_mut(names::NETWORKS)?.try_into()?;
        for prefix in &networks {
            map.insert(&key(prefix), 1, 0)?;
        }
        for prefix in &stale {
            map.remove(&key(prefix))?;
        }
        self.networks = networks;
        Ok(())
    }

    fn map(&self, name: &'static str) -> Result<&Map, BpfError> {
        self.ebpf.map(name).ok_or(BpfError::Missing { name })
    }

    fn map_mut(&mut self, name: &'static str) -> Result<&mut Map, BpfError> {
        self.ebpf.map_mut(name).ok_or(BpfError::Missing { name })
    }

    fn program<'a, P>(&'a self, name: &'static str) -> Result<&'a P, BpfError>
    where
        &'a P: TryFrom<&'a Program>,
    {
        let program = self.ebpf.program(name).ok_or(BpfError::Missing { name })?;
        program.try_into().map_err(|_| BpfError::Missing { name })
    }

    fn program_mut<'a, P>(&'a mut self, name: &'static str) -> Result<&'a mut P, BpfError>
    where
        &'a mut P: TryFrom<&'a mut Program>,
    {
        let program = self
            .ebpf
            .program_mut(name)
            .ok_or(BpfError::Missing { name })?;
        program.try_into().map_err(|_| BpfError::Missing { name })
    }

    /// Returns the number of instructions that the verifier processed for each loaded program, by name.
    fn walked(&self) -> Result<Vec<(String, u32)>, BpfError> {
        let mut walked = Vec::new();
        for (name, program) in self.ebpf.programs() {
            match program.info() {
                Ok(info) => walked.push((
                    name.to_owned(),
                    info.verified_instruction_count().unwrap_or(0),
                )),
                Err(ProgramError::NotLoaded) => {}
                Err(source) => return Err(BpfError::Info { source }),
            }
        }
        Ok(walked)
    }

    /// Returns the counters of one program, each summed over all CPUs.
    fn counters<C: Count>(&self, name: &'static str) -> Result<Vec<Counter>, BpfError> {
        let map: PerCpuArray<_, u64> = self.map(name)?.try_into()?;
        C::ALL
            .iter()
            .map(|count| {
                Ok((
                    count.name(),
                    count.doc(),
                    map.get(&count.index(), 0)?.iter().sum(),
                ))
            })
            .collect()
    }
}

/// Raises RLIMIT_MEMLOCK as far as permitted. Before Linux 5.11, BPF memory is charged to it, and the usual limit is less
/// than the maps take; later kernels charge the memory cgroup.
fn raise_locked_memory() {
    if KernelVersion::current().is_ok_and(|kernel| kernel >= KernelVersion::new(5, 11, 0)) {
        return;
    }
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if setrlimit(Resource::Memlock, unlimited).is_err() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Memlock);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        // Without it, creating the maps may fail, which is reported then.
        let _ = setrlimit(Resource::Memlock, raised);
    }
}

fn key(prefix: &Prefix) -> Key<[u8; 16]> {
    Key::new(prefix.bits().into(), prefix.address().octets())
}

/// Returns an option bit of [`Config`] if it is on.
fn when(on: bool, option: u64) -> u64 {
    if on { option } else { 0 }
}
