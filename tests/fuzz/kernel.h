/* SPDX-License-Identifier: MIT */
/*
 * What a hostile peer may ask of the module, past the library: every command on every
 * descriptor, with arguments that fit the channel, and often with one word that does not. The
 * kernel looks at the same forged words as the library. What it answers must be what
 * Documentation/userspace-api/module.md allows, and what it alone writes must be true.
 */
#ifndef KREPIS_FUZZ_KERNEL_H
#define KREPIS_FUZZ_KERNEL_H

#include <poll.h>
#include <sys/ioctl.h>
#include "forge.h"

union args {
	struct krepis_none none;
	struct krepis_setup setup;
	struct krepis_info_query query;
	struct krepis_attach_args attach;
	struct krepis_rights rights;
	struct krepis_wait_args wait;
	struct krepis_wake_args wake;
	struct krepis_handoff handoff;
	struct krepis_release_args release;
	uint8_t bytes[4096 + 8];	/* more than the largest that may be */
};

/**
 * struct command - one of the module's
 * @name:    of its call
 * @size:    of its argument
 * @channel: for files of channels; else for endpoints
 * @right:   that it needs whatever its argument is
 * @errors:  that are documented, besides EACCES for want of a right, and what every command
 *	     refuses a malformed argument with
 */
struct command {
	unsigned int cmd;
	const char *name;
	uint32_t size;
	bool channel;
	uint32_t right;
	uint8_t errors[8];
};

#define ON_CHANNEL(NAME, type, ...)                                               \
	{ KREPIS_IOC_##NAME, #NAME, sizeof(struct type), true, 0, { __VA_ARGS__ } }
#define ON_ENDPOINT(NAME, type, right, ...)                                       \
	{ KREPIS_IOC_##NAME, #NAME, sizeof(struct type), false, right, { __VA_ARGS__ } }

/* The first ones change nothing that the first thread keeps, so the second may call them too. */
#define BY_BOTH_THREADS 8
#define ENFORCED_ONLY	2	/* and the first of those are for enforced channels */
static const struct command commands[] = {
	ON_ENDPOINT(TAKE, krepis_release_args, KREPIS_RIGHT_WRITE, EINVAL, EPERM, EOPNOTSUPP,
		    ESTALE),
	ON_ENDPOINT(EVICT, krepis_release_args, KREPIS_RIGHT_WRITE, EINVAL, EPERM, EOPNOTSUPP,
		    ESTALE),
	ON_ENDPOINT(HANDOFF, krepis_handoff, KREPIS_RIGHT_WRITE, EINVAL, EPERM, EMSGSIZE, ESTALE,
		    ENOTCONN, EOWNERDEAD),
	ON_ENDPOINT(RELEASE, krepis_release_args, KREPIS_RIGHT_WRITE, EINVAL, EPERM, ESTALE,
		    EAGAIN),
	ON_ENDPOINT(WAIT, krepis_wait_args, KREPIS_RIGHT_WAIT, EINVAL, ETIMEDOUT, EINTR),
	ON_ENDPOINT(WAKE, krepis_wake_args, KREPIS_RIGHT_WAKE, EINVAL),
	ON_ENDPOINT(DETACH, krepis_none, KREPIS_RIGHT_WRITE, 0),
	ON_ENDPOINT(QUERY, krepis_info_query, KREPIS_RIGHT_READ, 0),
	ON_ENDPOINT(RESTRICT, krepis_rights, 0, EINVAL, EPERM),
	ON_ENDPOINT(DERIVE, krepis_rights, KREPIS_RIGHT_DERIVE, EINVAL, EPERM),
	ON_CHANNEL(QUERY, krepis_info_query, 0),
	ON_CHANNEL(SETUP, krepis_setup, EINVAL, E2BIG, EBUSY),
	ON_CHANNEL(ATTACH, krepis_attach_args, EINVAL, EBUSY, EUSERS, ETIMEDOUT, EPROTO),
};

/* Which of the first @most commands @op calls. */
static const struct command *some_command(const struct op *op, unsigned int most)
{
	unsigned int first = arena->enforced ? 0 : ENFORCED_ONLY;

	return &commands[first + op->at % (most - first)];
}

/* ------------------------------------------------------------------- arguments */

/* Where the module counts the events of @e. */
static uint64_t event_at(const struct end *e)
{
	return offsetof(struct krepis_info, event) +
	       4 * (e->role == KREPIS_PRODUCER ? 0 : 1 + e->ep->slot);
}

/* Mostly the own event, or what is near the end of what may be waited for. */
static uint64_t some_word(const struct session *s, const struct end *e, uint64_t luck)
{
	if (luck % 8 == 0)
		return s->l.ring - 8 + luck / 8 % 4 * 4;
	return luck % 8 < 4 ? luck / 8 % s->l.ring / 4 * 4 : event_at(e);
}

/* A buffer in the life that its descriptor tells of. In a channel without buffers, none. */
static struct krepis_handle some_handle(const struct session *s, const struct op *op)
{
	const struct krepis_desc *desc;
	struct krepis_handle handle = { op->count % (s->g.buffer_count + 1), 1 };

	if (s->g.buffer_count) {
		desc = arena->see(s, desc_at(s, handle.index));
		handle.generation = krepis_read(&desc->generation);
	}
	return handle;
}

/* An address that is no program's. */
#define NOWHERE(op) ((const void *)((op)->value | 1ULL << 63))

/* Often a record of it stands there, and is published; of a triple, the buffer that it has. */
static void fill_enforced(union args *a, const struct session *s, const struct end *e,
			  uint64_t luck)
{
	if (s->g.kind == KREPIS_TRIPLE && luck % 2)
		a->handoff.handle.index = e->has;
	if (luck / 2 % 2)
		a->handoff.flags |= KREPIS_HANDOFF_PUBLISH;
	if (luck / 4 % 4 && s->g.ring_size && e->role == KREPIS_PRODUCER)
		put_record(s, a->handoff.sequence, KREPIS_MSG_BUFFER, sizeof(a->handoff.handle),
			   a->handoff.handle);
}

/* What makes sense, for an endpoint of @e's role. @size is set, and the rest is 0. */
static void fill(union args *a, unsigned int cmd, const struct session *s, const struct end *e,
		 const struct op *op)
{
	uint64_t luck = op->value >> 8;

	switch (cmd) {
	case KREPIS_IOC_SETUP:
		a->setup.geometry = s->g;
		break;
	case KREPIS_IOC_ATTACH:
		a->attach.role = luck % 2 ? KREPIS_PRODUCER : KREPIS_CONSUMER;
		a->attach.rights = 1 + luck / 2 % KREPIS_RIGHT_ALL;
		break;
	case KREPIS_IOC_RESTRICT:
	case KREPIS_IOC_DERIVE:
		/* Mostly one less, that some are left. */
		a->rights.rights = luck % 8 ? KREPIS_RIGHT_ALL & ~(1U << luck / 8 % 8) :
					      luck / 8 % (KREPIS_RIGHT_ALL + 1);
		break;
	case KREPIS_IOC_WAIT:
		a->wait.at = some_word(s, e, luck);
		if (a->wait.at < s->l.ring)
			a->wait.value = krepis_read((uint32_t *)e->ep->info + a->wait.at / 4);
		a->wait.deadline_ns = op->count % 16 ? 0 : INT64_MAX;
		break;
	case KREPIS_IOC_WAKE:
		a->wake.flags = luck % 4 ? 0 : luck / 4 % 4;
		if (e->role == KREPIS_PRODUCER && !a->wake.flags)
			a->wake.consumers = luck / 16 % 8;
		break;
	case KREPIS_IOC_HANDOFF:
		a->handoff.flags = luck % 2 * KREPIS_HANDOFF_WAKE;
		a->handoff.handle = some_handle(s, op);
		a->handoff.len = op->at % (uint32_t)(s->g.buffer_size + 2);
		a->handoff.msg_flags = luck / 2 % 2 * KREPIS_MSG_CRC32C;
		a->handoff.sequence = head_of(s) + luck / 4 % 3 * 8;
		if (arena->enforced)
			fill_enforced(a, s, e, luck / 16);
		break;
	case KREPIS_IOC_RELEASE:
	case KREPIS_IOC_TAKE:
	case KREPIS_IOC_EVICT:
		a->release.handle = some_handle(s, op);
		if (arena->enforced && s->g.kind == KREPIS_TRIPLE && luck % 2)
			a->release.handle.index = e->has;
		break;
	}
}

/* The rights that the command needs with this argument. */
static uint32_t needs(const struct command *c, const struct end *e, const union args *a)
{
	if (c->cmd == KREPIS_IOC_WAIT && a->wait.at != event_at(e))
		return c->right | KREPIS_RIGHT_READ;
	if (c->cmd == KREPIS_IOC_WAKE && (a->wake.flags & KREPIS_WAKE_STOP))
		return c->right | KREPIS_RIGHT_WRITE;
	return c->right;
}

/* --------------------------------------------------------------------- answers */

static int call(int fd, unsigned int cmd, const void *arg)
{
	int rc = ioctl(fd, cmd, arg);

	return rc < 0 ? -errno : rc;
}

/* What is documented for one kind of channels only. */
static bool possible(const struct session *s, int rc)
{
	if (rc == -EAGAIN)
		return arena->enforced && s->g.kind == KREPIS_TRIPLE;
	/* An exchange of the second thread's may last. */
	if (rc == -ETIMEDOUT)
		return !arena->enforced || now.raced;
	/* Nobody but the kernel can have broken it, or changed what was locked. */
	return !arena->enforced || (rc != -EPROTO && rc != -EOWNERDEAD);
}

static void judge_answer(const struct command *c, const struct session *s, int rc, bool may,
			 bool forged)
{
	const uint8_t *errors = c->errors;

	if (rc >= 0 ? may : !may && rc == -EACCES)
		return;
	if (forged && (rc == -EINVAL || rc == -E2BIG || rc == -EFAULT))
		return;
	for (; rc < 0 && *errors; errors++) {
		if (rc == -*errors && (possible(s, rc) || c->cmd == KREPIS_IOC_WAIT))
			return;
	}
	fail("%s returned %d%s", c->name, rc, may ? "" : " without the right to it");
}

static bool changes_owner(const struct command *c)
{
	return c->cmd == KREPIS_IOC_HANDOFF || c->cmd == KREPIS_IOC_RELEASE ||
	       c->cmd == KREPIS_IOC_TAKE || c->cmd == KREPIS_IOC_EVICT;
}

/* Enforced triple: what an exchange of @index must return. */
static int foretell_exchange(const struct end *e, uint32_t index)
{
	uint64_t word = krepis_read(&e->ep->exchange->word);

	if (e->role == KREPIS_CONSUMER && !krepis_triple_fresh(word))
		return -EAGAIN;
	return index == e->has ? (int)krepis_triple_index(word) : -EPERM;
}

static int foretell_handoff(const struct session *s, const struct end *e,
			    const struct krepis_handoff *what)
{
	struct krepis_desc *d = &e->ep->desc[what->handle.index];
	bool bare = s->g.kind == KREPIS_TRIPLE || s->g.backpressure == KREPIS_OVERWRITE;

	if (bare && (what->flags & KREPIS_HANDOFF_PUBLISH))
		return -EINVAL;
	if (what->len > s->g.buffer_size)
		return -EMSGSIZE;
	if (s->g.kind == KREPIS_TRIPLE)
		return foretell_exchange(e, what->handle.index);
	if (d->generation != what->handle.generation)
		return -ESTALE;
	return d->state != KREPIS_OWNED_PRODUCER ? -EPERM : krepis_live(e->ep) ? 0 : -ENOTCONN;
}

/* Of RELEASE and TAKE: the consumer must have what it lets go of, or keeps. */
static int foretell_hold(const struct command *c, const struct session *s, const struct end *e,
			 struct krepis_handle handle)
{
	struct krepis_desc *d = &e->ep->desc[handle.index];
	bool taken = d->claim & e->ep->bit;

	if (s->g.kind == KREPIS_TRIPLE)
		return foretell_exchange(e, handle.index);
	if (d->word != krepis_own_word(KREPIS_OWNED_CONSUMER, handle.generation) ||
	    !(d->holders & e->ep->bit))
		return -ESTALE;
	if (c->cmd == KREPIS_IOC_TAKE)
		return taken || d->claim >> 32 != handle.generation ? -ESTALE : 0;
	return s->g.backpressure == KREPIS_OVERWRITE && !taken ? -ESTALE : 0;
}

/*
 * What a command that changes an owner in an enforced channel must return, as long as nobody
 * else calls one: all that it depends on stands in the kernel's words.
 */
static int foretell(const struct command *c, const struct session *s, const struct end *e,
		    const union args *a)
{
	bool producers = c->cmd == KREPIS_IOC_HANDOFF || c->cmd == KREPIS_IOC_EVICT;
	bool take = c->cmd == KREPIS_IOC_TAKE || c->cmd == KREPIS_IOC_EVICT;
	struct krepis_handle handle = a->release.handle;

	if (producers != (e->role == KREPIS_PRODUCER))
		return -EPERM;
	if (take && s->g.backpressure != KREPIS_OVERWRITE)
		return -EOPNOTSUPP;
	if (handle.index >= s->g.buffer_count || !handle.generation)
		return -EINVAL;
	if (c->cmd == KREPIS_IOC_HANDOFF)
		return foretell_handoff(s, e, &a->handoff);
	if (c->cmd == KREPIS_IOC_EVICT)
		return e->ep->desc[handle.index].word ==
		       krepis_own_word(KREPIS_OWNED_CONSUMER, handle.generation) ? 0 : -ESTALE;
	return foretell_hold(c, s, e, handle);
}

/* Calls @c on @d, which is an endpoint's if @c is for those. Return: what it returned. */
static int ask(const struct command *c, const struct session *s, struct end *e,
	       const struct derived *d, const struct op *op, union args *a)
{
	bool forged = op->mode < 64, owners = arena->enforced && changes_owner(c), may;
	const void *arg = a;
	int rc, foretold = 0;

	memset(a, 0, sizeof(*a));
	a->none.size = c->size;
	fill(a, c->cmd, s, e, op);
	if (forged)
		overwrite(op, a->bytes + op->at / 16 % (c->size + 16) / 8 * 8, 8);
	if (forged && op->who % 16 == 0)
		arg = NOWHERE(op);
	/* It need not end by itself. */
	if (c->cmd == KREPIS_IOC_WAIT && a->wait.deadline_ns > 0)
		a->wait.deadline_ns = krepis_deadline_ns(op->count % 32 ? 20000 : 1000000);
	may = !(needs(c, e, a) & ~d->rights);
	if (owners && now.raced)
		meddle(e);
	else if (owners)
		foretold = foretell(c, s, e, a);
	rc = call(d->fd, c->cmd, arg);
	judge_answer(c, s, rc, may, forged);
	forged = forged && (rc == -EINVAL || rc == -E2BIG || rc == -EFAULT);
	if (owners && !now.raced && may && !forged && rc != foretold)
		fail("%s returned %d and not %d", c->name, rc, foretold);
	return rc;
}

/* What the kernel says of itself, whatever is written in the channel. */
static void check_query(const struct command *c, const struct session *s, const struct end *e,
			const struct derived *d, const struct krepis_info_query *q)
{
	uint32_t live = 0;
	unsigned int i;

	for (i = 1; i < s->ends; i++)
		live |= s->end[i].ep ? s->end[i].ep->bit : 0;
	MUST(!memcmp(&q->geometry, &s->g, sizeof(s->g)) && q->channel_bytes == s->l.size);
	MUST(q->live == live && q->producer == !!s->end[0].ep);
	if (c->channel)
		MUST(!q->role && !q->slot && !q->rights);
	else
		MUST(q->role == e->role && q->slot == e->ep->slot && q->rights == d->rights);
}

/* Whether the library left a slot of this role to others. */
static bool has_slot(const struct session *s, uint32_t role)
{
	unsigned int i;

	for (i = 0; i < s->ends; i++) {
		if (s->end[i].role == role && !s->end[i].ep)
			return true;
	}
	return false;
}

/* Enforced: what the kernel's words must say after HANDOFF. */
static void check_given(const struct session *s, const struct end *e,
			const struct krepis_handoff *h)
{
	const struct krepis_desc *d = &e->ep->desc[h->handle.index];

	MUST(d->len == h->len && d->type == h->type);
	if (s->g.kind == KREPIS_TRIPLE)
		return;
	MUST(d->word == krepis_own_word(KREPIS_OWNED_CONSUMER, h->handle.generation));
	MUST(d->holders == krepis_live(e->ep) && d->claim == (uint64_t)h->handle.generation << 32);
	MUST(d->flags == h->msg_flags && d->crc32c == h->crc32c && d->sequence == h->sequence);
	MUST(d->giver == e->ep->info->producers);
	if (h->flags & KREPIS_HANDOFF_PUBLISH)
		MUST(e->ep->producer->head == h->sequence + 16);
}

/* And after the others. */
static void check_changed(const struct command *c, const struct end *e, struct krepis_handle handle)
{
	const struct krepis_desc *d = &e->ep->desc[handle.index];
	bool back = d->word == krepis_own_word(KREPIS_OWNED_PRODUCER,
					       krepis_own_next(handle.generation));

	if (c->cmd == KREPIS_IOC_TAKE)
		MUST(d->claim == ((uint64_t)handle.generation << 32 | (uint32_t)d->claim) &&
		     (d->claim & e->ep->bit));
	if (c->cmd == KREPIS_IOC_TAKE || back)
		return;
	MUST(d->word == krepis_own_word(KREPIS_OWNED_CONSUMER, handle.generation) && d->holders);
	if (c->cmd == KREPIS_IOC_EVICT)
		MUST(d->claim >> 32 == 0 && !(d->holders & ~(uint32_t)d->claim));
	else
		MUST(!(d->holders & e->ep->bit));
}

/* An owner changed in an enforced channel, on the first thread's own account. */
static void changed_owner(const struct command *c, struct session *s, struct end *e,
			  const union args *a, int rc)
{
	uint32_t index = a->release.handle.index;

	meddle(e);
	if (now.raced)
		return;
	if (s->g.kind == KREPIS_TRIPLE)
		e->has = (uint32_t)rc;
	if (c->cmd == KREPIS_IOC_HANDOFF)
		check_given(s, e, &a->handoff);
	else if (s->g.kind == KREPIS_RING)
		check_changed(c, e, a->release.handle);
	/* What it gave is out of reach, and what it got is there. */
	if (!gives_pages(e))
		return;
	scribble(s, e, index, a->handoff.sequence, 1);
	if (s->g.kind == KREPIS_TRIPLE)
		scribble(s, e, (uint32_t)rc, 0, 1);
}

/* What @c, which returned @rc, has changed. */
static void executed(const struct command *c, struct session *s, struct end *e,
		     struct derived *d, const union args *a, int rc)
{
	switch (c->cmd) {
	case KREPIS_IOC_SETUP:
		fail("SETUP made a channel a second time");
	case KREPIS_IOC_ATTACH:
		MUST(has_slot(s, a->attach.role));
		close(rc);
		break;
	case KREPIS_IOC_QUERY:
		check_query(c, s, e, d, &a->query);
		break;
	case KREPIS_IOC_RESTRICT:
		MUST(!(a->rights.rights & ~d->rights));
		d->rights = a->rights.rights;
		break;
	case KREPIS_IOC_DERIVE:
		MUST(!(a->rights.rights & ~d->rights));
		if (e->deriveds < DERIVED)
			e->derived[e->deriveds++] = (struct derived){ rc, a->rights.rights };
		else
			close(rc);
		break;
	case KREPIS_IOC_WAIT:
		MUST(a->wait.at < s->l.ring);
		break;
	case KREPIS_IOC_HANDOFF:
		MUST(a->handoff.len <= s->g.buffer_size);
		/* fall through */
	case KREPIS_IOC_RELEASE:
	case KREPIS_IOC_TAKE:
	case KREPIS_IOC_EVICT:
		MUST(s->g.kind == KREPIS_RING || arena->enforced);
		MUST(a->release.handle.index < s->g.buffer_count);
		figures.moved++;
		if (arena->enforced)
			changed_owner(c, s, e, a, rc);
		/* A buffer in one of its lives changes hands once each way. */
		if (!now.raced && c->cmd != KREPIS_IOC_EVICT)
			MUST(call(d->fd, c->cmd, a) < 0);
		break;
	}
}

/* ----------------------------------------------------------------- hostile calls */

static void poll_it(const struct end *e, const struct derived *d, const struct op *op)
{
	const int own = e->role == KREPIS_PRODUCER ? POLLOUT | POLLWRNORM : 0;
	const int all = POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP | own;
	struct pollfd p = { .fd = d->fd, .events = ~0 };

	call_begins("poll");
	MUST(poll(&p, 1, op->count % 16 == 0) >= 0 || errno == EINTR);
	call_ends();
	if (d->rights & KREPIS_RIGHT_WAIT)
		MUST(!(p.revents & ~all));
	else
		MUST(p.revents == POLLERR);
}

/* A number that is no command, or the command on the wrong kind of file. */
static void ask_in_vain(const struct command *c, const struct op *op,
			const struct derived *channel, const struct derived *endpoint)
{
	bool wrong = op->value % 2 && c->cmd != KREPIS_IOC_QUERY;
	unsigned int cmd = wrong ? c->cmd : c->cmd ^ 1U << (16 + op->value / 2 % 16);

	call_begins("no command");
	MUST(call(wrong == c->channel ? endpoint->fd : channel->fd, cmd, NOWHERE(op)) == -ENOTTY);
	call_ends();
}

/* The giver has the pages mapped, which are to go; what was kept until now, was. */
static void before_owners_change(const struct command *c, struct session *s, struct end *e,
				 const struct op *op)
{
	uint32_t index = op->count % (s->g.buffer_count + 1);

	if (!arena->enforced || !changes_owner(c))
		return;
	check_all_kept(e);
	if (s->g.kind == KREPIS_TRIPLE)
		index = e->has;
	if (index < s->g.buffer_count && gives_pages(e))
		scribble(s, e, index, op->at, op->value);
}

static void command(struct session *s, struct end *e, struct derived *d, const struct command *c,
		    const struct op *op)
{
	struct end *attaching = &s->end[(op->value >> 8) % 2 ? 0 : 1];
	union args args;
	int rc;

	/* The library must be able to rely on its own descriptor. */
	if (c->cmd == KREPIS_IOC_RESTRICT && d->fd == own_fd(e))
		return;
	if (c->cmd == KREPIS_IOC_ATTACH && !may_attach(s, attaching, op))
		return;
	if (c->cmd == KREPIS_IOC_ATTACH && attaching->ep && op->count % 4 == 0)
		detach(attaching);
	before_owners_change(c, s, e, op);
	call_begins(c->name);
	rc = ask(c, s, e, d, op, &args);
	call_ends();
	figures.asked++;
	if (rc >= 0)
		executed(c, s, e, d, &args, rc);
	/* What is no buffer has no lives. */
	if (rc == -ESTALE)
		MUST(args.release.handle.index < s->g.buffer_count);
}

static void call_kernel(struct session *s, struct end *unused, const struct op *op)
{
	const struct command *c = some_command(op, ARRAY_SIZE(commands));
	struct derived channel = { .fd = krepis_channel_fd(s->channel) };
	struct derived own = { .rights = KREPIS_RIGHT_ALL }, *d = &own;
	struct end *e = &s->end[op->who % s->ends];
	unsigned int i, kind = op->who / 4 % 16;

	(void)unused;
	if (!e->ep)
		return;
	own.fd = own_fd(e);
	i = op->count % (1 + e->deriveds);
	if (i)
		d = &e->derived[i - 1];
	if (kind == 0) {
		poll_it(e, d, op);
	} else if (kind == 1 && i) {
		close(d->fd);
		*d = e->derived[--e->deriveds];
	} else if (kind == 2) {
		ask_in_vain(c, op, &channel, d);
	} else {
		command(s, e, c->channel ? &channel : d, c, op);
	}
}

#endif /* KREPIS_FUZZ_KERNEL_H */
