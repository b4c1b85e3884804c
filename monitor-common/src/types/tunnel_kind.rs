//! Kinds of tunnels that can be followed, and sets of them.

/// Kind of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[repr(u8)]
pub enum TunnelKind {
    /// GRE with IP or Ethernet frames inside (RFC 2784, RFC 2890, RFC 7637). The id is the key.
    Gre,
    /// IP in IP, of any two versions (RFC 2003, RFC 2473, RFC 4213). It has no id.
    Ipip,
    /// VXLAN (RFC 7348). The id is the VNI.
    Vxlan,
    /// Geneve (RFC 8926). The id is the VNI.
    Geneve,
    /// ERSPAN of types I to III: the mirror session of a switch, inside GRE. The id is the session.
    Erspan,
}

impl TunnelKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Gre,
        Self::Ipip,
        Self::Vxlan,
        Self::Geneve,
        Self::Erspan,
    ];

    /// Returns the name that the configuration and the RPC use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Erspan => "erspan",
        }
    }
}

/// Set of tunnel kinds. Empty: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TunnelKinds(u8);

impl TunnelKinds {
    /// All kinds.
    pub const ALL: Self = Self((1 << TunnelKind::ALL.len()) - 1);

    /// Returns the set with the kinds of these bits, by their numbers. Other bits are ignored.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Returns a bit for each kind, by its number.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set with one more kind.
    #[must_use]
    pub const fn with(self, kind: TunnelKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Returns whether a kind is in the set.
    #[inline(always)]
    #[must_use]
    pub const fn contains(self, kind: TunnelKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Returns whether there are none.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the kinds, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = TunnelKind> {
        TunnelKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<TunnelKind> for TunnelKinds {
    fn from_iter<I: IntoIterator<Item = TunnelKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::default(), Self::with)
    }
}
