/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C on arm64: with the crc32c instructions of ARMv8.
 */
#ifdef __aarch64__

#include <sys/auxv.h>
#include "crc32c.h"

/* Not intrinsics: some compilers hide them unless all of the file may use the instructions. */
CRC32C_INLINE uint32_t add_u64(uint32_t crc, uint64_t word)
{
	__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r" (crc) : "r" (word));
	return crc;
}

CRC32C_INLINE uint32_t add_u8(uint32_t crc, uint8_t byte)
{
	__asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r" (crc) : "r" (byte));
	return crc;
}

CRC32C_INLINE uint32_t armv8(uint32_t crc, struct crc32c_flow flow, size_t len)
{
	size_t at = 0;

	for (; len - at >= 8; at += 8)
		crc = add_u64(crc, crc32c_take_u64(&flow, at));
	for (; at < len; at++)
		crc = add_u8(crc, crc32c_take_u8(&flow, at));
	return crc;
}

bool krepis_crc32c_armv8_supported(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

uint32_t krepis_crc32c_armv8(uint32_t crc, const void *data, size_t len)
{
	return ~armv8(~crc, (struct crc32c_flow){ data, NULL, CRC32C_READ }, len);
}

uint32_t krepis_copy_crc32c_armv8(uint32_t crc, void *dst, const void *src, size_t len)
{
	return ~armv8(~crc, (struct crc32c_flow){ src, dst, CRC32C_COPY }, len);
}

#endif /* __aarch64__ */
