//! Values: addresses, networks, ports, VLAN ids.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::error::Problem;

/// Names of common services, as in the IANA registry and /etc/services. The file itself is not read, so that a filter
/// means the same on every machine.
const SERVICES: &[(&str, u16)] = &[
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("imap2", 143),
    ("imap", 143),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("submission", 587),
    ("ldaps", 636),
    ("imaps", 993),
    ("pop3s", 995),
    ("mysql", 3306),
    ("postgresql", 5432),
];

/// Parses an address. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 one.
pub(super) fn host(text: &str) -> Result<IpNet, Problem> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address.to_canonical())),
        Err(_) if network(text).is_ok() && text.contains('/') => {
            Err(Problem::NetworkAsHost(text.to_owned()))
        }
        Err(_) => Err(Problem::Address(text.to_owned())),
    }
}

/// Parses a network with its length. Without a length, the written bytes of an IPv4 address count: `10` is `10.0.0.0/8`.
pub(super) fn network(text: &str) -> Result<IpNet, Problem> {
    let wrong = || Problem::Network(text.to_owned());
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(number(len, 128).ok_or_else(wrong)? as u8)),
        None => (text, None),
    };
    let (address, natural) = if address.contains(':') {
        (address.parse().map_err(|_| wrong())?, 128)
    } else {
        let (address, bytes) = partial(address).ok_or_else(wrong)?;
        (IpAddr::V4(address), 8 * bytes)
    };
    let network = IpNet::new(address, len.unwrap_or(natural)).map_err(|_| wrong())?;
    if network != network.trunc() {
        return Err(Problem::HostBits(
            text.to_owned(),
            network.trunc().to_string(),
        ));
    }
    Ok(canonical(network))
}

/// Parses the first one to four bytes of an IPv4 address; returns them with their number.
fn partial(text: &str) -> Option<(Ipv4Addr, u8)> {
    let mut bytes = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        *bytes.get_mut(count)? = number(part, 255)? as u8;
        count += 1;
    }
    Some((bytes.into(), count as u8))
}

/// Converts a network of IPv4 addresses written as IPv6 to IPv4.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match (
        network.addr().to_canonical(),
        network.prefix_len().checked_sub(MAPPED),
    ) {
        (IpAddr::V4(address), Some(len)) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, len).map_or(network, IpNet::from)
        }
        _ => network,
    }
}

/// Parses a port, by number or name.
pub(super) fn port(text: &str) -> Result<u16, Problem> {
    let named = || {
        SERVICES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, port)| *port)
    };
    number(text, u16::MAX.into())
        .map(|port| port as u16)
        .or_else(named)
        .ok_or_else(|| Problem::Port(text.to_owned()))
}

/// Parses the lowest and the highest port; as in tcpdump, in any order, and one port is a range too.
pub(super) fn port_range(text: &str) -> Result<(u16, u16), Problem> {
    let ends = text.match_indices('-').find_map(|(at, _)| {
        let (first, last) = (port(&text[..at]).ok()?, port(&text[at + 1..]).ok()?);
        Some((first.min(last), first.max(last)))
    });
    ends.or_else(|| port(text).ok().map(|port| (port, port)))
        .ok_or_else(|| Problem::PortRange(text.to_owned()))
}

pub(super) fn vlan(text: &str) -> Result<u16, Problem> {
    const LARGEST: u32 = 4095;
    number(text, LARGEST)
        .map(|id| id as u16)
        .ok_or_else(|| Problem::Vlan(text.to_owned()))
}

/// Parses digits and nothing else, up to `largest`.
fn number(text: &str, largest: u32) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && *number <= largest)
}
