/* SPDX-License-Identifier: MIT */
/*
 * What the messages carry: the sequence number in every 8-byte word, so that the
 * reader can check the first and the last byte and all between against one value,
 * at the price of reading it. The same code for every implementation.
 */
#ifndef KREPIS_BENCH_PAYLOAD_H
#define KREPIS_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sequence numbers with a meaning. */
#define PAYLOAD_MARK	(UINT64_MAX - 1)	/* the warm-up is over */
#define PAYLOAD_STOP	UINT64_MAX		/* this was the last message */

/* What is in memory has to be there: no write is merged with a later copy of it. */
#define payload_barrier()	__asm__ volatile("" ::: "memory")

/* 16 bytes are what the baseline of the 64-bit architectures does in one go. */
typedef uint64_t payload_vec __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t payload_word __attribute__((may_alias));

/* @size: 8, or a multiple of 64 */
static inline __attribute__((always_inline)) void payload_fill(void *data, size_t size,
							       uint64_t sequence)
{
	payload_vec v = { sequence, sequence };
	payload_vec *p = (payload_vec *)data;
	size_t i, n = size / sizeof(v);

	if (size == 8) {
		*(payload_word *)data = sequence;
	} else {
		for (i = 0; i < n; i += 4) {
			p[i] = v;
			p[i + 1] = v;
			p[i + 2] = v;
			p[i + 3] = v;
		}
	}
	payload_barrier();
}

/* Return: whether every word of the payload is the same; that word in @sequence. */
static inline __attribute__((always_inline)) bool payload_check(const void *data, size_t size,
								uint64_t *sequence)
{
	const payload_vec *p = (const payload_vec *)data;
	uint64_t first = *(const payload_word *)data;
	payload_vec want = { first, first };
	payload_vec a = { 0, 0 }, b = { 0, 0 };
	size_t i, n = size / sizeof(want);

	payload_barrier();
	*sequence = first;
	if (size == 8)
		return true;
	for (i = 0; i < n; i += 4) {
		a |= (p[i] ^ want) | (p[i + 1] ^ want);
		b |= (p[i + 2] ^ want) | (p[i + 3] ^ want);
	}
	a |= b;
	return !(a[0] | a[1]);
}

/* The same for one word in @step bytes; all of them if @step is 0. */
static inline __attribute__((always_inline)) void payload_put(void *data, size_t size, size_t step,
							      uint64_t sequence)
{
	size_t i;

	if (!step) {
		payload_fill(data, size, sequence);
		return;
	}
	for (i = 0; i < size; i += step)
		*(payload_word *)((char *)data + i) = sequence;
	payload_barrier();
}

static inline __attribute__((always_inline)) bool payload_get(const void *data, size_t size,
							      size_t step, uint64_t *sequence)
{
	uint64_t first = *(const payload_word *)data, unlike = 0;
	size_t i;

	if (!step)
		return payload_check(data, size, sequence);
	payload_barrier();
	for (i = 0; i < size; i += step)
		unlike |= *(const payload_word *)((const char *)data + i) ^ first;
	*sequence = first;
	return !unlike;
}

#endif /* KREPIS_BENCH_PAYLOAD_H */
