//! Handle of a connection while it is worked on.

use crate::SockId;
use crate::store::record::Record;

/// A connection's slot, its identifier and its record, found once and passed on.
#[derive(Clone, Copy)]
pub struct Conn<'a> {
    pub slot: u32,
    pub id: SockId,
    pub record: &'a Record,
}
