//! `peek`: reads on from the client's own place in a stream.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use monitor_engine::{NoData, PeekError, Side, SockId};
use monitor_rpc::types::{Hole, Peek, PeekParams};
use monitor_rpc::{ErrorObject, MAX_LEN};
use serde_json::value::RawValue;

use super::super::connection::Session;
use super::super::serve::Shared;
use super::super::{fault, view};
use super::read::{Wish, fill};

/// Where a client has read to, on each side that it reads by `peek`.
#[derive(Debug, Default)]
pub(in super::super) struct Cursors(HashMap<(SockId, Side), u64>);

impl Cursors {
    /// The place on one side, 0 at first. One more side is refused when there are as many as may be, and none of their
    /// connections is gone.
    fn place(&mut self, side: (SockId, Side), shared: &Shared) -> Result<u64, ErrorObject> {
        let most = shared.rules.borrow().settings.max_cursors;
        if let Some(&place) = self.0.get(&side) {
            return Ok(place);
        }
        if self.0.len() >= most {
            self.0.retain(|(id, _), _| shared.knows(*id));
            // Who asks for what is gone is told that first.
            if self.0.len() >= most && shared.knows(side.0) {
                return Err(fault::too_many_cursors(most));
            }
        }
        Ok(0)
    }

    fn put(&mut self, side: (SockId, Side), place: u64) {
        self.0.insert(side, place);
    }

    fn forget(&mut self, side: (SockId, Side)) {
        self.0.remove(&side);
    }
}

/// A cursor on its way to bytes.
struct Walk {
    start: u64,
    at: u64,
    /// Offsets from the start on that were below `base`.
    lost: u64,
    /// The hole, declared lost, after them.
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

    /// Goes past what will not come any more. False: there is nothing to pass.
    fn pass(&mut self, error: &PeekError) -> bool {
        match *error {
            PeekError::NoData {
                reason: NoData::Evicted,
                base,
                ..
            } if self.at < base => {
                // With it went a hole that was passed already.
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
                // The edge may have moved on over more of the hole since it was passed.
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

impl Session {
    pub(super) async fn peek(&mut self, id: &RawValue, params: &PeekParams) -> io::Result<()> {
        let peek = match self.check_encoding(params.encoding) {
            Ok(()) => self.read_on(params).await,
            Err(error) => Err(error),
        };
        match peek {
            Ok(peek) => {
                let head = |raw| Peek { raw, ..peek };
                self.reply_bytes(id, params.encoding, peek.len as usize, head)
                    .await
            }
            Err(error) => {
                self.error(Some(id), &error);
                Ok(())
            }
        }
    }

    /// Reads into the client's buffer, and moves its cursor behind what was read.
    pub(super) async fn read_on(&mut self, params: &PeekParams) -> Result<Peek, ErrorObject> {
        let shared = Arc::clone(&self.shared);
        let (reader, id) = shared.reader(params.sockid, params.worker)?;
        let side = view::side(params.side);
        let wanted = params.len.min(MAX_LEN) as usize;
        let mut walk = Walk::from(self.cursors.place((id, side), &shared)?);
        let read = loop {
            let wish = Wish {
                reader,
                id,
                side,
                off: walk.at,
                len: wanted,
            };
            let error = match fill(&mut self.peeks, &shared, wish).await {
                Ok(read) => break read,
                Err(error) => error,
            };
            if walk.pass(&error) {
                tokio::task::yield_now().await;
            } else if walk.has_moved() {
                // No byte, but something to tell.
                let wish = Wish { len: 0, ..wish };
                let read = fill(&mut self.peeks, &shared, wish).await;
                break read
                    .map_err(|error| fault::peek(error, params.sockid, params.side, walk.at))?;
            } else {
                if error == PeekError::NoSuchConnection {
                    self.cursors.forget((id, side));
                }
                return Err(fault::peek(error, params.sockid, params.side, walk.at));
            }
        };
        let place = walk.at + read.len as u64;
        if place > walk.start {
            self.cursors.put((id, side), place);
        }
        Ok(walk.result(&read))
    }
}
