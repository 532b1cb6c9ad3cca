/* SPDX-License-Identifier: MIT */
/*
 * A channel under attack: its endpoints, the hostile mapping of it, the judgement of
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

#define SLOW_S	2
#define HELD	6
#define ENDS	3

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

/* One endpoint and all that it holds; @room is what was begun, NULL if nothing. */
struct end {
	struct krepis_endpoint *ep;
	enum krepis_role role;
	struct krepis_msg msg[HELD];
	unsigned int msgs;
	struct krepis_buffer *buffer[HELD];
	unsigned int buffers;
	uint8_t *room;
	size_t room_size;
};

/**
 * struct session - a channel, its endpoints, and the hostile mapping of it
 * @g:	     its shape, as it was when it was opened
 * @l:	     from @g
 * @base:    the mapping, of the whole channel; regions in it follow
 * @end:     the producer, then the consumers; @ends of them
 * @wrong:   the operation is called on an endpoint that it is not for
 * @stopped: on one after krepis_shutdown()
 * @waited:  see may_attach()
 */
struct session {
	struct krepis_channel *channel;
	struct krepis_geometry g;
	struct krepis_layout l;
	uint8_t *base;
	struct krepis_producer *producer;
	struct krepis_exchange *exchange;
	struct krepis_desc *desc;
	struct end end[ENDS];
	unsigned int ends;
	bool wrong;
	bool stopped;
	bool waited;
};

static struct {
	uint64_t ops, sessions, attached, refused, received, buffers, broken, opened, unopened;
	int64_t longest_ns;
	const char *longest;
} figures;

/* What runs now, for who reports a failure. */
static struct {
	const uint8_t *data;
	size_t size;
	uint64_t seed, number;
	const char *volatile call;
	volatile uint64_t calls;
	int64_t since;
	bool reported;
} now;

/* ------------------------------------------------------------------ reporting */

/* Leaves the session where it can be run again. A sanitizer that ends the program calls this. */
static void report(void)
{
#ifndef KREPIS_LIBFUZZER
	char path[64], text[512];
	int fd, n;

	if (now.reported)
		return;
	now.reported = true;
	n = snprintf(text, sizeof(text), "not ok 1 - seed %llu, input %llu, in %s\n",
		     (unsigned long long)now.seed, (unsigned long long)now.number,
		     now.call ? now.call : "no call");
	snprintf(path, sizeof(path), "/tmp/krepis-region-%d.input", (int)getpid());
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

/* @errors: what krepis.h allows for this call, besides what it allows for all. */
static int judge(const struct session *s, int result, const uint8_t *errors)
{
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
	struct krepis_consumer *c = (struct krepis_consumer *)(s->base + s->l.consumers);
	const __u32 *note = e == s->end ? &c->front : &s->producer->back;

	if (s->g.kind != KREPIS_TRIPLE || krepis_triple_claim(s->exchange, note) >= 0)
		return true;
	if (op->count % 32 || s->waited)
		return false;
	s->waited = true;
	return true;
}

static void attach(struct session *s, struct end *e)
{
	s->wrong = false;
	*e = (struct end){ .role = e == s->end ? KREPIS_PRODUCER : KREPIS_CONSUMER };
	if (TRY(s, krepis_attach(s->channel, e->role, KREPIS_ATTACH_NO_SPIN, &e->ep), EPROTO,
		ETIMEDOUT)) {
		figures.refused++;
		e->ep = NULL;
	} else {
		figures.attached++;
	}
}

static void detach(struct end *e)
{
	call_begins("krepis_detach");
	krepis_detach(e->ep);
	call_ends();
	e->ep = NULL;
}

/* -------------------------------------------------------------------- sessions */

/* Knows the channel's shape, and maps it a second time. */
static void session_map(struct session *s)
{
	struct krepis_status status = { .size = sizeof(status) };

	MUST(!krepis_query(s->channel, &status));
	s->g = status.geometry;
	s->l = krepis_layout(&s->g);
	s->ends = s->g.max_consumers > 1 ? 3 : 2;
	s->base = mmap(NULL, s->l.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       krepis_channel_fd(s->channel), 0);
	MUST(s->base != MAP_FAILED);
	s->producer = (struct krepis_producer *)(s->base + s->l.producer);
	s->exchange = (struct krepis_exchange *)(s->base + s->l.descriptors);
	s->desc = (struct krepis_desc *)(s->exchange + 1);
}

static void session_unmap(struct session *s)
{
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

/* The memory as it was when the channel was made, and new endpoints, who find it good. */
static void session_begin(struct session *s)
{
	unsigned int i;

	s->waited = false;
	memset(s->base, 0, s->l.payload);
	krepis_format(s->base, &s->g, &s->l);
	for (i = 0; i < s->ends; i++) {
		attach(s, &s->end[i]);
		MUST(s->end[i].ep);
	}
	prove_good(s);
	figures.sessions++;
}

#endif /* KREPIS_FUZZ_SESSION_H */
