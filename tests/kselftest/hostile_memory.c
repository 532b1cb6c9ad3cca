// SPDX-License-Identifier: MIT
/*
 * A hostile owner of memory: whatever it does with its mappings, a buffer that it gave
 * away does not change. See hostile.h for how that is tested.
 */
#include <kselftest_harness.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include "hostile.h"

/* What the system's headers may be too old for. */
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE	67
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC	(1 << 15)
#endif

FIXTURE_VARIANT_ADD(hostile, ring) { RING };
FIXTURE_VARIANT_ADD(hostile, exclusive_consumer) { EXCLUSIVE_CONSUMER };
#if GRAIN == 1 /* They differ from these in how owners change, not in how pages come and go. */
FIXTURE_VARIANT_ADD(hostile, overwriting) { OVERWRITING };
FIXTURE_VARIANT_ADD(hostile, exclusive) { EXCLUSIVE };
FIXTURE_VARIANT_ADD(hostile, triple) { TRIPLE };
#endif
FIXTURE_VARIANT_ADD(hostile, cooperative) { COOPERATIVE };

static char *at_buffer(struct hand *t, char *map)
{
	return buffer_at(t, map, some_buffer(t));
}

/* Some pages of @map: their place, and how many bytes. */
static char *some_pages(struct hand *t, char *map, size_t *bytes)
{
	unsigned int pages = (unsigned int)(payload_bytes(&t->h->side) / PAGE);
	unsigned int from = rnd(&t->seed) % pages;

	*bytes = (1 + rnd(&t->seed) % (pages - from)) * (size_t)PAGE;
	return map + from * (size_t)PAGE;
}

/* The second thread of those that change a mapping under it. */
static bool storms(struct hand *t)
{
	if (t->number)
		storm(t, at_buffer(t, t->h->at), BUFFER, 64);
	return t->number;
}

static void store(struct hand *t)
{
	storm(t, at_buffer(t, t->map), BUFFER, 256);
}

ATTACK(plain_stores, .step = store)
ATTACK(plain_stores_of_three, .step = store, .threads = 3)

static void store_by_two(struct hand *t)
{
	storm(t, at_buffer(t, rnd(&t->seed) % 2 ? t->h->at : t->map), BUFFER, 256);
}

ATTACK(stores_through_two_mappings, .step = store_by_two)

static void store_by_parts(struct hand *t)
{
	unsigned int page = rnd(&t->seed) % (unsigned int)(payload_bytes(&t->h->side) / PAGE);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | (rnd(&t->seed) % 2 ? MAP_POPULATE : 0), t->h->side.fd,
		       (off_t)(t->h->side.layout.payload + page * PAGE));

	if (p == MAP_FAILED)
		return;
	storm(t, p, PAGE, 64);
	munmap(p, PAGE);
}

ATTACK(stores_through_parts, .step = store_by_parts)

/* The descriptor is closed and its rights are gone before it stores. */
static int derive_it(struct hand *t)
{
	int fd = derive(t->h->side.fd, KREPIS_RIGHT_READ | KREPIS_RIGHT_WRITE);

	munmap(t->map, payload_bytes(&t->h->side));
	t->map = map_payload(t->h, fd, NULL, 0);
	restrict_to(fd, 0);
	close(fd);
	return t->map ? 0 : -EIO;
}

ATTACK(stores_through_a_derived_endpoint, .begin = derive_it, .step = store)
ATTACK(stores_of_a_stranger, .step = store, .stranger = true, .threads = 2)

/* ------------------------------------------------------- mappings that change */

static void hold_place(char *at, size_t bytes)
{
	mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

static void move(struct hand *t)
{
	size_t all = payload_bytes(&t->h->side), bytes;
	char *at = t->h->at, *to = t->h->arena + (rnd(&t->seed) % 8) * all, *part;

	if (storms(t) || to == at)
		return;
	if (rnd(&t->seed) % 4) {
		if (mremap(at, all, all, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
			map_payload(t->h, t->h->side.fd, to, MAP_FIXED);
		t->h->at = to;
		hold_place(at, all);
		return;
	}
	part = some_pages(t, at, &bytes);
	mremap(part, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to + (part - at));
	hold_place(part, bytes);
	/* One half is here and the other one there. */
	storm(t, to + (part - at), bytes, 64);
	mremap(to + (part - at), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, part);
	mremap(at, PAGE, 2 * all, MREMAP_MAYMOVE);
	mremap(at, 0, all, MREMAP_MAYMOVE);
	mremap(at, all, all, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */);
	hold_place(to, all);
}

ATTACK(moved_mappings, .step = move, .threads = 2)

static void protect(struct hand *t)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE };
	size_t bytes;
	char *at;

	if (storms(t))
		return;
	at = some_pages(t, t->h->at, &bytes);
	mprotect(at, bytes, prot[rnd(&t->seed) % 4]);
	at = some_pages(t, t->h->at, &bytes);
	mprotect(at, bytes, PROT_READ | PROT_WRITE);
}

ATTACK(toggled_protection, .step = protect, .threads = 2)

/* All that are known, and some that are not. */
static int some_advice(struct hand *t)
{
	int advice = (int)(rnd(&t->seed) % 32);

	/* Poison; on ordinary pages that would work, for root. */
	if (advice >= 30 && t->h->terms != COOPERATIVE)
		return 100 + advice - 30;
	return advice;
}

static void advise(struct hand *t)
{
	size_t bytes;
	char *at;

	if (storms(t))
		return;
	at = some_pages(t, t->h->at, &bytes);
	madvise(at, bytes, some_advice(t));
}

ATTACK(advice, .step = advise, .threads = 2)

/* Same-page merging, huge pages, and everything mapped at once. */
static void merge(struct hand *t)
{
	static const int advice[] = { 12, 14, 25, 23, 22, 21, 15, 13 };
	unsigned int i;

	if (storms(t))
		return;
	prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
	for (i = 0; i < ARRAY_SIZE(advice); i++)
		madvise(t->h->at, payload_bytes(&t->h->side), advice[i]);
}

ATTACK(merged_and_huge_pages, .step = merge, .threads = 2)

static void numa(struct hand *t)
{
	unsigned long node = 1, all = ~0UL;
	int to = 0, status;
	void *page = t->h->at;

	if (storms(t))
		return;
	syscall(__NR_mbind, t->h->at, payload_bytes(&t->h->side), 2, &node, 64, 1 << 1 | 1 << 2);
	syscall(__NR_move_pages, 0, 1, &page, &to, &status, 1 << 2);
	syscall(__NR_migrate_pages, 0, 64, &all, &node);
}

ATTACK(moved_pages, .step = numa, .threads = 2)

static void map_again(struct hand *t)
{
	size_t all = payload_bytes(&t->h->side);

	if (storms(t))
		return;
	switch (rnd(&t->seed) % 4) {
	case 0:
		munmap(t->h->at, all);
		break;
	case 1:
		hold_place(t->h->at, all);
		break;
	case 2:
		/* Reading only, and then made writable. */
		mmap(t->h->at, all, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE, t->h->side.fd,
		     (off_t)t->h->side.layout.payload);
		mprotect(t->h->at, all, PROT_READ | PROT_WRITE);
		return;
	}
	map_payload(t->h, t->h->side.fd, t->h->at,
		    MAP_FIXED | (rnd(&t->seed) % 2 ? MAP_POPULATE : 0));
}

ATTACK(mapped_over_and_again, .step = map_again, .threads = 2)

static void lock(struct hand *t)
{
	size_t bytes;
	char *at;

	if (storms(t))
		return;
	at = some_pages(t, t->h->at, &bytes);
	switch (rnd(&t->seed) % 6) {
	case 0:
		mlock(at, bytes);
		break;
	case 1:
		mlock2(at, bytes, 1 /* MLOCK_ONFAULT */);
		break;
	case 2:
		munlock(at, bytes);
		break;
	case 3:
		map_payload(t->h, t->h->side.fd, t->h->at, MAP_FIXED | MAP_LOCKED | MAP_POPULATE);
		break;
	case 4:
		madvise(at, bytes, 23 /* MADV_POPULATE_WRITE */);
		break;
	case 5:
		mlockall(MCL_CURRENT);
		munlockall();
		break;
	}
	storm(t, at_buffer(t, t->h->at), BUFFER, 16);
}

ATTACK(locked_and_populated, .step = lock, .threads = 2)

static void remap(struct hand *t)
{
	unsigned int page = rnd(&t->seed) % (unsigned int)(payload_bytes(&t->h->side) / PAGE);

	remap_file_pages(t->map, PAGE, 0, t->h->side.layout.payload / PAGE + page, 0);
	storm(t, at_buffer(t, t->map), BUFFER, 64);
}

ATTACK(remapped_file_pages, .step = remap)

/* -------------------------------------------------------------------- processes */

/* A child has no mapping, and makes one by the descriptor that it has. */
static void fork_and_store(struct hand *t)
{
	pid_t pid = fork();
	int i;

	if (!pid) {
		storm(t, at_buffer(t, t->map), BUFFER, 8);
		t->map = map_payload(t->h, t->h->side.fd, NULL, 0);
		for (i = 0; i < 200 && t->map; i++)
			store(t);
		_exit(0);
	}
	for (i = 0; i < 8; i++)
		store(t);
	reap(pid);
}

ATTACK(stores_of_children, .step = fork_and_store, .slow = true)

static void vfork_and_store(struct hand *t)
{
	static char *const argv[] = { (char *)"true", NULL };
	static char *const none[] = { NULL };
	bool goes_on = rnd(&t->seed) % 16;
	pid_t pid = vfork();

	if (!pid) {
		storm(t, at_buffer(t, t->map), BUFFER, 64);
		if (goes_on)
			_exit(0);
		execve("/bin/true", argv, none);
		_exit(1);
	}
	store(t);
	reap(pid);
}

ATTACK(stores_between_vfork_and_exec, .step = vfork_and_store, .slow = true)

/* ----------------------------------------------------------------- userfaultfd */

static int open_userfaultfd(__u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -EINVAL;
	}
	return fd < 0 ? -errno : fd;
}

/* Handled by nobody: a page that waited for a handler would stop the attack. */
static void watch_faults(struct hand *t)
{
	static const __u64 modes[] = { UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_MINOR,
				       UFFDIO_REGISTER_MODE_WP };
	struct uffdio_range all = { (uintptr_t)t->map, payload_bytes(&t->h->side) };
	int fd = open_userfaultfd(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	unsigned int i;

	if (fd < 0)
		fd = open_userfaultfd(0);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct uffdio_register r = { .range = all, .mode = modes[i] };
		struct uffdio_writeprotect p = { .range = all, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

		if (ioctl(fd, UFFDIO_REGISTER, &r))
			continue;
		t->count++;
		/* With a mark for each page that is not there, too. */
		if (i == 2)
			ioctl(fd, UFFDIO_WRITEPROTECT, &p);
		count_result(t, getrandom(some_place(t, 64), 64, 0) == 64 ? 64 : -EFAULT);
		store(t);
	}
	store(t);
	close(fd);
}

ATTACK(userfaultfd, .step = watch_faults)

TEST_HARNESS_MAIN
