//! Requests: the JSON-RPC envelope, without the method's own parameters.

use std::borrow::Cow;
use std::fmt;

use monitor_rpc::ErrorObject;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::rpc::protocol::errors;

/// Request. Its parts point into the line.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Any JSON value, echoed unchanged; `None`: a notification.
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) method: Cow<'a, str>,
    pub(crate) params: Option<&'a RawValue>,
}

/// Invalid request, with its id if that could be parsed.
#[derive(Debug)]
pub(crate) struct Rejected<'a> {
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) error: ErrorObject,
}

/// Content of one line.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Single(&'a str),
    Batch(Vec<&'a RawValue>),
}

/// Members that JSON-RPC defines, of any type. Other members are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Keeps `null` distinct from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    /// Parses a line. A batch holds at most `most` requests.
    pub(crate) fn parse(line: &'a [u8], most: usize) -> Result<Self, ErrorObject> {
        let text = str::from_utf8(line).map_err(|_| errors::not_utf8())?;
        if !text.trim_ascii_start().starts_with('[') {
            return Ok(Message::Single(text));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = Members(most).deserialize(&mut deserializer);
        match members.and_then(|members| deserializer.end().map(|()| members)) {
            Ok(members) if members.is_empty() => {
                Err(errors::request("an empty batch asks for nothing"))
            }
            Ok(members) => Ok(Message::Batch(members)),
            Err(error) if error.is_data() => Err(errors::request(error.to_string())),
            Err(error) => Err(errors::parse(error)),
        }
    }
}

/// Deserializes a batch of at most this number of requests.
struct Members(usize);

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut taken = Vec::new();
        while let Some(member) = members.next_element()? {
            if taken.len() == self.0 {
                let most = format_args!(
                    "a batch holds at most {} requests; send the rest in another one",
                    self.0
                );
                return Err(A::Error::custom(most));
            }
            taken.push(member);
        }
        Ok(taken)
    }
}

impl<'a> Request<'a> {
    /// Parses the envelope of one request.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejected<'a>> {
        let envelope: Envelope<'a> = match serde_json::from_str(text) {
            Ok(envelope) if text.trim_ascii_start().starts_with('{') => envelope,
            Ok(_) => {
                return Err(Rejected {
                    id: None,
                    error: errors::request("a request is an object"),
                });
            }
            Err(error) => {
                return Err(Rejected {
                    id: None,
                    error: explain(text, &error),
                });
            }
        };
        let id = envelope.id;
        let rejected = |why: &str| Rejected {
            id,
            error: errors::request(why),
        };
        if envelope.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
            return Err(rejected("a request says \"jsonrpc\": \"2.0\""));
        }
        let method = envelope
            .method
            .ok_or_else(|| rejected("a request names its \"method\""))?;
        let method =
            string(method).ok_or_else(|| rejected("the \"method\" of a request is a string"))?;
        Ok(Self {
            id,
            method,
            params: envelope.params,
        })
    }
}

/// Returns the text of a JSON string; `None` for any other value.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = raw.get();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(quoted).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Returns the error for text that isn't JSON, or that is JSON but no request.
fn explain(text: &str, error: &serde_json::Error) -> ErrorObject {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => errors::parse(error),
        Ok(_) if error.is_data() => errors::request(format!("this is no request: {error}")),
        Ok(_) => errors::parse(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 2048;

    fn code(text: &str) -> i64 {
        Request::parse(text).unwrap_err().error.code
    }

    #[test]
    fn parts_are_found_in_any_order_and_unknown_members_ignored() {
        let text =
            r#" {"params":{"a":1},"extra":[],"id":{"x":1},"method":"i\u006efo","jsonrpc":"2.0"} "#;
        let request = Request::parse(text).unwrap();
        assert_eq!(request.method, "info");
        assert_eq!(request.id.map(RawValue::get), Some(r#"{"x":1}"#));
        assert_eq!(request.params.map(RawValue::get), Some(r#"{"a":1}"#));
    }

    #[test]
    fn a_null_id_is_an_id_and_none_is_a_notification() {
        let request = Request::parse(r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#).unwrap();
        assert_eq!(request.id.map(RawValue::get), Some("null"));
        let request = Request::parse(r#"{"jsonrpc":"2.0","method":"a"}"#).unwrap();
        assert!(request.id.is_none());
    }

    #[test]
    fn invalid_json_and_invalid_requests_are_distinguished() {
        for text in [
            "",
            "x",
            "{",
            r#"{"id":1"#,
            r#"{"id":1}}"#,
            "{'id':1}",
            r#"{"id":01}"#,
            "1 2",
        ] {
            assert_eq!(code(text), -32700, "{text}");
        }
        let no_requests = [
            "1",
            "null",
            "\"text\"",
            "{}",
            r#"{"id":1,"method":"info"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"info"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"info"}"#,
        ];
        for text in no_requests {
            assert_eq!(code(text), -32600, "{text}");
        }
    }

    #[test]
    fn the_id_is_kept_for_the_error() {
        let rejected = Request::parse(r#"{"id":"me","method":1,"jsonrpc":"2.0"}"#).unwrap_err();
        assert_eq!(rejected.id.map(RawValue::get), Some("\"me\""));
    }

    #[test]
    fn deep_nesting_is_answered_not_crashed_on() {
        let deep = "[".repeat(60_000);
        assert_eq!(
            Message::parse(deep.as_bytes(), MOST).unwrap_err().code,
            -32700
        );
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{deep}"#);
        assert_eq!(code(&text), -32700);
    }

    #[test]
    fn batches_are_arrays_with_members() {
        assert!(
            matches!(Message::parse(b" [1, {}]", MOST).unwrap(), Message::Batch(members) if members.len() == 2)
        );
        assert_eq!(Message::parse(b"[]", MOST).unwrap_err().code, -32600);
        assert_eq!(Message::parse(b"[1,", MOST).unwrap_err().code, -32700);
        assert_eq!(Message::parse(b"\xff", MOST).unwrap_err().code, -32700);
        let most = format!("[{}1]", "1,".repeat(MOST - 1));
        assert!(matches!(
            Message::parse(most.as_bytes(), MOST).unwrap(),
            Message::Batch(_)
        ));
        let more = format!("[1,{}", &most[1..]);
        assert_eq!(
            Message::parse(more.as_bytes(), MOST).unwrap_err().code,
            -32600
        );
    }
}
