//! Responses as text.

use std::io::Write;

use monitor_rpc::ErrorObject;
use serde::Serialize;
use serde_json::value::RawValue;

const PLAIN: &str = "what a reply is made of always has a JSON form, and memory takes it";

/// Writes a whole response.
pub(crate) fn result(text: &mut Vec<u8>, id: &RawValue, result: &impl Serialize) {
    start(text, id);
    value(text, result);
    end(text);
}

/// Writes a response up to the start of its result.
pub(crate) fn start(text: &mut Vec<u8>, id: &RawValue) {
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    text.extend_from_slice(id.get().as_bytes());
    text.extend_from_slice(b",\"result\":");
}

/// Writes the end of a response, after its result.
pub(crate) fn end(text: &mut Vec<u8>) {
    text.push(b'}');
}

/// Writes any value.
pub(crate) fn value(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(text, value).expect(PLAIN);
}

/// Writes an error response. `id` is `None` when it's unknown.
pub(crate) fn error(text: &mut Vec<u8>, id: Option<&RawValue>, error: &ErrorObject) {
    let id = id.map_or("null", RawValue::get);
    write!(text, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":").expect(PLAIN);
    value(text, error);
    end(text);
}
