/* SPDX-License-Identifier: MIT */
/*
 * Looks at a channel from outside, through its file, without attaching: what a
 * test checks after a death, and what it prints when something is wrong.
 *
 * The module lets only endpoints look. So on kmod the spy looks through one that
 * this process has, from spy_look() to spy_away(), which is before that detaches; and
 * when there is none, it attaches a consumer for the moment.
 */
#ifndef _STRESS_SPY_H
#define _STRESS_SPY_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <krepis/krepis.h>
#include <krepis/geometry.h>
#include <krepis/ownership.h>
#include <krepis/ring.h>
#include "backend.h"

/**
 * struct spy - the regions
 * @channel: descriptor of the channel
 * @own:     kmod: of the consumer that the spy attached, or -1
 * @mask:    its bit in the live mask
 */
struct spy {
	bool kmod;
	int channel;
	int own;
	uint32_t mask;
	struct krepis_geometry geometry;
	struct krepis_layout layout;
	uint8_t *base;
	struct krepis_info *info;
	struct krepis_producer *producer;
	struct krepis_exchange *exchange;
	struct krepis_desc *desc;
};

static inline struct krepis_consumer *spy_consumer(const struct spy *spy, unsigned int i)
{
	return krepis_consumer_at(spy->base + spy->layout.consumers, spy->geometry.page_size, i);
}

static inline int spy_open(struct spy *spy, struct krepis_channel *channel)
{
	struct krepis_status status = { .size = sizeof(status) };
	int err = krepis_query(channel, &status);

	if (err)
		return err;
	spy->geometry = status.geometry;
	spy->layout = krepis_layout(&spy->geometry);
	spy->kmod = !strcmp(status.backend, "kmod");
	spy->channel = krepis_channel_fd(channel);
	spy->own = -1;
	spy->mask = 0;
	spy->base = mmap(NULL, spy->layout.size, spy->kmod ? PROT_NONE : PROT_READ | PROT_WRITE,
			 spy->kmod ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED,
			 spy->kmod ? -1 : spy->channel, 0);
	if (spy->base == MAP_FAILED)
		return -errno;
	spy->info = (struct krepis_info *)spy->base;
	spy->producer = (struct krepis_producer *)(spy->base + spy->layout.producer);
	spy->exchange = (struct krepis_exchange *)(spy->base + spy->layout.descriptors);
	spy->desc = (struct krepis_desc *)(spy->exchange + 1);
	return 0;
}

/* The descriptor of an endpoint of this process, or of a new one, or -1. */
static inline int spy_endpoint(struct spy *spy)
{
	struct krepis_info_query q;
	int fd;

	for (fd = 3; fd < 64; fd++) {
		if (kmod_endpoint(fd, spy->channel, &q))
			return fd;
	}
	spy->own = kmod_attach(spy->channel, KREPIS_CONSUMER);
	if (spy->own >= 0 && kmod_endpoint(spy->own, spy->channel, &q))
		spy->mask = 1U << q.slot;
	return spy->own;
}

/* Return: 0, or -errno. */
static inline int spy_look(struct spy *spy)
{
	bool enforced = spy->geometry.flags & KREPIS_F_ENFORCED;
	int prot = enforced ? PROT_READ : PROT_READ | PROT_WRITE;
	const struct krepis_layout *l = &spy->layout;
	int fd = spy->kmod ? spy_endpoint(spy) : 0;

	if (!spy->kmod)
		return 0;
	if (fd < 0 || mmap(spy->base, l->payload, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) ==
	    MAP_FAILED || mmap(spy->base + l->descriptors, l->ring - l->descriptors, prot,
			       MAP_SHARED | MAP_FIXED, fd, (off_t)l->descriptors) == MAP_FAILED)
		return -errno;
	return 0;
}

static inline void spy_away(struct spy *spy)
{
	if (!spy->kmod)
		return;
	mmap(spy->base, spy->layout.size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	if (spy->own >= 0)
		close(spy->own);
	spy->own = -1;
	spy->mask = 0;
}

static inline void spy_close(struct spy *spy)
{
	spy_away(spy);
	munmap(spy->base, spy->layout.size);
}

/*
 * What must hold when nobody is attached. Return: NULL, or what does not, in a
 * static text.
 */
static inline const char *spy_unclean(struct spy *spy)
{
	static char why[128];
	unsigned int i;
	int err = spy_look(spy);

	why[0] = '\0';
	if (err) {
		snprintf(why, sizeof(why), "nobody can look: %s", strerror(-err));
		return why;
	}
	if (spy->info->live != spy->mask)
		snprintf(why, sizeof(why), "live mask is %#x", spy->info->live);
	for (i = 0; i < spy->geometry.max_consumers; i++) {
		if (spy->producer->link[i].word)
			snprintf(why, sizeof(why), "producer's link %u is %#x", i,
				 spy->producer->link[i].word);
		if (!(spy->mask & 1U << i) && spy_consumer(spy, i)->link.word)
			snprintf(why, sizeof(why), "consumer %u's link is %#x", i,
				 spy_consumer(spy, i)->link.word);
	}
	for (i = 0; spy->geometry.kind == KREPIS_RING && i < spy->geometry.buffer_count; i++) {
		if (spy->desc[i].state)
			snprintf(why, sizeof(why), "buffer %u leaked: state %u holders %#x", i,
				 spy->desc[i].state, spy->desc[i].holders);
	}
	spy_away(spy);
	return why[0] ? why : NULL;
}

/* Anew on kmod: who attached may have gone. */
static inline void spy_dump(struct spy *spy, FILE *out)
{
	const struct krepis_producer *p = spy->producer;
	unsigned int i;

	spy_away(spy);
	if (spy_look(spy)) {
		fprintf(out, "# nobody can look at the channel\n");
		return;
	}
	fprintf(out, "# info: live %#x epoch %u producers %u consumers %u deaths %u\n",
		spy->info->live, spy->info->epoch, spy->info->producers, spy->info->consumers,
		spy->info->deaths);
	fprintf(out, "# producer: head %llu need %llu wake %u waiting %u link",
		(unsigned long long)p->head, (unsigned long long)p->need, p->waiter.wake,
		p->waiter.waiting);
	for (i = 0; i < spy->geometry.max_consumers; i++)
		fprintf(out, " %#x", p->link[i].word);
	fprintf(out, "\n# producer: version %u floor %llu floor_count %llu head_count %llu back %u\n",
		p->version, (unsigned long long)p->floor, (unsigned long long)p->floor_count,
		(unsigned long long)p->head_count, p->back);
	for (i = 0; i < spy->geometry.max_consumers; i++) {
		const struct krepis_consumer *c = spy_consumer(spy, i);

		fprintf(out, "# consumer %u: tail %llu wake %u waiting %u link %#x front %u\n", i,
			(unsigned long long)c->tail, c->waiter.wake, c->waiter.waiting,
			c->link.word, c->front);
	}
	if (spy->geometry.kind == KREPIS_TRIPLE)
		fprintf(out, "# exchange: %#llx\n", (unsigned long long)spy->exchange->word);
	for (i = 0; i < spy->geometry.buffer_count; i++) {
		const struct krepis_desc *d = &spy->desc[i];

		fprintf(out, "# buffer %u: state %u generation %u holders %#x len %u sequence %llu claim %#llx\n",
			i, d->state, d->generation, d->holders, d->len,
			(unsigned long long)d->sequence, (unsigned long long)d->claim);
	}
}

#endif /* _STRESS_SPY_H */
