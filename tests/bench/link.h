/* SPDX-License-Identifier: MIT */
/*
 * An implementation that carries messages between two processes.
 *
 * To add one: a file link_<name>.c with a struct transport, whose loops are
 * loops.h compiled around two small functions, send and recv; then its name in
 * the list at the end, and in all[] (link.c) or a scenario.
 */
#ifndef KREPIS_BENCH_LINK_H
#define KREPIS_BENCH_LINK_H

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LINK_MAX_BATCH	256	/* messages at a time, of the batch variants */

/*
 * Both ends of a connection. Made by the parent and inherited by both sides:
 * what changes after the fork is private to the side.
 */
struct link {
	size_t size;		/* of every message */
	size_t step;		/* from one word that is written and read to the next; 0: all */
	size_t capacity;	/* bytes in flight */
	unsigned int batch;
	unsigned int load;	/* % of what it can do; 0: as fast as it goes */
	bool yields;		/* not to keep threads of the implementation waiting */
	bool duplex;		/* both directions are wanted */
	bool edge;		/* epoll: EPOLLET */
	uint32_t attach_flags;
	uint64_t sent;		/* by this side */
	uint64_t received;
	uint64_t yielded;	/* times that the loop, and not the implementation, gave way */
	void *buffer;		/* a batch of messages, private, 64-byte aligned */
	void *shared;		/* of the implementation, by run_shared_alloc() */
	size_t shared_size;
	int fd[4];		/* of the implementation, or -1 */
	void *state;		/* of the implementation */
	void *tx;		/* of this side, by attach(): where it sends to ... */
	void *rx;		/* ... and receives from */
	int tx_fd;
	int rx_fd;
};

/* transport.features */
#define LINK_LATENCY	(1U << 0)	/* has ping and pong */
#define LINK_RATE	(1U << 1)	/* has produce and consume */
#define LINK_BATCHES	(1U << 2)	/* ... also with link.batch > 1 */
#define LINK_THREADS	(1U << 3)	/* threads of its own, on the processor of their side */
#define LINK_NATIVE	(1U << 4)	/* not with --vm */

/**
 * struct transport - one implementation
 * @name:	as in the records
 * @features:	LINK_*
 * @missing:	why it cannot be used here, or NULL if it can; may be absent
 * @fits:	whether it has loops for messages of @size; absent: any
 * @refuses:	why the system does not let it carry messages of @size, or NULL; may be
 *		absent. Asked once a case; what it returns is not freed
 * @setup:	parent, before the fork: makes what both sides will use
 * @attach:	on each side, after the fork; side 0 pings or produces. May be absent
 * @ping:	sends, waits for the answer, measures
 * @pong:	answers
 * @produce:	sends as fast as it goes
 * @consume:	receives, verifies, measures
 * @calls:	system calls that this side made so far for waiting and waking; may be absent
 * @detach:	on each side, at the end; may be absent
 * @teardown:	parent; may be absent
 *
 * Results are 0, or negative after bench_error().
 */
struct transport {
	const char *name;
	uint32_t features;
	const char *(*missing)(void);
	bool (*fits)(size_t size);
	const char *(*refuses)(size_t size);
	int (*setup)(struct bench_run *run, struct link *link);
	int (*attach)(struct bench_run *run, struct link *link, int who);
	int (*ping)(struct bench_run *run, struct link *link);
	int (*pong)(struct bench_run *run, struct link *link);
	int (*produce)(struct bench_run *run, struct link *link);
	int (*consume)(struct bench_run *run, struct link *link);
	void (*calls)(struct link *link, struct bench_calls *calls);
	void (*detach)(struct link *link, int who);
	void (*teardown)(struct link *link);
};

/* Turns @transport into a case of two processes; the caller fills in the rest. */
void link_case_latency(struct bench_case *what, const struct transport *transport);
void link_case_rate(struct bench_case *what, const struct transport *transport);

/* Metric slots that the loops fill, in the scenarios that use them. */
enum link_metric {
	LINK_P50, LINK_P90, LINK_P99, LINK_P999, LINK_MAX,	/* latency */
	LINK_RATE_MSGS = 0, LINK_RATE_BYTES, LINK_NS,		/* rate */
	LINK_WAKES = 7, LINK_SLEPT, LINK_WAKES_AWAKE,	/* both; see link_finish() */
	LINK_CPU_NS,					/* both; see link_finish() */
	LINK_SYSCALLS, LINK_CYCLES,			/* both; of the run that counts */
	LINK_CAPACITY = 5, LINK_LATEST,			/* fixed rate */
};

/* Table rows of those last three metrics. */
#define LINK_CALLS(text) { text, "calls", NULL, 1, BENCH_LOWER, BENCH_SOLO | BENCH_WORST }
#define LINK_CALL_METRICS						\
	[LINK_WAKES] = LINK_CALLS("wakes"),				\
	[LINK_SLEPT] = LINK_CALLS("sleeps"),				\
	[LINK_WAKES_AWAKE] = LINK_CALLS("wakes_while_awake")

/* What both sides together took of the processors, for a message. */
#define LINK_CPU_METRIC							\
	[LINK_CPU_NS] = { "cpu_ns", "ns", NULL, 1, BENCH_LOWER, BENCH_RECORD }

/* What both sides together did for a message, all of their threads, as the kernel counts it. */
#define LINK_COUNT_METRICS							\
	[LINK_SYSCALLS] = { "syscalls", "calls", "syscalls", 1, BENCH_LOWER,	\
			    BENCH_COLUMN | BENCH_RECORD | BENCH_COUNTED },	\
	[LINK_CYCLES] = { "cycles", "cycles", NULL, 1, BENCH_LOWER,		\
			  BENCH_RECORD | BENCH_COUNTED }

/*
 * In the parent: the processor time, the waking calls of both sides, and how many of
 * them nobody had slept for.
 */
void link_finish(struct bench_run *run);

/* The number in a file of /proc/sys; 0 if there is none. */
long link_limit(const char *path);

/* Whether it is krepis, and not one that it is compared with. */
bool link_ours(const struct transport *transport);

/* Its address is NULL in a program that was built without it. */
#define LINK_PEER extern const struct transport __attribute__((weak))

extern const struct transport link_krepis_shm;		/* ring, inline messages */
extern const struct transport link_krepis_kmod;
LINK_PEER link_buffer_shm;		/* buffers, payload written and read */
LINK_PEER link_buffer_kmod;
LINK_PEER link_copy_kmod;		/* ... read from a copy that nobody else has */
LINK_PEER link_copy_shm;
LINK_PEER link_handover_shm;	/* buffers, payload untouched */
LINK_PEER link_handover_kmod;
LINK_PEER link_buffer_enforced;	/* enforced, payload written and read */
LINK_PEER link_second_enforced;	/* ... by a producer of two threads */
LINK_PEER link_epoll_shm;		/* ring, both sides in epoll_wait() */
LINK_PEER link_epoll_kmod;
LINK_PEER link_epoll_eventfd;
LINK_PEER link_ioctl;		/* WAIT and WAKE, nothing else */
LINK_PEER link_raw;
LINK_PEER link_futex;
LINK_PEER link_ck;
LINK_PEER link_ck_inplace;
LINK_PEER link_ck_pair;
LINK_PEER link_boost;
LINK_PEER link_rte;
LINK_PEER link_rte_inplace;
LINK_PEER link_rte_pair;
LINK_PEER link_iceoryx;		/* chunks, payload written and read */
LINK_PEER link_iceoryx_handover;	/* chunks, payload untouched */
LINK_PEER link_zmq;
LINK_PEER link_nng;
LINK_PEER link_mq;
LINK_PEER link_mq_spin;
LINK_PEER link_seqpacket;
LINK_PEER link_seqpacket_spin;
LINK_PEER link_vmsplice;
LINK_PEER link_eventfd;		/* shared memory, and an eventfd */
LINK_PEER link_pipe;
LINK_PEER link_pipe_spin;
LINK_PEER link_unix;
LINK_PEER link_unix_spin;

/*
 * All that can carry plain messages, krepis first: the next one after @i, which is counted
 * up; NULL: there is none.
 */
const struct transport *link_next(unsigned int *i);

#ifdef __cplusplus
}
#endif

#endif /* KREPIS_BENCH_LINK_H */
