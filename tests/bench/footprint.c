// SPDX-License-Identifier: MIT
/*
 * What a channel takes of the memory.
 */
#include <string.h>
#include <sys/stat.h>

#include "backend.h"
#include "footprint.h"

#define FIRST	2	/* made before: what is made once for all */
#define COUNTED	8

struct pane {
	struct krepis_channel *channel;
	struct krepis_endpoint *producer;
	struct krepis_endpoint *consumer;
};

/* Of this process, counted page by page: what /proc/self/statm has lags behind. */
static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	double kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Rss: %lf", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024;
}

/* The module takes all of a channel's pages when it is made; a file tells. */
static double shared_bytes(struct krepis_channel *channel)
{
	struct krepis_status status = { .size = sizeof(status) };
	struct stat st;

	if (krepis_query(channel, &status) || fstat(krepis_channel_fd(channel), &st))
		return 0;
	if (!strcmp(status.backend, "kmod"))
		return (double)status.channel_bytes;
	return (double)st.st_blocks * 512;
}

static int pane_make(struct bench_run *run, const struct krepis_channel_options *options,
		     footprint_use use, struct pane *pane)
{
	int err;

	if (backend_create(run, options, &pane->channel))
		return -1;
	err = krepis_attach(pane->channel, KREPIS_PRODUCER, 0, &pane->producer);
	if (!err)
		err = krepis_attach(pane->channel, KREPIS_CONSUMER, 0, &pane->consumer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	err = use ? use(pane->producer, pane->consumer) : 0;
	return err ? bench_error(run, 0, "use: %s", krepis_strerror(err)) : 0;
}

static void pane_close(struct pane *pane)
{
	krepis_detach(pane->consumer);
	krepis_detach(pane->producer);
	krepis_channel_close(pane->channel);
}

int footprint_measure(struct bench_run *run, const struct krepis_channel_options *options,
		      footprint_use use, struct footprint *result)
{
	struct pane pane[FIRST + COUNTED] = { 0 };
	double before = 0, shared = 0;
	unsigned int i;
	int err = 0;

	for (i = 0; i < FIRST + COUNTED && !err; i++) {
		if (i == FIRST)
			before = resident_bytes();
		err = pane_make(run, options, use, &pane[i]);
		if (!err && i >= FIRST)
			shared += shared_bytes(pane[i].channel);
	}
	result->resident = (resident_bytes() - before) / COUNTED;
	result->shared = shared / COUNTED;
	for (i = 0; i < FIRST + COUNTED; i++)
		pane_close(&pane[i]);
	return err;
}
