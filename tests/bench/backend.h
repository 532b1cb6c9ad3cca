/* SPDX-License-Identifier: MIT */
/*
 * Channels of the backend that a row names, and no other: "krepis-shm" or
 * "krepis-kmod".
 */
#ifndef KREPIS_BENCH_BACKEND_H
#define KREPIS_BENCH_BACKEND_H

#include <krepis/batch.h>

#include "link.h"

/* Return: why there is no module here, or NULL if there is. */
const char *backend_no_module(void);
/* The same for @impl, which needs the module or not. */
const char *backend_missing(const char *impl);
/* The directory by which @impl's channels are chosen, or NULL. */
const char *backend_directory(const char *impl);
/* Makes an anonymous channel of the backend that run->what->impl names. */
int backend_create(struct bench_run *run, const struct krepis_channel_options *options,
		   struct krepis_channel **out);

/* Both, in the order of the tables. Ends with NULL. */
extern const char *const backend_impls[];

/* link_krepis.c: what transports over krepis channels share. */
struct krepis_state {
	struct krepis_channel *channel[2];	/* there and back; a rate needs only one */
	struct krepis_batch batch;		/* of this side */
};

int krepis_link_setup(struct bench_run *run, struct link *link);
int krepis_link_attach(struct bench_run *run, struct link *link, int who);
void krepis_link_detach(struct link *link, int who);
void krepis_link_teardown(struct link *link);

#endif /* KREPIS_BENCH_BACKEND_H */
