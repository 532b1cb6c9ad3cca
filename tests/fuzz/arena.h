/* SPDX-License-Identifier: MIT */
/*
 * Where a hostile peer can write. Of a file, who has it maps the whole. Of a channel of
 * the module each endpoint can write what belongs to its role, and the peer is any of those
 * that are attached: it writes through their mappings. Of an enforced channel nobody writes
 * descriptors, and payload only who has the buffer: whoever tries nevertheless meets a fault.
 */
#ifndef KREPIS_FUZZ_ARENA_H
#define KREPIS_FUZZ_ARENA_H

#include <sys/vfs.h>
#include "enforced.h"

#define EVERYWHERE	256	/* weights of the actions that are possible on both */
#define IN_KERNEL	64	/* and of the one that is the module's */
#define ON_BUFFERS	32	/* and of the one that is for enforced channels */

static void shm_map(struct session *s)
{
	s->base = mmap(NULL, s->l.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       krepis_channel_fd(s->channel), 0);
	MUST(s->base != MAP_FAILED);
}

static void shm_renew(struct session *s)
{
	memset(s->base, 0, s->l.payload);
	krepis_format(s->base, &s->g, &s->l);
}

static void *shm_at(const struct session *s, uint64_t offset)
{
	return s->base + offset;
}

static void kmod_map(struct session *s)
{
	(void)s;
}

/* Nobody can write all of it, so it is another one. */
static void kmod_renew(struct session *s)
{
	session_close(s);
	session_make(s);
}

/* As the table of Documentation/userspace-api/module.md has it. */
static bool writes(const struct krepis_endpoint *ep, uint64_t offset)
{
	const struct krepis_layout *l = &ep->layout;
	uint32_t page = ep->geometry.page_size;
	bool producer = ep->role == KREPIS_PRODUCER;
	uint64_t own = producer ? l->producer : l->consumers + (uint64_t)ep->slot * page;

	if (offset - own < page)
		return true;
	if (krepis_enforced(ep))
		return producer && offset >= l->ring;
	return offset >= l->descriptors && (producer || offset < l->ring);
}

static void *kmod_at(const struct session *s, uint64_t offset)
{
	const struct krepis_layout *l = &s->l;
	unsigned int i;

	for (i = 0; i < s->ends; i++) {
		const struct krepis_endpoint *ep = s->end[i].ep;

		if (!ep || !writes(ep, offset))
			continue;
		if (offset < l->ring)
			return (uint8_t *)ep->info + offset;
		return offset < l->payload ? ep->ring + (offset - l->ring) :
					     ep->payload + (offset - l->payload);
	}
	return NULL;
}

static void *kmod_see(const struct session *s, uint64_t offset)
{
	unsigned int i;

	for (i = 0; i < s->ends; i++) {
		if (s->end[i].ep)
			return (uint8_t *)s->end[i].ep->info + offset;
	}
	return NULL;
}

static const struct arena shm_arena = {
	.backend = &krepis_backend_shm,
	.name = "memfd:krepis",
	.slow_s = 2,
	.weights = EVERYWHERE,
	.files = true,
	.map = shm_map,
	.renew = shm_renew,
	.at = shm_at,
	.see = shm_at,
};

static const struct arena kmod_arena = {
	.backend = &krepis_backend_kmod,
	.name = "krepis-endpoint",
	/* The machine may be emulated, where nothing takes longer than to unmap memory. */
	.slow_s = 10,
	.weights = EVERYWHERE + IN_KERNEL,
	.map = kmod_map,
	.renew = kmod_renew,
	.at = kmod_at,
	.see = kmod_see,
};

static const struct arena enforced_arena = {
	.backend = &krepis_backend_kmod,
	.name = "krepis-endpoint",
	.slow_s = 10,
	.weights = EVERYWHERE + IN_KERNEL + ON_BUFFERS,
	.enforced = true,
	.map = kmod_map,
	.renew = kmod_renew,
	.at = kmod_at,
	.see = kmod_see,
	.leave = check_all_kept,
};

/* As the unit tests do: where $KREPIS_TEST_DIR stands, and as $KREPIS_TEST_ENFORCED says. */
static void arena_choose(void)
{
	const char *base = getenv("KREPIS_TEST_DIR");
	struct statfs fs;

	if (!base)
		base = "/dev/shm";
	MUST(!statfs(base, &fs) && !setenv("KREPIS_DIR", base, 1));
	arena = (unsigned long)fs.f_type != krepis_backend_kmod.magic ? &shm_arena :
		getenv("KREPIS_TEST_ENFORCED") ? &enforced_arena : &kmod_arena;
	if (arena->enforced)
		catch_faults();
}

#endif /* KREPIS_FUZZ_ARENA_H */
