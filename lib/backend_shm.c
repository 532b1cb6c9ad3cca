// SPDX-License-Identifier: MIT
/*
 * Channels without the module: a file on tmpfs, or a sealed memfd.
 *
 * There is no kernel of ours to keep order, so the processes do it for each
 * other, under three kinds of OFD locks on the channel's file. The kernel frees them when a
 * process is gone for good, that is after the last of its threads:
 *
 *	byte 0		admin: held for a moment to attach, detach, sweep
 *	byte 1		held by the producer as long as it is attached
 *	byte 2 + i	held by consumer i
 *
 * Death is told by the link (keeper.c), at once; the lock is how a slot's next
 * user knows that the last one cannot execute another instruction. A thread
 * may live on for an instant after its death was told; the transitions in
 * ownership.h refuse what it still tries.
 *
 *	died while		who notices		what the sweep does
 *	attached, producer	consumers, by link	krepis_own_recover(), as soon as its lock
 *						is free; links = 0
 *	attached, consumer	the producer, by link	live bit off, drops its holds; link = 0
 *	holding admin lock	whoever takes it next	everything again: each step is idempotent
 *	before link or live	whoever takes the slot	finds link != 0 under a free lock: same sweep
 *
 * A forked child that does not exec keeps the locks of its parent: the slots stay
 * taken until it ends, although the endpoints died.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "internal.h"
#include "poison.h"

#define LOCK_WAIT_NS	1000000000

enum lock_byte { LOCK_ADMIN, LOCK_PRODUCER, LOCK_CONSUMER };

/**
 * struct shm - an endpoint's mappings
 * @fd:		own open file description: the locks belong to it
 * @sweeping:	atomic: a thread of this process sweeps
 * @own:	private page with the state and the list nodes, then the page that
 *		this endpoint writes, a second time
 * @control:	from info to the descriptors
 * @ring:	twice in a row
 */
struct shm {
	int fd;
	struct keeper *keeper;
	struct krepis_link *links;
	unsigned int link_count;
	bool sweeping;
	uint8_t *own;
	uint8_t *control;
	uint8_t *ring;
	uint8_t *payload;
};

/* ------------------------------------------------------------------- locks */

static int lock_byte(int fd, short type, off_t byte)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	int rc;

	do {
		rc = fcntl(fd, F_OFD_SETLK, &l);
	} while (rc && errno == EINTR);
	if (!rc)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static bool byte_is_locked(int fd, off_t byte)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	return !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}

/* Sleeps a little; false if it is too late for that. */
static bool pause_until(int64_t deadline)
{
	struct timespec pause = { .tv_nsec = 50000 };

	if (krepis_deadline_ns(0) > deadline)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* Not F_OFD_SETLKW: a stopped process must not stop everybody for ever. */
static int admin_lock(int fd)
{
	int64_t deadline = krepis_deadline_ns(LOCK_WAIT_NS);
	int err;

	do {
		err = lock_byte(fd, F_WRLCK, LOCK_ADMIN);
		if (err != -EAGAIN)
			return err;
	} while (pause_until(deadline));
	return -ETIMEDOUT;
}

/*
 * Explicitly, and not by close(2): a child that was forked meanwhile shares the
 * open file, and would keep the locks.
 */
static void unlock_all(int fd)
{
	struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(fd, F_OFD_SETLK, &l);
}

static void admin_unlock(int fd)
{
	lock_byte(fd, F_UNLCK, LOCK_ADMIN);
}

/* -------------------------------------------------------- death and sweeping */

static void epoch_changed(struct krepis_endpoint *ep)
{
	__atomic_fetch_add(&ep->info->epoch, 1, __ATOMIC_SEQ_CST);
	krepis_futex_wake(&ep->info->epoch);
}

/* The buffers of a triple are never swept: its exchange word says whose they are. */
static uint32_t swept_buffers(const struct krepis_endpoint *ep)
{
	return ep->geometry.kind == KREPIS_RING ? ep->geometry.buffer_count : 0;
}

/* Takes what consumer @i holds or would have received. Admin lock held. */
static void sweep_holds(struct krepis_endpoint *ep, unsigned int i)
{
	krepis_own_sweep_consumer(ep->info, ep->desc, swept_buffers(ep), 1U << i);
}

/* Takes back what a producer left behind that has stopped for good. Admin lock held. */
static void sweep_producer(struct krepis_endpoint *ep)
{
	krepis_own_sweep_producer(ep->producer, ep->desc, swept_buffers(ep));
}

static void clear_links(struct krepis_link *links, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		krepis_store_release(&links[i].word, 0);
		krepis_futex_wake(&links[i].word);
	}
}

/*
 * The producer died. Its buffers are swept now if its lock tells that no thread
 * of it runs any more, and else by its successor, who alone needs them. The links
 * go last: until then it is still to do. Admin lock held.
 */
static void bury_producer(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;

	if (!byte_is_locked(shm->fd, LOCK_PRODUCER))
		sweep_producer(ep);
	krepis_write(&ep->info->deaths, krepis_read(&ep->info->deaths) + 1);
	krepis_write(&ep->info->producer_deaths, krepis_read(&ep->info->producer_deaths) + 1);
	epoch_changed(ep);
	clear_links(ep->producer->link, ep->geometry.max_consumers);
}

static void bury_consumer(struct krepis_endpoint *ep, unsigned int i)
{
	sweep_holds(ep, i);
	krepis_write(&ep->info->deaths, krepis_read(&ep->info->deaths) + 1);
	clear_links(&krepis_peer(ep, i)->link, 1);
	epoch_changed(ep);
}

static bool producer_died(struct krepis_endpoint *ep)
{
	unsigned int i;

	for (i = 0; i < ep->geometry.max_consumers; i++) {
		if (krepis_link_died(krepis_load_acquire(&ep->producer->link[i].word)))
			return true;
	}
	return false;
}

static void sweep_locked(struct krepis_endpoint *ep)
{
	unsigned int i;

	if (producer_died(ep))
		bury_producer(ep);
	for (i = 0; i < ep->geometry.max_consumers; i++) {
		if (krepis_link_died(krepis_load_acquire(&krepis_peer(ep, i)->link.word)))
			bury_consumer(ep, i);
	}
}

static int shm_sweep(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;
	int err;

	/* The admin lock is the endpoint's: between its threads it excludes nobody. */
	if (__atomic_exchange_n(&shm->sweeping, true, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	err = lock_byte(shm->fd, F_WRLCK, LOCK_ADMIN);
	if (!err) {
		sweep_locked(ep);
		admin_unlock(shm->fd);
	}
	__atomic_store_n(&shm->sweeping, false, __ATOMIC_RELEASE);
	return err;
}

/* ------------------------------------------------------------------ creation */

static int shm_format(int fd, const struct krepis_geometry *g)
{
	struct krepis_layout l = krepis_layout(g);
	void *control;
	int rc;

	if (ftruncate(fd, (off_t)l.size))
		return -errno;
	do {
		rc = fallocate(fd, 0, 0, (off_t)l.size);
	} while (rc && errno == EINTR);
	if (rc)
		return -errno;
	control = mmap(NULL, l.ring, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		return -errno;
	krepis_format(control, g, &l);
	munmap(control, l.ring);
	return 0;
}

int krepis_shm_memfd(const struct krepis_geometry *g, int *out)
{
	int fd = memfd_create("krepis", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	err = shm_format(fd, g);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err = -errno;
	if (err)
		close(fd);
	else
		*out = fd;
	return err;
}

/* By read(2): a file that shrinks under us gives a short read, and not a signal. */
static int shm_probe(int fd, struct krepis_geometry *g)
{
	struct krepis_info info;
	ssize_t n;

	do {
		n = pread(fd, &info, sizeof(info), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(info) || info.magic != KREPIS_MAGIC)
		return -EMEDIUMTYPE;
	if (info.abi != KREPIS_ABI_VERSION || info.size != sizeof(info))
		return -EPROTONOSUPPORT;
	*g = info.geometry;
	return 0;
}

/* ------------------------------------------------------------------- mapping */

static void shm_unmap(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;

	krepis_unmap(shm->payload, ep->layout.size - ep->layout.payload);
	krepis_unmap(shm->ring, 2 * ep->geometry.ring_size);
	krepis_unmap(shm->control, ep->layout.ring);
	krepis_unmap(shm->own, 2 * ep->geometry.page_size);
}

static int map_own_page(struct krepis_endpoint *ep, uint64_t offset)
{
	struct shm *shm = ep->private;
	size_t page = ep->geometry.page_size;

	shm->own = krepis_map_reserve(2 * page);
	if (!shm->own || !krepis_map_state(ep, shm->own, page) ||
	    !krepis_map(shm->own + page, page, PROT_READ | PROT_WRITE, shm->fd, offset))
		return krepis_map_error();
	return 0;
}

static int shm_map(struct krepis_endpoint *ep)
{
	const struct krepis_layout *l = &ep->layout;
	size_t ring_size = ep->geometry.ring_size;
	struct shm *shm = ep->private;
	int prot = ep->role == KREPIS_PRODUCER ? PROT_READ | PROT_WRITE : PROT_READ;

	shm->control = krepis_map(NULL, l->ring, PROT_READ | PROT_WRITE, shm->fd, 0);
	if (!shm->control)
		return krepis_map_error();
	if (l->size > l->payload) {
		shm->payload = krepis_map(NULL, l->size - l->payload, prot, shm->fd, l->payload);
		if (!shm->payload)
			return krepis_map_error();
	}
	if (ring_size) {
		shm->ring = krepis_map_reserve(2 * ring_size);
		if (!shm->ring || !krepis_map(shm->ring, ring_size, prot, shm->fd, l->ring) ||
		    !krepis_map(shm->ring + ring_size, ring_size, prot, shm->fd, l->ring))
			return krepis_map_error();
	}
	krepis_endpoint_regions(ep, shm->control, shm->ring, shm->payload);
	return 0;
}

/* -------------------------------------------------------------------- attach */

static int try_slots(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;
	int err;

	if (ep->role == KREPIS_PRODUCER) {
		err = lock_byte(shm->fd, F_WRLCK, LOCK_PRODUCER);
		return err == -EAGAIN ? -EBUSY : err;
	}
	for (ep->slot = 0; ep->slot < ep->geometry.max_consumers; ep->slot++) {
		err = lock_byte(shm->fd, F_WRLCK, LOCK_CONSUMER + ep->slot);
		if (err != -EAGAIN)
			return err;
	}
	return -EUSERS;
}

/* Whether a slot whose lock is taken is nobody's. Admin lock held. */
static bool somebody_is_leaving(const struct krepis_endpoint *ep)
{
	unsigned int i;

	for (i = 0; i < ep->geometry.max_consumers; i++) {
		const struct krepis_link *link = ep->role == KREPIS_PRODUCER ?
						 &ep->producer->link[i] : &krepis_peer(ep, i)->link;

		if (!krepis_link_alive(krepis_read(&link->word)))
			return true;
	}
	return false;
}

/*
 * Takes a slot: its lock says that its last user is gone for good. A process that dies is
 * first marked in its links, by which others know, and unlocks when its memory is unmapped,
 * which can take long: who knows of its death may come before that, and waits here.
 * Admin lock held, but not meanwhile.
 */
static int take_slot(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;
	int64_t deadline = krepis_deadline_ns(LOCK_WAIT_NS);
	int err, admin;

	for (;;) {
		err = try_slots(ep);
		if ((err != -EBUSY && err != -EUSERS) || !somebody_is_leaving(ep))
			return err;
		admin_unlock(shm->fd);
		if (!pause_until(deadline))
			return err;
		admin = admin_lock(shm->fd);
		if (admin)
			return admin;
	}
}

/* Links set under a lock that was free: the process died before it was complete. */
static void bury_predecessor(struct krepis_endpoint *ep)
{
	unsigned int i;

	sweep_locked(ep);
	if (ep->role == KREPIS_CONSUMER) {
		if (krepis_read(&krepis_peer(ep, ep->slot)->link.word) ||
		    (krepis_read(&ep->info->live) & 1U << ep->slot))
			bury_consumer(ep, ep->slot);
		return;
	}
	sweep_producer(ep);
	for (i = 0; i < ep->geometry.max_consumers; i++) {
		if (krepis_read(&ep->producer->link[i].word)) {
			bury_producer(ep);
			return;
		}
	}
}

static int join(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;
	bool producer = ep->role == KREPIS_PRODUCER;
	struct krepis_producer *p = ep->producer;
	size_t page = ep->geometry.page_size;
	uint64_t own_offset;
	int err;

	err = take_slot(ep);
	if (err)
		return err;
	bury_predecessor(ep);
	own_offset = producer ? ep->layout.producer : ep->layout.consumers + ep->slot * page;
	err = map_own_page(ep, own_offset);
	if (err)
		return err;
	krepis_endpoint_side(ep);
	if (producer) {
		shm->links = ((struct krepis_producer *)(shm->own + page))->link;
		shm->link_count = ep->geometry.max_consumers;
	} else {
		shm->links = &((struct krepis_consumer *)(shm->own + page))->link;
		shm->link_count = 1;
		/* Some older head, so that the producer leaves this ring's worth alone. */
		krepis_ring_consume(ep->consumer, krepis_load_acquire(&p->head));
	}
	/* A dead predecessor's sleep is over. Numbers go on, so none is taken for another. */
	krepis_write(&ep->waiter->waiting,
		     krepis_read(&ep->waiter->waiting) & ~(KREPIS_ASLEEP | KREPIS_FENCE));
	memset(ep->counters, 0, sizeof(*ep->counters));
	if (ep->geometry.kind == KREPIS_TRIPLE) {
		err = krepis_triple_init(ep, byte_is_locked(shm->fd, producer ? LOCK_CONSUMER :
									LOCK_PRODUCER));
		if (err)
			return err;
	}
	err = krepis_keeper_arm(shm->links, shm->link_count, page, krepis_sealed(shm->fd),
				&shm->keeper);
	if (err)
		return err;
	if (producer) {
		err = ep->geometry.kind == KREPIS_RING ? krepis_sender_init(ep) : 0;
		krepis_write(&ep->info->producers, krepis_read(&ep->info->producers) + 1);
	} else {
		krepis_write(&ep->consumer->joined, 0);
		krepis_fetch_or(&ep->info->live, ep->bit);
		err = ep->geometry.kind == KREPIS_RING ? krepis_receiver_init(ep) : 0;
		krepis_store_release(&ep->consumer->joined, !err);
		krepis_write(&ep->info->consumers, krepis_read(&ep->info->consumers) + 1);
	}
	krepis_futex_wake_peers(ep, 0);

	epoch_changed(ep);
	return err;
}

/* The reverse of join(). Admin lock held, or nobody to hold it against. */
static void leave(struct krepis_endpoint *ep)
{
	struct shm *shm = ep->private;

	if (ep->role == KREPIS_CONSUMER)
		sweep_holds(ep, ep->slot);
	krepis_keeper_disarm(shm->keeper, shm->links, shm->link_count, ep->geometry.page_size);
	epoch_changed(ep);
	krepis_futex_wake_peers(ep, 0);
}

static int shm_attach(struct krepis_endpoint *ep, int fd)
{
	struct shm *shm = calloc(1, sizeof(*shm));
	struct stat st;
	int err;

	if (!shm)
		return -ENOMEM;
	ep->private = shm;
	shm->fd = krepis_reopen(fd);
	if (shm->fd < 0) {
		err = shm->fd;
		goto err_free;
	}
	/* Before there is a second thread: later it costs milliseconds. */
	ep->fence = !krepis_membarrier_register();
	err = admin_lock(shm->fd);
	if (err)
		goto err_close;
	err = fstat(shm->fd, &st) ? -errno :
	      (uint64_t)st.st_size != ep->layout.size ? -EMEDIUMTYPE : 0;
	if (!err)
		err = shm_map(ep);
	if (!err)
		err = join(ep);
	if (err)
		goto err_unmap;
	admin_unlock(shm->fd);
	return 0;

err_unmap:
	if (shm->keeper)
		leave(ep);
	shm_unmap(ep);
	unlock_all(shm->fd);
err_close:
	close(shm->fd);
err_free:
	free(shm);
	return err;
}

static void shm_detach(struct krepis_endpoint *ep, bool forked)
{
	struct shm *shm = ep->private;

	/* The child has no view of the channel, and the locks are its parent's. */
	if (forked) {
		munmap(shm->own, ep->geometry.page_size);
		goto out_close;
	}
	/* Without the lock another's sweep may run beside ours: each step can be done twice. */
	admin_lock(shm->fd);
	leave(ep);
	unlock_all(shm->fd);
	shm_unmap(ep);
out_close:
	close(shm->fd);
	free(shm);
}

static bool producer_attached(int fd)
{
	int own = krepis_reopen(fd);
	bool locked;

	if (own < 0)
		return false;
	locked = byte_is_locked(own, LOCK_PRODUCER);
	close(own);
	return locked;
}

static int shm_query(struct krepis_channel *channel, struct krepis_status *status)
{
	size_t size = channel->layout.descriptors;
	struct stat st;
	void *control;

	if (fstat(channel->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size != channel->layout.size)
		return -EMEDIUMTYPE;
	control = mmap(NULL, size, PROT_READ, MAP_SHARED, channel->fd, 0);
	if (control == MAP_FAILED)
		return -errno;
	krepis_status_count(status, control, producer_attached(channel->fd));
	munmap(control, size);
	return 0;
}

const struct krepis_backend krepis_backend_shm = {
	.name = "shm",
	.magic = TMPFS_MAGIC,
	.format = shm_format,
	.probe = shm_probe,
	.query = shm_query,
	.attach = shm_attach,
	.detach = shm_detach,
	.sweep = shm_sweep,
	.prepare = krepis_futex_prepare,
	.sleep = krepis_futex_sleep,
	.wake = krepis_futex_wake_peers,
	.wake_self = krepis_futex_wake_self,
};
