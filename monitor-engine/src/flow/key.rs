//! Flow keys: the fields that identify a flow on the wire.

use monitor_common::abi;
use monitor_common::steer::flow_hash;
use monitor_common::wire::Address;

use crate::FlowFilter;
use crate::store::record::Record;

/// Addresses, ports and VLAN tags of one segment, in the direction in which it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowKey {
    pub src: Address,
    pub dst: Address,
    pub sport: u16,
    pub dport: u16,
    /// Tags and IP version ([`monitor_common::abi::link`]), or number of the tunnel and IP version.
    pub link: u32,
    /// Number of the interface where it was captured, if interfaces tell flows apart; otherwise 0.
    pub zone: u16,
}

impl FlowKey {
    /// Returns the hash of the flow, the same for both directions. Tags are left out, so that a flow stays with its worker
    /// even where a port strips them; a look-up compares them.
    #[inline]
    pub fn hash(&self, seed: [u64; 2]) -> u64 {
        flow_hash(seed, (self.src, self.sport), (self.dst, self.dport))
    }

    /// Returns whether the segment came through a tunnel.
    #[inline]
    pub fn is_tunneled(&self) -> bool {
        abi::tunnel(self.link).is_some()
    }

    /// Returns whether the client sent the segment, if the record is of this flow.
    #[inline]
    pub fn matches(&self, record: Record<'_>) -> Option<bool> {
        if record.link.get() != self.link {
            return None;
        }
        if self.zone != 0 && record.interface() != self.zone {
            return None;
        }
        let (src, dst) = (self.src.words(), self.dst.words());
        let client = (record.client[0].get(), record.client[1].get());
        let server = (record.server[0].get(), record.server[1].get());
        let ports = record.ports.get();
        if ports == self.ports(true) && src == client && dst == server {
            Some(true)
        } else if ports == self.ports(false) && src == server && dst == client {
            Some(false)
        } else {
            None
        }
    }

    /// Returns whether a filter wants the flow.
    pub fn is_wanted(&self, filter: &FlowFilter) -> bool {
        let port = filter.ports.is_empty()
            || filter.ports.contains(&self.sport)
            || filter.ports.contains(&self.dport);
        let network = filter.networks.is_empty()
            || filter
                .networks
                .iter()
                .any(|prefix| prefix.contains(&self.src) || prefix.contains(&self.dst));
        port && network
    }

    /// Writes the flow to a record.
    pub fn put(&self, record: Record<'_>, from_client: bool) {
        let cells = [&record.client, &record.server];
        for (cells, address) in cells.into_iter().zip(self.ends(from_client)) {
            let (high, low) = address.words();
            cells[0].set(high);
            cells[1].set(low);
        }
        record.ports.set(self.ports(from_client));
        record.link.set(self.link);
    }

    /// Returns the addresses of client and server, by [`crate::Side::index`].
    pub fn ends(&self, from_client: bool) -> [Address; 2] {
        if from_client {
            [self.src, self.dst]
        } else {
            [self.dst, self.src]
        }
    }

    /// Returns both ports, the client's in the upper half.
    #[inline]
    fn ports(&self, from_client: bool) -> u32 {
        let (client, server) = if from_client {
            (self.sport, self.dport)
        } else {
            (self.dport, self.sport)
        };
        u32::from(client) << 16 | u32::from(server)
    }
}
