/* SPDX-License-Identifier: MIT */
/*
 * What the self tests of enforced channels share: shapes, contents of buffers, and
 * the state that a descriptor tells.
 */
#ifndef _KSELFTEST_ENFORCED_H
#define _KSELFTEST_ENFORCED_H

#include <krepis/ownership.h>
#include "util.h"

/* Two consumers, four buffers of four pages. */
static inline struct krepis_geometry enforced_ring(void)
{
	struct krepis_geometry g = small_ring();

	g.flags = KREPIS_F_ENFORCED;
	g.buffer_size = 4 * PAGE;
	return g;
}

/* Fills all pages of buffer @index. */
static inline void fill(const struct side *s, __u32 index, __u32 seed)
{
	__u32 *word = (__u32 *)payload_of(s, index), i;

	for (i = 0; i < s->layout.stride / sizeof(*word); i++)
		krepis_write(&word[i], seed * 2654435761U + i);
}

/* Whether fill() was the last that wrote to it. */
static inline bool filled(const struct side *s, __u32 index, __u32 seed)
{
	__u32 *word = (__u32 *)payload_of(s, index), i;

	for (i = 0; i < s->layout.stride / sizeof(*word); i++) {
		if (krepis_read(&word[i]) != seed * 2654435761U + i)
			return false;
	}
	return true;
}

/* Whether no page of the buffer is there, or all are. */
static inline bool all_taken_away(const struct side *s, __u32 index)
{
	const char *p = payload_of(s, index), *end = p + s->layout.stride;

	for (; p < end; p += PAGE) {
		if (!is_taken_away(p) || !is_taken_away(p + PAGE - 1))
			return false;
	}
	return true;
}

static inline bool all_writable(const struct side *s, __u32 index)
{
	const char *p = payload_of(s, index), *end = p + s->layout.stride;

	for (; p < end; p += PAGE) {
		if (!reads(p) || !writes(p) || !writes(p + PAGE - 1))
			return false;
	}
	return true;
}

/* Whether the descriptor of @index says so. */
static inline bool is_held(const struct side *s, __u32 index, __u32 generation, __u32 holders)
{
	struct krepis_desc *d = &s->desc[index];

	return krepis_load_acquire(&d->word) == krepis_own_word(KREPIS_OWNED_CONSUMER, generation) &&
	       krepis_read(&d->holders) == holders;
}

static inline bool is_back(const struct side *s, __u32 index, __u32 generation)
{
	return krepis_load_acquire(&s->desc[index].word) ==
	       krepis_own_word(KREPIS_OWNED_PRODUCER, generation);
}

#endif /* _KSELFTEST_ENFORCED_H */
