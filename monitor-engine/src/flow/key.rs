//! What names a flow on the wire.

use monitor_common::steer::flow_hash;
use monitor_common::wire::{Address, Vlans};

use crate::store::record::Record;

/// Addresses, ports and VLAN tags of one segment, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// Sender's address.
    pub src: Address,
    /// Receiver's address.
    pub dst: Address,
    /// Sender's port.
    pub sport: u16,
    /// Receiver's port.
    pub dport: u16,
    /// Packed tags and IP version ([`FlowKey::pack`]).
    pub link: u32,
}

/// Set in [`FlowKey::link`] for IPv6: an IPv4-mapped address in an IPv6 header is not the IPv4 address.
const VERSION_6: u32 = 1 << 31;

impl FlowKey {
    /// Tags and IP version in one number: outer | inner << 12 | how many << 24 | version 6 << 31.
    pub fn pack(vlans: &Vlans, version: u8) -> u32 {
        let tags = u32::from(vlans.ids[0]) | u32::from(vlans.ids[1]) << 12 | u32::from(vlans.count) << 24;
        if version == 6 { tags | VERSION_6 } else { tags }
    }

    /// Whether a packed number says IPv6.
    pub fn is_v6(link: u32) -> bool {
        link & VERSION_6 != 0
    }

    /// The ids in a packed number, outermost first.
    pub fn tags(link: u32) -> impl Iterator<Item = u16> {
        (0..(link >> 24 & 3).min(2)).map(move |tag| (link >> (12 * tag)) as u16 & 0xfff)
    }

    /// The same for both directions. Tags are left out, so that a flow stays on its worker's hash chain even where
    /// a port strips them; they are compared when it is looked up.
    #[inline]
    pub fn hash(&self, seed: [u64; 2]) -> u64 {
        flow_hash(seed, (self.src, self.sport), (self.dst, self.dport))
    }

    /// Whether the record is this flow's, and then whether the client sent the segment.
    #[inline]
    pub fn matches(&self, record: &Record) -> Option<bool> {
        if record.link.get() != self.link {
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

    /// Names the record after this flow.
    pub fn put(&self, record: &Record, from_client: bool) {
        let cells = [&record.client, &record.server];
        for (cells, address) in cells.into_iter().zip(self.ends(from_client)) {
            let (high, low) = address.words();
            cells[0].set(high);
            cells[1].set(low);
        }
        record.ports.set(self.ports(from_client));
        record.link.set(self.link);
    }

    /// The addresses of client and server, in the order of [`crate::Side::index`].
    pub fn ends(&self, from_client: bool) -> [Address; 2] {
        if from_client { [self.src, self.dst] } else { [self.dst, self.src] }
    }

    /// Client's port in the upper half.
    #[inline]
    fn ports(&self, from_client: bool) -> u32 {
        let (client, server) = if from_client { (self.sport, self.dport) } else { (self.dport, self.sport) };
        u32::from(client) << 16 | u32::from(server)
    }
}
