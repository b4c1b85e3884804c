//! Address prefixes.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use crate::wire::Address;

const BITS: u8 = 128;
/// Bits in front of an IPv4 address in its mapped form, `::ffff:0:0/96`.
const MAPPED: u8 = 96;

/// Network prefix of IPv4 or IPv6 addresses. Held in the 128-bit form, where an IPv4 prefix is 96 bits longer and a
/// prefix of mapped addresses equals the IPv4 prefix. Bits beyond the length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: Address,
    bits: u8,
}

impl Prefix {
    /// The prefix of every address, IPv4 and IPv6.
    pub const ALL: Self = Self {
        address: Address::v6([0; 16]),
        bits: 0,
    };

    /// Creates the prefix of `len` bits, counted in the address's own family.
    ///
    /// # Errors
    /// [`PrefixError::TooLong`] beyond 32 (IPv4) or 128 bits (IPv6).
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let (front, most) = match address {
            IpAddr::V4(_) => (MAPPED, 32),
            IpAddr::V6(_) => (0, 128),
        };
        if len > most {
            return Err(PrefixError::TooLong { len, most });
        }
        Ok(Self::masked(Address::from(address), front + len))
    }

    /// Creates the prefix of `bits` bits, counted in the 128-bit form; at most 128 count.
    #[must_use]
    pub fn masked(address: Address, bits: u8) -> Self {
        let bits = bits.min(BITS);
        let mask = u128::MAX
            .checked_shl(u32::from(BITS - bits))
            .unwrap_or_default();
        let number = u128::from_be_bytes(address.octets()) & mask;
        Self {
            address: Address::v6(number.to_be_bytes()),
            bits,
        }
    }

    /// Returns the first address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Returns the length in bits of the 128-bit form.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Returns whether all its addresses are IPv4 addresses.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        self.bits >= MAPPED && self.address.is_v4()
    }

    /// Returns the length in bits, counted in its own family, as it is written behind the slash.
    #[must_use]
    pub const fn family_len(&self) -> u8 {
        if self.is_v4() {
            self.bits - MAPPED
        } else {
            self.bits
        }
    }

    /// Returns whether an address is in it.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: &Address) -> bool {
        let differ =
            u128::from_be_bytes(self.address.octets()) ^ u128::from_be_bytes(address.octets());
        self.bits == 0 || differ >> (BITS - self.bits) == 0
    }
}

impl From<IpAddr> for Prefix {
    /// The prefix of one address.
    fn from(address: IpAddr) -> Self {
        Self {
            address: Address::from(address),
            bits: BITS,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_v4() {
            write!(f, "{}/{}", self.address, self.family_len())
        } else {
            // Not through the address alone: it may look like an IPv4 address that is shorter than its prefix.
            let v6 = core::net::Ipv6Addr::from(self.address.octets());
            write!(f, "{v6}/{}", self.bits)
        }
    }
}

/// Error of a text that is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Neither an address nor an address with a length.
    Syntax,
    /// More bits than the address has.
    TooLong {
        /// Length as given.
        len: u8,
        /// Bits of an address of this family.
        most: u8,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => {
                f.write_str("not an address or a network, like \"10.0.0.0/8\" or \"2001:db8::/32\"")
            }
            Self::TooLong { len, most } => {
                write!(f, "a prefix of {len} bits: the address has only {most}")
            }
        }
    }
}

impl core::error::Error for PrefixError {}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `address/length`, or an address alone.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let Some((address, len)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| PrefixError::Syntax)?;
            return Ok(Self::from(address));
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Syntax)?;
        // `u8::from_str` would take a plus sign.
        if len.is_empty() || !len.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(PrefixError::Syntax);
        }
        Self::new(address, len.parse().map_err(|_| PrefixError::Syntax)?)
    }
}

#[cfg(feature = "serde")]
mod wire {
    use core::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::{Deserialize, Serialize, Serializer};

    use super::Prefix;

    impl Serialize for Prefix {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Prefix {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_str(PrefixVisitor)
        }
    }

    struct PrefixVisitor;

    impl Visitor<'_> for PrefixVisitor {
        type Value = Prefix;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an address or a network, like \"10.0.0.0/8\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Prefix, E> {
            text.parse().map_err(E::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn prefixes_print_as_their_networks() {
        for (text, printed) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
        ] {
            assert_eq!(prefix(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn prefixes_contain_the_addresses_of_their_network() {
        assert!(prefix("10.0.0.0/8").contains(&address("10.255.0.1")));
        assert!(!prefix("10.0.0.0/8").contains(&address("11.0.0.0")));
        assert!(prefix("0.0.0.0/0").contains(&address("1.2.3.4")));
        assert!(!prefix("0.0.0.0/0").contains(&address("::1")));
        assert!(prefix("::/0").contains(&address("1.2.3.4")));
        assert!(Prefix::ALL.contains(&address("2001:db8::1")));
        assert!(prefix("::1").contains(&address("::1")));
        assert!(!prefix("::1").contains(&address("::2")));
    }

    #[test]
    fn bad_prefixes_are_refused() {
        let too_long = |len, most| Err(PrefixError::TooLong { len, most });
        assert_eq!("10.0.0.0/33".parse::<Prefix>(), too_long(33, 32));
        assert_eq!("::/129".parse::<Prefix>(), too_long(129, 128));
        for text in [
            "",
            "10",
            "10/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/256",
            "a/8",
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::Syntax), "{text}");
        }
    }
}
