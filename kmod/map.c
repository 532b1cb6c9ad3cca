// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings: who may map what.
 *
 *			cooperative		enforced
 *	region		producer  consumer i	producer  consumer i
 *	info		read	  read		read	  read
 *	producer	write	  read		write	  read
 *	consumer[i]	read	  write		read	  write
 *	consumer[j]	read	  read		read	  read
 *	descriptors	write	  write		read	  read
 *	ring		write	  read		write	  read
 *	payload		write	  read		what it	  read; exclusive:
 *						owns	  what it owns
 *
 * A range that is not the endpoint's to write can be mapped, and never becomes
 * writable: without VM_MAYWRITE mprotect(2) refuses, and so do ptrace(2) and
 * /proc/pid/mem. VM_DONTEXPAND keeps mremap(2) from growing a writable range
 * over its neighbour.
 */
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include "internal.h"

static bool within(u64 start, u64 end, u64 from, u64 to)
{
	return start >= from && end <= to;
}

/* Whether all of [@start, @end) is @ep's to write, as ordinary pages. */
static bool writes(const struct krepis_endpoint *ep, u64 start, u64 end)
{
	const struct krepis_channel *ch = ep->channel;
	const struct krepis_layout *l = &ch->layout;
	u64 page = ch->geometry.page_size, own;

	own = krepis_is_producer(ep) ? l->producer : l->consumers + (ep->number - 1) * page;
	if (within(start, end, own, own + page))
		return true;
	if (krepis_enforced(ch))
		return krepis_is_producer(ep) && within(start, end, l->ring, l->payload);
	return within(start, end, l->descriptors, krepis_is_producer(ep) ? l->size : l->ring);
}

static const struct vm_operations_struct vm_ops = {
	.fault = filemap_fault,
	.map_pages = filemap_map_pages,
};

/* ------------------------------------------------- pages that come and go */

/* Whether buffer @index is @ep's at present. Under ep->pages, or it is a hint. */
static bool has(const struct krepis_endpoint *ep, u32 index)
{
	const struct krepis_channel *ch = ep->channel;
	struct krepis_desc *desc = &ch->desc[index];
	u32 state;

	if (ch->geometry.kind == KREPIS_TRIPLE)
		return READ_ONCE(*krepis_held(ep)) == index;
	/* Pairs with krepis_own_return() and krepis_own_grant(): what the others wrote. */
	state = krepis_own_state(smp_load_acquire(&desc->word));
	if (krepis_is_producer(ep))
		return state == KREPIS_OWNED_PRODUCER;
	return state == KREPIS_OWNED_CONSUMER && (READ_ONCE(desc->holders) & ep->bit);
}

/* A row of pages. */
struct row {
	struct vm_area_struct *vma;
	unsigned long pfn;
};

static int set_entry(pte_t *pte, unsigned long addr, void *data)
{
	struct row *row = data;

	/* Another thread's fault may have been first. */
	if (pte_none(ptep_get(pte)))
		set_pte_at(row->vma->vm_mm, addr, pte,
			   pte_mkspecial(pfn_pte(row->pfn, row->vma->vm_page_prot)));
	row->pfn++;
	return 0;
}

/* Maps @start to @end of the channel at @addr. */
static int map_pages(struct vm_area_struct *vma, struct address_space *pages, unsigned long addr,
		     u64 start, u64 end)
{
	while (start < end) {
		struct row row = { .vma = vma };
		unsigned long rest;
		struct page *page;
		int err;

		/* An error: else a copy by the kernel would fault here for ever, and never die. */
		if (fatal_signal_pending(current))
			return -EINTR;
		/* It stays without our reference: nobody takes a channel's pages away. */
		page = find_get_page(pages, start >> PAGE_SHIFT);
		if (!page)
			return -EFAULT;
		row.pfn = page_to_pfn(page);
		rest = folio_nr_pages(page_folio(page)) - folio_page_idx(page_folio(page), page);
		rest = min_t(u64, rest << PAGE_SHIFT, end - start);
		err = apply_to_page_range(vma->vm_mm, addr, rest, set_entry, &row);
		put_page(page);
		if (err)
			return err;
		start += rest;
		addr += rest;
		cond_resched();
	}
	return 0;
}

/* Maps all of the buffer that the area shows, if the endpoint has it: one fault a life. */
static vm_fault_t buffer_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct krepis_view *view = vma->vm_file->private_data;
	struct krepis_endpoint *ep = view->endpoint;
	const struct krepis_layout *l = &ep->channel->layout;
	u64 area = (u64)vma->vm_pgoff << PAGE_SHIFT, start, end;
	u32 index = (u32)div64_u64(((u64)vmf->pgoff << PAGE_SHIFT) - l->payload, l->stride);
	vm_fault_t ret = VM_FAULT_SIGBUS;

	start = max(l->payload + index * l->stride, area);
	end = min(l->payload + (index + 1) * l->stride, area + (vma->vm_end - vma->vm_start));
	down_read(&ep->pages);
	if (has(ep, index)) {
		int err = map_pages(vma, ep->channel->inode->i_mapping,
				    vma->vm_start + (start - area), start, end);

		ret = !err ? VM_FAULT_NOPAGE : err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
	}
	up_read(&ep->pages);
	return ret;
}

static const struct vm_operations_struct buffer_ops = {
	.fault = buffer_fault,
};

/**
 * krepis_take_pages - unmaps buffer @index of @ep, in all processes
 *
 * When it returns no processor reaches the pages through this endpoint, until its next
 * fault there.
 */
void krepis_take_pages(struct krepis_endpoint *ep, u32 index)
{
	const struct krepis_layout *l = &ep->channel->layout;

	unmap_mapping_range(&ep->mapping, (loff_t)(l->payload + index * l->stride),
			    (loff_t)l->stride, 1);
}

/*
 * Buffers that the kernel takes away: not of struct pages, for which it could not.
 * So nothing can pin them, no debugger sees them, and advice does not change them.
 */
static int map_buffers(struct file *file, struct vm_area_struct *vma)
{
	struct file *buffers = krepis_buffers_file(file);

	if (IS_ERR(buffers))
		return PTR_ERR(buffers);
	vma_set_file(vma, buffers);
	fput(buffers);
	vm_flags_mod(vma, VM_IO | VM_PFNMAP, 0);
	vma->vm_ops = &buffer_ops;
	return 0;
}

/**
 * krepis_mmap - maps a part of the channel
 *
 * Return: 0; -EACCES without KREPIS_RIGHT_READ, for PROT_WRITE of what the endpoint may
 * not write, or PROT_EXEC; -EINVAL for a private mapping, a range outside, or one that
 * joins buffers that the kernel takes away to something else; -ENOMEM, -ENFILE.
 */
int krepis_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct krepis_view *view = file->private_data;
	const struct krepis_endpoint *ep = view->endpoint;
	u64 payload = ep->channel->layout.payload, size = ep->channel->layout.size;
	u64 start = (u64)vma->vm_pgoff << PAGE_SHIFT, end;
	u64 length = vma->vm_end - vma->vm_start;
	bool writable, buffers = false;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_pgoff > size >> PAGE_SHIFT ||
	    length > size - start)
		return -EINVAL;
	end = start + length;
	if (krepis_gives_pages(ep) && end > payload) {
		if (start < payload)
			return -EINVAL;
		buffers = true;
	}
	writable = krepis_may(view, KREPIS_RIGHT_READ | KREPIS_RIGHT_WRITE) &&
		   (buffers || writes(ep, start, end));
	if (!krepis_may(view, KREPIS_RIGHT_READ) || (vma->vm_flags & VM_EXEC) ||
	    ((vma->vm_flags & VM_WRITE) && !writable))
		return -EACCES;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP,
		     VM_MAYEXEC | (writable ? 0 : VM_MAYWRITE));
	if (buffers)
		return map_buffers(file, vma);
	vma->vm_ops = &vm_ops;
	return 0;
}
