// SPDX-License-Identifier: MIT
/*
 * S8: a buffer from the pool and back, by several threads at once, with and
 * without the per-thread caches. Time is the threads' own processor time, so
 * that more threads than processors do not look slower than they are.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "payload.h"

#define MAX_THREADS	4
#define BUFFER_SIZE	4096
#define BUFFER_COUNT	256
#define AT_ONCE		500

#define CACHED		BENCH_GROUP(0)
#define UNCACHED	BENCH_GROUP(1)
#define AGAINST_UNCACHED BENCH_GROUP(2)

enum { S8_NS, S8_EMPTY };

struct pool_thread {
	pthread_t thread;
	struct bench_run *run;
	struct pool_threads *all;
	int cpu;
	uint64_t count;
	uint64_t empty;
	uint64_t cpu_ns;
	int err;
};

struct pool_threads {
	pthread_barrier_t barrier;
	struct krepis_endpoint *producer;
	unsigned int count;
	int (*once)(struct pool_thread *thread);
	struct pool_thread thread[MAX_THREADS];
};

static int pool_setup(struct bench_run *run)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.buffer_size = BUFFER_SIZE,
		.buffer_count = BUFFER_COUNT,
	};

	return backend_create(run, &options, (struct krepis_channel **)&run->data);
}

static void pool_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

static int once_krepis(struct pool_thread *thread)
{
	struct krepis_endpoint *producer = thread->all->producer;
	struct krepis_buffer *buffer;
	int err;

	err = krepis_acquire(producer, &buffer, KREPIS_NOWAIT);
	if (err) {
		/* The others' caches hold all that is free at the moment. */
		thread->empty++;
		return err == -EAGAIN ? 0 : err;
	}
	return krepis_abandon(producer, buffer);
}

static int once_malloc(struct pool_thread *thread)
{
	void *buffer = malloc(BUFFER_SIZE);

	(void)thread;
	/* It is used, or the pair would be left out. */
	__asm__ volatile("" : "+r"(buffer) :: "memory");
	free(buffer);
	return 0;
}

static void *pool_thread(void *data)
{
	struct pool_thread *thread = data;
	struct bench_run *run = thread->run;
	uint64_t end, began;
	unsigned int i;

	machine_pin(thread->cpu);
	pthread_barrier_wait(&thread->all->barrier);
	end = clock_ticks() + clock_from_ns(run->warmup_ns);
	while (clock_ticks() < end && !thread->err)
		thread->err = thread->all->once(thread);

	thread->empty = 0;
	began = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	end = clock_ticks() + clock_from_ns(run->measure_ns);
	while (clock_ticks() < end && !thread->err) {
		for (i = 0; i < AT_ONCE && !thread->err; i++)
			thread->err = thread->all->once(thread);
		thread->count += i;
	}
	thread->cpu_ns = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID) - began;
	/* A thread that ends gives its cache back: all have to be there until the last is done. */
	pthread_barrier_wait(&thread->all->barrier);
	return NULL;
}

static int run_threads(struct bench_run *run, struct pool_threads *all)
{
	uint64_t count = 0, empty = 0, cpu_ns = 0;
	unsigned int i;
	int err = 0;

	all->count = (unsigned int)run->what->param;
	pthread_barrier_init(&all->barrier, NULL, all->count);
	bench_ready(run, 0);
	for (i = 0; i < all->count; i++) {
		struct pool_thread *thread = &all->thread[i];

		thread->run = run;
		thread->all = all;
		thread->cpu = machine.cpu[i % 2];
		if (pthread_create(&thread->thread, NULL, pool_thread, thread))
			return bench_error(run, 0, "pthread_create");
	}
	for (i = 0; i < all->count; i++) {
		struct pool_thread *thread = &all->thread[i];

		pthread_join(thread->thread, NULL);
		count += thread->count;
		empty += thread->empty;
		cpu_ns += thread->cpu_ns;
		err = thread->err ? thread->err : err;
	}
	bench_done(run, 0);
	pthread_barrier_destroy(&all->barrier);
	if (err)
		return bench_error(run, 0, "acquire and abandon: %s", krepis_strerror(err));
	if (count <= empty)
		return bench_error(run, 0, "the pool was always empty");
	run->value[S8_NS] = (double)cpu_ns / (double)(count - empty);
	run->value[S8_EMPTY] = (double)empty / (double)count * 100;
	return 0;
}

static int side_krepis(struct bench_run *run)
{
	struct pool_threads all = { .once = once_krepis };
	int err;

	err = krepis_attach(run->data, KREPIS_PRODUCER, run->what->attach_flags, &all.producer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	err = run_threads(run, &all);
	if (!err)
		krepis_detach(all.producer);
	return err;
}

static int side_malloc(struct bench_run *run)
{
	struct pool_threads all = { .once = once_malloc };

	return run_threads(run, &all);
}

static void s8_list(struct bench_suite *suite)
{
	static const uint64_t threads[] = { 1, 2, 4 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		struct bench_case what = {
			.impl = "krepis-shm",
			.param = threads[i],
			.ours = CACHED | AGAINST_UNCACHED,
			.flags = BENCH_ALONE | (threads[i] > 2 ? BENCH_CROWDED : 0),
			.setup = pool_setup,
			.side = { side_krepis },
			.teardown = pool_teardown,
		};

		suite_add(suite, &what);
		what.variant = "nocache";
		what.ours = UNCACHED;
		what.peer = AGAINST_UNCACHED;
		what.attach_flags = KREPIS_ATTACH_NO_CACHE;
		suite_add(suite, &what);
		what.impl = "malloc";
		what.variant = NULL;
		what.ours = 0;
		what.peer = CACHED | UNCACHED;
		what.setup = NULL;
		what.side[0] = side_malloc;
		what.teardown = NULL;
		suite_add(suite, &what);
	}
}

static const struct bench_goal s8_goals[] = {
	{ "S8/krepis-shm/1", "time", NULL, 15, false },
};

const struct bench_scenario s8_pool = {
	.name = "S8",
	.title = "pool: acquire and abandon of 4 KiB, ns of processor time each",
	.param_unit = "threads",
	.measure_ns = 20000000,
	.metric = {
		[S8_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER,
			    BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[S8_EMPTY] = { "empty", "%", "empty %", 1, BENCH_LOWER, BENCH_COLUMN },
	},
	.list = s8_list,
	.goals = s8_goals,
	.goal_count = ARRAY_SIZE(s8_goals),
};
