//! Counters of the RPC server.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Number that every client's task changes.
#[derive(Debug, Default)]
pub struct Metric(AtomicU64);

impl Metric {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Returns the value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident)+) => {
        /// All counters of the server. None decreases except the gauges; their text says that.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: Metric,)+
        }

        impl Metrics {
            /// Returns the name, meaning and value of each, in order.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name.get()),)+].into_iter()
            }
        }
    };
}

metrics! {
    /// Clients connected now (gauge).
    clients
    /// Clients that ever connected.
    accepted
    /// Clients refused because too many were connected, in all or of their user.
    refused
    /// Requests answered, errors included; each of a batch counts.
    requests
    /// Notifications received; they get no reply.
    notifications
    /// Requests answered with an error.
    errors
    /// Stream bytes returned by `ppeek`.
    peeked_bytes
    /// Reads cut to 64 KiB because the memory for replies was in use.
    cut_reads
    /// Bytes of memory that replies in flight hold beyond each client's own 64 KiB (gauge).
    reply_memory
    /// Listeners: subscriptions, followed connections, searches and waits (gauge).
    listeners
    /// Bytes of memory that listeners hold: queues, filters and patterns (gauge).
    event_memory
    /// Events sent to clients.
    events
    /// Records of events lost because the queue of a listener was full.
    events_lost
    /// Stream bytes sent by `follow`.
    followed_bytes
    /// Stream bytes searched by `watch`, by each client.
    searched_bytes
    /// Lines of the log that standard error could not take.
    log_lines_lost
}
