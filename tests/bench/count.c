// SPDX-License-Identifier: MIT
/*
 * The counters run from count_open() on, and what counts is the difference of two
 * readings: a reset would not reach those of the threads, and S3 finds the capacity out
 * under the same load that it is then a share of.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "count.h"

#define TRACEPOINT	"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"

static const char *const names[BENCH_COUNTERS] = {
	[BENCH_SYSCALLS] = "syscalls", [BENCH_CYCLES] = "cycles",
};

/* Of the parent; in a side, its own. */
static int counter[BENCH_COUNTERS] = { -1, -1 };

/* Return: the number of raw_syscalls:sys_enter, or a negative errno. */
static int64_t tracepoint_id(void)
{
	FILE *f = fopen(TRACEPOINT, "re");
	unsigned int id;
	int64_t result;

	if (!f)
		return -errno;
	result = fscanf(f, "%u", &id) == 1 ? (int64_t)id : -EIO;
	fclose(f);
	return result;
}

/* Return: a descriptor or a negative errno. One that only holds counts nothing. */
static int open_counter(enum bench_counter which, bool hold)
{
	static int64_t id;
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_HARDWARE,
		.config = PERF_COUNT_HW_CPU_CYCLES,
		.disabled = hold,
		.inherit = !hold,
	};
	long fd;

	if (which == BENCH_SYSCALLS) {
		if (id <= 0)
			id = tracepoint_id();
		if (id < 0)
			return (int)id;
		attr.type = PERF_TYPE_TRACEPOINT;
		attr.config = (uint64_t)id;
	} else {
		/* Rather nothing than a part, where others have the processor's counters. */
		attr.pinned = !hold;
	}
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

/*
 * Held open in the parent, too: the first one to count system calls makes the kernel
 * rewrite its code, and the last one again, which an emulator was seen to stumble over
 * while another processor is just there.
 */
bool count_begin(void)
{
	static bool told[BENCH_COUNTERS];
	bool any = false;
	unsigned int i;

	for (i = 0; i < BENCH_COUNTERS; i++) {
		counter[i] = open_counter(i, true);
		any |= counter[i] >= 0;
		if (counter[i] < 0 && !told[i])
			printf("%-10s not counted: %s\n", names[i], strerror(-counter[i]));
		told[i] = true;
	}
	return any;
}

void count_end(void)
{
	unsigned int i;

	for (i = 0; i < BENCH_COUNTERS; i++) {
		if (counter[i] >= 0)
			close(counter[i]);
		counter[i] = -1;
	}
}

int count_open(struct bench_run *run, int who)
{
	unsigned int i;

	for (i = 0; i < BENCH_COUNTERS; i++) {
		if (counter[i] < 0)
			continue;
		counter[i] = open_counter(i, false);
		if (counter[i] < 0)
			return bench_error(run, who, "%s: not counted: %s", names[i],
					   strerror(-counter[i]));
	}
	return 0;
}

static double look(struct bench_run *run, int who, enum bench_counter which)
{
	uint64_t value;
	ssize_t n;

	if (counter[which] < 0)
		return NAN;
	n = read(counter[which], &value, sizeof(value));
	if (n == sizeof(value))
		return (double)value;
	/* Nothing to read is a pinned counter that found no place. */
	bench_error(run, who, "%s: not counted: %s", names[which],
		    n < 0 ? strerror(errno) : "the processor's counters are taken");
	return NAN;
}

/* System calls are looked at last here and first there: no other look is between. */
void count_mark(struct bench_run *run, int who)
{
	double *counted = run->side[who].counted;

	counted[BENCH_CYCLES] = look(run, who, BENCH_CYCLES);
	counted[BENCH_SYSCALLS] = look(run, who, BENCH_SYSCALLS);
}

void count_stop(struct bench_run *run, int who, uint64_t own)
{
	double *counted = run->side[who].counted;

	/* Each look is a call that is counted before it looks: one more is the second's. */
	counted[BENCH_SYSCALLS] = look(run, who, BENCH_SYSCALLS) - counted[BENCH_SYSCALLS] -
				  (double)own - 1;
	counted[BENCH_CYCLES] = look(run, who, BENCH_CYCLES) - counted[BENCH_CYCLES];
}
