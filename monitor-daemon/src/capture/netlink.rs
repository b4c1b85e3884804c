//! Interfaces of this network namespace, and notifications of their changes (rtnetlink(7)).
//!
//! Not on the packet path. sysfs is no alternative: it shows the interfaces of the namespace in which it was mounted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use monitor_common::LinkType;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkLayerType, LinkMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// RTNLGRP_LINK: interfaces are created, deleted, or change.
const GROUP_LINK: u32 = 1;

/// Interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index: another one after it was recreated.
    pub index: u32,
    /// True if it is up and has a carrier.
    pub up: bool,
    /// First header of its packets; an error holds an ARPHRD type that is not supported.
    pub link_type: Result<LinkType, u16>,
    /// True for `lo`: its packets have an Ethernet header without meaning.
    pub loopback: bool,
    /// Its largest packet, bytes from the IP header on.
    pub mtu: u32,
    /// Received packets.
    pub rx_packets: u64,
    /// Received packets dropped by the card, its driver or the kernel's backlog.
    pub rx_dropped: u64,
    /// Number of receive queues allocated; fewer may be in use.
    pub rx_queues: u32,
    /// Number of times that it got a carrier.
    pub carrier_ups: u32,
}

/// Returns the interface of that name; `None` if it does not exist.
pub fn interface(name: &str) -> io::Result<Option<Interface>> {
    let mut request = LinkMessage::default();
    request
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    match ask(RouteNetlinkMessage::GetLink(request), NLM_F_ACK) {
        Ok(links) => Ok(links.iter().filter_map(read).next()),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns all interfaces.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let links = ask(
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        NLM_F_DUMP,
    )?;
    Ok(links.iter().filter_map(read).collect())
}

/// Returns the names of all interfaces.
pub fn names() -> io::Result<Vec<String>> {
    Ok(interfaces()?
        .into_iter()
        .map(|interface| interface.name)
        .collect())
}

/// Brings a monitor device up, with packets of at most `mtu` bytes and without addresses or neighbour discovery.
pub fn bring_up(index: u32, mtu: u32) -> io::Result<()> {
    let mut request = LinkMessage::default();
    request.header.index = index;
    request.header.flags = LinkFlags::Up | LinkFlags::Noarp;
    request.header.change_mask = LinkFlags::Up | LinkFlags::Noarp;
    request.attributes.push(LinkAttribute::Mtu(mtu));
    let no_address = vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)];
    let mut without_ipv6 = request.clone();
    without_ipv6
        .attributes
        .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
            no_address,
        )]));
    let result = ask(RouteNetlinkMessage::SetLink(without_ipv6), NLM_F_ACK);
    // A kernel without IPv6 does not know the setting.
    let result = match result {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            ask(RouteNetlinkMessage::SetLink(request), NLM_F_ACK)
        }
        result => result,
    };
    result.map(|_| ())
}

/// Socket that is readable after an interface changed.
pub struct Changes(Socket);

impl Changes {
    /// Subscribes to the changes.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(GROUP_LINK)?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Discards the pending notifications. The caller must read the interfaces afterwards.
    pub fn clear(&self) {
        // An overrun is reported once, as an error, and counts as a change.
        while self.0.recv_from_full().is_ok() {}
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn read(message: &LinkMessage) -> Option<Interface> {
    let mut interface = Interface {
        name: String::new(),
        index: message.header.index,
        up: message
            .header
            .flags
            .contains(LinkFlags::Up | LinkFlags::LowerUp),
        link_type: match message.header.link_layer_type {
            LinkLayerType::Ether | LinkLayerType::Loopback => Ok(LinkType::Ethernet),
            LinkLayerType::None | LinkLayerType::Rawip => Ok(LinkType::Ip),
            other => Err(other.into()),
        },
        loopback: message.header.link_layer_type == LinkLayerType::Loopback,
        mtu: 0,
        rx_packets: 0,
        rx_dropped: 0,
        rx_queues: 0,
        carrier_ups: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Stats64(stats) => {
                interface.rx_packets = stats.rx_packets;
                interface.rx_dropped = stats.rx_dropped + stats.rx_missed_errors;
            }
            LinkAttribute::CarrierUpCount(count) => interface.carrier_ups = *count,
            LinkAttribute::NumRxQueues(queues) => interface.rx_queues = *queues,
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

/// Sends a request and returns the links of the answer.
fn ask(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<LinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut links = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if parse(&datagram, &mut links)? {
            return Ok(links);
        }
    }
}

/// Appends the links of one datagram; returns true at the end of the answer.
fn parse(datagram: &[u8], links: &mut Vec<LinkMessage>) -> io::Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message =
            NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => links.push(link),
            NetlinkPayload::Error(answer) if answer.code.is_some() => return Err(answer.to_io()),
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(true),
            _ => {}
        }
        // Each message is padded to four bytes.
        let length = (message.header.length as usize).next_multiple_of(4).max(4);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found() {
        let lo = interface("lo").unwrap().unwrap();
        assert_eq!(
            (lo.name.as_str(), lo.loopback, lo.index > 0),
            ("lo", true, true)
        );
        assert!(names().unwrap().contains(&"lo".to_owned()));
    }

    #[test]
    fn a_missing_interface_is_none() {
        assert_eq!(interface("no-such-one").unwrap(), None);
    }
}
