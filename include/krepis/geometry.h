/* SPDX-License-Identifier: MIT */
/*
 * From a channel's geometry to the place of each region. Pure arithmetic on a
 * trusted copy: what this says, nobody looks up in shared memory.
 */
#ifndef _KREPIS_GEOMETRY_H
#define _KREPIS_GEOMETRY_H

#include "atomic.h"

/**
 * struct krepis_layout - where the regions stand, in bytes from the start
 * @producer:		struct krepis_producer
 * @consumers:		struct krepis_consumer i at @consumers + i * page_size
 * @descriptors:	struct krepis_exchange, then the descriptors
 * @ring:		the records; none for a triple
 * @payload:		buffer i at @payload + i * @stride; of buffers of KREPIS_LARGE
 *			or more, at a multiple of that
 * @stride:		distance of two buffers: buffer_size rounded up to pages
 * @size:		of the whole channel
 *
 * struct krepis_info stands at 0.
 */
struct krepis_layout {
	__u64 producer;
	__u64 consumers;
	__u64 descriptors;
	__u64 ring;
	__u64 payload;
	__u64 stride;
	__u64 size;
};

#define KREPIS_LARGE	(2ULL << 20)

static inline bool krepis_power_of_two(__u64 n)
{
	return n && !(n & (n - 1));
}

static inline __u64 krepis_round_up(__u64 n, __u64 align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline int krepis_ring_geometry_check(const struct krepis_geometry *g)
{
	if (!krepis_power_of_two(g->ring_size) || g->ring_size < KREPIS_MIN_RING_SIZE ||
	    g->ring_size > KREPIS_MAX_RING_SIZE || g->ring_size % g->page_size)
		return -EINVAL;
	/* Four records of the largest size fit, so a ring never stalls on one. */
	if (g->inline_max < sizeof(struct krepis_handle) || g->inline_max > KREPIS_MAX_INLINE ||
	    g->inline_max + sizeof(struct krepis_record) > g->ring_size / 4)
		return -EINVAL;
	if (g->backpressure > KREPIS_OVERWRITE)
		return -EINVAL;
	if ((g->flags & KREPIS_F_EXCLUSIVE) &&
	    (!(g->flags & KREPIS_F_ENFORCED) || g->max_consumers != 1 ||
	     g->backpressure == KREPIS_OVERWRITE || (g->flags & KREPIS_F_NO_BUFFERS)))
		return -EINVAL;
	if (g->flags & KREPIS_F_NO_BUFFERS)
		return g->buffer_count || g->buffer_size ? -EINVAL : 0;
	return g->buffer_count && g->buffer_size ? 0 : -EINVAL;
}

static inline int krepis_triple_geometry_check(const struct krepis_geometry *g)
{
	if (g->ring_size || g->inline_max || g->backpressure || (g->flags & ~KREPIS_F_ENFORCED) ||
	    g->max_consumers != 1 || g->buffer_count != KREPIS_TRIPLE_BUFFERS || !g->buffer_size)
		return -EINVAL;
	return 0;
}

/**
 * krepis_geometry_check - refuses every geometry that is not a channel
 * @g: a private copy
 *
 * Return: 0; -EINVAL for a field out of its range or out of place; -E2BIG for
 * more consumers, buffers or bytes than the limits of the ABI.
 */
static inline int krepis_geometry_check(const struct krepis_geometry *g)
{
	if (!krepis_power_of_two(g->page_size) || g->page_size < 4096 || g->page_size > 65536)
		return -EINVAL;
	if (!g->max_consumers || (g->flags & ~KREPIS_F_ALL))
		return -EINVAL;
	if (g->max_consumers > KREPIS_MAX_CONSUMERS || g->buffer_count > KREPIS_MAX_BUFFERS ||
	    g->buffer_size > KREPIS_MAX_BUFFER_SIZE)
		return -E2BIG;
	/* The factors are bounded above, so the product cannot overflow. */
	if (g->buffer_count * krepis_round_up(g->buffer_size, g->page_size) >
	    KREPIS_MAX_CHANNEL_SIZE / 2)
		return -E2BIG;
	if (g->kind == KREPIS_RING)
		return krepis_ring_geometry_check(g);
	if (g->kind == KREPIS_TRIPLE)
		return krepis_triple_geometry_check(g);
	return -EINVAL;
}

/* The layout of a geometry that krepis_geometry_check() accepted. */
static inline struct krepis_layout krepis_layout(const struct krepis_geometry *g)
{
	struct krepis_layout l;
	__u64 descriptors = sizeof(struct krepis_exchange) +
			    (__u64)g->buffer_count * sizeof(struct krepis_desc);

	l.producer = g->page_size;
	l.consumers = l.producer + g->page_size;
	l.descriptors = l.consumers + (__u64)g->max_consumers * g->page_size;
	l.ring = l.descriptors + krepis_round_up(descriptors, g->page_size);
	l.payload = l.ring + g->ring_size;
	l.stride = krepis_round_up(g->buffer_size, g->page_size);
	/* Then one entry of a page table can map so much at once. */
	if (l.stride >= KREPIS_LARGE)
		l.payload = krepis_round_up(l.payload, KREPIS_LARGE);
	l.size = l.payload + g->buffer_count * l.stride;
	return l;
}

/*
 * Writes what a new channel must hold besides zeros. @base is where struct
 * krepis_info stands; control regions and descriptors are mapped behind it.
 */
static inline void krepis_format(void *base, const struct krepis_geometry *g,
				 const struct krepis_layout *l)
{
	struct krepis_info *info = (struct krepis_info *)base;
	struct krepis_exchange *x = (struct krepis_exchange *)((char *)base + l->descriptors);
	struct krepis_desc *desc = (struct krepis_desc *)(x + 1);
	__u32 i;

	info->magic = KREPIS_MAGIC;
	info->abi = KREPIS_ABI_VERSION;
	info->size = sizeof(*info);
	info->geometry = *g;
	for (i = 0; i < g->buffer_count; i++)
		desc[i].generation = 1;
}

#endif /* _KREPIS_GEOMETRY_H */
