// SPDX-License-Identifier: MIT
/*
 * A case of two processes around a transport.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

static const struct transport *const all[] = {
	&link_krepis_shm, &link_krepis_kmod, &link_raw, &link_ck, &link_ck_inplace, &link_boost,
	&link_rte, &link_rte_inplace, &link_iceoryx, &link_zmq, &link_nng, &link_pipe,
	&link_pipe_spin, &link_vmsplice, &link_unix, &link_unix_spin, &link_seqpacket,
	&link_seqpacket_spin, &link_mq, &link_mq_spin, &link_eventfd,
};

const struct transport *link_next(unsigned int *i)
{
	while (*i < ARRAY_SIZE(all)) {
		const struct transport *t = all[(*i)++];

		if (t)
			return t;
	}
	return NULL;
}

bool link_ours(const struct transport *transport)
{
	return !strncmp(transport->name, "krepis", strlen("krepis"));
}

long link_limit(const char *path)
{
	FILE *f = fopen(path, "re");
	long limit = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%ld", &limit) != 1)
		limit = 0;
	fclose(f);
	return limit;
}

static int link_side(struct bench_run *run, int who,
		     int (*loop)(struct bench_run *run, struct link *link))
{
	const struct transport *t = run->what->transport;
	int err;

	if (t->attach && t->attach(run, run->link, who))
		return -1;
	err = loop(run, run->link);
	if (t->detach)
		t->detach(run->link, who);
	return err;
}

static int side_ping(struct bench_run *run)
{
	return link_side(run, 0, run->what->transport->ping);
}

static int side_pong(struct bench_run *run)
{
	return link_side(run, 1, run->what->transport->pong);
}

static int side_produce(struct bench_run *run)
{
	return link_side(run, 0, run->what->transport->produce);
}

static int side_consume(struct bench_run *run)
{
	return link_side(run, 1, run->what->transport->consume);
}

static void link_free(struct link *link)
{
	free(link->buffer);
	free(link);
}

static int link_setup(struct bench_run *run)
{
	const struct bench_case *what = run->what;
	struct link *link = calloc(1, sizeof(*link));
	unsigned int i;

	if (!link)
		return bench_error(run, 0, "no memory");
	link->size = what->param;
	link->batch = what->batch ? what->batch : 1;
	link->load = what->load;
	link->yields = what->transport->features & LINK_THREADS;
	link->step = what->step;
	link->capacity = what->capacity;
	link->duplex = what->side[0] == side_ping;
	link->edge = what->flags & BENCH_EDGE;
	link->attach_flags = what->attach_flags;
	for (i = 0; i < ARRAY_SIZE(link->fd); i++)
		link->fd[i] = -1;
	link->buffer = aligned_alloc(64, (link->size * link->batch + 63) / 64 * 64);
	if (!link->buffer) {
		free(link);
		return bench_error(run, 0, "no memory");
	}
	memset(link->buffer, 0, link->size * link->batch);
	if (what->transport->setup(run, link)) {
		link_free(link);
		return -1;
	}
	run->link = link;
	return 0;
}

static void link_teardown(struct bench_run *run)
{
	if (run->what->transport->teardown)
		run->what->transport->teardown(run->link);
	link_free(run->link);
}

static void link_case(struct bench_case *what, const struct transport *transport)
{
	what->transport = transport;
	what->impl = transport->name;
	what->setup = link_setup;
	what->teardown = link_teardown;
	what->missing = transport->missing ? transport->missing() : NULL;
	if (transport->features & LINK_THREADS)
		what->flags |= BENCH_CROWDED;
	if (transport->features & LINK_NATIVE)
		what->flags |= BENCH_NATIVE;
	if (what->missing || !transport->refuses)
		return;
	what->missing = transport->refuses(what->param);
	if (what->missing)
		what->flags |= BENCH_IMPOSSIBLE;
}

void link_case_latency(struct bench_case *what, const struct transport *transport)
{
	link_case(what, transport);
	what->side[0] = side_ping;
	what->side[1] = side_pong;
}

void link_case_rate(struct bench_case *what, const struct transport *transport)
{
	link_case(what, transport);
	what->side[0] = side_produce;
	what->side[1] = side_consume;
}

static double beyond(uint64_t wakes, uint64_t waits)
{
	return wakes > waits ? (double)(wakes - waits) : 0;
}

static double counted(const struct bench_run *run, enum bench_counter counter)
{
	return (run->side[0].counted[counter] + run->side[1].counted[counter]) /
	       (double)run->messages;
}

/*
 * A side that slept, because the other one was slower or was switched out, is
 * rightly woken once. What is left was called for a peer that was awake.
 */
void link_finish(struct bench_run *run)
{
	const struct bench_calls *a = &run->side[0].calls, *b = &run->side[1].calls;

	if (run->messages)
		run->value[LINK_CPU_NS] = (double)(run->side[0].cpu_ns + run->side[1].cpu_ns) /
					  (double)run->messages;
	if (run->messages && run->count) {
		run->value[LINK_SYSCALLS] = counted(run, BENCH_SYSCALLS);
		run->value[LINK_CYCLES] = counted(run, BENCH_CYCLES);
	}
	if (!run->what->transport || !run->what->transport->calls)
		return;
	run->value[LINK_WAKES] = (double)(a->wakes + b->wakes);
	run->value[LINK_SLEPT] = (double)(a->waits + b->waits);
	run->value[LINK_WAKES_AWAKE] = beyond(a->wakes, b->waits) + beyond(b->wakes, a->waits);
}
