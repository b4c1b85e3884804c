//! Ends of a captured packet, for the filters of clients.

use std::net::SocketAddr;

use monitor_common::wire::{self, Datagram, PROTOCOL_TCP, Vlans};
use monitor_engine::LinkType;

use crate::filter::Filter;

/// Headers that are enough to find the ports of any packet that the steering programs accept.
pub const HEADERS: u32 = 256;

/// Addresses and ports of a packet, and its VLAN ids, outermost first.
struct PacketEnds {
    source: SocketAddr,
    destination: SocketAddr,
    vlans: Vlans,
}

/// Returns whether a filter matches the connection of a packet, with either of its ends as the client. Packets without
/// ports, as later fragments are, match only a filter that matches everything.
#[must_use]
pub fn is_wanted(filter: &Filter, link: LinkType, bytes: &[u8]) -> bool {
    if filter.tests() == 0 {
        return true;
    }
    ends(link, bytes).is_some_and(|ends| {
        let vlan = &ends.vlans.ids[..usize::from(ends.vlans.count.min(2))];
        filter.matches_ends(ends.source, ends.destination, vlan)
            || filter.matches_ends(ends.destination, ends.source, vlan)
    })
}

fn ends(link: LinkType, bytes: &[u8]) -> Option<PacketEnds> {
    let (vlans, at) = match link {
        LinkType::Ethernet => {
            let ethernet = wire::ethernet(bytes).ok()?;
            (ethernet.vlans.without_priority(), ethernet.payload)
        }
        _ => (Vlans::default(), 0),
    };
    let Datagram {
        src,
        dst,
        protocol,
        payload,
        fragment,
        ..
    } = wire::ip(bytes, at).ok()?;
    if protocol != PROTOCOL_TCP || fragment.is_some_and(|fragment| fragment.offset > 0) {
        return None;
    }
    let (source, destination) = wire::ports(bytes, payload).ok()?;
    Some(PacketEnds {
        source: SocketAddr::new(src.into(), source),
        destination: SocketAddr::new(dst.into(), destination),
        vlans,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TCP packet from 10.0.0.1:1000 to 10.0.0.2:80.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2, 3, 232, 0, 80]);
        packet.resize(40, 0);
        packet
    }

    #[test]
    fn packets_of_both_directions_match() {
        for (filter, expected) in [
            ("", true),
            ("port 80", true),
            ("src host 10.0.0.1 and dst port 80", true),
            ("src host 10.0.0.2", true),
            ("port 443", false),
            ("vlan 7", false),
        ] {
            let filter = Filter::compile(filter).unwrap();
            assert_eq!(
                is_wanted(&filter, LinkType::Ip, &packet()),
                expected,
                "{filter:?}"
            );
        }
    }

    #[test]
    fn tags_are_tested_and_later_fragments_match_no_filter() {
        let filter = Filter::compile("vlan 7 and port 80").unwrap();
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0, 0, 7, 8, 0]);
        frame.extend(packet());
        assert!(is_wanted(&filter, LinkType::Ethernet, &frame));
        let mut fragment = packet();
        fragment[7] = 5;
        let ports = Filter::compile("port 80").unwrap();
        assert!(!is_wanted(&ports, LinkType::Ip, &fragment));
        let all = Filter::compile("").unwrap();
        assert!(is_wanted(&all, LinkType::Ip, &fragment));
    }
}
