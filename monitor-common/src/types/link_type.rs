//! Link types: the first header of a captured frame.

/// First header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// Ethernet II, with or without 802.1Q/802.1ad tags: network cards, veth, `lo`, TAP devices.
    Ethernet,
    /// IPv4 or IPv6 header (LINKTYPE_RAW): TUN devices, WireGuard, tunnels without a link layer.
    Ip,
    /// Linux cooked capture v1 (LINKTYPE_LINUX_SLL). Only in capture files.
    LinuxSll,
    /// Linux cooked capture v2 (LINKTYPE_LINUX_SLL2). Only in capture files.
    LinuxSll2,
    /// BSD loopback: a four-byte address family in either byte order (LINKTYPE_NULL, LINKTYPE_LOOP). Only in capture
    /// files.
    Null,
}
