//! Errors as they stand on the wire.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal $name:literal,)+) => {
        /// What an error is about: JSON-RPC's own codes for faults of the protocol, else the Linux errno number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i64)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Code {
            /// All of them, in the order of the reference.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// Its name: what `data.errno` says, or JSON-RPC's word.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The code of that number, if this version knows it.
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
    /// The server has no room for this now.
    Again = 11 "EAGAIN",
    /// No such worker.
    Access = 13 "EACCES",
    /// Buffering of that side is switched off, or the settings are wrong.
    Invalid = 22 "EINVAL",
    /// No received byte at that offset.
    NoData = 61 "ENODATA",
    /// The sockid names a listener, not a connection.
    SocketType = 94 "ESOCKTNOSUPPORT",
    /// Nothing to read in this state yet, or no such connection found.
    NotConnected = 107 "ENOTCONN",
    /// What was waited for did not come in time.
    TimedOut = 110 "ETIMEDOUT",
}

impl Code {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// An errno number, not one of JSON-RPC's own.
    #[must_use]
    pub fn is_errno(self) -> bool {
        self.number() > 0
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:ident $name:literal,)+) => {
        /// Tells the cases of one errno apart: `data.reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// All of them, in the order of the reference.
            pub const ALL: &[Reason] = &[$(Reason::$variant),+];

            /// The word on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }

            /// The errno that it comes with.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Reason::$variant => Code::$code,)+ }
            }

            /// The reason of that name, if this version knows it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Reason::$variant),)+ _ => None }
            }
        }
    };
}

reasons! {
    /// The method is for others: see `[rpc] readers` and `[rpc] admins`.
    Permission = Perm "permission",
    /// Never existed, or is gone.
    NoConnection = BadSocket "no_connection",
    /// This client has no such listener.
    NoListener = BadSocket "no_listener",
    /// As many clients as the server takes are connected.
    Clients = Again "clients",
    /// As many clients of this user as the server takes are connected.
    UserClients = Again "user_clients",
    /// Other clients' replies hold the memory that this one needs.
    Memory = Again "memory",
    /// The client reads as many sides by `peek` as it may.
    Cursors = Again "cursors",
    /// As many listeners as there may be are there: of this client, or of all.
    Listeners = Again "listeners",
    /// As many different windows as there can be are in use.
    Windows = Again "windows",
    /// There are as many rules as there can be.
    Rules = Again "rules",
    /// The worker that was asked does not answer.
    Unanswered = Again "unanswered",
    /// Workers are numbered from 0, and there are not so many.
    NoWorker = Access "no_worker",
    /// Buffering of that side is switched off.
    Disabled = Invalid "disabled",
    /// The settings are wrong, or cannot be read; nothing was changed.
    Config = Invalid "config",
    /// Below the lowest retained offset.
    Evicted = NoData "evicted",
    /// In a hole.
    Gap = NoData "gap",
    /// Not sent yet, as far as was captured.
    Future = NoData "future",
    /// At the FIN: there will never be one.
    Eof = NoData "eof",
    /// The connection ended without it.
    Closed = NoData "closed",
    /// The sockid names a listener.
    Listener = SocketType "listener",
    /// Nothing but the start of the handshake was seen.
    NotEstablished = NotConnected "not_established",
    /// No connection between these ends.
    NotFound = NotConnected "not_found",
    /// Nothing came in time.
    Timeout = TimedOut "timeout",
}

/// The `error` of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorObject {
    /// See [`Code`]; a later version may know more.
    pub code: i64,
    /// A sentence for people that says what to do.
    pub message: String,
    /// What programs can act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<ErrorData>>,
}

impl ErrorObject {
    /// The code, if this version knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::from_number(self.code)
    }

    /// `data.reason`, if this version knows it.
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

/// The `data` of an error. Only what applies is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    /// Name of the errno, when the code is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<Cow<'static, str>>,
    /// One word that tells the cases of one code apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// The parameter that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The parameter is a text in itself: bytes of it before the place that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// ENODATA: lowest retained offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// ENODATA: the in-order edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// ENODATA: one past the highest byte received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// ENODATA: where bytes go on after `off`; the inner `None` is `null`: nowhere yet.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub next_extent: Option<Option<u64>>,
}

/// Keeps `null` apart from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
