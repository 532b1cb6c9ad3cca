/* SPDX-License-Identifier: MIT */
/*
 * A second view of a channel, as a hostile process has one.
 *
 * On shm it is of the whole file. On kmod files cannot be mapped, endpoints can: it
 * is of those of the channel that this process has, and if there are none, of one of
 * each role that the view attaches itself. It can write what they can, and keeps
 * their slots taken.
 */
#ifndef KREPIS_TEST_VIEW_H
#define KREPIS_TEST_VIEW_H

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "helpers.h"

#define VIEW_FDS 64	/* the endpoints' are below */

/**
 * struct view - the regions, and what the view can do with them
 * @channel:	descriptor of the channel
 * @own:	descriptors of its own endpoints, or -1
 * @writes:	what it can write
 */
struct view {
	struct krepis_geometry geometry;
	struct krepis_layout layout;
	uint8_t *base;
	struct krepis_info *info;
	struct krepis_producer *producer;
	struct krepis_exchange *exchange;
	struct krepis_desc *desc;
	uint8_t *ring;
	uint8_t *payload;
	int channel;
	int own[2];
	struct view_range {
		uint64_t from;
		uint64_t to;
	} writes[8];
	unsigned int count;
};

static inline void *view_map(const struct view *v, int fd, int prot, uint64_t from, uint64_t to)
{
	return mmap(v->base + from, to - from, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)from);
}

static inline void view_add(struct view *v, int fd, uint64_t from, uint64_t to)
{
	must(v->count < ARRAY_SIZE(v->writes));
	must(view_map(v, fd, PROT_READ | PROT_WRITE, from, to) != MAP_FAILED);
	v->writes[v->count++] = (struct view_range){ from, to };
}

/* Whether @fd is of an endpoint of the channel; then @q tells of which. */
static inline bool view_endpoint(const struct view *v, int fd, struct krepis_info_query *q)
{
	struct stat a, b;

	*q = (struct krepis_info_query){ .size = sizeof(*q) };
	return !ioctl(fd, KREPIS_IOC_QUERY, q) && q->role && !fstat(fd, &a) &&
	       !fstat(v->channel, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Adds what the endpoint @fd can see and write. */
static inline void view_through(struct view *v, int fd, const struct krepis_info_query *q)
{
	const struct krepis_layout *l = &v->layout;
	uint64_t page = v->geometry.page_size, own = l->consumers + q->slot * page;

	if (!v->count)
		must(view_map(v, fd, PROT_READ, 0, l->size) != MAP_FAILED);
	if (q->role == KREPIS_PRODUCER) {
		view_add(v, fd, l->producer, l->producer + page);
		view_add(v, fd, l->descriptors, l->size);
	} else {
		view_add(v, fd, own, own + page);
		if (v->count == 1)
			view_add(v, fd, l->descriptors, l->ring);
	}
}

static inline void view_all(struct view *v)
{
	struct krepis_info_query q;

	if (!on_kmod())
		view_add(v, v->channel, 0, v->layout.size);
	/* The producer first: it writes more. */
	for (uint32_t role = KREPIS_PRODUCER; on_kmod() && role <= KREPIS_CONSUMER; role++) {
		for (int fd = 3; fd < VIEW_FDS; fd++) {
			if (view_endpoint(v, fd, &q) && q.role == role)
				view_through(v, fd, &q);
		}
	}
}

static inline int view_attach(const struct view *v, enum krepis_role role)
{
	struct krepis_attach_args args = {
		.size = sizeof(args), .role = role, .rights = KREPIS_RIGHT_ALL,
	};

	return ioctl(v->channel, KREPIS_IOC_ATTACH, &args);
}

static inline struct view view_of(struct krepis_channel *channel)
{
	struct view v = { .geometry = status_of(channel).geometry, .own = { -1, -1 },
			  .channel = krepis_channel_fd(channel) };

	only_cooperative("a peer writes what only the kernel can write there");
	v.layout = krepis_layout(&v.geometry);
	v.base = mmap(NULL, v.layout.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(v.base != MAP_FAILED);
	v.info = (struct krepis_info *)v.base;
	v.producer = (struct krepis_producer *)(v.base + v.layout.producer);
	v.exchange = (struct krepis_exchange *)(v.base + v.layout.descriptors);
	v.desc = (struct krepis_desc *)(v.exchange + 1);
	v.ring = v.base + v.layout.ring;
	v.payload = v.base + v.layout.payload;
	return v;
}

static inline struct view open_view(struct krepis_channel *channel)
{
	struct view v = view_of(channel);

	view_all(&v);
	if (!v.count) {
		v.own[0] = view_attach(&v, KREPIS_PRODUCER);
		v.own[1] = view_attach(&v, KREPIS_CONSUMER);
		view_all(&v);
	}
	must(v.count);
	return v;
}

/* On kmod, the view of somebody who attaches with @role, and does nothing else. */
static inline struct view open_view_as(struct krepis_channel *channel, enum krepis_role role)
{
	struct view v = view_of(channel);
	struct krepis_info_query q;

	if (!on_kmod()) {
		view_all(&v);
		return v;
	}
	v.own[0] = view_attach(&v, role);
	must(v.own[0] >= 0 && view_endpoint(&v, v.own[0], &q));
	view_through(&v, v.own[0], &q);
	return v;
}

static inline void close_view(struct view *v)
{
	munmap(v->base, v->layout.size);
	for (int i = 0; i < 2; i++) {
		if (v->own[i] >= 0)
			close(v->own[i]);
	}
}

static inline struct krepis_consumer *view_consumer(const struct view *v, unsigned int slot)
{
	return (struct krepis_consumer *)(v->base + v->layout.consumers +
					  (size_t)slot * v->geometry.page_size);
}

static inline bool view_writes(const struct view *v, const void *at)
{
	uint64_t offset = (uint64_t)((const uint8_t *)at - v->base);

	for (unsigned int i = 0; i < v->count; i++) {
		if (offset >= v->writes[i].from && offset < v->writes[i].to)
			return true;
	}
	return false;
}

/* view_writes(); but what it cannot write, nobody in this process can be talked into. */
static inline bool view_may_write(const struct view *v, void *at)
{
	uint64_t page = v->geometry.page_size, from = (uint64_t)((uint8_t *)at - v->base) & -page;
	struct krepis_info_query q;

	if (view_writes(v, at))
		return true;
	must(mprotect(v->base + from, page, PROT_READ | PROT_WRITE) && errno == EACCES);
	for (int fd = 3; fd < VIEW_FDS; fd++) {
		if (view_endpoint(v, fd, &q))
			must(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				  (off_t)from) == MAP_FAILED && errno == EACCES);
	}
	must(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, v->channel, (off_t)from) ==
	     MAP_FAILED && errno == ENODEV);
	return false;
}

#endif /* KREPIS_TEST_VIEW_H */
