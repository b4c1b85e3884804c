//! Errors of reads, for the server and for clients that read the store by themselves.

use monitor_common::Side;
use monitor_reader::{NoData, PeekError};

use crate::{ErrorObject, Reason};

/// Returns the error for a sockid without a connection.
#[must_use]
pub fn no_connection(sockid: u64) -> ErrorObject {
    let message = format!(
        "no connection has the sockid {sockid}, or it is gone (evicted, or closed for longer than [tcp] linger); \
         `sockets` lists what can be read"
    );
    ErrorObject::of(Reason::NoConnection, message)
}

/// Returns the error of a read at `off`.
#[must_use]
pub fn read(error: PeekError, sockid: u64, side: Side, off: u64) -> ErrorObject {
    match error {
        PeekError::NoSuchConnection => no_connection(sockid),
        PeekError::Disabled => ErrorObject::of(
            Reason::Disabled,
            format!("buffering of the {side} side of this connection is switched off"),
        ),
        // Rare: the daemon repeats a `ppeek`, and a client asks the daemon when its own attempts fail.
        PeekError::Busy => ErrorObject::of(Reason::Unanswered, error.to_string()),
        PeekError::NotConnected => ErrorObject::of(
            Reason::NotEstablished,
            format!(
                "no byte was carried to the {side} yet, only the start of the handshake; ask again later"
            ),
        ),
        PeekError::NoData {
            reason,
            next_extent,
            base,
            next,
            end,
        } => {
            let (reason, message) = no_data(reason, off, next_extent, base, end);
            ErrorObject::of(reason, message).with_edges(base, next, end, next_extent)
        }
    }
}

fn no_data(
    reason: NoData,
    off: u64,
    next_extent: Option<u64>,
    base: u64,
    end: u64,
) -> (Reason, String) {
    match reason {
        NoData::Evicted => (
            Reason::Evicted,
            format!("the byte at offset {off} was evicted; bytes are retained from {base} on"),
        ),
        NoData::Gap => {
            let on = match next_extent {
                Some(next) => format!("bytes go on at {next}"),
                None => "no byte after it is there".to_owned(),
            };
            (Reason::Gap, format!("offset {off} lies in a hole; {on}"))
        }
        NoData::Future => (
            Reason::Future,
            format!(
                "no byte at offset {off} yet: the stream ends at {end} so far; ask again later"
            ),
        ),
        NoData::Eof => (
            Reason::Eof,
            format!("offset {off} is at the stream's end (FIN at {end}): nothing will follow"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_read_nothing_has_its_errno() {
        let no_data = |reason| PeekError::NoData {
            reason,
            next_extent: Some(9),
            base: 1,
            next: 2,
            end: 3,
        };
        let cases = [
            (PeekError::NoSuchConnection, 9, "EBADF", "no_connection"),
            (PeekError::Disabled, 22, "EINVAL", "disabled"),
            (PeekError::NotConnected, 107, "ENOTCONN", "not_established"),
            (no_data(NoData::Evicted), 61, "ENODATA", "evicted"),
            (no_data(NoData::Gap), 61, "ENODATA", "gap"),
            (no_data(NoData::Future), 61, "ENODATA", "future"),
            (no_data(NoData::Eof), 61, "ENODATA", "eof"),
        ];
        for (error, number, name, reason) in cases {
            let object = read(error, 5, Side::Client, 7);
            assert_eq!(object.code, number);
            let data = object.data.unwrap();
            assert_eq!(
                (data.errno.as_deref(), data.reason.as_deref()),
                (Some(name), Some(reason))
            );
            let place = (data.base, data.next, data.end, data.next_extent);
            let expected = if number == 61 {
                (Some(1), Some(2), Some(3), Some(Some(9)))
            } else {
                (None, None, None, None)
            };
            assert_eq!(place, expected, "{name} {reason}");
        }
    }
}
