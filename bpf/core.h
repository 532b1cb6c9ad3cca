/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is in which domain, and what is told of what was not allowed.
 *
 * The label of a task stands in a map by the address of its credentials: there as long as
 * they are, because cred_free() removes it, and copied where the kernel copies them. By
 * credentials and not by task, so that who acts for another one is taken for the other: an
 * overlay file system that opens the file below, a thread of io_uring. And not in storage
 * of the task, because 6.1 finds nothing there while somebody else on the processor looks,
 * and a label that is not found is a task without limits.
 */
#ifndef KREPIS_BPF_CORE_H
#define KREPIS_BPF_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "kernel.h"
#include "sandbox.h"

#define EPERM	1
#define ENOMEM	12
#define EACCES	13
#define EXDEV	18
#define EINVAL	22

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SANDBOX_LABELS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} labels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SANDBOX_DOMAINS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sandbox_domain);
} domains SEC(".maps");

struct events {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SANDBOX_EVENTS);
} no_events SEC(".maps");

/* One a domain: who reads them gets his own, and nobody fills another one's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SANDBOX_DOMAINS);
	__type(key, __u32);
	__array(values, struct events);
} rings SEC(".maps");

/* Not for the programs: see the library. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SANDBOX_TEXTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct sandbox_text_key);
	__type(value, struct sandbox_text);
} texts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} abi SEC(".maps");

/*
 * Reads a field of a kernel's structure: by a load where the kernel lets a number be taken
 * for a pointer to that structure, as it does from 6.2 on, and by a call where it does not.
 * Both are safe wherever the pointer leads, and the load takes a tenth of the time.
 */
extern void *bpf_rdonly_cast(const void *from, __u32 type) __ksym __weak;

const volatile bool can_cast = false;	/* set by who loads */

#define get(type, from, field)								\
	({										\
		type *get_ = (type *)(from);						\
											\
		can_cast ? ((type *)bpf_rdonly_cast(get_, bpf_core_type_id_kernel(type)))->field : \
			   BPF_CORE_READ(get_, field);					\
	})

static __always_inline __u64 domain_of(const struct cred *cred)
{
	__u64 key = (__u64)cred;
	__u64 *label = bpf_map_lookup_elem(&labels, &key);

	return label ? *label : 0;
}

/* Of who acts, or for whom it is done. 0: none. */
static __always_inline __u64 own_domain(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	return domain_of(task->cred);
}

/* What the table @map has for the domain @id. */
static __always_inline void *of_domain(void *map, __u64 id)
{
	__u32 slot = sandbox_slot(id);

	return bpf_map_lookup_elem(map, &slot);
}

/* The domain @id, or NULL: who is in one that is not there may do nothing. */
static __always_inline struct sandbox_domain *live_domain(__u64 id)
{
	struct sandbox_domain *d = of_domain(&domains, id);

	return id && d && d->id == id ? d : NULL;
}

/* What a denial is, where only complaining is asked for: nothing. */
static __always_inline int verdict(const struct sandbox_domain *d, int err)
{
	return d->flags & SANDBOX_COMPLAIN ? 0 : err;
}

/* An event without its object, or NULL if there is no room. To be submitted. */
static __always_inline struct sandbox_event *event_begin(__u64 id, struct sandbox_domain *d,
							 __u32 kind, __u32 rights)
{
	void *ring = of_domain(&rings, id);
	struct sandbox_event *e;

	__sync_fetch_and_add(&d->denials, 1);
	e = ring ? bpf_ringbuf_reserve(ring, sizeof(*e), 0) : NULL;
	if (!e) {
		__sync_fetch_and_add(&d->lost, 1);
		return NULL;
	}
	e->time_ns = bpf_ktime_get_boot_ns();
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->kind = kind;
	e->rights = rights;
	e->allowed = !!(d->flags & SANDBOX_COMPLAIN);
	e->bytes = 0;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	return e;
}

/* Tells of what is no file; @object has @bytes, a constant. */
#define tell_of(id, d, kind, rights, from, size)					\
	do {										\
		struct sandbox_event *e_ = event_begin(id, d, kind, rights);		\
											\
		if (e_) {								\
			__builtin_memcpy(e_->object, from, size);			\
			e_->bytes = size;						\
			bpf_ringbuf_submit(e_, 0);					\
		}									\
	} while (0)

#endif /* KREPIS_BPF_CORE_H */
