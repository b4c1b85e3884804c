//! Methods with a reply of one line, declared once for both clients.

/// Passes the list of methods to a macro: function, parameters and result; method and parameters on the wire.
macro_rules! calls {
    ($write:ident) => {
        $write! {
            /// Identifies the server. `client` is this program's name, for the daemon's log.
            hello(client: &str) -> Hello = Hello, HelloParams { client: Some(client.to_owned()) };

            /// Lists one page of connections.
            sockets(params: &SocketsParams) -> Sockets = Sockets, params;

            /// Finds the newest connection between two addresses and ports.
            lookup(params: &LookupParams) -> Socket = Lookup, params;

            /// Describes one connection.
            info(sockid: u64) -> Socket = Info, InfoParams { sockid, worker: None };

            /// Lists the retained ranges of one side.
            fragments(sockid: u64, side: Side) -> Fragments
                = Fragments, FragmentsParams { sockid, side, worker: None };

            /// Lists the bytes of both sides in the order of the conversation, with their times: a page of at most `limit`
            /// turns after `from`, the `next` of the previous page.
            turns(sockid: u64, from: Option<Offsets>, limit: Option<u64>) -> Turns
                = Turns, TurnsParams { sockid, from, limit, worker: None };

            /// Waits for a byte at `off`; `timeout` in seconds, 30 by default.
            wait(sockid: u64, side: Side, off: u64, timeout: Option<f64>) -> Waited
                = Wait, WaitParams { sockid, side, off, timeout };

            /// Returns the settings in force.
            config_get() -> ConfigGet = ConfigGet, ConfigGetParams {};

            /// Checks settings, and lists the changes that they would make.
            config_test(params: &ConfigTestParams) -> ConfigTest = ConfigTest, params;

            /// Requests that the daemon reads its settings again.
            config_reload() -> ConfigReload = ConfigReload, ConfigReloadParams {};

            /// Returns the interface as an OpenRPC document.
            discover() -> OpenRpc = Discover, DiscoverParams {};

            /// Stops monitoring a connection, or one side of it.
            stop(sockid: u64, side: Option<Side>) -> Socket = Stop, StopParams { sockid, side, worker: None };

            /// Changes the settings of a connection, or of future connections.
            configure(params: &ConfigureParams) -> Configured = Configure, params;

            /// Returns all counters.
            stats() -> Stats = Stats, StatsParams {};
        }
    };
}

pub(super) use calls;
