//! What came in, in whatever pieces: lines, and the raw bytes after them. Does no I/O, so that both clients share it and a
//! read that is given up half way loses nothing.

use serde::de::DeserializeOwned;

use crate::notice::{Notice, What};
use crate::{BUFFER, Error, wire};

/// Bytes of a stream that are not used yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    /// Used up so far.
    start: usize,
    /// Holds bytes up to here; what is behind is room.
    end: usize,
    /// Known to be without a line feed, from `start` on.
    searched: usize,
    /// An event whose raw bytes are still to come, and how many they are.
    head: Option<(Notice, usize)>,
}

impl Incoming {
    /// Where the next read may write.
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

    /// So many bytes were written there.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// The reply to the request `id`, once it is whole.
    pub(super) fn reply<R: DeserializeOwned>(&mut self, id: u64) -> Option<Result<R, Error>> {
        let unexpected = || Error::Reply {
            what: "an event before the listener is there",
            source: None,
        };
        self.line()
            .map(|line| match wire::reply_or_event(line, id)? {
                wire::Incoming::Reply(reply) => Ok(reply),
                wire::Incoming::Event(_) => Err(unexpected()),
            })
    }

    /// The next event, once it is whole.
    pub(super) fn event(&mut self) -> Option<Result<Notice, Error>> {
        if self.head.is_none() {
            match head(self.line()?) {
                Ok((event, 0)) => return Some(Ok(event)),
                Ok(head) => self.head = Some(head),
                Err(error) => return Some(Err(error)),
            }
        }
        let (mut event, raw) = self.head.take()?;
        if self.end - self.start < raw {
            self.head = Some((event, raw));
            return None;
        }
        if let What::Data { bytes, .. } = &mut event.what {
            bytes.extend_from_slice(&self.buffer[self.start..self.start + raw]);
        }
        self.start += raw;
        Some(Ok(event))
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

/// Reads the line of an event; how many raw bytes follow it.
fn head(line: &[u8]) -> Result<(Notice, usize), Error> {
    let params = wire::event(line)?;
    let notice = serde_json::from_str(params.get()).map_err(|source| Error::Reply {
        what: "the event has another form",
        source: Some(source),
    })?;
    Ok((notice, wire::raw_of_event(params)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;
    use crate::notice::Surroundings;

    const STREAM: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sockid\":5}}\n\
        {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":5,\"event\":\"data\",\"time\":1.5,\
        \"sockid\":9,\"side\":\"server\",\"off\":7,\"len\":4,\"raw\":4}}\na\nb\n\
        {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":5,\"event\":\"lost\",\"count\":3}}\n\
        {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":5,\"event\":\"born\",\"what\":1}}\n";

    #[test]
    fn pieces_of_any_size_give_the_same_events() {
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
                while let Some(event) = listener.as_ref().and_then(|_| incoming.event()) {
                    events.push(event.unwrap());
                }
            }
            assert_eq!(listener.unwrap()["sockid"], 5);
            let data = What::Data {
                side: Side::Server,
                off: 7,
                len: 4,
                bytes: b"a\nb\n".to_vec(),
            };
            assert_eq!(
                events[0],
                Notice {
                    listener: 5,
                    time: Some(1.5),
                    sockid: Some(9),
                    what: data
                }
            );
            assert_eq!(
                events[1].what,
                What::Lost {
                    count: Some(3),
                    side: None,
                    off: None,
                    len: None
                }
            );
            assert_eq!(
                (&events[2].what, events.len()),
                (&What::Other, 3),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn a_match_brings_what_stands_around_it() {
        let line = b"{\"method\":\"event\",\"params\":{\"listener\":1,\"event\":\"match\",\"sockid\":2,\"side\":\"server\",\
            \"off\":4,\"len\":1,\"pattern\":\"x\",\"context\":{\"off\":3,\"data\":\"YXhi\"}}}\n";
        let (notice, 0) = head(line).unwrap() else {
            panic!("no bytes follow")
        };
        let What::Match { range, context, .. } = notice.what else {
            panic!("another event")
        };
        assert_eq!(
            (range.off, context),
            (
                4,
                Some(Surroundings {
                    off: 3,
                    bytes: b"axb".to_vec()
                })
            )
        );
    }

    #[test]
    fn a_large_event_needs_no_more_than_its_size() {
        let mut incoming = Incoming::default();
        let head = "{\"method\":\"event\",\"params\":{\"listener\":1,\"event\":\"data\",\"side\":\"client\",\"off\":0,\
                    \"len\":1000000,\"raw\":1000000}}\n";
        let stream = [head.as_bytes(), &[7; 1_000_000]].concat();
        for _ in 0..3 {
            for piece in stream.chunks(10_000) {
                incoming.room()[..piece.len()].copy_from_slice(piece);
                incoming.filled(piece.len());
                if let Some(event) = incoming.event() {
                    let What::Data { bytes, .. } = event.unwrap().what else {
                        panic!("another event")
                    };
                    assert!(bytes == [7; 1_000_000]);
                }
            }
        }
        assert!(incoming.head.is_none() && incoming.buffer.len() < 1_100_000);
    }
}
