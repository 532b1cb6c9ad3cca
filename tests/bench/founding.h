/* SPDX-License-Identifier: MIT */
/*
 * What the sides of S10 share.
 */
#ifndef KREPIS_BENCH_FOUNDING_H
#define KREPIS_BENCH_FOUNDING_H

#include <krepis/krepis.h>

#include "bench.h"

#define FRAME_BYTES	(80 * 24 * 8)

enum { S10_NS, S10_P99, S10_MS, S10_SHARED, S10_RESIDENT };

static inline int fail(struct bench_run *run, int who, const char *where, int err)
{
	return bench_error(run, who, "%s: %s", where, krepis_strerror(err));
}

/* dispatch.c: of a channel in run->data */
int side_dispatch(struct bench_run *run);

/* frame.c */
int frame_setup(struct bench_run *run);
void frame_teardown(struct bench_run *run);
int side_frame_write(struct bench_run *run);
int side_frame_read(struct bench_run *run);
int side_pane(struct bench_run *run);

#endif /* KREPIS_BENCH_FOUNDING_H */
