//! The methods whose reply is one line, stated once for both clients.

/// Hands the list of methods to a macro that writes them: name, parameters and result; method and parameters on the
/// wire.
macro_rules! calls {
    ($write:ident) => {
        $write! {
            /// Who serves, and what it can do. `client`: who calls, for the daemon's log.
            hello(client: &str) -> Hello = Hello, HelloParams { client: Some(client.to_owned()) };

            /// One page of connections.
            sockets(params: &SocketsParams) -> Sockets = Sockets, params;

            /// The newest connection between two ends.
            lookup(params: &LookupParams) -> Socket = Lookup, params;

            /// One connection.
            info(sockid: u64) -> Socket = Info, InfoParams { sockid, worker: None };

            /// Every retained run of bytes of one side.
            fragments(sockid: u64, side: Side) -> Fragments
                = Fragments, FragmentsParams { sockid, side, worker: None };

            /// Returns once there is a byte at `off`; `timeout` in seconds, 30 unless given.
            wait(sockid: u64, side: Side, off: u64, timeout: Option<f64>) -> Waited
                = Wait, WaitParams { sockid, side, off, timeout };

            /// The settings that apply.
            config_get() -> ConfigGet = ConfigGet, ConfigGetParams {};

            /// Whether settings are good, and what they would change.
            config_test(params: &ConfigTestParams) -> ConfigTest = ConfigTest, params;

            /// Has the daemon read its settings again.
            config_reload() -> ConfigReload = ConfigReload, ConfigReloadParams {};

            /// The interface as an OpenRPC document.
            discover() -> OpenRpc = Discover, DiscoverParams {};

            /// Nobody wants to see more of a connection, or of one side of it.
            stop(sockid: u64, side: Option<Side>) -> Socket = Stop, StopParams { sockid, side, worker: None };

            /// Other settings for a connection, or for connections to come.
            configure(params: &ConfigureParams) -> Configured = Configure, params;

            /// Every counter.
            stats() -> Stats = Stats, StatsParams {};
        }
    };
}

pub(super) use calls;
