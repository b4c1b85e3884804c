//! Types and constants of `mos_api.h` for sockets, events, packets and settings. Numbers are those of mOS.

#![allow(non_camel_case_types, reason = "the names are C's")]

use std::ffi::{c_char, c_int, c_uchar, c_void};

use crate::headers::{ethhdr, iphdr, tcphdr};
use crate::types::mctx_t;

/// Places at which callbacks are called, relative to the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum mtcp_hook_point {
    /// Neither end: new data, errors, packets, and raw sockets.
    MOS_NULL = 536_870_912,
    /// The end that receives a packet.
    MOS_HK_RCV = 1_073_741_824,
    /// The end that sends a packet.
    MOS_HK_SND = -2_147_483_648,
}

/// Events that the library raises. A program defines others with mtcp_define_event() and mtcp_alloc_event().
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum mos_event_type {
    /// No event.
    MOS_NULL_EVENT = 0,
    /// A packet of a connection; on a raw socket, any captured packet.
    MOS_ON_PKT_IN = 1,
    /// Never raised.
    MOS_ON_PKT_OUT = 2,
    /// The first SYN of a connection.
    MOS_ON_CONN_START = 4,
    /// Never raised.
    MOS_ON_CONN_SETUP = 8,
    /// A side has new bytes in order. Adjacent ones that arrive together are one event.
    MOS_ON_CONN_NEW_DATA = 16,
    /// Bytes of a side were lost, or lie beyond the receiver's window.
    MOS_ON_ERROR = 32,
    /// A timer of mtcp_settimer(); only in the arguments of its callback.
    MOS_ON_TIMEOUT = 64,
    /// An end has another TCP state.
    MOS_ON_TCP_STATE_CHANGE = 128,
    /// A packet of no connection of the socket; on a raw socket, any captured packet.
    MOS_ON_ORPHAN = 256,
    /// Bytes that were received before arrived again.
    MOS_ON_REXMIT = 512,
    /// The connection is over. The last callback of its socket.
    MOS_ON_CONN_END = 1024,
    /// Never raised.
    MOS_ON_DEBUG_MESSAGE = 2048,
}

/// Types of sockets. mtcp_socket() creates two of them: MOS_SOCK_MONITOR_STREAM and MOS_SOCK_MONITOR_RAW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "the names are mOS's; most are not available")]
pub enum socket_type {
    MOS_SOCK_UNUSED,
    MOS_SOCK_STREAM_LISTEN,
    MOS_SOCK_PROXY_LISTEN,
    /// Observes connections: each one gets a socket of its own, which its callbacks receive.
    MOS_SOCK_MONITOR_STREAM,
    MOS_SOCK_STREAM,
    MOS_SOCK_PROXY,
    /// Socket of one connection.
    MOS_SOCK_MONITOR_STREAM_ACTIVE,
    /// Observes packets.
    MOS_SOCK_MONITOR_RAW,
    MOS_SOCK_EPOLL,
    MOS_SOCK_PIPE,
}

/// Option of mtcp_setlastpkt(): the Ethernet header.
pub const MOS_ETH_HDR: c_int = 1;
/// Option of mtcp_setlastpkt(): the IP header.
pub const MOS_IP_HDR: c_int = 2;
/// Option of mtcp_setlastpkt(): the TCP header.
pub const MOS_TCP_HDR: c_int = 4;
/// Option of mtcp_setlastpkt(): the payload.
pub const MOS_TCP_PAYLOAD: c_int = 8;
/// Option of mtcp_setlastpkt(): compute the checksum of the IP header.
pub const MOS_UPDATE_IP_CHKSUM: c_int = 16;
/// Option of mtcp_setlastpkt(): compute the checksum of the segment.
pub const MOS_UPDATE_TCP_CHKSUM: c_int = 32;
/// Option of mtcp_setlastpkt(): drop the packet.
pub const MOS_DROP: c_int = 64;
/// Option of mtcp_setlastpkt(): overwrite bytes.
pub const MOS_OVERWRITE: c_int = 128;
/// Option of mtcp_setlastpkt(): remove bytes.
pub const MOS_CHOMP: c_int = 256;
/// Option of mtcp_setlastpkt(): insert bytes.
pub const MOS_INSERT: c_int = 512;

/// Most applications of a configuration file, and most words of a command line.
pub const MOS_APP: usize = 20;

/// Number of an event: one of enum mos_event_type, or of a defined one.
pub type event_t = u64;

/// A byte of a packet.
pub type byte = c_uchar;

/// Handler of a signal.
pub type mtcp_sighandler_t = Option<unsafe extern "C" fn(signum: c_int)>;

/// Argument of a filter.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct filter_arg {
    /// Memory that mtcp_define_event() copies.
    pub arg: *mut c_void,
    /// Its size in bytes. With 0, `arg` is passed as it is.
    pub len: usize,
}

/// Argument of a filter.
pub type filter_arg_t = filter_arg;

/// Function that an event calls. `arg` is that of a defined event, else NULL.
pub type callback_t = Option<
    unsafe extern "C" fn(
        mctx: mctx_t,
        sock: c_int,
        side: c_int,
        event: event_t,
        arg: *mut filter_arg_t,
    ),
>;

/// Function that decides whether a defined event happens with its parent, `event`.
pub type filter_t = Option<
    unsafe extern "C" fn(
        mctx: mctx_t,
        sock: c_int,
        side: c_int,
        event: event_t,
        arg: *mut filter_arg_t,
    ) -> bool,
>;

/// A captured packet. Numbers have the host's byte order; a pointer without its header in the packet is NULL.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct pkt_info {
    /// Time of the capture in microseconds, modulo 2^32.
    pub cur_ts: u32,
    /// Interface: always 0.
    pub in_ifidx: i8,
    /// Length of the frame.
    pub eth_len: u16,
    /// Length of the IP packet.
    pub ip_len: u16,
    /// Offset of the payload in the stream of the side that receives it.
    pub offset: u64,
    /// Length of the payload.
    pub payloadlen: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack_seq: u32,
    /// Window, not scaled.
    pub window: u16,
    /// Ethernet header. For a packet that was captured without one, it is made, with addresses of zeros.
    pub ethh: *mut ethhdr,
    /// IPv4 header; NULL for IPv6.
    pub iph: *mut iphdr,
    /// TCP header.
    pub tcph: *mut tcphdr,
    /// Payload.
    pub payload: *mut u8,
}

/// Settings.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mtcp_conf {
    /// Number of contexts that the program creates. At first, the number of processors.
    pub num_cores: c_int,
    /// `max_concurrency` of the configuration file. No effect.
    pub max_concurrency: c_int,
    /// Processors of `num_cores`.
    pub cpu_mask: u64,
    /// As max_concurrency. No effect.
    pub max_num_buffers: c_int,
    /// `rmem_size` of the configuration file. No effect: the daemon's `[store] window` decides.
    pub rcvbuf_size: c_int,
    /// `wmem_size` of the configuration file. No effect.
    pub sndbuf_size: c_int,
    /// `tcp_tw_interval` of the configuration file. No effect: the daemon's `[tcp] linger` decides.
    pub tcp_timewait: c_int,
    /// `tcp_timeout` of the configuration file. No effect: the daemon's `[tcp] idle_timeout` decides.
    pub tcp_timeout: c_int,
    /// Processors of each application of the file.
    pub app_cpu_mask: [u64; MOS_APP],
    /// Command line of each application of the file.
    pub app_argv: [[*mut c_char; MOS_APP]; MOS_APP],
    /// Number of words of each command line.
    pub app_argc: [c_int; MOS_APP],
    /// Number of applications in the file.
    pub num_app: c_int,
}
