//! Connections to the daemon for requests of the fleet.
//!
//! A connection serves one request at a time, and is kept for further ones. Each belongs to one instance of the daemon, so
//! that a sockid of an earlier instance never reaches a later one.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use monitor_client::types::PpeekParams;
use monitor_client::{AsyncClient, Chain, Code, Error, ErrorData, ErrorObject, Method, Reason};
use serde_json::{Value, json};

/// Idle connections that are kept.
const IDLE: usize = 8;

/// Reply of the daemon.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Instance of the daemon.
    pub(super) instance: u64,
    /// Result, as JSON.
    pub(super) result: Vec<u8>,
    /// Raw bytes.
    pub(super) bytes: Vec<u8>,
    /// Number of connections that a sorted list lacks.
    pub(super) left_out: usize,
}

/// Connections to the daemon at a socket.
#[derive(Debug)]
pub(super) struct Pool {
    socket: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    client: AsyncClient,
    instance: u64,
}

impl Pool {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            idle: Mutex::default(),
        }
    }

    /// Calls a method. `instance` is that of the sockid in `params`, if the caller named it. The result and its bytes have
    /// at most `room` bytes.
    pub(super) async fn call(
        &self,
        method: Method,
        params: &Value,
        instance: Option<u64>,
        room: usize,
    ) -> Result<Answer, ErrorObject> {
        let kept = self.idle().pop();
        if let Some(connection) = kept {
            match self.ask(connection, method, params, instance, room).await {
                // It was of a daemon that has ended.
                Err(error) if error.is_broken() && method.is_repeatable() => self.idle().clear(),
                result => return result.map_err(refusal),
            }
        }
        let connection = self.connect().await.map_err(refusal)?;
        let result = self.ask(connection, method, params, instance, room).await;
        result.map_err(refusal)
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let mut client = AsyncClient::connect(&self.socket).await?;
        let hello = client.hello("monitor-relay").await?;
        Ok(Connection {
            client,
            instance: hello.instance.unwrap_or_default(),
        })
    }

    async fn ask(
        &self,
        mut connection: Connection,
        method: Method,
        params: &Value,
        instance: Option<u64>,
        room: usize,
    ) -> Result<Answer, Error> {
        let own = connection.instance;
        if instance.is_some_and(|instance| instance != own) {
            // A connection that is kept may be of a daemon that has ended.
            let hello = connection.client.hello("monitor-relay").await;
            return Err(hello.err().filter(Error::is_broken).unwrap_or_else(stale));
        }
        let result = Self::perform(&mut connection.client, method, params, room).await;
        let is_usable = matches!(result, Ok(_) | Err(Error::Rpc(_)));
        let mut idle = self.idle();
        if is_usable && idle.len() < IDLE {
            idle.push(connection);
        }
        let answer = result?;
        Ok(Answer {
            instance: own,
            ..answer
        })
    }

    async fn perform(
        client: &mut AsyncClient,
        method: Method,
        params: &Value,
        room: usize,
    ) -> Result<Answer, Error> {
        let read = serde_json::from_value::<PpeekParams>(params.clone());
        // Wrong parameters go to the daemon, which explains them.
        if let (Method::Ppeek, Ok(mut read)) = (method, read) {
            read.len = read.len.min(room.saturating_sub(1024) as u64);
            let mut bytes = Vec::new();
            let head = client.ppeek_with(&read, &mut bytes).await?;
            return Ok(Answer {
                result: serialize(&head),
                bytes,
                ..Answer::default()
            });
        }
        let mut result: Value = client.call(method, params).await?;
        let text = serialize(&result);
        let (len, is_sorted) = (text.len(), !params["sort"].is_null());
        let shortened = if len <= room {
            Some((text, 0))
        } else if method == Method::Sockets {
            shorten(&mut result, is_sorted, room)
        } else {
            None
        };
        let (result, left_out) = shortened.ok_or_else(|| Error::Rpc(too_long(len, room)))?;
        Ok(Answer {
            result,
            left_out,
            ..Answer::default()
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serialize(value: &impl serde::Serialize) -> Vec<u8> {
    // Values from JSON can be written as JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Cuts a page of connections to what a message holds. The next page starts behind it; a sorted list has none, and the
/// number of connections that it lacks is returned as well. Returns `None` if a message doesn't hold one connection.
fn shorten(result: &mut Value, is_sorted: bool, room: usize) -> Option<(Vec<u8>, usize)> {
    let all = result["sockets"].as_array()?.len();
    loop {
        let sockets = result["sockets"].as_array_mut()?;
        sockets.truncate(sockets.len() / 2);
        let left = sockets.len();
        let last = sockets.last()?["sockid"].clone();
        if !is_sorted {
            result["next"] = last;
        }
        let text = serialize(result);
        if text.len() <= room {
            let left_out = if is_sorted { all - left } else { 0 };
            return Some((text, left_out));
        }
    }
}

fn stale() -> Error {
    Error::Rpc(error(
        Code::BadSocket,
        Some(Reason::NoConnection),
        "the name is of an earlier run of that host's daemon: list its connections again"
            .to_owned(),
    ))
}

fn too_long(len: usize, room: usize) -> ErrorObject {
    let text = format!(
        "the reply has {len} bytes, and a message of the server holds {room}: raise its max_payload"
    );
    error(Code::Again, Some(Reason::Memory), text)
}

/// Returns the error for a failed call.
fn refusal(failure: Error) -> ErrorObject {
    match failure {
        Error::Rpc(error) => error,
        failure => {
            let text = format!("the host's daemon cannot be asked: {}", Chain(&failure));
            error(Code::Again, Some(Reason::Unanswered), text)
        }
    }
}

/// Returns an error of the relay, in the form of the daemon's.
pub(super) fn error(code: Code, reason: Option<Reason>, message: String) -> ErrorObject {
    ErrorObject {
        code: code.number(),
        message,
        data: Some(Box::new(ErrorData {
            errno: code.is_errno().then(|| code.name().into()),
            reason: reason.map(|reason| reason.name().into()),
            ..ErrorData::default()
        })),
    }
}

/// Returns the parameters in a request.
pub(super) fn params(payload: &[u8]) -> Result<Value, ErrorObject> {
    if payload.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(payload).map_err(|source| {
        error(
            Code::Parse,
            None,
            format!("the request is not JSON: {source}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_too_long_continues_behind_its_last_connection() {
        let sockets: Vec<_> = (0..100).map(|sockid| json!({ "sockid": sockid })).collect();
        let mut page = json!({ "sockets": sockets, "next": null });
        let (text, left_out) = shorten(&mut page, false, 500).unwrap();
        assert!(text.len() <= 500 && left_out == 0);
        let listed = page["sockets"].as_array().unwrap();
        assert_eq!(page["next"], listed.last().unwrap()["sockid"]);
        assert!(listed.len() >= 25);
    }

    #[test]
    fn a_sorted_list_that_is_too_long_says_how_many_it_lacks() {
        let sockets: Vec<_> = (0..100).map(|sockid| json!({ "sockid": sockid })).collect();
        let mut page = json!({ "sockets": sockets, "next": null });
        let (_, left_out) = shorten(&mut page, true, 500).unwrap();
        let listed = page["sockets"].as_array().unwrap();
        assert_eq!(
            (page["next"].clone(), listed.len() + left_out),
            (Value::Null, 100)
        );
        assert_eq!(listed[0]["sockid"], 0, "the best ones are kept");
        assert_eq!(
            shorten(&mut page, true, 10),
            None,
            "an empty list would be wrong"
        );
    }
}
