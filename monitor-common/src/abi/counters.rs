//! Counters of the BPF programs: indices, names and meanings.

/// A counter of a BPF program: an index into its per-CPU array.
pub trait Count: Copy + 'static {
    /// All of them, in the order of their indices.
    const ALL: &'static [Self];

    /// The index.
    fn index(self) -> u32;

    /// The name in `stats`.
    fn name(self) -> &'static str;

    /// Meaning, in a sentence.
    fn doc(self) -> &'static str;
}

/// Declares the counters of one program: variant, name, meaning.
macro_rules! counters {
    ($(#[$meta:meta])* $vis:vis enum $type:ident { $($variant:ident = $name:literal: $doc:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        $vis enum $type {
            $(#[doc = $doc] $variant,)*
        }

        impl Count for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            #[inline(always)]
            fn index(self) -> u32 {
                self as u32
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn doc(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)*
                }
            }
        }
    };
}

counters! {
    /// Verdict of `steer` on a packet: each packet counts once.
    pub enum SteerCount {
        Redirected = "xdp_redirected": "Segments given to the socket of their worker.",
        Fragments = "xdp_fragments": "IP fragments given to the socket of their address pair's worker.",
        Shunted = "xdp_shunted": "Segments of stopped connections.",
        NotIp = "xdp_not_ip": "Frames that carry neither IPv4 nor IPv6.",
        NotTcp = "xdp_not_tcp": "IP packets that carry no TCP.",
        FilteredNetwork = "xdp_filtered_network": "Packets outside the networks of the filter.",
        FilteredPort = "xdp_filtered_port": "Segments outside the ports of the filter.",
        Malformed = "xdp_malformed": "Packets with a header that is cut off or contradicts itself.",
        TooDeep = "xdp_too_deep": "Packets with more VLAN tags or IPv6 extension headers than are read.",
        NoSocket = "xdp_no_socket": "Packets of a queue and worker that no socket is open for.",
    }
}

counters! {
    /// Verdict of `tap` on a packet: each packet counts once, except that the last three are about clones already counted.
    pub enum TapCount {
        Cloned = "tap_cloned": "Segments of the host cloned into the monitor device.",
        Fragments = "tap_fragments": "IP fragments of the host cloned into the monitor device.",
        Shunted = "tap_shunted": "Segments of the host that belong to stopped connections.",
        NotIp = "tap_not_ip": "Frames of the host that carry neither IPv4 nor IPv6.",
        NotTcp = "tap_not_tcp": "IP packets of the host that carry no TCP.",
        FilteredNetwork = "tap_filtered_network": "Packets of the host outside the networks of the filter.",
        FilteredPort = "tap_filtered_port": "Segments of the host outside the ports of the filter.",
        Malformed = "tap_malformed": "Packets of the host with a header that is cut off or contradicts itself.",
        TooDeep = "tap_too_deep": "Packets of the host with more VLAN tags or IPv6 extension headers than are read.",
        CloneFailed = "tap_clone_failed": "Packets of the host lost to the monitor: the kernel could not clone them.",
        Refused = "tap_refused": "Clones that the monitor device refused, its backlog full or the device down; its rx_dropped counts them too.",
        Retagged = "tap_vlan_restored": "Clones whose VLAN tag was put back into their bytes.",
        RetagFailed = "tap_vlan_lost": "Clones lost to the monitor because their VLAN tag could not be put back.",
        VlanHidden = "tap_vlan_hidden": "Packets cloned without their VLAN tag, since the monitor device has no place for it.",
    }
}

counters! {
    /// Verdict of `accept` on a packet: each packet counts once.
    pub enum PacketCount {
        Accepted = "packet_accepted": "Segments accepted by the filter of the packet sockets.",
        Fragments = "packet_fragments": "IP fragments accepted by the filter of the packet sockets.",
        Shunted = "packet_shunted": "Segments of stopped connections, refused by the filter of the packet sockets.",
        NotIp = "packet_not_ip": "Frames at the packet sockets that carry neither IPv4 nor IPv6.",
        NotTcp = "packet_not_tcp": "IP packets at the packet sockets that carry no TCP.",
        FilteredNetwork = "packet_filtered_network": "Packets at the packet sockets outside the networks of the filter.",
        FilteredPort = "packet_filtered_port": "Segments at the packet sockets outside the ports of the filter.",
        Malformed = "packet_malformed": "Packets at the packet sockets with a header that is truncated or contradicts itself.",
        TooDeep = "packet_too_deep": "Packets at the packet sockets with more VLAN tags or IPv6 extension headers than are parsed.",
    }
}
