/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C: the public functions and every implementation behind them against a computation bit
 * by bit, at every length and alignment that could take another path.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <krepis/krepis.h>
#include "crc32c.h"

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#define POLYNOMIAL	0x82f63b78u
#define MAX_LEN		1200
#define MAX_ALIGN	16
#define GUARD		64
#define GUARD_BYTE	0xa5

/* --------------------------------------------------------------- the other opinion */

/* @polynomial times x, modulo P, both reflected. */
static uint32_t times_x(uint32_t polynomial)
{
	return polynomial >> 1 ^ (polynomial & 1 ? POLYNOMIAL : 0);
}

static uint32_t x_to_the(unsigned int n)
{
	uint32_t power = 1u << 31;

	while (n--)
		power = times_x(power);
	return power;
}

static uint32_t reference(uint32_t crc, const uint8_t *data, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = times_x(crc);
	}
	return ~crc;
}

/* -------------------------------------------------------------------- the material */

static uint64_t random_u64(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void *allocate(size_t size)
{
	void *memory = malloc(size);

	assert_non_null(memory);
	return memory;
}

static uint8_t *random_bytes(size_t len)
{
	uint8_t *bytes = allocate(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = random_u64() >> 32;
	return bytes;
}

static void assert_guard(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], GUARD_BYTE);
}

/* ------------------------------------------------------------ of one implementation */

/* The implementation a test is about, if this processor has it. */
static const struct krepis_crc32c_impl *tested(void **state)
{
	const struct krepis_crc32c_impl *impl = *state;

	if (!impl->supported())
		skip();
	return impl;
}

static void vectors_of_rfc3720_hold(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	static const uint8_t read_pdu[48] = {
		0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28,
		[40] = 0x02,
	};
	uint8_t zeros[32], ones[32], up[32], down[32];

	for (int i = 0; i < 32; i++) {
		zeros[i] = 0;
		ones[i] = 0xff;
		up[i] = i;
		down[i] = 31 - i;
	}
	assert_int_equal(impl->crc(0, "123456789", 9), 0xe3069283);
	assert_int_equal(impl->crc(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(impl->crc(0, ones, 32), 0x62a8ab43);
	assert_int_equal(impl->crc(0, up, 32), 0x46dd794e);
	assert_int_equal(impl->crc(0, down, 32), 0x113fdb5c);
	assert_int_equal(impl->crc(0, read_pdu, 48), 0xd9963a56);
}

static void no_bytes_change_nothing(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);

	assert_int_equal(impl->crc(0, NULL, 0), 0);
	assert_int_equal(impl->crc(0xe3069283, NULL, 0), 0xe3069283);
	assert_int_equal(impl->copy(0xe3069283, NULL, NULL, 0), 0xe3069283);
}

static void every_length_and_alignment_is_right(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	uint8_t *src = random_bytes(MAX_ALIGN + MAX_LEN);

	for (size_t align = 0; align <= MAX_ALIGN; align++) {
		uint32_t start = random_u64();
		uint32_t expected = start;

		for (size_t len = 0; len <= MAX_LEN; len++) {
			if (len)
				expected = reference(expected, src + align + len - 1, 1);
			assert_int_equal(impl->crc(start, src + align, len), expected);
		}
	}
	free(src);
}

static void copy_is_identical_and_leaves_its_surroundings(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	uint8_t *src = random_bytes(MAX_ALIGN + MAX_LEN);
	uint8_t *area = allocate(GUARD + MAX_ALIGN + MAX_LEN + GUARD);

	for (size_t align = 0; align <= MAX_ALIGN; align++) {
		const uint8_t *from = src + MAX_ALIGN - align;
		uint8_t *to = area + GUARD + align;
		uint32_t expected = 0;

		for (size_t len = 0; len <= MAX_LEN; len++) {
			if (len)
				expected = reference(expected, from + len - 1, 1);
			memset(area, GUARD_BYTE, GUARD + MAX_ALIGN + MAX_LEN + GUARD);
			assert_int_equal(impl->copy(0, to, from, len), expected);
			assert_memory_equal(to, from, len);
			assert_guard(to - GUARD, GUARD);
			assert_guard(to + len, GUARD);
		}
	}
	free(area);
	free(src);
}

static void large_sizes_are_right(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	const size_t max_len = 1 << 20;
	uint8_t *src = random_bytes(max_len);
	uint8_t *dst = allocate(max_len);

	for (int round = 0; round < 16; round++) {
		size_t src_at = random_u64() % 4096, dst_at = random_u64() % 4096;
		size_t len = random_u64() % (max_len - 4096);
		uint32_t start = random_u64();
		uint32_t expected = reference(start, src + src_at, len);

		assert_int_equal(impl->crc(start, src + src_at, len), expected);
		assert_int_equal(impl->copy(start, dst + dst_at, src + src_at, len), expected);
		assert_memory_equal(dst + dst_at, src + src_at, len);
	}
	free(dst);
	free(src);
}

/* Beyond the size from which an implementation may store past the caches. */
static void copy_larger_than_the_caches_is_exact(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	const size_t len = ((size_t)32 << 20) + 331;
	uint8_t *src = random_bytes(len);
	uint8_t *area = allocate(len + 2 * GUARD);

	for (size_t align = 0; align < GUARD; align += 21) {
		uint8_t *dst = area + GUARD + align;

		memset(area, GUARD_BYTE, len + 2 * GUARD);
		assert_int_equal(impl->copy(1, dst, src, len - align),
				 impl->crc(1, src, len - align));
		assert_memory_equal(dst, src, len - align);
		assert_guard(area, GUARD + align);
		assert_guard(dst + len - align, GUARD);
	}
	free(area);
	free(src);
}

static void parts_chain_to_the_whole(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	const size_t len = 20000;
	uint8_t *src = random_bytes(len);
	uint8_t *dst = allocate(len);
	uint32_t whole = reference(0, src, len);

	for (int round = 0; round < 200; round++) {
		uint32_t crc = 0;
		size_t at = 0;

		memset(dst, GUARD_BYTE, len);
		while (at < len) {
			size_t part = random_u64() % (round % 2 ? 200 : 5000);

			if (part > len - at)
				part = len - at;
			if (random_u64() & 1) {
				crc = impl->crc(crc, src + at, part);
				memcpy(dst + at, src + at, part);
			} else {
				crc = impl->copy(crc, dst + at, src + at, part);
			}
			at += part;
		}
		assert_int_equal(crc, whole);
		assert_memory_equal(dst, src, len);
	}
	free(dst);
	free(src);
}

/*
 *	| none | one page | none |	The bytes lie at either end of the page, so that an
 *	       |<--    -->|		access beyond them is an access to no page.
 */
static uint8_t *map_between_nothing(size_t page)
{
	uint8_t *area = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(area, MAP_FAILED);
	assert_int_equal(mprotect(area + page, page, PROT_READ | PROT_WRITE), 0);
	return area + page;
}

static void nothing_beyond_the_buffers_is_accessed(void **state)
{
	const struct krepis_crc32c_impl *impl = tested(state);
	size_t page = sysconf(_SC_PAGESIZE);
	uint8_t *src = map_between_nothing(page);
	uint8_t *dst = map_between_nothing(page);

	for (size_t len = 0; len <= MAX_LEN; len++) {
		const uint8_t *from[2] = { src, src + page - len };
		uint8_t *to[2] = { dst, dst + page - len };

		for (int end = 0; end < 2; end++) {
			uint32_t expected;

			memset(src, len + end, page);
			expected = reference(0, from[end], len);
			assert_int_equal(impl->crc(0, from[end], len), expected);
			assert_int_equal(impl->copy(0, to[end], from[end], len), expected);
			assert_memory_equal(to[end], from[end], len);
			assert_int_equal(impl->copy(0, to[!end], from[end], len), expected);
			assert_memory_equal(to[!end], from[end], len);
		}
	}
	munmap(src - page, 3 * page);
	munmap(dst - page, 3 * page);
}

/* --------------------------------------------------------------------- of the rest */

static void fold_constants_follow_from_the_polynomial(void **state)
{
	static const struct {
		unsigned int n;
		uint32_t constants[2];
	} folds[] = {
		{ 128, { FOLD_128 } },
		{ 256, { FOLD_256 } },
		{ 384, { FOLD_384 } },
		{ 512, { FOLD_512 } },
		{ 1024, { FOLD_1024 } },
		{ 2048, { FOLD_2048 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(folds); i++) {
		assert_int_equal(folds[i].constants[0], x_to_the(folds[i].n - 33));
		assert_int_equal(folds[i].constants[1], x_to_the(folds[i].n + 31));
	}
}

static void table_works_everywhere_and_is_last(void **state)
{
	const struct krepis_crc32c_impl *last = krepis_crc32c_impls;

	(void)state;
	while (last[1].name)
		last++;
	assert_string_equal(last->name, "table");
	assert_true(last->supported());
}

/* ------------------------------------------------------------------------- running */

#define CLAIM(function)	{ #function, function }

static const struct {
	const char *name;
	CMUnitTestFunction function;
} claims[] = {
	CLAIM(vectors_of_rfc3720_hold),
	CLAIM(no_bytes_change_nothing),
	CLAIM(every_length_and_alignment_is_right),
	CLAIM(copy_is_identical_and_leaves_its_surroundings),
	CLAIM(large_sizes_are_right),
	CLAIM(copy_larger_than_the_caches_is_exact),
	CLAIM(parts_chain_to_the_whole),
	CLAIM(nothing_beyond_the_buffers_is_accessed),
};

static bool always(void)
{
	return true;
}

/* The claims about each implementation, as tests named "implementation: claim". */
static int run_claims(const struct krepis_crc32c_impl *impl)
{
	struct CMUnitTest tests[ARRAY_SIZE(claims)];
	char names[ARRAY_SIZE(claims)][80];

	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		snprintf(names[i], sizeof(names[i]), "%s: %s", impl->name, claims[i].name);
		tests[i] = (struct CMUnitTest){
			.name = names[i],
			.test_func = claims[i].function,
			.initial_state = (void *)impl,
		};
	}
	return cmocka_run_group_tests_name(impl->name, tests, NULL, NULL);
}

int main(void)
{
	static const struct krepis_crc32c_impl public = {
		"public", always, krepis_crc32c, krepis_copy_crc32c,
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fold_constants_follow_from_the_polynomial),
		cmocka_unit_test(table_works_everywhere_and_is_last),
	};
	int failed = cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);

	failed += run_claims(&public);
	for (const struct krepis_crc32c_impl *impl = krepis_crc32c_impls; impl->name; impl++)
		failed += run_claims(impl);
	return failed != 0;
}
