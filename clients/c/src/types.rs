//! Types and constants of `mos_api.h`. Numbers are those of mOS.

#![allow(non_camel_case_types, reason = "the names are C's")]

use std::ffi::c_int;

/// A connection to the daemon. Only the library creates one.
#[derive(Debug)]
#[repr(C)]
pub struct mtcp_context {
    /// Number that mtcp_create_context() was given.
    pub cpu: c_int,
}

/// A connection to the daemon.
pub type mctx_t = *mut mtcp_context;

/// Sides of a connection, named after the receiver: MOS_SIDE_SVR holds the client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum mos_side {
    /// Bytes that the client received.
    MOS_SIDE_CLI = 0,
    /// Bytes that the server received.
    MOS_SIDE_SVR = 1,
    /// Both, for functions that say so.
    MOS_SIDE_BOTH = 2,
}

/// `level` of the options below.
pub const SOL_MONSOCKET: c_int = 0xfffe;

/// Options of monitoring sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum mos_socket_opts {
    /// Get, struct tcp_ring_fragment[]: every range of bytes that the client received and that is kept, in order.
    /// `*optlen` is a number of elements: the capacity, and on return the number written. If the two are equal, there
    /// may be more.
    MOS_FRAGINFO_CLIBUF = 0x01,
    /// The same for the server.
    MOS_FRAGINFO_SVRBUF = 0x02,
    /// Get, struct tcp_buf_info: the client's received bytes, in sequence numbers. ENODATA when no SYN was seen.
    MOS_INFO_CLIBUF = 0x03,
    /// The same for the server.
    MOS_INFO_SVRBUF = 0x04,
    /// Get, int: state of the client, an enum tcpstate.
    MOS_TCP_STATE_CLI = 0x05,
    /// Get, int: state of the server.
    MOS_TCP_STATE_SVR = 0x06,
    /// Get, uint32_t: time of the last packet in microseconds, modulo 2^32.
    MOS_TIMESTAMP = 0x07,
    /// Set, int: 0 switches buffering of the client's side off, permanently: reading it is EINVAL from then on.
    /// A larger number is the number of newest bytes to keep.
    /// On a socket of mtcp_socket(), 0 only, for connections to come. There and on the sockets of its connections, it
    /// concerns this program alone.
    MOS_CLIBUF = 0x09,
    /// The same for the server.
    MOS_SVRBUF = 0x0a,
    /// Not available.
    MOS_SEQ_REMAP = 0x0b,
    /// Set, int: a side that is no longer stored, or MOS_SIDE_BOTH: the connection is no longer monitored. The bytes
    /// received before can be read for a while.
    /// On the socket of a connection of mtcp_socket(), no further callbacks of that side, or of both, are called; it
    /// concerns this program alone.
    MOS_STOP_MON = 0x0c,
    /// Not available.
    MOS_FRAG_CLIBUF = 0x0d,
    /// Not available.
    MOS_FRAG_SVRBUF = 0x0e,
    /// Set, int: an enum mos_overlap_policy, for bytes that the client receives from now on.
    MOS_CLIOVERLAP = 0x0f,
    /// The same for the server.
    MOS_SVROVERLAP = 0x10,
}

/// Choice of bytes where segments overlap and differ. By default, the choice of a Linux host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum mos_overlap_policy {
    /// The bytes that came first.
    MOS_OVERLAP_POLICY_FIRST = 0,
    /// The bytes that came last.
    MOS_OVERLAP_POLICY_LAST = 1,
}

/// States of RFC 9293. (Not to be mixed with those of <netinet/tcp.h>, which have some of the names and other numbers.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "the names are RFC 9293's")]
pub enum tcpstate {
    TCP_CLOSED = 0,
    TCP_LISTEN = 1,
    TCP_SYN_SENT = 2,
    TCP_SYN_RCVD = 3,
    TCP_ESTABLISHED = 4,
    TCP_FIN_WAIT_1 = 5,
    TCP_FIN_WAIT_2 = 6,
    TCP_CLOSE_WAIT = 7,
    TCP_CLOSING = 8,
    TCP_LAST_ACK = 9,
    TCP_TIME_WAIT = 10,
}

/// A side of a connection in sequence numbers, which wrap; `struct monitor_side` has offsets, which do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct tcp_buf_info {
    /// The initial sequence number (that of the SYN).
    pub tcpbi_init_seq: u32,
    /// Only monitors read, so this is the same as tcpbi_next_byte_expected.
    pub tcpbi_last_byte_read: u32,
    /// Of the byte at the in-order edge.
    pub tcpbi_next_byte_expected: u32,
    /// Of the highest byte received; tcpbi_init_seq when there is none yet.
    pub tcpbi_last_byte_received: u32,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct tcp_ring_fragment {
    /// Of its first byte, from the first payload byte of the side.
    pub offset: u64,
    /// Number of bytes. A range too long for the field is split.
    pub len: u32,
}

/// A side of a connection in offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct monitor_side {
    /// Lowest offset kept.
    pub base: u64,
    /// The in-order edge: every byte below it was received or declared lost.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the sender's FIN; UINT64_MAX until it is seen.
    pub fin: u64,
    /// 1 once the connection is over, else 0.
    pub closed: c_int,
}

/// Offsets of a side at a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct monitor_read {
    /// Lowest offset kept.
    pub base: u64,
    /// The in-order edge: every byte below it was received or declared lost.
    pub next: u64,
    /// Highest offset received, plus 1.
    pub end: u64,
    /// Offset of the sender's FIN; UINT64_MAX until it is seen.
    pub fin: u64,
}
