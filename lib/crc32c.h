/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C: what the implementations share.
 *
 * Copying is the same walk over the source with a store behind each load. So an implementation
 * is one function of a struct crc32c_flow, compiled once for reading and once for copying.
 *
 * Within an implementation a checksum is without its inversion at both ends, a plain remainder
 * modulo P: leading zeros do not change it, and the remainder of a sum (xor) is the sum of the
 * remainders.
 *
 * Polynomials are bit-reflected, as the crc32 instructions want them: the lowest bit of a
 * message's first byte is the coefficient of its highest power of x.
 */
#ifndef _KREPIS_CRC32C_H
#define _KREPIS_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read in memory order");

#define CRC32C_HIDDEN __attribute__((visibility("hidden")))
#define CRC32C_INLINE static inline __attribute__((always_inline))

/**
 * struct krepis_crc32c_impl - one way to do it
 * @name:      for tests and benchmarks
 * @supported: whether this processor and this operating system can
 * @crc:       as krepis_crc32c()
 * @copy:      as krepis_copy_crc32c()
 */
struct krepis_crc32c_impl {
	const char *name;
	bool (*supported)(void);
	uint32_t (*crc)(uint32_t crc, const void *data, size_t len);
	uint32_t (*copy)(uint32_t crc, void *dst, const void *src, size_t len);
};

/* Fastest first, the table, which always works, last; then one without a name. */
extern CRC32C_HIDDEN const struct krepis_crc32c_impl krepis_crc32c_impls[];

#if defined(__x86_64__)
CRC32C_HIDDEN bool krepis_crc32c_avx512_supported(void);
CRC32C_HIDDEN uint32_t krepis_crc32c_avx512(uint32_t crc, const void *data, size_t len);
CRC32C_HIDDEN uint32_t krepis_copy_crc32c_avx512(uint32_t crc, void *dst, const void *src,
						 size_t len);
CRC32C_HIDDEN bool krepis_crc32c_sse42_supported(void);
CRC32C_HIDDEN uint32_t krepis_crc32c_sse42(uint32_t crc, const void *data, size_t len);
CRC32C_HIDDEN uint32_t krepis_copy_crc32c_sse42(uint32_t crc, void *dst, const void *src,
						size_t len);
#elif defined(__aarch64__)
CRC32C_HIDDEN bool krepis_crc32c_armv8_supported(void);
CRC32C_HIDDEN uint32_t krepis_crc32c_armv8(uint32_t crc, const void *data, size_t len);
CRC32C_HIDDEN uint32_t krepis_copy_crc32c_armv8(uint32_t crc, void *dst, const void *src,
						size_t len);
#endif

/*
 * Folding, after V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction" (Intel, 2009): 128 bits of a message give way to something of the same remainder
 * n bits later, which can be xored into what is there. With these 128 bits as H * x^64 + L,
 *
 *	(H * x^64 + L) * x^n  =  H * (x^(n+64) mod P) + L * (x^n mod P)  mod P
 *
 * The carry-less product of two reflected 64-bit numbers comes out multiplied by x, and a
 * reflected 32-bit number in the low half of 64 bits stands for itself times x^32. The exponents
 * make up for both, so that the constants are, in the order of _mm_set_epi64x(),
 *
 *	FOLD_n  =  x^(n-33) mod P, x^(n+31) mod P
 *
 * The unit test computes them from P again.
 */
#define FOLD_128	0x493c7d27, 0xf20c0dfe
#define FOLD_256	0xba4fc28e, 0x3da6d0cb
#define FOLD_384	0xddc0152b, 0x1c291d04
#define FOLD_512	0x9e4addf8, 0x740eef02
#define FOLD_1024	0x0d3b6092, 0x6992cea2
#define FOLD_2048	0xb9e02b86, 0xdcb17aa4

/**
 * struct crc32c_flow - the bytes to checksum, and where they go
 * @src:  each byte is loaded once: what is stored is what was checksummed, even if somebody
 *	  writes to @src meanwhile
 * @dst:  not used by CRC32C_READ
 * @mode: constant where a flow is made, so that inlining decides every test of it
 */
struct crc32c_flow {
	const uint8_t *src;
	uint8_t *dst;
	enum {
		CRC32C_READ,
		CRC32C_COPY,
		CRC32C_STREAM,	/* copy past the caches, where @dst is 64-byte aligned */
	} mode;
};

CRC32C_INLINE uint64_t crc32c_take_u64(const struct crc32c_flow *flow, size_t at)
{
	uint64_t word;

	memcpy(&word, flow->src + at, sizeof(word));
	if (flow->mode != CRC32C_READ)
		memcpy(flow->dst + at, &word, sizeof(word));
	return word;
}

CRC32C_INLINE uint8_t crc32c_take_u8(const struct crc32c_flow *flow, size_t at)
{
	uint8_t byte = flow->src[at];

	if (flow->mode != CRC32C_READ)
		flow->dst[at] = byte;
	return byte;
}

#endif /* _KREPIS_CRC32C_H */
