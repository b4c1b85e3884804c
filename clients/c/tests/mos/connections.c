// The table of connections with the states of both ends, printed by a timer. Written from the description of mOS's API.
// The argument is the number of contexts; SIGTERM ends it.

#include <arpa/inet.h>
#include <mos_api.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "cpu.h"

#define MOST 16

struct connection {
    int sock;
    struct sockaddr_in ends[2];
    int states[2];
    struct connection *next;
};

static int contexts;
static mctx_t mctxs[MOST];
static struct connection *tables[MOST];
static unsigned long opened, ended, changes, ticks;

static void stop(int signum) {
    (void)signum;
    for (int i = 0; i < contexts; i++)
        mtcp_destroy_context(mctxs[i]);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void on_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    struct connection *connection = calloc(1, sizeof *connection);
    socklen_t len = sizeof connection->ends;
    connection->sock = sock;
    if (mtcp_getpeername(mctx, sock, (struct sockaddr *)connection->ends, &len, MOS_SIDE_BOTH) < 0)
        fail("mtcp_getpeername");
    connection->next = tables[mctx->cpu];
    tables[mctx->cpu] = connection;
    mtcp_set_uctx(mctx, sock, connection);
    opened++;
}

static void on_state(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)event, (void)arg;
    struct connection *connection = mtcp_get_uctx(mctx, sock);
    int option = side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR;
    socklen_t len = sizeof(int);
    if (connection == NULL || connection->sock != sock)
        fail("a state before its connection");
    if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &connection->states[side], &len) < 0)
        fail("mtcp_getsockopt");
    changes++;
}

static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    for (struct connection **at = &tables[mctx->cpu]; *at != NULL; at = &(*at)->next) {
        struct connection *connection = *at;
        if (connection->sock == sock) {
            *at = connection->next;
            free(connection);
            ended++;
            return;
        }
    }
    fail("an end without its connection");
}

static void print(mctx_t mctx, int id, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    struct timeval interval = {.tv_usec = 50000};
    if (id != 77)
        fail("another timer");
    if (mtcp_settimer(mctx, id, &interval, print) < 0)
        fail("mtcp_settimer");
    ticks++;
    printf("table %lu\n", ticks);
    for (int i = 0; i < contexts; i++) {
        for (struct connection *at = tables[i]; at != NULL; at = at->next) {
            char client[INET_ADDRSTRLEN], server[INET_ADDRSTRLEN];
            inet_ntop(AF_INET, &at->ends[MOS_SIDE_CLI].sin_addr, client, sizeof client);
            inet_ntop(AF_INET, &at->ends[MOS_SIDE_SVR].sin_addr, server, sizeof server);
            printf("%s:%d %s:%d %d %d\n", client, ntohs(at->ends[MOS_SIDE_CLI].sin_port), server,
                   ntohs(at->ends[MOS_SIDE_SVR].sin_port), at->states[MOS_SIDE_CLI], at->states[MOS_SIDE_SVR]);
        }
    }
    printf("opened %lu ended %lu changes %lu\n", opened, ended, changes);
    fflush(stdout);
}

static void observe(mctx_t mctx) {
    int off = 0, sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
    struct timeval interval = {.tv_usec = 50000};
    if (sock < 0)
        fail("mtcp_socket");
    if (mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof off) < 0 ||
        mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof off) < 0)
        fail("mtcp_setsockopt");
    if (mtcp_register_callback(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, on_start) < 0 ||
        mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0 ||
        mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_state) < 0 ||
        mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_state) < 0)
        fail("mtcp_register_callback");
    if (mctx->cpu == 0 && mtcp_settimer(mctx, 77, &interval, print) < 0)
        fail("mtcp_settimer");
}

int main(int argc, char **argv) {
    struct mtcp_conf conf;
    contexts = argc > 1 ? atoi(argv[1]) : GetNumCPUs();
    if (mtcp_init("config/mos.conf") != 0)
        fail("mtcp_init");
    mtcp_getconf(&conf);
    conf.num_cores = contexts;
    mtcp_setconf(&conf);
    mtcp_register_signal(SIGTERM, stop);
    for (int i = 0; i < contexts; i++) {
        mctxs[i] = mtcp_create_context(i);
        if (mctxs[i] == NULL)
            fail("mtcp_create_context");
        observe(mctxs[i]);
    }
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < contexts; i++)
        mtcp_app_join(mctxs[i]);
    mtcp_destroy();
    puts("done");
    return 0;
}
