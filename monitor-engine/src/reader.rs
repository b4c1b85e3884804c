//! Reading connections from other threads.

use crate::{Connection, Extents, Peek, PeekError, Side, SockId};

/// Looks at one engine's connections from any thread, without its help and without disturbing it.
#[derive(Clone, Debug)]
pub struct Reader {}

impl Reader {
    /// The connection, or `None` if it never existed or is gone.
    #[must_use]
    pub fn connection(&self, _id: SockId) -> Option<Connection> {
        None
    }

    /// Connections in the order of their slots, after `after`'s place (its connection may be gone), or from the start.
    pub fn connections(&self, _after: Option<SockId>) -> impl Iterator<Item = Connection> + '_ {
        std::iter::empty()
    }

    /// Copies the received bytes from `off` on to the front of `buf`, up to its length, stopping at a hole.
    /// An empty `buf` returns 0 bytes wherever `off` is.
    pub fn peek(&self, _id: SockId, _side: Side, _off: u64, _buf: &mut [u8]) -> Result<Peek, PeekError> {
        Err(PeekError::NoSuchConnection)
    }

    /// Every retained run of bytes.
    pub fn extents(&self, _id: SockId, _side: Side) -> Result<Extents, PeekError> {
        Err(PeekError::NoSuchConnection)
    }
}
