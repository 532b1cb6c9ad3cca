// SPDX-License-Identifier: MIT
/*
 * The buffers of an endpoint, and the producer's pool of free ones.
 *
 * Only a producer acquires, so the free list is private memory of its process:
 * nothing that a peer writes can hand out a buffer twice. A returned buffer is
 * found by its descriptor; the producer looks at those it published, oldest first.
 *
 *	krepis_acquire: own magazine -> oldest published -> free stack ->
 *			all published -> other threads' magazines
 *
 * The oldest published one is warm. In an enforced channel it has to be mapped anew, and
 * with it what else came back: there the free stack is first, so that all go round.
 *
 * A magazine serves one thread (or a few that share a slot) without the pool's
 * lock. It is taken by a try-lock, so whoever finds it busy goes on to the next.
 */
#include <sched.h>
#include <stdlib.h>
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

static struct magazine *own_magazine(struct pool *p)
{
	static uint32_t threads;
	static _Thread_local uint32_t number = NONE;

	if (unlikely(number == NONE))
		number = __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) % MAGAZINES;
	return &p->magazines[number];
}

static bool magazine_lock(struct magazine *m)
{
	return !__atomic_exchange_n(&m->busy, 1, __ATOMIC_ACQUIRE);
}

static void magazine_unlock(struct magazine *m)
{
	__atomic_store_n(&m->busy, 0, __ATOMIC_RELEASE);
}

static uint32_t magazine_get(struct magazine *m)
{
	uint32_t index = NONE;

	if (!krepis_read(&m->count) || !magazine_lock(m))
		return NONE;
	if (m->count) {
		krepis_write(&m->count, m->count - 1);
		index = m->index[m->count];
	}
	magazine_unlock(m);
	return index;
}

/*
 * As magazine_get(), but a busy magazine with buffers in it is waited for: whoever
 * takes one of them wakes nobody, so a sleeper must not have passed the others over.
 */
static uint32_t magazine_steal(struct magazine *m)
{
	uint32_t index;

	while ((index = magazine_get(m)) == NONE && krepis_read(&m->count))
		sched_yield();
	return index;
}

static bool magazine_put(struct magazine *m, uint32_t index)
{
	bool room;

	if (!magazine_lock(m))
		return false;
	room = m->count < MAGAZINE_SIZE;
	if (room) {
		m->index[m->count] = index;
		krepis_write(&m->count, m->count + 1);
	}
	magazine_unlock(m);
	return room;
}

static uint32_t pool_take(struct krepis_endpoint *ep)
{
	struct pool *p = &ep->pool;
	uint32_t index = NONE;

	pthread_mutex_lock(&p->lock);
	if (!(p->free_count && krepis_enforced(ep)) && oldest_is_back(ep))
		index = out_take(ep, 1);
	if (index == NONE && p->free_count)
		index = p->free[--p->free_count];
	if (index == NONE)
		index = out_take(ep, p->out_count);
	pthread_mutex_unlock(&p->lock);
	return index;
}

/* One free buffer, or -EAGAIN. Any thread. */
int krepis_pool_get(struct krepis_endpoint *ep, struct krepis_buffer **out)
{
	struct pool *p = &ep->pool;
	struct krepis_buffer *buffer;
	uint32_t index = NONE, i;

	if (p->magazines)
		index = magazine_get(own_magazine(p));
	if (index == NONE)
		index = pool_take(ep);
	for (i = 0; index == NONE && p->magazines && i < MAGAZINES; i++)
		index = magazine_steal(&p->magazines[i]);
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
	if (!p->magazines || !magazine_put(own_magazine(p), buffer->index)) {
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
