/* SPDX-License-Identifier: MIT */
/*
 * Debug and sanitizer builds make memory that this process does not own
 * untouchable, so that a use after the hand-over is reported at its line.
 */
#ifndef _KREPIS_POISON_H
#define _KREPIS_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define KREPIS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KREPIS_ASAN 1
#endif
#endif

#if defined(KREPIS_ASAN)

#include <sanitizer/asan_interface.h>
#define krepis_poison(p, n)	__asan_poison_memory_region((p), (n))
#define krepis_unpoison(p, n)	__asan_unpoison_memory_region((p), (n))

#elif defined(KREPIS_VALGRIND)

#include <valgrind/memcheck.h>
#define krepis_poison(p, n)	((void)VALGRIND_MAKE_MEM_NOACCESS((p), (n)))
#define krepis_unpoison(p, n)	((void)VALGRIND_MAKE_MEM_DEFINED((p), (n)))

#else

static inline void krepis_poison(const void *p, size_t n)
{
	(void)p;
	(void)n;
}

static inline void krepis_unpoison(const void *p, size_t n)
{
	(void)p;
	(void)n;
}

#endif

#endif /* _KREPIS_POISON_H */
