// The monitoring socket of mOS, over the RPC of monitord. Link with -lmonitor_mos.
//
// A connection's `sockid` is an int here, a descriptor that belongs to a context. Callbacks receive it, and
// monitor_open(), monitor_lookup() and monitor_next() return it. A closed one fails with EBADF: its number is used again
// after 2^31 others at the earliest. After a restart of the daemon all descriptors of connections fail with EBADF; the
// context itself reconnects, and waits for the daemon for some 20 seconds.
//
// A program that observes connections creates a context for each worker, a socket with mtcp_socket(), registers callbacks
// and calls mtcp_app_join(). docs/mos.md compares each function with mOS's.
//
// Functions return -1 (or NULL) on error and set errno; where nothing else is said, EACCES means that `mctx` is no
// context, EBADF that `sockid` is no descriptor of it or its connection is gone, EFAULT that a pointer is NULL. Any of
// them may fail as connect(2) and read(2) do when the daemon cannot be reached, with EAGAIN when it is overloaded, and
// with EPROTO or ENOSYS when it speaks another version. Pointers must point to what their types and lengths say.


#ifndef MOS_API_H
#define MOS_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>

// Filters of mtcp_bind_monitor_filter(), in the daemon's filter language; NULL selects everything.
union monitor_filter {
    // For MOS_SOCK_MONITOR_RAW: packets.
    char *raw_pkt_filter;
    // For MOS_SOCK_MONITOR_STREAM.
    struct {
        // Connections: src is the client, dst the server.
        char *stream_syn_filter;
        // Packets of no connection.
        char *stream_orphan_filter;
    };
};
typedef union monitor_filter *monitor_filter_t;


// `level` of the options below.
#define SOL_MONSOCKET 65534

// Option of mtcp_setlastpkt(): the Ethernet header.
#define MOS_ETH_HDR 1

// Option of mtcp_setlastpkt(): the IP header.
#define MOS_IP_HDR 2

// Option of mtcp_setlastpkt(): the TCP header.
#define MOS_TCP_HDR 4

// Option of mtcp_setlastpkt(): the payload.
#define MOS_TCP_PAYLOAD 8

// Option of mtcp_setlastpkt(): compute the checksum of the IP header.
#define MOS_UPDATE_IP_CHKSUM 16

// Option of mtcp_setlastpkt(): compute the checksum of the segment.
#define MOS_UPDATE_TCP_CHKSUM 32

// Option of mtcp_setlastpkt(): drop the packet.
#define MOS_DROP 64

// Option of mtcp_setlastpkt(): overwrite bytes.
#define MOS_OVERWRITE 128

// Option of mtcp_setlastpkt(): remove bytes.
#define MOS_CHOMP 256

// Option of mtcp_setlastpkt(): insert bytes.
#define MOS_INSERT 512

// Most applications of a configuration file, and most words of a command line.
#define MOS_APP 20

// Sides of a connection, named after the receiver: MOS_SIDE_SVR holds the client's bytes.
enum mos_side {
    // Bytes that the client received.
    MOS_SIDE_CLI = 0,
    // Bytes that the server received.
    MOS_SIDE_SVR = 1,
    // Both, for functions that say so.
    MOS_SIDE_BOTH = 2,
};

// Options of monitoring sockets.
enum mos_socket_opts {
    // Get, struct tcp_ring_fragment[]: every range of bytes that the client received and that is kept, in order.
    // `*optlen` is a number of elements: the capacity, and on return the number written. If the two are equal, there
    // may be more.
    MOS_FRAGINFO_CLIBUF = 1,
    // The same for the server.
    MOS_FRAGINFO_SVRBUF = 2,
    // Get, struct tcp_buf_info: the client's received bytes, in sequence numbers. ENODATA when no SYN was seen.
    MOS_INFO_CLIBUF = 3,
    // The same for the server.
    MOS_INFO_SVRBUF = 4,
    // Get, int: state of the client, an enum tcpstate.
    MOS_TCP_STATE_CLI = 5,
    // Get, int: state of the server.
    MOS_TCP_STATE_SVR = 6,
    // Get, uint32_t: time of the last packet in microseconds, modulo 2^32.
    MOS_TIMESTAMP = 7,
    // Set, int: 0 switches buffering of the client's side off, permanently: reading it is EINVAL from then on.
    // A larger number is the number of newest bytes to keep.
    // On a socket of mtcp_socket(), 0 only, for connections to come. There and on the sockets of its connections, it
    // concerns this program alone.
    MOS_CLIBUF = 9,
    // The same for the server.
    MOS_SVRBUF = 10,
    // Not available.
    MOS_SEQ_REMAP = 11,
    // Set, int: a side that is no longer stored, or MOS_SIDE_BOTH: the connection is no longer monitored. The bytes
    // received before can be read for a while.
    // On the socket of a connection of mtcp_socket(), no further callbacks of that side, or of both, are called; it
    // concerns this program alone.
    MOS_STOP_MON = 12,
    // Not available.
    MOS_FRAG_CLIBUF = 13,
    // Not available.
    MOS_FRAG_SVRBUF = 14,
    // Set, int: an enum mos_overlap_policy, for bytes that the client receives from now on.
    MOS_CLIOVERLAP = 15,
    // The same for the server.
    MOS_SVROVERLAP = 16,
};

// Choice of bytes where segments overlap and differ. By default, the choice of a Linux host.
enum mos_overlap_policy {
    // The bytes that came first.
    MOS_OVERLAP_POLICY_FIRST = 0,
    // The bytes that came last.
    MOS_OVERLAP_POLICY_LAST = 1,
};

// States of RFC 9293. (Not to be mixed with those of <netinet/tcp.h>, which have some of the names and other numbers.)
enum tcpstate {
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
};

// Places at which callbacks are called, relative to the two ends of a connection.
enum mtcp_hook_point {
    // Neither end: new data, errors, packets, and raw sockets.
    MOS_NULL = 536870912,
    // The end that receives a packet.
    MOS_HK_RCV = 1073741824,
    // The end that sends a packet.
    MOS_HK_SND = -2147483648,
};

// Events that the library raises. A program defines others with mtcp_define_event() and mtcp_alloc_event().
enum mos_event_type {
    // No event.
    MOS_NULL_EVENT = 0,
    // A packet of a connection; on a raw socket, any captured packet.
    MOS_ON_PKT_IN = 1,
    // Never raised.
    MOS_ON_PKT_OUT = 2,
    // The first SYN of a connection.
    MOS_ON_CONN_START = 4,
    // Never raised.
    MOS_ON_CONN_SETUP = 8,
    // A side has new bytes in order. Adjacent ones that arrive together are one event.
    MOS_ON_CONN_NEW_DATA = 16,
    // Bytes of a side were lost, or lie beyond the receiver's window.
    MOS_ON_ERROR = 32,
    // A timer of mtcp_settimer(); only in the arguments of its callback.
    MOS_ON_TIMEOUT = 64,
    // An end has another TCP state.
    MOS_ON_TCP_STATE_CHANGE = 128,
    // A packet of no connection of the socket; on a raw socket, any captured packet.
    MOS_ON_ORPHAN = 256,
    // Bytes that were received before arrived again.
    MOS_ON_REXMIT = 512,
    // The connection is over. The last callback of its socket.
    MOS_ON_CONN_END = 1024,
    // Never raised.
    MOS_ON_DEBUG_MESSAGE = 2048,
};

// Types of sockets. mtcp_socket() creates two of them: MOS_SOCK_MONITOR_STREAM and MOS_SOCK_MONITOR_RAW.
enum socket_type {
    MOS_SOCK_UNUSED,
    MOS_SOCK_STREAM_LISTEN,
    MOS_SOCK_PROXY_LISTEN,
    // Observes connections: each one gets a socket of its own, which its callbacks receive.
    MOS_SOCK_MONITOR_STREAM,
    MOS_SOCK_STREAM,
    MOS_SOCK_PROXY,
    // Socket of one connection.
    MOS_SOCK_MONITOR_STREAM_ACTIVE,
    // Observes packets.
    MOS_SOCK_MONITOR_RAW,
    MOS_SOCK_EPOLL,
    MOS_SOCK_PIPE,
};

// Settings.
struct mtcp_conf {
    // Number of contexts that the program creates. At first, the number of processors.
    int num_cores;
    // `max_concurrency` of the configuration file. No effect.
    int max_concurrency;
    // Processors of `num_cores`.
    uint64_t cpu_mask;
    // As max_concurrency. No effect.
    int max_num_buffers;
    // `rmem_size` of the configuration file. No effect: the daemon's `[store] window` decides.
    int rcvbuf_size;
    // `wmem_size` of the configuration file. No effect.
    int sndbuf_size;
    // `tcp_tw_interval` of the configuration file. No effect: the daemon's `[tcp] linger` decides.
    int tcp_timewait;
    // `tcp_timeout` of the configuration file. No effect: the daemon's `[tcp] idle_timeout` decides.
    int tcp_timeout;
    // Processors of each application of the file.
    uint64_t app_cpu_mask[MOS_APP];
    // Command line of each application of the file.
    char *app_argv[MOS_APP][MOS_APP];
    // Number of words of each command line.
    int app_argc[MOS_APP];
    // Number of applications in the file.
    int num_app;
};

// Handler of a signal.
typedef void (*mtcp_sighandler_t)(int signum);

// A connection to the daemon. Only the library creates one.
struct mtcp_context {
    // Number that mtcp_create_context() was given.
    int cpu;
};

// A connection to the daemon.
typedef struct mtcp_context *mctx_t;

// Number of an event: one of enum mos_event_type, or of a defined one.
typedef uint64_t event_t;

// Argument of a filter.
struct filter_arg {
    // Memory that mtcp_define_event() copies.
    void *arg;
    // Its size in bytes. With 0, `arg` is passed as it is.
    size_t len;
};

// Argument of a filter.
typedef struct filter_arg filter_arg_t;

// Function that an event calls. `arg` is that of a defined event, else NULL.
typedef void (*callback_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

// Function that decides whether a defined event happens with its parent, `event`.
typedef bool (*filter_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

// A side of a connection in offsets.
struct monitor_side {
    // Lowest offset kept.
    uint64_t base;
    // The in-order edge: every byte below it was received or declared lost.
    uint64_t next;
    // Highest offset received, plus 1.
    uint64_t end;
    // Offset of the sender's FIN; UINT64_MAX until it is seen.
    uint64_t fin;
    // 1 once the connection is over, else 0.
    int closed;
};

// A captured packet. Numbers have the host's byte order; a pointer without its header in the packet is NULL.
struct pkt_info {
    // Time of the capture in microseconds, modulo 2^32.
    uint32_t cur_ts;
    // Interface: always 0.
    int8_t in_ifidx;
    // Length of the frame.
    uint16_t eth_len;
    // Length of the IP packet.
    uint16_t ip_len;
    // Offset of the payload in the stream of the side that receives it.
    uint64_t offset;
    // Length of the payload.
    uint16_t payloadlen;
    // Sequence number.
    uint32_t seq;
    // Acknowledgment number.
    uint32_t ack_seq;
    // Window, not scaled.
    uint16_t window;
    // Ethernet header. For a packet that was captured without one, it is made, with addresses of zeros.
    struct ethhdr *ethh;
    // IPv4 header; NULL for IPv6.
    struct iphdr *iph;
    // TCP header.
    struct tcphdr *tcph;
    // Payload.
    uint8_t *payload;
};

// A byte of a packet.
typedef unsigned char byte;

// Offsets of a side at a read.
struct monitor_read {
    // Lowest offset kept.
    uint64_t base;
    // The in-order edge: every byte below it was received or declared lost.
    uint64_t next;
    // Highest offset received, plus 1.
    uint64_t end;
    // Offset of the sender's FIN; UINT64_MAX until it is seen.
    uint64_t fin;
};

// A side of a connection in sequence numbers, which wrap; `struct monitor_side` has offsets, which do not.
struct tcp_buf_info {
    // The initial sequence number (that of the SYN).
    uint32_t tcpbi_init_seq;
    // Only monitors read, so this is the same as tcpbi_next_byte_expected.
    uint32_t tcpbi_last_byte_read;
    // Of the byte at the in-order edge.
    uint32_t tcpbi_next_byte_expected;
    // Of the highest byte received; tcpbi_init_seq when there is none yet.
    uint32_t tcpbi_last_byte_received;
};

// A range of bytes.
struct tcp_ring_fragment {
    // Of its first byte, from the first payload byte of the side.
    uint64_t offset;
    // Number of bytes. A range too long for the field is split.
    uint32_t len;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Reads an mOS configuration file for mtcp_getconf(). Capture, memory and timeouts are the daemon's, so a file is not
// needed: NULL and a path without a file are no errors.
//
// EINVAL: the file is none of mOS's; or as open(2).
int mtcp_init(const char *config_file);

// Forgets the settings. Contexts are not affected.
int mtcp_destroy(void);

// Writes the settings to `*conf`.
//
// EFAULT.
int mtcp_getconf(struct mtcp_conf *conf);

// Replaces the settings, before contexts are created.
//
// EINVAL: `num_cores` is below 1. EFAULT.
int mtcp_setconf(const struct mtcp_conf *conf);

// Sets the handler of a signal, which may call mtcp_destroy_context(). Interrupted system calls continue.
//
// Returns the previous handler, or SIG_ERR with errno as signal(2).
mtcp_sighandler_t mtcp_register_signal(int signum, mtcp_sighandler_t handler);

// Connects to the daemon: at the path in the environment variable MONITOR_SOCKET, else at /run/monitord/monitord.sock.
// With `cpu` a worker's number, the context sees only the connections of that worker, and none beyond the last worker;
// with -1, all of them. Threads that share a context wait for each other; give each its own instead.
//
// Returns NULL on error. EACCES: `cpu` is below -1; or as connect(2).
mctx_t mtcp_create_context(int cpu);

// Disconnects. All descriptors of the context are void, and mtcp_app_join() returns. A signal handler may call it.
//
// EACCES: `mctx` is no context, or was destroyed before.
int mtcp_destroy_context(mctx_t mctx);

// Runs the callbacks of a context in the calling thread, in order, one at a time, until the context is destroyed. It also
// runs those of other contexts that the thread has created and that no thread has joined, so that a thread may join
// several contexts one after the other. Returns at once if `mctx` is no context.
void mtcp_app_join(mctx_t mctx);

// Creates a monitoring socket. `domain` is AF_INET: the socket observes IPv4 only. `type` is MOS_SOCK_MONITOR_STREAM or
// MOS_SOCK_MONITOR_RAW, `protocol` has no effect. The socket observes nothing until a callback is registered.
//
// EACCES; EAFNOSUPPORT: another domain. EINVAL: another type. ENFILE.
int mtcp_socket(mctx_t mctx, int domain, int type, int protocol);

// Sets the filters of a socket of mtcp_socket(), for connections and packets to come. Without one, everything is selected;
// `ft` NULL changes nothing. A filter has the daemon's language (docs/rpc.md); `&`, `|` and `mask` are understood too.
//
// EACCES, EBADF. EINVAL: not such a filter. ENOPROTOOPT: the socket is a connection's.
int mtcp_bind_monitor_filter(mctx_t mctx, int sock, monitor_filter_t ft);

// Registers a callback for an event at a hook of a socket, instead of one that is registered there. `cb` NULL removes it.
// The sockets of new connections have the callbacks that their socket has then.
//
// Events at MOS_HK_SND have the side of the sending end, those at MOS_HK_RCV that of the receiving end. MOS_ON_CONN_START
// and MOS_ON_CONN_END happen at the client that sends and at the server that receives, once each.
//
// EACCES. EINVAL: no such socket or event; an event that isn't raised at this hook; nothing to remove.
int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook_point, callback_t cb);

// Defines an event: it happens when `event` happens and `filter` returns true. The filter is called once for each `event`
// at a hook of a socket, if a callback depends on it. The memory of `arg` is copied. An equal definition has the same
// number.
//
// Returns the number of the event; 0 on error. EINVAL: no such event; `filter` is NULL. ENOMEM.
event_t mtcp_define_event(event_t event, filter_t filter, struct filter_arg *arg);

// Allocates an event that mtcp_raise_event() raises, as a child of `event`.
//
// Returns the number of the event; 0 on error. EINVAL: no such event. ENOMEM.
event_t mtcp_alloc_event(event_t event);

// Raises an event of mtcp_alloc_event(), in a filter or callback: for the same socket, side and hook, right after the filter
// or callback returns.
//
// EACCES. EINVAL: no such event. EPERM: no filter or callback runs.
int mtcp_raise_event(mctx_t mctx, event_t event);

// Calls a function once after a time, with `id` as its socket. The function may set the timer again.
//
// EACCES, EFAULT. EINVAL: a negative time; `cb` is NULL.
int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, callback_t cb);

// Keeps an address with a socket.
//
// Sets errno on error: EACCES, EBADF.
void mtcp_set_uctx(mctx_t mctx, int sock, void *uctx);

// Returns the address that is kept with a socket; NULL at first.
//
// Returns NULL on error. EACCES, EBADF.
void *mtcp_get_uctx(mctx_t mctx, int sock);

// Returns the time of the event that the callback is called for, in microseconds modulo 2^32; otherwise the present time.
//
// Returns 0 on error. EACCES.
uint32_t mtcp_cb_get_ts(mctx_t mctx);

// Returns the number of connections that have a socket of the context now.
//
// Returns 0 on error. EACCES.
uint32_t mtcp_get_connection_cnt(mctx_t mctx);

// Returns a descriptor for the connection with the RPC's number `rpc_sockid` (below 2^53). The daemon is not asked: a
// connection that does not exist is noticed at the first use. Opening a connection again returns the same descriptor.
//
// EACCES; ENFILE: all numbers are in use.
int monitor_open(mctx_t mctx, uint64_t rpc_sockid);

// Returns a descriptor for the newest connection between two ends, each a struct sockaddr_in or sockaddr_in6.
//
// ENOTCONN: no such connection is known. EAFNOSUPPORT, EINVAL: not such an address. EACCES, EFAULT, ENFILE.
int monitor_lookup(mctx_t mctx, const struct sockaddr *client, socklen_t client_len, const struct sockaddr *server, socklen_t server_len);

// Iterates over all connections that can be read. Returns the descriptor of the first one when `previous` is 0, else of
// the one after `previous`; 0 behind the last. A connection that exists during the whole iteration is returned exactly
// once. Unwanted ones may be closed at any point.
//
// EACCES, EBADF, ENFILE.
int monitor_next(mctx_t mctx, int previous);

// Writes the RPC's number of the connection to `*rpc_sockid`.
//
// EACCES, EBADF, EFAULT.
int monitor_sockid(mctx_t mctx, int sockid, uint64_t *rpc_sockid);

// Writes a side's offsets to `*info`.
//
// EINVAL: `side` is neither MOS_SIDE_CLI nor MOS_SIDE_SVR. EACCES, EBADF, EFAULT.
int monitor_getside(mctx_t mctx, int sockid, int side, struct monitor_side *info);

// Closes a descriptor. The connection itself is not affected, and its callbacks are no longer called. A socket of
// mtcp_socket() is closed with the sockets of its connections.
//
// EACCES, EBADF.
int mtcp_close(mctx_t mctx, int sockid);

// Copies up to `len` bytes of one side into `buf`, from offset `off` on: the distance from the first payload byte. Any
// received byte that is kept can be read, in order or not (see MOS_FRAGINFO_CLIBUF); the copy ends at a hole. Nothing
// is flushed, and the position of mtcp_peek does not change.
//
// Returns the number of bytes copied; fewer than asked is no error. Or -1:
// EACCES           `mctx` is no context
// EBADF            `sockid` is no descriptor of it, or its connection is gone
// EINVAL           buffering of this side was switched off; or `side` is neither MOS_SIDE_CLI nor MOS_SIDE_SVR
// ESOCKTNOSUPPORT  `sockid` stands for a listener, not a connection
// ENOTCONN         nothing but the start of the handshake was seen
// ENODATA          no received byte at `off`
// EPERM            the daemon does not let the caller read
ssize_t mtcp_ppeek(mctx_t mctx, int sockid, int side, char *buf, size_t len, uint64_t off);

// Copies the next bytes of one side, in order: each call continues at the end of the last one on this descriptor and
// side; the first one begins at offset 0.
//
// Returns the number of bytes copied; 0 when the stream is complete; or a negative number:
// -N with ENODATA  the next N bytes are lost (no longer kept, or never captured); the next call continues behind them
// -1 with EAGAIN   no bytes yet; more may come
// -1 with EINVAL   `len` is 0: no byte can be copied, and 0 means the end; or as mtcp_ppeek
// -1 otherwise     as mtcp_ppeek
ssize_t mtcp_peek(mctx_t mctx, int sockid, int side, char *buf, size_t len);

// Reads an option of enum mos_socket_opts into `optval`; `level` is SOL_MONSOCKET. `*optlen` is the size of `optval` in
// bytes, in and out, but a number of elements with MOS_FRAGINFO_CLIBUF and MOS_FRAGINFO_SVRBUF.
//
// ENOPROTOOPT: no such level or option to read. EINVAL: `*optlen` is too small. Otherwise as mtcp_ppeek.
int mtcp_getsockopt(mctx_t mctx, int sockid, int level, int optname, void *optval, socklen_t *optlen);

// Sets an option of enum mos_socket_opts to the int at `optval`; `level` is SOL_MONSOCKET, `optlen` sizeof(int).
//
// ENOPROTOOPT: no such level or option to set. EINVAL: no such value, `optlen` is too small, or buffering of that side
// is switched off already. EPERM: the daemon does not let the caller change anything. EACCES, EBADF, EFAULT.
int mtcp_setsockopt(mctx_t mctx, int sockid, int level, int optname, const void *optval, socklen_t optlen);

// Writes addresses and ports, as struct sockaddr_in or sockaddr_in6: the client's with MOS_SIDE_CLI, the server's with
// MOS_SIDE_SVR, both with MOS_SIDE_BOTH, the client's first and the server's right behind it. `*addrlen` is the size of
// `addr` in bytes; on return, the number of bytes written.
//
// EINVAL: no such side, or `*addrlen` is too small. EACCES, EBADF, EFAULT, ESOCKTNOSUPPORT.
int mtcp_getpeername(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen, int side);

// Copies the packet of the event that the callback is called for, and describes the copy in `*p`. There is one in callbacks
// of MOS_ON_PKT_IN and MOS_ON_ORPHAN, and in those of events that are defined from them. `side` has no effect. The next
// call replaces the copy.
//
// EACCES, EBADF, EFAULT. ENODATA: no packet.
int mtcp_getlastpkt(mctx_t mctx, int sock, int side, struct pkt_info *p);

// Always fails: an observer changes no packet.
//
// EACCES, EBADF. EPERM: `sock` is a socket.
int mtcp_setlastpkt(mctx_t mctx, int sock, int side, off_t offset, byte *data, uint16_t datalen, int option);

// Always fails: an observer sends no packet.
//
// EACCES: the call is not possible, whatever its arguments.
int mtcp_sendpkt(mctx_t mctx, int sock, const struct pkt_info *pkt);

// Always fails: an observer ends no connection.
//
// EINVAL: `sock` is a socket of mtcp_socket(). EACCES otherwise.
int mtcp_reset_conn(mctx_t mctx, int sock);

// Attaches to the store of the daemon at `socket`, the path of its socket. It waits at most `timeout_ms` milliseconds for
// the answer; without a limit if that is negative. Returns the number of the store, 0 or above.
//
// EAGAIN: the daemon doesn't answer in time. EPERM: the program's user isn't in `[rpc] attach`. EINVAL: the store isn't
// shared, or `socket` isn't UTF-8. EFAULT. EPROTO: a daemon of another version.
int monitor_attach(const char *socket, int timeout_ms);

// Copies at most `len` bytes of a side from `off` on, up to the next hole, and writes the side's offsets to `*read` unless
// it is NULL. Returns the number of bytes copied. It makes no system call, and any thread may call it.
//
// The errno values are those of mtcp_ppeek(). EBADF: no such store or connection; or the daemon has ended.
ssize_t monitor_store_ppeek(int store, uint64_t rpc_sockid, int side, char *buf, size_t len, uint64_t off, struct monitor_read *read);

// Detaches from a store.
//
// EBADF: no such store.
int monitor_detach(int store);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MOS_API_H */
