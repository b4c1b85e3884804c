//! Requests, replies and notifications as lines.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use monitor_rpc::types::Base64;
use monitor_rpc::{ErrorObject, EventBody, MAX_LEN, Notification};

use crate::Error;
use crate::session::Subscription;

/// Request.
#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

/// Line of the server: a response, or a notification.
#[derive(Deserialize)]
struct Message<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
    method: Option<&'a str>,
    params: Option<&'a RawValue>,
}

/// Content of a line.
pub(super) enum Incoming<R> {
    /// Reply to the request.
    Reply(R),
    /// Notification; its raw bytes follow.
    Event(Notification),
}

/// Writes a request with its line feed into `line`, which is cleared first.
pub(super) fn request(
    line: &mut Vec<u8>,
    id: u64,
    method: &str,
    params: &impl Serialize,
) -> Result<(), Error> {
    line.clear();
    let request = Request {
        jsonrpc: "2.0",
        id,
        method,
        params,
    };
    serde_json::to_writer(&mut *line, &request).map_err(Error::Request)?;
    line.push(b'\n');
    Ok(())
}

/// Returns the request of a subscription, with the id 1.
pub(super) fn subscription(subscription: &Subscription) -> Result<Vec<u8>, Error> {
    let mut line = Vec::new();
    request(
        &mut line,
        1,
        subscription.method.name(),
        &subscription.params,
    )?;
    Ok(line)
}

/// Reads the reply to the request `id`, on a connection without subscriptions. An empty line is the end of the
/// connection.
pub(super) fn reply<R: DeserializeOwned>(line: &[u8], id: u64) -> Result<R, Error> {
    match reply_or_event(line, id)? {
        Incoming::Reply(reply) => Ok(reply),
        Incoming::Event(_) => Err(Error::reply("an event before the reply")),
    }
}

/// Reads the reply to the request `id`, or a notification that arrives before it.
pub(super) fn reply_or_event<R: DeserializeOwned>(
    line: &[u8],
    id: u64,
) -> Result<Incoming<R>, Error> {
    let message = message(line)?;
    if let (Some("event"), Some(params)) = (message.method, message.params) {
        return notification(params).map(Incoming::Event);
    }
    // Before the id: a server that rejects a client answers no request.
    if let Some(error) = message.error {
        return Err(Error::Rpc(error));
    }
    if message.id != Some(id) {
        return Err(Error::reply("its id is that of another request"));
    }
    let result = message
        .result
        .ok_or_else(|| Error::reply("neither result nor error"))?;
    serde_json::from_str(result.get())
        .map(Incoming::Reply)
        .map_err(|source| Error::json("the result has an unexpected form", source))
}

/// Reads a notification, where no reply is pending.
pub(super) fn event(line: &[u8]) -> Result<Notification, Error> {
    let message = message(line)?;
    match (message.method, message.params, message.error) {
        (Some("event"), Some(params), _) => notification(params),
        (_, _, Some(error)) => Err(Error::Rpc(error)),
        _ => Err(Error::reply("a reply without a request")),
    }
}

fn notification(params: &RawValue) -> Result<Notification, Error> {
    serde_json::from_str(params.get())
        .map_err(|source| Error::json("the event has an unexpected form", source))
}

fn message(line: &[u8]) -> Result<Message<'_>, Error> {
    if line.last() != Some(&b'\n') {
        return Err(Error::Closed);
    }
    serde_json::from_slice(line).map_err(|source| Error::json("not a JSON-RPC message", source))
}

/// Checks the number of raw bytes after a reply with `len` of the `wanted` bytes.
pub(super) fn raw(raw: Option<u64>, len: u64, wanted: u64) -> Result<usize, Error> {
    match raw {
        Some(count) if count == len && count <= wanted.min(MAX_LEN) => Ok(count as usize),
        _ => Err(Error::reply("the number of raw bytes is missing or wrong")),
    }
}

/// Checks the number of raw bytes after a notification.
pub(super) fn raw_of_event(notification: &Notification) -> Result<usize, Error> {
    match notification.body.raw() {
        count @ 0..=MAX_LEN => Ok(count as usize),
        _ => Err(Error::reply("the number of raw bytes is wrong")),
    }
}

/// Puts raw bytes into the notification that announced them.
pub(super) fn set_data(notification: &mut Notification, bytes: Vec<u8>) {
    if let EventBody::Data { raw, data, .. } | EventBody::Packets { raw, data, .. } =
        &mut notification.body
        && raw.take().is_some()
    {
        *data = Some(Base64(bytes));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(line: &str) -> Result<Value, Error> {
        match reply_or_event(line.as_bytes(), 3)? {
            Incoming::Reply(value) => Ok(value),
            Incoming::Event(notification) => panic!("{notification:?}"),
        }
    }

    #[test]
    fn a_request_is_one_line() {
        let mut line = b"the previous one".to_vec();
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
    fn an_event_may_arrive_before_a_reply() {
        let line = b"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"listener\":9,\"event\":\"data\",\
            \"side\":\"client\",\"off\":0,\"len\":5,\"raw\":5}}\n";
        let Ok(Incoming::<Value>::Event(mut notification)) = reply_or_event(line, 3) else {
            panic!("it is an event")
        };
        assert_eq!(raw_of_event(&notification).unwrap(), 5);
        assert_eq!(event(line).unwrap(), notification);
        assert!(matches!(
            event(b"{\"id\":3,\"result\":7}\n"),
            Err(Error::Reply { .. })
        ));
        assert!(matches!(event(b"{}"), Err(Error::Closed)));
        if let EventBody::Data { raw, .. } = &mut notification.body {
            *raw = Some(MAX_LEN + 1);
        }
        assert!(raw_of_event(&notification).is_err());
    }

    #[test]
    fn an_incomplete_line_is_the_end() {
        assert!(matches!(read(""), Err(Error::Closed)));
        assert!(matches!(
            read("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":7}"),
            Err(Error::Closed)
        ));
    }

    #[test]
    fn the_number_of_raw_bytes_is_limited_to_the_request() {
        assert_eq!(raw(Some(5), 5, 9).unwrap(), 5);
        for (count, len, wanted) in [(None, 5, 9), (Some(4), 5, 9), (Some(9), 9, 5)] {
            assert!(raw(count, len, wanted).is_err());
        }
        assert!(raw(Some(MAX_LEN + 1), MAX_LEN + 1, u64::MAX).is_err());
    }
}
