/* SPDX-License-Identifier: MIT */
/*
 * What holds of enforced channels besides. Descriptors and the exchange word are the
 * kernel's, so what they say is true, and it follows who has the pages of a buffer:
 *
 *	- who has them meets no fault there, who has them not meets one;
 *	- what a consumer holds does not change until it lets go of it;
 *	- a valid call meets no fault, unless commands past the library moved its buffers.
 *
 * Where an access met a fault it goes on in a page of nothing, which is taken away again
 * at the end of the operation. While a second thread calls the kernel, what is
 * seen may be over at once: then only what cannot be over is judged.
 */
#ifndef KREPIS_FUZZ_ENFORCED_H
#define KREPIS_FUZZ_ENFORCED_H

#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include "session.h"

/*
 * Where this thread makes a forged access, which may meet a fault; and whether it did. What
 * the kernel said of the buffer before, and whether all that was mapped there was its own.
 */
static _Thread_local const uint8_t *volatile striking;
static _Thread_local volatile bool struck;
static _Thread_local uint64_t said;
static _Thread_local uint32_t patches;
static _Thread_local unsigned int again;
static _Thread_local bool whole_before;

static int own_fd(const struct end *e)
{
	return e->ep->backend->fd(e->ep);
}

/* Whether the kernel takes pages away from @e. */
static bool gives_pages(const struct end *e)
{
	return krepis_enforced(e->ep) && (e->role == KREPIS_PRODUCER ||
					  (e->ep->geometry.flags & KREPIS_F_EXCLUSIVE));
}

/* Whether buffer @index is @e's at present: by the kernel's words, of a triple by its answers. */
static bool has(const struct end *e, uint32_t index)
{
	struct krepis_desc *d = &e->ep->desc[index];

	if (e->ep->geometry.kind == KREPIS_TRIPLE)
		return e->has == index;
	if (e->role == KREPIS_PRODUCER)
		return krepis_own_state(krepis_load_acquire(&d->word)) == KREPIS_OWNED_PRODUCER;
	return krepis_own_held(d, e->ep->bit);
}

/* Commands past the library move the buffers of @e: it need not find them where it left them. */
static void meddle(struct end *e)
{
	krepis_store_release(&e->meddled, true);
}

/* ---------------------------------------------------------------------- faults */

static struct end *end_at(struct session *s, const uint8_t *at)
{
	unsigned int i;

	for (i = 0; i < s->ends; i++) {
		const struct krepis_endpoint *ep = s->end[i].ep;

		if (ep && ep->payload && at >= ep->payload &&
		    at < ep->payload + (s->l.size - s->l.payload))
			return &s->end[i];
	}
	return NULL;
}

static uint32_t index_at(const struct end *e, const uint8_t *at)
{
	return (uint32_t)((uint64_t)(at - e->ep->payload) / e->ep->layout.stride);
}

/* Who is told of the fault can find out why. Another thread may be attaching. */
static void check_explained(const void *at)
{
	char text[160] = "";
	int err = krepis_fault_explain(at, text, sizeof(text));

	MUST(now.raced && err == -EAGAIN ? true : !err && strlen(text) > 20);
}

static void patch_begins(struct end *e)
{
	__atomic_fetch_add(&e->patches[0], 1, __ATOMIC_SEQ_CST);
}

static void patch_ends(struct end *e)
{
	__atomic_fetch_add(&e->patches[1], 1, __ATOMIC_SEQ_CST);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr, *page = at - (uintptr_t)at % (uintptr_t)sysconf(_SC_PAGESIZE);
	struct end *e = now.session ? end_at(now.session, at) : NULL;
	int saved = errno;
	uint32_t index;

	(void)context;
	if (!e || !gives_pages(e)) {
		signal(sig, SIG_DFL);
		report();
		return;
	}
	MUST(info->si_code == BUS_ADRERR);
	MUST(striking ? striking == at : krepis_load_acquire(&e->meddled));
	index = index_at(e, at);
	MUST(now.raced || !has(e, index));
	check_explained(at);
	/* It came back in the meantime: then the next try succeeds, or one of some. */
	if (e->ep->geometry.kind == KREPIS_RING && has(e, index)) {
		MUST(++again < 1000);
		errno = saved;
		return;
	}
	again = 0;
	patch_begins(e);
	MUST(mmap(page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
	krepis_store_release(&e->patched, true);
	patch_ends(e);
	__atomic_fetch_add(&figures.faults, 1, __ATOMIC_RELAXED);
	struck = true;
	errno = saved;
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	MUST(!sigaction(SIGBUS, &action, NULL));
}

/* Takes the pages of nothing away. The mark first: who puts one there marks it afterwards. */
static void mend(struct session *s)
{
	unsigned int i;

	for (i = 0; arena->enforced && i < s->ends; i++) {
		struct end *e = &s->end[i];

		if (!e->ep || !krepis_load_acquire(&e->patched))
			continue;
		patch_begins(e);
		krepis_write(&e->patched, false);
		krepis_mb();
		MUST(krepis_map(e->ep->payload, s->l.size - s->l.payload, PROT_READ | PROT_WRITE,
				own_fd(e), s->l.payload) == e->ep->payload);
		patch_ends(e);
	}
}

/* Whether @e's mapping has no page of nothing, which stays so until @mark is another. */
static bool unpatched(const struct end *e, uint32_t *mark)
{
	*mark = krepis_load_acquire(&e->patches[0]);
	return krepis_load_acquire(&e->patches[1]) == *mark && !krepis_load_acquire(&e->patched);
}

static void strike_begins(struct session *s, const uint8_t *at)
{
	struct end *e = arena->enforced ? end_at(s, at) : NULL;

	striking = at;
	struck = false;
	again = 0;
	if (!e)
		return;
	mend(s);
	whole_before = unpatched(e, &patches);
	said = krepis_load_acquire(&e->ep->desc[index_at(e, at)].word);
}

/* Whether buffer @index of a ring was the other side's all the time. */
static bool was_others(const struct end *e, uint32_t index)
{
	uint32_t theirs = e->role == KREPIS_PRODUCER ? KREPIS_OWNED_CONSUMER :
						       KREPIS_OWNED_PRODUCER;

	krepis_mb();
	return e->ep->geometry.kind == KREPIS_RING && krepis_own_state(said) == theirs &&
	       krepis_load_acquire(&e->ep->desc[index].word) == said && whole_before &&
	       krepis_load_acquire(&e->patches[0]) == patches;
}

/* Who does not have the buffer has not touched it. */
static void strike_ends(struct session *s, const uint8_t *at)
{
	struct end *e = arena->enforced ? end_at(s, at) : NULL;

	striking = NULL;
	if (!e)
		return;
	if (gives_pages(e) && !struck) {
		MUST(!was_others(e, index_at(e, at)));
		MUST(now.raced || has(e, index_at(e, at)));
	}
	mend(s);
}

/* ------------------------------------------------------------ what is held stays */

/* All of its pages, whatever the message's length. */
static uint64_t __attribute__((no_sanitize_address)) sum_of(const void *data, size_t size)
{
	const uint64_t *word = data;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		sum = (sum << 7 | sum >> 57) + krepis_read(&word[i]);
	return sum;
}

/* Whether message @i is still @e's, and has been since it was received: a life ends once. */
static bool still_holds(const struct end *e, unsigned int i)
{
	const struct krepis_msg *msg = &e->msg[i];
	struct krepis_desc what;

	if (e->ep->geometry.kind == KREPIS_TRIPLE)
		return !krepis_load_acquire(&e->meddled);
	return !krepis_own_resolve(&e->ep->desc[msg->buffer->index], msg->generation, e->ep->bit,
				   UINT64_MAX, &what);
}

/* The sum of message @i. Return: false if it is not one of the buffer as it was held. */
static bool sum_held(const struct end *e, unsigned int i, uint64_t *sum)
{
	uint32_t before;

	if (!unpatched(e, &before))
		return false;
	*sum = sum_of(e->msg[i].data, e->ep->layout.stride);
	krepis_mb();
	return still_holds(e, i) && krepis_read(&e->patches[0]) == before;
}

/* Message @i was received, or its consumer has changed it. */
static void keep(struct end *e, unsigned int i)
{
	if (arena->enforced)
		e->kept[i] = sum_held(e, i, &e->sum[i]);
}

/* Message @i is what it was, unless commands past the library have let go of it. */
static void check_kept(const struct end *e, unsigned int i)
{
	uint64_t sum;

	if (!arena->enforced || !e->kept[i] || !sum_held(e, i, &sum))
		return;
	MUST(sum == e->sum[i]);
	figures.kept++;
}

static void check_all_kept(const struct end *e)
{
	unsigned int i, n = e->msgs;

	if (arena->enforced && e->ep && e->ep->geometry.kind == KREPIS_TRIPLE)
		n = 1;
	for (i = 0; i < n && e->ep; i++)
		check_kept(e, i);
}

/* ---------------------------------------------------------------- forged accesses */

/* What a consumer of an exclusive channel writes where it holds a message is its right. */
static void keep_changed(struct end *e, uint32_t index)
{
	unsigned int i;

	for (i = 0; i < e->msgs; i++) {
		if (e->msg[i].buffer->index == index)
			keep(e, i);
	}
}

/* The consumers' mappings are of the same memory, where they are not taken away. */
static void check_seen(const struct session *s, uint64_t at, uint64_t value)
{
	unsigned int i;

	for (i = 1; i < s->ends; i++) {
		const struct end *e = &s->end[i];

		if (e->ep && !gives_pages(e))
			MUST(krepis_read((const uint64_t *)(e->ep->payload + at)) == value);
	}
}

/* Writes into buffer @index, if it can: that is judged. */
static void scribble(struct session *s, struct end *e, uint32_t index, uint64_t at, uint64_t value)
{
	uint64_t offset = index * s->l.stride + at % s->l.stride / 8 * 8;
	uint8_t *to = e->ep->payload + offset;

	strike_begins(s, to);
	krepis_write((uint64_t *)to, value);
	strike_ends(s, to);
	if (!struck && !now.raced)
		check_seen(s, offset, value);
	keep_changed(e, index);
}

/* The same by a system call: it cannot, where the caller cannot. */
static void scribble_by_kernel(struct session *s, struct end *e, uint32_t index, uint64_t at)
{
	uint8_t *to = e->ep->payload + index * s->l.stride + at % s->l.stride / 8 * 8;
	bool may = has(e, index);
	long n = syscall(SYS_getrandom, to, 8, GRND_INSECURE);

	MUST(now.raced || (may ? n == 8 : n == -1 && errno == EFAULT));
	keep_changed(e, index);
}

/* Whatever the caller advises about its mapping: who has the pages stays so. */
static void advise(struct end *e, uint32_t index, const struct op *op)
{
	uint8_t *at = e->ep->payload + index * e->ep->layout.stride;

	/* Above those are the advices that a page of the machine is bad. */
	madvise(at, e->ep->layout.stride, op->value % 26);
}

/* A hostile peer at a buffer that it may, or may not have. */
static void forge_payload(struct session *s, struct end *unused, const struct op *op)
{
	bool exclusive = s->g.flags & KREPIS_F_EXCLUSIVE;
	struct end *e = &s->end[exclusive ? op->who % 2 : 0];
	uint32_t index;

	(void)unused;
	if (!e->ep || !s->g.buffer_count)
		return;
	index = op->count % s->g.buffer_count;
	if (op->mode % 4 == 0)
		advise(e, index, op);
	if (op->mode % 4 == 1)
		scribble_by_kernel(s, e, index, op->at);
	else
		scribble(s, e, index, op->at, op->value);
}

/* What only the kernel writes can be made writable in no way; nor what a consumer reads. */
static void forge_rights(struct session *s, const struct op *op)
{
	const struct end *e = &s->end[op->who % s->ends];
	uint64_t from = s->l.descriptors - op->count % 2 * s->g.page_size;
	uint64_t to = op->count / 2 % 2 ? s->l.size : s->l.ring;
	int rw = PROT_READ | PROT_WRITE, refused;

	if (!e->ep)
		return;
	if (op->count / 4 % 2 && !gives_pages(e) && s->g.buffer_count)
		from = s->l.payload, to = s->l.size;
	if (op->mode % 2 && from == s->l.descriptors) {
		refused = mprotect(e->ep->exchange, s->l.ring - from, rw) ? errno : 0;
		MUST(refused == EACCES);
		return;
	}
	refused = mmap(NULL, to - from, rw, MAP_SHARED, own_fd(e), (off_t)from) == MAP_FAILED ?
		  errno : 0;
	MUST(refused == EACCES || (to > s->l.payload && from < s->l.payload && refused == EINVAL));
}

#endif /* KREPIS_FUZZ_ENFORCED_H */
