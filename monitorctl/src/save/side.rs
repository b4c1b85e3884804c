//! Copy of one side: its retained bytes in order, and a list of the missing ones.

use monitor_client::types::Socket;
use monitor_client::{Client, Error, ErrorObject, Next, Side};
use serde::Serialize;

use crate::failure::Failure;

/// Bytes per request.
const CHUNK: u64 = 1 << 20;

/// Content of a saved file.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Saved {
    /// File name.
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// Highest offset received, plus 1.
    end: u64,
    /// Ranges of bytes, in order.
    extents: Vec<Extent>,
    /// Missing ranges, in order.
    pub gaps: Vec<Gap>,
}

/// A range of bytes.
#[derive(Debug, PartialEq, Serialize)]
struct Extent {
    /// Offset in the stream.
    off: u64,
    len: u64,
    /// Offset in the file.
    at: u64,
}

/// A missing range.
#[derive(Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Offset in the stream.
    off: u64,
    pub len: u64,
    reason: &'static str,
}

impl Saved {
    fn bytes(&mut self, off: u64, len: u64) {
        match self.extents.last_mut() {
            Some(last) if last.off + last.len == off => last.len += len,
            _ => self.extents.push(Extent {
                off,
                len,
                at: self.bytes,
            }),
        }
        self.bytes += len;
    }

    fn gap(&mut self, off: u64, to: u64, reason: &'static str) {
        if off < to {
            self.gaps.push(Gap {
                off,
                len: to - off,
                reason,
            });
        }
    }
}

/// Passes the retained bytes to `write`, up to the end of the side at the time of `socket`: an open connection is
/// copied up to that point.
pub fn copy(
    client: &mut Client,
    socket: &Socket,
    side: Side,
    write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Saved, Failure> {
    let end = socket.sides.get(side).end;
    let mut saved = Saved {
        end,
        ..Saved::default()
    };
    let mut bytes = Vec::new();
    let mut off = 0;
    while off < end {
        match client.ppeek_into(socket.sockid, side, off, CHUNK.min(end - off), &mut bytes) {
            Ok(head) => {
                write(&bytes)?;
                saved.bytes(off, head.len);
                off += head.len;
            }
            Err(Error::Rpc(error)) => {
                let Some((to, reason)) = missing(&error, off, end) else {
                    return Err(Error::Rpc(error).into());
                };
                saved.gap(off, to, reason);
                off = to;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(saved)
}

/// Returns the end of the missing range at `off` and the reason, or `None` for an unrelated error. The range is never
/// empty.
fn missing(error: &ErrorObject, off: u64, end: u64) -> Option<(u64, &'static str)> {
    let (to, reason) = match Next::from_reply(off, Err(error.clone())).ok()? {
        Next::Lost { to } => (to, "evicted"),
        Next::Gap { to } => (to, "lost"),
        Next::Pending { beyond: Some(to) } => (to, "waiting"),
        // The bytes up to `end` were received, and evicted since.
        Next::Pending { beyond: None } | Next::Eof => (end, "evicted"),
        Next::Disabled => (end, "disabled"),
        Next::Bytes { .. } | Next::Gone => return None,
    };
    Some((to.min(end), reason))
}

#[cfg(test)]
mod tests {
    use monitor_client::{ErrorData, Reason};

    use super::*;

    fn error(reason: Reason, data: ErrorData) -> ErrorObject {
        let data = ErrorData {
            reason: Some(reason.name().into()),
            ..data
        };
        ErrorObject {
            code: reason.code().number(),
            message: String::new(),
            data: Some(Box::new(data)),
        }
    }

    #[test]
    fn a_hole_is_lost_below_the_edge_and_pending_above() {
        let gap = |next, next_extent| {
            let data = ErrorData {
                next: Some(next),
                next_extent: Some(next_extent),
                ..ErrorData::default()
            };
            missing(&error(Reason::Gap, data), 10, 100).unwrap()
        };
        assert_eq!(gap(50, Some(20)), (20, "lost"));
        assert_eq!(gap(10, Some(20)), (20, "waiting"));
        assert_eq!(gap(15, Some(20)), (15, "lost"));
        assert_eq!(gap(15, Some(200)), (15, "lost"));
        assert_eq!(gap(10, Some(200)), (100, "waiting"));
        let mut saved = Saved::default();
        saved.gap(10, 10, "lost");
        assert!(saved.gaps.is_empty(), "an empty gap is not listed");
    }

    #[test]
    fn every_missing_range_advances_the_offset() {
        let base = |base| ErrorData {
            base: Some(base),
            ..ErrorData::default()
        };
        let at_10 = |error: ErrorObject| missing(&error, 10, 50);
        let evicted = error(Reason::Evicted, base(70));
        assert_eq!(at_10(evicted), Some((50, "evicted")));
        assert_eq!(at_10(error(Reason::Evicted, base(10))), None);
        let eof = error(Reason::Eof, ErrorData::default());
        assert_eq!(at_10(eof), Some((50, "evicted")));
        let gone = error(Reason::NoConnection, ErrorData::default());
        assert_eq!(at_10(gone), None);
    }

    #[test]
    fn adjacent_ranges_are_joined() {
        let mut saved = Saved::default();
        saved.bytes(5, 5);
        saved.bytes(10, 5);
        saved.gap(15, 20, "lost");
        saved.bytes(20, 1);
        assert_eq!(saved.bytes, 11);
        assert_eq!(
            saved.extents,
            [
                Extent {
                    off: 5,
                    len: 10,
                    at: 0
                },
                Extent {
                    off: 20,
                    len: 1,
                    at: 10
                }
            ],
            "missing bytes take no space in the file"
        );
    }
}
