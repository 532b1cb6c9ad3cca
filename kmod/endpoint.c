// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoints: attach, derive, query, and the end.
 *
 *	attach	krepis_attach()		the slot is taken, its pages are made ready,
 *					link and live bit say so, the others are told
 *	end	endpoint_release()	the last file is gone, and with it the last
 *					mapping and the last thread that could touch
 *					the slot: live bit off, holds swept or buffers
 *					recovered, links off, the others are told
 *
 * Both under krepis_channel.lock, so a slot's next user finds it swept. Whoever
 * is killed goes through the same end.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mount.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include "internal.h"
#include "trace.h"

#define TRIPLE_WAIT_MS	100	/* for a peer that is between two instructions */

/* ---------------------------------------------------------------- attaching */

static bool present(const struct krepis_channel *ch, u32 role)
{
	if (role == KREPIS_PRODUCER)
		return READ_ONCE(ch->slot[0].endpoint);
	return READ_ONCE(ch->info->live) & ch->slots;
}

static void arm_links(struct krepis_channel *ch, const struct krepis_endpoint *ep, u32 word)
{
	unsigned int i;

	/* Pairs with krepis_*_peer() in lib/: what was done before is visible. */
	if (!krepis_is_producer(ep)) {
		smp_store_release(&krepis_consumer_page(ch, ep->number - 1)->link.word, word);
		return;
	}
	/* The same. */
	for (i = 0; i < ch->geometry.max_consumers; i++)
		smp_store_release(&ch->producer->link[i].word, word);
}

/* What a predecessor left in the pages that are this endpoint's own. */
static void clean_page(struct krepis_channel *ch, const struct krepis_endpoint *ep)
{
	struct krepis_consumer *c;
	struct krepis_counters *counters = &ch->producer->counters;
	struct krepis_waiter *waiter = &ch->producer->waiter;

	if (krepis_is_producer(ep)) {
		WRITE_ONCE(ch->producer->need, 0);
	} else {
		c = krepis_consumer_page(ch, ep->number - 1);
		counters = &c->counters;
		waiter = &c->waiter;
		/* Some older head, so that the producer leaves this ring's worth alone. */
		krepis_ring_consume(c, smp_load_acquire(&ch->producer->head));
		WRITE_ONCE(c->joined, 0);
	}
	/* Its sleep is over. Numbers go on, so that none is taken for another. */
	WRITE_ONCE(waiter->waiting, READ_ONCE(waiter->waiting) & ~(KREPIS_ASLEEP | KREPIS_FENCE));
	memset(counters, 0, sizeof(*counters));
}

/*
 * Which buffer of a triple is the new endpoint's. Return: -EAGAIN while the other
 * side is in the middle of an exchange, or broke the triple; -EPROTO if nobody is there,
 * and the last ones broke it.
 */
static int claim_buffer(struct krepis_channel *ch, const struct krepis_endpoint *ep)
{
	struct krepis_consumer *c = krepis_consumer_page(ch, 0);
	bool consumer = !krepis_is_producer(ep);
	u32 *own = consumer ? &c->front : &ch->producer->back;
	u32 *other = consumer ? &ch->producer->back : &c->front;
	int index;

	/* There a note is the kernel's own; the page only tells its owner. */
	if (krepis_enforced(ch))
		other = &ch->held[consumer ? 0 : 1];

	if (ep->had_peer)
		index = krepis_triple_claim(ch->exchange, other);
	else
		index = krepis_triple_pick(ch->exchange, ch->desc, consumer);
	if (index < 0)
		return index;
	krepis_triple_adopt(ch->desc, own, (u32)index, consumer);
	WRITE_ONCE(*krepis_held(ep), (u32)index);
	return 0;
}

/* Finds a slot for @ep. Channel lock held. */
static int take_slot(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	u32 i;

	if (krepis_is_producer(ep))
		return ch->slot[0].endpoint ? -EBUSY : 0;
	for (i = 0; i < ch->geometry.max_consumers; i++) {
		if (!ch->slot[1 + i].endpoint) {
			ep->number = 1 + i;
			ep->bit = 1U << i;
			return 0;
		}
	}
	return -EUSERS;
}

static int join_locked(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	bool consumer = !krepis_is_producer(ep);
	u32 *arrivals = consumer ? &ch->info->consumers : &ch->info->producers;
	int err = take_slot(ch, ep);

	lockdep_assert_held(&ch->lock);
	if (err)
		return err;
	ep->had_peer = present(ch, consumer ? KREPIS_PRODUCER : KREPIS_CONSUMER);
	ep->peers = ch->arrivals[!consumer];
	if (ch->geometry.kind == KREPIS_TRIPLE) {
		err = claim_buffer(ch, ep);
		if (err)
			return err;
	}
	clean_page(ch, ep);
	WRITE_ONCE(krepis_slot_of(ep)->endpoint, ep);
	arm_links(ch, ep, KREPIS_LINK_ALIVE);
	if (consumer) {
		/*
		 * Not in the middle of a hand-over: that lets go of what it gave to our
		 * predecessor, and we would have seen it as ours already.
		 */
		spin_lock(&ch->owners);
		krepis_fetch_or(&ch->info->live, ep->bit);
		spin_unlock(&ch->owners);
	}
	/* Counted last. Pairs with gone(), and krepis_*_peer() in lib/. */
	smp_store_release(&ch->arrivals[consumer], ch->arrivals[consumer] + 1);
	/* The same, for the library. */
	smp_store_release(arrivals, ch->arrivals[consumer]);
	WRITE_ONCE(ch->info->epoch, ch->info->epoch + 1);
	krepis_event_all(ch);
	return 0;
}

/*
 * The other side of a triple may be between two instructions, or have been stopped
 * there: it gets some time, in which others may attach and go.
 */
static int join(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	ktime_t end = ktime_add_ms(ktime_get(), TRIPLE_WAIT_MS);
	int err;

	for (;;) {
		err = mutex_lock_killable(&ch->lock);
		if (err)
			return err;
		err = join_locked(ch, ep);
		mutex_unlock(&ch->lock);
		if (err != -EAGAIN)
			return err;
		if (ktime_after(ktime_get(), end))
			return -ETIMEDOUT;
		usleep_range(50, 100);
	}
}

/* The reverse of join_locked(), and what is needed if nothing was in order. */
static void leave_locked(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	u32 buffers = ch->geometry.kind == KREPIS_RING ? ch->geometry.buffer_count : 0;

	lockdep_assert_held(&ch->lock);
	/*
	 * What an enforced producer gave is given, whatever its pages say of it: a
	 * consumer may be reading. It lets go of what it will never receive.
	 */
	if (!krepis_is_producer(ep))
		krepis_own_sweep_consumer(ch->info, ch->desc, buffers, ep->bit);
	else if (!krepis_enforced(ch))
		krepis_own_sweep_producer(ch->producer, ch->desc, buffers);
	/* Pairs with gone(): what it published before is visible. */
	smp_store_release(&krepis_slot_of(ep)->endpoint, NULL);
	if (!ep->orderly) {
		WRITE_ONCE(ch->info->deaths, ch->info->deaths + 1);
		if (krepis_is_producer(ep))
			WRITE_ONCE(ch->info->producer_deaths, ch->info->producer_deaths + 1);
	}
	arm_links(ch, ep, 0);
	WRITE_ONCE(ch->info->epoch, ch->info->epoch + 1);
	krepis_event_all(ch);
}

/* ------------------------------------------------------------------ files */

static void view_put(struct krepis_view *view)
{
	struct krepis_endpoint *ep = view->endpoint;
	struct krepis_channel *ch = ep->channel;

	kfree(view);
	if (!refcount_dec_and_test(&ep->views))
		return;
	mutex_lock(&ch->lock);
	leave_locked(ch, ep);
	mutex_unlock(&ch->lock);
	trace_krepis_leave(ep);
	kfree(ep);
}

static int endpoint_release(struct inode *inode, struct file *file)
{
	/* NULL: the attach failed. */
	if (file->private_data)
		view_put(file->private_data);
	return 0;
}

static struct krepis_view *view_alloc(struct krepis_endpoint *ep, u32 rights)
{
	struct krepis_view *view = kmalloc(sizeof(*view), KREPIS_GFP);

	if (view) {
		view->endpoint = ep;
		view->rights = rights;
	}
	return view;
}

/*
 * A file of the channel's own inode on its own mount: so the mount stays, and futex(2)
 * finds the pages by that inode. It hangs below the channel's file, where no path leads
 * (see krepis_is_endpoint()): so a security module that walks up sees which channel it
 * is, and where.
 *
 * For a security module it says by its mode which side it is, too: nothing can be read
 * or written with it, so it is free to have FMODE_PREAD as a consumer, FMODE_PWRITE as
 * a producer. A channel's file has both.
 */
static struct file *endpoint_file(struct file *of, u32 role, const struct file_operations *fops)
{
	static const struct qstr name = QSTR_INIT("krepis-endpoint", 15);
	struct dentry *above = of->f_path.dentry, *dentry;
	struct inode *inode = file_inode(of);
	struct file *file;

	dentry = d_alloc(krepis_is_endpoint(above) ? above->d_parent : above, &name);
	if (!dentry)
		return ERR_PTR(-ENOMEM);
	ihold(inode);
	d_instantiate(dentry, inode);
	ihold(inode);
	file = alloc_file_pseudo(inode, of->f_path.mnt, "krepis-endpoint", O_RDWR, fops);
	if (IS_ERR(file)) {
		iput(inode);
		dput(dentry);
		return file;
	}
	__module_get(THIS_MODULE);	/* the last fput() gives it back */
	dput(file->f_path.dentry);
	file->f_path.dentry = dentry;
	file->f_mode |= FMODE_NONOTIFY | (role == KREPIS_PRODUCER ? FMODE_PWRITE : FMODE_PREAD);
	return file;
}

static struct krepis_endpoint *endpoint_alloc(struct krepis_channel *ch, u32 role)
{
	const struct krepis_endpoint like = { .channel = ch, .role = role };
	bool pages = krepis_gives_pages(&like);
	struct krepis_endpoint *ep;

	ep = kzalloc(pages ? sizeof(*ep) : offsetof(struct krepis_endpoint, pages), KREPIS_GFP);
	if (!ep)
		return NULL;
	ep->channel = ch;
	ep->role = role;
	refcount_set(&ep->views, 1);
	if (pages) {
		mutex_init(&ep->pages);
		address_space_init_once(&ep->mapping);
		ep->mapping.host = ch->inode;
		ep->mapping.a_ops = &krepis_aops;
	}
	return ep;
}

/* Gives @view a file and a descriptor number, in @out. */
static int view_open(struct file *of, struct krepis_view *view, struct file **out)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;

	if (fd < 0)
		return fd;
	file = endpoint_file(of, view->endpoint->role, &krepis_endpoint_fops);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	file->private_data = view;
	*out = file;
	return fd;
}

/**
 * krepis_attach - takes a side of the channel of @file, with @rights
 *
 * Return: a descriptor; -EBADFD if the file is no channel yet; -EBUSY if there is a
 * producer; -EUSERS if there are as many consumers as can be; -ETIMEDOUT if the other
 * side of a triple does not finish its exchange; -EPROTO if the last ones broke it;
 * -ENOMEM, -EMFILE, -ENFILE; -EINTR if the caller was killed. On error nothing changed.
 */
int krepis_attach(struct file *file, u32 role, u32 rights)
{
	struct krepis_channel *ch = krepis_channel_of(file_inode(file));
	struct krepis_endpoint *ep;
	struct krepis_view *view;
	struct file *new;
	int fd, err;

	if (!ch)
		return -EBADFD;
	ep = endpoint_alloc(ch, role);
	if (!ep)
		return -ENOMEM;
	view = view_alloc(ep, rights);
	fd = view ? view_open(file, view, &new) : -ENOMEM;
	if (fd < 0) {
		err = fd;
		goto err_free;
	}
	err = join(ch, ep);
	if (err)
		goto err_close;
	trace_krepis_attach(ep, rights);
	fd_install(fd, new);
	return fd;

err_close:
	put_unused_fd(fd);
	new->private_data = NULL;
	fput(new);
err_free:
	kfree(view);
	kfree(ep);
	return err;
}

/**
 * krepis_derive - a second descriptor of the endpoint of @file, with @rights
 *
 * Return: the descriptor; -ENOMEM, -EMFILE, -ENFILE.
 */
int krepis_derive(struct file *file, u32 rights)
{
	struct krepis_view *old = file->private_data, *view;
	struct file *new;
	int fd;

	view = view_alloc(old->endpoint, rights);
	if (!view)
		return -ENOMEM;
	fd = view_open(file, view, &new);
	if (fd < 0) {
		kfree(view);
		return fd;
	}
	refcount_inc(&old->endpoint->views);
	fd_install(fd, new);
	return fd;
}

static const struct file_operations buffers_fops = {
	.owner = THIS_MODULE,
	.release = endpoint_release,
};

/*
 * What a mapping of buffers, which can be taken away, stands on instead of @file: it
 * can be mapped no other way, and unmapping finds it apart from all others.
 */
struct file *krepis_buffers_file(struct file *of)
{
	struct krepis_view *view = view_alloc(((struct krepis_view *)of->private_data)->endpoint, 0);
	struct file *file;

	if (!view)
		return ERR_PTR(-ENOMEM);
	file = endpoint_file(of, view->endpoint->role, &buffers_fops);
	if (IS_ERR(file)) {
		kfree(view);
		return file;
	}
	refcount_inc(&view->endpoint->views);
	file->private_data = view;
	file->f_mapping = &view->endpoint->mapping;
	return file;
}

/* --------------------------------------------------------------------- query */

static void copy_counters(struct krepis_counters *to, const struct krepis_counters *from)
{
	to->messages = READ_ONCE(from->messages);
	to->bytes = READ_ONCE(from->bytes);
	to->drops = READ_ONCE(from->drops);
	to->waits = READ_ONCE(from->waits);
	to->wakes = READ_ONCE(from->wakes);
}

/* Fills in what is known of the channel of @file, which is one. */
void krepis_query(struct file *file, struct krepis_info_query *q)
{
	struct krepis_channel *ch = krepis_channel_of(file_inode(file));
	unsigned int i;

	q->abi = KREPIS_ABI_VERSION;
	q->geometry = ch->geometry;
	q->channel_bytes = ch->layout.size;
	q->live = READ_ONCE(ch->info->live);
	q->producer = present(ch, KREPIS_PRODUCER);
	q->epoch = READ_ONCE(ch->info->epoch);
	q->deaths = READ_ONCE(ch->info->deaths);
	q->producer_deaths = READ_ONCE(ch->info->producer_deaths);
	if (file->f_op == &krepis_endpoint_fops) {
		struct krepis_view *view = file->private_data;

		q->role = view->endpoint->role;
		q->slot = krepis_is_producer(view->endpoint) ? 0 : view->endpoint->number - 1;
		q->rights = READ_ONCE(view->rights);
	}
	copy_counters(&q->counters[0], &ch->producer->counters);
	for (i = 0; i < ch->geometry.max_consumers; i++)
		copy_counters(&q->counters[1 + i], &krepis_consumer_page(ch, i)->counters);
}

static void show_fdinfo(struct seq_file *m, struct file *file)
{
	struct krepis_channel *ch = krepis_channel_of(file_inode(file));
	struct krepis_endpoint *ep;
	struct krepis_counters c;

	if (!ch)
		return;
	seq_printf(m, "krepis-kind:\t%s\nkrepis-size:\t%llu\nkrepis-producer:\t%d\nkrepis-live:\t%08x\n",
		   ch->geometry.kind == KREPIS_RING ? "ring" : "triple", ch->layout.size,
		   present(ch, KREPIS_PRODUCER), READ_ONCE(ch->info->live));
	if (file->f_op != &krepis_endpoint_fops)
		return;
	ep = ((struct krepis_view *)file->private_data)->endpoint;
	copy_counters(&c, krepis_is_producer(ep) ? &ch->producer->counters :
						   &krepis_consumer_page(ch, ep->number - 1)->counters);
	seq_printf(m, "krepis-role:\t%s\nkrepis-slot:\t%u\nkrepis-rights:\t%02x\n",
		   krepis_is_producer(ep) ? "producer" : "consumer",
		   ep->number - !krepis_is_producer(ep),
		   READ_ONCE(((struct krepis_view *)file->private_data)->rights));
	seq_printf(m, "krepis-messages:\t%llu\nkrepis-bytes:\t%llu\nkrepis-drops:\t%llu\nkrepis-waits:\t%llu\nkrepis-wakes:\t%llu\n",
		   c.messages, c.bytes, c.drops, c.waits, c.wakes);
}

/* --------------------------------------------------------- file operations */

static int channel_open(struct inode *inode, struct file *file)
{
	return krepis_is_endpoint(file->f_path.dentry) ? -EACCES : 0;
}

const struct file_operations krepis_channel_fops = {
	.owner = THIS_MODULE,
	.open = channel_open,
	.unlocked_ioctl = krepis_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = krepis_uring,
	.show_fdinfo = show_fdinfo,
};

const struct file_operations krepis_endpoint_fops = {
	.owner = THIS_MODULE,
	.release = endpoint_release,
	.mmap = krepis_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.poll = krepis_poll,
	.unlocked_ioctl = krepis_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = krepis_uring,
	.show_fdinfo = show_fdinfo,
};
