//! Errors on the wire: a code, a sentence that names the remedy, and data for programs.

use std::fmt::Display;

use monitor_engine::ControlError;
pub(crate) use monitor_rpc::read_error::{no_connection, read as peek};
use monitor_rpc::{Code, ErrorData, ErrorObject, MAX_LINE, Method, Reason, Role};

use crate::control::Unanswered;
use crate::filter::FilterError;
use crate::rpc::access::account::Limit;

/// The user holds its half of `[rpc] memory`, or all users hold theirs.
const NO_MEMORY: &str = "the memory for clients ([rpc] memory) is in use; try again";

pub(crate) fn parse(why: impl Display) -> ErrorObject {
    plain(Code::Parse, format!("the line is not JSON: {why}"))
}

pub(crate) fn not_utf8() -> ErrorObject {
    plain(Code::Parse, "the line is not UTF-8")
}

pub(crate) fn request(why: impl Into<String>) -> ErrorObject {
    plain(Code::Request, why)
}

pub(crate) fn line_too_long() -> ErrorObject {
    plain(
        Code::Request,
        format!("a request line holds at most {MAX_LINE} bytes; the connection is closed"),
    )
}

pub(crate) fn method(name: &str) -> ErrorObject {
    let known: Vec<_> = Method::ALL.iter().map(|method| method.name()).collect();
    plain(
        Code::Method,
        format!(
            "there is no method {}; there are {}",
            shorten(name),
            known.join(", ")
        ),
    )
}

/// A parameter is wrong; the message names it.
pub(crate) fn parameter(name: &str, message: impl Into<String>) -> ErrorObject {
    let data = ErrorData {
        parameter: Some(name.to_owned()),
        ..ErrorData::default()
    };
    ErrorObject {
        code: Code::Params.number(),
        message: message.into(),
        data: Some(Box::new(data)),
    }
}

/// The filter in a parameter is wrong.
pub(crate) fn filter(name: &str, error: &FilterError) -> ErrorObject {
    let mut object = parameter(name, format!("parameter `{name}`: {error}"));
    if let Some(data) = &mut object.data {
        data.place = Some(error.offset as u64);
    }
    object
}

/// Parameters as a whole are wrong.
pub(crate) fn parameters(message: impl Into<String>) -> ErrorObject {
    plain(Code::Params, message)
}

/// The client lacks the role that the method needs.
pub(crate) fn permission(method: Method, peer: &impl Display) -> ErrorObject {
    let (name, role) = (method.name(), method.role());
    let setting = if role == Role::Admin {
        "admins"
    } else {
        "readers"
    };
    not_in(name, setting, peer)
}

/// The client may not attach to the store.
pub(crate) fn no_attaching(peer: &impl Display) -> ErrorObject {
    not_in(Method::Attach.name(), "attach", peer)
}

fn not_in(name: &str, setting: &str, peer: &impl Display) -> ErrorObject {
    let message = format!(
        "`{name}` is for the users and groups in [rpc] {setting}, and {peer} is none of them: add the user there, or \
         one of its groups as \"@group\""
    );
    errno(Reason::Permission, message)
}

/// A client with listeners may not read now.
pub(crate) fn revoked(peer: &impl Display) -> ErrorObject {
    let message = format!(
        "{peer} was removed from [rpc] readers: its listeners have ended, and the connection is closed"
    );
    errno(Reason::Permission, message)
}

/// The settings are wrong, or cannot be read.
pub(crate) fn config(why: impl Display) -> ErrorObject {
    errno(Reason::Config, format!("{why}; nothing was changed"))
}

/// The peer may not read files with the daemon's rights.
pub(crate) fn not_your_file(peer: &impl Display) -> ErrorObject {
    let message = format!(
        "`file` is for root and the user that monitord runs as, since it is read with that user's rights, and {peer} is \
         neither: send what is in it as `text`"
    );
    errno(Reason::Permission, message)
}

pub(crate) fn no_listener(sockid: u64) -> ErrorObject {
    let message =
        format!("this client has no listener {sockid}; `subscribe` and `follow` make them");
    errno(Reason::NoListener, message)
}

pub(crate) fn listener(sockid: u64) -> ErrorObject {
    let message = format!(
        "{sockid} names a listener, not a connection; the events that it tells of name those"
    );
    errno(Reason::Listener, message)
}

/// A client was refused.
pub(crate) fn client_limit(limit: Limit, peer: &impl Display) -> ErrorObject {
    match limit {
        Limit::All(max) => errno(
            Reason::Clients,
            format!("{max} clients are connected already; try again later"),
        ),
        Limit::User(max) => errno(
            Reason::UserClients,
            format!("{max} clients of {peer} are connected already; close some"),
        ),
        Limit::Memory => errno(Reason::Memory, NO_MEMORY),
    }
}

pub(crate) fn too_many_listeners_of_client(max: usize) -> ErrorObject {
    let message = format!("this client has {max} listeners already; `unsubscribe` from one");
    errno(Reason::Listeners, message)
}

/// A listener was refused.
pub(crate) fn listener_limit(limit: Limit) -> ErrorObject {
    let message = match limit {
        Limit::User(max) => {
            format!("the clients of this user have {max} listeners already; `unsubscribe` from one")
        }
        Limit::All(max) => format!("all clients together have {max} listeners; try again later"),
        Limit::Memory => return no_listener_memory(),
    };
    errno(Reason::Listeners, message)
}

pub(crate) fn no_listener_memory() -> ErrorObject {
    let message = format!("{NO_MEMORY}, or ask for a shorter `queue`");
    errno(Reason::Memory, message)
}

pub(crate) fn replay() -> ErrorObject {
    errno(
        Reason::Replay,
        "this is a replay, which captures no packets: its files have them",
    )
}

pub(crate) fn not_shared() -> ErrorObject {
    errno(
        Reason::NotShared,
        "the store is not shared: set [store] share = true and restart monitord, or read by `ppeek`",
    )
}

pub(crate) fn no_memory() -> ErrorObject {
    errno(Reason::Memory, NO_MEMORY)
}

pub(crate) fn closed(off: u64, base: u64, next: u64, end: u64) -> ErrorObject {
    let message =
        format!("the connection has ended at {end}: there will be no byte at offset {off}");
    errno(Reason::Closed, message).with_edges(base, next, end, None)
}

pub(crate) fn timeout(off: u64) -> ErrorObject {
    errno(
        Reason::Timeout,
        format!("no byte at offset {off} came in time; wait again"),
    )
}

pub(crate) fn not_found() -> ErrorObject {
    let message = "no connection between these ends is known; `sockets` lists those that are";
    errno(Reason::NotFound, message)
}

pub(crate) fn no_worker(worker: u64, workers: usize) -> ErrorObject {
    let message = format!(
        "there is no worker {worker}; workers are numbered from 0, and there are {workers}"
    );
    errno(Reason::NoWorker, message)
}

pub(crate) fn too_many_rules(most: usize) -> ErrorObject {
    let message = format!(
        "there are {most} rules already: remove one by `configure` with `rule` and `remove`"
    );
    errno(Reason::Rules, message)
}

pub(crate) fn unanswered(error: Unanswered) -> ErrorObject {
    errno(Reason::Unanswered, error.to_string())
}

/// Error of `stop` and `configure`.
pub(crate) fn control(error: ControlError, sockid: u64) -> ErrorObject {
    match error {
        ControlError::NoSuchConnection => no_connection(sockid),
        ControlError::Disabled(side) => {
            let message = format!(
                "the {side} side of this connection keeps no bytes: it has no window and no policy; `side` names one \
                 side only"
            );
            errno(Reason::Disabled, message)
        }
    }
}

fn errno(reason: Reason, message: impl Into<String>) -> ErrorObject {
    ErrorObject::of(reason, message)
}

fn plain(code: Code, message: impl Into<String>) -> ErrorObject {
    ErrorObject {
        code: code.number(),
        message: message.into(),
        data: None,
    }
}

/// Quotes text of a client, cut to a length that fits a message.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut quoted: String = text.chars().take(LONGEST).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    format!("{quoted:?}")
}
