// The bookkeeping of a firewall: counts the connections of each rule at their SYN, and fails to drop them. Written from the
// description of mOS's API. Each argument is a rule, "ACCEPT 80" or "DROP 22", with the server's port; SIGTERM ends it.

#include <mos_api.h>
#include <signal.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

#define MOST 16

struct rule {
    int is_drop;
    int port;
    unsigned long count;
};

static struct rule rules[MOST];
static int count;
static mctx_t mctx;
static unsigned long refused, later;

static void stop(int signum) {
    (void)signum;
    mtcp_destroy_context(mctx);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static bool is_syn(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)event;
    struct pkt_info packet;
    if (mtcp_getlastpkt(context, sock, side, &packet) < 0)
        fail("mtcp_getlastpkt");
    if (strcmp(arg->arg, "argument") != 0)
        fail("the argument is another one");
    return packet.tcph->syn && !packet.tcph->ack;
}

static void apply(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)event, (void)arg;
    struct pkt_info packet;
    int both = MOS_SIDE_BOTH;
    if (mtcp_getlastpkt(context, sock, side, &packet) < 0)
        fail("mtcp_getlastpkt");
    for (int i = 0; i < count; i++) {
        if (ntohs(packet.tcph->dest) != rules[i].port)
            continue;
        rules[i].count++;
        if (rules[i].is_drop) {
            errno = 0;
            if (mtcp_setlastpkt(context, sock, side, 0, NULL, 0, MOS_DROP) == -1 && errno == EPERM)
                refused++;
        } else if (mtcp_setsockopt(context, sock, SOL_MONSOCKET, MOS_STOP_MON, &both, sizeof both) < 0) {
            fail("mtcp_setsockopt");
        }
    }
    printf("syn %s:%d\n", inet_ntoa((struct in_addr){packet.iph->saddr}), ntohs(packet.tcph->source));
    fflush(stdout);
}

// Packets of connections that are still monitored.
static void on_packet(mctx_t context, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)context, (void)sock, (void)side, (void)event, (void)arg;
    later++;
}

int main(int argc, char **argv) {
    char text[] = "argument";
    filter_arg_t arg = {.arg = text, .len = sizeof text};
    union monitor_filter filter = {.stream_syn_filter = "tcp and (portrange 1-65535)"};
    for (int i = 1; i < argc && count < MOST; i++, count++) {
        char action[8];
        if (sscanf(argv[i], "%7s %d", action, &rules[count].port) != 2)
            fail(argv[i]);
        rules[count].is_drop = strcmp(action, "DROP") == 0;
    }
    if (mtcp_init(NULL) != 0 || mtcp_core_affinitize(0) != 0)
        fail("mtcp_init");
    event_t syn = mtcp_define_event(MOS_ON_PKT_IN, is_syn, &arg);
    // The filter has a copy.
    memset(text, 0, sizeof text);
    mctx = mtcp_create_context(0);
    if (syn == MOS_NULL_EVENT || mctx == NULL)
        fail("mtcp_define_event");
    int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
    if (mtcp_bind_monitor_filter(mctx, sock, &filter) < 0 ||
        mtcp_register_callback(mctx, sock, syn, MOS_HK_SND, apply) < 0 ||
        mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, on_packet) < 0)
        fail("mtcp_register_callback");
    mtcp_register_signal(SIGTERM, stop);
    puts("ready");
    fflush(stdout);
    mtcp_app_join(mctx);
    mtcp_close(mctx, sock);
    for (int i = 0; i < count; i++)
        printf("rule %d %lu\n", rules[i].port, rules[i].count);
    printf("refused %lu packets %lu\n", refused, later);
    mtcp_destroy();
    return 0;
}
