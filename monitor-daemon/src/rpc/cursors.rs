//! Read positions of the method `peek`.

use std::collections::HashMap;

use monitor_engine::{Side, SockId};
use monitor_rpc::ErrorObject;

use super::access::limits;
use super::protocol::errors;
use super::shared::Shared;

/// Next offset of each side that the client reads by `peek`.
#[derive(Debug, Default)]
pub(crate) struct Cursors(HashMap<(SockId, Side), u64>);

impl Cursors {
    /// Returns the position on one side, at first 0. At the limit, positions of connections that are gone are
    /// removed.
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
            // For a connection that is gone, that is the error to report.
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
