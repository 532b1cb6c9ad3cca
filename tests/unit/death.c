// SPDX-License-Identifier: MIT
/*
 * Death is delivered: who is killed, at whatever instruction, is told to the
 * other side at once, and what it held comes back.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "helpers.h"

#define AT_ONCE		(100 * MS)
#define LARGE		2000	/* goes into a buffer */

/* What the test and its children share. */
struct stage {
	struct krepis_channel *channel;
	uint32_t *ready;	/* how far the children are */
};

static struct stage open_stage(const struct krepis_channel_options *options)
{
	return (struct stage){
		.channel = anonymous(options),
		.ready = shared_memory(sizeof(uint32_t)),
	};
}

static void send_filled(struct krepis_endpoint *producer, uint64_t seed, size_t len)
{
	uint8_t data[LARGE];

	fill(data, len, seed);
	must(!krepis_send(producer, (uint16_t)seed, data, len, SOON));
}

static void assert_peer_gone(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	assert_error(krepis_recv(consumer, &msg, SOON), KREPIS_PEER_GONE);
}

/* A thread that kills @victim when the endpoint in @slot has fallen asleep. */
struct killer {
	struct krepis_channel *channel;
	int slot;
	pid_t victim;
	uint64_t waits;
	int64_t killed;
	pthread_t thread;
};

static void *kill_when_asleep(void *arg)
{
	struct killer *k = arg;

	must(falls_asleep(k->channel, k->slot, k->waits));
	k->killed = now_ns();
	kill(k->victim, SIGKILL);
	return NULL;
}

static void start_killer(struct killer *k, struct stage *stage, int slot, pid_t victim)
{
	*k = (struct killer){
		.channel = stage->channel,
		.slot = slot,
		.victim = victim,
		.waits = waits_of(stage->channel, slot),
	};
	assert_ok(pthread_create(&k->thread, NULL, kill_when_asleep, k));
}

/* Returns how long after the kill it is now. */
static int64_t since_killer(struct killer *k)
{
	int64_t now = now_ns();

	assert_ok(pthread_join(k->thread, NULL));
	kill_child(k->victim);
	return now - k->killed;
}

/* ------------------------------------------------------------ the producer is killed */

static void sending_producer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *producer = attach_inherited(stage->channel, KREPIS_PRODUCER, 0);

	must(!krepis_wait_peer(producer, 1, SOON));
	for (uint64_t n = 0; n < 10; n++)
		send_filled(producer, n, 100);
	send_filled(producer, 10, LARGE);
	post(stage->ready);
	stay();
}

static void a_sleeping_consumer_is_told_at_once(void **state)
{
	unsigned int late = 0, count = 10;

	(void)state;
	for (unsigned int i = 0; i < count; i++) {
		struct stage stage = open_stage(SMALL_RING());
		pid_t child = spawn(sending_producer, &stage);
		struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
		struct killer killer;

		recv_filled(consumer, 0, 10, 100);
		recv_filled(consumer, 10, 1, LARGE);
		start_killer(&killer, &stage, 0, child);
		assert_peer_gone(consumer);
		late += since_killer(&killer) > AT_ONCE;
		assert_int_equal(status_of(stage.channel).deaths, 1);
		krepis_detach(consumer);
		krepis_channel_close(stage.channel);
	}
	/* Once the machine may have been elsewhere. */
	assert_in_range(late, 0, 1);
}

static void what_was_sent_before_the_death_is_read_first(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(sending_producer, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0);

	(void)state;
	assert_true(posted(stage.ready, 1));
	kill_child(child);
	recv_filled(consumer, 0, 10, 100);
	recv_filled(consumer, 10, 1, LARGE);
	assert_peer_gone(consumer);
	assert_error(krepis_wait(consumer, SOON), KREPIS_PEER_GONE);
	krepis_detach(consumer);
	krepis_channel_close(stage.channel);
}

static void half_done_producer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *producer = attach_inherited(stage->channel, KREPIS_PRODUCER, 0);
	struct krepis_buffer *buffer;
	void *room;

	must(!krepis_wait_peer(producer, 1, SOON));
	send_filled(producer, 0, 100);
	must(!krepis_acquire(producer, &buffer, SOON));
	fill(krepis_buffer_data(buffer), 4096, 99);
	/* Committed and not flushed; begun and not committed. */
	must(!krepis_send_begin(producer, 100, &room, SOON));
	fill(room, 100, 98);
	must(!krepis_send_commit(producer, 98, 100));
	must(!krepis_send_begin(producer, 100, &room, SOON));
	fill(room, 50, 97);
	post(stage->ready);
	stay();
}

static void what_was_not_sent_before_the_death_is_never_seen(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(half_done_producer, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0), *producer;

	(void)state;
	assert_true(posted(stage.ready, 1));
	kill_child(child);
	recv_filled(consumer, 0, 1, 100);
	assert_peer_gone(consumer);
	/* The next one starts where the dead one had published, with all buffers. */
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(producer), 4);
	send_filled(producer, 1, 100);
	send_filled(producer, 2, LARGE);
	recv_filled(consumer, 1, 1, 100);
	recv_filled(consumer, 2, 1, LARGE);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void a_new_producer_takes_over(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(sending_producer, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0), *producer;

	(void)state;
	assert_true(posted(stage.ready, 1));
	kill_child(child);
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(status_of(stage.channel).deaths, 1);
	/* One buffer is the consumer's still, and its message is still to come. */
	assert_int_equal(count_free(producer), 3);
	send_filled(producer, 11, 100);
	recv_filled(consumer, 0, 10, 100);
	recv_filled(consumer, 10, 1, LARGE);
	recv_filled(consumer, 11, 1, 100);
	assert_int_equal(count_free(producer), 4);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

/* What it has takes the kernel long to unmap. */
static void large_producer(void *arg)
{
	must(mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) != MAP_FAILED);
	sending_producer(arg);
}

static void a_producer_is_replaced_while_it_dies(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(large_producer, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0);

	(void)state;
	assert_true(posted(stage.ready, 1));
	recv_filled(consumer, 0, 10, 100);
	recv_filled(consumer, 10, 1, LARGE);
	assert_ok(kill(child, SIGKILL));
	assert_peer_gone(consumer);
	krepis_detach(attach(stage.channel, KREPIS_PRODUCER, 0));
	kill_child(child);
	krepis_detach(consumer);
	krepis_channel_close(stage.channel);
}

static void told_consumer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *consumer = attach_inherited(stage->channel, KREPIS_CONSUMER, 0);
	struct krepis_msg msg;

	must(!krepis_wait_peer(consumer, 1, SOON));
	recv_filled(consumer, 0, 1, 100);
	post(stage->ready);
	must(krepis_recv(consumer, &msg, SOON) == -KREPIS_PEER_GONE);
	krepis_detach(consumer);
}

static void waiting_producer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *producer = attach_inherited(stage->channel, KREPIS_PRODUCER, 0);

	must(!krepis_wait_peer(producer, 8, SOON));
	send_filled(producer, 0, 100);
	stay();
}

static void every_consumer_is_told_and_the_death_counted_once(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t producer = spawn(waiting_producer, &stage), consumers[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		consumers[i] = spawn(told_consumer, &stage);
	assert_true(posted(stage.ready, 8));
	kill_child(producer);
	for (int i = 0; i < 8; i++)
		join_child(consumers[i]);
	assert_int_equal(status_of(stage.channel).deaths, 1);
	assert_int_equal(status_of(stage.channel).live, 0);
	krepis_channel_close(stage.channel);
}

/* ------------------------------------------------------------- a consumer is killed */

/* Keeps all that it receives. */
static void holding_consumer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *consumer = attach_inherited(stage->channel, KREPIS_CONSUMER, 0);
	struct krepis_msg msg;

	post(stage->ready);
	while (!krepis_recv(consumer, &msg, KREPIS_FOREVER))
		post(stage->ready);
	stay();
}

static void attached_consumer(void *arg)
{
	struct stage *stage = arg;

	attach_inherited(stage->channel, KREPIS_CONSUMER, 0);
	post(stage->ready);
	stay();
}

static void a_dead_consumers_buffers_come_back(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(holding_consumer, &stage);
	struct krepis_endpoint *producer, *consumer;
	struct krepis_buffer *buffer;
	struct killer killer;

	(void)state;
	assert_true(posted(stage.ready, 1));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	for (uint64_t n = 0; n < 4; n++)
		send_filled(producer, n, LARGE);
	recv_filled(consumer, 0, 4, LARGE);
	assert_true(posted(stage.ready, 5));
	assert_int_equal(count_free(producer), 0);
	start_killer(&killer, &stage, THE_PRODUCER, child);
	assert_ok(krepis_acquire(producer, &buffer, SOON));
	assert_in_range(since_killer(&killer), 0, 20 * AT_ONCE);
	assert_ok(krepis_abandon(producer, buffer));
	assert_int_equal(count_free(producer), 4);
	assert_int_equal(status_of(stage.channel).live, 2);
	assert_int_equal(status_of(stage.channel).deaths, 1);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void a_sender_blocked_by_a_dead_consumer_goes_on(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(attached_consumer, &stage);
	struct krepis_endpoint *producer, *consumer;
	struct killer killer;
	unsigned int n;

	(void)state;
	assert_true(posted(stage.ready, 1));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	n = send_until_full(producer, 0, 100);
	recv_filled(consumer, 0, n, 100);
	start_killer(&killer, &stage, THE_PRODUCER, child);
	send_filled(producer, n, 100);
	assert_in_range(since_killer(&killer), 0, 20 * AT_ONCE);
	recv_filled(consumer, n, 1, 100);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

/* Calls that wait for a consumer which is killed meanwhile, and was the last. */
static int blocked_send(struct krepis_endpoint *producer)
{
	uint8_t data[100] = { 0 };

	return krepis_send(producer, 1, data, sizeof(data), SOON);
}

static int blocked_begin(struct krepis_endpoint *producer)
{
	void *room;

	return krepis_send_begin(producer, 1000, &room, SOON);
}

static int blocked_wait(struct krepis_endpoint *producer)
{
	return krepis_wait(producer, SOON);
}

static int blocked_drain(struct krepis_endpoint *producer)
{
	return krepis_drain(producer, SOON);
}

static void the_death_of_the_last_consumer_ends_every_wait(void **state)
{
	int (*const calls[])(struct krepis_endpoint *producer) = {
		blocked_send, blocked_begin, blocked_wait, blocked_drain,
	};
	unsigned int late = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct stage stage = open_stage(SMALL_RING());
		pid_t child = spawn(attached_consumer, &stage);
		struct krepis_endpoint *producer;
		struct killer killer;

		assert_true(posted(stage.ready, 1));
		producer = attach(stage.channel, KREPIS_PRODUCER, 0);
		send_until_full(producer, 0, 100);
		start_killer(&killer, &stage, THE_PRODUCER, child);
		assert_error(calls[i](producer), KREPIS_PEER_GONE);
		late += since_killer(&killer) > AT_ONCE;
		assert_int_equal(status_of(stage.channel).live, 0);
		krepis_detach(producer);
		krepis_channel_close(stage.channel);
	}
	assert_in_range(late, 0, 1);
}

static void the_death_of_the_last_consumer_frees_its_buffers(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(holding_consumer, &stage);
	struct krepis_endpoint *producer;
	struct krepis_buffer *buffer;
	struct killer killer;

	(void)state;
	assert_true(posted(stage.ready, 1));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	for (uint64_t n = 0; n < 4; n++)
		send_filled(producer, n, LARGE);
	assert_true(posted(stage.ready, 5));
	start_killer(&killer, &stage, THE_PRODUCER, child);
	assert_ok(krepis_acquire(producer, &buffer, SOON));
	since_killer(&killer);
	assert_error(krepis_publish(producer, buffer, 1, 1, 0, SOON), KREPIS_PEER_GONE);
	assert_ok(krepis_abandon(producer, buffer));
	assert_int_equal(count_free(producer), 4);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void a_producer_that_never_waits_notices_too(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(holding_consumer, &stage);
	struct krepis_endpoint *producer, *consumer;

	(void)state;
	assert_true(posted(stage.ready, 1));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	for (uint64_t n = 0; n < 4; n++)
		send_filled(producer, n, LARGE);
	recv_filled(consumer, 0, 4, LARGE);
	assert_true(posted(stage.ready, 5));
	kill_child(child);
	send_filled(producer, 4, 100);
	assert_int_equal(count_free(producer), 4);
	assert_int_equal(status_of(stage.channel).live, 2);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void a_new_consumer_takes_the_dead_ones_slot(void **state)
{
	struct stage stage = open_stage(SMALL_RING(.max_consumers = 1));
	pid_t child = spawn(holding_consumer, &stage);
	struct krepis_endpoint *producer, *consumer;

	(void)state;
	assert_true(posted(stage.ready, 1));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	send_filled(producer, 0, LARGE);
	assert_true(posted(stage.ready, 2));
	/* It sleeps now: the next one must not be taken for a sleeper. */
	assert_true(falls_asleep(stage.channel, 0, 0));
	kill_child(child);
	consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	assert_int_equal(status_of(stage.channel).deaths, 1);
	assert_int_equal(counters_of(consumer).messages, 0);
	send_filled(producer, 1, 100);
	recv_filled(consumer, 1, 1, 100);
	assert_int_equal(count_free(producer), 4);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void a_stopped_consumer_is_not_dead(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(holding_consumer, &stage);
	struct krepis_endpoint *producer;
	int status;

	(void)state;
	assert_true(posted(stage.ready, 1));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	assert_ok(kill(child, SIGSTOP));
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	send_until_full(producer, 0, 100);
	assert_error(krepis_wait(producer, SHORTLY), ETIMEDOUT);
	assert_int_equal(status_of(stage.channel).deaths, 0);
	assert_ok(kill(child, SIGCONT));
	assert_ok(krepis_drain(producer, SOON));
	kill_child(child);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

/* ----------------------------------------------------------------- other ways to go */

static void leaving_child(void *arg)
{
	struct stage *stage = arg;

	krepis_detach(attach_inherited(stage->channel, KREPIS_PRODUCER, 0));
	krepis_detach(attach_inherited(stage->channel, KREPIS_CONSUMER, 0));
}

static void who_detaches_did_not_die(void **state)
{
	struct stage stage = open_stage(SMALL_RING());

	(void)state;
	join_child(spawn(leaving_child, &stage));
	krepis_detach(attach(stage.channel, KREPIS_PRODUCER, 0));
	krepis_detach(attach(stage.channel, KREPIS_CONSUMER, 0));
	assert_int_equal(status_of(stage.channel).deaths, 0);
	krepis_channel_close(stage.channel);
}

static void exiting_child(void *arg)
{
	struct stage *stage = arg;

	attach_inherited(stage->channel, KREPIS_PRODUCER, 0);
	attach_inherited(stage->channel, KREPIS_CONSUMER, 0);
}

static void who_exits_attached_died(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	struct krepis_endpoint *producer, *consumer;

	(void)state;
	join_child(spawn(exiting_child, &stage));
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	assert_int_equal(status_of(stage.channel).deaths, 2);
	assert_int_equal(status_of(stage.channel).live, 1);
	send_filled(producer, 1, 100);
	recv_filled(consumer, 1, 1, 100);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void executing_child(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *producer = attach_inherited(stage->channel, KREPIS_PRODUCER, 0);

	must(!krepis_wait_peer(producer, 1, SOON));
	send_filled(producer, 0, 100);
	execl("/bin/sleep", "sleep", "50", NULL);
	_exit(1);
}

static void exec_is_a_death(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	pid_t child = spawn(executing_child, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0), *producer;

	(void)state;
	recv_filled(consumer, 0, 1, 100);
	assert_peer_gone(consumer);
	assert_ok(kill(child, 0));	/* alive, and somebody else */
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(status_of(stage.channel).deaths, 1);
	kill_child(child);
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(stage.channel);
}

/* ---------------------------------------------------------------------------- triple */

static void triple_producer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *producer = attach_inherited(stage->channel, KREPIS_PRODUCER, 0);
	void *data;

	for (uint64_t n = 1; n <= 5; n++) {
		must(!krepis_triple_begin(producer, &data));
		fill(data, 4096, n);
		must(!krepis_triple_commit(producer, (uint16_t)n, 4096));
	}
	must(!krepis_triple_begin(producer, &data));
	memset(data, 0xee, 2000);
	post(stage->ready);
	stay();
}

static void a_dead_producers_last_value_is_read_first(void **state)
{
	struct stage stage = open_stage(SMALL_TRIPLE);
	pid_t child = spawn(triple_producer, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	struct killer killer;
	struct krepis_msg msg;

	(void)state;
	assert_true(posted(stage.ready, 1));
	assert_ok(krepis_triple_read(consumer, &msg));
	assert_true(msg.type == 5 && msg.len == 4096 && filled(msg.data, 4096, 5));
	start_killer(&killer, &stage, 0, child);
	assert_error(krepis_wait(consumer, SOON), KREPIS_PEER_GONE);
	assert_in_range(since_killer(&killer), 0, 20 * AT_ONCE);
	/* The value stays. */
	assert_ok(krepis_triple_read(consumer, &msg));
	assert_true(filled(msg.data, 4096, 5));
	krepis_detach(consumer);
	krepis_channel_close(stage.channel);
}

static void a_new_producer_of_a_triple_takes_over(void **state)
{
	struct stage stage = open_stage(SMALL_TRIPLE);
	pid_t child = spawn(triple_producer, &stage);
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0), *producer;
	struct krepis_msg msg;
	void *data;

	(void)state;
	assert_true(posted(stage.ready, 1));
	assert_ok(krepis_triple_read(consumer, &msg));
	kill_child(child);
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(status_of(stage.channel).deaths, 1);
	for (uint64_t n = 10; n < 20; n++) {
		assert_ok(krepis_triple_begin(producer, &data));
		fill(data, 4096, n);
		assert_true(filled(msg.data, 4096, n == 10 ? 5 : n - 1));
		assert_ok(krepis_triple_commit(producer, 1, 4096));
		assert_ok(krepis_triple_read(consumer, &msg));
		assert_true(msg.flags & KREPIS_MSG_FRESH);
		assert_true(filled(msg.data, 4096, n));
	}
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(stage.channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_sleeping_consumer_is_told_at_once),
		CLAIM(what_was_sent_before_the_death_is_read_first),
		CLAIM(what_was_not_sent_before_the_death_is_never_seen),
		CLAIM(a_new_producer_takes_over),
		CLAIM(a_producer_is_replaced_while_it_dies),
		CLAIM(every_consumer_is_told_and_the_death_counted_once),
		CLAIM(a_dead_consumers_buffers_come_back),
		CLAIM(a_sender_blocked_by_a_dead_consumer_goes_on),
		CLAIM(the_death_of_the_last_consumer_ends_every_wait),
		CLAIM(the_death_of_the_last_consumer_frees_its_buffers),
		CLAIM(a_producer_that_never_waits_notices_too),
		CLAIM(a_new_consumer_takes_the_dead_ones_slot),
		CLAIM(a_stopped_consumer_is_not_dead),
		CLAIM(who_detaches_did_not_die),
		CLAIM(who_exits_attached_died),
		CLAIM(exec_is_a_death),
		CLAIM(a_dead_producers_last_value_is_read_first),
		CLAIM(a_new_producer_of_a_triple_takes_over),
	};

	return RUN("death", tests);
}
