// SPDX-License-Identifier: MIT
/*
 * What a SIGBUS on a buffer means.
 */
#include <stdio.h>
#include "internal.h"

static void explain(const struct krepis_endpoint *ep, uint32_t index, char *text, size_t size)
{
	struct krepis_desc *desc = &ep->desc[index];
	uint64_t word = krepis_load_acquire(&desc->word);
	uint32_t holders = krepis_read(&desc->holders);

	if (ep->geometry.kind == KREPIS_TRIPLE)
		snprintf(text, size, "buffer %u was published: the producer has it again only "
			 "when krepis_triple_begin() returns it", index);
	else if (ep->role == KREPIS_CONSUMER)
		snprintf(text, size, "buffer %u is not this consumer's: it was released, or never "
			 "received", index);
	else if (krepis_own_state(word) == KREPIS_OWNED_PRODUCER)
		snprintf(text, size, "buffer %u came back in the meantime: it is the producer's now",
			 index);
	else
		snprintf(text, size, "buffer %u was published and consumers %#x hold it: it is the "
			 "producer's again when krepis_acquire() returns it", index, holders);
}

KREPIS_API int krepis_fault_explain(const void *address, char *text, size_t size)
{
	const struct krepis_endpoint *ep;
	int err = krepis_kmod_at(address, &ep);

	if (err)
		return err;
	explain(ep, (uint32_t)((size_t)((const uint8_t *)address - ep->payload) / ep->layout.stride),
		text, size);
	return 0;
}
