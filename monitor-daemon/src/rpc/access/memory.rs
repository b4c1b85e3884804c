//! Memory for stream bytes on their way to clients, within bounds.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use memmap2::MmapMut;

/// Stream bytes that a client can always read at once, without a lease.
pub(crate) const OWN: usize = 64 * 1024;
/// Larger buffers come in multiples of this, so that a growing stream does not ask for a new one with each read.
const STEP: usize = 256 * 1024;
/// An idle client keeps no more.
const SMALL: usize = 4 * 1024;

/// Bytes that all clients' large replies may hold together.
#[derive(Clone, Debug)]
pub(crate) struct ReplyMemory(Arc<Amount>);

#[derive(Debug)]
struct Amount {
    used: AtomicU64,
    total: AtomicU64,
}

impl ReplyMemory {
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Amount {
            used: AtomicU64::new(0),
            total: AtomicU64::new(total),
        }))
    }

    /// From now on there is so much. What is leased already stays so.
    pub(crate) fn resize(&self, total: u64) {
        self.0.total.store(total, Relaxed);
    }

    /// Bytes leased now.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Takes `bytes`, or nothing when fewer are left. Never waits.
    pub(crate) fn lease(&self, bytes: usize) -> Option<Lease> {
        let bytes = bytes as u64;
        let total = self.0.total.load(Relaxed);
        let more = |used: u64| used.checked_add(bytes).filter(|&used| used <= total);
        self.0.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Lease {
            of: Arc::clone(&self.0),
            bytes,
        })
    }
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    of: Arc<Amount>,
    bytes: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// One client's buffer for stream bytes, used again from read to read.
#[derive(Debug, Default)]
pub(crate) struct PeekBuffer {
    /// At most [`OWN`] bytes, or nothing while there is a large one.
    own: Vec<u8>,
    large: Option<Large>,
    /// What the client's user may hold, if that has a limit of its own.
    user: Option<ReplyMemory>,
}

/// Mapped rather than allocated: giving it back gives it back to the system, and its pages are only taken as they
/// are written.
#[derive(Debug)]
struct Large {
    bytes: MmapMut,
    _leases: (Lease, Option<Lease>),
}

impl PeekBuffer {
    /// A client's whose user may hold no more than `user`.
    pub(crate) fn of(user: ReplyMemory) -> Self {
        Self {
            user: Some(user),
            ..Self::default()
        }
    }

    /// Room for up to [`OWN`] bytes at once, or more if the buffer is larger already.
    pub(crate) fn own(&mut self, wanted: usize) -> &mut [u8] {
        let room = self.bytes().len();
        let len = wanted.min(room.max(OWN));
        if room < len {
            self.own.resize(len.next_power_of_two().max(SMALL), 0);
        }
        &mut self.bytes_mut()[..len]
    }

    /// Room for `wanted` bytes, of which the first `keep` stay. When the memory for replies is in use, what the
    /// client has already.
    pub(crate) fn grow(&mut self, keep: usize, wanted: usize, memory: &ReplyMemory) -> &mut [u8] {
        if self.bytes().len() < wanted
            && let Some(mut large) =
                Large::new(wanted.next_multiple_of(STEP), memory, self.user.as_ref())
        {
            large.bytes[..keep].copy_from_slice(self.filled(keep));
            (self.own, self.large) = (Vec::new(), Some(large));
        }
        let len = wanted.min(self.bytes().len());
        &mut self.bytes_mut()[..len]
    }

    /// The first `len` bytes.
    pub(crate) fn filled(&self, len: usize) -> &[u8] {
        &self.bytes()[..len]
    }

    /// Whether it holds more than an idle client should.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes().len() > SMALL
    }

    /// Gives everything back.
    pub(crate) fn release(&mut self) {
        (self.own, self.large) = (Vec::new(), None);
    }

    fn bytes(&self) -> &[u8] {
        self.large.as_ref().map_or(&self.own, |large| &large.bytes)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.large {
            Some(large) => &mut large.bytes,
            None => &mut self.own,
        }
    }
}

impl Large {
    fn new(size: usize, memory: &ReplyMemory, user: Option<&ReplyMemory>) -> Option<Self> {
        let of_user = user
            .map(|user| user.lease(size).ok_or(()))
            .transpose()
            .ok()?;
        let leases = (memory.lease(size)?, of_user);
        let bytes = MmapMut::map_anon(size).ok()?;
        Some(Self {
            bytes,
            _leases: leases,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_no_more_than_there_is_and_takes_it_back() {
        let memory = ReplyMemory::new(100);
        let first = memory.lease(60).unwrap();
        assert!(memory.lease(41).is_none());
        let second = memory.lease(40).unwrap();
        assert_eq!(memory.used(), 100);
        drop(first);
        assert_eq!(memory.used(), 40);
        drop(second);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn one_users_share_is_not_the_others() {
        let memory = ReplyMemory::new(4 * STEP as u64);
        let user = ReplyMemory::new(STEP as u64);
        let mut buffers = [
            PeekBuffer::of(user.clone()),
            PeekBuffer::of(user.clone()),
            PeekBuffer::default(),
        ];
        for (buffer, room) in buffers.iter_mut().zip([OWN + 1, OWN, OWN + 1]) {
            buffer.own(OWN);
            assert_eq!(buffer.grow(OWN, OWN + 1, &memory).len(), room);
        }
        assert_eq!((memory.used(), user.used()), (2 * STEP as u64, STEP as u64));
        buffers[0].release();
        assert_eq!((memory.used(), user.used()), (STEP as u64, 0));
        assert_eq!(buffers[1].grow(OWN, OWN + 1, &memory).len(), OWN + 1);
    }

    #[test]
    fn buffers_grow_on_lease_and_are_cut_without() {
        let memory = ReplyMemory::new(STEP as u64);
        let mut first = PeekBuffer::default();
        assert_eq!(first.own(10).len(), 10);
        first.own(OWN + 10).fill(7);
        assert_eq!(first.filled(OWN).len(), OWN);
        assert_eq!(first.grow(OWN, OWN + 1, &memory).len(), OWN + 1);
        assert!(first.filled(OWN).iter().all(|&byte| byte == 7));
        assert_eq!(memory.used(), STEP as u64);
        let mut second = PeekBuffer::default();
        second.own(OWN);
        assert_eq!(
            second.grow(OWN, OWN + 1, &memory).len(),
            OWN,
            "there was no memory left"
        );
        first.release();
        assert_eq!(memory.used(), 0);
        assert_eq!(second.grow(OWN, OWN + 1, &memory).len(), OWN + 1);
    }
}
