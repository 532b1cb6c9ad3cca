// SPDX-License-Identifier: MIT
/*
 * Mappings of a channel in this process.
 */
#include <sys/mman.h>
#include "internal.h"
#include "poison.h"

/* Maps @size bytes of @fd, at @addr if it is not NULL. Return: NULL on error. */
void *krepis_map(void *addr, size_t size, int prot, int fd, uint64_t offset)
{
	void *p = mmap(addr, size, prot, MAP_SHARED | (addr ? MAP_FIXED : 0), fd, (off_t)offset);

	if (p == MAP_FAILED)
		return NULL;
	/* A child's view would be a second owner of everything. */
	madvise(p, size, MADV_DONTFORK);
	/* What stood here in the parent may have left its poison. */
	krepis_unpoison(p, size);
	return p;
}

/* A file that is sealed against writing can be opened for it all the same. */
int krepis_map_error(void)
{
	return errno == EPERM || errno == EACCES ? -EACCES : -ENOMEM;
}

/* Room for mappings that stand side by side. */
uint8_t *krepis_map_reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	krepis_unpoison(p, size);
	return p;
}

void krepis_unmap(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

/* The endpoint's state stands at the beginning of the private page @page. */
bool krepis_map_state(struct krepis_endpoint *ep, void *page, size_t size)
{
	if (mprotect(page, size, PROT_READ | PROT_WRITE) || madvise(page, size, MADV_WIPEONFORK))
		return false;
	ep->state = page;
	krepis_write(ep->state, KREPIS_HERE);
	return true;
}
