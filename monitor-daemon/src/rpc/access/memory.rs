//! Buffer for stream bytes on their way to one client.

use memmap2::MmapMut;

use super::account::{Account, Lease, Purpose};

/// Bytes that a client can always read at once, without a lease.
pub(crate) const OWN: usize = 64 * 1024;
/// Larger buffers are multiples of this, so that a growing stream doesn't need a new one for each read.
const STEP: usize = 256 * 1024;
/// Size that an idle client keeps.
const SMALL: usize = 4 * 1024;

/// A client's buffer, reused from read to read.
#[derive(Debug, Default)]
pub(crate) struct PeekBuffer {
    /// At most [`OWN`] bytes; empty while there is a large buffer.
    own: Vec<u8>,
    large: Option<Large>,
    account: Option<Account>,
}

/// Large buffer. It is mapped, so that unmapping returns it to the system, and pages are used only once written.
#[derive(Debug)]
struct Large {
    bytes: MmapMut,
    _lease: Option<Lease>,
}

impl PeekBuffer {
    /// Creates a buffer that leases its memory from an account.
    pub(crate) fn of(account: Account) -> Self {
        Self {
            account: Some(account),
            ..Self::default()
        }
    }

    /// Returns space for `wanted` bytes, at most [`OWN`] unless the buffer is larger already.
    pub(crate) fn own(&mut self, wanted: usize) -> &mut [u8] {
        let room = self.bytes().len();
        let len = wanted.min(room.max(OWN));
        if room < len {
            self.own.resize(len.next_power_of_two().max(SMALL), 0);
        }
        &mut self.bytes_mut()[..len]
    }

    /// Returns space for `wanted` bytes and keeps the first `keep`. Without a lease it returns the space it has.
    pub(crate) fn grow(&mut self, keep: usize, wanted: usize) -> &mut [u8] {
        if self.bytes().len() < wanted
            && let Some(mut large) =
                Large::new(wanted.next_multiple_of(STEP), self.account.as_ref())
        {
            large.bytes[..keep].copy_from_slice(self.filled(keep));
            (self.own, self.large) = (Vec::new(), Some(large));
        }
        let len = wanted.min(self.bytes().len());
        &mut self.bytes_mut()[..len]
    }

    /// Returns the first `len` bytes.
    pub(crate) fn filled(&self, len: usize) -> &[u8] {
        &self.bytes()[..len]
    }

    /// Returns whether it holds more than an idle client should.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes().len() > SMALL
    }

    /// Frees everything.
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
    fn new(size: usize, account: Option<&Account>) -> Option<Self> {
        let lease = match account {
            Some(account) => Some(account.lease(Purpose::Reply, size)?),
            None => None,
        };
        let bytes = MmapMut::map_anon(size).ok()?;
        Some(Self {
            bytes,
            _lease: lease,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::access::account::Accounts;

    #[test]
    fn buffers_grow_on_lease_and_are_cut_without() {
        let accounts = Accounts::new(1, 2 * STEP as u64);
        let used = || accounts.bytes(Purpose::Reply);
        let [mut first, mut second] = [(), ()].map(|()| PeekBuffer::of(accounts.of(Some(1), true)));
        assert_eq!(first.own(10).len(), 10);
        first.own(OWN + 10).fill(7);
        assert_eq!(first.filled(OWN).len(), OWN);
        assert_eq!(first.grow(OWN, OWN + 1).len(), OWN + 1);
        assert!(first.filled(OWN).iter().all(|&byte| byte == 7));
        assert_eq!(used(), STEP as u64);
        second.own(OWN);
        assert_eq!(second.grow(OWN, OWN + 1).len(), OWN, "no memory is left");
        first.release();
        assert_eq!(used(), 0);
        assert_eq!(second.grow(OWN, OWN + 1).len(), OWN + 1);
    }
}
