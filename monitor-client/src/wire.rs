//! Requests and replies as lines.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Error;
use crate::{ErrorObject, MAX_LEN};

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

/// Anything that a server sends: a response, or a notification that an event happened.
#[derive(Deserialize)]
struct Message<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
    method: Option<&'a str>,
    params: Option<&'a RawValue>,
}

/// A line, told apart.
pub(super) enum Incoming<'a, R> {
    /// The reply that was waited for.
    Reply(R),
    /// The parameters of an event.
    Event(&'a RawValue),
}

/// Writes a request, with its line feed, in place of what `line` held.
pub(super) fn request(
    line: &mut Vec<u8>,
    id: u64,
    method: &str,
    params: &impl Serialize,
) -> Result<(), Error> {
    line.clear();
    serde_json::to_writer(
        &mut *line,
        &Request {
            jsonrpc: "2.0",
            id,
            method,
            params,
        },
    )
    .map_err(Error::Request)?;
    line.push(b'\n');
    Ok(())
}

/// Reads the reply to the request `id`, where no event can come. An empty line is the end of the connection.
#[cfg(feature = "async")]
pub(super) fn reply<R: DeserializeOwned>(line: &[u8], id: u64) -> Result<R, Error> {
    match reply_or_event(line, id)? {
        Incoming::Reply(reply) => Ok(reply),
        Incoming::Event(_) => Err(Error::Reply {
            what: "an event that nobody subscribed to",
            source: None,
        }),
    }
}

/// Reads the reply to the request `id`, or an event that comes before it.
pub(super) fn reply_or_event<R: DeserializeOwned>(
    line: &[u8],
    id: u64,
) -> Result<Incoming<'_, R>, Error> {
    let message = message(line)?;
    if let (Some("event"), Some(params)) = (message.method, message.params) {
        return Ok(Incoming::Event(params));
    }
    // Before the id: a server that refuses a client answers no request.
    if let Some(error) = message.error {
        return Err(Error::Rpc(error));
    }
    if message.id != Some(id) {
        return Err(Error::Reply {
            what: "it answers another request",
            source: None,
        });
    }
    let result = message.result.ok_or(Error::Reply {
        what: "neither result nor error",
        source: None,
    })?;
    let result = serde_json::from_str(result.get());
    result
        .map(Incoming::Reply)
        .map_err(|source| bad("the result has another form", source))
}

/// Reads an event, where no reply is waited for: its parameters.
pub(super) fn event(line: &[u8]) -> Result<&RawValue, Error> {
    let message = message(line)?;
    match (message.method, message.params, message.error) {
        (Some("event"), Some(params), _) => Ok(params),
        (_, _, Some(error)) => Err(Error::Rpc(error)),
        _ => Err(Error::Reply {
            what: "a reply that nobody asked for",
            source: None,
        }),
    }
}

fn message(line: &[u8]) -> Result<Message<'_>, Error> {
    if line.last() != Some(&b'\n') {
        return Err(Error::Closed);
    }
    serde_json::from_slice(line).map_err(|source| bad("no JSON-RPC message", source))
}

/// How many raw bytes follow the line of a reply that says it returned `len` of the `wanted` bytes.
pub(super) fn raw(raw: Option<u64>, len: u64, wanted: u64) -> Result<usize, Error> {
    match raw {
        Some(count) if count == len && count <= wanted.min(MAX_LEN) => Ok(count as usize),
        _ => Err(Error::Reply {
            what: "the count of raw bytes is missing or wrong",
            source: None,
        }),
    }
}

/// How many raw bytes follow the line of an event.
pub(super) fn raw_of_event(params: &RawValue) -> Result<usize, Error> {
    #[derive(Deserialize)]
    struct Raw {
        raw: Option<u64>,
    }
    let raw: Raw = serde_json::from_str(params.get())
        .map_err(|source| bad("the event has another form", source))?;
    match raw.raw.unwrap_or(0) {
        count @ 0..=MAX_LEN => Ok(count as usize),
        _ => Err(Error::Reply {
            what: "the count of raw bytes is wrong",
            source: None,
        }),
    }
}

fn bad(what: &'static str, source: serde_json::Error) -> Error {
    Error::Reply {
        what,
        source: Some(source),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(line: &str) -> Result<Value, Error> {
        match reply_or_event(line.as_bytes(), 3)? {
            Incoming::Reply(value) => Ok(value),
            Incoming::Event(params) => panic!("{params}"),
        }
    }

    #[test]
    fn a_request_is_one_line() {
        let mut line = b"the one before".to_vec();
        request(&mut line, 3, "info", &serde_json::json!({ "sockid": 1 })).unwrap();
        let expected =
            "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"info\",\"params\":{\"sockid\":1}}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn a_reply_answers_its_request() {
        assert_eq!(
            read("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":7}\n").unwrap(),
            7
        );
        for other in [
            "{\"id\":4,\"result\":7}\n",
            "{\"id\":3}\n",
            "7\n",
            "{\"id\":null,\"result\":7}\n",
        ] {
            assert!(matches!(read(other), Err(Error::Reply { .. })), "{other}");
        }
        let refused = "{\"id\":null,\"error\":{\"code\":11,\"message\":\"too many clients\"}}\n";
        assert!(matches!(read(refused), Err(Error::Rpc(error)) if error.code == 11));
    }

    #[test]
    fn an_event_may_stand_where_a_reply_is_waited_for() {
        let line =
            b"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":9,\"raw\":5}}\n";
        let Ok(Incoming::<Value>::Event(params)) = reply_or_event(line, 3) else {
            panic!("it is an event")
        };
        assert_eq!(raw_of_event(params).unwrap(), 5);
        assert_eq!(event(line).unwrap().get(), params.get());
        assert!(matches!(
            event(b"{\"id\":3,\"result\":7}\n"),
            Err(Error::Reply { .. })
        ));
        assert!(matches!(event(b"{}"), Err(Error::Closed)));
        let endless =
            serde_json::value::to_raw_value(&serde_json::json!({ "raw": MAX_LEN + 1 })).unwrap();
        assert!(raw_of_event(&endless).is_err());
    }

    #[test]
    fn half_a_line_is_the_end() {
        assert!(matches!(read(""), Err(Error::Closed)));
        assert!(matches!(
            read("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":7}"),
            Err(Error::Closed)
        ));
    }

    #[test]
    fn only_as_many_bytes_as_were_asked_for_follow() {
        assert_eq!(raw(Some(5), 5, 9).unwrap(), 5);
        for (count, len, wanted) in [(None, 5, 9), (Some(4), 5, 9), (Some(9), 9, 5)] {
            assert!(raw(count, len, wanted).is_err());
        }
        assert!(raw(Some(MAX_LEN + 1), MAX_LEN + 1, u64::MAX).is_err());
    }
}
