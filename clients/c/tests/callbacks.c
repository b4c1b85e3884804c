// Callbacks, check by check: the name of one is the argument. callbacks.rs makes the connections after "ready", and compares
// the output.

#include <mos_api.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "cpu.h"

static mctx_t mctx;
static int listener;
static pthread_t joining;

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

static void listen_with(mctx_t own) {
    listener = mtcp_socket(own, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
    CHECK(listener > 0);
}

static void on(event_t event, int hook, callback_t callback) {
    CHECK(mtcp_register_callback(mctx, listener, event, hook, callback) == 0);
}

static int state(int sock, int side) {
    int value, option = side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR;
    socklen_t len = sizeof value;
    CHECK(mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &value, &len) == 0);
    return value;
}

static int client_port(int sock) {
    struct sockaddr_in ends[2];
    socklen_t len = sizeof ends;
    CHECK(mtcp_getpeername(mctx, sock, (struct sockaddr *)ends, &len, MOS_SIDE_BOTH) == 0);
    CHECK(ntohs(ends[MOS_SIDE_SVR].sin_port) == 80);
    return ntohs(ends[MOS_SIDE_CLI].sin_port);
}

static void say(const char *hook, int sock, int side, event_t event) {
    char buf[64];
    CHECK(pthread_equal(pthread_self(), joining));
    printf("%s %d %s ", hook, client_port(sock), side == MOS_SIDE_CLI ? "cli" : "svr");
    switch (event) {
    case MOS_ON_CONN_START:
        printf("start %d %d\n", state(sock, MOS_SIDE_CLI), state(sock, MOS_SIDE_SVR));
        break;
    case MOS_ON_TCP_STATE_CHANGE:
        printf("state %d\n", state(sock, side));
        break;
    case MOS_ON_CONN_NEW_DATA: {
        ssize_t len = mtcp_peek(mctx, sock, side, buf, sizeof buf);
        printf("data %.*s\n", (int)(len > 0 ? len : 0), buf);
        break;
    }
    case MOS_ON_REXMIT:
        printf("rexmit\n");
        break;
    case MOS_ON_ERROR:
        printf("error\n");
        break;
    case MOS_ON_CONN_END:
        // Everything can be read until the callback returns.
        printf("end %zd\n", mtcp_ppeek(mctx, sock, MOS_SIDE_SVR, buf, sizeof buf, 0));
        break;
    }
    // Of the packets' time, 2023, not of the present.
    CHECK(mtcp_cb_get_ts(mctx) - (uint32_t)(1700000000ull * 1000000) < 3600u * 1000000);
    fflush(stdout);
}

static void snd(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    CHECK(own == mctx && arg == NULL);
    say("snd", sock, side, event);
}

static void rcv(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    CHECK(own == mctx && arg == NULL);
    say("rcv", sock, side, event);
}

static void null(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    CHECK(own == mctx && arg == NULL);
    say("null", sock, side, event);
}

static void at_both_hooks(event_t event) {
    on(event, MOS_HK_SND, snd);
    on(event, MOS_HK_RCV, rcv);
}

static int last_ended;

static void after_the_end(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)sock, (void)side, (void)arg;
    char byte;
    CHECK(event == MOS_ON_TIMEOUT);
    struct timeval soon = {.tv_usec = 1000};
    if (mtcp_get_connection_cnt(own) > 0 || last_ended == 0) {
        CHECK(mtcp_settimer(own, 5, &soon, after_the_end) == 0);
        return;
    }
    FAILS(mtcp_ppeek(own, last_ended, MOS_SIDE_SVR, &byte, 1, 0), EBADF);
    CHECK(mtcp_destroy_context(own) == 0);
}

static void on_end(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)own, (void)side, (void)event, (void)arg;
    last_ended = sock;
}

// All events of connections, in order, in the joining thread.
static void life_of_a_connection(void) {
    at_both_hooks(MOS_ON_CONN_START);
    at_both_hooks(MOS_ON_TCP_STATE_CHANGE);
    at_both_hooks(MOS_ON_REXMIT);
    on(MOS_ON_CONN_NEW_DATA, MOS_NULL, null);
    on(MOS_ON_ERROR, MOS_NULL, null);
    on(MOS_ON_CONN_END, MOS_HK_RCV, rcv);
    on(MOS_ON_CONN_END, MOS_HK_SND, on_end);
    struct timeval soon = {.tv_usec = 1000};
    CHECK(mtcp_settimer(mctx, 5, &soon, after_the_end) == 0);
    ready();
    mtcp_app_join(mctx);
}

static void errors_of_registration(void) {
    union monitor_filter wrong = {.stream_syn_filter = "tcp[13] == 2"}, none = {0};
    union monitor_filter right = {.stream_syn_filter = "dst net 10.0.0.0 mask 255.0.0.0 & dst port 80|port 443",
                                  .stream_orphan_filter = "port 80"};
    int raw = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
    CHECK(raw > 0 && raw != listener);
    FAILS(mtcp_socket(mctx, AF_INET6, MOS_SOCK_MONITOR_STREAM, 0), EAFNOSUPPORT);
    FAILS(mtcp_socket(mctx, AF_INET, MOS_SOCK_STREAM, 0), EINVAL);
    FAILS(mtcp_socket(NULL, AF_INET, MOS_SOCK_MONITOR_RAW, 0), EACCES);

    CHECK(mtcp_bind_monitor_filter(mctx, listener, NULL) == 0);
    CHECK(mtcp_bind_monitor_filter(mctx, listener, &none) == 0);
    CHECK(mtcp_bind_monitor_filter(mctx, listener, &right) == 0);
    FAILS(mtcp_bind_monitor_filter(mctx, listener, &wrong), EINVAL);
    FAILS(mtcp_bind_monitor_filter(mctx, 1000, &right), EBADF);
    FAILS(mtcp_bind_monitor_filter(mctx, monitor_open(mctx, 1), &right), ENOPROTOOPT);
    FAILS(mtcp_bind_monitor_filter(NULL, listener, &right), EACCES);

    FAILS(mtcp_register_callback(mctx, 1000, MOS_ON_CONN_START, MOS_HK_SND, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, listener, MOS_ON_CONN_START, MOS_NULL, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, listener, MOS_ON_CONN_NEW_DATA, MOS_HK_RCV, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, listener, MOS_ON_CONN_START, 5, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, listener, MOS_NULL_EVENT, MOS_HK_SND, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, listener, 3, MOS_HK_SND, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, raw, MOS_ON_CONN_START, MOS_HK_SND, snd), EINVAL);
    FAILS(mtcp_register_callback(mctx, listener, MOS_ON_CONN_START, MOS_HK_SND, NULL), EINVAL);
    FAILS(mtcp_register_callback(NULL, listener, MOS_ON_CONN_START, MOS_HK_SND, snd), EACCES);
    on(MOS_ON_CONN_START, MOS_HK_SND, snd);
    CHECK(mtcp_register_callback(mctx, listener, MOS_ON_CONN_START, MOS_HK_SND, NULL) == 0);

    FAILS(mtcp_ppeek(mctx, listener, MOS_SIDE_SVR, NULL, 0, 0), ESOCKTNOSUPPORT);
    errno = 0;
    CHECK(mtcp_define_event(MOS_ON_CONN_START, NULL, NULL) == 0 && errno == EINVAL);
    errno = 0;
    CHECK(mtcp_alloc_event(MOS_NULL_EVENT) == 0 && errno == EINVAL);
    FAILS(mtcp_raise_event(mctx, MOS_ON_CONN_START), EINVAL);
    FAILS(mtcp_raise_event(mctx, mtcp_alloc_event(MOS_ON_CONN_START)), EPERM);

    struct timeval past = {.tv_sec = -1}, now = {0};
    FAILS(mtcp_settimer(mctx, 1, &past, snd), EINVAL);
    FAILS(mtcp_settimer(mctx, 1, &now, NULL), EINVAL);
    FAILS(mtcp_settimer(mctx, 1, NULL, snd), EFAULT);

    struct pkt_info packet = {0};
    byte data[1] = {0};
    FAILS(mtcp_getlastpkt(mctx, listener, MOS_SIDE_CLI, &packet), ENODATA);
    FAILS(mtcp_getlastpkt(mctx, 1000, MOS_SIDE_CLI, &packet), EBADF);
    FAILS(mtcp_setlastpkt(mctx, listener, MOS_SIDE_CLI, 0, data, 1, MOS_OVERWRITE | MOS_IP_HDR), EPERM);
    FAILS(mtcp_setlastpkt(mctx, 1000, MOS_SIDE_CLI, 0, NULL, 0, MOS_DROP), EBADF);
    FAILS(mtcp_sendpkt(mctx, listener, &packet), EACCES);
    FAILS(mtcp_reset_conn(mctx, listener), EINVAL);
    FAILS(mtcp_reset_conn(mctx, 1000), EACCES);

    int off = 0, size = 4096;
    CHECK(mtcp_setsockopt(mctx, listener, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof off) == 0);
    FAILS(mtcp_setsockopt(mctx, listener, SOL_MONSOCKET, MOS_SVRBUF, &size, sizeof size), EPERM);

    char memory;
    CHECK(mtcp_get_uctx(mctx, listener) == NULL);
    mtcp_set_uctx(mctx, listener, &memory);
    CHECK(mtcp_get_uctx(mctx, listener) == &memory);
    errno = 0;
    CHECK(mtcp_get_uctx(mctx, 1000) == NULL && errno == EBADF);
    CHECK(mtcp_close(mctx, listener) == 0);
    FAILS(mtcp_close(mctx, listener), EBADF);
    FAILS(mtcp_core_affinitize(1 << 20), EINVAL);
    CHECK(GetNumCPUs() >= 1);

    struct mtcp_conf conf;
    CHECK(mtcp_getconf(&conf) == 0 && conf.num_cores == GetNumCPUs());
    conf.num_cores = 3;
    CHECK(mtcp_setconf(&conf) == 0 && mtcp_getconf(&conf) == 0 && conf.num_cores == 3);
    conf.num_cores = 0;
    FAILS(mtcp_setconf(&conf), EINVAL);
    FAILS(mtcp_getconf(NULL), EFAULT);
    FAILS(mtcp_init("/"), EISDIR);
    CHECK(mtcp_init(NULL) == 0 && mtcp_init("/nonexistent") == 0 && mtcp_destroy() == 0);
}

// An event of the bytes "GET", one of every second of those, and two that its filter raises.
static event_t get, second, odd, even;
static int evaluations, gets, seconds;

static bool is_get(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    char buf[64];
    CHECK(own == mctx && event == MOS_ON_CONN_NEW_DATA && arg != NULL);
    CHECK(arg->len == 4 && strcmp(arg->arg, "GET") == 0);
    evaluations++;
    ssize_t len = mtcp_peek(own, sock, side, buf, sizeof buf);
    // More bytes are sent after this line.
    printf("%d evaluated\n", client_port(sock));
    fflush(stdout);
    return len >= 3 && memcmp(buf, arg->arg, 3) == 0;
}

static bool is_second(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)sock, (void)side;
    CHECK(event == get && arg == NULL);
    seconds++;
    CHECK(mtcp_raise_event(own, seconds % 2 ? odd : even) == 0);
    return seconds % 2 == 0;
}

static void on_defined(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    CHECK(own == mctx && side == MOS_SIDE_SVR);
    CHECK((arg != NULL) == (event == get));
    const char *name = event == get ? "get" : event == second ? "second" : event == odd ? "odd" : "even";
    printf("%d %s\n", client_port(sock), name);
    fflush(stdout);
    gets += event == get;
}

static void end_of_events(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)sock, (void)side, (void)event, (void)arg;
    printf("%d evaluations, %d gets, %d seconds\n", evaluations, gets, seconds);
    CHECK(mtcp_destroy_context(own) == 0);
}

static void defined_events(void) {
    char text[] = "GET";
    filter_arg_t arg = {.arg = text, .len = sizeof text};
    get = mtcp_define_event(MOS_ON_CONN_NEW_DATA, is_get, &arg);
    CHECK(get != 0 && mtcp_define_event(MOS_ON_CONN_NEW_DATA, is_get, &arg) == get);
    memset(text, 0, sizeof text);
    second = mtcp_define_event(get, is_second, NULL);
    odd = mtcp_alloc_event(second);
    even = mtcp_alloc_event(second);
    CHECK(second != 0 && odd != 0 && even != 0 && odd != even);
    // Nothing depends on this filter: it isn't called.
    CHECK(mtcp_define_event(MOS_ON_CONN_NEW_DATA, is_second, NULL) != 0);
    on(get, MOS_NULL, on_defined);
    on(second, MOS_NULL, on_defined);
    on(odd, MOS_NULL, on_defined);
    on(even, MOS_NULL, on_defined);
    on(MOS_ON_CONN_END, MOS_HK_SND, end_of_events);
    ready();
    mtcp_app_join(mctx);
}

// The socket of a connection gets a callback of its own; another one is closed in its first callback.
static void own_data(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)event, (void)arg;
    char buf[64];
    int both = MOS_SIDE_BOTH, off = 0;
    ssize_t len = mtcp_ppeek(own, sock, side, buf, sizeof buf, 0);
    CHECK(len > 0);
    printf("%d %.*s\n", client_port(sock), (int)len, buf);
    fflush(stdout);
    CHECK(mtcp_setsockopt(own, sock, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof off) == 0);
    FAILS(mtcp_ppeek(own, sock, side, buf, sizeof buf, 0), EINVAL);
    CHECK(mtcp_setsockopt(own, sock, SOL_MONSOCKET, MOS_STOP_MON, &both, sizeof both) == 0);
}

static void choose(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    if (client_port(sock) == 1001)
        CHECK(mtcp_register_callback(own, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, own_data) == 0);
    if (client_port(sock) == 1002)
        CHECK(mtcp_close(own, sock) == 0);
}

static void end_of_choice(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    printf("%d ended\n", client_port(sock));
    CHECK(mtcp_destroy_context(own) == 0);
}

static void callbacks_of_one_connection(void) {
    on(MOS_ON_CONN_START, MOS_HK_SND, choose);
    on(MOS_ON_CONN_END, MOS_HK_SND, end_of_choice);
    ready();
    mtcp_app_join(mctx);
}

static int ticks;

static void tick(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side;
    struct timeval now = {0};
    CHECK(event == MOS_ON_TIMEOUT && arg == NULL);
    CHECK(sock == ticks % 2 + 1);
    ticks++;
    if (ticks == 1000)
        CHECK(mtcp_destroy_context(own) == 0);
    else
        CHECK(mtcp_settimer(own, ticks % 2 + 1, &now, tick) == 0);
}

static void timers(void) {
    struct timeval now = {0}, never = {.tv_sec = 1000000};
    CHECK(mtcp_settimer(mctx, 9, &never, tick) == 0);
    CHECK(mtcp_settimer(mctx, 1, &now, tick) == 0);
    mtcp_app_join(mctx);
    CHECK(ticks == 1000);
    FAILS(mtcp_settimer(mctx, 1, &now, tick), EACCES);
}

static mctx_t several[3];

static void destroy_all(int signum) {
    (void)signum;
    for (int i = 0; i < 3; i++)
        mtcp_destroy_context(several[i]);
}

static void *join(void *at) {
    mtcp_app_join(*(mctx_t *)at);
    return NULL;
}

static void kill_self(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)own, (void)sock, (void)side, (void)event, (void)arg;
    raise(SIGUSR1);
}

// A handler destroys contexts while one thread joins one, and another joins the rest, one after the other.
static void destroyed_in_a_signal_handler(void) {
    pthread_t thread;
    struct timeval soon = {.tv_usec = 1000};
    CHECK(mtcp_register_signal(SIGUSR1, destroy_all) != SIG_ERR);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 3; i++) {
            several[i] = mtcp_create_context(i);
            CHECK(several[i] != NULL);
            mctx = several[i];
            listen_with(mctx);
            on(MOS_ON_CONN_START, MOS_HK_SND, snd);
        }
        // The timer of the last one runs while the second one is joined.
        CHECK(mtcp_settimer(several[2], 1, &soon, kill_self) == 0);
        CHECK(pthread_create(&thread, NULL, join, &several[0]) == 0);
        mtcp_app_join(several[1]);
        mtcp_app_join(several[2]);
        CHECK(pthread_join(thread, NULL) == 0);
        for (int i = 0; i < 3; i++)
            FAILS(mtcp_destroy_context(several[i]), EACCES);
    }
    mctx = mtcp_create_context(0);
}

// The daemon is another one after the first connection.
static void restart(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)arg;
    char buf[8];
    printf("%d %s\n", client_port(sock), event == MOS_ON_CONN_START ? "start" : "end");
    fflush(stdout);
    if (event == MOS_ON_CONN_END && client_port(sock) == 1001)
        FAILS(mtcp_ppeek(own, sock, MOS_SIDE_SVR, buf, sizeof buf, 0), EBADF);
    if (event == MOS_ON_CONN_END && client_port(sock) == 1002)
        CHECK(mtcp_destroy_context(own) == 0);
}

static void connections_end_with_their_daemon(void) {
    on(MOS_ON_CONN_START, MOS_HK_SND, restart);
    on(MOS_ON_CONN_END, MOS_HK_RCV, restart);
    ready();
    mtcp_app_join(mctx);
}

static unsigned starts[65536], ends[65536], latest[65536][2], ended, repeated;

// States of an end only move forward; a closed one is the last.
static void moves(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)own, (void)event, (void)arg;
    int port = client_port(sock), now = state(sock, side);
    unsigned rank = now == 0 ? 99 : (unsigned)now;
    repeated += rank <= latest[port][side];
    latest[port][side] = rank;
}

// The first connection holds the context up until the test has made more events than the daemon keeps.
static void missed_start(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)own, (void)side, (void)event, (void)arg;
    int port = client_port(sock);
    repeated += starts[port]++ > 0;
    if (port == 1001) {
        puts("held up");
        fflush(stdout);
        CHECK(getchar() == '\n');
    }
}

static void missed_end(mctx_t own, int sock, int side, event_t event, filter_arg_t *arg) {
    (void)side, (void)event, (void)arg;
    int port = client_port(sock);
    repeated += ends[port]++ > 0 || starts[port] != 1;
    if (++ended == 18001) {
        puts("all ended");
        fflush(stdout);
    }
    if (port == 1002) {
        printf("%u ended, %u repeated\n", ended, repeated);
        CHECK(mtcp_destroy_context(own) == 0);
    }
}

// Events that the daemon couldn't keep are made up for, and their successors repeat nothing.
static void missing_events(void) {
    on(MOS_ON_CONN_START, MOS_HK_SND, missed_start);
    on(MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, moves);
    on(MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, moves);
    on(MOS_ON_CONN_END, MOS_HK_RCV, missed_end);
    ready();
    mtcp_app_join(mctx);
}

static const struct check CHECKS[] = {
    NAMED(life_of_a_connection),
    NAMED(errors_of_registration),
    NAMED(defined_events),
    NAMED(callbacks_of_one_connection),
    NAMED(timers),
    NAMED(destroyed_in_a_signal_handler),
    NAMED(connections_end_with_their_daemon),
    NAMED(missing_events),
};

int main(int argc, char **argv) {
    CHECK(argc == 2);
    mctx = mtcp_create_context(0);
    CHECK(mctx != NULL && mctx->cpu == 0);
    joining = pthread_self();
    listen_with(mctx);
    run(CHECKS, sizeof CHECKS / sizeof *CHECKS, argv[1]);
    return 0;
}
