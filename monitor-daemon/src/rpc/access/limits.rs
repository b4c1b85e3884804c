//! Limits of clients. docs/rpc.md lists each with its value and its error; `limits_tests` compares them.
//!
//! A user holds at most half of the memory of all clients, and an eighth is reserved for admins, among them the
//! daemon's own user: no user can keep all others out, and no set of users the admins.

/// Maximum number of clients.
pub(crate) const CLIENTS: usize = 1024;
/// Maximum number of listeners: subscriptions, followed connections, searches and waits.
pub(crate) const LISTENERS: usize = 1024;
/// Maximum number of listeners of one client, not counting `wait`.
pub(crate) const CLIENT_LISTENERS: usize = 64;
/// Maximum number of requests in one batch: the only requests of a client that are in flight together.
pub(crate) const BATCH: usize = 2048;
/// Maximum number of turns in one reply.
pub(crate) const TURNS: usize = 1000;
/// Maximum number of connections in one sorted list: a few megabytes.
pub(crate) const SORTED: u64 = 10_000;
/// Maximum number of rules of `configure`: each is evaluated for every new connection.
pub(crate) const RULES: usize = 64;
/// Maximum timeout of `wait`, in seconds.
pub(crate) const WAIT: f64 = 3600.0;
/// Maximum length of a listener's queue, in records per worker.
pub(crate) const QUEUE: usize = 65_536;
/// Maximum number of patterns of one `watch`.
pub(crate) const PATTERNS: usize = 10_000;
/// Maximum memory of the compiled patterns of one `watch`, in bytes.
pub(crate) const PATTERN_BYTES: usize = 64 << 20;
/// Maximum number of bytes of context on each side of a match.
pub(crate) const CONTEXT: u64 = 4096;
/// Maximum number of sides that one `watch` searches. Bytes of other sides are reported as lost.
pub(crate) const SIDES: usize = 65_536;
/// Memory reserved for each client, in bytes: its request line, the 64 KiB that every read may use, and a reply's text.
pub(crate) const CLIENT_BYTES: usize = 256 << 10;

/// Number of connections that the kernel queues until they are accepted.
pub(crate) const BACKLOG: i32 = 1024;
/// Descriptors of one client: its socket, and a second one while it doesn't read its replies.
pub(crate) const CLIENT_DESCRIPTORS: usize = 2;
/// Descriptors that clients leave to the capture.
pub(crate) const RESERVED_DESCRIPTORS: usize = 128;

/// Returns the part of `all` that one user may hold.
pub(crate) const fn user_share(all: u64) -> u64 {
    all / 2
}

/// Returns the part of `all` that clients without the role of an admin may hold together.
pub(crate) const fn common_share(all: u64) -> u64 {
    all - all / 8
}
