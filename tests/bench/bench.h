/* SPDX-License-Identifier: MIT */
/*
 * krepis-bench: the core that all scenarios and implementations share.
 *
 * A scenario (S1, S2, ...) lists cases. A case is one implementation at one
 * parameter. A run is one measurement of a case: set up in the parent, measured
 * in one or two forked and pinned processes, judged in the parent. The core takes
 * the cases in rotation, one run each per round.
 *
 *	main.c	    options		  machine.c  processors, clock, disturbance
 *	suite.c	    cases, rounds	  run.c	     one run: fork, pin, wait
 *	stats.c	    medians, percentiles  backend.c  channels of one backend or the other
 *	report.c    tables, JSON, goals	  link_*.c   implementations that carry messages
 *	trace.c	    the kernel's trace	  broadcast.c one producer, many consumers
 *	many.c	    channels in a set	  footprint.c what a channel takes
 *	dispatch.c, frame.c: of S10	  count.c     system calls, cycles
 *	s<n>_*.c    scenarios
 */
#ifndef KREPIS_BENCH_H
#define KREPIS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "clock.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_METRICS		13
#define BENCH_MAX_ROUNDS	100
#define BENCH_MAX_CASES		384
#define BENCH_MAX_RECORDS	8192
#define BENCH_MAX_SAMPLES	(1U << 18)

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

struct bench_run;
struct bench_suite;
struct link;
struct transport;

/* ------------------------------------------------------------------- machine */

struct bench_machine {
	int cpu[2];		/* the two processors that are measured on */
	char reason[64];	/* why these */
	long tick_ns;		/* resolution of /proc/stat */
	bool emulated;		/* --vm: who takes time away does not tell */
};

extern struct bench_machine machine;

/* @cpus: "A,B" or NULL to choose. Return: 0 or a negative errno. */
int machine_init(const char *cpus);
void machine_print(void);
void machine_pin(int cpu);
/* Stolen time of both measured processors since boot. */
uint64_t machine_steal_ns(void);
/* Time that this thread stood runnable in a queue; 0 if the kernel does not tell. */
uint64_t machine_run_delay_ns(void);
/* Context switches of this process: by its own sleeping, and against its will. */
void machine_switches(uint64_t *own, uint64_t *forced);

/* --------------------------------------------------------------------- cases */

/* Ring, pipe buffer, queue: what each may have in flight, as far as it can be told. */
#define BENCH_RING_BYTES	(256UL * 1024)

/* bench_case.flags */
#define BENCH_ONE_CPU		(1U << 0)	/* both sides on one processor */
#define BENCH_ALONE		(1U << 1)	/* one process: side[0] only */
#define BENCH_CROWDED		(1U << 2)	/* more threads than processors */
#define BENCH_EDGE		(1U << 3)	/* epoll on edges */
#define BENCH_NATIVE		(1U << 4)	/* not with --vm: says nothing about the module */
#define BENCH_IMPOSSIBLE	(1U << 5)	/* `missing` says why this parameter is too much */

/*
 * Who is compared with whom: a case with a bit in `ours` gets a record for every
 * case with the same bit in `peer` at the same parameter, or with BENCH_ANY_PARAM in both
 * at any, if the variant is the same.
 */
#define BENCH_GROUP(n)		(1U << (n))
#define BENCH_ANY_PARAM		(1U << 31)

struct bench_case {
	const char *impl;		/* "krepis-shm" */
	uint64_t param;			/* bytes, threads */
	const char *variant;		/* or NULL */
	uint32_t ours;
	uint32_t peer;
	uint32_t flags;
	uint32_t attach_flags;		/* KREPIS_ATTACH_* */
	unsigned int batch;		/* messages per publication */
	unsigned int load;		/* % of what it can do; 0: as fast as it goes */
	unsigned int max_rounds;	/* 0: as many as asked for */
	unsigned int patience_s;	/* that a run may take more than others */
	uint64_t measure_ns;		/* 0: the scenario's */
	size_t capacity;		/* bytes in flight, as far as it can be told */
	size_t step;			/* see struct link */
	const struct transport *transport;
	const char *missing;		/* why it cannot run here, or NULL */
	int (*setup)(struct bench_run *run);
	int (*side[2])(struct bench_run *run);
	void (*teardown)(struct bench_run *run);
};

enum bench_sense { BENCH_LOWER, BENCH_HIGHER };

/* bench_metric.flags */
#define BENCH_COLUMN	(1U << 0)	/* shown in the table */
#define BENCH_RECORD	(1U << 1)	/* a record for each peer */
#define BENCH_SOLO	(1U << 2)	/* one record, without a peer */
#define BENCH_WORST	(1U << 3)	/* largest over the rounds instead of the median */
#define BENCH_HEAD	(1U << 4)	/* what the table's last column compares */
#define BENCH_COUNTED	(1U << 5)	/* of the run that counts, instead of the rounds */

struct bench_metric {
	const char *name;
	const char *unit;	/* of the record */
	const char *shown;	/* column title */
	double scale;		/* from record to column */
	enum bench_sense sense;
	uint32_t flags;
};

/*
 * A goal holds if the value is at most the limit; with a peer, if it is so many times worse
 * than that one's at most: 0.5 is twice as good. BENCH_LINKED: than the best of the peers
 * that are libraries of shared memory. An emulated machine is no place for most: there an instruction
 * costs what it costs to translate it, and a cache line nothing.
 */
struct bench_goal {
	const char *id;
	const char *metric;
	const char *peer;
	double limit;
	bool vm;		/* checked with --vm too */
};

#define BENCH_LINKED	"the best linked peer"

struct bench_scenario {
	const char *name;		/* "S1" */
	const char *title;
	const char *param_unit;		/* "B", "threads" */
	uint64_t measure_ns;		/* of one run, after the warm-up */
	struct bench_metric metric[BENCH_METRICS];
	void (*list)(struct bench_suite *suite);
	void (*finish)(struct bench_run *run);	/* in the parent, or NULL */
	const struct bench_goal *goals;
	size_t goal_count;
};

/* ---------------------------------------------------------------------- runs */

/* What an implementation counted on one side, in the steady state. */
struct bench_calls {
	uint64_t waits;
	uint64_t wakes;
};

/* What is counted of a side, in a run of its own; see count.h. */
enum bench_counter { BENCH_SYSCALLS, BENCH_CYCLES, BENCH_COUNTERS };

struct bench_side {
	uint64_t sleeps;
	uint64_t ivcsw;
	uint64_t run_delay_ns;
	uint64_t cpu_ns;	/* of the messages that count */
	struct bench_calls calls;
	double counted[BENCH_COUNTERS];	/* of the same; NaN: not counted */
	char error[160];
};

/*
 * A schedule, that both sides know: message i is due at start + i * step. The consumer
 * writes all but @start, which is the producer's.
 */
struct bench_pace {
	uint64_t start;		/* ticks */
	uint64_t step;		/* ticks times 2^BENCH_PACE_SHIFT */
	uint64_t count;		/* messages */
	uint32_t set;
} __attribute__((aligned(128)));

#define BENCH_PACE_SHIFT	20

/*
 * One measurement. It lies in memory that parent and sides share: the parent
 * fills the first part before the fork, each side its own bench_side, one side
 * value[] or sample[].
 */
struct bench_run {
	const struct bench_case *what;
	uint64_t warmup_ns;
	uint64_t measure_ns;
	bool count;			/* it is not for the time */
	void *data;			/* of the case; the same address on every side */
	struct link *link;

	struct bench_pace pace;
	uint32_t ready;
	uint32_t done;
	bool impossible;
	uint64_t wall_ns;
	uint64_t messages;	/* what the processor time of the sides was for */
	struct bench_side side[2];
	double value[BENCH_METRICS];
	uint32_t sample_count;
	uint32_t sample[BENCH_MAX_SAMPLES];	/* ticks; see clock.h */
};

enum bench_verdict { BENCH_CLEAN, BENCH_DISTURBED, BENCH_FAILED };

struct bench_run *run_create(void);
/*
 * Runs @what once; on BENCH_FAILED or BENCH_DISTURBED the reason is in @why. With @count
 * for what its sides take, and not for the time.
 */
enum bench_verdict run_once(struct bench_run *run, const struct bench_case *what,
			    uint64_t warmup_ns, uint64_t measure_ns, bool count, char *why,
			    size_t size);
/* Memory that the sides of a run share, zeroed and present. NULL if there is none. */
void *run_shared_alloc(size_t size);
void run_shared_free(void *memory, size_t size);

/* For the sides: waits until the other one is ready too, and starts the accounts. */
void bench_ready(struct bench_run *run, int who);
/* Closes the accounts; then the case may detach. */
void bench_done(struct bench_run *run, int who);
/* Until the other side is done too: closing may throw away what it has not got yet. */
void bench_wait_done(struct bench_run *run);
/* Return: -1, after the message was left for the parent. */
int bench_error(struct bench_run *run, int who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same where a limit of the system is the reason: the case is not possible here. */
int bench_impossible(struct bench_run *run, int who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* -------------------------------------------------------------------- suites */

struct bench_row {
	struct bench_case what;
	unsigned int rounds;			/* that count */
	unsigned int discarded;
	bool tainted;				/* too few clean rounds: all count */
	bool failed;
	char why[192];
	double round[BENCH_MAX_ROUNDS][BENCH_METRICS];
	enum bench_verdict verdict[BENCH_MAX_ROUNDS];
	double value[BENCH_METRICS];
	double spread[BENCH_METRICS];
};

struct bench_suite {
	const struct bench_scenario *scenario;
	unsigned int count;
	struct bench_row row[BENCH_MAX_CASES];
};

struct bench_options {
	unsigned int rounds;
	bool quick;
	bool verbose;
	bool vm;
	bool present;			/* nothing of what is missing */
	bool count;			/* system calls and cycles, too */
	const char *match;
	const char *const *only;	/* patterns of fnmatch(3), and NULL; or NULL: all */
};

void suite_add(struct bench_suite *suite, const struct bench_case *what);
/* The cases of @scenario that are asked for. */
void suite_open(struct bench_suite *suite, const struct bench_scenario *scenario,
		const struct bench_options *options);
/* Runs, and reports if there was anything. Return: how many cases failed. */
unsigned int suite_measure(struct bench_suite *suite, const struct bench_options *options);
/* A row of krepis in @group: the module's is compared with the other backend's too. */
void case_ours(struct bench_case *what, uint32_t group);
void case_id(char *id, size_t size, const struct bench_scenario *scenario,
	     const struct bench_case *what);
/* What stands before the reason of a case that cannot run here. */
const char *case_absence(const struct bench_case *what);

/* ------------------------------------------------------------------- reports */

void report_table(const struct bench_suite *suite);
/* Appends the suite's records, and its goals, to those of report_json() and report_goals(). */
void report_collect(const struct bench_suite *suite, const struct bench_options *options);
void report_goals(void);
int report_json(const char *path);

/* ---------------------------------------------------------------- statistics */

double stats_median(const double *value, unsigned int count);
/* Distance between the first and the third quartile. */
double stats_spread(const double *value, unsigned int count);
/* Sorts the samples and stores p50, p90, p99, p99.9 and max, in ns times @scale. */
void stats_percentiles(struct bench_run *run, double scale, double *value);

/* ----------------------------------------------------------------- scenarios */

extern const struct bench_scenario s1_latency;
extern const struct bench_scenario s2_rate;
extern const struct bench_scenario s3_fixed;
extern const struct bench_scenario s4_wake;
extern const struct bench_scenario s5_handover;
extern const struct bench_scenario s6_broadcast;
extern const struct bench_scenario s7_triple;
extern const struct bench_scenario s8_pool;
extern const struct bench_scenario s9_crc;
extern const struct bench_scenario s10_founding;
extern const struct bench_scenario s11_startup;
extern const struct bench_scenario s12_growth;
extern const struct bench_scenario s13_batch;
extern const struct bench_scenario s14_calls;
extern const struct bench_scenario s15_memory;

#ifdef __cplusplus
}
#endif

#endif /* KREPIS_BENCH_H */
