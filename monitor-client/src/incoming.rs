//! Framing of received bytes: lines, and the raw bytes after them. It does no I/O: both clients share it, and a read that
//! is cancelled loses nothing.

use serde::de::DeserializeOwned;

use crate::{BUFFER, Error, Notification, wire};

/// Received bytes that are not consumed yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    /// Start of the unread bytes.
    start: usize,
    /// End of the unread bytes; free space follows.
    end: usize,
    /// Number of unread bytes that are known to hold no line feed.
    searched: usize,
    /// Notification that waits for its raw bytes, and their number.
    head: Option<(Notification, usize)>,
}

impl Incoming {
    /// Returns the space for the next read.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < BUFFER && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let wanted = self
            .head
            .as_ref()
            .map_or(0, |&(_, raw)| raw.saturating_sub(self.end - self.start));
        if self.buffer.len() - self.end < BUFFER.max(wanted) {
            self.buffer.resize(self.end + BUFFER.max(wanted), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Adds the first `count` bytes of that space to the received ones.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Returns the reply to the request `id`, once it is complete.
    pub(super) fn reply<R: DeserializeOwned>(&mut self, id: u64) -> Option<Result<R, Error>> {
        self.line().map(|line| wire::reply(line, id))
    }

    /// Returns the next notification, once it is complete.
    pub(super) fn notification(&mut self) -> Option<Result<Notification, Error>> {
        if self.head.is_none() {
            match head(self.line()?) {
                Ok(head) => self.head = Some(head),
                Err(error) => return Some(Err(error)),
            }
        }
        let (mut notification, raw) = self.head.take()?;
        if self.end - self.start < raw {
            self.head = Some((notification, raw));
            return None;
        }
        let bytes = self.buffer[self.start..self.start + raw].to_vec();
        wire::set_data(&mut notification, bytes);
        self.start += raw;
        Some(Ok(notification))
    }

    fn line(&mut self) -> Option<&[u8]> {
        let unread = &self.buffer[self.start..self.end];
        let Some(at) = unread[self.searched.min(unread.len())..]
            .iter()
            .position(|&byte| byte == b'\n')
        else {
            self.searched = unread.len();
            return None;
        };
        let len = self.searched + at + 1;
        self.searched = 0;
        self.start += len;
        Some(&self.buffer[self.start - len..self.start])
    }
}

/// Reads the line of a notification, and the number of raw bytes that follow it.
fn head(line: &[u8]) -> Result<(Notification, usize), Error> {
    let notification = wire::event(line)?;
    let raw = wire::raw_of_event(&notification)?;
    Ok((notification, raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventBody;
    use crate::Side;
    use crate::types::{Base64, Context, SideRange};

    const STREAM: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sockid\":5}}\n\
        {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":5,\"event\":\"data\",\"time\":1.5,\
        \"sockid\":9,\"side\":\"server\",\"off\":7,\"len\":4,\"raw\":4}}\na\nb\n\
        {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":5,\"event\":\"lost\",\"count\":3}}\n\
        {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":5,\"event\":\"born\",\"what\":1}}\n";

    #[test]
    fn events_do_not_depend_on_the_size_of_reads() {
        for size in [1, 2, 7, 50, 1000] {
            let mut incoming = Incoming::default();
            let mut listener: Option<serde_json::Value> = None;
            let mut events = Vec::new();
            for piece in STREAM.chunks(size) {
                incoming.room()[..piece.len()].copy_from_slice(piece);
                incoming.filled(piece.len());
                if listener.is_none() {
                    listener = incoming.reply(1).map(Result::unwrap);
                }
                while let Some(event) = listener.as_ref().and_then(|_| incoming.notification()) {
                    events.push(event.unwrap());
                }
            }
            assert_eq!(listener.unwrap()["sockid"], 5);
            let body = EventBody::Data {
                range: SideRange {
                    side: Side::Server,
                    off: 7,
                    len: 4,
                },
                raw: None,
                data: Some(Base64(b"a\nb\n".to_vec())),
            };
            assert_eq!(
                events[0],
                Notification {
                    listener: 5,
                    time: Some(1.5),
                    sockid: Some(9),
                    body
                }
            );
            assert_eq!(
                events[1].body,
                EventBody::Lost {
                    count: Some(3),
                    ends: None,
                    side: None,
                    off: None,
                    len: None
                }
            );
            assert_eq!(
                (&events[2].body, events.len()),
                (&EventBody::Other, 3),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn a_match_carries_its_context() {
        let line = b"{\"method\":\"event\",\"params\":{\"listener\":1,\"event\":\"match\",\"sockid\":2,\"side\":\"server\",\
            \"off\":4,\"len\":1,\"pattern\":\"x\",\"context\":{\"off\":3,\"data\":\"YXhi\"}}}\n";
        let (notification, 0) = head(line).unwrap() else {
            panic!("no bytes follow")
        };
        let EventBody::Match { range, context, .. } = notification.body else {
            panic!("another event")
        };
        assert_eq!(
            (range.off, context),
            (
                4,
                Some(Context {
                    off: 3,
                    data: Base64(b"axb".to_vec())
                })
            )
        );
    }

    #[test]
    fn a_large_event_needs_no_more_memory_than_its_size() {
        let mut incoming = Incoming::default();
        let head = "{\"method\":\"event\",\"params\":{\"listener\":1,\"event\":\"data\",\"side\":\"client\",\"off\":0,\
                    \"len\":1000000,\"raw\":1000000}}\n";
        let stream = [head.as_bytes(), &[7; 1_000_000]].concat();
        for _ in 0..3 {
            for piece in stream.chunks(10_000) {
                incoming.room()[..piece.len()].copy_from_slice(piece);
                incoming.filled(piece.len());
                if let Some(event) = incoming.notification() {
                    let EventBody::Data { data, .. } = event.unwrap().body else {
                        panic!("another event")
                    };
                    assert!(data == Some(Base64(vec![7; 1_000_000])));
                }
            }
        }
        assert!(incoming.head.is_none() && incoming.buffer.len() < 1_100_000);
    }
}
