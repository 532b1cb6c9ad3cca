/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C: the choice of an implementation, and the one that runs everywhere.
 */
#include <stdatomic.h>
#include <krepis/krepis.h>
#include "crc32c.h"

/* SPANn() lists s plus the sum of each subset of n numbers, in binary order, highest bit first. */
#define SPAN1(s, x)		s, s ^ x
#define SPAN2(s, x, ...)	SPAN1(s, __VA_ARGS__), SPAN1(s ^ x, __VA_ARGS__)
#define SPAN3(s, x, ...)	SPAN2(s, __VA_ARGS__), SPAN2(s ^ x, __VA_ARGS__)
#define SPAN4(s, x, ...)	SPAN3(s, __VA_ARGS__), SPAN3(s ^ x, __VA_ARGS__)
#define SPAN5(s, x, ...)	SPAN4(s, __VA_ARGS__), SPAN4(s ^ x, __VA_ARGS__)
#define SPAN6(s, x, ...)	SPAN5(s, __VA_ARGS__), SPAN5(s ^ x, __VA_ARGS__)
#define SPAN7(s, x, ...)	SPAN6(s, __VA_ARGS__), SPAN6(s ^ x, __VA_ARGS__)
#define SPAN8(s, x, ...)	SPAN7(s, __VA_ARGS__), SPAN7(s ^ x, __VA_ARGS__)

/*
 * slices[k][byte] is the remainder of byte followed by k zero bytes: slicing by eight, after
 * Kounavis and Berry, "A Systematic Approach to Building High Performance Software-based CRC
 * Generators" (2005). Remainders add up, so a row is spanned by those of the eight bits, and
 * these are, from the highest bit of the first row on, x^32, x^33, ... x^95 mod P.
 */
static const uint32_t slices[8][256] = {
	{ SPAN8(0, 0x82f63b78, 0x417b1dbc, 0x20bd8ede, 0x105ec76f,
		0x8ad958cf, 0xc79a971f, 0xe13b70f7, 0xf26b8303) },
	{ SPAN8(0, 0xfbc3faf9, 0xff17c604, 0x7f8be302, 0x3fc5f181,
		0x9d14c3b8, 0x4e8a61dc, 0x274530ee, 0x13a29877) },
	{ SPAN8(0, 0x8b277743, 0xc76580d9, 0xe144fb14, 0x70a27d8a,
		0x38513ec5, 0x9edea41a, 0x4f6f520d, 0xa541927e) },
	{ SPAN8(0, 0x52a0c93f, 0xaba65fe7, 0xd725148b, 0xe964b13d,
		0xf64463e6, 0x7b2231f3, 0xbf672381, 0xdd45aab8) },
	{ SPAN8(0, 0x6ea2d55c, 0x37516aae, 0x1ba8b557, 0x8f2261d3,
		0xc5670b91, 0xe045beb0, 0x7022df58, 0x38116fac) },
	{ SPAN8(0, 0x1c08b7d6, 0x0e045beb, 0x85f4168d, 0xc00c303e,
		0x6006181f, 0xb2f53777, 0xdb8ca0c3, 0xef306b19) },
	{ SPAN8(0, 0xf56e0ef4, 0x7ab7077a, 0x3d5b83bd, 0x9c5bfaa6,
		0x4e2dfd53, 0xa5e0c5d1, 0xd0065990, 0x68032cc8) },
	{ SPAN8(0, 0x34019664, 0x1a00cb32, 0x0d006599, 0x847609b4,
		0x423b04da, 0x211d826d, 0x9278fa4e, 0x493c7d27) },
};

static bool always(void)
{
	return true;
}

CRC32C_INLINE uint32_t table(uint32_t crc, struct crc32c_flow flow, size_t len)
{
	size_t at = 0;

	for (; len - at >= 8; at += 8) {
		uint64_t word = crc ^ crc32c_take_u64(&flow, at);

		crc = 0;
#pragma GCC unroll 8
		for (int k = 7; k >= 0; k--, word >>= 8)
			crc ^= slices[k][word & 0xff];
	}
	for (; at < len; at++)
		crc = crc >> 8 ^ slices[0][(crc ^ crc32c_take_u8(&flow, at)) & 0xff];
	return crc;
}

static uint32_t table_crc(uint32_t crc, const void *data, size_t len)
{
	return ~table(~crc, (struct crc32c_flow){ data, NULL, CRC32C_READ }, len);
}

static uint32_t table_copy(uint32_t crc, void *dst, const void *src, size_t len)
{
	return ~table(~crc, (struct crc32c_flow){ src, dst, CRC32C_COPY }, len);
}

const struct krepis_crc32c_impl krepis_crc32c_impls[] = {
#if defined(__x86_64__)
	{ "avx512", krepis_crc32c_avx512_supported, krepis_crc32c_avx512,
	  krepis_copy_crc32c_avx512 },
	{ "sse4.2", krepis_crc32c_sse42_supported, krepis_crc32c_sse42,
	  krepis_copy_crc32c_sse42 },
#elif defined(__aarch64__)
	{ "armv8", krepis_crc32c_armv8_supported, krepis_crc32c_armv8,
	  krepis_copy_crc32c_armv8 },
#endif
	{ "table", always, table_crc, table_copy },
	{ NULL, NULL, NULL, NULL },
};

/*
 * Every thread that comes early makes the same choice, and what it points to is constant: it
 * needs no ordering and no lock.
 */
static const struct krepis_crc32c_impl *choose(void)
{
	static const struct krepis_crc32c_impl *_Atomic chosen;
	const struct krepis_crc32c_impl *impl;

	impl = atomic_load_explicit(&chosen, memory_order_relaxed);
	if (impl)
		return impl;
	for (impl = krepis_crc32c_impls; !impl->supported(); impl++)
		;
	atomic_store_explicit(&chosen, impl, memory_order_relaxed);
	return impl;
}

uint32_t krepis_crc32c(uint32_t crc, const void *data, size_t len)
{
	return choose()->crc(crc, data, len);
}

uint32_t krepis_copy_crc32c(uint32_t crc, void *dst, const void *src, size_t len)
{
	return choose()->copy(crc, dst, src, len);
}
