/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own account of what processes did: which system calls they entered
 * and which tracepoints of krepis they passed, between two marks each.
 */
#ifndef KREPIS_BENCH_TRACE_H
#define KREPIS_BENCH_TRACE_H

#include "bench.h"

struct trace_count {
	uint64_t marks;		/* of all processes; two each */
	uint64_t syscalls;	/* between a process's marks */
	uint64_t events;	/* of krepis, likewise */
	char first[24];		/* what came first, for people */
};

/* Return: why there is no trace here, or NULL. */
const char *trace_missing(void);
/* In the parent, before the sides: begins a trace of their own. 0 or a negative errno. */
int trace_begin(void);
/* In the parent, when the sides are gone. */
void trace_end(void);
/* In a side, at both ends of what counts. */
void trace_mark(void);
/* When all is over. 0 or a negative errno. */
int trace_read(struct trace_count *count);

#endif /* KREPIS_BENCH_TRACE_H */
