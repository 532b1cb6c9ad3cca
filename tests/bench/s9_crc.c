// SPDX-License-Identifier: MIT
/*
 * S9: CRC-32C, and copy with CRC-32C in one pass, beside ISA-L's and memcpy().
 *
 * ISA-L is looked for when the program runs, so the build does not need it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <krepis/krepis.h>
#include <string.h>

#include "bench.h"

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define LARGEST		(64 * MIB)

#define SUM		BENCH_GROUP(0)
#define COPY		BENCH_GROUP(1)

enum { S9_RATE };

typedef unsigned int (*crc32_iscsi_fn)(unsigned char *data, int size, unsigned int crc);
typedef uint32_t (*sum_fn)(void *to, const void *from, size_t size);

static crc32_iscsi_fn crc32_iscsi;

/* Shared, so that a forked side writes to it without copying pages first. */
static unsigned char *from, *to;

static const char *find_isal(void)
{
	static const char *const names[] = { "libisal.so.2", "libisal.so" };
	unsigned int i;
	void *library;

	for (i = 0; i < ARRAY_SIZE(names) && !crc32_iscsi; i++) {
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		/* POSIX has it that an object pointer holds a function's address here. */
		if (library)
			*(void **)&crc32_iscsi = dlsym(library, "crc32_iscsi");
	}
	return crc32_iscsi ? NULL : "no libisal.so.2 (package libisal2)";
}

static uint32_t sum_krepis(void *dst, const void *src, size_t size)
{
	(void)dst;
	return krepis_crc32c(0, src, size);
}

/* ISA-L leaves the inversions before and after to the caller. */
static uint32_t sum_isal(void *dst, const void *src, size_t size)
{
	(void)dst;
	return ~crc32_iscsi((unsigned char *)src, (int)size, ~0U);
}

static uint32_t copy_krepis(void *dst, const void *src, size_t size)
{
	return krepis_copy_crc32c(0, dst, src, size);
}

static uint32_t copy_isal(void *dst, const void *src, size_t size)
{
	memcpy(dst, src, size);
	return ~crc32_iscsi(dst, (int)size, ~0U);
}

static uint32_t copy_only(void *dst, const void *src, size_t size)
{
	memcpy(dst, src, size);
	/* It has to have happened. */
	__asm__ volatile("" ::: "memory");
	return 0;
}

struct summer {
	const char *impl;
	const char *variant;
	sum_fn sum;
	uint32_t ours;
	uint32_t peer;
	bool isal;
};

static const struct summer summers[] = {
	{ "krepis", "crc32c", sum_krepis, SUM, 0, false },
	{ "isal", "crc32c", sum_isal, 0, SUM, true },
	{ "krepis", "copy-crc32c", copy_krepis, COPY, 0, false },
	{ "memcpy+isal", "copy-crc32c", copy_isal, 0, COPY, true },
	{ "memcpy", NULL, copy_only, 0, SUM | COPY, false },
};

static const struct summer *summer_of(const struct bench_case *what)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(summers); i++)
		if (!strcmp(summers[i].impl, what->impl) &&
		    (!what->variant || !strcmp(summers[i].variant, what->variant)))
			return &summers[i];
	return NULL;
}

static int side_sum(struct bench_run *run)
{
	const struct summer *s = summer_of(run->what);
	size_t size = run->what->param;
	uint64_t began, now, end, count = 0;
	uint32_t want, got = 0;

	bench_ready(run, 0);
	want = s->sum(to, from, size);
	if (s->sum != copy_only && want != krepis_crc32c(0, from, size))
		return bench_error(run, 0, "another checksum than krepis_crc32c()");
	end = clock_ticks() + clock_from_ns(run->warmup_ns);
	while (clock_ticks() < end)
		got |= s->sum(to, from, size) ^ want;

	began = clock_ticks();
	end = began + clock_from_ns(run->measure_ns);
	do {
		got |= s->sum(to, from, size) ^ want;
		count++;
		now = clock_ticks();
	} while (now < end);
	bench_done(run, 0);
	if (got)
		return bench_error(run, 0, "the checksum changed");
	if (s->ours != SUM && s->peer != SUM && memcmp(to, from, size))
		return bench_error(run, 0, "the copy differs");
	run->value[S9_RATE] = (double)(count * size) / clock_to_ns(now - began);
	return 0;
}

static const char *make_buffers(void)
{
	size_t i;

	if (from)
		return NULL;
	from = run_shared_alloc(2 * LARGEST);
	if (!from)
		return "no memory";
	to = from + LARGEST;
	for (i = 0; i < LARGEST / 8; i++)
		((uint64_t *)from)[i] = i * 0x9e3779b97f4a7c15ULL;
	return NULL;
}

static void s9_list(struct bench_suite *suite)
{
	static const uint64_t sizes[] = { 4 * KIB, 1 * MIB, 64 * MIB };
	const char *no_memory = make_buffers(), *no_isal = find_isal();
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(summers); j++) {
			struct bench_case what = {
				.impl = summers[j].impl,
				.param = sizes[i],
				.variant = summers[j].variant,
				.ours = summers[j].ours,
				.peer = summers[j].peer,
				.flags = BENCH_ALONE,
				.missing = no_memory,
				.side = { side_sum },
			};

			if (summers[j].isal && no_isal)
				what.missing = no_isal;
			suite_add(suite, &what);
		}
	}
}

static const struct bench_goal s9_goals[] = {
	{ "S9/krepis/4096/crc32c", "bandwidth", "isal", 1, false },
	{ "S9/krepis/1048576/crc32c", "bandwidth", "isal", 1, false },
	{ "S9/krepis/67108864/crc32c", "bandwidth", "isal", 1, false },
	{ "S9/krepis/1048576/copy-crc32c", "bandwidth", "memcpy", 1 / 0.9, false },
	{ "S9/krepis/67108864/copy-crc32c", "bandwidth", "memcpy", 1 / 0.9, false },
};

const struct bench_scenario s9_crc = {
	.name = "S9",
	.title = "CRC-32C, and copy with CRC-32C, GB/s",
	.param_unit = "B",
	.measure_ns = 25000000,
	.metric = {
		[S9_RATE] = { "bandwidth", "GB/s", "GB/s", 1, BENCH_HIGHER,
			      BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
	},
	.list = s9_list,
	.goals = s9_goals,
	.goal_count = ARRAY_SIZE(s9_goals),
};
