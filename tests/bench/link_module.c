// SPDX-License-Identifier: MIT
/*
 * krepis-ioctl: a round trip through the module's WAIT and WAKE alone. The message is
 * one word in each direction, as futex(2) has it in link_raw.c; each side sleeps on
 * its event word, which every WAKE of the other one counts up.
 */
#include <linux/krepis.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "loops.h"

#define WORDS_APART	4096

/* Of one side, after the fork. */
struct module_side {
	struct krepis_info *info;
	struct krepis_wake_args wake;
	struct krepis_wait_args wait;
	uint32_t *event;
};

static int module_setup(struct bench_run *run, struct link *link)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = KREPIS_F_NO_BUFFERS,
		.max_consumers = 1,
	};
	struct krepis_channel *channel;
	struct module_side *side;

	link->shared_size = 2 * WORDS_APART;
	link->shared = run_shared_alloc(link->shared_size);
	side = calloc(1, sizeof(*side));
	if (!link->shared || !side)
		return bench_error(run, 0, "no memory");
	link->state = side;
	/* Stands for any krepis-* but krepis-shm: of the module. */
	if (backend_create(run, &options, &channel))
		return -1;
	link->fd[0] = dup(krepis_channel_fd(channel));
	krepis_channel_close(channel);
	return link->fd[0] < 0 ? bench_error(run, 0, "dup: %s", strerror(errno)) : 0;
}

static void module_teardown(struct link *link)
{
	close(link->fd[0]);
	free(link->state);
	run_shared_free(link->shared, link->shared_size);
}

static int module_attach(struct bench_run *run, struct link *link, int who)
{
	struct krepis_attach_args args = {
		.size = sizeof(args),
		.role = who ? KREPIS_CONSUMER : KREPIS_PRODUCER,
		.rights = KREPIS_RIGHT_ALL,
	};
	struct module_side *side = link->state;
	void *page;

	link->tx_fd = ioctl(link->fd[0], KREPIS_IOC_ATTACH, &args);
	if (link->tx_fd < 0)
		return bench_error(run, who, "KREPIS_IOC_ATTACH: %s", strerror(errno));
	page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, link->tx_fd, 0);
	if (page == MAP_FAILED)
		return bench_error(run, who, "mmap: %s", strerror(errno));
	side->info = page;
	side->event = &side->info->event[who];
	side->wake.size = sizeof(side->wake);
	side->wake.consumers = who ? 0 : 1;
	side->wait.size = sizeof(side->wait);
	side->wait.at = (uint64_t)((char *)side->event - (char *)side->info);
	side->wait.deadline_ns = INT64_MAX;
	link->tx = (char *)link->shared + who * WORDS_APART;
	link->rx = (char *)link->shared + !who * WORDS_APART;
	return 0;
}

static void module_detach(struct link *link, int who)
{
	struct krepis_none args = { .size = sizeof(args) };

	(void)who;
	ioctl(link->tx_fd, KREPIS_IOC_DETACH, &args);
	close(link->tx_fd);
}

static inline int module_send(struct link *link, uint64_t sequence)
{
	struct module_side *side = link->state;

	__atomic_store_n((uint64_t *)link->tx, sequence, __ATOMIC_SEQ_CST);
	return ioctl(link->tx_fd, KREPIS_IOC_WAKE, &side->wake) ? loop_errno() : 0;
}

static inline int module_recv(struct link *link, uint64_t *sequence)
{
	struct module_side *side = link->state;
	const uint64_t *word = link->rx;
	uint64_t now;

	for (;;) {
		/* First the event, then what it tells of: what comes between is not missed. */
		side->wait.value = __atomic_load_n(side->event, __ATOMIC_SEQ_CST);
		now = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		if (now != link->received)
			break;
		if (ioctl(link->tx_fd, KREPIS_IOC_WAIT, &side->wait) && errno != EINTR)
			return loop_errno();
	}
	link->received = now;
	*sequence = now;
	return 0;
}

static int module_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, module_send, module_recv);
}

static int module_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, module_send, module_recv);
}

const struct transport link_ioctl = {
	.name = "krepis-ioctl",
	.features = LINK_LATENCY,
	.missing = backend_no_module,
	.setup = module_setup,
	.attach = module_attach,
	.ping = module_ping,
	.pong = module_pong,
	.detach = module_detach,
	.teardown = module_teardown,
};
