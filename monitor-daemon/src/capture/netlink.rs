//! Asking the kernel about interfaces, and being told when they change (rtnetlink(7)).
//!
//! Plain request and answer: nothing here is on the packet path. Not read from sysfs, which shows the interfaces of
//! the network namespace it was mounted in rather than of the one we are in.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkFlags, LinkInfo,
    LinkLayerType, LinkMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// RTNLGRP_LINK: interfaces come, go and change.
const GROUP_LINK: u32 = 1;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index: another one when it was made again.
    pub index: u32,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// What its packets start with.
    pub header: Header,
    /// Its largest packet, bytes from the IP header on.
    pub mtu: u32,
    /// Packets lost on their way in, by the card, its driver or the kernel's backlog.
    pub rx_lost: u64,
    /// Receive queues, as far as rtnetlink knows: most that there can be.
    pub rx_queues: u32,
    /// One end of a pair of virtual interfaces.
    pub veth: bool,
}

/// What the packets of an interface start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// An Ethernet header.
    Ethernet,
    /// An Ethernet header without meaning (`lo`).
    Loopback,
    /// An IP header (WireGuard, TUN devices).
    Ip,
    /// Anything else: not understood.
    Other(u16),
}

/// The interface of that name; `None` if there is none.
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

/// The names of all interfaces.
pub fn names() -> io::Result<Vec<String>> {
    let links = ask(
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        NLM_F_DUMP,
    )?;
    Ok(links
        .iter()
        .filter_map(read)
        .map(|interface| interface.name)
        .collect())
}

/// Brings a monitor device up: as large packets as it takes, and no address or neighbour traffic of its own.
pub fn bring_up(index: u32, mtu: u32) -> io::Result<()> {
    let mut request = LinkMessage::default();
    request.header.index = index;
    request.header.flags = LinkFlags::Up | LinkFlags::Noarp;
    request.header.change_mask = LinkFlags::Up | LinkFlags::Noarp;
    request.attributes.push(LinkAttribute::Mtu(mtu));
    let quiet = vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)];
    let mut silenced = request.clone();
    silenced
        .attributes
        .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
            quiet,
        )]));
    let result = ask(RouteNetlinkMessage::SetLink(silenced), NLM_F_ACK);
    // A kernel without IPv6 has no such setting, and no IPv6 traffic either.
    let result = match result {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            ask(RouteNetlinkMessage::SetLink(request), NLM_F_ACK)
        }
        result => result,
    };
    result.map(|_| ())
}

/// Tells when any interface changes.
pub struct Changes(Socket);

impl Changes {
    /// Starts listening.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(GROUP_LINK)?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Forgets what came so far: whoever looks at the interfaces afterwards sees it all.
    pub fn clear(&self) {
        // An overrun is reported once as an error and is one more change.
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
        header: match message.header.link_layer_type {
            LinkLayerType::Ether => Header::Ethernet,
            LinkLayerType::Loopback => Header::Loopback,
            LinkLayerType::None | LinkLayerType::Rawip => Header::Ip,
            other => Header::Other(other.into()),
        },
        mtu: 0,
        rx_lost: 0,
        rx_queues: 0,
        veth: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Stats64(stats) => {
                interface.rx_lost = stats.rx_dropped + stats.rx_missed_errors
            }
            LinkAttribute::NumRxQueues(queues) => interface.rx_queues = *queues,
            LinkAttribute::LinkInfo(infos) => {
                interface.veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
            }
            _ => {}
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

/// The links that the kernel answers with.
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
        if take(&datagram, &mut links)? {
            return Ok(links);
        }
    }
}

/// The links of one datagram; true when it ends the answer.
fn take(datagram: &[u8], links: &mut Vec<LinkMessage>) -> io::Result<bool> {
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
    fn the_loopback_interface_is_known() {
        let lo = interface("lo").unwrap().unwrap();
        assert_eq!(
            (lo.name.as_str(), lo.header, lo.index > 0),
            ("lo", Header::Loopback, true)
        );
        assert!(names().unwrap().contains(&"lo".to_owned()));
    }

    #[test]
    fn an_interface_that_is_not_there_is_none() {
        assert_eq!(interface("no-such-one").unwrap(), None);
    }
}
