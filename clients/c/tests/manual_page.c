// What the manual page of mtcp_ppeek promises, check by check: the name of one is the argument. The connections are
// those that manual_page.rs makes.

#include <arpa/inet.h>
#include <mos_api.h>
#include <netinet/in.h>

#include "check.h"

enum { SENT = 300000, HOLE = 100, BEHIND = 5 };
static const char ANSWER[] = "HTTP/1.1 200 OK\r\n\r\n";

static mctx_t mctx;
static char buf[2 << 20];

static char pattern(uint64_t at) {
    return (char)((at ^ at >> 8 ^ at >> 16) * 131);
}

static int is_pattern(const char *bytes, uint64_t off, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != pattern(off + i))
            return 0;
    return 1;
}

static int lookup(unsigned short port) {
    struct sockaddr_in client = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, "10.0.0.1", &client.sin_addr);
    inet_pton(AF_INET, "10.0.0.2", &server.sin_addr);
    return monitor_lookup(mctx, (struct sockaddr *)&client, sizeof client, (struct sockaddr *)&server, sizeof server);
}

static int opened(unsigned short port) {
    int sockid = lookup(port);
    CHECK(sockid > 0);
    return sockid;
}

// An open connection: SENT bytes, a hole of HOLE that waits, BEHIND bytes; and the answer.
static int holed(void) { return opened(1234); }
// Reset: 3 bytes, 4 that were never captured, 3.
static int reset(void) { return opened(1235); }
// Both ends closed; the client sent "done".
static int finished(void) { return opened(1236); }
// Nothing but a SYN.
static int half_open(void) { return opened(1237); }
// 3000000 bytes through a window of 1 MiB.
static int evicted(void) { return opened(1238); }

static void short_reads(void) {
    CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_SVR, buf, 10, 7) == 10);
    CHECK(is_pattern(buf, 7, 10));
    // Up to the hole, and no further; the rest of the buffer is left alone.
    memset(buf, '#', sizeof buf);
    CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_SVR, buf, sizeof buf, 1000) == SENT - 1000);
    CHECK(is_pattern(buf, 1000, SENT - 1000));
    CHECK(buf[SENT - 1000] == '#');
    CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_CLI, buf, sizeof buf, 0) == sizeof ANSWER - 1);
    CHECK(memcmp(buf, ANSWER, sizeof ANSWER - 1) == 0);
    CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_CLI, buf, 0, 0) == 0);
    CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_CLI, NULL, 0, 0) == 0);
}

static void fragments_are_reachable(void) {
    struct tcp_ring_fragment runs[4];
    socklen_t count = 4;
    CHECK(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, runs, &count) == 0);
    CHECK(count == 2);
    CHECK(runs[0].offset == 0 && runs[0].len == SENT);
    CHECK(runs[1].offset == SENT + HOLE && runs[1].len == BEHIND);
    CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_SVR, buf, sizeof buf, runs[1].offset) == BEHIND);
    CHECK(is_pattern(buf, SENT + HOLE, BEHIND));
    // No more than have room.
    runs[1].len = 77;
    count = 1;
    CHECK(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, runs, &count) == 0);
    CHECK(count == 1 && runs[1].len == 77);
}

static void nothing_is_flushed(void) {
    struct monitor_side before, after;
    CHECK(monitor_getside(mctx, holed(), MOS_SIDE_SVR, &before) == 0);
    for (int round = 0; round < 3; round++) {
        CHECK(mtcp_ppeek(mctx, holed(), MOS_SIDE_SVR, buf, sizeof buf, 0) == SENT);
        CHECK(is_pattern(buf, 0, SENT));
    }
    CHECK(monitor_getside(mctx, holed(), MOS_SIDE_SVR, &after) == 0);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK(after.base == 0 && after.next == SENT && after.end == SENT + HOLE + BEHIND);
    CHECK(after.fin == UINT64_MAX && !after.closed);
}

static void ppeek_leaves_the_cursor_of_peek(void) {
    int sockid = holed();
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, 100) == 100);
    CHECK(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 5000, 40000) == 5000);
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, 100) == 100);
    CHECK(is_pattern(buf, 100, 100));
    // Each side has its own.
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_CLI, buf, 4) == 4);
    CHECK(memcmp(buf, ANSWER, 4) == 0);
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == SENT - 200);
    CHECK(is_pattern(buf, 200, SENT - 200));
}

static void peek_of_no_bytes_is_not_the_end(void) {
    for (int i = 0; i < 2; i++) {
        FAILS(mtcp_peek(mctx, holed(), MOS_SIDE_SVR, buf, 0), EINVAL);
        FAILS(mtcp_peek(mctx, finished(), MOS_SIDE_SVR, NULL, 0), EINVAL);
        CHECK(mtcp_peek(mctx, finished(), MOS_SIDE_SVR, buf, sizeof buf) == (i == 0 ? 4 : 0));
    }
}

static void peek_waits_at_a_hole(void) {
    int sockid = holed();
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == SENT);
    for (int round = 0; round < 3; round++)
        FAILS(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf), EAGAIN);
}

static void peek_tells_what_is_lost_and_ends(void) {
    int sockid = reset();
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == 3);
    CHECK(memcmp(buf, "abc", 3) == 0);
    errno = 0;
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == -4);
    CHECK(errno == ENODATA);
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == 3);
    CHECK(memcmp(buf, "hij", 3) == 0);
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == 0);
    CHECK(mtcp_peek(mctx, finished(), MOS_SIDE_SVR, buf, sizeof buf) == 4);
    CHECK(mtcp_peek(mctx, finished(), MOS_SIDE_SVR, buf, sizeof buf) == 0);
}

static void peek_tells_what_was_evicted(void) {
    struct monitor_side side;
    int sockid = evicted();
    CHECK(monitor_getside(mctx, sockid, MOS_SIDE_SVR, &side) == 0);
    CHECK(side.base > 0 && side.next == 3000000);
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == -(ssize_t)side.base);
    CHECK(errno == ENODATA);
    CHECK(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf) == (ssize_t)(side.next - side.base));
    CHECK(is_pattern(buf, side.base, side.next - side.base));
}

static void errno_eacces(void) {
    struct mtcp_context none = {.cpu = 0};
    mctx_t destroyed = mtcp_create_context(-1);
    CHECK(destroyed != NULL);
    int sockid = holed();
    CHECK(mtcp_destroy_context(destroyed) == 0);
    mctx_t wrong[] = {NULL, &none, destroyed};
    for (int i = 0; i < 3; i++) {
        FAILS(mtcp_ppeek(wrong[i], sockid, MOS_SIDE_SVR, buf, 1, 0), EACCES);
        FAILS(mtcp_peek(wrong[i], sockid, MOS_SIDE_SVR, buf, 1), EACCES);
        FAILS(monitor_next(wrong[i], 0), EACCES);
        FAILS(mtcp_destroy_context(wrong[i]), EACCES);
    }
    int wrong_cpus[] = {-2, INT32_MIN};
    for (int i = 0; i < 2; i++) {
        errno = 0;
        CHECK(mtcp_create_context(wrong_cpus[i]) == NULL);
        CHECK(errno == EACCES);
    }
}

// Workers 0 and 1 are there.
static void a_context_beyond_the_workers_sees_nothing(void) {
    int cpus[] = {2, 65536, INT32_MAX};
    uint64_t number;
    CHECK(monitor_sockid(mctx, holed(), &number) == 0);
    for (int i = 0; i < 3; i++) {
        mctx_t own = mtcp_create_context(cpus[i]), all = mctx;
        CHECK(own != NULL && own->cpu == cpus[i]);
        CHECK(monitor_next(own, 0) == 0);
        int sockid = monitor_open(own, number);
        CHECK(sockid > 0);
        FAILS(mtcp_ppeek(own, sockid, MOS_SIDE_SVR, buf, 1, 0), EBADF);
        FAILS(mtcp_peek(own, sockid, MOS_SIDE_SVR, buf, 1), EBADF);
        mctx = own;
        FAILS(lookup(1234), ENOTCONN);
        mctx = all;
        CHECK(mtcp_get_connection_cnt(own) == 0);
        CHECK(mtcp_destroy_context(own) == 0);
    }
}

static void errno_ebadf(void) {
    int sockid = holed();
    int wrong[] = {0, -1, 1000, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        FAILS(mtcp_ppeek(mctx, wrong[i], MOS_SIDE_SVR, buf, 1, 0), EBADF);
        FAILS(mtcp_close(mctx, wrong[i]), EBADF);
    }
    // No such connection.
    int nothing = monitor_open(mctx, 123456789);
    CHECK(nothing > 0);
    FAILS(mtcp_ppeek(mctx, nothing, MOS_SIDE_SVR, buf, 1, 0), EBADF);
    FAILS(monitor_next(mctx, 1000), EBADF);
    CHECK(mtcp_close(mctx, sockid) == 0);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), EBADF);
}

static void errno_enotconn(void) {
    FAILS(mtcp_ppeek(mctx, half_open(), MOS_SIDE_SVR, buf, 1, 0), ENOTCONN);
    FAILS(mtcp_peek(mctx, half_open(), MOS_SIDE_CLI, buf, 1), ENOTCONN);
    FAILS(lookup(9999), ENOTCONN);
}

static void errno_enodata(void) {
    uint64_t holes[] = {SENT, SENT + HOLE - 1, SENT + HOLE + BEHIND, 1ull << 40, 1ull << 60, UINT64_MAX};
    for (int i = 0; i < 6; i++)
        FAILS(mtcp_ppeek(mctx, holed(), MOS_SIDE_SVR, buf, 1, holes[i]), ENODATA);
    // At the FIN, and below what is kept.
    FAILS(mtcp_ppeek(mctx, finished(), MOS_SIDE_SVR, buf, 1, 4), ENODATA);
    FAILS(mtcp_ppeek(mctx, evicted(), MOS_SIDE_SVR, buf, 1, 0), ENODATA);
}

static void errno_einval_of_a_side(void) {
    int sides[] = {MOS_SIDE_BOTH, -1, 3};
    for (int i = 0; i < 3; i++) {
        FAILS(mtcp_ppeek(mctx, holed(), sides[i], buf, 1, 0), EINVAL);
        FAILS(mtcp_peek(mctx, holed(), sides[i], buf, 1), EINVAL);
    }
}

static void errno_efault(void) {
    socklen_t len = sizeof(int);
    FAILS(mtcp_ppeek(mctx, holed(), MOS_SIDE_SVR, NULL, 1, 0), EFAULT);
    FAILS(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_TCP_STATE_CLI, NULL, &len), EFAULT);
    FAILS(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_TCP_STATE_CLI, buf, NULL), EFAULT);
    FAILS(mtcp_getpeername(mctx, holed(), NULL, &len, MOS_SIDE_CLI), EFAULT);
    FAILS(monitor_lookup(mctx, NULL, 16, NULL, 16), EFAULT);
}

static void a_descriptor_is_never_given_out_again(void) {
    uint64_t number = 0;
    int first = holed();
    CHECK(holed() == first);
    CHECK(monitor_sockid(mctx, first, &number) == 0);
    CHECK(monitor_open(mctx, number) == first);
    CHECK(mtcp_close(mctx, first) == 0);
    int other = finished(), again = holed();
    CHECK(other != first && again != first && other != again);
    FAILS(mtcp_ppeek(mctx, first, MOS_SIDE_SVR, buf, 1, 0), EBADF);
    CHECK(mtcp_ppeek(mctx, again, MOS_SIDE_SVR, buf, 1, 0) == 1);
}

static void all_connections_are_met_once(void) {
    int seen[16] = {0}, count = 0;
    for (int sockid = monitor_next(mctx, 0); sockid > 0; sockid = monitor_next(mctx, sockid)) {
        CHECK(sockid < 16 && !seen[sockid]);
        seen[sockid] = 1;
        count++;
        CHECK(mtcp_close(mctx, sockid) == 0);
    }
    CHECK(count == 6);
    // From the middle, after something else was asked.
    int first = monitor_next(mctx, 0);
    int second = monitor_next(mctx, first);
    CHECK(monitor_next(mctx, second) > 0);
    CHECK(monitor_next(mctx, first) == second);
}

static void a_context_of_a_worker_sees_its_own(void) {
    int counts[2] = {0, 0};
    int number = holed();
    uint64_t name;
    CHECK(monitor_sockid(mctx, number, &name) == 0);
    for (int cpu = 0; cpu < 2; cpu++) {
        mctx_t own = mtcp_create_context(cpu);
        CHECK(own != NULL && own->cpu == cpu);
        for (int sockid = monitor_next(own, 0); sockid > 0; sockid = monitor_next(own, sockid))
            counts[cpu]++;
        int sockid = monitor_open(own, name);
        // Worker 0 has it.
        if (cpu == 0)
            CHECK(mtcp_ppeek(own, sockid, MOS_SIDE_SVR, buf, 1, 0) == 1);
        else
            FAILS(mtcp_ppeek(own, sockid, MOS_SIDE_SVR, buf, 1, 0), EBADF);
        CHECK(mtcp_destroy_context(own) == 0);
    }
    CHECK(counts[0] == 5 && counts[1] == 1);
}

static void states(void) {
    int state = -1;
    socklen_t len = sizeof state;
    CHECK(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_TCP_STATE_CLI, &state, &len) == 0);
    CHECK(state == TCP_ESTABLISHED && len == sizeof state);
    CHECK(mtcp_getsockopt(mctx, half_open(), SOL_MONSOCKET, MOS_TCP_STATE_CLI, &state, &len) == 0);
    CHECK(state == TCP_SYN_SENT);
    len = 3;
    FAILS(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_TCP_STATE_SVR, &state, &len), EINVAL);
    len = sizeof state;
    FAILS(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, 99, &state, &len), ENOPROTOOPT);
    FAILS(mtcp_getsockopt(mctx, holed(), SOL_SOCKET, SO_ERROR, &state, &len), ENOPROTOOPT);
}

static void sequence_numbers(void) {
    struct tcp_buf_info info;
    socklen_t len = sizeof info;
    CHECK(mtcp_getsockopt(mctx, holed(), SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len) == 0);
    CHECK(len == sizeof info);
    CHECK(info.tcpbi_init_seq == 1000);
    CHECK(info.tcpbi_next_byte_expected == 1001 + SENT);
    CHECK(info.tcpbi_last_byte_read == info.tcpbi_next_byte_expected);
    CHECK(info.tcpbi_last_byte_received == 1000 + SENT + HOLE + BEHIND);
    // No SYN of the server was seen.
    FAILS(mtcp_getsockopt(mctx, half_open(), SOL_MONSOCKET, MOS_INFO_CLIBUF, &info, &len), ENODATA);
}

static void addresses(void) {
    struct sockaddr_in ends[2];
    socklen_t len = sizeof ends;
    CHECK(mtcp_getpeername(mctx, holed(), (struct sockaddr *)ends, &len, MOS_SIDE_BOTH) == 0);
    CHECK(len == sizeof ends);
    CHECK(ends[MOS_SIDE_CLI].sin_family == AF_INET && ntohs(ends[MOS_SIDE_CLI].sin_port) == 1234);
    CHECK(ntohl(ends[MOS_SIDE_CLI].sin_addr.s_addr) == 0x0a000001);
    CHECK(ntohs(ends[MOS_SIDE_SVR].sin_port) == 80);
    len = sizeof ends[0];
    CHECK(mtcp_getpeername(mctx, holed(), (struct sockaddr *)ends, &len, MOS_SIDE_SVR) == 0);
    CHECK(ntohl(ends[0].sin_addr.s_addr) == 0x0a000002);
    FAILS(mtcp_getpeername(mctx, holed(), (struct sockaddr *)ends, &len, MOS_SIDE_BOTH), EINVAL);
    FAILS(mtcp_getpeername(mctx, holed(), (struct sockaddr *)ends, &len, 7), EINVAL);

    struct sockaddr_in6 client = {.sin6_family = AF_INET6, .sin6_port = htons(5)}, server = client, found;
    server.sin6_port = htons(443);
    inet_pton(AF_INET6, "2001:db8::1", &client.sin6_addr);
    inet_pton(AF_INET6, "2001:db8::2", &server.sin6_addr);
    int sockid = monitor_lookup(mctx, (struct sockaddr *)&client, sizeof client, (struct sockaddr *)&server, sizeof server);
    CHECK(sockid > 0);
    len = sizeof found;
    CHECK(mtcp_getpeername(mctx, sockid, (struct sockaddr *)&found, &len, MOS_SIDE_CLI) == 0);
    CHECK(len == sizeof found && memcmp(&found, &client, sizeof found) == 0);
}

static int set(int sockid, int option, int value) {
    return mtcp_setsockopt(mctx, sockid, SOL_MONSOCKET, option, &value, sizeof value);
}

static void errno_einval_when_buffering_is_off(void) {
    int sockid = holed();
    CHECK(set(sockid, MOS_SVRBUF, 0) == 0);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), EINVAL);
    FAILS(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, 1), EINVAL);
    // For good, and this side alone.
    FAILS(set(sockid, MOS_SVRBUF, 1 << 20), EINVAL);
    CHECK(mtcp_ppeek(mctx, sockid, MOS_SIDE_CLI, buf, 1, 0) == 1);
}

static void monitoring_stops(void) {
    struct monitor_side side;
    int sockid = holed();
    CHECK(set(sockid, MOS_STOP_MON, MOS_SIDE_BOTH) == 0);
    CHECK(monitor_getside(mctx, sockid, MOS_SIDE_SVR, &side) == 0);
    CHECK(side.closed);
    // What was received can be read for a while.
    CHECK(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf, 0) == SENT);
}

static void one_side_stops(void) {
    struct monitor_side side;
    int sockid = holed();
    CHECK(set(sockid, MOS_STOP_MON, MOS_SIDE_CLI) == 0);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_CLI, buf, 1, 0), EINVAL);
    CHECK(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0) == 1);
    CHECK(monitor_getside(mctx, sockid, MOS_SIDE_SVR, &side) == 0);
    CHECK(!side.closed);
}

static void options_are_checked(void) {
    int value = 0, sockid = holed();
    CHECK(set(sockid, MOS_CLIOVERLAP, MOS_OVERLAP_POLICY_LAST) == 0);
    CHECK(set(sockid, MOS_SVROVERLAP, MOS_OVERLAP_POLICY_FIRST) == 0);
    CHECK(set(sockid, MOS_CLIBUF, 64 * 1024) == 0);
    FAILS(set(sockid, MOS_CLIOVERLAP, 2), EINVAL);
    FAILS(set(sockid, MOS_CLIBUF, -1), EINVAL);
    FAILS(set(sockid, MOS_STOP_MON, 3), EINVAL);
    FAILS(set(sockid, MOS_TCP_STATE_CLI, 0), ENOPROTOOPT);
    FAILS(set(1000, MOS_CLIBUF, 0), EBADF);
    FAILS(mtcp_setsockopt(mctx, sockid, SOL_MONSOCKET, MOS_CLIBUF, &value, 3), EINVAL);
    FAILS(mtcp_setsockopt(mctx, sockid, SOL_MONSOCKET, MOS_CLIBUF, NULL, sizeof value), EFAULT);
    FAILS(mtcp_setsockopt(NULL, sockid, SOL_MONSOCKET, MOS_CLIBUF, &value, sizeof value), EACCES);
}

// MONITOR_LISTENER is the sockid of one.
static void errno_esocktnosupport(void) {
    int sockid = monitor_open(mctx, strtoull(getenv("MONITOR_LISTENER"), NULL, 10));
    CHECK(sockid > 0);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), ESOCKTNOSUPPORT);
    FAILS(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, 1), ESOCKTNOSUPPORT);
}

// Against a daemon that answers everything with this error.
static void refused(int number) {
    int sockid = monitor_open(mctx, 1);
    int state;
    socklen_t len = sizeof state;
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), number);
    FAILS(mtcp_peek(mctx, sockid, MOS_SIDE_SVR, buf, 1), number);
    FAILS(mtcp_getsockopt(mctx, sockid, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &state, &len), number);
    FAILS(set(sockid, MOS_STOP_MON, MOS_SIDE_BOTH), number);
}

static void errno_eperm(void) { refused(EPERM); }

// The daemon is another one after a line on standard input.
static void void_after_a_restart(void) {
    int sockid = holed();
    CHECK(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0) == 1);
    puts("ready");
    fflush(stdout);
    CHECK(fgets(buf, sizeof buf, stdin) != NULL);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), EBADF);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), EBADF);
    int again = holed();
    CHECK(again != sockid);
    CHECK(mtcp_ppeek(mctx, again, MOS_SIDE_SVR, buf, 1, 0) == 1);
    FAILS(mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, 1, 0), EBADF);
}

static const struct check CHECKS[] = {
    NAMED(short_reads),
    NAMED(fragments_are_reachable),
    NAMED(nothing_is_flushed),
    NAMED(ppeek_leaves_the_cursor_of_peek),
    NAMED(peek_of_no_bytes_is_not_the_end),
    NAMED(peek_waits_at_a_hole),
    NAMED(peek_tells_what_is_lost_and_ends),
    NAMED(peek_tells_what_was_evicted),
    NAMED(errno_eacces),
    NAMED(a_context_beyond_the_workers_sees_nothing),
    NAMED(errno_ebadf),
    NAMED(errno_enotconn),
    NAMED(errno_enodata),
    NAMED(errno_einval_of_a_side),
    NAMED(errno_efault),
    NAMED(errno_eperm),
    NAMED(a_descriptor_is_never_given_out_again),
    NAMED(all_connections_are_met_once),
    NAMED(a_context_of_a_worker_sees_its_own),
    NAMED(states),
    NAMED(sequence_numbers),
    NAMED(addresses),
    NAMED(errno_einval_when_buffering_is_off),
    NAMED(errno_esocktnosupport),
    NAMED(monitoring_stops),
    NAMED(one_side_stops),
    NAMED(options_are_checked),
    NAMED(void_after_a_restart),
};

int main(int argc, char **argv) {
    CHECK(argc == 2);
    mctx = mtcp_create_context(-1);
    CHECK(mctx != NULL && mctx->cpu == -1);
    run(CHECKS, sizeof CHECKS / sizeof *CHECKS, argv[1]);
    CHECK(mtcp_destroy_context(mctx) == 0);
    return 0;
}
