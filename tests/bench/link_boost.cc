// SPDX-License-Identifier: MIT
/*
 * boost::lockfree::spsc_queue of fixed capacity (BENCH_RING_BYTES), constructed in shared memory.
 *
 * Single: push() copies in, consume_one() reads in place. Batches: push(first,
 * count) and pop(first, count), one index update each.
 */
#include "loops.h"

#if __has_include(<boost/lockfree/spsc_queue.hpp>)

#include <boost/lockfree/spsc_queue.hpp>
#include <new>

namespace {

template <size_t Size> struct message {
	uint64_t word[Size / 8];
};

template <size_t Size> struct lanes {
	using item = message<Size>;
	using queue = boost::lockfree::spsc_queue<item,
		boost::lockfree::capacity<BENCH_RING_BYTES / Size>>;

	struct alignas(128) lane {
		queue q;
	} there, back;

	static queue *tx(struct link *l)
	{
		return static_cast<queue *>(l->tx);
	}

	static queue *rx(struct link *l)
	{
		return static_cast<queue *>(l->rx);
	}

	static inline int send(struct link *l, uint64_t sequence)
	{
		item *m = static_cast<item *>(l->buffer);
		queue *q = tx(l);

		payload_fill(m, Size, sequence);
		while (!q->push(*m))
			cpu_relax();
		return 0;
	}

	static inline int recv(struct link *l, uint64_t *sequence)
	{
		queue *q = rx(l);
		bool good = false;
		auto check = [&](const item &m) { good = payload_check(&m, Size, sequence); };

		while (!q->consume_one(check))
			cpu_relax();
		return good ? 0 : -EBADMSG;
	}

	static inline int stage(struct link *l, uint64_t sequence)
	{
		payload_fill(static_cast<item *>(l->buffer) + l->sent++, Size, sequence);
		return 0;
	}

	static inline int flush(struct link *l)
	{
		const item *m = static_cast<item *>(l->buffer);
		queue *q = tx(l);
		size_t n = l->sent;

		while (n) {
			size_t done = q->push(m, n);

			if (!done)
				cpu_relax();
			m += done;
			n -= done;
		}
		l->sent = 0;
		return 0;
	}

	/* l->received of the l->sent messages in the buffer are used up. */
	static inline int recv_batch(struct link *l, uint64_t *sequence)
	{
		item *m = static_cast<item *>(l->buffer);
		queue *q = rx(l);

		if (l->received == l->sent) {
			l->received = 0;
			while (!(l->sent = q->pop(m, l->batch)))
				cpu_relax();
		}
		return payload_check(m + l->received++, Size, sequence) ? 0 : -EBADMSG;
	}

	static int setup(bench_run *run, struct link *l)
	{
		l->shared_size = sizeof(lanes);
		l->shared = run_shared_alloc(l->shared_size);
		if (!l->shared)
			return bench_error(run, 0, "no memory");
		new (l->shared) lanes;
		return 0;
	}

	static int attach(bench_run *, struct link *l, int who)
	{
		lanes *both = static_cast<lanes *>(l->shared);

		l->tx = who ? &both->back.q : &both->there.q;
		l->rx = who ? &both->there.q : &both->back.q;
		return 0;
	}

	static int ping(bench_run *run, struct link *l)
	{
		return loop_ping(run, l, send, recv);
	}

	static int pong(bench_run *run, struct link *l)
	{
		return loop_pong(run, l, send, recv);
	}

	static int produce(bench_run *run, struct link *l)
	{
		if (l->batch > 1)
			return loop_produce(run, l, stage, flush);
		return loop_produce(run, l, send, loop_no_flush);
	}

	static int consume(bench_run *run, struct link *l)
	{
		if (l->batch > 1)
			return loop_consume(run, l, recv_batch);
		return loop_consume(run, l, recv);
	}
};

/* What has to be done for one size. */
struct entry {
	size_t size;
	int (*setup)(bench_run *, struct link *);
	int (*attach)(bench_run *, struct link *, int);
	int (*ping)(bench_run *, struct link *);
	int (*pong)(bench_run *, struct link *);
	int (*produce)(bench_run *, struct link *);
	int (*consume)(bench_run *, struct link *);
};

template <size_t Size> constexpr entry make_entry()
{
	using l = lanes<Size>;

	return { Size, l::setup, l::attach, l::ping, l::pong, l::produce, l::consume };
}

constexpr entry entries[] = {
	make_entry<8>(), make_entry<64>(), make_entry<256>(), make_entry<1024>(),
	make_entry<4096>(),
};

const entry *find(size_t size)
{
	for (const entry &e : entries)
		if (e.size == size)
			return &e;
	return nullptr;
}

bool fits(size_t size)
{
	return find(size);
}

const char *missing()
{
	return nullptr;
}

int setup(bench_run *run, struct link *l)
{
	return find(l->size)->setup(run, l);
}

int attach(bench_run *run, struct link *l, int who)
{
	return find(l->size)->attach(run, l, who);
}

int ping(bench_run *run, struct link *l)
{
	return find(l->size)->ping(run, l);
}

int pong(bench_run *run, struct link *l)
{
	return find(l->size)->pong(run, l);
}

int produce(bench_run *run, struct link *l)
{
	return find(l->size)->produce(run, l);
}

int consume(bench_run *run, struct link *l)
{
	return find(l->size)->consume(run, l);
}

/* The queue has nothing to destroy: its elements are plain bytes in the mapping. */
void teardown(struct link *l)
{
	run_shared_free(l->shared, l->shared_size);
}

} /* namespace */

#else

namespace {

constexpr auto fits = nullptr, setup = nullptr, attach = nullptr, ping = nullptr, pong = nullptr,
	       produce = nullptr, consume = nullptr, teardown = nullptr;

const char *missing()
{
	return "built without boost/lockfree (Debian: libboost-dev)";
}

} /* namespace */

#endif

const struct transport link_boost = {
	"boost-spsc", LINK_LATENCY | LINK_RATE | LINK_BATCHES,
	missing, fits, nullptr, setup, attach, ping, pong, produce, consume, nullptr, nullptr,
	teardown,
};
