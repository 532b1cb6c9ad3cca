/* SPDX-License-Identifier: MIT */
/*
 * What a hostile peer may do: write anything wherever it can. At random it would mostly hit
 * padding, and mostly be refused at once; so words that mean something come first, and
 * some lies are made of several writes that fit together.
 */
#ifndef KREPIS_FUZZ_FORGE_H
#define KREPIS_FUZZ_FORGE_H

#include "enforced.h"

struct word {
	uint16_t offset;
	uint16_t size;
};

#define WORD(type, member) { offsetof(struct type, member), sizeof(((struct type *)0)->member) }
#define WORDS(type) WORD(type, counters.messages), WORD(type, counters.bytes),           \
	WORD(type, waiter.wake), WORD(type, waiter.waiting), WORD(type, waiter.waiting)

static const struct word info_words[] = {
	WORD(krepis_info, live), WORD(krepis_info, live), WORD(krepis_info, epoch),
	WORD(krepis_info, producers), WORD(krepis_info, consumers), WORD(krepis_info, deaths),
	WORD(krepis_info, magic), WORD(krepis_info, abi), WORD(krepis_info, size),
	WORD(krepis_info, geometry.kind), WORD(krepis_info, geometry.flags),
	WORD(krepis_info, geometry.backpressure), WORD(krepis_info, geometry.max_consumers),
	WORD(krepis_info, geometry.inline_max), WORD(krepis_info, geometry.buffer_count),
	WORD(krepis_info, geometry.page_size), WORD(krepis_info, geometry.layout_id),
	WORD(krepis_info, geometry.ring_size), WORD(krepis_info, geometry.buffer_size),
};
static const struct word producer_words[] = {
	WORD(krepis_producer, head), WORD(krepis_producer, head), WORD(krepis_producer, version),
	WORD(krepis_producer, floor), WORD(krepis_producer, floor_count),
	WORD(krepis_producer, head_count), WORD(krepis_producer, need),
	WORD(krepis_producer, back), WORD(krepis_producer, link[0].word),
	WORD(krepis_producer, link[1].word), WORDS(krepis_producer),
};
static const struct word consumer_words[] = {
	WORD(krepis_consumer, tail), WORD(krepis_consumer, tail), WORD(krepis_consumer, link.word),
	WORD(krepis_consumer, front), WORDS(krepis_consumer),
};
static const struct word desc_words[] = {
	WORD(krepis_desc, state), WORD(krepis_desc, generation), WORD(krepis_desc, word),
	WORD(krepis_desc, holders), WORD(krepis_desc, len), WORD(krepis_desc, type),
	WORD(krepis_desc, flags), WORD(krepis_desc, crc32c), WORD(krepis_desc, sequence),
	WORD(krepis_desc, claim),
};

/* What somebody might write who saw @old there. */
static uint64_t forge(const struct op *op, uint64_t old)
{
	const uint64_t values[] = {
		0, 1, UINT64_MAX, 1ULL << 31, 1ULL << 63, 1ULL << 62, UINT32_MAX, FUTEX_OWNER_DIED,
		old + 8, old - 8, old + 8, old + 1, old ^ 1ULL << op->value % 64,
		old + (uint64_t)(int8_t)op->value * 8, op->value, op->value % 4,
		op->value % 4096, op->value << 32 | 1,
	};

	return values[op->mode % ARRAY_SIZE(values)];
}

static uint64_t load(const uint8_t *at, size_t size)
{
	return size == 8 ? krepis_read((const uint64_t *)at) :
	       size == 4 ? krepis_read((const uint32_t *)at) : krepis_read((const uint16_t *)at);
}

static void store(uint8_t *at, size_t size, uint64_t value)
{
	if (size == 8)
		krepis_write((uint64_t *)at, value);
	else if (size == 4)
		krepis_write((uint32_t *)at, (uint32_t)value);
	else
		krepis_write((uint16_t *)at, (uint16_t)value);
}

static void overwrite(const struct op *op, uint8_t *at, size_t size)
{
	store(at, size, forge(op, load(at, size)));
}

/* One word of @words, which is drawn by @op->at, of the structure at @offset. */
static uint64_t one_of(const struct op *op, uint64_t offset, const struct word *words, size_t n,
		       size_t *size)
{
	*size = words[op->at % n].size;
	return offset + words[op->at % n].offset;
}

static uint64_t consumer_at(const struct session *s, const struct op *op)
{
	return s->l.consumers + (uint64_t)s->g.page_size * (op->count % (s->ends - 1));
}

static uint64_t ring_at(const struct session *s, uint64_t position)
{
	return s->l.ring + position % s->g.ring_size / 8 * 8;
}

static uint64_t desc_at(const struct session *s, unsigned int i)
{
	return s->l.descriptors + sizeof(struct krepis_exchange) +
	       i % s->g.buffer_count * sizeof(struct krepis_desc);
}

/* Where the last record ends. Without a producer it does not matter: nobody can write there. */
static uint64_t head_of(const struct session *s)
{
	const struct krepis_producer *producer = arena->at(s, s->l.producer);

	return producer ? krepis_read(&producer->head) : 0;
}

/* The place of a word in the channel. */
static uint64_t word_at(const struct session *s, const struct op *op, size_t *size)
{
	*size = 8;
	switch (op->who % 16) {
	case 0 ... 1:
		return one_of(op, 0, info_words, op->count % 4 ? 6 : ARRAY_SIZE(info_words), size);
	case 2 ... 4:
		return one_of(op, s->l.producer, producer_words, ARRAY_SIZE(producer_words), size);
	case 5 ... 7:
		return one_of(op, consumer_at(s, op), consumer_words, ARRAY_SIZE(consumer_words),
			      size);
	case 8:
		return s->l.descriptors + offsetof(struct krepis_exchange, word);
	case 9 ... 10:
		if (!s->g.buffer_count)
			break;
		return one_of(op, desc_at(s, op->count), desc_words, ARRAY_SIZE(desc_words), size);
	case 11 ... 13:
		/* Mostly in the last records. */
		if (!s->g.ring_size)
			break;
		return ring_at(s, head_of(s) - op->at % 64 * 8);
	case 14:
		/* The descriptors, and what follows the last one. */
		return s->l.descriptors + op->at % 1024 / 8 * 8;
	}
	return op->at % s->l.size / 8 * 8;
}

static void forge_word(struct session *s, struct end *e, const struct op *op)
{
	size_t size;
	uint8_t *at = arena->at(s, word_at(s, op, &size));

	(void)e;
	if (!at)
		return;
	strike_begins(s, at);
	overwrite(op, at, size);
	strike_ends(s, at);
}

/* Writes a record of a buffer, or of @len bytes that say nothing. */
static void put_record(const struct session *s, uint64_t position, uint64_t flags, uint32_t len,
		       struct krepis_handle handle)
{
	krepis_write((uint64_t *)arena->at(s, ring_at(s, position)), flags << 48 | len);
	if (flags & KREPIS_MSG_BUFFER)
		memcpy(arena->at(s, ring_at(s, position + 8)), &handle, sizeof(handle));
}

/* A record that could be one, behind the head, and the head moved over it. */
static void forge_record(struct session *s, struct end *e, const struct op *op)
{
	struct krepis_handle handle = { op->count % (s->g.buffer_count + 1), 0 };
	struct krepis_producer *producer = arena->at(s, s->l.producer);
	const struct krepis_desc *d;
	uint64_t head = head_of(s), flags = op->who % 4;
	uint32_t len = op->at % (s->g.inline_max + 2);

	(void)e;
	if (!producer)
		return;
	if (flags & KREPIS_MSG_BUFFER && op->mode % 8)
		len = sizeof(handle);
	d = s->g.buffer_count ? arena->see(s, desc_at(s, handle.index)) : NULL;
	if (d)
		handle.generation = d->generation;
	if (op->mode % 4 == 0)
		handle.generation = (uint32_t)forge(op, handle.generation);
	put_record(s, head, flags, len, handle);
	krepis_write(&producer->head_count, producer->head_count + 1);
	krepis_write(&producer->head, head + krepis_record_bytes(len));
}

/* A descriptor that says the buffer is in a consistent state, which it may not be in. */
static void forge_desc(struct session *s, struct end *e, const struct op *op)
{
	struct krepis_desc *d = s->g.buffer_count ? arena->at(s, desc_at(s, op->count)) : NULL;

	(void)e;
	if (arena->enforced)
		forge_rights(s, op);
	if (!d)
		return;
	if (op->mode % 2)
		krepis_write(&d->len, op->at % (uint32_t)(s->g.buffer_size + 2));
	krepis_write(&d->holders, op->who % 4);
	krepis_write(&d->claim, (uint64_t)d->generation << 32 | op->who / 4 % 4);
	krepis_write(&d->word, krepis_own_word(op->who / 16 % 4, d->generation + op->mode % 4 / 3));
}

/* Somebody died, or came to life. */
static void forge_link(struct session *s, struct end *e, const struct op *op)
{
	uint64_t at = op->who % 2 ? s->l.producer + offsetof(struct krepis_producer, link) +
				    op->count % (s->ends - 1) * sizeof(struct krepis_link) :
				    consumer_at(s, op) + offsetof(struct krepis_consumer, link);
	struct krepis_link *link = arena->at(s, at);
	uint32_t old = link ? link->word : 0;
	const uint32_t words[] = { FUTEX_OWNER_DIED, old | FUTEX_OWNER_DIED, 0,
				   old ^ FUTEX_WAITERS, (uint32_t)op->value };

	(void)e;
	if (link)
		krepis_write(&link->word, words[op->mode % ARRAY_SIZE(words)]);
}

#endif /* KREPIS_FUZZ_FORGE_H */
