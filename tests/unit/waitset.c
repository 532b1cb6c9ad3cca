// SPDX-License-Identifier: MIT
/*
 * Wait sets: who is ready is told, with what came along when it was added, everyone
 * in his turn.
 */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include "helpers.h"
#include "view.h"
#include "waitset.h"

/* ------------------------------------------------------------------------- who is in it */

static void an_empty_set_tells_nothing(void **state)
{
	struct krepis_waitset *set = new_set();

	(void)state;
	assert_quiet(set);
	krepis_waitset_destroy(set);
	krepis_waitset_destroy(NULL);
}

static void who_is_ready_is_told_with_its_data(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready[4];

	(void)state;
	assert_quiet(s->set);
	send_one(s->pair.producer);
	assert_int_equal(krepis_waitset_wait(s->set, ready, 4, SOON), 1);
	assert_ptr_equal(ready[0].endpoint, s->pair.consumer);
	assert_ptr_equal(ready[0].data, &s->pair);
	assert_int_equal(ready[0].err, 0);
	close_single(s);
}

static void an_endpoint_is_in_a_set_once(void **state)
{
	struct single *s = open_single(0);
	unsigned int fds = open_fds();

	(void)state;
	assert_error(krepis_waitset_add(s->set, s->pair.consumer, s), EEXIST);
	assert_int_equal(open_fds(), fds);
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	assert_ok(krepis_waitset_remove(s->set, s->pair.consumer));
	assert_error(krepis_waitset_remove(s->set, s->pair.consumer), ENOENT);
	assert_quiet(s->set);
	close_single(s);
}

static void who_was_never_added_is_unknown(void **state)
{
	struct single *s = open_single(0);

	(void)state;
	assert_error(krepis_waitset_remove(s->set, s->pair.producer), ENOENT);
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	close_single(s);
}

static void an_endpoint_may_be_in_two_sets(void **state)
{
	struct single *s = open_single(0);
	struct krepis_waitset *second = new_set();

	(void)state;
	assert_ok(krepis_waitset_add(second, s->pair.consumer, NULL));
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	assert_told(second, s->pair.consumer, 0);
	take_one(s->pair.consumer);
	assert_quiet(s->set);
	assert_quiet(second);
	krepis_waitset_destroy(second);
	close_single(s);
}

static void who_comes_back_has_its_new_data(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready;

	(void)state;
	for (int round = 0; round < 5; round++) {
		assert_ok(krepis_waitset_remove(s->set, s->pair.consumer));
		send_one(s->pair.producer);
		assert_int_equal(look(s->set), -EAGAIN);
		assert_ok(krepis_waitset_add(s->set, s->pair.consumer, &round));
		assert_int_equal(krepis_waitset_wait(s->set, &ready, 1, SOON), 1);
		assert_ptr_equal(ready.data, &round);
		take_one(s->pair.consumer);
		assert_quiet(s->set);
	}
	close_single(s);
}

static void who_was_ready_when_it_was_added_is_told(void **state)
{
	struct single *s = open_single(0);
	struct krepis_waitset *late = new_set();

	(void)state;
	send_one(s->pair.producer);
	assert_ok(krepis_waitset_add(late, s->pair.consumer, NULL));
	assert_told(late, s->pair.consumer, 0);
	krepis_waitset_destroy(late);
	close_single(s);
}

static void who_is_ready_can_be_removed(void **state)
{
	struct single *s = open_single(0);
	struct pair other = open_pair(SMALL_RING());

	(void)state;
	assert_ok(krepis_waitset_add(s->set, other.consumer, NULL));
	send_one(s->pair.producer);
	send_one(other.producer);
	assert_ok(krepis_waitset_remove(s->set, s->pair.consumer));
	for (int i = 0; i < 3; i++)
		assert_told(s->set, other.consumer, 0);
	/* After it was told, and before its message was read. */
	assert_ok(krepis_waitset_remove(s->set, other.consumer));
	assert_quiet(s->set);
	close_pair(&other);
	close_single(s);
}

static void who_detaches_is_in_no_set(void **state)
{
	struct single *s = open_single(0);
	struct krepis_waitset *second = new_set();
	struct pair other = open_pair(SMALL_RING());

	(void)state;
	assert_ok(krepis_waitset_add(s->set, other.consumer, NULL));
	assert_ok(krepis_waitset_add(second, s->pair.consumer, NULL));
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	krepis_detach(s->pair.consumer);
	s->pair.consumer = NULL;
	assert_quiet(s->set);
	assert_quiet(second);
	send_one(other.producer);
	assert_told(s->set, other.consumer, 0);
	krepis_waitset_destroy(second);
	krepis_detach(other.consumer);
	other.consumer = NULL;
	close_pair(&other);
	close_single(s);
}

/* ThreadSanitizer does not bear new threads in the child of a process with threads. */
static void child_with_its_own(struct krepis_waitset *parents)
{
#ifndef __SANITIZE_THREAD__
	struct pair own = open_pair(SMALL_RING());
	struct krepis_waitset *set = new_set();

	must(krepis_waitset_add(parents, own.consumer, NULL) == -EBADF);
	must(!krepis_waitset_add(set, own.consumer, NULL));
	send_one(own.producer);
	assert_told(set, own.consumer, 0);
	krepis_waitset_destroy(set);
	close_pair(&own);
#else
	(void)parents;
#endif
}

static void child_of_a_set(void *arg)
{
	struct single *s = arg;
	struct krepis_waitset *set = new_set();
	struct krepis_ready ready;

	must(krepis_waitset_wait(s->set, &ready, 1, KREPIS_NOWAIT) == -EBADF);
	must(krepis_waitset_add(set, s->pair.consumer, NULL) == -EBADF);
	child_with_its_own(s->set);
	krepis_waitset_destroy(s->set);
	krepis_detach(s->pair.consumer);
	krepis_waitset_destroy(set);
}

static void a_forked_child_cannot_use_a_set_nor_harm_it(void **state)
{
	struct single *s = open_single(0);

	(void)state;
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	join_child(spawn(child_of_a_set, s));
	assert_told(s->set, s->pair.consumer, 0);
	take_one(s->pair.consumer);
	join_child(spawn(child_of_a_set, s));
	assert_quiet(s->set);
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	close_single(s);
}

static void destroy_leaves_the_members_alone(void **state)
{
	unsigned int fds = open_fds(), running = threads();
	struct single *s = open_single(0);
	struct krepis_ready ready;
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_waitset_add(s->set, s->pair.producer, NULL));
	send_one(s->pair.producer);
	assert_int_equal(krepis_waitset_wait(s->set, &ready, 1, SOON), 1);
	krepis_waitset_destroy(s->set);
	s->set = NULL;
	assert_ok(krepis_recv(s->pair.consumer, &msg, KREPIS_NOWAIT));
	send_one(s->pair.producer);
	assert_ok(krepis_wait(s->pair.consumer, SOON));
	close_single(s);
	assert_int_equal(open_fds(), fds);
	assert_true(until(threads() == running));
}

static void sets_leave_nothing_behind(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	unsigned int running, fds;

	(void)state;
	must(krepis_fd(p.consumer) >= 0);
	fds = open_fds();
	running = threads();
	for (unsigned int i = 0; i < rounds(3000); i++) {
		struct krepis_waitset *set = new_set();

		assert_ok(krepis_waitset_add(set, p.consumer, NULL));
		if (i & 1)
			assert_ok(krepis_waitset_remove(set, p.consumer));
		krepis_waitset_destroy(set);
	}
	assert_int_equal(open_fds(), fds);
	assert_int_equal(threads(), running);
	close_pair(&p);
}

/* ------------------------------------------------------------------------- what is told */

static void who_is_left_alone_is_told_again(void **state)
{
	struct single *s = open_single(0);

	(void)state;
	send_one(s->pair.producer);
	send_one(s->pair.producer);
	for (int i = 0; i < 5; i++)
		assert_told(s->set, s->pair.consumer, 0);
	take_one(s->pair.consumer);
	assert_told(s->set, s->pair.consumer, 0);
	take_one(s->pair.consumer);
	assert_quiet(s->set);
	close_single(s);
}

static void a_producer_is_told_of_room(void **state)
{
	struct single *s = open_single(0);
	struct krepis_waitset *set = new_set();
	unsigned int n;

	(void)state;
	assert_ok(krepis_waitset_add(set, s->pair.producer, NULL));
	for (int round = 0; round < 3; round++) {
		assert_told(set, s->pair.producer, 0);
		n = send_until_full(s->pair.producer, 1, 16);
		assert_quiet(set);
		recv_filled(s->pair.consumer, 1, n, 16);
	}
	assert_told(set, s->pair.producer, 0);
	krepis_waitset_destroy(set);
	close_single(s);
}

static void a_full_producer_that_never_tried_is_not_told(void **state)
{
	struct single *s = open_single(0);
	struct krepis_waitset *set = new_set();
	uint8_t data[1000] = { 0 };

	(void)state;
	assert_ok(krepis_waitset_add(set, s->pair.producer, NULL));
	assert_told(set, s->pair.producer, 0);
	for (int i = 0; i < 4; i++)
		must(!krepis_send(s->pair.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	assert_quiet(set);
	krepis_waitset_destroy(set);
	close_single(s);
}

static void a_producer_is_told_of_its_first_consumer(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0), *consumer;
	struct krepis_waitset *set = new_set();

	(void)state;
	assert_ok(krepis_waitset_add(set, producer, NULL));
	assert_quiet(set);
	consumer = attach(channel, KREPIS_CONSUMER, 0);
	assert_told(set, producer, 0);
	krepis_detach(consumer);
	assert_told(set, producer, -KREPIS_PEER_GONE);
	krepis_waitset_destroy(set);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void a_fresh_value_is_told(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_waitset *set = new_set();
	struct krepis_msg msg;
	void *value;

	(void)state;
	assert_ok(krepis_waitset_add(set, p.consumer, NULL));
	for (int round = 0; round < 3; round++) {
		assert_quiet(set);
		must(!krepis_triple_begin(p.producer, &value));
		must(!krepis_triple_commit(p.producer, 1, 8));
		assert_told(set, p.consumer, 0);
		assert_ok(krepis_triple_read(p.consumer, &msg));
	}
	assert_quiet(set);
	krepis_waitset_destroy(set);
	close_pair(&p);
}

static void a_peer_that_detached_is_told_after_its_last_message(void **state)
{
	struct single *s = open_single(0);

	(void)state;
	send_one(s->pair.producer);
	krepis_detach(s->pair.producer);
	s->pair.producer = NULL;
	assert_told(s->set, s->pair.consumer, 0);
	take_one(s->pair.consumer);
	assert_told(s->set, s->pair.consumer, -KREPIS_PEER_GONE);
	assert_told(s->set, s->pair.consumer, -KREPIS_PEER_GONE);
	close_single(s);
}

static void producing_child(void *arg)
{
	struct krepis_endpoint *producer = attach_inherited(arg, KREPIS_PRODUCER, 0);

	must(!krepis_wait_peer(producer, 1, SOON));
	send_one(producer);
	stay();
}

static void a_peer_that_died_is_told(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	pid_t child = spawn(producing_child, channel);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
	struct krepis_waitset *set = new_set();

	(void)state;
	assert_ok(krepis_waitset_add(set, consumer, NULL));
	assert_told(set, consumer, 0);
	take_one(consumer);
	assert_quiet(set);
	kill_child(child);
	assert_told(set, consumer, -KREPIS_PEER_GONE);
	krepis_waitset_destroy(set);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

static void a_peer_that_broke_the_channel_is_told(void **state)
{
	struct single *s = open_single(0);
	struct view v = open_view(s->pair.channel);
	struct krepis_msg msg;

	(void)state;
	__atomic_fetch_add(&v.producer->head, 1ULL << 40, __ATOMIC_SEQ_CST);
	must(!krepis_send(s->pair.producer, 1, "x", 1, KREPIS_NOWAIT));
	__atomic_fetch_add(&v.producer->head, 1ULL << 40, __ATOMIC_SEQ_CST);
	assert_told(s->set, s->pair.consumer, 0);
	assert_error(krepis_recv(s->pair.consumer, &msg, KREPIS_NOWAIT), EPROTO);
	assert_told(s->set, s->pair.consumer, -EPROTO);
	close_view(&v);
	close_single(s);
}

static void *shut_down_later(void *arg)
{
	for (int i = 0; i < 40; i++)
		nap();
	krepis_shutdown(arg);
	return NULL;
}

static void shutdown_of_a_member_is_told(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready;
	pthread_t thread;

	(void)state;
	must(!pthread_create(&thread, NULL, shut_down_later, s->pair.consumer));
	assert_int_equal(krepis_waitset_wait(s->set, &ready, 1, krepis_deadline_ms(2000)), 1);
	assert_int_equal(ready.err, -ESHUTDOWN);
	must(!pthread_join(thread, NULL));
	close_single(s);
}

/* ------------------------------------------------------------------------------- many */

#define MANY 300

static struct {
	struct krepis_endpoint *producer[MANY];
	struct krepis_endpoint *consumer[MANY];
	struct krepis_waitset *set;
	unsigned int count;
} many;

static void open_many(unsigned int count)
{
	struct rlimit files;

	must(!getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max;
	must(!setrlimit(RLIMIT_NOFILE, &files));
	many.set = new_set();
	many.count = count;
	for (unsigned int i = 0; i < count; i++) {
		struct krepis_channel *channel =
			anonymous(OPTIONS(.ring_size = 4096, .flags = KREPIS_F_NO_BUFFERS,
					  .max_consumers = 1));

		many.producer[i] = attach(channel, KREPIS_PRODUCER, 0);
		many.consumer[i] = attach(channel, KREPIS_CONSUMER, 0);
		krepis_channel_close(channel);
		must(!krepis_waitset_add(many.set, many.consumer[i], &many.consumer[i]));
	}
}

static void close_many(void)
{
	krepis_waitset_destroy(many.set);
	for (unsigned int i = 0; i < many.count; i++) {
		krepis_detach(many.producer[i]);
		krepis_detach(many.consumer[i]);
	}
}

static unsigned int index_of(const struct krepis_ready *ready)
{
	return (unsigned int)((struct krepis_endpoint **)ready->data - many.consumer);
}

static void one_of_three_hundred_is_told_alone(void **state)
{
	(void)state;
	open_many(MANY);
	for (unsigned int round = 0; round < rounds(1000); round++) {
		unsigned int i = random_below(MANY);
		struct krepis_ready ready[8];

		send_one(many.producer[i]);
		assert_int_equal(krepis_waitset_wait(many.set, ready, 8, SOON), 1);
		assert_ptr_equal(ready[0].endpoint, many.consumer[i]);
		assert_int_equal(index_of(&ready[0]), i);
		take_one(many.consumer[i]);
	}
	assert_quiet(many.set);
	close_many();
}

static void all_of_three_hundred_are_told(void **state)
{
	unsigned int told = 0;

	(void)state;
	open_many(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		send_one(many.producer[i]);
	while (told < MANY) {
		struct krepis_ready ready[MANY];
		int n = krepis_waitset_wait(many.set, ready, MANY, SOON);

		assert_true(n > 0);
		for (int i = 0; i < n; i++, told++)
			take_one(ready[i].endpoint);
	}
	assert_quiet(many.set);
	close_many();
}

/* Each gets its turn, however few can be told at once and though nobody is ever done. */
static void nobody_is_told_twice_before_everybody_was_told(unsigned int room)
{
	unsigned int told[16] = { 0 }, total = 0;
	struct krepis_ready ready[16];

	open_many(ARRAY_SIZE(told));
	for (unsigned int i = 0; i < ARRAY_SIZE(told); i++)
		send_one(many.producer[i]);
	/* Until the last of them is known to be ready. */
	for (unsigned int i = 0; i < ARRAY_SIZE(told); i++) {
		struct pollfd p = { .fd = krepis_fd(many.consumer[i]), .events = POLLIN };

		assert_int_equal(poll(&p, 1, SOON_MS), 1);
	}
	while (total < 10 * ARRAY_SIZE(told)) {
		int n = krepis_waitset_wait(many.set, ready, room, SOON);

		assert_in_range(n, 1, room);
		for (int i = 0; i < n; i++, total++)
			told[index_of(&ready[i])]++;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(told); i++)
		assert_in_range(told[i], 9, 11);
	close_many();
}

static void with_room_for_one_everybody_has_his_turn(void **state)
{
	(void)state;
	nobody_is_told_twice_before_everybody_was_told(1);
}

static void with_room_for_some_everybody_has_his_turn(void **state)
{
	(void)state;
	nobody_is_told_twice_before_everybody_was_told(5);
}

static void who_is_always_ready_keeps_nobody_from_being_told(void **state)
{
	struct krepis_ready ready;

	(void)state;
	open_many(20);
	send_one(many.producer[0]);
	for (unsigned int i = 1; i < 20; i++) {
		unsigned int tries = 0;

		send_one(many.producer[i]);
		assert_true(until(!krepis_wait(many.consumer[i], KREPIS_NOWAIT)));
		do {
			assert_int_equal(krepis_waitset_wait(many.set, &ready, 1, SOON), 1);
			assert_true(index_of(&ready) == i || !index_of(&ready));
			/* Told by who sees to it, which may take a moment without the module. */
			nap();
		} while (index_of(&ready) != i && ++tries < 1000);
		assert_int_equal(index_of(&ready), i);
		take_one(many.consumer[i]);
	}
	close_many();
}

struct sensor {
	struct krepis_channel *channel;
	unsigned int count;
	unsigned int seed;
};

static void sending_child(void *arg)
{
	struct sensor *s = arg;
	struct krepis_endpoint *producer = attach_inherited(s->channel, KREPIS_PRODUCER, 0);

	for (unsigned int i = 0; i < s->seed; i++)
		random_u64();
	must(!krepis_wait_peer(producer, 1, SOON));
	for (unsigned int i = 0; i < s->count; i++) {
		if (!random_below(4))
			nap();
		must(!krepis_send(producer, 1, &i, sizeof(i), SOON));
	}
	krepis_detach(producer);
}

/* Each to its end, which is told too. */
static void many_processes_lose_nothing(void **state)
{
	enum { SENSORS = 6 };
	struct sensor sensor[SENSORS];
	struct krepis_endpoint *consumer[SENSORS];
	unsigned int next[SENSORS] = { 0 }, ended = 0, count = rounds(4000);
	struct krepis_waitset *set = new_set();
	pid_t child[SENSORS];

	(void)state;
	for (unsigned int i = 0; i < SENSORS; i++) {
		sensor[i] = (struct sensor){ anonymous(SMALL_RING()), count, i };
		child[i] = spawn(sending_child, &sensor[i]);
	}
	for (unsigned int i = 0; i < SENSORS; i++) {
		consumer[i] = attach(sensor[i].channel, KREPIS_CONSUMER, 0);
		assert_ok(krepis_waitset_add(set, consumer[i], &next[i]));
	}
	while (ended < SENSORS) {
		struct krepis_ready ready[4];
		int n = krepis_waitset_wait(set, ready, 4, SOON);

		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			unsigned int *expected = ready[i].data, found;
			struct krepis_msg msg;

			if (ready[i].err) {
				assert_int_equal(ready[i].err, -KREPIS_PEER_GONE);
				assert_int_equal(*expected, count);
				assert_ok(krepis_waitset_remove(set, ready[i].endpoint));
				ended++;
				continue;
			}
			assert_ok(krepis_recv(ready[i].endpoint, &msg, KREPIS_NOWAIT));
			memcpy(&found, msg.data, sizeof(found));
			assert_int_equal(found, (*expected)++);
		}
	}
	krepis_waitset_destroy(set);
	for (unsigned int i = 0; i < SENSORS; i++) {
		join_child(child[i]);
		krepis_detach(consumer[i]);
		krepis_channel_close(sensor[i].channel);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(an_empty_set_tells_nothing),
		CLAIM(who_is_ready_is_told_with_its_data),
		CLAIM(an_endpoint_is_in_a_set_once),
		CLAIM(who_was_never_added_is_unknown),
		CLAIM(an_endpoint_may_be_in_two_sets),
		CLAIM(who_comes_back_has_its_new_data),
		CLAIM(who_was_ready_when_it_was_added_is_told),
		CLAIM(who_is_ready_can_be_removed),
		CLAIM(who_detaches_is_in_no_set),
		CLAIM(a_forked_child_cannot_use_a_set_nor_harm_it),
		CLAIM(destroy_leaves_the_members_alone),
		CLAIM(sets_leave_nothing_behind),
		CLAIM(who_is_left_alone_is_told_again),
		CLAIM(a_producer_is_told_of_room),
		CLAIM(a_full_producer_that_never_tried_is_not_told),
		CLAIM(a_producer_is_told_of_its_first_consumer),
		CLAIM(a_fresh_value_is_told),
		CLAIM(a_peer_that_detached_is_told_after_its_last_message),
		CLAIM(a_peer_that_died_is_told),
		CLAIM(a_peer_that_broke_the_channel_is_told),
		CLAIM(shutdown_of_a_member_is_told),
		CLAIM(one_of_three_hundred_is_told_alone),
		CLAIM(all_of_three_hundred_are_told),
		CLAIM(with_room_for_one_everybody_has_his_turn),
		CLAIM(with_room_for_some_everybody_has_his_turn),
		CLAIM(who_is_always_ready_keeps_nobody_from_being_told),
		CLAIM(many_processes_lose_nothing),
	};

	return RUN("waitset", tests);
}
