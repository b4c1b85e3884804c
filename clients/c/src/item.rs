//! Results of subscriptions: events and packets for a socket.

use std::sync::Arc;

use monitor_client::Notification;

use crate::frame::Frame;

/// Something for a socket.
#[derive(Debug)]
pub(crate) enum Item {
    Event(Box<Notification>),
    Packet(Arc<Frame>, Purpose),
    /// Events may be missing: the subscription was broken.
    Reopened,
}

/// Use of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A raw socket.
    Raw,
    /// Packets of the socket's connections.
    Flow,
    /// Packets of no connection.
    Orphan,
}
