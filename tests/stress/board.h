/* SPDX-License-Identifier: MIT */
/*
 * What the processes of the kill test tell each other beside the channel, in
 * anonymous shared memory: it survives every death, and nothing of it goes
 * through the library under test.
 */
#ifndef _STRESS_BOARD_H
#define _STRESS_BOARD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONSUMERS	3
#define PEERS		(1 + CONSUMERS)		/* peer 0 is the producer */
#define INCARNATIONS	(1U << 18)

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add(p, n)	__atomic_fetch_add((p), (n), __ATOMIC_ACQ_REL)

/* What a peer is doing, so that the supervisor can kill it there. */
enum phase {
	PHASE_START,
	PHASE_ATTACH,
	PHASE_WAIT_PEER,
	PHASE_SEND,
	PHASE_BATCH,
	PHASE_ACQUIRE,
	PHASE_PUBLISH,
	PHASE_RECV,
	PHASE_RELEASE,
	PHASE_PAUSE,
	PHASE_DETACH,
	PHASES
};

static const char *const phase_names[PHASES] = {
	"start", "attach", "wait-peer", "send", "batch", "acquire",
	"publish", "recv", "release", "pause", "detach",
};

/**
 * struct peer - one process's side of the board; it alone writes, over all its lives
 * @progress: grows with everything that the peer achieves
 * @phase:    enum phase
 * @messages: sent or verified
 * @bytes:    of payload in them
 * @gone:     times it was told KREPIS_PEER_GONE
 * @lost:     overwrite: messages that it was told are lost
 */
struct peer {
	_Alignas(256) uint64_t progress;
	uint32_t phase;
	uint64_t messages;
	uint64_t bytes;
	uint64_t gone;
	uint64_t lost;
};

/**
 * struct life - what one incarnation of the producer did
 * @started: messages that it may have made visible
 * @sent:    messages whose call has returned success: nobody may miss one
 */
struct life {
	uint64_t started;
	uint64_t sent;
};

/**
 * struct board - see the top of this file
 * @stop:   1: the producer ends; 2: the consumers too
 * @failed: somebody found something wrong, and wrote it into @why
 * @lives:  incarnations that were begun; @life[i] for each
 */
struct board {
	uint32_t stop;
	uint32_t failed;
	uint32_t lives;
	char why[512];
	struct peer peer[PEERS];
	struct life life[INCARNATIONS];
};

/* The first to fail says why; everybody else just ends. */
static inline __attribute__((noreturn, format(printf, 3, 4)))
void board_fail(struct board *board, unsigned int peer, const char *format, ...)
{
	size_t n;
	va_list args;

	if (!__atomic_exchange_n(&board->failed, 1, __ATOMIC_ACQ_REL)) {
		n = (size_t)snprintf(board->why, sizeof(board->why), "peer %u in %s: ", peer,
				     phase_names[board->peer[peer].phase]);
		va_start(args, format);
		vsnprintf(board->why + n, sizeof(board->why) - n, format, args);
		va_end(args);
		store(&board->failed, 2);
	}
	_exit(1);
}

#endif /* _STRESS_BOARD_H */
