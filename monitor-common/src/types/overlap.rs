//! Overlap policies of receivers.

/// Policy that selects the bytes of a stream where segments overlap and differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schemars", schemars(rename = "Overlap"))]
#[repr(u8)]
pub enum OverlapPolicy {
    /// The receive path of Linux, with the merging that its out-of-order queue does.
    #[default]
    Linux,
    /// The first copy to arrive.
    First,
    /// The last copy to arrive, even of bytes already in order.
    Last,
    /// The copy in the segment that starts further left; of two with the same start, the first.
    Bsd,
}

impl OverlapPolicy {
    /// All policies, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Linux, Self::First, Self::Last, Self::Bsd];

    /// Returns the policy with a number, of which the lowest two bits count.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self::ALL[(number & 3) as usize]
    }

    /// Returns the name that the configuration and the RPC use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::First => "first",
            Self::Last => "last",
            Self::Bsd => "bsd",
        }
    }
}
