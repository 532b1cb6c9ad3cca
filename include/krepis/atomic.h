/* SPDX-License-Identifier: MIT */
/*
 * The memory operations of the shared algorithms, in the kernel's words and
 * with the kernel's meaning, so that one header serves both worlds.
 *
 * krepis_cas(), krepis_xchg() and the fetch operations acquire and release.
 * krepis_mb_after_atomic() behind one of them makes it a full barrier (which it
 * is already on x86); krepis_mb() is one by itself; krepis_barrier() binds only
 * the compiler.
 */
#ifndef _KREPIS_ATOMIC_H
#define _KREPIS_ATOMIC_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/krepis.h>

#define krepis_read(p)			READ_ONCE(*(p))
#define krepis_write(p, v)		WRITE_ONCE(*(p), (v))
#define krepis_load_acquire(p)		smp_load_acquire(p)
#define krepis_store_release(p, v)	smp_store_release((p), (v))
#define krepis_cas(p, old, new)		try_cmpxchg((p), (old), (new))
#define krepis_xchg(p, v)		xchg((p), (v))
#define krepis_mb()			smp_mb()
#define krepis_mb_after_atomic()	smp_mb__after_atomic()
#define krepis_barrier()		barrier()
#define krepis_rmb()			smp_rmb()
#define krepis_wmb()			smp_wmb()

/* The atomics and not a loop of ours: a peer that keeps writing must not keep us here. */
static inline __u32 krepis_fetch_or(__u32 *p, __u32 bits)
{
	return (__u32)atomic_fetch_or((int)bits, (atomic_t *)p);
}

static inline __u32 krepis_fetch_andnot(__u32 *p, __u32 bits)
{
	return (__u32)atomic_fetch_andnot((int)bits, (atomic_t *)p);
}

#else /* !__KERNEL__ */

#include <errno.h>
#include <stdbool.h>
#include <linux/krepis.h>

#define krepis_read(p)			__atomic_load_n((p), __ATOMIC_RELAXED)
#define krepis_write(p, v)		__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define krepis_load_acquire(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define krepis_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define krepis_cas(p, old, new)                                                \
	__atomic_compare_exchange_n((p), (old), (new), false, __ATOMIC_SEQ_CST, \
				    __ATOMIC_SEQ_CST)
#define krepis_xchg(p, v)		__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define krepis_fetch_or(p, bits)	__atomic_fetch_or((p), (bits), __ATOMIC_SEQ_CST)
#define krepis_fetch_andnot(p, bits)	__atomic_fetch_and((p), ~(bits), __ATOMIC_SEQ_CST)
#define krepis_mb()			__atomic_thread_fence(__ATOMIC_SEQ_CST)
#if defined(__x86_64__) || defined(__i386__)
#define krepis_mb_after_atomic()	krepis_barrier()
#else
#define krepis_mb_after_atomic()	krepis_mb()
#endif
#define krepis_barrier()		__atomic_signal_fence(__ATOMIC_SEQ_CST)
#define krepis_rmb()			__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define krepis_wmb()			__atomic_thread_fence(__ATOMIC_RELEASE)

#endif /* __KERNEL__ */
#endif /* _KREPIS_ATOMIC_H */
