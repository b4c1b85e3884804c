//! Reading a stream in order by `ppeek`: the meaning of a reply without bytes, and cursors.
//!
//! [`Next`] is the client's counterpart of the engine's `next_from`: bytes, an evicted range, a lost range, nothing yet,
//! or the end. A [`Walk`] moves one cursor over such replies until there are bytes. It does no I/O.

use std::collections::HashMap;

use monitor_rpc::types::{Base64, Encoding, Ppeek, PpeekParams};
use monitor_rpc::{ErrorObject, Reason, Side};
use serde::Serialize;

use crate::Error;

/// Continuation of a stream at an offset, from the reply to a `ppeek` of at least 1 byte there.
///
/// ```no_run
/// use monitor_client::{Client, DEFAULT_SOCKET, Next, Side};
///
/// let mut client = Client::connect(DEFAULT_SOCKET)?;
/// let mut off = 0;
/// loop {
///     match client.next_from(9, Side::Server, off, 1 << 20)? {
///         (Next::Bytes { eof, .. }, bytes) => {
///             off += bytes.len() as u64;
///             if eof {
///                 break;
///             }
///         }
///         (Next::Lost { to } | Next::Gap { to }, _) => off = to,
///         (Next::Pending { .. }, _) => drop(client.wait(9, Side::Server, off, None)),
///         (Next::Eof | Next::Disabled | Next::Gone, _) => break,
///     }
/// }
/// # Ok::<(), monitor_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes.
    Bytes {
        /// Number of bytes.
        len: u64,
        /// True if the stream ends after them.
        eof: bool,
    },
    /// Bytes that were evicted.
    Lost {
        /// Offset after them.
        to: u64,
    },
    /// Hole that was declared lost.
    Gap {
        /// Offset after it.
        to: u64,
    },
    /// No byte yet: not captured, or in a hole that may still be filled. After the end of a connection no more comes,
    /// which `wait` reports.
    Pending {
        /// Offset of the next received byte, if a hole is before it.
        beyond: Option<u64>,
    },
    /// End of the stream, at the FIN.
    Eof,
    /// Buffering of the side is disabled.
    Disabled,
    /// The connection does not exist, or was removed.
    Gone,
}

impl Next {
    /// Returns the continuation at `off`.
    ///
    /// # Errors
    /// Returns the error of the reply if it is about something else than the bytes at `off`.
    pub fn from_reply(off: u64, reply: Result<&Ppeek, ErrorObject>) -> Result<Self, ErrorObject> {
        let error = match reply {
            Ok(head) => {
                return Ok(Self::Bytes {
                    len: head.len,
                    eof: head.eof,
                });
            }
            Err(error) => error,
        };
        let data = error.data.as_deref();
        let base = data.and_then(|data| data.base).unwrap_or(0);
        let edge = data.and_then(|data| data.next).unwrap_or(0);
        let extent = data.and_then(|data| data.next_extent).flatten();
        match error.reason() {
            Some(Reason::Evicted) if base > off => Ok(Self::Lost { to: base }),
            // Only the part below the in-order edge was declared lost.
            Some(Reason::Gap) if edge > off => Ok(Self::Gap {
                to: extent.filter(|&to| to > off).unwrap_or(edge).min(edge),
            }),
            Some(Reason::Gap | Reason::Future | Reason::NotEstablished) => Ok(Self::Pending {
                beyond: extent.filter(|&to| to > off),
            }),
            Some(Reason::Eof) => Ok(Self::Eof),
            Some(Reason::Disabled) => Ok(Self::Disabled),
            Some(Reason::NoConnection) => Ok(Self::Gone),
            _ => Err(error),
        }
    }
}

/// Range without bytes, in [`Peek::gap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// First offset.
    pub off: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Position and skipped ranges of a `peek`. The cursor was at `off` less `lost` and the length of `gap`, and is behind
/// the bytes now. Example: [`Client::peek`](crate::Client::peek).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Peek {
    /// Offset of the first byte.
    pub off: u64,
    /// Number of bytes.
    pub len: u64,
    /// Number of skipped bytes that were evicted.
    pub lost: u64,
    /// Hole, declared lost, that was skipped after them.
    pub gap: Option<Hole>,
    /// Lowest retained offset.
    pub base: u64,
    /// In-order edge.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the FIN; absent until it is seen.
    pub fin: Option<u64>,
    /// True if the bytes end at the FIN.
    pub eof: bool,
    /// Bytes, for callers that print the whole as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Base64>,
}

/// Cursors of a client, one for each side that it reads by `peek`.
#[derive(Debug, Default)]
pub(crate) struct Cursors(HashMap<(u64, Side), u64>);

impl Cursors {
    /// Starts a walk at the cursor of a side, which is 0 at first.
    pub(crate) fn walk(&self, sockid: u64, side: Side) -> Walk {
        let start = self.0.get(&(sockid, side)).copied().unwrap_or(0);
        Walk {
            sockid,
            side,
            start,
            at: start,
            lost: 0,
            gap: None,
            checks: false,
        }
    }

    /// Removes all cursors.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Ends a walk, or continues it at another offset.
    ///
    /// # Errors
    /// Returns the reply's error if there is neither a byte nor a range to skip. The cursor then stays.
    pub(crate) fn advance(
        &mut self,
        walk: &mut Walk,
        reply: Result<Ppeek, Error>,
    ) -> Result<Option<Peek>, Error> {
        let key = (walk.sockid, walk.side);
        let head = match reply {
            Ok(head) => head,
            Err(Error::Rpc(error)) => {
                match Next::from_reply(walk.at, Err(error.clone())) {
                    Ok(Next::Lost { to }) => walk.skip_lost(to),
                    Ok(Next::Gap { to }) => walk.skip_gap(to),
                    // No byte, but ranges to report: an empty read returns the offsets.
                    Ok(Next::Pending { .. } | Next::Eof) if walk.at > walk.start => {
                        walk.checks = true;
                    }
                    Ok(Next::Gone) => {
                        self.0.remove(&key);
                        return Err(Error::Rpc(error));
                    }
                    _ => return Err(Error::Rpc(error)),
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let at = walk.at + head.len;
        if at > walk.start {
            self.0.insert(key, at);
        }
        Ok(Some(Peek {
            off: walk.at,
            len: head.len,
            lost: walk.lost,
            gap: walk.gap,
            base: head.base,
            next: head.next,
            end: head.end,
            fin: head.fin,
            eof: head.eof,
            data: None,
        }))
    }
}

/// Cursor on its way to the next bytes.
#[derive(Debug)]
pub(crate) struct Walk {
    sockid: u64,
    side: Side,
    start: u64,
    at: u64,
    lost: u64,
    gap: Option<Hole>,
    /// The next request reads no byte.
    checks: bool,
}

impl Walk {
    /// Returns the next request, for at most `len` bytes.
    pub(crate) fn request(&self, len: u64) -> PpeekParams {
        let len = if self.checks { 0 } else { len };
        ppeek(self.sockid, self.side, self.at, len)
    }

    fn skip_lost(&mut self, to: u64) {
        // A hole that was skipped before was evicted as well.
        self.gap = None;
        self.lost = to - self.start;
        self.at = to;
    }

    fn skip_gap(&mut self, to: u64) {
        // The edge may have advanced over more of the same hole.
        let off = self.gap.map_or(self.at, |gap| gap.off);
        self.gap = Some(Hole { off, len: to - off });
        self.at = to;
    }
}

/// Returns the parameters of a `ppeek` with raw bytes, of any worker's connection.
pub(crate) fn ppeek(sockid: u64, side: Side, off: u64, len: u64) -> PpeekParams {
    PpeekParams {
        sockid,
        side,
        off,
        len,
        encoding: Encoding::Raw,
        worker: None,
    }
}

#[cfg(test)]
mod tests {
    use monitor_rpc::ErrorData;

    use super::*;

    fn no_data(reason: Reason, base: u64, next: u64, next_extent: Option<u64>) -> ErrorObject {
        ErrorObject {
            code: reason.code().number(),
            message: "no data".to_owned(),
            data: Some(Box::new(ErrorData {
                reason: Some(reason.name().into()),
                base: Some(base),
                next: Some(next),
                next_extent: Some(next_extent),
                ..ErrorData::default()
            })),
        }
    }

    #[test]
    fn an_error_says_how_the_stream_continues() {
        let cases = [
            (
                no_data(Reason::Evicted, 9, 20, Some(9)),
                Next::Lost { to: 9 },
            ),
            (no_data(Reason::Gap, 0, 20, Some(12)), Next::Gap { to: 12 }),
            (no_data(Reason::Gap, 0, 20, Some(30)), Next::Gap { to: 20 }),
            (no_data(Reason::Gap, 0, 20, None), Next::Gap { to: 20 }),
            (
                no_data(Reason::Gap, 0, 5, Some(30)),
                Next::Pending { beyond: Some(30) },
            ),
            (
                no_data(Reason::Future, 0, 5, None),
                Next::Pending { beyond: None },
            ),
            (
                no_data(Reason::NotEstablished, 0, 0, None),
                Next::Pending { beyond: None },
            ),
            (no_data(Reason::Eof, 0, 5, None), Next::Eof),
            (no_data(Reason::Disabled, 0, 0, None), Next::Disabled),
            (no_data(Reason::NoConnection, 0, 0, None), Next::Gone),
        ];
        for (error, expected) in cases {
            assert_eq!(Next::from_reply(5, Err(error)).unwrap(), expected);
        }
        let other = no_data(Reason::Permission, 0, 0, None);
        assert_eq!(Next::from_reply(5, Err(other.clone())).unwrap_err(), other);
    }

    #[test]
    fn a_walk_skips_ranges_without_bytes_and_moves_the_cursor() {
        let mut cursors = Cursors::default();
        let mut walk = cursors.walk(1, Side::Client);
        let mut answer = |walk: &mut Walk, reply| cursors.advance(walk, reply).unwrap();
        let lost = Error::Rpc(no_data(Reason::Evicted, 10, 30, Some(10)));
        assert_eq!(answer(&mut walk, Err(lost)), None);
        let gap = Error::Rpc(no_data(Reason::Gap, 10, 30, Some(25)));
        assert_eq!(answer(&mut walk, Err(gap)), None);
        assert_eq!(walk.request(9).off, 25);
        let head = Ppeek {
            len: 5,
            ..Ppeek::default()
        };
        let peek = answer(&mut walk, Ok(head)).unwrap();
        assert_eq!((peek.off, peek.len, peek.lost), (25, 5, 10));
        assert_eq!(peek.gap, Some(Hole { off: 10, len: 15 }));
        assert_eq!(cursors.walk(1, Side::Client).request(9).off, 30);
        assert_eq!(cursors.walk(1, Side::Server).request(9).off, 0);
    }

    #[test]
    fn a_walk_without_bytes_reports_the_ranges_that_it_skipped() {
        let mut cursors = Cursors::default();
        let mut walk = cursors.walk(1, Side::Client);
        let future = || Err(Error::Rpc(no_data(Reason::Future, 10, 10, None)));
        assert!(cursors.advance(&mut walk, future()).is_err());
        let lost = Error::Rpc(no_data(Reason::Evicted, 10, 10, None));
        assert!(matches!(cursors.advance(&mut walk, Err(lost)), Ok(None)));
        assert!(matches!(cursors.advance(&mut walk, future()), Ok(None)));
        assert_eq!(walk.request(9).len, 0);
        let peek = cursors.advance(&mut walk, Ok(Ppeek::default())).unwrap();
        assert_eq!(
            peek.map(|peek| (peek.off, peek.len, peek.lost)),
            Some((10, 0, 10))
        );
        let mut walk = cursors.walk(1, Side::Client);
        let gone = Err(Error::Rpc(no_data(Reason::NoConnection, 0, 0, None)));
        assert!(cursors.advance(&mut walk, gone).is_err());
        assert_eq!(cursors.walk(1, Side::Client).request(9).off, 0);
    }
}
