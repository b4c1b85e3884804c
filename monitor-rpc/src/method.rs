//! Method table: name, role, parameters, result and errors of every method.
//!
//! [`for_each_method`](crate::for_each_method) passes the table to a macro. [`Method`], the OpenRPC document and the
//! server's requests and dispatch are generated from it. A new method is a line here, and its implementation in the server.

use crate::{Code, Reason};

/// Role that a method requires. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Every client that may open the socket.
    Anybody,
    /// Clients in `[rpc] readers`; all if the list is empty.
    Reader,
    /// Clients in `[rpc] admins`, and the daemon's own user.
    Admin,
}

impl Role {
    /// Returns its name in the document of `rpc.discover` and in docs/rpc.md.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Anybody => "anybody",
            Role::Reader => "reader",
            Role::Admin => "admin",
        }
    }
}

/// Passes the method table to the macro `$callback`. Each line reads
/// `Name = "name on the wire" Role Parameters => Result, [Reasons];` after its description.
///
/// ```
/// macro_rules! count {
///     ($($(#[doc = $doc:literal])+
///         $variant:ident = $name:literal $role:ident $params:ty => $result:ty, [$($reason:ident)*];)+) => {
///         [$($name),+].len()
///     };
/// }
/// assert_eq!(monitor_rpc::for_each_method!(count), monitor_rpc::Method::ALL.len());
/// ```
#[macro_export]
macro_rules! for_each_method {
    ($callback:ident) => {
        $callback! {
            /// Identifies the server and its features.
            Hello = "hello" Anybody HelloParams => Hello, [];
            /// Lists connections, in pages.
            Sockets = "sockets" Reader SocketsParams => Sockets, [Memory];
            /// Finds the newest connection between two addresses and ports.
            Lookup = "lookup" Reader LookupParams => Socket, [NotFound];
            /// Describes one connection.
            Info = "info" Reader InfoParams => Socket, [NoConnection NoWorker Listener];
            /// Lists the retained ranges of one side.
            Fragments = "fragments" Reader FragmentsParams => Fragments,
                [NoConnection NoWorker Disabled Listener NotEstablished Memory];
            /// Reads bytes of one side from an offset.
            Ppeek = "ppeek" Reader PpeekParams => Ppeek,
                [NoConnection NoWorker Disabled Listener NotEstablished Evicted Gap Future Eof];
            /// Lists the bytes of both sides in the order of the conversation, with their times.
            Turns = "turns" Reader TurnsParams => Turns,
                [NoConnection NoWorker Listener Unanswered];
            /// Passes the memory of the store, for reads without the socket.
            Attach = "attach" Reader AttachParams => Attach, [NotShared];
            /// Waits for a byte.
            Wait = "wait" Reader WaitParams => Waited,
                [NoConnection Unanswered Listeners Disabled Listener Evicted Gap Closed Eof Timeout];
            /// Streams the bytes of a connection as they arrive.
            Follow = "follow" Reader FollowParams => Listening,
                [NoConnection Unanswered Listeners Disabled Listener];
            /// Sends events as they happen.
            Subscribe = "subscribe" Reader SubscribeParams => Listening,
                [NoConnection NoWorker Unanswered Listeners Memory Listener];
            /// Searches streams for patterns as bytes arrive.
            Watch = "watch" Reader WatchParams => Watching,
                [NoConnection Unanswered Listeners Memory Listener];
            /// Streams packets as they were captured.
            Capture = "capture" Reader CaptureParams => Listening,
                [Replay NoWorker Unanswered Listeners Memory];
            /// Ends a subscription.
            Unsubscribe = "unsubscribe" Reader UnsubscribeParams => Unsubscribed, [NoListener];
            /// Stops monitoring a connection, or one side of it.
            Stop = "stop" Admin StopParams => Socket, [NoConnection NoWorker Unanswered Listener];
            /// Changes the settings of a connection, or of future connections.
            Configure = "configure" Admin ConfigureParams => Configured,
                [NoConnection NoWorker Disabled Rules Unanswered Listener];
            /// Returns all counters.
            Stats = "stats" Reader StatsParams => Stats, [];
            /// Returns the settings that apply.
            ConfigGet = "config.get" Reader ConfigGetParams => ConfigGet, [];
            /// Checks settings, and lists the changes that they would make.
            ConfigTest = "config.test" Admin ConfigTestParams => ConfigTest, [Config];
            /// Reads the settings again, and applies those that can change at run time.
            ConfigReload = "config.reload" Admin ConfigReloadParams => ConfigReload, [Config];
            /// Describes this interface as an OpenRPC document: methods, parameters, results and errors.
            Discover = "rpc.discover" Anybody DiscoverParams => OpenRpc, [];
        }
    };
}

macro_rules! methods {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $name:literal $role:ident $params:ty => $result:ty, [$($reason:ident)*];
    )+) => {
        /// Method of the RPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Method {
            /// All methods, in the order of the reference.
            pub const ALL: &[Method] = &[$(Method::$variant),+];

            /// Returns its name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Method::$variant => $name,)+ }
            }

            /// Returns the method with a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Method::$variant),)+ _ => None }
            }

            /// Returns its description in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Method::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Returns the role that it requires.
            #[must_use]
            pub fn role(self) -> Role {
                match self { $(Method::$variant => Role::$role,)+ }
            }

            /// Returns the reasons of its errors, without those of every request.
            #[must_use]
            pub fn reasons(self) -> &'static [Reason] {
                match self { $(Method::$variant => &[$(Reason::$reason),*],)+ }
            }
        }
    };
}

for_each_method!(methods);

impl Method {
    /// Returns the codes of its errors, in the order of the reference: its own, and those of every request.
    #[must_use]
    pub fn codes(self) -> Vec<Code> {
        let mut codes = Vec::new();
        for &code in Code::ALL {
            let own = self.reasons().iter().any(|reason| reason.code() == code);
            let denied = code == Code::Perm && self.role() > Role::Anybody;
            if own || denied || code == Code::Params {
                codes.push(code);
            }
        }
        codes
    }

    /// Returns whether the method has no effect but its reply, so that a client without a reply may send it again. The
    /// list is of methods that were checked: a new method is not in it.
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
                | Turns
                | Wait
                | Stats
                | ConfigGet
                | ConfigTest
                | Discover
        )
    }
}
