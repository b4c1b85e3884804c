//! Errors on the wire: codes, reasons and the error object of a reply.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::number::none;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal $name:literal,)+) => {
        /// Code of an error: JSON-RPC's own codes for errors of the protocol, else a Linux errno number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i64)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Code {
            /// All codes, in the order of the reference.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// Returns its name: that of the errno, or JSON-RPC's.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// Returns the code with a number, if this version knows it.
            #[must_use]
            pub fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Code::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    /// The line is not JSON, or not UTF-8.
    Parse = -32700 "parse error",
    /// JSON, but not a request; or a line that is too long.
    Request = -32600 "invalid request",
    /// No such method.
    Method = -32601 "method not found",
    /// A parameter is missing, unknown or wrong; `data.parameter` names it.
    Params = -32602 "invalid params",
    /// The peer's credentials do not allow this.
    Perm = 1 "EPERM",
    /// No such sockid, or its connection is gone.
    BadSocket = 9 "EBADF",
    /// A limit of the server is reached.
    Again = 11 "EAGAIN",
    /// No such worker.
    Access = 13 "EACCES",
    /// Buffering of that side is disabled, the settings are wrong, or the store is not shared.
    Invalid = 22 "EINVAL",
    /// No received byte at that offset.
    NoData = 61 "ENODATA",
    /// The sockid is a subscription, not a connection.
    SocketType = 94 "ESOCKTNOSUPPORT",
    /// Nothing to read in this state yet, or no such connection found.
    NotConnected = 107 "ENOTCONN",
    /// The timeout passed.
    TimedOut = 110 "ETIMEDOUT",
}

impl Code {
    /// Returns the number on the wire.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// Returns whether it is an errno number instead of one of JSON-RPC's.
    #[must_use]
    pub fn is_errno(self) -> bool {
        self.number() > 0
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:ident $name:literal,)+) => {
        /// Reason of an error, `data.reason`: distinguishes the cases of one code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// All reasons, in the order of the reference.
            pub const ALL: &[Reason] = &[$(Reason::$variant),+];

            /// Returns its name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }

            /// Returns its code.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Reason::$variant => Code::$code,)+ }
            }

            /// Returns the reason with a name, if this version knows it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Reason::$variant),)+ _ => None }
            }
        }
    };
}

reasons! {
    /// The client has not the role that the method requires: see `[rpc] readers` and `[rpc] admins`.
    Permission = Perm "permission",
    /// The connection never existed, or was removed.
    NoConnection = BadSocket "no_connection",
    /// This client has no such subscription.
    NoListener = BadSocket "no_listener",
    /// The maximum number of clients is connected.
    Clients = Again "clients",
    /// The maximum number of clients of this user is connected.
    UserClients = Again "user_clients",
    /// The memory for replies and queues is in use.
    Memory = Again "memory",
    /// The maximum number of subscriptions exists, of this client or of all.
    Listeners = Again "listeners",
    /// The maximum number of rules exists.
    Rules = Again "rules",
    /// The worker does not respond.
    Unanswered = Again "unanswered",
    /// No worker has that number; they are numbered from 0.
    NoWorker = Access "no_worker",
    /// Buffering of that side is disabled.
    Disabled = Invalid "disabled",
    /// The settings are wrong, or cannot be read; nothing changed.
    Config = Invalid "config",
    /// A replay captures no packets.
    Replay = Invalid "replay",
    /// The store is not shared: see `[store] share`.
    NotShared = Invalid "not_shared",
    /// Below the lowest retained offset.
    Evicted = NoData "evicted",
    /// In a hole.
    Gap = NoData "gap",
    /// Not captured yet.
    Future = NoData "future",
    /// At the FIN: no byte follows.
    Eof = NoData "eof",
    /// The connection ended before that byte.
    Closed = NoData "closed",
    /// The sockid is a subscription.
    Listener = SocketType "listener",
    /// Only the start of the handshake was seen.
    NotEstablished = NotConnected "not_established",
    /// No connection between these addresses and ports.
    NotFound = NotConnected "not_found",
    /// The timeout passed.
    Timeout = TimedOut "timeout",
}

/// Error of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorObject {
    /// Number of a [`Code`]; newer servers may have more.
    pub code: i64,
    /// Sentence for people that names the remedy.
    pub message: String,
    /// Details for programs.
    #[serde(default, skip_serializing_if = "none")]
    pub data: Option<Box<ErrorData>>,
}

impl ErrorObject {
    /// Creates the error with a reason's code and names.
    #[must_use]
    pub fn of(reason: Reason, message: impl Into<String>) -> Self {
        let code = reason.code();
        let data = ErrorData {
            errno: Some(Cow::Borrowed(code.name())),
            reason: Some(Cow::Borrowed(reason.name())),
            ..ErrorData::default()
        };
        Self {
            code: code.number(),
            message: message.into(),
            data: Some(Box::new(data)),
        }
    }

    /// Adds the edges of a side, and the offset of the next received byte.
    #[must_use]
    pub fn with_edges(mut self, base: u64, next: u64, end: u64, next_extent: Option<u64>) -> Self {
        let data = self.data.get_or_insert_default();
        data.base = Some(base);
        data.next = Some(next);
        data.end = Some(end);
        data.next_extent = Some(next_extent);
        self
    }

    /// Returns the code, if this version knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::from_number(self.code)
    }

    /// Returns `data.reason`, if this version knows it.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Reason::from_name(self.data.as_ref()?.reason.as_deref()?)
    }
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Details of an error. Members that do not apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    /// Name of the errno, when the code is one.
    #[serde(default, skip_serializing_if = "none")]
    pub errno: Option<Cow<'static, str>>,
    /// Name of a [`Reason`].
    #[serde(default, skip_serializing_if = "none")]
    pub reason: Option<Cow<'static, str>>,
    /// Name of the wrong parameter.
    #[serde(default, skip_serializing_if = "none")]
    pub parameter: Option<String>,
    /// Offset of the mistake, in bytes, in a parameter that is a text.
    #[serde(default, skip_serializing_if = "none")]
    pub place: Option<u64>,
    /// ENODATA: lowest retained offset.
    #[serde(default, skip_serializing_if = "none")]
    pub base: Option<u64>,
    /// ENODATA: in-order edge.
    #[serde(default, skip_serializing_if = "none")]
    pub next: Option<u64>,
    /// ENODATA: one past the highest byte received.
    #[serde(default, skip_serializing_if = "none")]
    pub end: Option<u64>,
    /// ENODATA: offset of the next received byte after `off`; the inner `None` is `null`: none yet.
    #[serde(default, skip_serializing_if = "none", deserialize_with = "present")]
    pub next_extent: Option<Option<u64>>,
}

/// Distinguishes `null` from an absent member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
