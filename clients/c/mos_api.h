// The monitoring socket of mOS, over the RPC of monitord. Link with -lmonitor_mos.
//
// A connection's `sockid` is an int here, a descriptor that belongs to a context: monitor_open(), monitor_lookup() and
// monitor_next() give it out. It stands for one connection and is never given out again for another one, not even
// after mtcp_close(): what is stale fails with EBADF. When the daemon is started anew, all descriptors fail with
// EBADF; the context itself goes on and connects by itself, waiting for the daemon for some 20 seconds.
//
// Functions return -1 (or NULL) on error and set errno; where nothing else is said, EACCES means that `mctx` is no
// context, EBADF that `sockid` is no descriptor of it or its connection is gone, EFAULT that a pointer is NULL. Any of
// them may fail as connect(2) and read(2) do when the daemon cannot be reached, with EAGAIN when it is overloaded, and
// with EPROTO or ENOSYS when it speaks another version. Pointers must point to what their types and lengths say.


#ifndef MOS_API_H
#define MOS_API_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

// `level` of the options below.
#define SOL_MONSOCKET 65534

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
    // Set, int: 0 switches buffering of the client's side off, permanently: reading it is EINVAL from then on.
    // A larger number is the number of newest bytes to keep.
    MOS_CLIBUF = 9,
    // The same for the server.
    MOS_SVRBUF = 10,
    // Set, int: a side that is no longer stored, or MOS_SIDE_BOTH: the connection is no longer monitored. The bytes
    // received before can be read for a while.
    MOS_STOP_MON = 12,
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

// A connection to the daemon. Only the library creates one.
struct mtcp_context {
    // Worker that the context is limited to; -1: all workers.
    int cpu;
};

// A connection to the daemon.
typedef struct mtcp_context *mctx_t;

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

// Connects to the daemon: at the path in the environment variable MONITOR_SOCKET, else at /run/monitord/monitord.sock.
// With `cpu` a worker's number, the context sees only the connections of that worker; with -1, all of them. Threads
// that share a context wait for each other; give each its own instead.
//
// Returns NULL on error. EACCES: there is no such worker; or as connect(2).
mctx_t mtcp_create_context(int cpu);

// Disconnects. All descriptors of the context are void.
//
// EACCES: `mctx` is no context, or was destroyed before.
int mtcp_destroy_context(mctx_t mctx);

// Returns a descriptor for the connection with the RPC's number `rpc_sockid` (below 2^53). The daemon is not asked: a
// connection that does not exist is noticed at the first use. Opening a connection again returns the same descriptor.
//
// EACCES; ENFILE: all numbers have been used.
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

// Closes a descriptor. Its number is never used again, for this or any other connection. The connection itself is not
// affected.
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

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MOS_API_H */
