//! Captured packets, as struct pkt_info describes them.

use std::net::SocketAddr;

use monitor_common::wire::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTOCOL_TCP};

use crate::event_types::pkt_info;

/// Link type of packets without an Ethernet header.
const LINKTYPE_RAW: u16 = 101;
/// Length of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// Captured packet with an Ethernet header.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Time of the capture, in nanoseconds since the epoch.
    pub(crate) time_ns: u64,
    bytes: Vec<u8>,
    ip: usize,
    ip_len: usize,
    is_v4: bool,
    segment: Option<Segment>,
}

/// TCP header and payload of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) has_syn: bool,
    /// A SYN without an acknowledgment: the first segment of a connection.
    pub(crate) is_first: bool,
    ack: u32,
    window: u16,
    header: usize,
    payload: usize,
    len: usize,
}

impl Frame {
    /// Parses a packet. `None`: it's neither IPv4 nor IPv6.
    pub(crate) fn parse(time_ns: u64, link: u16, bytes: &[u8]) -> Option<Self> {
        let bytes = if link == LINKTYPE_RAW {
            let ethertype = match bytes.first()? >> 4 {
                4 => ETHERTYPE_IPV4,
                _ => ETHERTYPE_IPV6,
            };
            [&[0; ETHERNET - 2], &ethertype.to_be_bytes()[..], bytes].concat()
        } else {
            bytes.to_vec()
        };
        let ip = wire::ethernet(&bytes[..]).ok()?.payload;
        let datagram = wire::ip(&bytes[..], ip).ok()?;
        let is_tcp = datagram.protocol == PROTOCOL_TCP
            && datagram.fragment.is_none_or(|part| part.offset == 0);
        let segment = is_tcp
            .then(|| wire::tcp_cut(&bytes[..], datagram.payload).ok())
            .flatten();
        let segment = segment.map(|tcp| Segment {
            source: SocketAddr::new(datagram.src.into(), tcp.src),
            destination: SocketAddr::new(datagram.dst.into(), tcp.dst),
            seq: tcp.seq,
            has_syn: tcp.flags & wire::flags::SYN != 0,
            is_first: tcp.flags & (wire::flags::SYN | wire::flags::ACK) == wire::flags::SYN,
            ack: tcp.ack,
            window: tcp.window,
            header: datagram.payload,
            payload: tcp.payload,
            // The header's length may be beyond the captured bytes, and the program reads that many.
            len: datagram.end.min(bytes.len()).saturating_sub(tcp.payload),
        });
        Some(Self {
            time_ns,
            ip,
            ip_len: datagram.end - ip,
            is_v4: datagram.version == 4,
            segment,
            bytes,
        })
    }

    pub(crate) fn segment(&self) -> Option<Segment> {
        self.segment
    }

    /// Returns its length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Copies the packet to a buffer, and describes the copy. `isn`: initial sequence number of its sender, if known.
    pub(crate) fn info(&self, isn: Option<u32>, copy: &mut Vec<u8>) -> pkt_info {
        copy.clear();
        copy.extend_from_slice(&self.bytes);
        let length = copy.len();
        let start = copy.as_mut_ptr();
        let at = |offset: usize| start.wrapping_add(offset.min(length));
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let mut info = pkt_info {
            cur_ts: (self.time_ns / 1000) as u32,
            in_ifidx: 0,
            eth_len: short(self.bytes.len()),
            ip_len: short(self.ip_len),
            offset: 0,
            payloadlen: 0,
            seq: 0,
            ack_seq: 0,
            window: 0,
            ethh: at(0).cast(),
            iph: std::ptr::null_mut(),
            tcph: std::ptr::null_mut(),
            payload: std::ptr::null_mut(),
        };
        if self.is_v4 {
            info.iph = at(self.ip).cast();
        }
        if let Some(segment) = self.segment {
            info.payloadlen = short(segment.len);
            info.seq = segment.seq;
            info.ack_seq = segment.ack;
            info.window = segment.window;
            info.tcph = at(segment.header).cast();
            info.payload = at(segment.payload);
            let first = segment.seq.wrapping_add(u32::from(segment.has_syn));
            info.offset = isn.map_or(0, |isn| u64::from(first.wrapping_sub(isn.wrapping_add(1))));
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segment with 3 bytes from 10.0.0.1:1000 to 10.0.0.2:80, sequence number 7.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 43, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2, 3, 232, 0, 80]);
        packet.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        packet.extend(b"abc");
        packet
    }

    #[test]
    fn a_packet_without_ethernet_gets_a_header() {
        let frame = Frame::parse(5_000, LINKTYPE_RAW, &packet()).unwrap();
        let segment = frame.segment().unwrap();
        assert_eq!(segment.source, "10.0.0.1:1000".parse().unwrap());
        assert_eq!(segment.destination, "10.0.0.2:80".parse().unwrap());
        let mut copy = Vec::new();
        let info = frame.info(Some(4), &mut copy);
        assert_eq!((info.cur_ts, info.eth_len, info.ip_len), (5, 57, 43));
        assert_eq!((info.seq, info.ack_seq, info.window), (7, 9, 256));
        assert_eq!((info.payloadlen, info.offset), (3, 2));
        assert_eq!(info.iph.addr() - info.ethh.addr(), 14);
        assert_eq!(info.tcph.addr() - info.iph.addr(), 20);
        assert_eq!(info.payload.addr() - info.tcph.addr(), 20);
    }

    #[test]
    fn the_payload_ends_with_the_captured_bytes() {
        let mut packet = packet();
        packet[2..4].copy_from_slice(&1500_u16.to_be_bytes());
        let frame = Frame::parse(0, LINKTYPE_RAW, &packet).unwrap();
        let info = frame.info(None, &mut Vec::new());
        assert_eq!((info.ip_len, info.payloadlen), (1500, 3));
    }

    #[test]
    fn what_is_not_there_is_null() {
        assert!(Frame::parse(0, LINKTYPE_RAW, &[]).is_none());
        assert!(Frame::parse(0, LINKTYPE_RAW, &packet()[..19]).is_none());
        let mut udp = packet();
        udp[9] = 17;
        let frame = Frame::parse(0, LINKTYPE_RAW, &udp).unwrap();
        let info = frame.info(None, &mut Vec::new());
        assert!(frame.segment().is_none() && info.tcph.is_null() && info.payload.is_null());
        assert!(!info.iph.is_null());
    }
}
