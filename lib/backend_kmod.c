// SPDX-License-Identifier: MIT
/*
 * Channels of the module: files of a krepis file system. The kernel keeps who is
 * attached, sweeps after whoever goes, and wakes; so there are no locks here, no
 * keeper, and nothing to clean up after others.
 *
 * A sleeper sleeps on its slot's event word, see kmod/wait.c.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "internal.h"

/**
 * struct kmod - an endpoint's mappings
 * @next:	in the list of this process's endpoints
 * @endpoint:	whose they are
 * @fd:		of the endpoint
 * @state:	a private page, see struct krepis_endpoint
 * @control:	from info to the descriptors, each region as the endpoint may have it
 * @ring:	twice in a row
 */
struct kmod {
	struct kmod *next;
	const struct krepis_endpoint *endpoint;
	int fd;
	uint8_t *state;
	uint8_t *control;
	uint8_t *ring;
	uint8_t *payload;
};

/* Protects the list. Nothing is locked inside. */
static pthread_mutex_t attached_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kmod *attached;

static int command(int fd, unsigned long cmd, void *args)
{
	int rc = ioctl(fd, cmd, args);

	return rc < 0 ? -errno : rc;
}

/* Also whether the module has our layout: nothing in the memory is looked at before. */
static int query(int fd, struct krepis_info_query *q)
{
	int err;

	*q = (struct krepis_info_query){ .size = sizeof(*q) };
	err = command(fd, KREPIS_IOC_QUERY, q);
	return !err && q->abi != KREPIS_ABI_VERSION ? -EPROTONOSUPPORT : err;
}

static int kmod_format(int fd, const struct krepis_geometry *g)
{
	struct krepis_setup setup = { .size = sizeof(setup), .geometry = *g };
	struct krepis_info_query q;
	int err = command(fd, KREPIS_IOC_SETUP, &setup);

	return err ? err : query(fd, &q);
}

static int kmod_probe(int fd, struct krepis_geometry *g)
{
	struct krepis_info_query q;
	int err = query(fd, &q);

	/* A file that nobody has set up, or a descriptor that is not of a channel's file. */
	if (err)
		return err == -EBADFD || err == -ENOTTY ? -EMEDIUMTYPE : err;
	*g = q.geometry;
	return 0;
}

static int kmod_query(struct krepis_channel *channel, struct krepis_status *status)
{
	struct krepis_info_query q;
	int err = query(channel->fd, &q);
	unsigned int i;

	if (err)
		return err;
	status->live = q.live;
	status->producer = q.producer;
	status->deaths = q.deaths;
	status->producer_deaths = q.producer_deaths;
	status->counters = q.counters[0];
	for (i = 0; i < KREPIS_MAX_CONSUMERS; i++)
		status->consumers[i] = q.counters[1 + i];
	return 0;
}

/* ------------------------------------------------------------------- mapping */

static void kmod_unmap(struct krepis_endpoint *ep)
{
	struct kmod *k = ep->private;

	krepis_unmap(k->payload, ep->layout.size - ep->layout.payload);
	krepis_unmap(k->ring, 2 * ep->geometry.ring_size);
	krepis_unmap(k->control, ep->layout.ring);
	krepis_unmap(k->state, ep->geometry.page_size);
}

static bool map_region(struct kmod *k, uint64_t from, uint64_t to, int prot)
{
	return krepis_map(k->control + from, to - from, prot, k->fd, from);
}

/* All is readable; what the endpoint writes is mapped over that once more. */
static bool map_control(struct krepis_endpoint *ep)
{
	const int rw = PROT_READ | PROT_WRITE;
	const struct krepis_layout *l = &ep->layout;
	uint32_t page = ep->geometry.page_size;
	uint64_t own = ep->role == KREPIS_PRODUCER ? l->producer :
						     l->consumers + (uint64_t)ep->slot * page;
	struct kmod *k = ep->private;

	k->control = krepis_map_reserve(l->ring);
	return k->control && map_region(k, 0, l->descriptors, PROT_READ) &&
	       map_region(k, l->descriptors, l->ring, krepis_enforced(ep) ? PROT_READ : rw) &&
	       map_region(k, own, own + page, rw);
}

static bool map_ring(struct krepis_endpoint *ep, int prot)
{
	size_t size = ep->geometry.ring_size;
	struct kmod *k = ep->private;

	if (!size)
		return true;
	k->ring = krepis_map_reserve(2 * size);
	return k->ring && krepis_map(k->ring, size, prot, k->fd, ep->layout.ring) &&
	       krepis_map(k->ring + size, size, prot, k->fd, ep->layout.ring);
}

static bool map_payload(struct krepis_endpoint *ep, int prot)
{
	size_t size = ep->layout.size - ep->layout.payload;
	struct kmod *k = ep->private;

	if (!size)
		return true;
	k->payload = krepis_map(NULL, size, prot, k->fd, ep->layout.payload);
	return k->payload;
}

static int kmod_map(struct krepis_endpoint *ep)
{
	int prot = ep->role == KREPIS_PRODUCER ? PROT_READ | PROT_WRITE : PROT_READ;
	size_t page = ep->geometry.page_size;
	struct kmod *k = ep->private;

	k->state = krepis_map_reserve(page);
	/* Its one consumer writes what it holds. */
	int payload = ep->geometry.flags & KREPIS_F_EXCLUSIVE ? PROT_READ | PROT_WRITE : prot;

	if (!k->state || !krepis_map_state(ep, k->state, page) || !map_control(ep) ||
	    !map_ring(ep, prot) || !map_payload(ep, payload))
		return krepis_map_error();
	krepis_endpoint_regions(ep, k->control, k->ring, k->payload);
	return 0;
}

/* ---------------------------------------------------------------------- fork */

/*
 * An endpoint lives as long as it has a descriptor: with a copy in a forked child,
 * its parent's death would be no news to anybody.
 */
static void forked(void)
{
	for (; attached; attached = attached->next) {
		close(attached->fd);
		attached->fd = -1;
	}
	pthread_mutex_unlock(&attached_lock);
}

static void lock_attached(void)
{
	pthread_mutex_lock(&attached_lock);
}

static void unlock_attached(void)
{
	pthread_mutex_unlock(&attached_lock);
}

static void watch_forks(void)
{
	pthread_atfork(lock_attached, unlock_attached, forked);
}

static void list_add(struct kmod *k)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	lock_attached();
	k->next = attached;
	attached = k;
	unlock_attached();
}

static void list_remove(struct kmod *k)
{
	struct kmod **p;

	lock_attached();
	for (p = &attached; *p && *p != k; p = &(*p)->next)
		;
	if (*p)
		*p = k->next;
	unlock_attached();
}

/* For a signal handler: it must not wait for who holds the lock. */
int krepis_kmod_at(const void *address, const struct krepis_endpoint **ep)
{
	const uint8_t *at = address;
	struct kmod *k;

	if (pthread_mutex_trylock(&attached_lock))
		return -EAGAIN;
	*ep = NULL;
	for (k = attached; k && !*ep; k = k->next) {
		const struct krepis_layout *l = &k->endpoint->layout;

		if (k->payload && at >= k->payload && at < k->payload + (l->size - l->payload))
			*ep = k->endpoint;
	}
	unlock_attached();
	return *ep ? 0 : -ENOENT;
}

/* -------------------------------------------------------------------- attach */

/* What the kernel does not do for an endpoint that has just been attached. */
static int start(struct krepis_endpoint *ep)
{
	bool triple = ep->geometry.kind == KREPIS_TRIPLE;
	int err;

	krepis_endpoint_side(ep);
	if (ep->role == KREPIS_PRODUCER)
		return triple ? krepis_triple_start(ep) : krepis_sender_init(ep);
	err = triple ? krepis_triple_start(ep) : krepis_receiver_init(ep);
	if (err)
		return err;
	krepis_store_release(&ep->consumer->joined, 1);
	krepis_notify_producer(ep, UINT64_MAX);
	krepis_write(&ep->counters->wakes, 0);
	return 0;
}

static int kmod_attach(struct krepis_endpoint *ep, int fd)
{
	struct krepis_attach_args args = {
		.size = sizeof(args), .role = ep->role, .rights = KREPIS_RIGHT_ALL,
	};
	struct krepis_info_query q;
	struct kmod *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	ep->private = k;
	k->endpoint = ep;
	/* Before there is a second thread: later it costs milliseconds. */
	ep->fence = !krepis_membarrier_register();
	k->fd = command(fd, KREPIS_IOC_ATTACH, &args);
	if (k->fd < 0) {
		err = k->fd;
		goto err_free;
	}
	list_add(k);
	err = query(k->fd, &q);
	if (err)
		goto err_close;
	ep->slot = q.slot;
	err = kmod_map(ep);
	if (!err)
		err = start(ep);
	if (err)
		goto err_unmap;
	return 0;

err_unmap:
	kmod_unmap(ep);
err_close:
	list_remove(k);
	close(k->fd);
err_free:
	free(k);
	return err;
}

static void kmod_detach(struct krepis_endpoint *ep, bool forked)
{
	struct krepis_none args = { .size = sizeof(args) };
	struct kmod *k = ep->private;

	/* The child has no view of the channel, and no descriptor. */
	if (forked) {
		munmap(k->state, ep->geometry.page_size);
	} else {
		command(k->fd, KREPIS_IOC_DETACH, &args);
		kmod_unmap(ep);
		list_remove(k);
		close(k->fd);
	}
	free(k);
}

/* The kernel sweeps before it tells of a death. */
static int kmod_sweep(struct krepis_endpoint *ep)
{
	(void)ep;
	return 0;
}

/* ------------------------------------------------------------ sleep and wake */

static __u32 *own_event(struct krepis_endpoint *ep)
{
	return &ep->info->event[ep->role == KREPIS_PRODUCER ? 0 : 1 + ep->slot];
}

static void kmod_prepare(struct krepis_endpoint *ep, struct krepis_sleep *s)
{
	s->event = krepis_load_acquire(own_event(ep));
}

static int kmod_sleep(struct krepis_endpoint *ep, struct krepis_sleep *s, int64_t until)
{
	struct krepis_wait_args args = {
		.size = sizeof(args),
		.at = (uint64_t)((uint8_t *)own_event(ep) - (uint8_t *)ep->info),
		.value = s->event,
		.deadline_ns = until,
	};
	struct kmod *k = ep->private;

	return command(k->fd, KREPIS_IOC_WAIT, &args);
}

static void wake(struct krepis_endpoint *ep, uint32_t flags, uint32_t consumers)
{
	struct krepis_wake_args args = {
		.size = sizeof(args), .flags = flags, .consumers = consumers,
	};
	struct kmod *k = ep->private;

	command(k->fd, KREPIS_IOC_WAKE, &args);
}

static void kmod_wake(struct krepis_endpoint *ep, uint32_t consumers)
{
	wake(ep, 0, consumers);
}

static void kmod_wake_self(struct krepis_endpoint *ep)
{
	wake(ep, KREPIS_WAKE_SELF | (krepis_stopped(ep) ? KREPIS_WAKE_STOP : 0), 0);
}

static int kmod_fd(struct krepis_endpoint *ep)
{
	struct kmod *k = ep->private;

	return k->fd;
}

/* ------------------------------------------------------------ change of owner */

static int kmod_handoff(struct krepis_endpoint *ep, struct krepis_handoff *args)
{
	struct kmod *k = ep->private;

	return command(k->fd, KREPIS_IOC_HANDOFF, args);
}

static int kmod_change(struct krepis_endpoint *ep, unsigned long cmd, struct krepis_handle handle)
{
	struct krepis_release_args args = { .size = sizeof(args), .handle = handle };
	struct kmod *k = ep->private;

	return command(k->fd, cmd, &args);
}

const struct krepis_backend krepis_backend_kmod = {
	.name = "kmod",
	.magic = KREPIS_SUPER_MAGIC,
	.format = kmod_format,
	.probe = kmod_probe,
	.query = kmod_query,
	.attach = kmod_attach,
	.detach = kmod_detach,
	.sweep = kmod_sweep,
	.prepare = kmod_prepare,
	.sleep = kmod_sleep,
	.wake = kmod_wake,
	.wake_self = kmod_wake_self,
	.fd = kmod_fd,
	.handoff = kmod_handoff,
	.change = kmod_change,
};
