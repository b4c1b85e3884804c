//! Identifiers of connections.

use core::fmt;

/// Identifier of one connection; never used again for another one.
///
/// Below 2^53, so that every JSON reader keeps it exact. Bits 0..6 hold the worker, 6..30 the record's slot,
/// 30..53 the slot's generation; a slot is retired after its last generation. No worker has the highest worker
/// number: its identifiers are those of subscriptions.
/// Sorted by [`SockId::position`] (worker, then slot), pages of a listing stay stable while connections come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SockId(u64);

impl SockId {
    const WORKER_BITS: u32 = 6;
    const SLOT_BITS: u32 = 24;
    /// Most workers.
    pub const MAX_WORKERS: u16 = (1 << Self::WORKER_BITS) - 1;
    /// Most slots of one worker.
    pub const MAX_SLOTS: u32 = 1 << Self::SLOT_BITS;
    /// Last generation of a slot.
    pub const MAX_GENERATION: u32 = (1 << (53 - Self::WORKER_BITS - Self::SLOT_BITS)) - 1;

    /// Creates the identifier of the connection in `slot` with this `generation`.
    #[must_use]
    pub const fn new(worker: u16, slot: u32, generation: u32) -> Self {
        debug_assert!(worker < Self::MAX_WORKERS && slot < Self::MAX_SLOTS);
        debug_assert!(generation <= Self::MAX_GENERATION);
        Self(
            worker as u64
                | (slot as u64) << Self::WORKER_BITS
                | (generation as u64) << (Self::WORKER_BITS + Self::SLOT_BITS),
        )
    }

    /// Returns the identifier with a client's number; `None` from 2^53 on.
    #[must_use]
    pub const fn from_u64(id: u64) -> Option<Self> {
        if id < 1 << 53 { Some(Self(id)) } else { None }
    }

    /// Creates the identifier of a subscription from its number, which may have 47 bits.
    #[must_use]
    pub const fn listener(number: u64) -> Self {
        debug_assert!(number < 1 << (53 - Self::WORKER_BITS));
        Self(Self::MAX_WORKERS as u64 | number << Self::WORKER_BITS)
    }

    /// Returns whether it identifies a subscription instead of a connection.
    #[must_use]
    pub const fn is_listener(self) -> bool {
        self.worker() == Self::MAX_WORKERS
    }

    /// Returns the number that clients see.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the worker that owns the connection.
    #[must_use]
    pub const fn worker(self) -> u16 {
        (self.0 & ((1 << Self::WORKER_BITS) - 1)) as u16
    }

    /// Returns the slot of the connection's record.
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 >> Self::WORKER_BITS) as u32 & (Self::MAX_SLOTS - 1)
    }

    /// Returns the generation of the slot.
    #[must_use]
    pub const fn generation(self) -> u32 {
        (self.0 >> (Self::WORKER_BITS + Self::SLOT_BITS)) as u32
    }

    /// Returns worker and slot: the order in which connections are listed.
    #[must_use]
    pub const fn position(self) -> (u16, u32) {
        (self.worker(), self.slot())
    }
}

impl fmt::Display for SockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SockId({}: worker {} slot {} generation {})",
            self.0,
            self.worker(),
            self.slot(),
            self.generation()
        )
    }
}

#[cfg(feature = "serde")]
mod wire {
    use core::fmt;

    use serde::de::{Deserializer, Error, Unexpected, Visitor};
    use serde::{Deserialize, Serialize, Serializer};

    use super::SockId;

    impl Serialize for SockId {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.0)
        }
    }

    impl<'de> Deserialize<'de> for SockId {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_u64(SockIdVisitor)
        }
    }

    struct SockIdVisitor;

    impl Visitor<'_> for SockIdVisitor {
        type Value = SockId;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a whole number from 0 to {}", (1u64 << 53) - 1)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<SockId, E> {
            SockId::from_u64(number)
                .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<SockId, E> {
            u64::try_from(number)
                .ok()
                .and_then(SockId::from_u64)
                .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
        }
    }
}

/// The schema of `u64`, which the RPC shows.
#[cfg(feature = "schemars")]
impl schemars::JsonSchema for SockId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        u64::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        u64::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_return_their_parts() {
        let id = SockId::new(62, SockId::MAX_SLOTS - 1, SockId::MAX_GENERATION);
        assert_eq!(
            (id.worker(), id.slot(), id.generation()),
            (62, SockId::MAX_SLOTS - 1, SockId::MAX_GENERATION)
        );
        assert_eq!(id.as_u64(), (1 << 53) - 2);
        assert_eq!(SockId::from_u64(1 << 53), None);
        assert!(!id.is_listener());
        for number in [0, 1, (1 << 47) - 1] {
            let listener = SockId::listener(number);
            assert!(
                listener.is_listener() && SockId::from_u64(listener.as_u64()) == Some(listener)
            );
        }
        assert_ne!(SockId::listener(1), SockId::listener(2));
    }
}
