// Written from the manual page of mtcp_ppeek: copies what the server of a connection received to standard output, while
// it goes on, until there are as many bytes as the second argument says. The first one is the server's port.

#include <arpa/inet.h>
#include <errno.h>
#include <mos_api.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int find(mctx_t mctx, int port) {
    int sockid = 0;
    while ((sockid = monitor_next(mctx, sockid)) > 0) {
        struct sockaddr_in server;
        socklen_t len = sizeof server;
        if (mtcp_getpeername(mctx, sockid, (struct sockaddr *)&server, &len, MOS_SIDE_SVR) == 0 &&
            server.sin_family == AF_INET && ntohs(server.sin_port) == port)
            return sockid;
    }
    return sockid;
}

int main(int argc, char **argv) {
    static char buf[64 * 1024];
    if (argc != 3)
        return 2;
    mctx_t mctx = mtcp_create_context(-1);
    if (mctx == NULL) {
        perror("mtcp_create_context");
        return 1;
    }
    uint64_t off = 0, wanted = strtoull(argv[2], NULL, 10);
    int sockid = find(mctx, atoi(argv[1]));
    while (off < wanted) {
        ssize_t len = mtcp_ppeek(mctx, sockid, MOS_SIDE_SVR, buf, sizeof buf, off);
        if (len >= 0) {
            fwrite(buf, 1, (size_t)len, stdout);
            fflush(stdout);
            off += (uint64_t)len;
        } else if (errno == ENODATA || errno == ENOTCONN) {
            // Not sent yet.
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        } else {
            perror("mtcp_ppeek");
            return 1;
        }
    }
    mtcp_destroy_context(mctx);
    return 0;
}
