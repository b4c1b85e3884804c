//! Connection of an event.

use monitor_engine::{Connection, Reader, SockId};

/// Connection of an event, read at most once for all subscribers.
pub(super) struct Subject<'a> {
    id: SockId,
    reader: Option<&'a Reader>,
    connection: Option<Option<Connection>>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(id: SockId, reader: Option<&'a Reader>) -> Self {
        Self {
            id,
            reader,
            connection: None,
        }
    }

    /// Returns the connection; `None` if it's gone.
    pub(super) fn connection(&mut self) -> Option<&Connection> {
        let (id, reader) = (self.id, self.reader);
        self.connection
            .get_or_insert_with(|| reader?.connection(id))
            .as_ref()
    }
}
