// SPDX-License-Identifier: MIT
/*
 * A peer that scribbles: every shared word, one at a time, is set to nonsense
 * behind both sides' backs. Each of them says -EPROTO or goes on. Nobody crashes,
 * hangs or touches what is not the channel's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

/* -------------------------------------------------------------------- what is allowed */

/*
 * The documented answers to a peer's nonsense, among those any caller must be
 * ready for. What is not in here is a finding.
 */
static bool documented(int err)
{
	static const int errors[] = {
		0, EPROTO, EAGAIN, ETIMEDOUT, KREPIS_PEER_GONE, ENOTCONN, KREPIS_ELAPPED,
		EPERM, ESTALE, EOWNERDEAD, ENODATA,
	};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		if (err == -errors[i])
			return true;
	}
	return err > 0;
}

static const char *now_testing;

static int checked(const char *call, int err)
{
	if (!documented(err))
		fail_msg("%s: %s returned %d", now_testing, call, err);
	return err;
}

#define CHECK(call)	checked(#call, (call))
#define MOMENT		krepis_deadline_ns(50000)

/* -------------------------------------------------------------------- what they do */

static void touch(const void *data, size_t len)
{
	const volatile uint8_t *bytes = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i += 64)
		sum += bytes[i];
	if (len)
		sum += bytes[len - 1];
	(void)sum;
}

static void receive_some(struct krepis_endpoint *consumer, bool batches)
{
	struct krepis_msg msgs[8], msg;
	int n;

	for (int i = 0; i < 12; i++) {
		int err = CHECK(krepis_recv(consumer, &msg, KREPIS_NOWAIT));

		if (err && err != -KREPIS_ELAPPED)
			break;
		if (err)
			continue;
		touch(msg.data, msg.len);
		krepis_msg_verify(&msg);
		CHECK(krepis_release(consumer, &msg));
	}
	CHECK(krepis_wait(consumer, MOMENT));
	n = batches ? CHECK(krepis_recv_batch(consumer, msgs, 8, MOMENT)) : 0;
	for (int i = 0; i < n; i++) {
		touch(msgs[i].data, msgs[i].len);
		CHECK(krepis_release(consumer, &msgs[i]));
	}
}

static void send_some(struct krepis_endpoint *producer, struct krepis_buffer *held)
{
	uint8_t data[LARGE] = { 0 };
	struct krepis_buffer *buffer;
	void *room;

	CHECK(krepis_publish(producer, held, 1, 100, KREPIS_MSG_CRC32C, MOMENT));
	krepis_abandon(producer, held);
	/* Once around the ring. */
	for (int i = 0; i < 12; i++)
		CHECK(krepis_send(producer, 1, data, 500, KREPIS_NOWAIT));
	CHECK(krepis_send(producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	CHECK(krepis_send(producer, 1, data, 500, MOMENT));
	if (!CHECK(krepis_send_begin(producer, 100, &room, MOMENT))) {
		memset(room, 1, 100);
		CHECK(krepis_send_commit(producer, 1, 100));
	}
	CHECK(krepis_flush(producer));
	for (int i = 0; i < 5; i++) {
		if (CHECK(krepis_acquire(producer, &buffer, i ? KREPIS_NOWAIT : MOMENT)))
			break;
		memset(krepis_buffer_data(buffer), 1, krepis_buffer_size(buffer));
		CHECK(krepis_abandon(producer, buffer));
	}
	CHECK(krepis_wait(producer, MOMENT));
	CHECK(krepis_drain(producer, MOMENT));
}

static void publish_some(struct krepis_endpoint *producer)
{
	void *data;

	for (int i = 0; i < 4; i++) {
		if (CHECK(krepis_triple_begin(producer, &data)))
			return;
		memset(data, 1, 4096);
		CHECK(krepis_triple_commit(producer, 1, 4096));
	}
	CHECK(krepis_wait(producer, MOMENT));
}

static void read_some(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	for (int i = 0; i < 4; i++) {
		if (CHECK(krepis_triple_read(consumer, &msg)))
			break;
		touch(msg.data, msg.len);
	}
	CHECK(krepis_wait(consumer, MOMENT));
}

static void query_all(struct pair *p)
{
	struct krepis_status status = { .size = sizeof(status) };

	assert_ok(krepis_query(p->channel, &status));
	assert_ok(krepis_endpoint_query(p->producer, &status));
	assert_ok(krepis_endpoint_query(p->consumer, &status));
}

/* The slots that a hostile process has, which is attached itself: only on kmod. */
static uint32_t taken;

/* New ones come while the nonsense stands there. */
static struct krepis_endpoint *newcomer(struct pair *p, enum krepis_role role)
{
	struct krepis_endpoint *endpoint = NULL;
	int err = krepis_attach(p->channel, role, 0, &endpoint);

	if (taken == role && err == (role == KREPIS_PRODUCER ? -EBUSY : -EUSERS))
		return NULL;
	if (err && err != -EPROTO && err != -ETIMEDOUT)
		fail_msg("%s: krepis_attach returned %d", now_testing, err);
	return endpoint;
}

/* --------------------------------------------------------------- one word at a time */

enum place { INFO, PRODUCER, CONSUMER, OTHER, EXCHANGE, DESC, NEXT_DESC, RECORD };

struct word {
	const char *name;
	enum place place;
	size_t offset;
	size_t size;
};

#define WORD(place, type, field)                                                  \
	{ #place " " #field, place, offsetof(struct type, field),                 \
	  sizeof(((struct type *)0)->field) }

static const struct word words[] = {
	WORD(INFO, krepis_info, live),
	WORD(INFO, krepis_info, epoch),
	WORD(INFO, krepis_info, producers),
	WORD(INFO, krepis_info, consumers),
	WORD(INFO, krepis_info, deaths),
	WORD(INFO, krepis_info, magic),
	WORD(INFO, krepis_info, geometry.ring_size),
	WORD(INFO, krepis_info, geometry.buffer_count),
	WORD(PRODUCER, krepis_producer, head),
	WORD(PRODUCER, krepis_producer, version),
	WORD(PRODUCER, krepis_producer, floor),
	WORD(PRODUCER, krepis_producer, floor_count),
	WORD(PRODUCER, krepis_producer, head_count),
	WORD(PRODUCER, krepis_producer, waiter.wake),
	WORD(PRODUCER, krepis_producer, waiter.waiting),
	WORD(PRODUCER, krepis_producer, need),
	WORD(PRODUCER, krepis_producer, back),
	WORD(PRODUCER, krepis_producer, counters.messages),
	WORD(PRODUCER, krepis_producer, link[0].word),
	WORD(PRODUCER, krepis_producer, link[1].word),
	WORD(CONSUMER, krepis_consumer, tail),
	WORD(CONSUMER, krepis_consumer, waiter.wake),
	WORD(CONSUMER, krepis_consumer, waiter.waiting),
	WORD(CONSUMER, krepis_consumer, link.word),
	WORD(CONSUMER, krepis_consumer, front),
	WORD(OTHER, krepis_consumer, tail),
	WORD(OTHER, krepis_consumer, waiter.waiting),
	WORD(OTHER, krepis_consumer, link.word),
	WORD(EXCHANGE, krepis_exchange, word),
	WORD(DESC, krepis_desc, state),
	WORD(DESC, krepis_desc, generation),
	WORD(DESC, krepis_desc, holders),
	WORD(DESC, krepis_desc, len),
	WORD(DESC, krepis_desc, type),
	WORD(DESC, krepis_desc, flags),
	WORD(DESC, krepis_desc, crc32c),
	WORD(DESC, krepis_desc, sequence),
	WORD(DESC, krepis_desc, claim),
	WORD(NEXT_DESC, krepis_desc, state),
	WORD(NEXT_DESC, krepis_desc, generation),
	WORD(NEXT_DESC, krepis_desc, holders),
	WORD(NEXT_DESC, krepis_desc, len),
	WORD(NEXT_DESC, krepis_desc, sequence),
	WORD(NEXT_DESC, krepis_desc, claim),
	WORD(RECORD, krepis_record, len),
	WORD(RECORD, krepis_record, type),
	WORD(RECORD, krepis_record, flags),
	/* The handle that follows it, if it names a buffer. */
	{ "RECORD handle.index", RECORD, 8, 4 },
	{ "RECORD handle.generation", RECORD, 12, 4 },
};

/* What is set, and what is added to what stood there. */
static const struct nonsense {
	bool add;
	uint64_t value;
} nonsenses[] = {
	{ false, 0 }, { false, 1 }, { false, 2 }, { false, 3 }, { false, 7 },
	{ false, 0x7fffffff }, { false, 0x80000000 }, { false, 0xffffffff },
	{ false, 0x4000ffff }, { false, 0xc0000001 }, { false, UINT64_MAX },
	{ false, UINT64_MAX - 7 }, { false, 1ULL << 63 }, { false, INT64_MAX },
	{ false, (1ULL << 62) + 8 }, { true, 1 }, { true, 4 }, { true, 8 }, { true, -8ULL },
	{ true, 4096 }, { true, -4096ULL }, { true, 4104 }, { true, 1ULL << 32 }, { true, 1000000 },
};

/* @position: where the record stands that is read next. */
static uint8_t *place_of(const struct view *v, enum place place, uint64_t position)
{
	switch (place) {
	case INFO:
		return (uint8_t *)v->info;
	case PRODUCER:
		return (uint8_t *)v->producer;
	case CONSUMER:
		return (uint8_t *)view_consumer(v, 0);
	case OTHER:
		return (uint8_t *)view_consumer(v, v->geometry.max_consumers - 1);
	case EXCHANGE:
		return (uint8_t *)v->exchange;
	case DESC:
		return (uint8_t *)&v->desc[0];
	case NEXT_DESC:
		return (uint8_t *)&v->desc[1];
	case RECORD:
		return v->ring + (position & (v->geometry.ring_size - 1));
	}
	return NULL;
}

static void scribble_in(const struct view *v, const struct word *word, const struct nonsense *what,
			uint64_t position)
{
	uint8_t *p = place_of(v, word->place, position) + word->offset;
	uint64_t value = 0;

	if (!view_may_write(v, p))
		return;
	memcpy(&value, p, word->size);
	value = what->add ? value + what->value : what->value;
	memcpy(p, &value, word->size);
}

/* In a view of the moment: it would keep the slot of who detaches. */
static void scribble(const struct pair *p, const struct word *word, const struct nonsense *what,
		     uint64_t position)
{
	struct view v = open_view(p->channel);

	scribble_in(&v, word, what, position);
	close_view(&v);
}

/* A second consumer that never reads, with nonsense in its own page. */
static struct view open_hostile_consumer(const struct pair *p, const struct word *word,
					 const struct nonsense *what)
{
	struct view v = open_view_as(p->channel, KREPIS_CONSUMER);

	scribble_in(&v, word, what, 0);
	taken = on_kmod() ? KREPIS_CONSUMER : 0;
	return v;
}

/* Where the record stands that is read next, after a handle and 24 bytes inline. */
#define NEXT_RECORD	(16 + 32)

/* The channel is in use: messages read and unread, buffers held on both sides. */
static struct krepis_buffer *get_going(struct pair *p, struct krepis_msg *held)
{
	uint8_t data[LARGE] = { 0 };
	struct krepis_buffer *buffer;
	struct krepis_msg msg;

	must(!krepis_send(p->producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	must(!krepis_send(p->producer, 1, data, 24, KREPIS_NOWAIT));
	must(!krepis_send(p->producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	must(!krepis_send(p->producer, 1, data, 500, KREPIS_NOWAIT));
	must(!krepis_send(p->producer, 1, data, 0, KREPIS_NOWAIT));
	must(!krepis_recv(p->consumer, held, KREPIS_NOWAIT));
	must(!krepis_recv(p->consumer, &msg, KREPIS_NOWAIT));
	must(!krepis_acquire(p->producer, &buffer, KREPIS_NOWAIT));
	return buffer;
}

static void ring_with(const struct krepis_channel_options *options, const struct word *word,
		      const struct nonsense *nonsense)
{
	struct pair p = open_pair(options);
	struct krepis_endpoint *late;
	struct krepis_buffer *buffer;
	struct krepis_msg held;
	struct view other;
	bool batches = options->backpressure != KREPIS_OVERWRITE;

	buffer = get_going(&p, &held);
	if (word->place == OTHER)
		other = open_hostile_consumer(&p, word, nonsense);
	else
		scribble(&p, word, nonsense, NEXT_RECORD);
	query_all(&p);
	receive_some(p.consumer, batches);
	send_some(p.producer, buffer);
	receive_some(p.consumer, batches);
	CHECK(krepis_release(p.consumer, &held));
	scribble(&p, word, nonsense, 0);
	late = newcomer(&p, KREPIS_CONSUMER);
	if (late)
		receive_some(late, batches);
	krepis_detach(p.producer);
	p.producer = newcomer(&p, KREPIS_PRODUCER);
	if (p.producer && !CHECK(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT)))
		send_some(p.producer, buffer);
	receive_some(p.consumer, batches);
	scribble(&p, word, nonsense, 0);
	krepis_detach(late);
	close_pair(&p);
	if (word->place == OTHER)
		close_view(&other);
	taken = 0;
}

static void triple_with(const struct krepis_channel_options *options, const struct word *word,
			const struct nonsense *nonsense)
{
	struct pair p = open_pair(options);

	if (word->place == RECORD) {
		close_pair(&p);
		return;
	}
	publish_some(p.producer);
	read_some(p.consumer);
	publish_some(p.producer);
	scribble(&p, word, nonsense, 0);
	query_all(&p);
	read_some(p.consumer);
	publish_some(p.producer);
	read_some(p.consumer);
	scribble(&p, word, nonsense, 0);
	krepis_detach(p.consumer);
	p.consumer = newcomer(&p, KREPIS_CONSUMER);
	if (p.consumer)
		read_some(p.consumer);
	krepis_detach(p.producer);
	p.producer = newcomer(&p, KREPIS_PRODUCER);
	if (p.producer)
		publish_some(p.producer);
	if (p.consumer)
		read_some(p.consumer);
	close_pair(&p);
}

static void with_every_word_scribbled(const struct krepis_channel_options *options,
				      void (*run)(const struct krepis_channel_options *options,
						  const struct word *word,
						  const struct nonsense *nonsense),
				      unsigned int stride)
{
	/* Keeps the library's thread from starting anew in each run. */
	struct pair other = open_pair(SMALL_RING());
	char name[80];

	now_testing = name;
	for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
		for (size_t n = 0; n < ARRAY_SIZE(nonsenses); n++) {
			unsigned int tries = 0;
			int64_t start;

			if ((w + n) % (under_emulator() ? 16 : under_sanitizer() ? 4 : stride))
				continue;
			snprintf(name, sizeof(name), "%s %s %#llx", words[w].name,
				 nonsenses[n].add ? "+=" : "=",
				 (unsigned long long)nonsenses[n].value);
			/* Slow three times is not the machine. */
			do {
				start = now_ns();
				run(options, &words[w], &nonsenses[n]);
			} while (now_ns() - start > 3000 * MS && ++tries < 3);
			if (tries == 3)
				fail_msg("%s: too slow", name);
		}
	}
	close_pair(&other);
}

static void no_word_of_a_blocking_ring_can_hurt(void **state)
{
	(void)state;
	with_every_word_scribbled(SMALL_RING(.max_consumers = 2), ring_with, 1);
}

static void no_word_of_a_failing_ring_can_hurt(void **state)
{
	(void)state;
	/* Hardly another way than the blocking one: some of them will do. */
	with_every_word_scribbled(SMALL_RING(.max_consumers = 2, .backpressure = KREPIS_FAIL),
				  ring_with, 4);
}

static void no_word_of_an_overwritten_ring_can_hurt(void **state)
{
	(void)state;
	with_every_word_scribbled(SMALL_RING(.max_consumers = 2, .backpressure = KREPIS_OVERWRITE),
				  ring_with, 1);
}

static void no_word_of_a_triple_can_hurt(void **state)
{
	(void)state;
	with_every_word_scribbled(SMALL_TRIPLE, triple_with, 1);
}

/* ------------------------------------------------------------------- while they work */

struct attack {
	struct krepis_channel *channel;
	enum krepis_role role;	/* on kmod: of the attacker */
	uint32_t *begun;
	uint64_t from;
	uint64_t to;
};

/* Writes nonsense anywhere in the region, again and again. */
static void scribbler(void *arg)
{
	struct attack *a = arg;
	struct view v = open_view_as(a->channel, a->role);

	post(a->begun);
	for (;;) {
		uint64_t at = a->from + random_below((a->to - a->from) / 4) * 4;
		uint32_t value = (uint32_t)random_u64();

		if (!view_writes(&v, v.base + at))
			continue;
		switch (random_below(4)) {
		case 0:
			value = (uint32_t)random_below(8);
			break;
		case 1:
			value = *(uint32_t *)(v.base + at) + (uint32_t)random_below(64) - 32;
			break;
		case 2:
			value = *(uint32_t *)(v.base + at) ^ 1U << random_below(32);
			break;
		}
		__atomic_store_n((uint32_t *)(v.base + at), value, __ATOMIC_RELAXED);
		for (uint64_t i = random_below(2000); i; i--)
			__asm__ volatile("" ::: "memory");
	}
}

static void work(struct pair *p, const struct krepis_channel_options *options)
{
	bool batches = options->backpressure != KREPIS_OVERWRITE;
	struct krepis_buffer *buffer;

	if (options->kind == KREPIS_TRIPLE) {
		if (p->producer)
			publish_some(p->producer);
		if (p->consumer)
			read_some(p->consumer);
		return;
	}
	if (p->producer && !CHECK(krepis_acquire(p->producer, &buffer, KREPIS_NOWAIT)))
		send_some(p->producer, buffer);
	if (p->consumer)
		receive_some(p->consumer, batches);
}

/*
 * Both sides work on, and come anew when they had to give up; on kmod, the one
 * whose side the attacker did not take.
 */
static void work_under_attack(const struct krepis_channel_options *options,
			      enum krepis_role role, uint64_t from, uint64_t to)
{
	struct pair p = { .channel = anonymous(options) };
	struct attack attack = { .channel = p.channel, .role = role, .from = from, .to = to,
				 .begun = shared_memory(sizeof(uint32_t)) };
	pid_t child = spawn(scribbler, &attack);
	int64_t end;

	now_testing = "under attack";
	taken = on_kmod() ? role : 0;
	assert_true(posted(attack.begun, 1));
	end = now_ns() + 200 * MS;
	while (now_ns() < end) {
		p.producer = newcomer(&p, KREPIS_PRODUCER);
		p.consumer = newcomer(&p, KREPIS_CONSUMER);
		for (int i = 0; i < 5; i++)
			work(&p, options);
		krepis_detach(p.producer);
		krepis_detach(p.consumer);
		p.producer = NULL;
		p.consumer = NULL;
	}
	kill_child(child);
	taken = 0;
	close_pair(&p);
}

static void regions_under_attack(const struct krepis_channel_options *options)
{
	struct krepis_geometry geometry;
	struct krepis_channel *channel;
	struct krepis_layout l;

	only_cooperative("a peer writes what only the kernel can write there");
	channel = anonymous(options);
	geometry = status_of(channel).geometry;
	l = krepis_layout(&geometry);
	krepis_channel_close(channel);
	/* Each region alone, so that each is hit often; then all at once. */
	work_under_attack(options, KREPIS_PRODUCER, l.producer,
			  l.producer + sizeof(struct krepis_producer));
	work_under_attack(options, KREPIS_CONSUMER, l.consumers,
			  l.consumers + sizeof(struct krepis_consumer));
	work_under_attack(options, KREPIS_CONSUMER, l.descriptors, l.descriptors + 128 + 4 * 64);
	work_under_attack(options, KREPIS_PRODUCER, l.descriptors, l.descriptors + 128 + 4 * 64);
	if (options->kind != KREPIS_TRIPLE)
		work_under_attack(options, KREPIS_PRODUCER, l.ring, l.ring + 4096);
	work_under_attack(options, KREPIS_CONSUMER, 0, l.payload);
	work_under_attack(options, KREPIS_PRODUCER, 0, l.payload);
}

static void a_ring_survives_a_scribbler(void **state)
{
	(void)state;
	regions_under_attack(SMALL_RING(.max_consumers = 2));
}

static void an_overwritten_ring_survives_a_scribbler(void **state)
{
	(void)state;
	regions_under_attack(SMALL_RING(.max_consumers = 2, .backpressure = KREPIS_OVERWRITE));
}

static void a_triple_survives_a_scribbler(void **state)
{
	(void)state;
	regions_under_attack(SMALL_TRIPLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(no_word_of_a_blocking_ring_can_hurt),
		CLAIM(no_word_of_a_failing_ring_can_hurt),
		CLAIM(no_word_of_an_overwritten_ring_can_hurt),
		CLAIM(no_word_of_a_triple_can_hurt),
		CLAIM(a_ring_survives_a_scribbler),
		CLAIM(an_overwritten_ring_survives_a_scribbler),
		CLAIM(a_triple_survives_a_scribbler),
	};

	return RUN("hostile", tests);
}
