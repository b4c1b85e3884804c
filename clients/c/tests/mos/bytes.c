// Bytes of both directions of each connection, counted by mtcp_peek() as they arrive. Written from the description of mOS's
// API. The argument is a filter; SIGTERM ends it.

#include <errno.h>
#include <mos_api.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct counter {
    uint64_t bytes[2], lost[2];
    uint32_t sum[2];
};

static mctx_t mctx;

static void stop(int signum) {
    (void)signum;
    mtcp_destroy_context(mctx);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void on_start(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    mtcp_set_uctx(context, sock, calloc(1, sizeof(struct counter)));
}

static void count(mctx_t context, int sock, int side) {
    static unsigned char buf[65536];
    struct counter *counter = mtcp_get_uctx(context, sock);
    for (;;) {
        ssize_t len = mtcp_peek(context, sock, side, (char *)buf, sizeof buf);
        if (len > 0) {
            counter->bytes[side] += (uint64_t)len;
            for (ssize_t i = 0; i < len; i++)
                counter->sum[side] = counter->sum[side] * 31 + buf[i];
        } else if (len < 0 && errno == ENODATA) {
            counter->lost[side] += (uint64_t)-len;
        } else if (len == 0 || errno == EAGAIN || errno == ENOTCONN) {
            return;
        } else {
            fail("mtcp_peek");
        }
    }
}

static void on_data(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)event, (void)arg;
    count(context, sock, side);
}

static void on_end(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    struct sockaddr_in ends[2];
    socklen_t len = sizeof ends;
    struct counter *counter = mtcp_get_uctx(context, sock);
    // The socket is valid until this returns.
    count(context, sock, MOS_SIDE_CLI);
    count(context, sock, MOS_SIDE_SVR);
    if (mtcp_getpeername(context, sock, (struct sockaddr *)ends, &len, MOS_SIDE_BOTH) < 0)
        fail("mtcp_getpeername");
    printf("%d client %llu %u server %llu %u lost %llu\n", ntohs(ends[MOS_SIDE_CLI].sin_port),
           (unsigned long long)counter->bytes[MOS_SIDE_CLI], counter->sum[MOS_SIDE_CLI],
           (unsigned long long)counter->bytes[MOS_SIDE_SVR], counter->sum[MOS_SIDE_SVR],
           (unsigned long long)(counter->lost[MOS_SIDE_CLI] + counter->lost[MOS_SIDE_SVR]));
    fflush(stdout);
    free(counter);
}

int main(int argc, char **argv) {
    union monitor_filter filter = {.stream_syn_filter = argc > 1 ? argv[1] : NULL};
    mctx = mtcp_create_context(0);
    if (mctx == NULL)
        fail("mtcp_create_context");
    int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
    if (mtcp_bind_monitor_filter(mctx, sock, &filter) < 0)
        fail("mtcp_bind_monitor_filter");
    if (mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
        mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) < 0 ||
        mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, on_end) < 0)
        fail("mtcp_register_callback");
    mtcp_register_signal(SIGTERM, stop);
    puts("ready");
    fflush(stdout);
    mtcp_app_join(mctx);
    puts("done");
    return 0;
}
