//! Read positions of the method `peek`.

use std::collections::HashMap;

use monitor_engine::{Side, SockId};
use monitor_rpc::ErrorObject;

use super::access::limits;
use super::protocol::errors;
use super::shared::Shared;

/// Where a client has read to, on each side that it reads by `peek`.
#[derive(Debug, Default)]
pub(crate) struct Cursors(HashMap<(SockId, Side), u64>);

impl Cursors {
    /// The place on one side, 0 at first. One more side is refused when there are as many as may be, and none of their
    /// connections is gone.
    pub(crate) fn place(
        &mut self,
        side: (SockId, Side),
        shared: &Shared,
    ) -> Result<u64, ErrorObject> {
        let most = limits::CURSORS;
        if let Some(&place) = self.0.get(&side) {
            return Ok(place);
        }
        if self.0.len() >= most {
            self.0.retain(|(id, _), _| shared.exists(*id));
            // Who asks for what is gone is told that first.
            if self.0.len() >= most && shared.exists(side.0) {
                return Err(errors::too_many_cursors(most));
            }
        }
        Ok(0)
    }

    pub(crate) fn put(&mut self, side: (SockId, Side), place: u64) {
        self.0.insert(side, place);
    }

    pub(crate) fn forget(&mut self, side: (SockId, Side)) {
        self.0.remove(&side);
    }
}
