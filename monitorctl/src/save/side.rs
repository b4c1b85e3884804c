//! Copy of one side: its retained bytes in order, and a list of the missing ones.

use monitor_client::types::Socket;
use monitor_client::{Client, Code, Error, ErrorObject, Reason, Side};
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
    /// One past the highest byte received.
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
                let Some(hole) = hole(&error, off, end) else {
                    return Err(Error::Rpc(error).into());
                };
                // The part below the in-order edge was declared lost; the rest may still arrive.
                saved.gap(off, hole.waiting, hole.reason);
                saved.gap(off.max(hole.waiting), hole.to, "waiting");
                off = hole.to;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(saved)
}

/// A range without bytes.
#[derive(Debug, PartialEq)]
struct Hole {
    /// End of the range.
    to: u64,
    /// Reason for the part up to `waiting`; later bytes may still arrive.
    reason: &'static str,
    waiting: u64,
}

/// Returns the hole at `off`, or `None` for an unrelated error. The hole is never empty.
fn hole(error: &ErrorObject, off: u64, end: u64) -> Option<Hole> {
    let data = error.data.as_deref();
    let whole = |to: u64, reason| {
        Some(Hole {
            to,
            reason,
            waiting: to,
        })
    };
    match (error.known_code()?, error.reason()) {
        (Code::NoData, Some(Reason::Evicted)) => {
            let base = data?.base?;
            (base > off)
                .then(|| base.min(end))
                .and_then(|to| whole(to, "evicted"))
        }
        (Code::NoData, Some(Reason::Gap)) => {
            let data = data?;
            let to = data
                .next_extent
                .flatten()
                .filter(|&to| to > off)
                .unwrap_or(end)
                .min(end);
            Some(Hole {
                to,
                reason: "lost",
                waiting: data.next?.clamp(off, to),
            })
        }
        // The bytes up to `end` were received, and evicted since.
        (Code::NoData | Code::NotConnected, _) => whole(end, "evicted"),
        (Code::Invalid, Some(Reason::Disabled)) => whole(end, "disabled"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use monitor_client::ErrorData;

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
        let data = |next, next_extent| ErrorData {
            next: Some(next),
            next_extent,
            ..ErrorData::default()
        };
        let gap = |next, to| hole(&error(Reason::Gap, data(next, Some(to))), 10, 100).unwrap();
        assert_eq!(
            gap(50, Some(20)),
            Hole {
                to: 20,
                reason: "lost",
                waiting: 20
            }
        );
        assert_eq!(
            gap(10, Some(20)),
            Hole {
                to: 20,
                reason: "lost",
                waiting: 10
            }
        );
        assert_eq!(
            gap(15, Some(20)),
            Hole {
                to: 20,
                reason: "lost",
                waiting: 15
            }
        );
        assert_eq!(
            gap(10, None),
            Hole {
                to: 100,
                reason: "lost",
                waiting: 10
            }
        );
        let mut saved = Saved::default();
        saved.gap(10, 10, "lost");
        assert!(saved.gaps.is_empty(), "an empty gap is not listed");
    }

    #[test]
    fn every_hole_advances_the_offset() {
        let base = |base| ErrorData {
            base: Some(base),
            ..ErrorData::default()
        };
        assert_eq!(
            hole(&error(Reason::Evicted, base(70)), 10, 50).unwrap().to,
            50
        );
        assert_eq!(hole(&error(Reason::Evicted, base(10)), 10, 50), None);
        assert_eq!(
            hole(&error(Reason::Eof, ErrorData::default()), 10, 50)
                .unwrap()
                .to,
            50
        );
        assert_eq!(
            hole(&error(Reason::NoConnection, ErrorData::default()), 10, 50),
            None
        );
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
