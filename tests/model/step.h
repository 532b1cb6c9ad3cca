/* SPDX-License-Identifier: MIT */
/*
 * Runs the real functions of include/krepis one memory access at a time.
 *
 * The model checker may switch processes only between two steps, and a C
 * function called from a model is one step. So this header takes the place of
 * <krepis/atomic.h> and makes every access of the function under test a step of
 * its own, without a second copy of the algorithm in the model's language:
 *
 *	step 1	the function runs, access 1 is performed and its result logged;
 *		at access 2 it is abandoned
 *	step 2	it runs again from the start, access 1 is answered from the log,
 *		access 2 is performed and logged; at access 3 it is abandoned
 *	step n	... it returns, and the call is over
 *
 * The functions have no side effect but their accesses, so a replay is exact.
 * The log is part of the model's state; its entries are two bytes, see
 * model_pack(). All accesses of a model happen in one order that everybody
 * sees. What the barriers are for on weaker machines stands at each barrier of
 * the headers and is not checked here.
 *
 * A model that includes this defines before it
 *	MODEL_ACTORS		how many processes make calls
 *	MODEL_LOG		the most values that one call finds
 *	model_quiet(p)		whether the access is performed together with the
 *				one before it (memory that no other process may
 *				touch then: the ownership of the payload, which
 *				each model checks, protects it)
 *	model_seen(actor, op, p, &old, &new)
 *				judges each access before it really happens; the
 *				mutations, which the model must find, change it here
 *	model_name(actor, p)	what a trail calls them
 */
#ifndef _KREPIS_MODEL_STEP_H
#define _KREPIS_MODEL_STEP_H

#define _KREPIS_ATOMIC_H	/* instead of */

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <linux/krepis.h>

enum model_op {
	MODEL_READ,	/* krepis_read() */
	MODEL_LOAD,	/* krepis_load_acquire(): the same here */
	MODEL_STORE,
	MODEL_XCHG,
	MODEL_CAS,
	MODEL_OR,
	MODEL_ANDNOT,
	MODEL_CAS_FAILED,
};

/**
 * struct model_actor - where one process stands inside a call
 * @running: the call has not returned
 * @done:    accesses performed so far
 * @result:  what the last call returned
 * @log:     what each access but a store found
 */
struct model_actor {
	__u8 running;
	__u8 done;
	__s16 result;
	__u16 log[MODEL_LOG];
};

static struct model_actor model_actor[MODEL_ACTORS];
static const char *model_error;
static bool model_trail;	/* a trail is replayed: tell what happens */

/* Only within one step. */
static struct model_actor *model_self;
static unsigned int model_next, model_next_log;
static bool model_spent;
static jmp_buf model_leave;

static bool model_quiet(const void *p);
static void model_seen(int actor, enum model_op op, const void *p, __u64 *old, __u64 *new);

static const char *model_actor_name(int actor);
static const char *model_name(const void *p);

static void model_fail(const char *why)
{
	if (!model_error)
		model_error = why;
}

/*
 * Two bytes for the values that a model meets: the highest bit; five bits of generation,
 * count or type; ten of state, position or mask, of which all ones stands for 32 ones.
 */
static __u16 model_pack(__u64 v)
{
	__u32 low = (__u32)v;
	__u64 middle = v << 1 >> 33;

	if (middle >> 5 || (low >= 0x3ff && low != 0xffffffffU))
		model_fail("value does not fit the log");
	return (__u16)(v >> 63 << 15 | middle << 10 | (low & 0x3ff));
}

static __u64 model_unpack(__u16 v)
{
	__u32 low = v & 0x3ff;

	return (__u64)(v >> 15) << 63 | (__u64)(v >> 10 & 0x1f) << 32 |
	       (low == 0x3ff ? 0xffffffffU : low);
}

/* A line of a trail. */
static void model_tell(int actor, enum model_op op, const void *p, __u64 old, __u64 new)
{
	static const char * const verb[] = {
		"read", "load", "store", "xchg", "cas", "or", "andnot", "failed cas",
	};

	if (!model_trail || model_quiet(p))
		return;
	printf("| %-10s %-10s %-20s %llx", model_actor_name(actor), verb[op], model_name(p),
	       (unsigned long long)old);
	if (old != new)
		printf(" -> %llx", (unsigned long long)new);
	printf("\n");
}

/* The one place where a call touches shared memory. Return: what was there. */
static __u64 model_access(enum model_op op, void *p, size_t size, __u64 arg, __u64 expected)
{
	__u64 old = 0, new;

	/* What a store overwrote is not the function's to know. */
	if (model_next < model_self->done) {
		model_next++;
		return op == MODEL_STORE ? 0 : model_unpack(model_self->log[model_next_log++]);
	}
	if (!model_quiet(p)) {
		if (model_spent)
			longjmp(model_leave, 1);
		model_spent = true;
	}
	memcpy(&old, p, size);
	new = old;
	switch (op) {
	case MODEL_READ:
	case MODEL_LOAD:
		break;
	case MODEL_STORE:
	case MODEL_XCHG:
		new = arg;
		break;
	case MODEL_CAS:
		if (old == expected)
			new = arg;
		else
			op = MODEL_CAS_FAILED;
		break;
	case MODEL_OR:
		new = old | arg;
		break;
	case MODEL_ANDNOT:
		new = old & ~arg;
		break;
	case MODEL_CAS_FAILED:
		break;
	}
	model_seen(model_self - model_actor, op, p, &old, &new);
	memcpy(p, &new, size);
	model_tell(model_self - model_actor, op, p, old, new);
	model_self->done = ++model_next;
	if (op == MODEL_STORE)
		return 0;
	if (model_next_log == MODEL_LOG) {
		model_fail("log too short");
		longjmp(model_leave, 1);
	}
	model_self->log[model_next_log++] = model_pack(old);
	return old;
}

static bool model_cas(void *p, __u64 *old, __u64 new)
{
	__u64 found = model_access(MODEL_CAS, p, sizeof(*old), new, *old);

	if (found == *old)
		return true;
	*old = found;
	return false;
}

/* One step of actor @self's call of @fn: up to and with its next access. */
static __attribute__((noinline)) void model_step(int self, int (*fn)(int self))
{
	model_self = &model_actor[self];
	model_self->running = 1;
	model_next = 0;
	model_next_log = 0;
	model_spent = false;
	if (setjmp(model_leave))
		return;
	model_self->result = fn(self);
	model_self->running = 0;
	model_self->done = 0;
	memset(model_self->log, 0, sizeof(model_self->log));
}

#define model_load(op, p)						\
	((__typeof__(*(p)))model_access((op), (void *)(p), sizeof(*(p)), 0, 0))
#define model_store(p, v)						\
	((void)model_access(MODEL_STORE, (p), sizeof(*(p)), (__typeof__(*(p)))(v), 0))

#define krepis_read(p)			model_load(MODEL_READ, p)
#define krepis_write(p, v)		model_store(p, v)
#define krepis_load_acquire(p)		model_load(MODEL_LOAD, p)
#define krepis_store_release(p, v)	model_store(p, v)
#define krepis_cas(p, old, new)		model_cas((p), (old), (new))
#define krepis_xchg(p, v)						\
	((__typeof__(*(p)))model_access(MODEL_XCHG, (p), sizeof(*(p)), (v), 0))
#define krepis_fetch_or(p, bits)					\
	((__u32)model_access(MODEL_OR, (p), sizeof(__u32), (bits), 0))
#define krepis_fetch_andnot(p, bits)					\
	((__u32)model_access(MODEL_ANDNOT, (p), sizeof(__u32), (bits), 0))
#define krepis_mb()			((void)0)
#define krepis_mb_after_atomic()	((void)0)
#define krepis_barrier()		((void)0)
#define krepis_rmb()			((void)0)
#define krepis_wmb()			((void)0)

#endif /* _KREPIS_MODEL_STEP_H */
