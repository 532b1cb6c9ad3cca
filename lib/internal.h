/* SPDX-License-Identifier: MIT */
/*
 * What the library's files share. One file a noun:
 *
 *	name.c		where a channel stands
 *	channel.c	files, descriptors
 *	endpoint.c	attach, detach, shutdown, fork
 *	send.c recv.c	the two sides of a ring
 *	msg.c		a message that was received
 *	pool.c		buffers and their holders in this process
 *	owner.c		change of owner
 *	fault.c		what a SIGBUS means
 *	triple.c	the latest value
 *	wait.c		spinning, sleeping, waking
 *	bell.c		a descriptor that tells, for channels without the module
 *	waitset.c	many endpoints at once
 *	map.c		mappings
 *	backend_kmod.c	channels of the module
 *	backend_shm.c	channels without it: locks, death, sweeping
 *	futex.c		how those sleep
 *	keeper.c	the thread whose death the kernel announces
 *
 * Locks, outermost first: the admin lock of a channel (between processes, an OFD
 * lock, backend_shm.c), keeper_lock (keeper.c), pool.lock and magazine.busy
 * (pool.c; no thread holds two of them).
 */
#ifndef _KREPIS_INTERNAL_H
#define _KREPIS_INTERNAL_H

#include <linux/futex.h>
#include <pthread.h>
#include <krepis/krepis.h>
#include <krepis/geometry.h>
#include <krepis/ownership.h>
#include <krepis/ring.h>
#include <krepis/triple.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define always_inline	inline __attribute__((always_inline))
#define noinline	__attribute__((noinline))
#define LINE		128	/* a pair of cache lines: what a prefetcher pulls */

/**
 * struct krepis_channel - immutable after it was opened
 * @backend:  who makes its endpoints
 * @fd:	      the file
 * @geometry: a private copy, checked
 * @layout:   from @geometry
 */
struct krepis_channel {
	const struct krepis_backend *backend;
	int fd;
	struct krepis_geometry geometry;
	struct krepis_layout layout;
};

/**
 * struct krepis_buffer - one buffer as this endpoint sees it
 * @endpoint:	whose it is
 * @data:	the payload in this process
 * @index:	its number in the pool
 * @life:	atomic: {users, generation}. The generation is the life in which it was
 *		acquired or received. Users: 1 for a producer that acquired it; for a
 *		consumer the krepis_msg_get() less the puts; at 0 nothing is held
 */
struct krepis_buffer {
	struct krepis_endpoint *endpoint;
	void *data;
	uint64_t life;
	uint32_t index;
};

/* A few free buffers of one thread. @busy: it is at it; @barred: another one is. See pool.c. */
struct magazine {
	_Alignas(LINE) uint32_t busy;
	uint32_t barred;
	uint32_t count;
	uint32_t index[13];
};

#define MAGAZINES 16

/**
 * struct pool - the producer's buffers
 * @lock:	protects all up to @magazines
 * @free:	stack of @free_count indices
 * @out:	circular queue of published indices, oldest first; @capacity, a power of two
 * @magazines:	by thread, in front of the stack; NULL: none
 * @fence:	atomic: membarrier(2) is missing
 */
struct pool {
	pthread_mutex_t lock;
	uint32_t *free;
	uint32_t free_count;
	uint32_t *out;
	uint32_t out_head;
	uint32_t out_count;
	uint32_t capacity;
	struct magazine *magazines;
	bool fence;
};

/* The producer's side of a ring. Only the endpoint's thread touches it. */
struct sender {
	uint64_t messages;	/* committed since attach */
	uint32_t begun;		/* krepis_send_begin(): room, plus 1; or what follows */
#define KREPIS_BEGUN_BATCH UINT32_MAX
	uint64_t room;		/* krepis_batch_begin() */
	uint64_t bytes;		/* of payload in them */
	uint64_t earlier;	/* overwrite: messages of predecessors */
	struct krepis_ring_writer w;
};

/* The consumer's side of a ring. Only the endpoint's thread touches it. */
struct receiver {
	uint64_t pos;		/* next record to read */
	uint64_t head;		/* records below are known to be there */
	uint64_t tail;		/* what the producer was told */
	uint32_t views;		/* inline messages returned since then and not released */
	uint64_t count;		/* overwrite: messages that stood before pos */
	uint32_t lull;		/* see lull() */
	bool direct;		/* the next record is looked at, and not the head: see glance() */
	uint32_t singles;	/* waits in a row that ended with one message */
	uint8_t *scratch;	/* overwrite: a copy of the message; enforced: of the ring */
	uint32_t mourned;	/* enforced: producers that had come, see owner.c */
};

/* One side of a triple. Only the endpoint's thread touches it. */
struct triple {
	uint32_t index;		/* the buffer that this side owns */
	uint64_t count;		/* number of the last publication */
	bool begun;
	bool valid;		/* @msg is a value that was published */
	bool seen;		/* and was read before */
	struct krepis_msg msg;
};

/**
 * struct krepis_endpoint - one side of a channel, in this process
 *
 * Immutable after attach, but for what says otherwise.
 *
 * @state:	atomic, in a page that a forked child finds empty: KREPIS_HERE, and what came since
 * @plain:	its role, if it is of a ring whose messages need nothing but the ring: not
 *		overwritten, and to the consumer not enforced. Else 0
 * @local:	atomic futex, private: grows when another thread of this process has
 *		something for the endpoint's sleeping thread
 * @fence:	a publication needs a full barrier, see wait.c
 * @broken:	with KREPIS_BROKEN: why
 * @answered:	atomic: the last sleep of each peer that was answered by a wake-up
 * @spin:	how long to spin before sleeping; endpoint's thread
 * @calm:	waits in a row that ended without a sleep; endpoint's thread
 * @peers:	attach count of the other side when this one attached
 * @seen:	atomic: somebody was at the other side since then
 * @polled:	krepis_fd() was called: the request for fences stays
 */
struct krepis_endpoint {
	uint32_t *state;
	uint32_t plain;
	uint8_t *ring;
	uint64_t ring_mask;
	struct krepis_info *info;
	struct krepis_producer *producer;
	void *consumers;
	struct krepis_exchange *exchange;
	struct krepis_desc *desc;
	uint8_t *payload;
	struct krepis_consumer *consumer;	/* own page, NULL in a producer */
	struct krepis_waiter *waiter;		/* own */
	struct krepis_counters *counters;	/* own */
	struct krepis_buffer *buffers;
	uint32_t local;
	uint32_t flags;
	uint32_t role;
	uint32_t slot;
	uint32_t bit;
	uint32_t slots;		/* bits that the geometry has */
	bool fence;
	bool seen;
	bool polled;
	bool unsettled;		/* atomic: the last poll saw a death that it could not sweep */
	int broken;
	uint32_t peers;
	uint32_t spin;
	uint32_t calm;
	uint32_t spin_max;
	uint32_t answered[KREPIS_MAX_CONSUMERS];
	struct krepis_geometry geometry;
	struct krepis_layout layout;
	const struct krepis_backend *backend;
	void *private;		/* the backend's */
	struct bell *bell;	/* see bell.c, or NULL */
	struct member *members;	/* see waitset.c */

	_Alignas(LINE) union {
		struct sender sender;
		struct receiver receiver;
		struct triple triple;
	};
	struct pool pool;
};

/* What a thread is about to sleep on: step 1 of wait.c. */
struct krepis_sleep {
	struct futex_waitv words[2 + 2 * KREPIS_MAX_CONSUMERS];
	unsigned int count;
	uint32_t event;
};

/**
 * struct krepis_backend - what differs between channels of files and of the module
 * @name:	for krepis_status
 * @magic:	of the file system, as statfs(2) tells it
 * @format:	makes a channel of the empty file @fd
 * @probe:	what channel @fd is; the caller checks the geometry
 * @query:	fills in @status, which krepis_status_init() began
 * @attach:	takes a slot and maps the regions: fills in @endpoint
 * @detach:	gives everything back; @forked: only what the child has
 * @sweep:	cleans up after peers whose link says that they died. -EAGAIN: somebody
 *		else is at it
 * @prepare:	remembers in @sleep what the next @sleep waits for a change of
 * @sleep:	0 when woken, -ETIMEDOUT at @until, -EINTR
 * @wake:	wakes the other side; a producer at least those in @consumers
 * @wake_self:	wakes the endpoint's own thread. Async-signal-safe
 * @fd:		a descriptor for poll(2), or an error. NULL: see bell.c
 * @handoff:	enforced channels: KREPIS_IOC_HANDOFF, of this or another size of result.
 *		NULL: the backend has none
 * @change:	the same for the commands that name a buffer
 */
struct krepis_backend {
	const char *name;
	unsigned long magic;
	int (*format)(int fd, const struct krepis_geometry *geometry);
	int (*probe)(int fd, struct krepis_geometry *geometry);
	int (*query)(struct krepis_channel *channel, struct krepis_status *status);
	int (*attach)(struct krepis_endpoint *endpoint, int fd);
	void (*detach)(struct krepis_endpoint *endpoint, bool forked);
	int (*sweep)(struct krepis_endpoint *endpoint);
	void (*prepare)(struct krepis_endpoint *endpoint, struct krepis_sleep *sleep);
	int (*sleep)(struct krepis_endpoint *endpoint, struct krepis_sleep *sleep, int64_t until);
	void (*wake)(struct krepis_endpoint *endpoint, uint32_t consumers);
	void (*wake_self)(struct krepis_endpoint *endpoint);
	int (*fd)(struct krepis_endpoint *endpoint);
	int (*handoff)(struct krepis_endpoint *endpoint, struct krepis_handoff *args);
	int (*change)(struct krepis_endpoint *endpoint, unsigned long cmd,
		      struct krepis_handle handle);
};

extern const struct krepis_backend krepis_backend_shm;
extern const struct krepis_backend krepis_backend_kmod;

/* The endpoint of the module that has mapped @address as a buffer's, or NULL. -EAGAIN: see there. */
int krepis_kmod_at(const void *address, const struct krepis_endpoint **ep);

/* ---- state of an endpoint */

#define KREPIS_HERE	1U	/* attached, by this process */
#define KREPIS_STOPPED	2U	/* krepis_shutdown() */
#define KREPIS_BROKEN	4U	/* the peer wrote nonsense that cannot be skipped */

static inline bool krepis_here(const struct krepis_endpoint *ep)
{
	return likely(krepis_read(ep->state) & KREPIS_HERE);
}

/* The acquire pairs with the release in krepis_shutdown(). */
static inline bool krepis_stopped(const struct krepis_endpoint *ep)
{
	return krepis_load_acquire(ep->state) & KREPIS_STOPPED;
}

/* Return: @err. */
static inline int krepis_break(struct krepis_endpoint *ep, int err)
{
	ep->broken = err;
	__atomic_fetch_or(ep->state, KREPIS_BROKEN, __ATOMIC_RELAXED);
	return err;
}

static inline bool krepis_usable(const struct krepis_endpoint *ep)
{
	return likely(krepis_read(ep->state) == KREPIS_HERE);
}

/* Why krepis_usable() said no. */
static inline int krepis_unusable(const struct krepis_endpoint *ep)
{
	return !krepis_here(ep) ? -EBADF : ep->broken ? ep->broken : -ESHUTDOWN;
}

static inline bool krepis_is(const struct krepis_endpoint *ep, uint32_t kind, uint32_t role)
{
	return likely(ep->geometry.kind == kind && ep->role == role);
}

static inline struct krepis_consumer *krepis_peer(const struct krepis_endpoint *ep, unsigned int i)
{
	return krepis_consumer_at(ep->consumers, ep->geometry.page_size, i);
}

static inline bool krepis_overwrites(const struct krepis_endpoint *ep)
{
	return ep->geometry.backpressure == KREPIS_OVERWRITE;
}

static inline bool krepis_enforced(const struct krepis_endpoint *ep)
{
	return ep->geometry.flags & KREPIS_F_ENFORCED;
}

/* The attached consumers. A bit without a slot is a peer's lie. */
static inline uint32_t krepis_live(const struct krepis_endpoint *ep)
{
	return krepis_load_acquire(&ep->info->live) & ep->slots;
}

/* Users of a producer's buffer: it was published and waits for krepis_take_back(). */
#define KREPIS_LENT	UINT32_MAX

/* struct krepis_buffer.life */
static inline uint64_t krepis_life(uint32_t generation, uint32_t users)
{
	return (uint64_t)generation << 32 | users;
}

/* Adds to a counter that has one writer. */
static inline void krepis_count(__u64 *counter, uint64_t n)
{
	krepis_write(counter, krepis_read(counter) + n);
}

/* A peer's link: futex words as set_robust_list(2) defines them. */
static inline bool krepis_link_died(uint32_t word)
{
	return word & FUTEX_OWNER_DIED;
}

static inline bool krepis_link_alive(uint32_t word)
{
	return (word & FUTEX_TID_MASK) && !krepis_link_died(word);
}

int krepis_resolve(const char *name, bool create, char *path);
int krepis_reopen(int fd);
bool krepis_sealed(int fd);
int krepis_shm_memfd(const struct krepis_geometry *geometry, int *fd);
int krepis_status_init(struct krepis_status *status, const struct krepis_backend *backend,
		       const struct krepis_geometry *geometry);
void krepis_status_count(struct krepis_status *status, const void *control, bool producer);

int krepis_consumer_peer(struct krepis_endpoint *ep);
int krepis_producer_peer(struct krepis_endpoint *ep);
void krepis_endpoint_regions(struct krepis_endpoint *ep, uint8_t *control, uint8_t *ring,
			     uint8_t *payload);
void krepis_endpoint_side(struct krepis_endpoint *ep);

/* ---- map.c */

void *krepis_map(void *addr, size_t size, int prot, int fd, uint64_t offset);
int krepis_map_error(void);
uint8_t *krepis_map_reserve(size_t size);
void krepis_unmap(void *p, size_t size);
bool krepis_map_state(struct krepis_endpoint *ep, void *page, size_t size);

/* ---- futex.c */

#define KREPIS_SLICE_NS	2000000	/* where a wake-up could be missed for good */

void krepis_futex_prepare(struct krepis_endpoint *ep, struct krepis_sleep *s);
int krepis_futex_sleep(struct krepis_endpoint *ep, struct krepis_sleep *s, int64_t until);
void krepis_futex_wake(__u32 *word);
void krepis_futex_wake_peers(struct krepis_endpoint *ep, uint32_t consumers);
void krepis_futex_wake_self(struct krepis_endpoint *ep);

/* ---- wait.c */

#define SPIN_MAX 2048

/*
 * Waits until @poll says something else than -EAGAIN: 0 is ready. It is called
 * again and again, and must not block. Briefly: sleeps at most once, and not long;
 * then it returns -EAGAIN.
 */
int krepis_wait_briefly(struct krepis_endpoint *ep,
			int (*poll)(struct krepis_endpoint *ep, void *arg), void *arg,
			int64_t deadline);
int krepis_wait_until(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		      void *arg, int64_t deadline);
void krepis_wake(struct krepis_endpoint *ep, uint32_t consumers);
int krepis_watch(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		 bool *lasts);
void krepis_wake_local(struct krepis_endpoint *ep);
bool krepis_membarrier_register(void);
void krepis_relax(void);

/* Whether a peer sleeps, after something was published for it: see wait.c. */
static inline uint32_t krepis_waiting(const struct krepis_endpoint *ep,
				      const struct krepis_waiter *w)
{
	uint32_t waiting;

	krepis_barrier();
	waiting = krepis_read(&w->waiting);
	if (unlikely(ep->fence || (waiting & KREPIS_FENCE))) {
		krepis_mb();
		waiting = krepis_load_acquire(&w->waiting);
	}
	return waiting;
}

/* Who asks for a fence may sleep, or is about to; else there is nothing to do for him. */
#define KREPIS_ATTENTION (KREPIS_ASLEEP | KREPIS_FENCE)

void krepis_attend_producer(struct krepis_endpoint *ep, uint64_t tail);
void krepis_attend_consumers(struct krepis_endpoint *ep);

/*
 * Wakes the producer if it sleeps and @tail is what it needs. Called after this
 * consumer gave something back; after a buffer, with the greatest tail.
 */
static inline void krepis_notify_producer(struct krepis_endpoint *ep, uint64_t tail)
{
	krepis_barrier();
	if (unlikely(ep->fence || krepis_read(&ep->producer->waiter.waiting) & KREPIS_ATTENTION))
		krepis_attend_producer(ep, tail);
}

/*
 * Wakes the consumers that sleep. Called after the producer published; only then
 * it looks who is there: a consumer that comes later finds what was published.
 * @first: of a ring, the first record that was published; else NULL.
 */
static inline void krepis_notify_consumers(struct krepis_endpoint *ep, void *first)
{
	uint32_t live, attention = ep->fence, direct = 0;

	krepis_barrier();
	for (live = krepis_live(ep); live; live &= live - 1) {
		const struct krepis_consumer *c = krepis_peer(ep, __builtin_ctz(live));

		attention |= (krepis_read(&c->waiter.waiting) & KREPIS_ATTENTION) |
			     krepis_link_died(krepis_read(&c->link.word));
		direct |= krepis_read(&c->direct);
	}
	if (first && direct)
		krepis_ring_announce(first);
	if (unlikely(attention))
		krepis_attend_consumers(ep);
}

/* ---- waitset.c */

/* A place in a circular list, or a list. */
struct node {
	struct node *next, *prev;
};

/**
 * struct member - an endpoint in a wait set
 * @next:  of the same endpoint, in other sets
 * @place: in the list of all of the set
 * @rung:  in the list of those that their bell rang for, or pointing to itself
 * @first: of the bell's thread: it came into an empty list
 */
struct member {
	struct krepis_waitset *set;
	struct krepis_endpoint *endpoint;
	void *data;
	struct member *next;
	struct node place;
	struct node rung;
	bool first;
};

void krepis_member_link(struct member *m);
void krepis_member_unlink(struct member *m);
bool krepis_member_ring(struct member *m);
void krepis_member_wake(struct member *m);
void krepis_member_unring(struct member *m);
void krepis_members_drop(struct krepis_endpoint *ep);

/* ---- bell.c */

int krepis_bell_fd(struct krepis_endpoint *ep);
int krepis_bell_join(struct member *m);
void krepis_bell_leave(struct member *m);
void krepis_bell_arm(struct krepis_endpoint *ep);
void krepis_bell_destroy(struct krepis_endpoint *ep, bool forked);

/* There was nothing: who polls will want to be told. */
static inline void krepis_rearm(struct krepis_endpoint *ep)
{
	if (unlikely(ep->bell))
		krepis_bell_arm(ep);
}

/* ---- thread.c */

int krepis_thread_start(pthread_t *thread, void *(*main)(void *arg), void *arg);

/* ---- pool.c */

int krepis_pool_init(struct krepis_endpoint *ep);
void krepis_pool_destroy(struct krepis_endpoint *ep);
int krepis_pool_get(struct krepis_endpoint *ep, struct krepis_buffer **out);
void krepis_pool_published(struct krepis_endpoint *ep, struct krepis_buffer *buffer);
int krepis_buffers_create(struct krepis_endpoint *ep);
void krepis_buffers_destroy(struct krepis_endpoint *ep);

/* ---- owner.c */

int krepis_owner_publish(struct krepis_endpoint *ep, struct krepis_handle handle,
			 const struct krepis_desc *what, bool *published);
void krepis_owner_evict(struct krepis_endpoint *ep, struct krepis_handle handle);
bool krepis_owner_take(struct krepis_endpoint *ep, struct krepis_handle handle);
void krepis_owner_drop(struct krepis_endpoint *ep, struct krepis_handle handle);
void krepis_owner_forgo(struct krepis_endpoint *ep, uint64_t position);
void krepis_owner_mourn(struct krepis_endpoint *ep, uint32_t producers, bool gone);

/* ---- send.c, recv.c, triple.c */

int krepis_sender_init(struct krepis_endpoint *ep);
void krepis_sender_finish(struct krepis_endpoint *ep);
int krepis_receiver_init(struct krepis_endpoint *ep);
void krepis_recv_done(struct krepis_endpoint *ep);
int krepis_triple_init(struct krepis_endpoint *ep, bool other_attached);
int krepis_triple_start(struct krepis_endpoint *ep);
bool krepis_evict_publish(struct krepis_endpoint *ep);
int krepis_recv_ready(struct krepis_endpoint *ep, void *arg);
int krepis_send_ready(struct krepis_endpoint *ep, void *arg);
int krepis_triple_ready(struct krepis_endpoint *ep, void *arg);

/* ---- keeper.c */

struct keeper;

/*
 * Arms @count links at @links, one page behind whose private twin page the
 * kernel's list nodes live. From then on, when this process dies, the kernel
 * marks each link and wakes who sleeps on it. @shared: the memory can never
 * shrink, so one keeper can serve it together with others.
 */
int krepis_keeper_arm(struct krepis_link *links, unsigned int count, size_t page_size,
		      bool shared, struct keeper **out);
/* Sets the links to 0, wakes who sleeps on them, and takes them off. Not in a forked child. */
void krepis_keeper_disarm(struct keeper *keeper, struct krepis_link *links, unsigned int count,
			  size_t page_size);

#endif /* _KREPIS_INTERNAL_H */
