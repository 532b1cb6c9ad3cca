// SPDX-License-Identifier: MIT
/*
 * Side 0 has the producers, sends to one, and waits until side 1, which has all consumers
 * in one wait set, says in a shared word that it has got the message; then it goes to
 * another, far from the one before. A sample is the time of both.
 *
 * What a process may have at most is found out by trying, and so is whether it may have
 * more.
 */
#include <errno.h>
#include <krepis/waitset.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backend.h"
#include "many.h"
#include "payload.h"

#define SIZE		64
#define STRIDE		7919	/* a prime: all channels have their turn */
#define FILES_MORE	256
#define EACH_SECOND	200	/* are attached at least, in an emulated machine, too */
#define WARM_UP		2	/* times all channels, as what is first used takes page faults */
#define FEW		10	/* channels that are active */

/* The word is the consumers'. */
struct many {
	size_t bytes;
	struct rlimit files;
	unsigned int count;
	uint64_t seen __attribute__((aligned(128)));
	struct krepis_channel *channel[];
};

static void many_teardown(struct bench_run *run)
{
	struct many *m = run->data;
	unsigned int i;

	for (i = 0; i < m->count; i++)
		krepis_channel_close(m->channel[i]);
	setrlimit(RLIMIT_NOFILE, &m->files);
	run_shared_free(m, m->bytes);
}

/* Room for that many descriptors, also beyond the hard limit for who may. */
static int allow_files(struct bench_run *run, struct many *m, rlim_t files)
{
	struct rlimit want;

	if (getrlimit(RLIMIT_NOFILE, &m->files))
		return bench_error(run, 0, "getrlimit: %s", strerror(errno));
	if (m->files.rlim_cur >= files)
		return 0;
	want.rlim_cur = files;
	want.rlim_max = m->files.rlim_max > files ? m->files.rlim_max : files;
	if (!setrlimit(RLIMIT_NOFILE, &want))
		return 0;
	return bench_impossible(run, 0, "RLIMIT_NOFILE is %llu of %llu",
				(unsigned long long)m->files.rlim_max, (unsigned long long)files);
}

/* A limit of the system, or what else? */
static int refused(struct bench_run *run, int who, const char *where, int err)
{
	switch (err) {
	case -ENOMEM:
		return bench_impossible(run, who, "%s: %s (vm.max_map_count is %ld)", where,
					strerror(-err), link_limit("/proc/sys/vm/max_map_count"));
	case -EMFILE:
	case -EAGAIN:
		return bench_impossible(run, who, "%s: %s", where, strerror(-err));
	}
	return bench_error(run, who, "%s: %s", where, krepis_strerror(err));
}

static int many_setup(struct bench_run *run)
{
	const struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = KREPIS_F_NO_BUFFERS,
		.ring_size = KREPIS_MIN_RING_SIZE,
		.max_consumers = 1,
	};
	unsigned int count = (unsigned int)run->what->param;
	size_t bytes = sizeof(struct many) + count * sizeof(struct krepis_channel *);
	struct many *m = run_shared_alloc(bytes);

	if (!m)
		return bench_error(run, 0, "no memory");
	m->bytes = bytes;
	run->data = m;
	/* A channel's, and when that is closed the endpoint's. */
	if (allow_files(run, m, (rlim_t)count + FILES_MORE))
		goto err_free;
	for (m->count = 0; m->count < count; m->count++)
		if (backend_create(run, &options, &m->channel[m->count]))
			goto err_close;
	return 0;

err_close:
	many_teardown(run);
	return -1;
err_free:
	run_shared_free(m, bytes);
	return -1;
}

/* Of all channels, whose own descriptors this process does not need any more. */
static int attach_all(struct bench_run *run, int who, struct krepis_endpoint **endpoint)
{
	struct many *m = run->data;
	unsigned int i;
	int err;

	for (i = 0; i < m->count; i++) {
		err = krepis_attach(m->channel[i], who ? KREPIS_CONSUMER : KREPIS_PRODUCER, 0,
				    &endpoint[i]);
		if (err)
			return refused(run, who, "krepis_attach", err);
		krepis_channel_close(m->channel[i]);
	}
	return 0;
}

static struct krepis_endpoint **make_table(const struct many *m)
{
	return calloc(m->count, sizeof(struct krepis_endpoint *));
}

/* ------------------------------------------------------------------- producers */

static int send_and_wait(struct many *m, struct krepis_endpoint *producer, uint64_t sequence)
{
	uint64_t message[SIZE / 8] __attribute__((aligned(64)));
	int err;

	payload_fill(message, SIZE, sequence);
	err = krepis_send(producer, 0, message, SIZE, KREPIS_FOREVER);
	while (!err && __atomic_load_n(&m->seen, __ATOMIC_ACQUIRE) != sequence)
		cpu_relax();
	return err;
}

/* All of them, or a few among the others. */
static unsigned int active_of(const struct bench_run *run)
{
	const struct many *m = run->data;

	return strcmp(run->what->variant, "turns") && m->count > FEW ? FEW : m->count;
}

static int send_all(struct bench_run *run, struct krepis_endpoint **producer)
{
	struct many *m = run->data;
	uint64_t sequence = 0, end = 0, then, now;
	unsigned int active = active_of(run), at = 0, warm = active * WARM_UP;
	uint32_t n = 0;
	int err;

	do {
		at = (at + STRIDE) % active;
		then = clock_ticks();
		err = send_and_wait(m, producer[at * (m->count / active)], ++sequence);
		now = clock_ticks();
		if (err)
			break;
		if (warm && --warm)
			continue;
		if (!end)
			end = now + clock_from_ns(run->measure_ns);
		else
			run->sample[n++] = now - then > UINT32_MAX ? UINT32_MAX :
								     (uint32_t)(now - then);
	} while ((!end || now < end) && n < BENCH_MAX_SAMPLES);
	if (!err)
		err = send_and_wait(m, producer[0], PAYLOAD_STOP);
	run->sample_count = n;
	return err;
}

static int side_send(struct bench_run *run)
{
	struct many *m = run->data;
	struct krepis_endpoint **producer = make_table(m);
	int err;

	if (!producer)
		return bench_error(run, 0, "no memory");
	if (attach_all(run, 0, producer))
		return -1;
	bench_ready(run, 0);
	err = send_all(run, producer);
	bench_done(run, 0);
	/* The endpoints end with the process; one by one would take longer than all the rest. */
	return err ? bench_error(run, 0, "krepis_send: %s", krepis_strerror(err)) : 0;
}

/* ------------------------------------------------------------------- consumers */

/* Takes what is there: a message at most. The call that finds nothing is asked for by the set. */
static int take(struct many *m, struct krepis_endpoint *consumer, uint64_t *sequence)
{
	struct krepis_msg msg;
	uint64_t got;
	int err;

	while (!(err = krepis_recv(consumer, &msg, KREPIS_NOWAIT))) {
		if (msg.len != SIZE || !payload_check(msg.data, SIZE, &got) ||
		    (got != *sequence + 1 && got != PAYLOAD_STOP))
			return -EBADMSG;
		*sequence = got;
	}
	if (err != -EAGAIN)
		return err;
	__atomic_store_n(&m->seen, *sequence, __ATOMIC_RELEASE);
	return 0;
}

static int receive_all(struct many *m, struct krepis_waitset *set)
{
	struct krepis_ready ready[4];
	uint64_t sequence = 0;
	int n, i, err = 0;

	while (!err && sequence != PAYLOAD_STOP) {
		n = krepis_waitset_wait(set, ready, ARRAY_SIZE(ready), KREPIS_FOREVER);
		if (n < 0)
			return n;
		for (i = 0; i < n && !err; i++)
			err = ready[i].err ? ready[i].err : take(m, ready[i].endpoint, &sequence);
	}
	return err;
}

static int make_set(struct bench_run *run, struct krepis_waitset **set)
{
	struct many *m = run->data;
	struct krepis_endpoint **consumer = make_table(m);
	unsigned int i;
	int err;

	if (!consumer)
		return bench_error(run, 1, "no memory");
	if (attach_all(run, 1, consumer))
		return -1;
	err = krepis_waitset_create(set);
	for (i = 0; i < m->count && !err; i++)
		err = krepis_waitset_add(*set, consumer[i], NULL);
	return err ? refused(run, 1, "krepis_waitset_add", err) : 0;
}

static int side_receive(struct bench_run *run)
{
	struct many *m = run->data;
	struct krepis_waitset *set;
	int err;

	if (make_set(run, &set))
		return -1;
	bench_ready(run, 1);
	err = receive_all(m, set);
	bench_done(run, 1);
	return err ? bench_error(run, 1, "krepis_waitset_wait: %s", krepis_strerror(err)) : 0;
}

void many_case(struct bench_case *what, const char *impl, unsigned int channels)
{
	what->impl = impl;
	what->param = channels;
	what->missing = backend_missing(impl);
	/* Threads of the library, on the consumers' processor. */
	if (strcmp(impl, "krepis-kmod"))
		what->flags |= BENCH_CROWDED;
	what->patience_s = channels / EACH_SECOND;
	what->setup = many_setup;
	what->side[0] = side_send;
	what->side[1] = side_receive;
	what->teardown = many_teardown;
}
