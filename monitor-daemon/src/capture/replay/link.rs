//! Link types in capture files (www.tcpdump.org/linktypes.html).
//!
//! The engine decodes those of live captures and a few more. Of the others, the headers in front of IP are removed here:
//! PPP, PPPoE, Cisco HDLC, Linux netfilter log, IP over InfiniBand, IEEE 802.11 with and without radiotap.

use monitor_common::LinkType;
use monitor_common::wire::{ETHERTYPE_PPP, Error, Vlans, carried, llc, ppp, pppoe};

const PPP: u16 = 9;
const PPP_HDLC: u16 = 50;
const PPPOE: u16 = 51;
const CISCO_HDLC: u16 = 104;
const IEEE802_11: u16 = 105;
const RADIOTAP: u16 = 127;
const NFLOG: u16 = 239;
const IPOIB: u16 = 242;

/// Returns the first header of a frame with this link type, and the frame from there on; `None` for link types that are
/// not supported, and for frames of [stripped](is_stripped) ones without a readable IP packet. `big_endian`: byte order of
/// the file, which some headers share.
#[inline]
pub(super) fn link(link_type: u16, data: &[u8], big_endian: bool) -> Option<(LinkType, &[u8])> {
    let link = match link_type {
        1 => LinkType::Ethernet,
        0 | 108 => LinkType::Null,
        // DLT_RAW has the number 12 or 14 by platform; 101 is its number in files.
        12 | 14 | 101 | 228 | 229 => LinkType::Ip,
        113 => LinkType::LinuxSll,
        276 => LinkType::LinuxSll2,
        _ => {
            let at = ip_offset(link_type, data, big_endian).ok()?;
            return Some((LinkType::Ip, data.get(at..)?));
        }
    };
    Some((link, data))
}

/// Returns whether the headers of a link type are removed by [`link()`].
pub(super) fn is_stripped(link_type: u16) -> bool {
    matches!(
        link_type,
        PPP | PPP_HDLC | PPPOE | CISCO_HDLC | IEEE802_11 | RADIOTAP | NFLOG | IPOIB
    )
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

/// Returns the offset of the IP header.
#[cold]
fn ip_offset(link_type: u16, data: &[u8], big_endian: bool) -> Result<usize, Error> {
    let (ethertype, at) = match link_type {
        PPP | PPP_HDLC => ppp(data, 0)?,
        PPPOE => (ETHERTYPE_PPP, pppoe(data, 0)?),
        // Address, control, EtherType.
        CISCO_HDLC => (be16(data, 2)?, 4),
        IEEE802_11 => ieee802_11(data, 0, false)?,
        RADIOTAP => radiotap(data)?,
        NFLOG => return nflog(data, big_endian),
        IPOIB => return ipoib(data),
        _ => return Err(Error::NotIp),
    };
    network(data, ethertype, at)
}

fn network(data: &[u8], ethertype: u16, at: usize) -> Result<usize, Error> {
    let found = carried(data, ethertype, at, Vlans::default())?;
    if found.vlans.count > 0 {
        // The tags would be lost.
        return Err(Error::NotIp);
    }
    Ok(found.payload)
}

fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Error> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk().copied())
        .ok_or(Error::Truncated)
}

fn be16(data: &[u8], at: usize) -> Result<u16, Error> {
    Ok(u16::from_be_bytes(array(data, at)?))
}

/// Finds the packet in a netfilter log record: fields of a length and a type in the byte order of the file, each padded
/// to four bytes.
fn nflog(data: &[u8], big_endian: bool) -> Result<usize, Error> {
    const VERSION: u8 = 0;
    const HEADER: usize = 4;
    const PAYLOAD: u16 = 9;
    let [_, version, ..] = array::<HEADER>(data, 0)?;
    if version != VERSION {
        return Err(Error::NotIp);
    }
    let number = |bytes| {
        if big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    };
    let mut at = HEADER;
    loop {
        let [a, b, c, d] = array(data, at)?;
        let (len, kind) = (usize::from(number([a, b])), number([c, d]));
        if len < 4 {
            return Err(Error::Malformed);
        }
        // The two upper bits are flags.
        if kind & 0x3fff == PAYLOAD {
            let [first] = array(data, at + 4)?;
            return if matches!(first >> 4, 4 | 6) {
                Ok(at + 4)
            } else {
                Err(Error::NotIp)
            };
        }
        at += len.next_multiple_of(4);
    }
}

/// Finds the packet behind the EtherType of RFC 4391, 6, which follows 40 bytes of addresses in captures.
fn ipoib(data: &[u8]) -> Result<usize, Error> {
    const ADDRESSES: usize = 40;
    // EtherType, and two reserved bytes.
    const HEADER: usize = 4;
    let ethertype = be16(data, ADDRESSES)?;
    network(data, ethertype, ADDRESSES + HEADER)
}

/// Reads the radiotap header, and the frame behind it (www.radiotap.org).
fn radiotap(data: &[u8]) -> Result<(u16, usize), Error> {
    const VERSION: u8 = 0;
    const HAS_TIME: u32 = 1;
    const HAS_FLAGS: u32 = 1 << 1;
    const MORE_WORDS: u32 = 1 << 31;
    /// Padding between the header of a frame and its payload, to four bytes.
    const FLAG_PADDED: u8 = 0x20;
    let [version, _, a, b] = array(data, 0)?;
    if version != VERSION {
        return Err(Error::NotIp);
    }
    let len = usize::from(u16::from_le_bytes([a, b]));
    let present = u32::from_le_bytes(array(data, 4)?);
    let mut fields = 8;
    let mut word = present;
    while word & MORE_WORDS != 0 {
        word = u32::from_le_bytes(array(data, fields)?);
        fields += 4;
    }
    if present & HAS_TIME != 0 {
        // 64 bits, aligned.
        fields = fields.next_multiple_of(8) + 8;
    }
    let padded = present & HAS_FLAGS != 0 && array::<1>(data, fields)?[0] & FLAG_PADDED != 0;
    ieee802_11(data, len, padded)
}

/// Reads the header of an IEEE 802.11 data frame at `at`, and LLC behind it. Returns the EtherType of its payload, and the
/// payload's offset. Encrypted frames, and aggregates of several, are not read.
fn ieee802_11(data: &[u8], at: usize, padded: bool) -> Result<(u16, usize), Error> {
    /// Version 0, type 2.
    const DATA: u8 = 0x08;
    const NO_DATA: u8 = 0x40;
    const QOS: u8 = 0x80;
    const TO_AND_FROM_AP: u8 = 0x03;
    const PROTECTED: u8 = 0x40;
    const HT_CONTROL: u8 = 0x80;
    const AGGREGATE: u8 = 0x80;
    let [control, flags] = array(data, at)?;
    if control & 0x0f != DATA || control & NO_DATA != 0 || flags & PROTECTED != 0 {
        return Err(Error::NotIp);
    }
    let mut header = 24;
    if flags & TO_AND_FROM_AP == TO_AND_FROM_AP {
        header += 6;
    }
    if control & QOS != 0 {
        if array::<1>(data, at + header)?[0] & AGGREGATE != 0 {
            return Err(Error::NotIp);
        }
        header += 2;
        if flags & HT_CONTROL != 0 {
            header += 4;
        }
    }
    if padded {
        header = header.next_multiple_of(4);
    }
    llc(data, at + header)
}
