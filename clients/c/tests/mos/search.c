// Search for a text in new bytes by mtcp_ppeek(), with an event of its own for each find. Written from the description of
// mOS's API. The argument is the text; SIGTERM ends it.

#include <errno.h>
#include <mos_api.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

#define MOST 64

// Bytes of both sides that were searched.
struct search {
    uint64_t next[2];
    uint64_t found;
};

static const char *text;
static size_t length;
static int contexts;
static mctx_t mctxs[MOST];
static event_t in_request, in_answer;
static _Atomic unsigned long evaluations, callbacks;

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
    mtcp_set_uctx(mctx, sock, calloc(1, sizeof(struct search)));
}

static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    free(mtcp_get_uctx(mctx, sock));
}

static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)mctx, (void)sock, (void)side, (void)event, (void)arg;
    callbacks++;
}

// Raises an event for each find; true if there was one.
static bool search(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    static _Thread_local char buf[65536];
    (void)event, (void)arg;
    struct search *state = mtcp_get_uctx(mctx, sock);
    bool found = false;
    ssize_t len;
    evaluations++;
    while ((len = mtcp_ppeek(mctx, sock, side, buf, sizeof buf, state->next[side])) >= (ssize_t)length) {
        size_t at = 0;
        while (at + length <= (size_t)len && memcmp(buf + at, text, length) != 0)
            at++;
        if (at + length <= (size_t)len) {
            state->found = state->next[side] + at;
            state->next[side] = state->found + length;
            found = true;
            if (mtcp_raise_event(mctx, side == MOS_SIDE_SVR ? in_request : in_answer) < 0)
                fail("mtcp_raise_event");
            break;
        }
        // The text may continue in the bytes that come.
        state->next[side] += (uint64_t)len - length + 1;
    }
    if (len < 0 && errno != ENODATA)
        fail("mtcp_ppeek");
    return found;
}

static void on_find(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)arg;
    struct sockaddr_in ends[2];
    socklen_t len = sizeof ends;
    struct search *state = mtcp_get_uctx(mctx, sock);
    if (mtcp_getpeername(mctx, sock, (struct sockaddr *)ends, &len, MOS_SIDE_BOTH) < 0)
        fail("mtcp_getpeername");
    printf("%d %s %llu\n", ntohs(ends[MOS_SIDE_CLI].sin_port), event == in_request ? "request" : "answer",
           (unsigned long long)state->found);
    fflush(stdout);
}

static void *run(void *at) {
    mtcp_app_join(*(mctx_t *)at);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[MOST];
    if (argc != 2)
        return 2;
    text = argv[1];
    length = strlen(text);
    contexts = GetNumCPUs() < MOST ? GetNumCPUs() : MOST;
    event_t found = mtcp_define_event(MOS_ON_CONN_NEW_DATA, search, NULL);
    in_request = mtcp_alloc_event(found);
    in_answer = mtcp_alloc_event(found);
    if (found == 0 || in_request == 0 || in_answer == 0)
        fail("mtcp_alloc_event");
    mtcp_register_signal(SIGTERM, stop);
    for (int i = 0; i < contexts; i++) {
        mctxs[i] = mtcp_create_context(i);
        if (mctxs[i] == NULL)
            fail("mtcp_create_context");
        int sock = mtcp_socket(mctxs[i], AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
        if (mtcp_register_callback(mctxs[i], sock, MOS_ON_CONN_START, MOS_HK_RCV, on_start) < 0 ||
            mtcp_register_callback(mctxs[i], sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) < 0 ||
            mtcp_register_callback(mctxs[i], sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) < 0 ||
            mtcp_register_callback(mctxs[i], sock, in_request, MOS_NULL, on_find) < 0 ||
            mtcp_register_callback(mctxs[i], sock, in_answer, MOS_NULL, on_find) < 0)
            fail("mtcp_register_callback");
    }
    for (int i = 0; i < contexts; i++)
        pthread_create(&threads[i], NULL, run, &mctxs[i]);
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < contexts; i++)
        pthread_join(threads[i], NULL);
    printf("evaluations %s callbacks\n", evaluations == callbacks ? "equal" : "differ from");
    return 0;
}
