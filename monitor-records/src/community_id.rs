//! Community ID, version 1: a name of a connection that Zeek, Suricata, Wireshark and others compute from its ends.
//!
//! Specification: <https://github.com/corelight/community-id-spec>.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Protocol number of TCP.
const TCP: u8 = 6;

/// Returns the Community ID of a TCP connection. It is the same for both directions. Sites that use it choose a common
/// `seed`; 0 is the default of all tools.
///
/// ```
/// use monitor_records::community_id;
///
/// let (a, b) = ("128.232.110.120:34855".parse()?, "66.35.250.204:80".parse()?);
/// assert_eq!(community_id(0, a, b), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
/// assert_eq!(community_id(0, b, a), community_id(0, a, b));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn community_id(seed: u16, a: SocketAddr, b: SocketAddr) -> String {
    // The smaller end comes first, by address, then by port. All bytes are in network order.
    let (first, second) = if (a.ip(), a.port()) <= (b.ip(), b.port()) {
        (a, b)
    } else {
        (b, a)
    };
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    for end in [first, second] {
        match end.ip() {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
    }
    hash.update([TCP, 0]);
    hash.update(first.port().to_be_bytes());
    hash.update(second.port().to_be_bytes());
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the specification's reference implementation (`communityid` of PyPI).
    #[test]
    fn community_ids_equal_the_public_vectors() {
        let vectors = [
            (
                0,
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                1,
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:3V71V58M3Ksw/yuFALMcW0LAHvc=",
            ),
            (
                0,
                "10.0.0.1:10",
                "10.0.0.2:11",
                "1:G3gam+lDFUrwu1LL/ikt+vwOUtU=",
            ),
            (
                0,
                "10.0.0.1:11",
                "10.0.0.2:10",
                "1:RGq+EeGomssfyBgXZCE3VOSHmZ4=",
            ),
            (
                0,
                "10.0.0.1:1234",
                "10.0.0.1:80",
                "1:WaobEo3Uyp/JjlL9QX3lvrl1Oag=",
            ),
            (
                0,
                "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
                "[2607:f8b0:400c:c03::1a]:25",
                "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
            (
                0,
                "[::1]:4000",
                "[::1]:80",
                "1:652MSzOhPhjrlEDtvwqp+hyz9UU=",
            ),
        ];
        for (seed, a, b, expected) in vectors {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(community_id(seed, a, b), expected, "{a} {b}");
            assert_eq!(community_id(seed, b, a), expected, "{b} {a}");
        }
    }
}
