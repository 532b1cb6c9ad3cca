// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's memory: made at SETUP, zeroed, and there until the inode goes.
 */
#include <linux/cred.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "internal.h"
#include "trace.h"

/* A limit is told by -ENOMEM, and never by killing somebody. */
#define GFP_CHANNEL	(GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)
/* A larger piece if there is one at hand. */
#define GFP_LUCKY	((GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN | \
			  __GFP_NOMEMALLOC) & ~__GFP_DIRECT_RECLAIM)

const struct address_space_operations krepis_aops = {
	.dirty_folio = noop_dirty_folio,
};

/* ----------------------------------------------------------- locked memory */

/*
 * Counts @ch's pages as locked memory of the user who makes it, as io_uring and
 * BPF count theirs. Return: 0, or -ENOMEM over RLIMIT_MEMLOCK.
 */
static int charge_user(struct krepis_channel *ch)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct user_struct *user = current_user();
	long used, after;

	if (capable(CAP_IPC_LOCK))
		return 0;
	used = atomic_long_read(&user->locked_vm);
	do {
		after = used + (long)ch->pages;
		if (after < 0 || (unsigned long)after > limit)
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &used, after));
	ch->user = get_uid(user);
	return 0;
}

static void uncharge_user(struct krepis_channel *ch)
{
	if (!ch->user)
		return;
	atomic_long_sub((long)ch->pages, &ch->user->locked_vm);
	free_uid(ch->user);
}

/* --------------------------------------------------------------------- pages */

/* The largest piece that may stand at @index with @left pages to go. */
static unsigned int order_at(pgoff_t index, unsigned long left)
{
	unsigned int order = min_t(unsigned int, __ffs(index | 1UL << 16), ilog2(left));
	unsigned int huge = PMD_SHIFT - PAGE_SHIFT;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return 0;
	/* What a page table entry of the next level maps, or else a handful. */
	if (order >= huge && huge <= MAX_PAGECACHE_ORDER)
		return huge;
	/* A pair is more than Linux before 6.9 can have in its page cache. */
	return order == 1 ? 0 : min(order, 4U);
}

static struct folio *cache_folio(struct address_space *mapping, pgoff_t index, unsigned int order)
{
	gfp_t gfp = order ? GFP_LUCKY : GFP_CHANNEL;
	struct folio *folio = folio_alloc(gfp, order);
	int err;

	if (!folio)
		return ERR_PTR(-ENOMEM);
	/* Charges the memory control group of the caller. */
	err = filemap_add_folio(mapping, folio, index, gfp & ~__GFP_ZERO);
	if (err) {
		folio_put(folio);
		return ERR_PTR(err);
	}
	folio_mark_uptodate(folio);
	folio_mark_dirty(folio);
	folio_unlock(folio);
	return folio;
}

/*
 * Fills the page cache. The first @count pages are single ones and keep a
 * reference, in @pages, for the kernel's own mapping: they must never move.
 */
static int fill_cache(struct krepis_channel *ch, struct page **pages, unsigned long count)
{
	struct address_space *mapping = ch->inode->i_mapping;
	unsigned long index = 0;

	while (index < ch->pages) {
		unsigned int order = index < count ? 0 : order_at(index, ch->pages - index);
		struct folio *folio = cache_folio(mapping, index, order);

		if (IS_ERR(folio) && order)
			folio = cache_folio(mapping, index, order = 0);
		if (IS_ERR(folio))
			return PTR_ERR(folio);
		if (index < count)
			pages[index] = folio_page(folio, 0);
		else
			folio_put(folio);
		index += 1UL << order;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static void put_control(struct page **pages, unsigned long count)
{
	unsigned long i;

	for (i = 0; i < count && pages[i]; i++)
		put_page(pages[i]);
}

/* Makes the memory of @ch and the kernel's mapping of its control regions. */
static int make_pages(struct krepis_channel *ch)
{
	unsigned long count = ch->layout.ring >> PAGE_SHIFT;
	struct page **pages;
	int err;

	pages = kvcalloc(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	err = fill_cache(ch, pages, count);
	if (!err) {
		ch->control = vmap(pages, count, VM_MAP, PAGE_KERNEL);
		if (!ch->control)
			err = -ENOMEM;
	}
	if (err) {
		put_control(pages, count);
		truncate_inode_pages(ch->inode->i_mapping, 0);
	}
	kvfree(pages);
	return err;
}

/* Not VM_MAP_PUT_PAGES: it takes the pages for vmalloc's own in the statistics. */
static void free_control(struct krepis_channel *ch)
{
	unsigned long offset;

	for (offset = 0; offset < ch->layout.ring; offset += PAGE_SIZE)
		put_page(vmalloc_to_page(ch->control + offset));
	vunmap(ch->control);
}

/* --------------------------------------------------------------------- setup */

static struct krepis_channel *channel_alloc(struct inode *inode, const struct krepis_geometry *g)
{
	unsigned int n = 1 + g->max_consumers, i;
	struct krepis_channel *ch = kzalloc(struct_size(ch, slot, n), KREPIS_GFP);

	if (!ch)
		return NULL;
	ch->inode = inode;
	ch->geometry = *g;
	ch->layout = krepis_layout(g);
	ch->pages = ch->layout.size >> PAGE_SHIFT;
	ch->slots = (u32)((1ULL << g->max_consumers) - 1);
	mutex_init(&ch->lock);
	spin_lock_init(&ch->owners);
	ch->held[0] = KREPIS_TRIPLE_BUFFERS;
	ch->held[1] = KREPIS_TRIPLE_BUFFERS;
	for (i = 0; i < n; i++)
		init_waitqueue_head(&ch->slot[i].wait);
	return ch;
}

static int make_channel(struct inode *inode, const struct krepis_geometry *g)
{
	struct krepis_channel *ch = channel_alloc(inode, g);
	int err;

	if (!ch)
		return -ENOMEM;
	err = krepis_super_charge(inode->i_sb, ch->pages);
	if (err)
		goto err_free;
	err = charge_user(ch);
	if (err)
		goto err_uncharge_super;
	err = make_pages(ch);
	if (err)
		goto err_uncharge_user;
	ch->info = ch->control;
	ch->producer = ch->control + ch->layout.producer;
	ch->exchange = ch->control + ch->layout.descriptors;
	ch->desc = (struct krepis_desc *)(ch->exchange + 1);
	krepis_format(ch->control, g, &ch->layout);
	i_size_write(inode, (loff_t)ch->layout.size);
	inode->i_blocks = ch->layout.size >> 9;
	/* Pairs with krepis_channel_of(): who sees the channel sees it whole. */
	smp_store_release(&krepis_inode(inode)->channel, ch);
	return 0;

err_uncharge_user:
	uncharge_user(ch);
err_uncharge_super:
	krepis_super_uncharge(inode->i_sb, ch->pages);
err_free:
	kfree(ch);
	return err;
}

/**
 * krepis_channel_setup - makes a channel of @inode
 *
 * Return: 0; -EBUSY if it is one; -EINVAL or -E2BIG for the geometry; -ENOSPC over the
 * mount's size=; -ENOMEM over RLIMIT_MEMLOCK, the memory control group's limit or the
 * machine's; -EINTR if the caller was killed. On error nothing changed.
 */
int krepis_channel_setup(struct inode *inode, const struct krepis_geometry *g)
{
	int err = krepis_geometry_check(g);

	if (err)
		return err;
	if (g->page_size % PAGE_SIZE)
		return -EINVAL;
	inode_lock(inode);
	err = krepis_channel_of(inode) ? -EBUSY : make_channel(inode, g);
	inode_unlock(inode);
	if (!err)
		trace_krepis_create(inode, g);
	return err;
}

/* The inode goes: no file is open, so nothing is mapped and nobody waits. */
void krepis_channel_destroy(struct inode *inode)
{
	struct krepis_channel *ch = krepis_inode(inode)->channel;

	if (!ch)
		return;
	free_control(ch);
	uncharge_user(ch);
	krepis_super_uncharge(inode->i_sb, ch->pages);
	krepis_inode(inode)->channel = NULL;
	kfree(ch);
}
