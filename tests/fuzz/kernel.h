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
#define BY_BOTH_THREADS 6
static const struct command commands[] = {
	ON_ENDPOINT(HANDOFF, krepis_handoff, KREPIS_RIGHT_WRITE, EINVAL, EPERM, EMSGSIZE, ESTALE,
		    ENOTCONN, EOWNERDEAD),
	ON_ENDPOINT(RELEASE, krepis_release_args, KREPIS_RIGHT_WRITE, EINVAL, EPERM, ESTALE),
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
		desc = arena->at(s, desc_at(s, handle.index));
		handle.generation = krepis_read(&desc->generation);
	}
	return handle;
}

/* An address that is no program's. */
#define NOWHERE(op) ((const void *)((op)->value | 1ULL << 63))

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
		break;
	case KREPIS_IOC_RELEASE:
		a->release.handle = some_handle(s, op);
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

static void judge_answer(const struct command *c, int rc, bool may, bool forged)
{
	const uint8_t *errors = c->errors;

	if (rc >= 0 ? may : !may && rc == -EACCES)
		return;
	if (forged && (rc == -EINVAL || rc == -E2BIG || rc == -EFAULT))
		return;
	for (; rc < 0 && *errors; errors++) {
		if (rc == -*errors)
			return;
	}
	fail("%s returned %d%s", c->name, rc, may ? "" : " without the right to it");
}

/* Calls @c on @d, which is an endpoint's if @c is for those. Return: what it returned. */
static int ask(const struct command *c, const struct session *s, const struct end *e,
	       const struct derived *d, const struct op *op, union args *a)
{
	bool forged = op->mode < 64;
	const void *arg = a;
	int rc;

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
	rc = call(d->fd, c->cmd, arg);
	judge_answer(c, rc, !(needs(c, e, a) & ~d->rights), forged);
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

static int own_fd(const struct end *e)
{
	return e->ep->backend->fd(e->ep);
}

/* What @c, which returned @rc, has changed. */
static void executed(const struct command *c, const struct session *s, struct end *e,
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
		MUST(s->g.kind == KREPIS_RING && a->release.handle.index < s->g.buffer_count);
		figures.moved++;
		/* A buffer in one of its lives changes hands once each way. */
		if (!now.raced)
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
	const struct command *c = &commands[op->at % ARRAY_SIZE(commands)];
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
