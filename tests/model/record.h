/* SPDX-License-Identifier: MIT */
/* The C half of record.pml: the ring, the calls, and what must always hold. */
#ifndef _KREPIS_MODEL_RECORD_H
#define _KREPIS_MODEL_RECORD_H

#define MODEL_ACTORS	3
#define MODEL_LOG	3
#define PRODUCER	0
#define DIRECT		1	/* looks at the records */
#define PATIENT		2	/* looks at the head */
#define SLOTS		3U

#define WORDS		4	/* of the ring */
#define SIZE		(8ULL * WORDS)

#include "step.h"
#include <krepis/ring.h>

/* The channel. */
static struct krepis_producer producer;
static struct krepis_consumer consumer[2];
static __u64 ring[WORDS];
static __u32 live = SLOTS;

/**
 * struct model_reader - a consumer
 * @pos:	of its next record
 * @head:	records below are known to be there
 * @word:	the header that it found
 * @taken:	messages
 */
struct model_reader {
	__u8 pos;
	__u8 head;
	__u64 word;
	__u8 taken;
};

/**
 * struct model_world - the rest of the state
 * @reader:	consumers, by actor
 * @head, @limit, @published, @tail: struct krepis_ring_writer, as far as it is used
 * @wanted:	bytes of the records that come next
 * @long_record: the next one has a payload
 * @serial:	ghost: records begun, so that each has a name
 * @begun:	ghost: the names of those that are not published yet
 * @begun_count: how many these are
 * @sent:	ghost: the names of all that were published, in order
 * @sent_count: how many these are
 */
struct model_world {
	struct model_reader reader[3];
	__u8 head, limit, published, tail[2];
	__u8 wanted;
	__u8 long_record;
	__u8 serial;
	__u8 begun[2], begun_count;
	__u8 sent[MESSAGES + 1], sent_count;
};

static struct model_world world;

static bool model_quiet(const void *p)
{
	(void)p;
	return false;
}

static const char *model_actor_name(int actor)
{
	return actor == PRODUCER ? "producer" : actor == DIRECT ? "direct" : "patient";
}

static const char *model_name(const void *p)
{
	static const char *const words[] = { "word 0", "word 1", "word 2", "word 3" };
	size_t i = (size_t)((const __u64 *)p - ring);

	return p == &producer.head ? "head" : i < WORDS ? words[i] : p == &live ? "live" : "tail";
}

static __u64 *at(__u64 position)
{
	return &ring[position % SIZE / 8];
}

static void model_seen(int actor, enum model_op op, const void *p, __u64 *old, __u64 *new)
{
	int i;

	(void)actor;
	(void)old;
	if (op != MODEL_STORE || p != &producer.head)
		return;
	/* Published, this very moment. */
	for (i = 0; i < world.begun_count; i++)
		world.sent[world.sent_count++] = world.begun[i];
	world.begun_count = 0;
	(void)new;
}

/* ---------------------------------------------------------------- the producer */

/* What krepis_sender_init() does. The tails are its own affair: nobody else reads them. */
static void model_start(void)
{
	int i;

	world.head = (__u8)producer.head;
	world.published = world.head;
	world.limit = world.head;
	world.begun_count = 0;
	for (i = 0; i < 2; i++)
		world.tail[i] = (__u8)consumer[i].tail;
}

static int call_admit(int self)
{
	struct krepis_ring_writer w = { .published = world.published };
	int i;

	(void)self;
	for (i = 0; i < 2; i++)
		w.tail[i] = world.tail[i];
	krepis_ring_admit(&w, SIZE, &live, SLOTS, consumer, sizeof(consumer[0]));
	for (i = 0; i < 2; i++)
		world.tail[i] = (__u8)w.tail[i];
#ifdef MUTATE_NO_RESERVE
	w.limit += 8;
#endif
	world.limit = (__u8)w.limit;
	return 0;
}

static void model_plan(int records, int longer)
{
	world.wanted = (__u8)(8 * records + 8 * longer);
}

/* Expressions of the model, where no function may be called. */
#define FITS (world.head + world.wanted <= world.limit)

/* Another look at the tails would help. */
#define WOULD_FIT							\
	(world.head + world.wanted <= krepis_ring_room(SIZE) +		\
	 (consumer[0].tail < consumer[1].tail ? consumer[0].tail : consumer[1].tail))

/* Begins a record: its payload. */
static void model_payload(int longer)
{
	world.serial++;
	world.long_record = (__u8)longer;
	if (longer)
		*at(world.head + 8) = world.serial;
}

static int call_describe(int self)
{
	(void)self;
	krepis_ring_describe(at(world.head), world.long_record ? 8 : 0, world.serial, 0);
	return 0;
}

static void model_described(void)
{
	world.begun[world.begun_count++] = world.serial;
	world.head += 8 + 8 * world.long_record;
}

static int call_end(int self)
{
	(void)self;
#ifndef MUTATE_NO_END
	krepis_ring_end(at(world.head));
#endif
	return 0;
}

static int call_publish(int self)
{
	(void)self;
	krepis_ring_publish(&producer, world.head);
	return 0;
}

static int call_announce(int self)
{
	(void)self;
	krepis_ring_announce(at(world.published));
	return 0;
}

static void model_published(void)
{
	world.published = world.head;
}

/* ---------------------------------------------------------------- the consumers */

static int call_header(int self)
{
	world.reader[self].word = krepis_ring_header(at(world.reader[self].pos));
	return !!(world.reader[self].word & KREPIS_RING_HERE);
}

static int call_available(int self)
{
	struct model_reader *r = &world.reader[self];
	__s64 available = krepis_ring_available(&producer, SIZE, r->pos, false);

	if (available < 0)
		model_fail("an honest side met an error");
	else
		r->head = r->pos + (__u8)available;
	return 0;
}

static int call_read(int self)
{
	world.reader[self].word = krepis_read(at(world.reader[self].pos));
	return 0;
}

/* Takes the record whose header it has; only the header says that it is there if @direct. */
static void model_take(int self, bool direct)
{
	struct model_reader *r = &world.reader[self];
	struct krepis_record record;
	__u64 available = direct ? SIZE : (__u64)(r->head - r->pos);

	if (krepis_ring_parse(r->word, available, 8, &record) || record.flags) {
		model_fail("an honest side met an error");
		return;
	}
	if (r->taken >= world.sent_count)
		model_fail("a message that was not sent");
	else if (record.type != world.sent[r->taken])
		model_fail("another message than was sent");
	else if (record.len && *at(r->pos + 8) != record.type)
		model_fail("a message is torn");
	r->taken++;
	r->pos += (__u8)krepis_record_bytes(record.len);
	if (direct)
		r->head = r->pos;
	r->word = 0;
}

static int call_consume(int self)
{
	krepis_ring_consume(&consumer[self - 1], world.reader[self].pos);
	return 0;
}

/* There is something for who looks again and again. */
#define BEHIND(self) (producer.head != world.reader[self].pos)
#define DIRECT_HAS							\
	(BEHIND(DIRECT) || (ring[world.reader[DIRECT].pos % SIZE / 8] & KREPIS_RING_HERE))
#define PATIENT_HAS BEHIND(PATIENT)

static void model_at_rest(void)
{
	if (world.reader[DIRECT].taken != world.sent_count ||
	    world.reader[PATIENT].taken != world.sent_count)
		model_fail("a message was lost");
}

#endif /* _KREPIS_MODEL_RECORD_H */
