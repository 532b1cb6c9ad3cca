// SPDX-License-Identifier: MIT
/*
 * Kernels and sandboxes that lack a system call: what the library does without it.
 * Each test runs in a child to which the call is refused.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "helpers.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define LARGE	2000	/* goes into a buffer */

/* From here on the system call @number answers with ENOSYS. */
static void lose(long number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(SKIPPED);
}

struct lost {
	long calls[2];
};

static void lose_all(const struct lost *lost)
{
	for (size_t i = 0; i < ARRAY_SIZE(lost->calls) && lost->calls[i]; i++)
		lose(lost->calls[i]);
}

/* ---------------------------------------------------------------- both sides sleep a lot */

static size_t size_of(unsigned int n)
{
	return n % 5 ? n % 1000 : LARGE;
}

static void *send_all(void *producer)
{
	uint8_t data[LARGE];

	for (unsigned int n = 0; n < rounds(3000); n++) {
		fill(data, size_of(n), n);
		must(!krepis_send(producer, (uint16_t)n, data, size_of(n), SOON));
		if (!(n % 64))
			nap();
	}
	return NULL;
}

static void stream(void)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, KREPIS_ATTACH_NO_SPIN);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, KREPIS_ATTACH_NO_SPIN);
	pthread_t sending;

	must(!pthread_create(&sending, NULL, send_all, producer));
	for (unsigned int n = 0; n < rounds(3000); n++) {
		recv_filled(consumer, n, 1, size_of(n));
		if (n % 64 == 32)
			nap();
	}
	must(!pthread_join(sending, NULL));
	must(!krepis_drain(producer, SOON));
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void streaming_child(void *arg)
{
	lose_all(arg);
	stream();
}

static void messages_flow_without_futex_waitv(void **state)
{
	struct lost lost = { { SYS_futex_waitv } };

	(void)state;
	join_child(spawn(streaming_child, &lost));
}

static void messages_flow_without_membarrier(void **state)
{
	struct lost lost = { { SYS_membarrier } };

	(void)state;
	join_child(spawn(streaming_child, &lost));
}

static void messages_flow_without_either(void **state)
{
	struct lost lost = { { SYS_futex_waitv, SYS_membarrier } };

	(void)state;
	join_child(spawn(streaming_child, &lost));
}

/* Each takes what it can, so that what is left is in the others' caches. */
static void *take_and_leave(void *producer)
{
	struct krepis_buffer *buffers[4];

	for (unsigned int n = 0; n < rounds(20000); n++) {
		unsigned int got = 0;

		while (got < 4 && !krepis_acquire(producer, &buffers[got], KREPIS_NOWAIT))
			fill(krepis_buffer_data(buffers[got++]), 64, (uintptr_t)&n);
		while (got--) {
			must(filled(krepis_buffer_data(buffers[got]), 64, (uintptr_t)&n));
			must(!krepis_abandon(producer, buffers[got]));
		}
	}
	return NULL;
}

static void cache(struct krepis_channel *channel, struct krepis_endpoint *producer)
{
	pthread_t other;

	must(!pthread_create(&other, NULL, take_and_leave, producer));
	take_and_leave(producer);
	must(!pthread_join(other, NULL));
	must(count_free(producer) == 6);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void caching_child(void *arg)
{
	struct krepis_channel *channel = anonymous(SMALL_RING(.buffer_count = 6));

	lose_all(arg);
	cache(channel, attach(channel, KREPIS_PRODUCER, 0));
}

static void caching_child_that_is_confined_later(void *arg)
{
	struct krepis_channel *channel = anonymous(SMALL_RING(.buffer_count = 6));
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);

	lose_all(arg);
	cache(channel, producer);
}

static void buffers_are_cached_without_membarrier(void **state)
{
	struct lost lost = { { SYS_membarrier } };

	(void)state;
	join_child(spawn(caching_child, &lost));
	join_child(spawn(caching_child_that_is_confined_later, &lost));
}

/* ---------------------------------------------------------- without futex_waitv, in detail */

static void *shut_down_when_asleep(void *arg)
{
	struct pair *p = arg;

	must(falls_asleep(p->channel, 0, 0));
	krepis_shutdown(p->consumer);
	return NULL;
}

static void waiting_child(void *arg)
{
	struct pair p = open_pair(SMALL_RING());
	int64_t deadline;
	struct krepis_msg msg;
	pthread_t thread;

	lose_all(arg);
	deadline = krepis_deadline_ms(30);
	must(krepis_recv(p.consumer, &msg, deadline) == -ETIMEDOUT);
	must(now_ns() >= deadline && now_ns() < deadline + 1000 * MS);
	must(!pthread_create(&thread, NULL, shut_down_when_asleep, &p));
	must(krepis_recv(p.consumer, &msg, KREPIS_FOREVER) == -ESHUTDOWN);
	must(!pthread_join(thread, NULL));
	close_pair(&p);
}

static void deadlines_and_shutdown_need_no_futex_waitv(void **state)
{
	struct lost lost = { { SYS_futex_waitv } };

	(void)state;
	join_child(spawn(waiting_child, &lost));
}

struct stage {
	struct krepis_channel *channel;
	struct lost lost;
	uint64_t *waits;	/* of the consumer, when it had its message; plus 1 */
};

static void told_child(void *arg)
{
	struct stage *s = arg;
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;

	lose_all(&s->lost);
	consumer = attach_inherited(s->channel, KREPIS_CONSUMER, KREPIS_ATTACH_NO_SPIN);
	must(!krepis_recv(consumer, &msg, SOON));
	__atomic_store_n(s->waits, counters_of(consumer).waits + 1, __ATOMIC_RELEASE);
	must(krepis_recv(consumer, &msg, SOON) == -KREPIS_PEER_GONE);
	krepis_detach(consumer);
}

static void dying_child(void *arg)
{
	struct stage *s = arg;
	struct krepis_endpoint *producer = attach_inherited(s->channel, KREPIS_PRODUCER, 0);

	must(!krepis_wait_peer(producer, 1, SOON));
	must(!krepis_send(producer, 1, "x", 1, SOON));
	stay();
}

static void a_death_is_told_without_futex_waitv(void **state)
{
	struct stage stage = { .channel = anonymous(SMALL_RING()),
			       .lost = { { SYS_futex_waitv } },
			       .waits = shared_memory(sizeof(uint64_t)) };
	pid_t dying, told;
	uint64_t waits;

	(void)state;
	dying = spawn(dying_child, &stage);
	told = spawn(told_child, &stage);
	assert_true(until(waits = __atomic_load_n(stage.waits, __ATOMIC_ACQUIRE)));
	assert_true(falls_asleep(stage.channel, 0, waits - 1));
	kill_child(dying);
	join_child(told);
	krepis_channel_close(stage.channel);
}

/* ---------------------------------------------------------------- what it cannot do without */

static void attaching_child(void *arg)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *endpoint;
	unsigned int fds = open_fds();

	lose_all(arg);
	if (on_kmod()) {
		must(connected(channel, channel));
	} else {
		must(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint) == -ENOSYS);
		must(krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint) == -ENOSYS);
	}
	must(open_fds() == fds && threads() == 1);
	must(!status_of(channel).live && !status_of(channel).producer);
	krepis_channel_close(channel);
}

static void without_robust_futexes_only_the_module_attaches(void **state)
{
	struct lost lost = { { SYS_set_robust_list } };

	(void)state;
	join_child(spawn(attaching_child, &lost));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(messages_flow_without_futex_waitv),
		CLAIM(messages_flow_without_membarrier),
		CLAIM(messages_flow_without_either),
		CLAIM(buffers_are_cached_without_membarrier),
		CLAIM(deadlines_and_shutdown_need_no_futex_waitv),
		CLAIM(a_death_is_told_without_futex_waitv),
		CLAIM(without_robust_futexes_only_the_module_attaches),
	};

	return RUN("fallback", tests);
}
