//! JSON-RPC messages: requests, calls, responses and errors.

pub(crate) mod call;
pub(crate) mod errors;
pub(crate) mod request;
pub(crate) mod response;
