// SPDX-License-Identifier: MIT
/*
 * The buffers of an endpoint, and the producer's pool of free ones.
 *
 * Only a producer acquires, so the free list is private memory of its process:
 * nothing that a peer writes can hand out a buffer twice. A returned buffer is
 * found by its descriptor; the producer looks at those it published, oldest first.
 *
 *	krepis_acquire: own magazine -> oldest published -> free stack ->
 *			all published -> all threads' magazines
 *
 * The oldest published one is warm. In an enforced channel it has to be mapped anew, and
 * with it what else came back: there the free stack is first, so that all go round.
 *
 * A magazine belongs to the thread that has its number, of all pools; who finds no number
 * has none, and takes the pool's lock. Somebody else empties it when there is no buffer
 * left, so its owner has to say when it is at it, and that must cost next to nothing:
 *
 *	owner				thief, with the pool's lock
 *	1 busy = 1			1 barred = 1
 *	2 barred? then not		2 membarrier(2)
 *	3 take or put			3 wait while busy
 *	4 busy = 0			4 take all, barred = 0
 *
 * Between 1 and 2 both need a full barrier; the thief executes it for both. Where
 * membarrier(2) is missing each has its own (pool.fence).
 */
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "internal.h"
#include "poison.h"

#define MAGAZINE_SIZE	ARRAY_SIZE(((struct magazine *)0)->index)
#define NONE		UINT32_MAX

int krepis_buffers_create(struct krepis_endpoint *ep)
{
	uint32_t i;

	if (!ep->geometry.buffer_count)
		return 0;
	ep->buffers = calloc(ep->geometry.buffer_count, sizeof(*ep->buffers));
	if (!ep->buffers)
		return -ENOMEM;
	for (i = 0; i < ep->geometry.buffer_count; i++) {
		ep->buffers[i].endpoint = ep;
		ep->buffers[i].index = i;
		ep->buffers[i].data = ep->payload + i * ep->layout.stride;
		if (ep->geometry.kind == KREPIS_RING)
			krepis_poison(ep->buffers[i].data, ep->geometry.buffer_size);
	}
	return 0;
}

/* Nobody else may find the memory poisoned that was mapped here. */
void krepis_buffers_destroy(struct krepis_endpoint *ep)
{
	uint32_t i;

	for (i = 0; ep->buffers && i < ep->geometry.buffer_count; i++)
		krepis_unpoison(ep->buffers[i].data, ep->geometry.buffer_size);
	free(ep->buffers);
}

/* Buffers that a predecessor published and consumers still hold come back later. */
int krepis_pool_init(struct krepis_endpoint *ep)
{
	uint32_t i, n = ep->geometry.buffer_count;
	struct pool *p = &ep->pool;

	if (!n)
		return 0;
	pthread_mutex_init(&p->lock, NULL);
	p->fence = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	p->capacity = 1U << (32 - __builtin_clz(n));
	p->free = calloc(n, sizeof(*p->free));
	p->out = calloc(p->capacity, sizeof(*p->out));
	if (!(ep->flags & KREPIS_ATTACH_NO_CACHE))
		p->magazines = aligned_alloc(LINE, MAGAZINES * sizeof(*p->magazines));
	if (!p->free || !p->out || (!p->magazines && !(ep->flags & KREPIS_ATTACH_NO_CACHE))) {
		krepis_pool_destroy(ep);
		return -ENOMEM;
	}
	for (i = 0; p->magazines && i < MAGAZINES; i++)
		p->magazines[i] = (struct magazine){ 0 };
	for (i = n; i-- > 0;) {
		uint64_t word = krepis_load_acquire(&ep->desc[i].word);

		ep->buffers[i].life = krepis_life(krepis_own_generation(word), 0);
		/* No life is 0: somebody wrote that, and no handle could name it. */
		if (krepis_own_state(word) == KREPIS_OWNED_PRODUCER && krepis_own_generation(word))
			p->free[p->free_count++] = i;
		else
			p->out[p->out_count++] = i;
	}
	return 0;
}

void krepis_pool_destroy(struct krepis_endpoint *ep)
{
	struct pool *p = &ep->pool;

	if (!ep->geometry.buffer_count)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p->free);
	free(p->out);
	free(p->magazines);
}

static void out_push(struct pool *p, uint32_t index)
{
	p->out[(p->out_head + p->out_count++) & (p->capacity - 1)] = index;
}

/*
 * Looks at up to @most of the published buffers, oldest first, for one that
 * came back; those that did not go to the end. pool.lock held.
 */
static uint32_t out_take(struct krepis_endpoint *ep, uint32_t most)
{
	struct pool *p = &ep->pool;

	for (; most && p->out_count; most--) {
		uint32_t index = p->out[p->out_head++ & (p->capacity - 1)];
		struct krepis_buffer *b = &ep->buffers[index];
		uint32_t old = (uint32_t)(krepis_read(&b->life) >> 32);
		uint32_t generation = krepis_own_returned(&ep->desc[index], old);

		p->out_count--;
		if (generation) {
			krepis_write(&b->life, krepis_life(generation, 0));
			return index;
		}
		out_push(p, index);
	}
	return NONE;
}

/* Whether to take the oldest published buffer: it came back, and one line tells. */
static bool oldest_is_back(struct krepis_endpoint *ep)
{
	struct pool *p = &ep->pool;
	uint32_t index = p->out[p->out_head & (p->capacity - 1)];

	return p->out_count && krepis_own_returned(&ep->desc[index],
						   (uint32_t)(krepis_read(&ep->buffers[index].life) >> 32));
}

/* ---------------------------------------------------------------------- magazines */

static uint32_t numbers;	/* atomic: a bit for each that a thread has */
static pthread_key_t number_key;
static bool number_returns;	/* there is a key, by which numbers come back */
static _Thread_local uint32_t number = NONE;	/* this thread's */

_Static_assert(MAGAZINES < 8 * sizeof(numbers), "a bit for each magazine");

/* The release pairs with number_take(): the next owner finds the magazines as they are. */
static void number_return(void *value)
{
	uint32_t bit = 1U << ((uintptr_t)value - 1);

	number = NONE;
	__atomic_fetch_and(&numbers, ~bit, __ATOMIC_RELEASE);
}

static void number_once(void)
{
	number_returns = !pthread_key_create(&number_key, number_return);
}

/* The key's function goes away with the library. */
__attribute__((destructor)) static void number_end(void)
{
	if (number_returns)
		pthread_key_delete(number_key);
}

/* A number for this thread until it ends, if there is one. The acquire pairs with number_return(). */
static void number_take(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint32_t old = __atomic_load_n(&numbers, __ATOMIC_RELAXED), n;

	pthread_once(&once, number_once);
	do {
		n = (uint32_t)__builtin_ctz(~old);
		if (n >= MAGAZINES || !number_returns)
			return;
	} while (!__atomic_compare_exchange_n(&numbers, &old, old | 1U << n, false,
					      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	number = n;
	if (pthread_setspecific(number_key, (void *)(uintptr_t)(n + 1)))
		number_return((void *)(uintptr_t)(n + 1));
}

/* This thread's, or NULL. */
static struct magazine *own_magazine(struct pool *p)
{
	static _Thread_local bool asked;

	if (unlikely(!asked)) {
		asked = true;
		number_take();
	}
	return p->magazines && number != NONE ? &p->magazines[number] : NULL;
}

/*
 * Steps 1 and 2 of the owner. The barrier pairs with fence_owners(), the acquire with the
 * thief's last step.
 */
static bool magazine_enter(const struct pool *p, struct magazine *m)
{
	krepis_write(&m->busy, 1);
	krepis_barrier();
	if (unlikely(krepis_read(&p->fence)))
		krepis_mb();
	if (likely(!krepis_load_acquire(&m->barred)))
		return true;
	krepis_store_release(&m->busy, 0);
	return false;
}

/* Pairs with the thief's wait in magazine_empty(). */
static void magazine_leave(struct magazine *m)
{
	krepis_store_release(&m->busy, 0);
}

static uint32_t magazine_get(const struct pool *p, struct magazine *m)
{
	uint32_t index = NONE, count;

	if (!m || !magazine_enter(p, m))
		return NONE;
	count = krepis_read(&m->count);
	if (count) {
		krepis_write(&m->count, count - 1);
		index = m->index[count - 1];
	}
	magazine_leave(m);
	return index;
}

static bool magazine_put(const struct pool *p, struct magazine *m, uint32_t index)
{
	uint32_t count;
	bool room;

	if (!m || !magazine_enter(p, m))
		return false;
	count = krepis_read(&m->count);
	room = count < MAGAZINE_SIZE;
	if (room) {
		m->index[count] = index;
		krepis_write(&m->count, count + 1);
	}
	magazine_leave(m);
	return room;
}

/*
 * Step 2 of the thief; pairs with magazine_enter(). If membarrier(2) was forbidden since
 * the pool was made, owners have their own fence from here on, and who did not see that
 * yet has no store that waits in a processor for as long as this.
 */
static void fence_owners(struct pool *p)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	krepis_mb();
	if (krepis_read(&p->fence) ||
	    !syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		return;
	krepis_write(&p->fence, true);
	nanosleep(&pause, NULL);
}

/* Whoever takes one buffer wakes nobody: a sleeper must not have passed one over, so wait. */
static void magazine_empty(struct pool *p, struct magazine *m)
{
	krepis_write(&m->barred, 1);
	fence_owners(p);
	/* Pairs with magazine_leave(). */
	while (krepis_load_acquire(&m->busy))
		sched_yield();
	while (m->count)
		p->free[p->free_count++] = m->index[--m->count];
	/* Pairs with magazine_enter(). */
	krepis_store_release(&m->barred, 0);
}

/* ------------------------------------------------------------------------ the pool */

/* pool.lock held. */
static uint32_t free_take(struct pool *p)
{
	return p->free_count ? p->free[--p->free_count] : NONE;
}

static uint32_t pool_take(struct krepis_endpoint *ep)
{
	struct pool *p = &ep->pool;
	uint32_t index = NONE, i;

	pthread_mutex_lock(&p->lock);
	if (!(p->free_count && krepis_enforced(ep)) && oldest_is_back(ep))
		index = out_take(ep, 1);
	if (index == NONE)
		index = free_take(p);
	if (index == NONE)
		index = out_take(ep, p->out_count);
	if (index == NONE) {
		for (i = 0; p->magazines && i < MAGAZINES; i++)
			if (krepis_read(&p->magazines[i].count))
				magazine_empty(p, &p->magazines[i]);
		index = free_take(p);
	}
	pthread_mutex_unlock(&p->lock);
	return index;
}

/* One free buffer, or -EAGAIN. Any thread. */
int krepis_pool_get(struct krepis_endpoint *ep, struct krepis_buffer **out)
{
	struct pool *p = &ep->pool;
	struct krepis_buffer *buffer;
	uint32_t index = magazine_get(p, own_magazine(p));

	if (index == NONE)
		index = pool_take(ep);
	if (index == NONE)
		return -EAGAIN;
	buffer = &ep->buffers[index];
	krepis_write(&buffer->life, buffer->life | 1);
	krepis_unpoison(buffer->data, ep->geometry.buffer_size);
	*out = buffer;
	return 0;
}

/* The endpoint's thread published @buffer: it comes back by its descriptor. */
void krepis_pool_published(struct krepis_endpoint *ep, struct krepis_buffer *buffer)
{
	pthread_mutex_lock(&ep->pool.lock);
	out_push(&ep->pool, buffer->index);
	pthread_mutex_unlock(&ep->pool.lock);
}

/* As krepis_pool_get(), and if consumers died holding buffers, this sweeps. Any thread. */
static int buffer_get(struct krepis_endpoint *ep, struct krepis_buffer **out)
{
	int err = krepis_pool_get(ep, out);

	if (likely(err != -EAGAIN))
		return err;
	krepis_producer_peer(ep);
	return krepis_pool_get(ep, out);
}

/* As krepis_wait_until() asks for it, in the endpoint's thread. */
static int buffer_ready(struct krepis_endpoint *ep, void *arg)
{
	int err = buffer_get(ep, arg);

	/* The oldest records may be inline: go on until one gives up a buffer. */
	while (err == -EAGAIN && krepis_overwrites(ep) && krepis_evict_publish(ep))
		err = krepis_pool_get(ep, arg);
	return err;
}

KREPIS_API int krepis_acquire(struct krepis_endpoint *ep, struct krepis_buffer **out,
			      int64_t deadline)
{
	int err;

	if (!krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER))
		return -EINVAL;
	if (!krepis_usable(ep))
		return krepis_unusable(ep);
	if (!ep->geometry.buffer_count)
		return -EOPNOTSUPP;
	err = buffer_get(ep, out);
	if (likely(err != -EAGAIN) || deadline == KREPIS_NOWAIT)
		return err;
	if (ep->sender.begun)
		return -EBUSY;
	/* Consumers cannot release what they cannot see. */
	krepis_flush(ep);
	if (ep->geometry.backpressure == KREPIS_FAIL)
		return buffer_get(ep, out);
	return krepis_wait_until(ep, buffer_ready, out, deadline);
}

KREPIS_API int krepis_abandon(struct krepis_endpoint *ep, struct krepis_buffer *buffer)
{
	struct pool *p = &ep->pool;
	uint64_t life = krepis_read(&buffer->life);

	if (buffer->endpoint != ep || ep->role != KREPIS_PRODUCER || ep->geometry.kind != KREPIS_RING)
		return -EINVAL;
	if (!krepis_here(ep))
		return -EBADF;
	if ((uint32_t)life != 1 || !krepis_cas(&buffer->life, &life, life - 1))
		return -EPERM;
	krepis_poison(buffer->data, ep->geometry.buffer_size);
	if (!magazine_put(p, own_magazine(p), buffer->index)) {
		pthread_mutex_lock(&p->lock);
		p->free[p->free_count++] = buffer->index;
		pthread_mutex_unlock(&p->lock);
	}
	/* The endpoint's own thread may be waiting for one. */
	if (unlikely(krepis_waiting(ep, ep->waiter) & KREPIS_ASLEEP))
		krepis_wake_local(ep);
	return 0;
}

/* The consumers have released *@arg, as krepis_wait_until() asks for it. */
static int returned(struct krepis_endpoint *ep, void *arg)
{
	struct krepis_buffer *buffer = arg;
	uint32_t old = (uint32_t)(krepis_read(&buffer->life) >> 32);
	uint32_t generation = krepis_own_returned(&ep->desc[buffer->index], old);

	krepis_producer_peer(ep);
	if (!generation)
		return -EAGAIN;
	krepis_unpoison(buffer->data, ep->geometry.buffer_size);
	krepis_write(&buffer->life, krepis_life(generation, 1));
	return 0;
}

KREPIS_API int krepis_take_back(struct krepis_endpoint *ep, struct krepis_buffer *buffer,
				int64_t deadline)
{
	if (buffer->endpoint != ep || !krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER))
		return -EINVAL;
	if (!krepis_usable(ep))
		return krepis_unusable(ep);
	if ((uint32_t)krepis_read(&buffer->life) != KREPIS_LENT)
		return -EPERM;
	return krepis_wait_until(ep, returned, buffer, deadline);
}

KREPIS_API void *krepis_buffer_data(const struct krepis_buffer *buffer)
{
	return buffer->data;
}

KREPIS_API size_t krepis_buffer_size(const struct krepis_buffer *buffer)
{
	return buffer->endpoint->geometry.buffer_size;
}

KREPIS_API struct krepis_handle krepis_buffer_handle(const struct krepis_buffer *buffer)
{
	return (struct krepis_handle){
		.index = buffer->index,
		.generation = (uint32_t)(krepis_read(&buffer->life) >> 32),
	};
}

KREPIS_API int krepis_buffer_lookup(struct krepis_endpoint *ep, struct krepis_handle handle,
				    struct krepis_buffer **out)
{
	uint64_t life;

	if (!krepis_here(ep))
		return -EBADF;
	if (handle.index >= ep->geometry.buffer_count)
		return -ERANGE;
	life = krepis_read(&ep->buffers[handle.index].life);
	if (life >> 32 != handle.generation)
		return -ESTALE;
	if (!(uint32_t)life || (uint32_t)life == KREPIS_LENT)
		return -EPERM;
	*out = &ep->buffers[handle.index];
	return 0;
}
