// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings: who may map what.
 *
 *	region		producer	consumer i
 *	info		read		read
 *	producer	write		read
 *	consumer[i]	read		write
 *	consumer[j]	read		read
 *	descriptors	write		write
 *	ring, payload	write		read
 *
 * A range that is not the endpoint's to write can be mapped, and never becomes
 * writable: without VM_MAYWRITE mprotect(2) refuses, and so do ptrace(2) and
 * /proc/pid/mem. VM_DONTEXPAND keeps mremap(2) from growing a writable range
 * over its neighbour.
 */
#include "internal.h"

static bool within(u64 start, u64 end, u64 from, u64 to)
{
	return start >= from && end <= to;
}

/* Whether all of [@start, @end) is @ep's to write. */
static bool writes(const struct krepis_endpoint *ep, u64 start, u64 end)
{
	const struct krepis_channel *ch = ep->channel;
	const struct krepis_layout *l = &ch->layout;
	u64 page = ch->geometry.page_size, own;

	if (krepis_is_producer(ep))
		return within(start, end, l->producer, l->producer + page) ||
		       within(start, end, l->descriptors, l->size);
	own = l->consumers + (ep->number - 1) * page;
	return within(start, end, own, own + page) ||
	       within(start, end, l->descriptors, l->ring);
}

static const struct vm_operations_struct vm_ops = {
	.fault = filemap_fault,
	.map_pages = filemap_map_pages,
};

/*
 * Return: 0; -EACCES without KREPIS_RIGHT_READ, for PROT_WRITE of what the endpoint may
 * not write, or PROT_EXEC; -EINVAL for a private mapping or a range outside.
 */
int krepis_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct krepis_view *view = file->private_data;
	u64 size = view->endpoint->channel->layout.size;
	u64 start = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	bool writable;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_pgoff > size >> PAGE_SHIFT ||
	    length > size - start)
		return -EINVAL;
	writable = krepis_may(view, KREPIS_RIGHT_READ | KREPIS_RIGHT_WRITE) &&
		   writes(view->endpoint, start, start + length);
	if (!krepis_may(view, KREPIS_RIGHT_READ) || (vma->vm_flags & VM_EXEC) ||
	    ((vma->vm_flags & VM_WRITE) && !writable))
		return -EACCES;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP,
		     VM_MAYEXEC | (writable ? 0 : VM_MAYWRITE));
	vma->vm_ops = &vm_ops;
	return 0;
}
