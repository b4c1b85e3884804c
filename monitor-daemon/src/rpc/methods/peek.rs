//! `peek`: reads from the client's cursor in a stream.

use std::io;
use std::sync::Arc;

use monitor_engine::{NoData, PeekError};
use monitor_rpc::types::{Hole, Peek, PeekParams};
use monitor_rpc::{ErrorObject, MAX_LEN};
use serde_json::value::RawValue;

use crate::rpc::methods::read::{ReadRequest, check_encoding, fill, reply_bytes};
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;

/// Cursor that looks for the next byte.
struct Walk {
    start: u64,
    at: u64,
    /// Offsets from the start that were below `base`.
    lost: u64,
    /// Lost range after them.
    gap: Option<Hole>,
}

impl Walk {
    fn from(start: u64) -> Self {
        Self {
            start,
            at: start,
            lost: 0,
            gap: None,
        }
    }

    /// Skips bytes that cannot arrive. Returns false if there are none.
    fn pass(&mut self, error: &PeekError) -> bool {
        match *error {
            PeekError::NoData {
                reason: NoData::Evicted,
                base,
                ..
            } if self.at < base => {
                // A lost range that was skipped before was evicted, too.
                self.gap = None;
                self.lost = base - self.start;
                self.at = base;
                true
            }
            PeekError::NoData {
                reason: NoData::Gap,
                next,
                next_extent,
                ..
            } if self.at < next => {
                let end = next_extent.map_or(next, |extent| extent.min(next));
                // The in-order edge may have advanced over more of the range in between.
                let off = self.gap.map_or(self.at, |gap| gap.off);
                self.gap = Some(Hole {
                    off,
                    len: end - off,
                });
                self.at = end;
                true
            }
            _ => false,
        }
    }

    fn has_moved(&self) -> bool {
        self.at > self.start
    }

    fn result(&self, read: &monitor_engine::Peek) -> Peek {
        Peek {
            off: self.at,
            len: read.len as u64,
            lost: self.lost,
            gap: self.gap,
            base: read.base,
            next: read.next,
            end: read.end,
            fin: read.fin,
            eof: read.eof,
            raw: None,
            data: None,
        }
    }
}

pub(crate) async fn peek(
    session: &mut Session,
    id: &RawValue,
    params: &PeekParams,
) -> io::Result<()> {
    let peek = match check_encoding(session, params.encoding) {
        Ok(()) => read_on(session, params).await,
        Err(error) => Err(error),
    };
    match peek {
        Ok(peek) => {
            let head = |raw| Peek { raw, ..peek };
            reply_bytes(session, id, params.encoding, peek.len as usize, head).await
        }
        Err(error) => {
            session.error(Some(id), &error);
            Ok(())
        }
    }
}

/// Reads into the client's buffer, and advances its cursor.
pub(crate) async fn read_on(
    session: &mut Session,
    params: &PeekParams,
) -> Result<Peek, ErrorObject> {
    let shared = Arc::clone(&session.shared);
    let (reader, id) = shared.reader(params.sockid, params.worker)?;
    let side = params.side;
    let wanted = params.len.min(MAX_LEN) as usize;
    let mut walk = Walk::from(session.cursors.place((id, side), &shared)?);
    let read = loop {
        let request = ReadRequest {
            reader,
            id,
            side,
            off: walk.at,
            len: wanted,
        };
        let error = match fill(&mut session.peeks, &shared, request).await {
            Ok(read) => break read,
            Err(error) => error,
        };
        if walk.pass(&error) {
            tokio::task::yield_now().await;
        } else if walk.has_moved() {
            // No byte, but a loss to report.
            let request = ReadRequest { len: 0, ..request };
            let read = fill(&mut session.peeks, &shared, request).await;
            break read
                .map_err(|error| errors::peek(error, params.sockid, params.side, walk.at))?;
        } else {
            if error == PeekError::NoSuchConnection {
                session.cursors.forget((id, side));
            }
            return Err(errors::peek(error, params.sockid, params.side, walk.at));
        }
    };
    let place = walk.at + read.len as u64;
    if place > walk.start {
        session.cursors.put((id, side), place);
    }
    Ok(walk.result(&read))
}
