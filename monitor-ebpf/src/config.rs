//! Settings and filter of this object's interface.
#![expect(
    unsafe_code,
    reason = "read-only data that the loader overwrites, and map values behind pointers"
)]

use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, LpmTrie};
use monitor_common::abi::{Config, NETWORKS_CAPACITY, PORT_WORDS, option, port_bit};
use monitor_common::steer::Filter;
use monitor_common::wire::Address;
use monitor_common::{LinkType, TunnelKinds};

/// Settings, written by the loader before the object reaches the kernel. The verifier knows each bit: the branch of a
/// disabled option is removed.
#[unsafe(no_mangle)]
pub static CONFIG: Config = Config {
    seed: [0; 2],
    options: 0,
    workers: 0,
    monitor: 0,
    relay: 0,
    reserved: 0,
};

#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

#[map]
static NETWORKS: LpmTrie<[u8; 16], u8> = LpmTrie::with_max_entries(NETWORKS_CAPACITY, 0);

/// Reads a setting. Volatile: otherwise the compiler would use the zeros above.
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: the field of a static is valid and aligned, and nothing writes to it while the program runs.
        unsafe { core::ptr::read_volatile(&raw const $crate::config::CONFIG.$field) }
    };
}

#[inline(always)]
pub fn seed() -> [u64; 2] {
    setting!(seed)
}

#[inline(always)]
pub fn workers() -> u32 {
    setting!(workers)
}

#[inline(always)]
pub fn is_on(bit: u64) -> bool {
    setting!(options) & bit != 0
}

#[inline(always)]
pub fn start() -> LinkType {
    if is_on(option::STARTS_AT_IP) {
        LinkType::Ip
    } else {
        LinkType::Ethernet
    }
}

/// Filter in the maps.
pub struct MapFilter;

impl Filter for MapFilter {
    #[inline(always)]
    fn port(&self, port: u16) -> bool {
        if !is_on(option::FILTER_PORTS) {
            return true;
        }
        let (word, bit) = port_bit(port);
        PORTS.get(word).is_some_and(|word| word & bit != 0)
    }

    #[inline(always)]
    fn network(&self, address: &Address) -> bool {
        !is_on(option::FILTER_NETWORKS) || NETWORKS.get(Key::new(128, address.octets())).is_some()
    }

    #[inline(always)]
    fn tunnels(&self) -> TunnelKinds {
        TunnelKinds::from_bits((setting!(options) >> option::TUNNELS_SHIFT) as u8)
    }
}
