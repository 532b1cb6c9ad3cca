/* SPDX-License-Identifier: MIT */
/*
 * Messages that prove themselves: every byte follows from the producer's
 * incarnation, the sequence number and the length, so a receiver tells a torn,
 * stale or foreign payload from a whole one without asking anybody.
 */
#ifndef _STRESS_MESSAGE_H
#define _STRESS_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/**
 * struct stamp - what every message begins with
 * @incarnation: which life of the producer
 * @len:	 bytes of the message, the stamp included
 * @seq:	 number in this life, from 0
 * @sum:	 checksum of the content that follows
 */
struct stamp {
	uint32_t incarnation;
	uint32_t len;
	uint64_t seq;
	uint64_t sum;
};

/* splitmix64: one multiply-and-mix a number, and every seed is a good one. */
static inline uint64_t rng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* A number below @n, which is not 0. */
static inline uint64_t rng_below(uint64_t *state, uint64_t n)
{
	return rng_next(state) % n;
}

static inline uint64_t message_key(uint32_t incarnation, uint64_t seq, uint32_t len)
{
	uint64_t state = ((uint64_t)incarnation << 40) ^ (seq << 8) ^ len;

	return rng_next(&state);
}

static inline uint64_t message_word(uint64_t key, size_t i)
{
	uint64_t x = (key + i) * 0xd1342543de82ef95ULL;

	return x ^ (x >> 32);
}

static inline uint64_t message_sum(uint64_t sum, uint64_t word)
{
	return ((sum << 5) | (sum >> 59)) + word;
}

/* Writes a message of @len bytes, at least a stamp, at @data, 8-byte aligned. */
static inline void message_fill(void *data, uint32_t incarnation, uint64_t seq, uint32_t len)
{
	struct stamp stamp = { .incarnation = incarnation, .len = len, .seq = seq };
	uint64_t key = message_key(incarnation, seq, len), word;
	uint8_t *content = (uint8_t *)data + sizeof(stamp);
	size_t left = len - sizeof(stamp), i;

	for (i = 0; left >= 8; i++, left -= 8) {
		word = message_word(key, i);
		memcpy(content + 8 * i, &word, 8);
		stamp.sum = message_sum(stamp.sum, word);
	}
	word = message_word(key, i);
	memcpy(content + 8 * i, &word, left);
	memcpy(data, &stamp, sizeof(stamp));
}

/*
 * Reads a message of @len bytes. Return: 0 with its stamp, or -1 with the reason
 * in @why.
 */
static inline int message_check(const void *data, size_t len, struct stamp *stamp, char *why,
				size_t size)
{
	const uint8_t *content = (const uint8_t *)data + sizeof(*stamp);
	uint64_t key, word, sum = 0;
	size_t left, i;

	if (len < sizeof(*stamp)) {
		snprintf(why, size, "torn: %zu bytes are less than a stamp", len);
		return -1;
	}
	memcpy(stamp, data, sizeof(*stamp));
	if (stamp->len != len) {
		snprintf(why, size, "torn: %zu bytes received, %u stamped, incarnation %u seq %llu",
			 len, stamp->len, stamp->incarnation, (unsigned long long)stamp->seq);
		return -1;
	}
	key = message_key(stamp->incarnation, stamp->seq, stamp->len);
	left = len - sizeof(*stamp);
	for (i = 0; left >= 8; i++, left -= 8) {
		memcpy(&word, content + 8 * i, 8);
		sum = message_sum(sum, word);
		if (word != message_word(key, i))
			goto torn;
	}
	word = message_word(key, i);
	if (memcmp(content + 8 * i, &word, left) || sum != stamp->sum)
		goto torn;
	return 0;

torn:
	snprintf(why, size, "torn: incarnation %u seq %llu len %u differs at byte %zu",
		 stamp->incarnation, (unsigned long long)stamp->seq, stamp->len,
		 sizeof(*stamp) + 8 * i);
	return -1;
}

#endif /* _STRESS_MESSAGE_H */
