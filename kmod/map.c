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

/**
 * struct row - pages of the channel that are to be mapped side by side
 * @addr:	of the next one, to @end
 * @index:	its place in the channel, in pages
 */
struct row {
	struct vm_area_struct *vma;
	struct address_space *pages;
	unsigned long addr, end;
	pgoff_t index;
};

#ifdef KREPIS_HUGE
/*
 * Whether one entry of the next level maps what comes next, from now on or already. Under
 * ep->pages: nobody else makes entries there.
 */
static bool map_huge(const struct row *row)
{
	struct mm_struct *mm = row->vma->vm_mm;
	unsigned long addr = row->addr;
	struct page *page;
	bool whole;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	if (!IS_ALIGNED(addr, PMD_SIZE) || row->end - addr < PMD_SIZE)
		return false;
	page = find_get_page(row->pages, row->index);
	if (!page)
		return false;
	whole = folio_order(page_folio(page)) >= PMD_ORDER && IS_ALIGNED(row->index, 1UL << PMD_ORDER);
	put_page(page);
	if (!whole)
		return false;
	/* The fault made the levels above for its own address, and mostly for the others. */
	pgd = pgd_offset(mm, addr);
	if (pgd_none(*pgd))
		return false;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return false;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud))
		return false;
	pmd = pmd_offset(pud, addr);
	if (pmd_none(*pmd)) {
		struct vm_fault vmf = { .vma = row->vma, .address = addr, .pmd = pmd };

		vmf_insert_pfn_pmd(&vmf, __pfn_to_pfn_t(page_to_pfn(page), 0), false);
	}
	return pmd_leaf(*pmd);
}
#else
static bool map_huge(const struct row *row)
{
	return false;
}
#endif

/* Called for the first entry, fills the rest of its page table. Return: 1, or an error. */
static int fill_table(pte_t *pte, unsigned long addr, void *data)
{
	const struct row *row = data;
	unsigned long end = pmd_addr_end(addr, row->end), pfn = 0, left = 0;
	pgoff_t index = row->index;

	for (; addr < end; addr += PAGE_SIZE, pte++, pfn++, left--) {
		if (!left) {
			struct page *page = find_get_page(row->pages, index);

			if (!page)
				return -EFAULT;
			pfn = page_to_pfn(page);
			left = folio_nr_pages(page_folio(page)) -
			       folio_page_idx(page_folio(page), page);
			index += left;
			/* It stays without our reference: nobody takes a channel's pages away. */
			put_page(page);
		}
		/* Another thread's fault may have been first, or some beside are there yet. */
		if (pte_none(ptep_get(pte)))
			set_pte_at(row->vma->vm_mm, addr, pte,
				   pte_mkspecial(pfn_pte(pfn, row->vma->vm_page_prot)));
	}
	return 1;
}

/* Maps @start to @end of the channel at @addr. */
static int map_pages(struct vm_area_struct *vma, struct address_space *pages, unsigned long addr,
		     u64 start, u64 end)
{
	struct row row = {
		.vma = vma, .pages = pages, .addr = addr, .end = addr + (end - start),
		.index = start >> PAGE_SHIFT,
	};

	while (row.addr < row.end) {
		unsigned long next = pmd_addr_end(row.addr, row.end);
		int ret = 0;

		/* An error: else a copy by the kernel would fault here for ever, and never die. */
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!map_huge(&row))
			ret = apply_to_page_range(vma->vm_mm, row.addr, next - row.addr,
						  fill_table, &row);
		if (ret < 0)
			return ret;
		row.index += (next - row.addr) >> PAGE_SHIFT;
		row.addr = next;
		cond_resched();
	}
	return 0;
}

/* As the kernel's own fault-around: a fault costs more than to map a few small buffers. */
#define AROUND SZ_64K

/*
 * At most one fault in a buffer's life: it is mapped whole, if the endpoint has it, and
 * with it small ones beside it.
 */
static vm_fault_t buffer_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct krepis_view *view = vma->vm_file->private_data;
	struct krepis_endpoint *ep = view->endpoint;
	const struct krepis_channel *ch = ep->channel;
	const struct krepis_layout *l = &ch->layout;
	u64 area = (u64)vma->vm_pgoff << PAGE_SHIFT, start, end;
	u32 index = (u32)div64_u64(((u64)vmf->pgoff << PAGE_SHIFT) - l->payload, l->stride);
	u32 row = max_t(u32, div64_u64(AROUND, l->stride), 1);
	u32 first = rounddown(index, row), last = min(first + row, ch->geometry.buffer_count);
	u32 from = index, to = index + 1;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	mutex_lock(&ep->pages);
	if (has(ep, index)) {
		int err;

		while (from > first && has(ep, from - 1))
			from--;
		while (to < last && has(ep, to))
			to++;
		start = max(l->payload + from * l->stride, area);
		end = min(l->payload + to * l->stride, area + (vma->vm_end - vma->vm_start));
		err = map_pages(vma, ch->inode->i_mapping, vma->vm_start + (start - area), start,
				end);
		ret = !err ? VM_FAULT_NOPAGE : err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
	}
	mutex_unlock(&ep->pages);
	return ret;
}

/*
 * Nothing: buffer_fault() maps more than one page by itself. But where there is such a
 * function, Linux calls the fault handler under the area's lock alone, and does not
 * come a second time with that of all memory.
 */
static vm_fault_t map_none(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

static const struct vm_operations_struct buffer_ops = {
	.fault = buffer_fault,
	.map_pages = map_none,
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
