/* libnids over a capture file: every connection followed, both directions collected, as its users do it.
 *
 *     nids FILE verify|trust
 *
 * Prints what it counted as one JSON object. Portscan detection and syslog are off: they are not reassembly. */
#include <nids.h>
#include <stdio.h>
#include <string.h>

/* Connections at once; libnids gives up the oldest beyond three quarters of it. `many` has 10 000. */
#define STREAMS 65536

static unsigned long long payload, opened;

static void stream(struct tcp_stream *tcp, void **unused)
{
	(void)unused;
	switch (tcp->nids_state) {
	case NIDS_JUST_EST:
		tcp->client.collect++;
		tcp->server.collect++;
		opened++;
		break;
	case NIDS_DATA:
		payload += tcp->client.count_new + tcp->server.count_new;
		break;
	}
}

static void quiet(int type, int error, void *ip, void *data)
{
	(void)type, (void)error, (void)ip, (void)data;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: nids FILE verify|trust\n");
		return 2;
	}
	nids_params.filename = argv[1];
	nids_params.n_tcp_streams = STREAMS;
	nids_params.scan_num_hosts = 0;
	nids_params.syslog = quiet;
	if (!nids_init()) {
		fprintf(stderr, "nids: %s\n", nids_errbuf);
		return 1;
	}
	if (strcmp(argv[2], "trust") == 0) {
		static struct nids_chksum_ctl all = { .netaddr = 0, .mask = 0, .action = NIDS_DONT_CHKSUM };
		nids_register_chksum_ctl(&all, 1);
	}
	nids_register_tcp(stream);
	nids_run();
	printf("{\"payload_bytes\": %llu, \"flows\": %llu}\n", payload, opened);
	return 0;
}
