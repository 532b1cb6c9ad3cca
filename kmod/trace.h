/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: /sys/kernel/tracing/events/krepis. A channel is told by its inode
 * number, an endpoint by its slot: 0 the producer, 1 + i consumer i.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM krepis

#if !defined(_KREPIS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _KREPIS_TRACE_H

#include <linux/tracepoint.h>
#include "internal.h"

TRACE_EVENT(krepis_create,
	TP_PROTO(const struct inode *inode, const struct krepis_geometry *g),
	TP_ARGS(inode, g),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, kind)
		__field(u64, ring_size)
		__field(u32, buffer_count)
		__field(u64, buffer_size)
	),
	TP_fast_assign(
		__entry->ino = inode->i_ino;
		__entry->kind = g->kind;
		__entry->ring_size = g->ring_size;
		__entry->buffer_count = g->buffer_count;
		__entry->buffer_size = g->buffer_size;
	),
	TP_printk("ino=%lu kind=%u ring_size=%llu buffer_count=%u buffer_size=%llu", __entry->ino,
		  __entry->kind, __entry->ring_size, __entry->buffer_count, __entry->buffer_size)
);

TRACE_EVENT(krepis_attach,
	TP_PROTO(const struct krepis_endpoint *ep, u32 rights),
	TP_ARGS(ep, rights),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, slot)
		__field(u32, rights)
	),
	TP_fast_assign(
		__entry->ino = ep->channel->inode->i_ino;
		__entry->slot = ep->number;
		__entry->rights = rights;
	),
	TP_printk("ino=%lu slot=%u rights=%#x", __entry->ino, __entry->slot, __entry->rights)
);

/* The end of an endpoint; a death if it did not say before that it would go. */
TRACE_EVENT(krepis_leave,
	TP_PROTO(const struct krepis_endpoint *ep),
	TP_ARGS(ep),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, slot)
		__field(bool, death)
	),
	TP_fast_assign(
		__entry->ino = ep->channel->inode->i_ino;
		__entry->slot = ep->number;
		__entry->death = !ep->orderly;
	),
	TP_printk("ino=%lu slot=%u death=%d", __entry->ino, __entry->slot, __entry->death)
);

TRACE_EVENT(krepis_handoff,
	TP_PROTO(const struct krepis_endpoint *ep, struct krepis_handle handle, u32 len, int err),
	TP_ARGS(ep, handle, len, err),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, index)
		__field(u32, generation)
		__field(u32, len)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->ino = ep->channel->inode->i_ino;
		__entry->index = handle.index;
		__entry->generation = handle.generation;
		__entry->len = len;
		__entry->err = err;
	),
	TP_printk("ino=%lu buffer=%u/%u len=%u err=%d", __entry->ino, __entry->index,
		  __entry->generation, __entry->len, __entry->err)
);

TRACE_EVENT(krepis_release,
	TP_PROTO(const struct krepis_endpoint *ep, struct krepis_handle handle, int err),
	TP_ARGS(ep, handle, err),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, slot)
		__field(u32, index)
		__field(u32, generation)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->ino = ep->channel->inode->i_ino;
		__entry->slot = ep->number;
		__entry->index = handle.index;
		__entry->generation = handle.generation;
		__entry->err = err;
	),
	TP_printk("ino=%lu slot=%u buffer=%u/%u err=%d", __entry->ino, __entry->slot,
		  __entry->index, __entry->generation, __entry->err)
);

/* The end of a wait: 0 by an event. */
TRACE_EVENT(krepis_wait,
	TP_PROTO(const struct krepis_endpoint *ep, int err),
	TP_ARGS(ep, err),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, slot)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->ino = ep->channel->inode->i_ino;
		__entry->slot = ep->number;
		__entry->err = err;
	),
	TP_printk("ino=%lu slot=%u err=%d", __entry->ino, __entry->slot, __entry->err)
);

TRACE_EVENT(krepis_wake,
	TP_PROTO(const struct krepis_endpoint *ep, u32 consumers),
	TP_ARGS(ep, consumers),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(u32, slot)
		__field(u32, consumers)
	),
	TP_fast_assign(
		__entry->ino = ep->channel->inode->i_ino;
		__entry->slot = ep->number;
		__entry->consumers = consumers;
	),
	TP_printk("ino=%lu slot=%u consumers=%#x", __entry->ino, __entry->slot,
		  __entry->consumers)
);

TRACE_EVENT(krepis_refuse,
	TP_PROTO(const struct inode *inode, unsigned int cmd, int err),
	TP_ARGS(inode, cmd, err),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(unsigned int, cmd)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->ino = inode->i_ino;
		__entry->cmd = cmd;
		__entry->err = err;
	),
	TP_printk("ino=%lu cmd=%#x err=%d", __entry->ino, __entry->cmd, __entry->err)
);

#endif /* _KREPIS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
