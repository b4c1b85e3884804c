//! Link types in capture files (www.tcpdump.org/linktypes.html).

use monitor_common::LinkType;

/// Returns the first header of frames with this link type; `None` for those that are not supported.
pub(super) fn link(link_type: u16) -> Option<LinkType> {
    Some(match link_type {
        1 => LinkType::Ethernet,
        0 | 108 => LinkType::Null,
        // DLT_RAW has the number 12 or 14 by platform; 101 is its number in files.
        12 | 14 | 101 | 228 | 229 => LinkType::Ip,
        113 => LinkType::LinuxSll,
        276 => LinkType::LinuxSll2,
        _ => return None,
    })
}

/// Returns the number and, for common ones, the name.
pub(super) fn name(link_type: u16) -> String {
    let name = match link_type {
        6 => "Token Ring",
        7 => "ARCNET",
        8 => "SLIP",
        9 | 50 => "PPP",
        10 => "FDDI",
        11 | 100 => "ATM RFC 1483",
        51 => "PPPoE",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "Frame Relay",
        109 => "OpenBSD encapsulated",
        117 => "OpenBSD pflog",
        119 => "Prism header",
        127 => "IEEE 802.11 radiotap",
        143 => "DOCSIS",
        147..=162 => "user-defined",
        163 => "AVS radio header",
        187 | 201 => "Bluetooth HCI",
        189 | 220 => "USB",
        192 => "PPI",
        195 | 230 => "IEEE 802.15.4",
        227 => "CAN bus",
        239 => "Linux netfilter log",
        240 => "netANALYZER",
        242 => "IP over InfiniBand",
        249 => "USBPcap",
        252 => "Wireshark upper PDU",
        253 => "Linux netlink",
        _ => return link_type.to_string(),
    };
    format!("{link_type} ({name})")
}
