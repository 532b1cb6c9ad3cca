/* SPDX-License-Identifier: MIT */
/*
 * A channel under attack: its endpoints, where it can be written to, the judgement of
 * every call, and the report when one of them was wrong.
 */
#ifndef KREPIS_FUZZ_SESSION_H
#define KREPIS_FUZZ_SESSION_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "internal.h"

#define HELD	6
#define ENDS	3
#define DERIVED	3

/**
 * struct op - one operation
 * @code:  which, by weight
 * @who:   endpoint, region, or which of several
 * @mode:  how long to wait; how @value is meant
 * @count: small numbers and flags
 * @at:	   offset or length
 * @value: what is written
 */
struct op {
	uint8_t code;
	uint8_t who;
	uint8_t mode;
	uint8_t count;
	uint32_t at;
	uint64_t value;
};

/* A further descriptor of an endpoint of the module. */
struct derived {
	int fd;
	uint32_t rights;
};

/**
 * struct end - one endpoint and all that it holds
 * @room:    what was begun, NULL if nothing
 * @has:     enforced triple: the buffer that the kernel lets it have
 * @meddled: atomic: commands past the library have moved its buffers
 * @patched: atomic: where it met a fault stands a page of nothing
 * @patches: atomic: how often one was about to be put there or taken away, and was
 * @sum:     enforced: of what @msg[i] holds, if it is @kept; a triple's value is @msg[0]
 */
struct end {
	struct krepis_endpoint *ep;
	enum krepis_role role;
	struct krepis_msg msg[HELD];
	unsigned int msgs;
	struct krepis_buffer *buffer[HELD];
	unsigned int buffers;
	uint8_t *room;
	size_t room_size;
	struct derived derived[DERIVED];
	unsigned int deriveds;
	uint32_t has;
	bool meddled;
	bool patched;
	uint32_t patches[2];
	uint64_t sum[HELD];
	bool kept[HELD];
};

/**
 * struct session - a channel, its endpoints, and the hostile mapping of it
 * @options: how to make one more such channel
 * @g:	     its shape, as it was when it was opened
 * @l:	     from @g
 * @base:    the mapping, of the whole channel; NULL where there can be none
 * @end:     the producer, then the consumers; @ends of them
 * @caller:  whose call it is, or NULL
 * @wrong:   the operation is called on an endpoint that it is not for
 * @stopped: on one after krepis_shutdown()
 * @waited:  see may_attach()
 */
struct session {
	struct krepis_channel_options options;
	struct krepis_channel *channel;
	struct krepis_geometry g;
	struct krepis_layout l;
	uint8_t *base;
	struct end end[ENDS];
	unsigned int ends;
	struct end *caller;
	bool wrong;
	bool stopped;
	bool waited;
};

/**
 * struct arena - what differs between channels of files and of the module
 * @backend: whose channels they are
 * @name:    of their mappings in /proc/self/maps
 * @slow_s:  no call takes as many seconds
 * @weights: of all actions that there are, of which an operation's code draws one
 * @files:   a peer can also make a whole channel, for others to open
 * @enforced: only the kernel changes owners
 * @map:     what is needed before the hostile peer of @s can write
 * @renew:   the channel of @s is as it was when it was made; nobody is attached
 * @at:	     where it can write what stands at @offset of the channel, or NULL
 * @see:     where somebody can read what stands there, before the ring, or NULL
 * @leave:   an endpoint is about to go, or NULL
 */
struct arena {
	const struct krepis_backend *backend;
	const char *name;
	unsigned int slow_s;
	unsigned int weights;
	bool files;
	bool enforced;
	void (*map)(struct session *s);
	void (*renew)(struct session *s);
	void *(*at)(const struct session *s, uint64_t offset);
	void *(*see)(const struct session *s, uint64_t offset);
	void (*leave)(const struct end *e);
};

static const struct arena *arena;

/* Held while a second thread writes, and to change where it can: then it is asked for first. */
static struct {
	pthread_mutex_t lock;
	bool wanted;
} writing = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	uint64_t ops, sessions, attached, refused, received, buffers, broken, opened, unopened;
	uint64_t asked, moved, faults, kept;
	int64_t longest_ns;
	const char *longest;
} figures;

/* What runs now, for who reports a failure. */
static struct {
	const uint8_t *data;
	size_t size;
	struct session *session;
	uint64_t seed, number;
	const char *volatile call;
	volatile uint64_t calls;
	int64_t since;
	bool raced;
	bool reported;
} now;

/* ------------------------------------------------------------------ reporting */

/* Leaves the session where it can be run again. A sanitizer that ends the program calls this. */
static void report(void)
{
#ifndef KREPIS_LIBFUZZER
	/* A virtual machine's own /tmp does not outlive it. */
	const char *out = getenv("KREPIS_OUT");
	char path[256], text[512];
	int fd, n;

	if (now.reported)
		return;
	now.reported = true;
	n = snprintf(text, sizeof(text), "not ok 1 - seed %llu, input %llu, in %s\n",
		     (unsigned long long)now.seed, (unsigned long long)now.number,
		     now.call ? now.call : "no call");
	snprintf(path, sizeof(path), "%s/krepis-region-%d.input", out ? out : "/tmp",
		 (int)getpid());
	unlink(path);
	fd = now.data ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	if (fd >= 0 && write(fd, now.data, now.size) == (ssize_t)now.size)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "# run again: region %s\n", path);
	if (write(STDOUT_FILENO, text, (size_t)n) != n)
		_exit(1);
#endif
}

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("# ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	report();
#ifdef KREPIS_LIBFUZZER
	abort();
#else
	_exit(1);
#endif
}

#define MUST(condition)                                                           \
	do {                                                                      \
		if (!(condition))                                                 \
			fail("line %d: %s, at %s", __LINE__, #condition,          \
			     now.call ? now.call : "no call");                    \
	} while (0)

static void call_begins(const char *call)
{
	now.call = call;
	now.calls++;
	now.since = krepis_deadline_ns(0);
}

static void call_ends(void)
{
	int64_t took = krepis_deadline_ns(0) - now.since;

	if (took > figures.longest_ns) {
		figures.longest_ns = took;
		figures.longest = now.call;
	}
}

/* Enforced: what the kernel says of buffers nobody changes, but the caller past the library. */
static int judge_enforced(const struct session *s, int result)
{
	bool meddled = s->caller && krepis_load_acquire(&s->caller->meddled);
	bool moved = result == -EPERM || result == -ESTALE || result == -EOWNERDEAD;

	if (moved && !meddled && !s->wrong)
		fail("%s returned %d, and nobody meddled", now.call, result);
	/* The library goes by what it was told last, and then no further. */
	return meddled && s->g.kind == KREPIS_TRIPLE && (result == -EPERM || result == -EAGAIN);
}

/* @errors: what krepis.h allows for this call, besides what it allows for all. */
static int judge(const struct session *s, int result, const uint8_t *errors)
{
	if (arena->enforced && judge_enforced(s, result))
		return result;
	if (result >= 0 && !s->wrong)
		return result;
	if (result == -EPROTO || result == -KREPIS_PEER_GONE ||
	    (s->stopped && result == -ESHUTDOWN) || (s->wrong && result == -EINVAL))
		return result;
	for (; result < 0 && *errors; errors++) {
		if (result == -*errors)
			return result;
	}
	fail("%s returned %d%s", now.call, result, s->wrong ? " on the wrong endpoint" : "");
}

#define TRY(s, what, ...)                                                         \
	({                                                                        \
		int result_;                                                      \
                                                                                  \
		call_begins(#what);                                               \
		result_ = (what);                                                 \
		call_ends();                                                      \
		judge((s), result_, (const uint8_t[]){ __VA_ARGS__, 0 });         \
	})

/* ------------------------------------------------------------------- endpoints */

/*
 * Attaching to a triple waits, in vain, for the other side to take back a lie about its
 * buffer. That lasts, so it is done once a session at most.
 */
static bool may_attach(struct session *s, const struct end *e, const struct op *op)
{
	uint64_t other = e == s->end ? s->l.consumers + offsetof(struct krepis_consumer, front) :
				       s->l.producer + offsetof(struct krepis_producer, back);
	const __u32 *note = arena->at(s, other);

	/* There no lie is possible. */
	if (arena->enforced)
		return true;
	/* Without a note nobody is there to be waited for. */
	if (s->g.kind != KREPIS_TRIPLE || !note ||
	    krepis_triple_claim(arena->at(s, s->l.descriptors), note) >= 0)
		return true;
	if (op->count % 32 || s->waited)
		return false;
	s->waited = true;
	return true;
}

static void writing_stops(void)
{
	krepis_write(&writing.wanted, true);
	pthread_mutex_lock(&writing.lock);
}

static void writing_goes_on(void)
{
	krepis_write(&writing.wanted, false);
	pthread_mutex_unlock(&writing.lock);
}

/* From now on who writes may do so through the mappings of @ep, or no longer if it is NULL. */
static void show(struct end *e, struct krepis_endpoint *ep)
{
	writing_stops();
	e->ep = ep;
	writing_goes_on();
}

static void attach(struct session *s, struct end *e)
{
	struct krepis_endpoint *ep;

	s->wrong = false;
	s->caller = e;
	*e = (struct end){ .role = e == s->end ? KREPIS_PRODUCER : KREPIS_CONSUMER };
	if (TRY(s, krepis_attach(s->channel, e->role, KREPIS_ATTACH_NO_SPIN, &ep), EPROTO,
		ETIMEDOUT)) {
		/* An exchange of the second thread's may last. */
		MUST(!arena->enforced || s->g.kind != KREPIS_TRIPLE || now.raced);
		figures.refused++;
	} else {
		figures.attached++;
		if (s->g.kind == KREPIS_TRIPLE)
			e->has = ep->triple.index;
		show(e, ep);
	}
}

static void detach(struct end *e)
{
	struct krepis_endpoint *ep = e->ep;

	if (arena->leave)
		arena->leave(e);
	show(e, NULL);
	call_begins("krepis_detach");
	krepis_detach(ep);
	/* Where there are such, it ends only here. */
	while (e->deriveds)
		close(e->derived[--e->deriveds].fd);
	call_ends();
}

/* -------------------------------------------------------------------- sessions */

/* Knows the channel's shape, and prepares the attack. */
static void session_open(struct session *s)
{
	struct krepis_status status = { .size = sizeof(status) };

	MUST(s->channel->backend == arena->backend);
	MUST(!krepis_query(s->channel, &status));
	s->g = status.geometry;
	s->l = krepis_layout(&s->g);
	s->ends = s->g.max_consumers > 1 ? 3 : 2;
	arena->map(s);
}

/* A new channel. */
static void session_make(struct session *s)
{
	MUST(!krepis_channel_create(NULL, &s->options, &s->channel));
	session_open(s);
}

static void session_close(struct session *s)
{
	if (s->base)
		munmap(s->base, s->l.size);
	krepis_channel_close(s->channel);
}

/* A message goes through the channel, in each way that it has. */
static void prove_good(struct session *s)
{
	struct end *producer = &s->end[0];
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	unsigned int i, way;
	void *data;

	if (s->g.kind == KREPIS_TRIPLE) {
		MUST(!krepis_triple_begin(producer->ep, &data));
		*(uint32_t *)data = 0x12345678;
		MUST(!krepis_triple_commit(producer->ep, 7, 4));
		MUST(!krepis_triple_read(s->end[1].ep, &msg));
		MUST(msg.len == 4 && msg.type == 7 && *(const uint32_t *)msg.data == 0x12345678);
		return;
	}
	for (way = 0; way < 1 + !!s->g.buffer_count; way++) {
		if (!way) {
			MUST(!krepis_send(producer->ep, 7, "good", 4, KREPIS_NOWAIT));
		} else {
			MUST(!krepis_acquire(producer->ep, &buffer, KREPIS_NOWAIT));
			memcpy(krepis_buffer_data(buffer), "good", 4);
			MUST(!krepis_publish(producer->ep, buffer, 7, 4, KREPIS_MSG_CRC32C, 0));
		}
		for (i = 1; i < s->ends; i++) {
			MUST(!krepis_recv(s->end[i].ep, &msg, KREPIS_NOWAIT));
			MUST(msg.len == 4 && msg.type == 7 && !memcmp(msg.data, "good", 4));
			MUST(krepis_msg_verify(&msg) == (way ? 0 : -ENODATA));
			MUST(!krepis_release(s->end[i].ep, &msg));
		}
	}
}

/* The channel as it was when it was made, and new endpoints, who find it good. */
static void session_begin(struct session *s)
{
	unsigned int i;

	s->waited = false;
	now.session = s;
	arena->renew(s);
	for (i = 0; i < s->ends; i++) {
		attach(s, &s->end[i]);
		MUST(s->end[i].ep);
	}
	prove_good(s);
	for (i = 0; i < s->ends && s->g.kind == KREPIS_TRIPLE; i++)
		s->end[i].has = s->end[i].ep->triple.index;
	figures.sessions++;
}

#endif /* KREPIS_FUZZ_SESSION_H */
