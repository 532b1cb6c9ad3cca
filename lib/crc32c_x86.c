/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C on x86-64: with the crc32 instruction of SSE4.2, and by folding 512 bits at a time
 * with AVX-512 and VPCLMULQDQ.
 */
#ifdef __x86_64__

#include <immintrin.h>
#include "crc32c.h"

#define TARGET_SSE42	__attribute__((target("sse4.2,pclmul")))
#define TARGET_AVX512	__attribute__((target("sse4.2,pclmul,avx512f,vpclmulqdq")))

/* ------------------------------------------------------------------------- SSE4.2 */

/* Extends @crc by the bytes from @at to @end. */
CRC32C_INLINE TARGET_SSE42 uint32_t serial(uint32_t crc, const struct crc32c_flow *flow,
					   size_t at, size_t end)
{
	uint64_t state = crc;

	for (; end - at >= 8; at += 8)
		state = _mm_crc32_u64(state, crc32c_take_u64(flow, at));
	for (; at < end; at++)
		state = _mm_crc32_u8(state, crc32c_take_u8(flow, at));
	return state;
}

/*
 * Extends @crc by n zero bits, given FOLD_n. The product is 64 bits of message of the same
 * remainder; a crc32 of it is the multiplication by x^32 that every checksum ends with and
 * the constant allows for.
 */
CRC32C_INLINE TARGET_SSE42 uint32_t skip(uint32_t crc, __m128i fold_n)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(crc), fold_n, 0x10);

	return _mm_crc32_u64(0, _mm_cvtsi128_si64(product));
}

/*
 * A crc32 takes three cycles, but one can start in each: three neighbouring blocks are
 * checksummed at a time. Longer blocks would save some of the skipping, but hardware
 * prefetching does not follow three places far from each other.
 */
CRC32C_INLINE TARGET_SSE42 uint32_t sse42(uint32_t crc, struct crc32c_flow flow, size_t len)
{
	enum { BLOCK = 128 };
	size_t at = 0;

	for (; len - at >= 3 * BLOCK; at += 3 * BLOCK) {
		uint64_t a = crc, b = 0, c = 0;

		for (size_t i = at; i < at + BLOCK; i += 8) {
			a = _mm_crc32_u64(a, crc32c_take_u64(&flow, i));
			b = _mm_crc32_u64(b, crc32c_take_u64(&flow, i + BLOCK));
			c = _mm_crc32_u64(c, crc32c_take_u64(&flow, i + 2 * BLOCK));
		}
		crc = skip(a, _mm_set_epi64x(FOLD_2048)) ^ skip(b, _mm_set_epi64x(FOLD_1024)) ^ c;
	}
	return serial(crc, &flow, at, len);
}

bool krepis_crc32c_sse42_supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

TARGET_SSE42 uint32_t krepis_crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
	return ~sse42(~crc, (struct crc32c_flow){ data, NULL, CRC32C_READ }, len);
}

TARGET_SSE42 uint32_t krepis_copy_crc32c_sse42(uint32_t crc, void *dst, const void *src,
					       size_t len)
{
	return ~sse42(~crc, (struct crc32c_flow){ src, dst, CRC32C_COPY }, len);
}

/* ------------------------------------------------------------------------ AVX-512 */

/*
 * From here on a copy goes past the caches. It saves reading @dst before overwriting it, and
 * @src and @dst together would hardly stay cached for the next reader anyway.
 */
#define STREAM_MIN_BYTES	((size_t)32 << 20)

CRC32C_INLINE TARGET_AVX512 __m512i take(const struct crc32c_flow *flow, size_t at)
{
	__m512i bytes = _mm512_loadu_si512(flow->src + at);

	if (flow->mode == CRC32C_COPY)
		_mm512_storeu_si512(flow->dst + at, bytes);
	else if (flow->mode == CRC32C_STREAM)
		_mm512_stream_si512((__m512i *)(flow->dst + at), bytes);
	return bytes;
}

/* Folds the four lanes of 128 bits in @acc, given FOLD_n for each, into those of @later. */
CRC32C_INLINE TARGET_AVX512 __m512i fold(__m512i acc, __m512i folds, __m512i later)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(acc, folds, 0x00),
					 _mm512_clmulepi64_epi128(acc, folds, 0x11),
					 later, 0x96 /* xor of all three */);
}

/* The checksum of 64 bytes: three lanes are folded into the last one, crc32 does the rest. */
CRC32C_INLINE TARGET_AVX512 uint32_t reduce(__m512i acc)
{
	const __m512i folds = _mm512_set_epi64(0, 0, FOLD_128, FOLD_256, FOLD_384);
	__m512i four = fold(acc, folds, _mm512_maskz_mov_epi64(0xc0, acc));
	__m256i two = _mm256_xor_si256(_mm512_castsi512_si256(four),
				       _mm512_extracti64x4_epi64(four, 1));
	__m128i one = _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));

	return _mm_crc32_u64(_mm_crc32_u64(0, _mm_cvtsi128_si64(one)), _mm_extract_epi64(one, 1));
}

/*
 * @a, and in the main loop @a to @d one behind the other, stand for the message up to @at: they
 * have the remainder of all of it. Four are enough to keep the multiplier busy.
 */
CRC32C_INLINE TARGET_AVX512 uint32_t avx512(uint32_t crc, struct crc32c_flow flow, size_t len)
{
	const __m512i fold_512 = _mm512_broadcast_i32x4(_mm_set_epi64x(FOLD_512));
	const __m512i fold_1024 = _mm512_broadcast_i32x4(_mm_set_epi64x(FOLD_1024));
	const __m512i fold_2048 = _mm512_broadcast_i32x4(_mm_set_epi64x(FOLD_2048));
	__m512i a, b, c, d;
	size_t at = 64;

	if (len < 64)
		return serial(crc, &flow, 0, len);

	a = _mm512_xor_si512(take(&flow, 0), _mm512_zextsi128_si512(_mm_cvtsi32_si128(crc)));
	if (len >= 256) {
		b = take(&flow, 64);
		c = take(&flow, 128);
		d = take(&flow, 192);
		for (at = 256; len - at >= 256; at += 256) {
			a = fold(a, fold_2048, take(&flow, at));
			b = fold(b, fold_2048, take(&flow, at + 64));
			c = fold(c, fold_2048, take(&flow, at + 128));
			d = fold(d, fold_2048, take(&flow, at + 192));
		}
		a = fold(a, fold_1024, c);
		b = fold(b, fold_1024, d);
		a = fold(a, fold_512, b);
	}
	for (; len - at >= 64; at += 64)
		a = fold(a, fold_512, take(&flow, at));
	return serial(reduce(a), &flow, at, len);
}

bool krepis_crc32c_avx512_supported(void)
{
	return krepis_crc32c_sse42_supported() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("vpclmulqdq");
}

TARGET_AVX512 uint32_t krepis_crc32c_avx512(uint32_t crc, const void *data, size_t len)
{
	return ~avx512(~crc, (struct crc32c_flow){ data, NULL, CRC32C_READ }, len);
}

/* Streaming, whose stores are weakly ordered, ends with a fence: @dst may be published next. */
static TARGET_AVX512 uint32_t stream(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t head = -(uintptr_t)dst % 64;

	crc = serial(crc, &(struct crc32c_flow){ src, dst, CRC32C_COPY }, 0, head);
	crc = avx512(crc, (struct crc32c_flow){ src + head, dst + head, CRC32C_STREAM },
		     len - head);
	_mm_sfence();
	return crc;
}

TARGET_AVX512 uint32_t krepis_copy_crc32c_avx512(uint32_t crc, void *dst, const void *src,
						 size_t len)
{
	if (len >= STREAM_MIN_BYTES)
		return ~stream(~crc, dst, src, len);
	return ~avx512(~crc, (struct crc32c_flow){ src, dst, CRC32C_COPY }, len);
}

#endif /* __x86_64__ */
