//! Names of connections.

use core::fmt;

/// Names one connection, for good: an id is never used again for another one.
///
/// Below 2^53, so that every JSON reader keeps it exact. Bits 0..6 hold the worker, 6..30 the record's slot,
/// 30..53 the slot's generation; a slot whose generations are used up is retired. The last worker's number is no worker's:
/// there are the names of listeners, who hear of connections and are none.
/// Ids sort by worker and slot first when compared through [`SockId::place`], which makes listing them in pages
/// stable while connections come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SockId(u64);

impl SockId {
    const WORKER_BITS: u32 = 6;
    const SLOT_BITS: u32 = 24;
    /// Most workers whose connections can be named.
    pub const MAX_WORKERS: u16 = (1 << Self::WORKER_BITS) - 1;
    /// Most records that one worker can name.
    pub const MAX_SLOTS: u32 = 1 << Self::SLOT_BITS;
    /// Most generations that one slot can live through.
    pub const MAX_GENERATION: u32 = (1 << (53 - Self::WORKER_BITS - Self::SLOT_BITS)) - 1;

    /// The id of `slot`'s inhabitant of this `generation`.
    #[must_use]
    pub fn new(worker: u16, slot: u32, generation: u32) -> Self {
        debug_assert!(worker < Self::MAX_WORKERS && slot < Self::MAX_SLOTS);
        debug_assert!(generation <= Self::MAX_GENERATION);
        Self(
            u64::from(worker)
                | u64::from(slot) << Self::WORKER_BITS
                | u64::from(generation) << (Self::WORKER_BITS + Self::SLOT_BITS),
        )
    }

    /// An id as a client sent it; `None` if it cannot be one.
    #[must_use]
    pub fn from_u64(id: u64) -> Option<Self> {
        (id < 1 << 53).then_some(Self(id))
    }

    /// The id of a listener: as different from each other as their numbers, which may have 47 bits.
    #[must_use]
    pub fn listener(number: u64) -> Self {
        debug_assert!(number < 1 << (53 - Self::WORKER_BITS));
        Self(u64::from(Self::MAX_WORKERS) | number << Self::WORKER_BITS)
    }

    /// Whether it is a listener's id, and not a connection's.
    #[must_use]
    pub fn is_listener(self) -> bool {
        self.worker() == Self::MAX_WORKERS
    }

    /// The number a client sees.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The worker that owns the connection.
    #[must_use]
    pub fn worker(self) -> u16 {
        (self.0 & ((1 << Self::WORKER_BITS) - 1)) as u16
    }

    /// The record that holds, or held, the connection.
    #[must_use]
    pub fn slot(self) -> u32 {
        (self.0 >> Self::WORKER_BITS) as u32 & (Self::MAX_SLOTS - 1)
    }

    /// Which of the slot's inhabitants is meant.
    #[must_use]
    pub fn generation(self) -> u32 {
        (self.0 >> (Self::WORKER_BITS + Self::SLOT_BITS)) as u32
    }

    /// Worker and slot: the order in which connections are listed.
    #[must_use]
    pub fn place(self) -> (u16, u32) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
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
