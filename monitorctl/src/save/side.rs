//! One side of a connection: its bytes in order, and an account of those that are not there.

use monitor_client::types::Socket;
use monitor_client::{Client, Code, Error, ErrorObject, Reason, Side};
use serde::Serialize;

use crate::failure::Failure;

/// Asked for at once.
const CHUNK: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Saved {
    /// Its name, beside this account.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// One past the highest byte that had been received.
    end: u64,
    /// Runs of bytes, in order.
    extents: Vec<Extent>,
    /// What is missing between them, in order.
    pub gaps: Vec<Gap>,
}

/// A run of bytes.
#[derive(Debug, PartialEq, Serialize)]
struct Extent {
    /// Where in the stream.
    off: u64,
    len: u64,
    /// Where in the file.
    at: u64,
}

/// Bytes that are missing.
#[derive(Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Where in the stream.
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

/// Hands the bytes that are kept to `write`, as far as the side had come when `socket` was asked for: a connection that
/// goes on has an end all the same.
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
                // Of a hole, what lies below the in-order edge was given up; the rest may still come.
                saved.gap(off, hole.waiting, hole.reason);
                saved.gap(off.max(hole.waiting), hole.to, "waiting");
                off = hole.to;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(saved)
}

/// A stretch without bytes from an offset on.
#[derive(Debug, PartialEq)]
struct Hole {
    /// Where it ends.
    to: u64,
    /// Why there is nothing up to `waiting`; from there on the bytes may still come.
    reason: &'static str,
    waiting: u64,
}

/// Why there is no byte at `off`; `None` when the error is about something else. Always a step forward.
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
        // The bytes up to `end` were there when it was listed, and are not any more.
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
    fn a_hole_is_lost_below_the_edge_and_waits_above() {
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
        assert!(saved.gaps.is_empty(), "nothing of it is given up");
    }

    #[test]
    fn every_answer_is_a_step_forward_or_a_failure() {
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
    fn runs_are_joined_and_placed_in_the_file() {
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
            "nothing stands for what is missing"
        );
    }
}
