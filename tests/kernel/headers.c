// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compiled by tests/kernel/run for each kernel: the shared algorithms in the
 * kernel's world. One function that uses them all, and nothing to run.
 */
#include <linux/module.h>
#include <krepis/geometry.h>
#include <krepis/ownership.h>
#include <krepis/ring.h>
#include <krepis/triple.h>

int krepis_headers(struct krepis_desc *desc, struct krepis_producer *producer, void *consumers,
		   struct krepis_exchange *x, const struct krepis_geometry *g);

int krepis_headers(struct krepis_desc *desc, struct krepis_producer *producer, void *consumers,
		   struct krepis_exchange *x, const struct krepis_geometry *g)
{
	struct krepis_layout l = krepis_layout(g);
	struct krepis_ring_writer w = { .head = 0 };
	struct krepis_ring_marks marks;
	struct krepis_record record;
	struct krepis_desc what = *desc;
	u32 live = 1, count;
	int n = krepis_geometry_check(g);

	krepis_format(desc, g, &l);
	n += krepis_own_publish(desc, 1, &live, 1, &what);
	n += krepis_own_resolve(desc, 1, 1, g->buffer_size, &what);
	n += krepis_own_take(desc, 1, 1);
	n += krepis_own_evict(desc, 1);
	n += krepis_own_sweep(desc, 1);
	n += krepis_own_reclaim(desc);
	krepis_own_recover(desc, 0);
	krepis_own_forgo(desc, 1, 0, true);
	n += krepis_triple_last(desc);
	n += krepis_own_returned(desc, 1);
	n += krepis_ring_admit(&w, g->ring_size, &live, 1, consumers, g->page_size);
	n += krepis_ring_marks(producer, g->ring_size, &marks);
	n += krepis_ring_available(producer, g->ring_size, 0, false);
	n += krepis_ring_record(desc, 64, g->inline_max, &record);
	n += krepis_ring_join(producer, krepis_consumer_at(consumers, g->page_size, 0));
	n += krepis_ring_intact(producer, 0);
	krepis_ring_describe(desc, 0, 0, 0);
	krepis_ring_mark(producer, &marks);
	krepis_ring_publish(producer, 0);
	n += krepis_triple_publish(x, &producer->back, 0, 1);
	n += krepis_triple_pending(x);
	n += krepis_triple_take(x, &producer->back, 0, &count);
	n += krepis_triple_claim(x, &producer->back);
	return n;
}

MODULE_DESCRIPTION("The shared headers of krepis, compiled for the kernel");
MODULE_LICENSE("GPL");
