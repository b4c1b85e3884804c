// Reads all new bytes of every connection in MOS_ON_CONN_NEW_DATA. SIGTERM ends it; it prints the number of bytes that it read,
// and of those that were gone before.

#include <errno.h>
#include <mos_api.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static mctx_t mctx;
static uint64_t bytes, lost;
static volatile sig_atomic_t is_over;

static void stop(int signum) {
    (void)signum;
    is_over = 1;
    mtcp_destroy_context(mctx);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void on_data(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    static char buf[1 << 16];
    (void)event, (void)arg;
    for (;;) {
        ssize_t len = mtcp_peek(context, sock, side, buf, sizeof buf);
        if (len > 0)
            bytes += (uint64_t)len;
        else if (len < 0 && errno == ENODATA)
            lost += (uint64_t)-len;
        else if (len == 0 || errno == EAGAIN || errno == ENOTCONN || is_over)
            return;
        else
            fail("mtcp_peek");
    }
}

int main(void) {
    mctx = mtcp_create_context(0);
    if (mctx == NULL)
        fail("mtcp_create_context");
    int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
    if (mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) < 0)
        fail("mtcp_register_callback");
    mtcp_register_signal(SIGTERM, stop);
    puts("ready");
    fflush(stdout);
    mtcp_app_join(mctx);
    printf("{\"read\": %llu, \"lost\": %llu}\n", (unsigned long long)bytes, (unsigned long long)lost);
    return 0;
}
