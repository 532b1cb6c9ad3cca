// SPDX-License-Identifier: MIT
/*
 * S10: figures that everything else is built of.
 *
 *	call	  krepis_channel_fd() of the shared library, as a program that is linked with it
 *		  calls it; beside it a function of this program, through a pointer as well
 *	flush	  krepis_flush() with nothing to flush, the same way: a call with its checks
 *	dispatch  krepis_recv() of a message that is there, and its handler by a table of types;
 *		  "dispatch-batch" the same by krepis_recv_batch()
 *	frame	  80 x 24 cells of 8 bytes: from krepis_triple_begin() until another process has
 *		  read them all, and has said so in a shared word
 *	pane	  what a triple for such frames takes, both ends attached, one frame seen
 *	million	  1,000,000 buffers acquired and abandoned; malloc() and free() of as large ones
 */
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "founding.h"

#define BUFFER_BYTES	4096
#define BUFFERS		64
#define MILLION		1000000
#define AT_ONCE		1000	/* between two looks at the clock */

#define CALL		BENCH_GROUP(0)
#define DISPATCH	BENCH_GROUP(1)
#define FRAME		BENCH_GROUP(2)
#define PANE		BENCH_GROUP(3)
#define HANDLES		BENCH_GROUP(4)
#define DISPATCH_BATCH	BENCH_GROUP(5)

/* Runs @once in portions for the time of the run. Return: ns of one. */
#define TIME_EACH(run, once) ({								\
	uint64_t began_, end_, count_ = 0;						\
	unsigned int i_;								\
											\
	end_ = clock_ticks() + clock_from_ns((run)->warmup_ns);				\
	while (clock_ticks() < end_)							\
		for (i_ = 0; i_ < AT_ONCE; i_++)					\
			(once);								\
	began_ = clock_ticks();								\
	end_ = began_ + clock_from_ns((run)->measure_ns);				\
	while (clock_ticks() < end_) {							\
		for (i_ = 0; i_ < AT_ONCE; i_++)					\
			(once);								\
		count_ += AT_ONCE;							\
	}										\
	clock_to_ns(clock_ticks() - began_) / (double)count_;				\
})

/* -------------------------------------------------------------------- a call */

/* What is called of the shared library; this program has it linked in statically. */
static struct shared_library {
	int (*channel_create)(const char *path, const struct krepis_channel_options *options,
			      struct krepis_channel **out);
	void (*channel_close)(struct krepis_channel *channel);
	int (*channel_fd)(const struct krepis_channel *channel);
	int (*attach)(struct krepis_channel *channel, enum krepis_role role, uint32_t flags,
		      struct krepis_endpoint **out);
	int (*flush)(struct krepis_endpoint *endpoint);
	void (*detach)(struct krepis_endpoint *endpoint);
} lib;

/* POSIX has it that an object pointer holds a function's address here. */
static bool find_symbol(void *library, const char *name, void *function)
{
	*(void **)function = dlsym(library, name);
	return *(void **)function;
}

/* Beside this program, where the build has it, or where the loader looks. */
static const char *find_library(void)
{
	char self[4000], path[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	void *library = NULL;

	if (lib.detach)
		return NULL;
	if (n > 0) {
		self[n] = '\0';
		snprintf(path, sizeof(path), "%s/libkrepis.so", dirname(self));
		library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	if (!library)
		library = dlopen("libkrepis.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return "no libkrepis.so (make lib)";
	if (find_symbol(library, "krepis_channel_create", &lib.channel_create) &&
	    find_symbol(library, "krepis_channel_close", &lib.channel_close) &&
	    find_symbol(library, "krepis_channel_fd", &lib.channel_fd) &&
	    find_symbol(library, "krepis_attach", &lib.attach) &&
	    find_symbol(library, "krepis_flush", &lib.flush) &&
	    find_symbol(library, "krepis_detach", &lib.detach))
		return NULL;
	return "libkrepis.so is another";
}

static int side_call(struct bench_run *run)
{
	bool flush = !strcmp(run->what->variant, "flush");
	struct krepis_endpoint *producer;
	struct krepis_channel *channel;
	int err;

	setenv("KREPIS_DIR", backend_directory(run->what->impl), 1);
	err = lib.channel_create(NULL, NULL, &channel);
	if (err)
		return fail(run, 0, "krepis_channel_create", err);
	err = lib.attach(channel, KREPIS_PRODUCER, 0, &producer);
	if (err)
		return fail(run, 0, "krepis_attach", err);
	bench_ready(run, 0);
	if (flush)
		run->value[S10_NS] = TIME_EACH(run, lib.flush(producer));
	else
		run->value[S10_NS] = TIME_EACH(run, lib.channel_fd(channel));
	bench_done(run, 0);
	lib.detach(producer);
	lib.channel_close(channel);
	return 0;
}

static __attribute__((noinline)) int nothing(const int *value)
{
	__asm__ volatile("" ::: "memory");
	return *value;
}

static int side_call_raw(struct bench_run *run)
{
	int (*volatile through)(const int *value) = nothing;
	int (*function)(const int *value) = through, value = 0;

	bench_ready(run, 0);
	run->value[S10_NS] = TIME_EACH(run, function(&value));
	bench_done(run, 0);
	return 0;
}

/* -------------------------------------------------------------------- handles */

static int channel_setup(struct bench_run *run)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.buffer_size = BUFFER_BYTES,
		.buffer_count = BUFFERS,
	};

	return backend_create(run, &options, (struct krepis_channel **)&run->data);
}

static void channel_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

static int million_of_krepis(struct krepis_endpoint *producer)
{
	struct krepis_buffer *buffer;
	unsigned int i;
	int err = 0;

	for (i = 0; i < MILLION && !err; i++) {
		err = krepis_acquire(producer, &buffer, KREPIS_NOWAIT);
		if (!err)
			err = krepis_abandon(producer, buffer);
	}
	return err;
}

static int million_of_malloc(struct krepis_endpoint *none)
{
	unsigned int i;

	(void)none;
	for (i = 0; i < MILLION; i++) {
		void *buffer = malloc(BUFFER_BYTES);

		/* It is used, or the pair would be left out. */
		__asm__ volatile("" : "+r"(buffer) :: "memory");
		free(buffer);
	}
	return 0;
}

static int time_million(struct bench_run *run, int (*million)(struct krepis_endpoint *producer),
			struct krepis_endpoint *producer)
{
	uint64_t began;
	double ns;
	int err;

	bench_ready(run, 0);
	began = clock_ticks();
	err = million(producer);
	ns = clock_to_ns(clock_ticks() - began);
	bench_done(run, 0);
	run->value[S10_NS] = ns / MILLION;
	run->value[S10_MS] = ns / 1e6;
	return err ? fail(run, 0, "acquire and abandon", err) : 0;
}

static int side_million(struct bench_run *run)
{
	struct krepis_endpoint *producer;
	int err = krepis_attach(run->data, KREPIS_PRODUCER, 0, &producer);

	if (err)
		return fail(run, 0, "krepis_attach", err);
	err = time_million(run, million_of_krepis, producer);
	krepis_detach(producer);
	return err;
}

static int side_million_malloc(struct bench_run *run)
{
	return time_million(run, million_of_malloc, NULL);
}

/* -------------------------------------------------------------------- the list */

static void add_call(struct bench_suite *suite)
{
	struct bench_case what = {
		.impl = "krepis-shm",
		.ours = CALL,
		.flags = BENCH_ALONE,
		.missing = find_library(),
		.side = { side_call },
	};

	what.variant = "call";
	suite_add(suite, &what);
	what.variant = "flush";
	suite_add(suite, &what);
	what.impl = "pointer";
	what.variant = NULL;
	what.ours = 0;
	what.peer = CALL;
	what.missing = NULL;
	what.side[0] = side_call_raw;
	suite_add(suite, &what);
}

/* Both ends, or one, in one process. */
static void add_alone(struct bench_suite *suite, const char *impl, const char *variant,
		      uint64_t param, uint32_t group, int (*side)(struct bench_run *run))
{
	struct bench_case what = {
		.impl = impl,
		.param = param,
		.variant = variant,
		.flags = BENCH_ALONE,
		.missing = backend_missing(impl),
		.side = { side },
	};

	if (group == PANE) {
		what.max_rounds = 2;	/* a count needs no more */
		what.flags |= BENCH_CROWDED;
	} else {
		what.setup = channel_setup;
		what.teardown = channel_teardown;
	}
	case_ours(&what, group);
	suite_add(suite, &what);
}

static void add_frame(struct bench_suite *suite, const char *impl)
{
	struct bench_case what = {
		.impl = impl,
		.param = FRAME_BYTES,
		.variant = "frame",
		.missing = backend_missing(impl),
		.setup = frame_setup,
		.side = { side_frame_write, side_frame_read },
		.teardown = frame_teardown,
	};

	case_ours(&what, FRAME);
	suite_add(suite, &what);
}

static void s10_list(struct bench_suite *suite)
{
	struct bench_case peer = {
		.impl = "malloc",
		.param = BUFFER_BYTES,
		.variant = "million",
		.peer = HANDLES,
		.flags = BENCH_ALONE,
		.side = { side_million_malloc },
	};
	const char *const *impl;

	add_call(suite);
	for (impl = backend_impls; *impl; impl++) {
		add_alone(suite, *impl, "dispatch", 8, DISPATCH, side_dispatch);
		add_alone(suite, *impl, "dispatch-batch", 8, DISPATCH_BATCH, side_dispatch);
	}
	for (impl = backend_impls; *impl; impl++)
		add_frame(suite, *impl);
	for (impl = backend_impls; *impl; impl++)
		add_alone(suite, *impl, "pane", FRAME_BYTES, PANE, side_pane);
	for (impl = backend_impls; *impl; impl++)
		add_alone(suite, *impl, "million", BUFFER_BYTES, HANDLES, side_million);
	suite_add(suite, &peer);
}

static void s10_finish(struct bench_run *run)
{
	double value[BENCH_METRICS];

	if (!run->sample_count)
		return;
	stats_percentiles(run, 1.0, value);
	run->value[S10_NS] = value[LINK_P50];
	run->value[S10_P99] = value[LINK_P99];
}

static const struct bench_goal s10_goals[] = {
	{ "S10/krepis-shm/0/call", "time", NULL, 5, false },
	{ "S10/krepis-shm/8/dispatch", "time", NULL, 5, false },
	{ "S10/krepis-shm/8/dispatch-batch", "time", NULL, 5, false },
	{ "S10/krepis-shm/15360/frame", "time", NULL, 5000, false },
};

#define BYTES(text) { text, "bytes", text, 1, BENCH_LOWER, BENCH_COLUMN | BENCH_SOLO }

const struct bench_scenario s10_founding = {
	.name = "S10",
	.title = "call, dispatch, frame of 80 x 24, a million handles, ns each; a pane, bytes",
	.param_unit = "B",
	.measure_ns = 20000000,
	.metric = {
		[S10_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER,
			     BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[S10_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[S10_MS] = { "million", "ms", "million ms", 1, BENCH_LOWER,
			     BENCH_COLUMN | BENCH_RECORD },
		[S10_SHARED] = BYTES("shared"),
		[S10_RESIDENT] = BYTES("resident"),
	},
	.list = s10_list,
	.finish = s10_finish,
	.goals = s10_goals,
	.goal_count = ARRAY_SIZE(s10_goals),
};
