// SPDX-License-Identifier: MIT
/*
 * fork(): an endpoint is its process's alone. In the child every call on it says so,
 * nothing that the child does touches the parent's channel, and it may attach its own.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

/* All that a process can have when it forks. */
struct belongings {
	struct pair ring;
	struct pair triple;
	struct krepis_buffer *acquired;
	struct krepis_msg held;		/* in a buffer */
	struct krepis_msg view;		/* inline */
	uint32_t *ready;
	unsigned int fds;
};

static struct belongings collect(void)
{
	struct belongings b = {
		.ring = open_pair(SMALL_RING()),
		.triple = open_pair(SMALL_TRIPLE),
		.ready = shared_memory(sizeof(uint32_t)),
	};
	uint8_t data[LARGE];
	void *value;

	fill(data, LARGE, 1);
	must(!krepis_send(b.ring.producer, 1, data, LARGE, KREPIS_NOWAIT));
	fill(data, 100, 2);
	must(!krepis_send(b.ring.producer, 1, data, 100, KREPIS_NOWAIT));
	fill(data, 100, 3);
	must(!krepis_send(b.ring.producer, 1, data, 100, KREPIS_NOWAIT));
	must(!krepis_acquire(b.ring.producer, &b.acquired, KREPIS_NOWAIT));
	fill(krepis_buffer_data(b.acquired), 4096, 4);
	must(!krepis_recv(b.ring.consumer, &b.held, KREPIS_NOWAIT));
	must(!krepis_recv(b.ring.consumer, &b.view, KREPIS_NOWAIT));
	must(!krepis_triple_begin(b.triple.producer, &value));
	fill(value, 4096, 5);
	must(!krepis_triple_commit(b.triple.producer, 1, 4096));
	b.fds = open_fds();
	return b;
}

/* Everything is as collect() left it, and works. */
static void assert_untouched(struct belongings *b)
{
	struct krepis_msg msg;

	assert_true(filled(b->held.data, LARGE, 1));
	assert_true(filled(b->view.data, 100, 2));
	recv_filled(b->ring.consumer, 3, 1, 100);
	assert_ok(krepis_release(b->ring.consumer, &b->held));
	assert_true(filled(krepis_buffer_data(b->acquired), 4096, 4));
	assert_ok(krepis_publish(b->ring.producer, b->acquired, 1, 4096, 0, KREPIS_NOWAIT));
	recv_filled(b->ring.consumer, 4, 1, 4096);
	assert_error(krepis_recv(b->ring.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	assert_ok(krepis_triple_read(b->triple.consumer, &msg));
	assert_true(filled(msg.data, 4096, 5));
	assert_int_equal(status_of(b->ring.channel).deaths, 0);
	assert_int_equal(status_of(b->ring.channel).live, 1);
	assert_int_equal(status_of(b->triple.channel).deaths, 0);
}

static void give_away(struct belongings *b)
{
	close_pair(&b->ring);
	close_pair(&b->triple);
}

/* ----------------------------------------------------------------- every call in a child */

static void calling_child(void *arg)
{
	struct belongings *b = arg;
	struct krepis_endpoint *producer = b->ring.producer, *consumer = b->ring.consumer;
	struct krepis_status status = { .size = sizeof(status) };
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	void *data;

	must(krepis_send(producer, 1, "x", 1, KREPIS_FOREVER) == -EBADF);
	must(krepis_send(producer, 1, status.backend, LARGE, KREPIS_FOREVER) == -EBADF);
	must(krepis_send_begin(producer, 1, &data, KREPIS_FOREVER) == -EBADF);
	must(krepis_send_commit(producer, 1, 0) == -EBADF);
	krepis_send_cancel(producer);
	must(krepis_flush(producer) == -EBADF);
	must(krepis_acquire(producer, &buffer, KREPIS_NOWAIT) == -EBADF);
	must(krepis_publish(producer, b->acquired, 1, 1, 0, KREPIS_FOREVER) == -EBADF);
	must(krepis_abandon(producer, b->acquired) == -EBADF);
	must(krepis_buffer_lookup(producer, (struct krepis_handle){ 0, 1 }, &buffer) == -EBADF);
	must(krepis_drain(producer, KREPIS_FOREVER) == -EBADF);
	must(krepis_wait(producer, KREPIS_FOREVER) == -EBADF);
	must(krepis_wait_peer(producer, 1, KREPIS_FOREVER) == -EBADF);
	must(krepis_endpoint_query(producer, &status) == -EBADF);
	must(krepis_recv(consumer, &msg, KREPIS_FOREVER) == -EBADF);
	must(krepis_recv_batch(consumer, &msg, 1, KREPIS_FOREVER) == -EBADF);
	must(krepis_release(consumer, &b->held) == -EBADF);
	must(krepis_release(consumer, &b->view) == -EBADF);
	must(krepis_msg_put(&b->held) == -EBADF);
	must(krepis_buffer_lookup(consumer, (struct krepis_handle){ 0, 1 }, &buffer) == -EBADF);
	must(krepis_wait(consumer, KREPIS_FOREVER) == -EBADF);
	must(krepis_wait_peer(consumer, 1, KREPIS_FOREVER) == -EBADF);
	must(krepis_endpoint_query(consumer, &status) == -EBADF);
	must(krepis_triple_begin(b->triple.producer, &data) == -EBADF);
	must(krepis_triple_commit(b->triple.producer, 1, 1) == -EBADF);
	must(krepis_triple_read(b->triple.consumer, &msg) == -EBADF);
	must(krepis_wait(b->triple.consumer, KREPIS_FOREVER) == -EBADF);
	krepis_shutdown(producer);
	krepis_shutdown(consumer);
}

static void every_call_in_a_child_is_refused(void **state)
{
	struct belongings b = collect();

	(void)state;
	join_child(spawn(calling_child, &b));
	assert_untouched(&b);
	give_away(&b);
}

static void sharing_child(void *arg)
{
	struct belongings *b = arg;

	must(krepis_msg_get(&b->held) == -EBADF);
}

static void sharing_a_message_in_a_child_is_refused(void **state)
{
	struct belongings b = collect();

	(void)state;
	join_child(spawn(sharing_child, &b));
	assert_untouched(&b);
	give_away(&b);
}

static void detaching_child(void *arg)
{
	struct belongings *b = arg;

	/* The kernel counts an endpoint's descriptors: there the child has none from the start. */
	must(open_fds() == b->fds - (on_kmod() ? 4 : 0));
	krepis_detach(b->ring.producer);
	krepis_detach(b->ring.consumer);
	krepis_detach(b->triple.producer);
	krepis_detach(b->triple.consumer);
	must(open_fds() == b->fds - 4);
	krepis_channel_close(b->ring.channel);
	krepis_channel_close(b->triple.channel);
}

static void detaching_in_a_child_is_harmless(void **state)
{
	struct belongings b = collect();

	(void)state;
	join_child(spawn(detaching_child, &b));
	assert_untouched(&b);
	give_away(&b);
}

static void a_childs_end_is_no_death(void **state)
{
	struct belongings b = collect();

	(void)state;
	kill_child(spawn((void (*)(void *))stay, NULL));
	assert_untouched(&b);
	give_away(&b);
}

static bool mapped(const void *p)
{
	unsigned char resident;

	return !mincore((void *)((uintptr_t)p & ~4095UL), 1, &resident);
}

static void looking_child(void *arg)
{
	struct belongings *b = arg;

	must(!mapped(b->held.data));
	/* Of an enforced channel it is a copy. */
	must(enforced() || !mapped(b->view.data));
	must(!mapped(krepis_buffer_data(b->acquired)));
}

static void a_child_has_no_view_of_the_channel(void **state)
{
	struct belongings b = collect();

	(void)state;
	assert_true(mapped(b.held.data) && mapped(b.view.data));
	join_child(spawn(looking_child, &b));
	assert_untouched(&b);
	give_away(&b);
}

static void grandchild(void *arg)
{
	join_child(spawn(calling_child, arg));
	calling_child(arg);
	detaching_child(arg);
}

static void a_grandchild_is_refused_too(void **state)
{
	struct belongings b = collect();

	(void)state;
	join_child(spawn(grandchild, &b));
	assert_untouched(&b);
	give_away(&b);
}

/* ------------------------------------------------------------------ endpoints of its own */

static void attaching_child(void *arg)
{
	struct belongings *b = arg;
	struct krepis_endpoint *consumer, *producer;
	struct krepis_channel *channel;

	/* The parent's channel, and one of its own. */
	must(!krepis_channel_open_fd(krepis_channel_fd(b->ring.channel), 0, &channel));
	must(krepis_attach(channel, KREPIS_PRODUCER, 0, &producer) == -EBUSY);
	consumer = attach(channel, KREPIS_CONSUMER, 0);
	post(b->ready);
	recv_filled(consumer, 10, 5, 100);
	recv_filled(consumer, 15, 1, LARGE);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

static void own_channel_child(void *arg)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());

	(void)arg;
	must(connected(channel, channel));
	krepis_channel_close(channel);
}

static void a_child_may_attach_its_own_endpoints(void **state)
{
	struct belongings b = collect();
	uint8_t data[LARGE];
	pid_t child;

	(void)state;
	join_child(spawn(own_channel_child, NULL));
	child = spawn(attaching_child, &b);
	assert_true(posted(b.ready, 1));
	for (uint64_t n = 10; n < 16; n++) {
		size_t len = n == 15 ? LARGE : 100;

		fill(data, len, n);
		assert_ok(krepis_send(b.ring.producer, 1, data, len, SOON));
	}
	recv_filled(b.ring.consumer, 3, 1, 100);
	recv_filled(b.ring.consumer, 10, 5, 100);
	recv_filled(b.ring.consumer, 15, 1, LARGE);
	join_child(child);
	give_away(&b);
}

static void many_forks_child(void *arg)
{
	struct krepis_channel *channel = arg;

	krepis_detach(attach(channel, KREPIS_CONSUMER, 0));
}

static void forks_between_attaching_and_detaching_are_harmless(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());

	(void)state;
	for (unsigned int i = 0; i < rounds(30); i++) {
		struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
		struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);

		join_child(spawn(many_forks_child, channel));
		assert_ok(krepis_send(producer, 1, "x", 1, SOON));
		krepis_detach(consumer);
		join_child(spawn(many_forks_child, channel));
		krepis_detach(producer);
		assert_int_equal(status_of(channel).live, 0);
	}
	assert_int_equal(status_of(channel).deaths, 0);
	krepis_channel_close(channel);
}

/* -------------------------------------------------------------------- the parent dies */

struct family {
	struct krepis_channel *channel;
	uint32_t *ready;
	pid_t *child;		/* of the one who dies */
};

static void parent_that_dies(void *arg)
{
	struct family *f = arg;
	struct krepis_endpoint *producer = attach(f->channel, KREPIS_PRODUCER, 0);
	pid_t child;

	must(!krepis_wait_peer(producer, 1, SOON));
	must(!krepis_send(producer, 1, "last words", 10, SOON));
	child = fork();
	must(child >= 0);
	if (!child) {
		alarm(20);
		stay();
	}
	*f->child = child;
	post(f->ready);
	stay();
}

static void a_parents_death_is_told_though_its_child_lives(void **state)
{
	struct family f = {
		.channel = anonymous(SMALL_RING()),
		.ready = shared_memory(sizeof(*f.ready)),
		.child = shared_memory(sizeof(*f.child)),
	};
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;
	pid_t parent;

	(void)state;
	parent = spawn(parent_that_dies, &f);
	consumer = attach(f.channel, KREPIS_CONSUMER, 0);
	assert_true(posted(f.ready, 1));
	kill_child(parent);
	assert_ok(krepis_recv(consumer, &msg, SOON));
	assert_int_equal(msg.len, 10);
	assert_error(krepis_recv(consumer, &msg, SOON), KREPIS_PEER_GONE);
	assert_true(*f.child > 0 && !kill(*f.child, SIGKILL));
	krepis_detach(consumer);
	krepis_channel_close(f.channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(every_call_in_a_child_is_refused),
		CLAIM(sharing_a_message_in_a_child_is_refused),
		CLAIM(detaching_in_a_child_is_harmless),
		CLAIM(a_childs_end_is_no_death),
		CLAIM(a_child_has_no_view_of_the_channel),
		CLAIM(a_grandchild_is_refused_too),
		CLAIM(a_child_may_attach_its_own_endpoints),
		CLAIM(forks_between_attaching_and_detaching_are_harmless),
		CLAIM(a_parents_death_is_told_though_its_child_lives),
	};

	return RUN("fork", tests);
}
