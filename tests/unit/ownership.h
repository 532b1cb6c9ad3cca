/* SPDX-License-Identifier: MIT */
/*
 * What the programs about a buffer's ownership share: a descriptor in a given state, and
 * whether it is in one.
 */
#ifndef KREPIS_TEST_OWNERSHIP_H
#define KREPIS_TEST_OWNERSHIP_H

#include <krepis/ownership.h>
#include "helpers.h"

#define GEN	7	/* the life that most tests play in */

static inline struct krepis_desc desc_in(enum krepis_owner state, uint32_t generation,
					  uint32_t holders)
{
	return (struct krepis_desc){
		.state = state,
		.generation = generation,
		.holders = holders,
		.len = 100,
		.type = 3,
		.sequence = 640,
		.claim = (uint64_t)generation << 32,
	};
}

static inline bool is(const struct krepis_desc *desc, enum krepis_owner state, uint32_t generation)
{
	return desc->state == state && desc->generation == generation &&
	       desc->word == krepis_own_word(state, generation);
}

#endif /* KREPIS_TEST_OWNERSHIP_H */
