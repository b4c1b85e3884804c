//! Handle of a connection while it is worked on.

use crate::SockId;
use crate::store::record::Record;

/// A connection's slot, its identifier and its record, found once and passed on.
#[derive(Clone, Copy)]
pub struct Conn<'a> {
    pub slot: u32,
    pub id: SockId,
    pub record: Record<'a>,
}

/// Returns a window as a record holds it, from 1 byte to 4 GiB less one.
pub(super) fn window_cell(window: u64) -> u32 {
    u32::try_from(window.max(1)).unwrap_or(u32::MAX)
}
