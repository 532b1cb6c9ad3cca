// SPDX-License-Identifier: MIT
/*
 * Processes killed at any instruction: whatever they were about to do, the other side
 * goes on, and nothing is lost but what they had not sent.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

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

static void random_nap(void)
{
	struct timespec pause = { .tv_nsec = (long)random_below(3 * MS) };

	nanosleep(&pause, NULL);
}

static size_t size_of(uint64_t n)
{
	return n % 3 ? n % 200 : LARGE - n % 500;
}

/* A message says its number, and follows from it. */
static void streaming_producer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *producer = attach_inherited(stage->channel, KREPIS_PRODUCER, 0);
	uint8_t data[LARGE];

	for (uint64_t n = 0;; n++) {
		fill(data, size_of(n), n);
		must(!krepis_send(producer, (uint16_t)n, data, size_of(n), SOON));
		if (!n)
			post(stage->ready);
	}
}

static void a_producer_may_die_at_any_instruction(void **state)
{
	struct stage stage = open_stage(SMALL_RING());
	struct krepis_endpoint *consumer = attach(stage.channel, KREPIS_CONSUMER, 0), *producer;
	unsigned int count = rounds(150);

	(void)state;
	for (unsigned int round = 0; round < count; round++) {
		pid_t child = spawn(streaming_producer, &stage);
		int64_t end = now_ns() + (int64_t)random_below(2 * MS);
		struct krepis_msg msg;
		uint64_t n = 0;
		int err;

		assert_true(posted(stage.ready, round + 1));
		do {
			err = krepis_recv(consumer, &msg, SOON);
			if (err)
				break;
			assert_int_equal(msg.type, (uint16_t)n);
			assert_int_equal(msg.len, size_of(n));
			assert_true(filled(msg.data, msg.len, n));
			assert_ok(krepis_release(consumer, &msg));
			n++;
			if (end && now_ns() > end) {
				kill(child, SIGKILL);
				end = 0;
			}
		} while (!err);
		assert_int_equal(err, -KREPIS_PEER_GONE);
		kill_child(child);
	}
	producer = attach(stage.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(producer), 4);
	assert_int_equal(status_of(stage.channel).deaths, count);
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(stage.channel);
}

static void streaming_consumer(void *arg)
{
	struct stage *stage = arg;
	struct krepis_endpoint *consumer = attach_inherited(stage->channel, KREPIS_CONSUMER, 0);
	struct krepis_msg msg;

	post(stage->ready);
	for (;;) {
		must(!krepis_recv(consumer, &msg, SOON));
		must(filled(msg.data, msg.len, msg.type));
		must(!krepis_release(consumer, &msg));
	}
}

static void a_consumer_may_die_at_any_instruction(void **state)
{
	struct stage stage = open_stage(SMALL_RING(.max_consumers = 2));
	struct krepis_endpoint *producer = attach(stage.channel, KREPIS_PRODUCER, 0), *consumer;
	unsigned int count = rounds(150);
	uint8_t data[LARGE];

	(void)state;
	for (unsigned int round = 0; round < count; round++) {
		pid_t child = spawn(streaming_consumer, &stage);
		int64_t end = now_ns() + (int64_t)random_below(2 * MS);
		uint16_t n = 0;
		int err;

		assert_true(posted(stage.ready, round + 1));
		do {
			fill(data, size_of(n), n);
			err = krepis_send(producer, n, data, size_of(n), SOON);
			n++;
			if (end && now_ns() > end) {
				kill(child, SIGKILL);
				end = 0;
			}
		} while (!err);
		assert_int_equal(err, -KREPIS_PEER_GONE);
		kill_child(child);
	}
	assert_int_equal(count_free(producer), 4);
	assert_int_equal(status_of(stage.channel).live, 0);
	assert_int_equal(status_of(stage.channel).deaths, count);
	consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
	send_filled(producer, 1, LARGE);
	recv_filled(consumer, 1, 1, LARGE);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(stage.channel);
}

static void coming_and_going(void *arg)
{
	struct stage *stage = arg;
	struct krepis_channel *channel = stage->channel;

	post(stage->ready);
	for (;;) {
		struct krepis_endpoint *consumer = attach_inherited(channel, KREPIS_CONSUMER, 0);
		struct krepis_endpoint *producer = attach_inherited(channel, KREPIS_PRODUCER, 0);

		send_filled(producer, 1, LARGE);
		if (random_below(2)) {
			krepis_detach(consumer);
			krepis_detach(producer);
		} else {
			krepis_detach(producer);
			krepis_detach(consumer);
		}
	}
}

static void a_process_may_die_while_it_attaches_or_detaches(void **state)
{
	struct stage stage = open_stage(SMALL_RING(.max_consumers = 2));

	(void)state;
	for (unsigned int round = 0; round < rounds(150); round++) {
		pid_t child = spawn(coming_and_going, &stage);
		struct krepis_endpoint *consumer, *producer;

		assert_true(posted(stage.ready, round + 1));
		random_nap();
		kill_child(child);
		consumer = attach(stage.channel, KREPIS_CONSUMER, 0);
		producer = attach(stage.channel, KREPIS_PRODUCER, 0);
		assert_int_equal(status_of(stage.channel).live, 1);
		assert_int_equal(count_free(producer), 4);
		send_filled(producer, 1, LARGE);
		recv_filled(consumer, 1, 1, LARGE);
		krepis_detach(producer);
		assert_peer_gone(consumer);
		krepis_detach(consumer);
		assert_int_equal(status_of(stage.channel).live, 0);
	}
	krepis_channel_close(stage.channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_producer_may_die_at_any_instruction),
		CLAIM(a_consumer_may_die_at_any_instruction),
		CLAIM(a_process_may_die_while_it_attaches_or_detaches),
	};

	return RUN("crash", tests);
}
