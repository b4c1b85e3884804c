//! Paths: the tunnels around a packet.

use std::net::IpAddr;

use monitor_common::abi;
use monitor_common::types::TunnelKind;
use monitor_common::wire::Address;

use crate::view::Tunnel;

/// Most tunnels inside one another that are followed.
pub const MAX_DEPTH: usize = 2;

/// Words of a layer: kind and id, link field of the outer packet, addresses.
const LAYER: usize = 6;
/// Words of a path: its layers, and the link field of the inner packet.
pub const WORDS: usize = MAX_DEPTH * LAYER + 1;

/// Bits of the first word of a layer: one more than the number of the kind, and the presence of an id. The id is the
/// upper half.
const KIND: u64 = 0xff;
const HAS_ID: u64 = 1 << 8;

/// Tunnels around a packet, and its link field. The same for both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(pub(crate) [u64; WORDS]);

impl Path {
    /// Adds a tunnel inside the others; returns false if there are [`MAX_DEPTH`]. `link`: link field of the packet that
    /// carries it.
    pub fn enter(
        &mut self,
        kind: TunnelKind,
        id: Option<u32>,
        link: u32,
        ends: [Address; 2],
    ) -> bool {
        let Some(layer) = self.0.chunks_exact_mut(LAYER).find(|layer| layer[0] == 0) else {
            return false;
        };
        let [a, b] = ends.map(|end| end.words());
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let number = kind as u64 + 1;
        let id = id.map_or(0, |id| HAS_ID | u64::from(id) << 32);
        layer.copy_from_slice(&[number | id, u64::from(link), low.0, low.1, high.0, high.1]);
        true
    }

    /// Sets the link field of the inner packet.
    pub fn set_link(&mut self, link: u32) {
        self.0[WORDS - 1] = u64::from(link);
    }

    /// Returns the link field of the inner packet.
    pub fn link(&self) -> u32 {
        self.0[WORDS - 1] as u32
    }

    /// Returns the tunnels, outermost first.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        let layers = self.0.chunks_exact(LAYER);
        layers.filter_map(tunnel).collect()
    }
}

/// Returns the tunnel of a layer.
fn tunnel(layer: &[u64]) -> Option<Tunnel> {
    let [head, link, a, b, c, d] = *layer.first_chunk()?;
    let number = usize::try_from(head & KIND).ok()?.checked_sub(1)?;
    let link = link as u32;
    let end = |words: (u64, u64)| {
        let address = Address::from(words);
        if abi::is_v6(link) {
            IpAddr::from(address.octets())
        } else {
            IpAddr::from(address)
        }
    };
    Some(Tunnel {
        kind: *TunnelKind::ALL.get(number)?,
        id: (head & HAS_ID != 0).then_some((head >> 32) as u32),
        ends: [end((a, b)), end((c, d))],
        vlan: abi::tags(link).collect(),
    })
}
