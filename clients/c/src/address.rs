//! Socket addresses as C lays them out, in bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::failure::Failure;

/// sizeof(struct sockaddr_in).
const V4: usize = size_of::<libc::sockaddr_in>();
/// sizeof(struct sockaddr_in6).
const V6: usize = size_of::<libc::sockaddr_in6>();

/// A struct sockaddr_in or sockaddr_in6: family, port and address; the rest is 0.
pub(crate) fn encode(address: SocketAddr) -> Vec<u8> {
    let (family, size) = match address {
        SocketAddr::V4(_) => (libc::AF_INET, V4),
        SocketAddr::V6(_) => (libc::AF_INET6, V6),
    };
    let mut bytes = vec![0; size];
    bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => bytes[4..8].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[8..24].copy_from_slice(&ip.octets()),
    }
    bytes
}

/// The address in a struct sockaddr_in or sockaddr_in6. EINVAL if it is too short, EAFNOSUPPORT if it is of another
/// family.
pub(crate) fn decode(bytes: &[u8]) -> Result<SocketAddr, Failure> {
    let short = Failure(libc::EINVAL);
    let (family, rest) = bytes.split_first_chunk::<2>().ok_or(short)?;
    let port = u16::from_be_bytes(*rest.first_chunk().ok_or(short)?);
    let ip = match i32::from(libc::sa_family_t::from_ne_bytes(*family)) {
        libc::AF_INET if bytes.len() >= V4 => IpAddr::from(Ipv4Addr::from(array(&bytes[4..8]))),
        libc::AF_INET6 if bytes.len() >= V6 => IpAddr::from(Ipv6Addr::from(array(&bytes[8..24]))),
        libc::AF_INET | libc::AF_INET6 => return Err(short),
        _ => return Err(Failure(libc::EAFNOSUPPORT)),
    };
    Ok(SocketAddr::new(ip, port))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_address_is_decoded() {
        for text in ["10.0.0.1:80", "[2001:db8::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(decode(&encode(address)), Ok(address));
        }
    }

    #[test]
    fn short_and_foreign_ones_are_refused() {
        let whole = encode("[2001:db8::1]:1".parse().unwrap());
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len]), Err(Failure(libc::EINVAL)), "{len}");
        }
        assert_eq!(
            decode(&encode("10.0.0.1:1".parse().unwrap())[..15]),
            Err(Failure(libc::EINVAL))
        );
        let unix = (libc::AF_UNIX as u16).to_ne_bytes();
        assert_eq!(
            decode(&[unix[0], unix[1], 0, 0]),
            Err(Failure(libc::EAFNOSUPPORT))
        );
    }
}
