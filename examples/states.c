// The table of all TCP connections and the states of both their ends, as netstat shows it of its own host.
//
//     cc -I clients/c examples/states.c -L target/release -lmonitor_mos -o target/states
//     LD_LIBRARY_PATH=target/release target/states        # once
//     LD_LIBRARY_PATH=target/release target/states 1      # anew each second, until Ctrl-C
//
// MONITOR_SOCKET names the daemon's socket if it is not where it is by default.

#include <arpa/inet.h>
#include <errno.h>
#include <mos_api.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// In the order of enum tcpstate.
static const char *const STATES[] = {
    "CLOSED",     "LISTEN",     "SYN-SENT", "SYN-RCVD", "ESTABLISHED", "FIN-WAIT-1",
    "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",  "LAST-ACK", "TIME-WAIT",
};

static const char *state(mctx_t mctx, int sockid, int option) {
    int number;
    socklen_t len = sizeof number;
    if (mtcp_getsockopt(mctx, sockid, SOL_MONSOCKET, option, &number, &len) < 0)
        return NULL;
    return number >= 0 && number <= TCP_TIME_WAIT ? STATES[number] : "?";
}

// "10.0.0.1:80", "[2001:db8::1]:80".
static void print_address(mctx_t mctx, int sockid, int side) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    char text[INET6_ADDRSTRLEN], whole[INET6_ADDRSTRLEN + 10] = "?";
    socklen_t len = sizeof address;
    if (mtcp_getpeername(mctx, sockid, &address.any, &len, side) == 0) {
        if (address.any.sa_family == AF_INET6) {
            inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
            snprintf(whole, sizeof whole, "[%s]:%d", text, ntohs(address.v6.sin6_port));
        } else {
            inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
            snprintf(whole, sizeof whole, "%s:%d", text, ntohs(address.v4.sin_port));
        }
    }
    printf("%-28s", whole);
}

// Bytes in order, "+" when there are others behind a hole, "." when the sender is done.
static void print_received(mctx_t mctx, int sockid, int side) {
    struct monitor_side info;
    if (monitor_getside(mctx, sockid, side, &info) < 0)
        return;
    const char *mark = info.end > info.next ? "+" : info.fin == info.next ? "." : " ";
    printf(" %11llu%s", (unsigned long long)info.next, mark);
}

// Each table with a context of its own: descriptors of connections that are gone go with it.
static int print_table(void) {
    mctx_t mctx = mtcp_create_context(-1);
    if (mctx == NULL) {
        fprintf(stderr, "states: cannot reach the daemon: %s (start monitord, or set MONITOR_SOCKET)\n", strerror(errno));
        return -1;
    }
    printf("%-28s%-28s%-13s%-13s %12s %12s\n", "CLIENT", "SERVER", "CLIENT IS", "SERVER IS", "TO SERVER ", "TO CLIENT ");
    int sockid = 0, count = 0;
    while ((sockid = monitor_next(mctx, sockid)) > 0) {
        const char *client = state(mctx, sockid, MOS_TCP_STATE_CLI);
        const char *server = state(mctx, sockid, MOS_TCP_STATE_SVR);
        // One that is gone meanwhile is no failure.
        if (client == NULL || server == NULL)
            continue;
        print_address(mctx, sockid, MOS_SIDE_CLI);
        print_address(mctx, sockid, MOS_SIDE_SVR);
        printf("%-13s%-13s", client, server);
        print_received(mctx, sockid, MOS_SIDE_SVR);
        print_received(mctx, sockid, MOS_SIDE_CLI);
        printf("\n");
        count++;
    }
    if (sockid < 0)
        perror("states: cannot list the connections");
    else
        printf("%d connections\n", count);
    mtcp_destroy_context(mctx);
    return sockid < 0 ? -1 : fflush(stdout);
}

int main(int argc, char **argv) {
    unsigned pause = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    int failed = print_table();
    while (!failed && pause > 0) {
        sleep(pause);
        failed = print_table();
    }
    return failed ? 1 : 0;
}
