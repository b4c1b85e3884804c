//! The methods: their names, who may call them, and what they take, give and refuse.
//!
//! One line says all of it, and `rpc.discover` shows it: a method without a role, types or errors does not compile.

use schemars::{JsonSchema, Schema};

use crate::openrpc::{Generators, OpenRpc};
use crate::types::*;
use crate::{Code, Reason};

/// Who may call a method. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Whoever may open the socket.
    Anybody,
    /// Whoever `[rpc] readers` names; everybody when it names nobody.
    Reader,
    /// Whoever `[rpc] admins` names, and the daemon's own user.
    Admin,
}

impl Role {
    /// Its name in the document of `rpc.discover` and in docs/rpc.md.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Anybody => "anybody",
            Role::Reader => "reader",
            Role::Admin => "admin",
        }
    }
}

macro_rules! methods {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $name:literal $role:ident $params:ty => $result:ty, [$($reason:ident)*];
    )+) => {
        /// A method of the RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Method {
            /// All of them, in the order of the reference.
            pub const ALL: &[Method] = &[$(Method::$variant),+];

            /// Its name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Method::$variant => $name,)+ }
            }

            /// The method of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Method::$variant),)+ _ => None }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Method::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Who may call it.
            #[must_use]
            pub fn role(self) -> Role {
                match self { $(Method::$variant => Role::$role,)+ }
            }

            /// Why it may be refused, beside what can happen to any request.
            #[must_use]
            pub fn reasons(self) -> &'static [Reason] {
                match self { $(Method::$variant => &[$(Reason::$reason),*],)+ }
            }

            /// The schemas of its parameters and of its result. What they share goes into the generators.
            pub(crate) fn schemas(self, Generators { params, results }: &mut Generators) -> (Schema, Schema) {
                match self {
                    $(Method::$variant => {
                        (<$params>::json_schema(params), results.subschema_for::<$result>())
                    })+
                }
            }
        }
    };
}

// NAME = "on the wire" ROLE PARAMETERS => RESULT, [REASONS];
methods! {
    /// Who serves, and what it can do.
    Hello = "hello" Anybody HelloParams => Hello, [];
    /// Connections, in pages.
    Sockets = "sockets" Reader SocketsParams => Sockets, [Memory];
    /// The newest connection between two ends.
    Lookup = "lookup" Reader LookupParams => Socket, [NotFound];
    /// One connection.
    Info = "info" Reader InfoParams => Socket, [NoConnection NoWorker Listener];
    /// Retained runs of bytes of one side.
    Fragments = "fragments" Reader FragmentsParams => Fragments,
        [NoConnection NoWorker Disabled Listener NotEstablished Memory];
    /// Bytes of one side from an offset on.
    Ppeek = "ppeek" Reader PpeekParams => Ppeek,
        [NoConnection NoWorker Disabled Listener NotEstablished Evicted Gap Future Eof];
    /// The next bytes of one side, from where this client has read to.
    Peek = "peek" Reader PeekParams => Peek,
        [NoConnection NoWorker Disabled Listener NotEstablished Gap Future Eof Cursors];
    /// Waits for a byte.
    Wait = "wait" Reader WaitParams => Waited,
        [NoConnection Unanswered Listeners Disabled Listener Evicted Gap Closed Eof Timeout];
    /// Has a connection's bytes sent as they come.
    Follow = "follow" Reader FollowParams => Listening,
        [NoConnection Unanswered Listeners Disabled Listener];
    /// Has events told as they happen.
    Subscribe = "subscribe" Reader SubscribeParams => Listening,
        [NoConnection Unanswered Listeners Memory Listener];
    /// Has patterns searched for in streams as they come.
    Watch = "watch" Reader WatchParams => Watching,
        [NoConnection Unanswered Listeners Memory Listener];
    /// Ends a listener.
    Unsubscribe = "unsubscribe" Reader UnsubscribeParams => Unsubscribed, [NoListener];
    /// Nobody wants to see more of a connection, or of one side of it.
    Stop = "stop" Admin StopParams => Socket, [NoConnection NoWorker Unanswered Listener];
    /// Other settings for a connection, or for connections to come.
    Configure = "configure" Admin ConfigureParams => Configured,
        [NoConnection NoWorker Disabled Windows Rules Unanswered Listener];
    /// Every counter.
    Stats = "stats" Reader StatsParams => Stats, [];
    /// The settings that apply.
    ConfigGet = "config.get" Reader ConfigGetParams => ConfigGet, [];
    /// Whether settings are good, and what they would change.
    ConfigTest = "config.test" Admin ConfigTestParams => ConfigTest, [Config];
    /// Reads the settings again and applies what can be applied.
    ConfigReload = "config.reload" Admin ConfigReloadParams => ConfigReload, [Config];
    /// This interface as an OpenRPC document: every method, parameter, result and error.
    Discover = "rpc.discover" Anybody DiscoverParams => OpenRpc, [];
}

impl Method {
    /// The codes that its errors may have, in the order of the reference: its own, and what can happen to any request.
    #[must_use]
    pub fn codes(self) -> Vec<Code> {
        let own = |code: &Code| self.reasons().iter().any(|reason| reason.code() == *code);
        let any = |code: &Code| {
            *code == Code::Params || (*code == Code::Perm && self.role() > Role::Anybody)
        };
        Code::ALL
            .iter()
            .copied()
            .filter(|code| own(code) || any(code))
            .collect()
    }

    /// Whether nothing but the reply comes of it, so that a client that got none may ask again. The list is of those that
    /// are known to be: a new method is not, until somebody has thought about it.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        use Method::*;
        matches!(
            self,
            Hello
                | Sockets
                | Lookup
                | Info
                | Fragments
                | Ppeek
                | Wait
                | Stats
                | ConfigGet
                | ConfigTest
                | Discover
        )
    }
}
