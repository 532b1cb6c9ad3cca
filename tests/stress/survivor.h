/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction: the survivor, before a death and after it.
 */
#ifndef _STRESS_SURVIVOR_H
#define _STRESS_SURVIVOR_H

#include "victim.h"

/* ------------------------------------------------------- the survivor before a death */

static bool comes(void)
{
	return op->operate == do_attach;
}

static bool leaves(void)
{
	return op->operate == do_detach;
}

/* Whether the operation makes one more message visible. */
static bool sends(void)
{
	return op->victim == KREPIS_PRODUCER && op->before && op->before != produce;
}

static void check_message(const struct krepis_msg *msg, uint64_t seq)
{
	struct stamp stamp;
	char why[128];

	REQUIRE(!message_check(msg->data, msg->len, &stamp, why, sizeof(why)), "%s", why);
	REQUIRE(stamp.incarnation == life && stamp.seq == seq,
		"message %llu of life %u instead of %llu of %u", (unsigned long long)stamp.seq,
		stamp.incarnation, (unsigned long long)seq, life);
}

/* A result of krepis_recv(). Return: false if the producer has gone. */
static bool received(int err, const struct krepis_msg *msg)
{
	uint64_t seq;

	if (err == -KREPIS_PEER_GONE)
		return false;
	if (err == -KREPIS_ELAPPED && op->options->backpressure == KREPIS_OVERWRITE) {
		next += msg->lost;
		return true;
	}
	REQUIRE(!err, "krepis_recv: %s", krepis_strerror(err));
	seq = ((const struct stamp *)msg->data)->seq;
	/* Who dies between two versions leaves a count that is one move old: two records. */
	if (torn && seq > next && seq <= next + 2)
		next = seq;
	check_message(msg, next);
	if (msg->buffer) {
		REQUIRE(held_count < BUFFERS, "more messages in buffers than buffers");
		held[held_count] = *msg;
		held_seq[held_count++] = next;
	}
	next++;
	return true;
}

static void release_held(void)
{
	while (held_count)
		SUCCEED(krepis_release(survivor, &held[--held_count]));
}

static void take(void)
{
	struct krepis_msg msg;
	unsigned int i;

	for (i = 0; i < op->take; i++)
		REQUIRE(received(krepis_recv(survivor, &msg, KREPIS_NOWAIT), &msg), "gone early");
	/* There the kernel is, and ends what it began. */
	if (spy.geometry.flags & KREPIS_F_ENFORCED)
		return;
	/* As if the other were in krepis_publish() when it is killed. */
	for (i = 0; op->other == KREPIS_PRODUCER && i < BUFFERS; i++) {
		if (!krepis_own_lock(&spy.desc[i], spy.desc[i].generation))
			return;
	}
	REQUIRE(op->other != KREPIS_PRODUCER, "no buffer is free");
}

static void take_meanwhile(void)
{
	struct krepis_msg msg;
	unsigned int i;
	int err;

	release_held();
	for (i = 0; i < 2; i++) {
		err = krepis_recv(survivor, &msg, KREPIS_NOWAIT);
		if (err != -EAGAIN)
			received(err, &msg);
	}
}

static int emit(bool large)
{
	int err = large ? send_large(survivor, emitted) : send_small(survivor, emitted);

	emitted += !err;
	return err;
}

static void feed_two(void)
{
	SUCCEED(emit(true));
	SUCCEED(emit(true));
}

static void feed_all(void)
{
	feed_two();
	feed_two();
}

static void feed_full(void)
{
	int err = emit(true);

	while (!err)
		err = emit(false);
	REQUIRE(err == -EAGAIN, "the ring is not full: %s", krepis_strerror(err));
}

static void emit_meanwhile(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < 2; i++) {
		err = emit(i);
		REQUIRE(!err || err == -KREPIS_PEER_GONE || err == -ENOTCONN,
			"sending meanwhile: %s", krepis_strerror(err));
	}
}

static void feed_triple(void)
{
	SUCCEED(send_triple(survivor, emitted++));
}

/* The survivor's view: value @next, or a later one up to what the victim was sending. */
static struct krepis_msg read_value(void)
{
	struct krepis_msg msg;
	uint64_t seq;

	SUCCEED(krepis_triple_read(survivor, &msg));
	seq = ((const struct stamp *)msg.data)->seq;
	if (seq > next && seq < board->sent + sends())
		next = seq;
	check_message(&msg, next);
	return msg;
}

static void take_value(void)
{
	read_value();
}

static int sleep_recv(void)
{
	return krepis_recv(survivor, &slept_msg, KREPIS_FOREVER);
}

static int sleep_acquire(void)
{
	return krepis_acquire(survivor, &slept_buffer, KREPIS_FOREVER);
}

static int sleep_wait(void)
{
	return krepis_wait(survivor, KREPIS_FOREVER);
}

static int sleep_peer(void)
{
	return krepis_wait_peer(survivor, 1, KREPIS_FOREVER);
}

static void *sleeper(void *arg)
{
	slept = op->sleep();
	return arg;
}

/* In a scene with a sleeper, a consumer that survives is the first. */
static void fall_asleep(void)
{
	const __u64 *waits = op->survivor == KREPIS_PRODUCER ?
		&spy.producer->counters.waits : &spy_consumer(&spy, 0)->counters.waits;
	__u64 awake = krepis_read(waits);
	int64_t limit = krepis_deadline_ns(2 * SECOND);

	REQUIRE(!pthread_create(&thread, NULL, sleeper, NULL), "pthread_create");
	sleeping = true;
	while (krepis_read(waits) == awake) {
		REQUIRE(krepis_deadline_ns(0) < limit, "the survivor does not fall asleep");
		sched_yield();
	}
	/* It has counted, and looked at all words: give it the time to enter the kernel. */
	sched_yield();
}

static bool wakes_up(int64_t limit)
{
	struct timespec ts = { .tv_sec = limit / 1000000000, .tv_nsec = limit % 1000000000 };

	sleeping = pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &ts);
	return !sleeping;
}

/* What the sleeper's call returned, within two seconds after @since_ns. */
static int awaken(int64_t since_ns)
{
	REQUIRE(wakes_up(since_ns + 2 * SECOND), "the survivor still sleeps");
	return slept;
}

/* -------------------------------------------------------- the survivor after a death */

static struct krepis_endpoint *attach(enum krepis_role role)
{
	struct krepis_endpoint *ep;
	int64_t begin = krepis_deadline_ns(0);

	SUCCEED(krepis_attach(channel, role, KREPIS_ATTACH_NO_SPIN, &ep));
	REQUIRE(krepis_deadline_ns(0) - begin < SECOND, "krepis_attach takes over a second");
	return ep;
}

/* All buffers of @ep but those that the survivor holds; scribbles into them. */
static unsigned int acquire_all(struct krepis_endpoint *ep, struct krepis_buffer *buffers[])
{
	unsigned int n = 0;

	while (n + held_count < BUFFERS && !krepis_acquire(ep, &buffers[n], KREPIS_NOWAIT))
		memset(krepis_buffer_data(buffers[n++]), 0xa5, LARGE);
	REQUIRE(n + held_count == BUFFERS, "%u buffers can be acquired, %u are held", n,
		held_count);
	return n;
}

static void abandon_all(struct krepis_endpoint *ep)
{
	struct krepis_buffer *buffers[BUFFERS];
	unsigned int n = acquire_all(ep, buffers);

	while (n)
		SUCCEED(krepis_abandon(ep, buffers[--n]));
}

/* A message in each buffer, and a small one, from number @seq on. */
static void send_all(struct krepis_endpoint *ep, uint64_t seq)
{
	struct krepis_buffer *buffers[BUFFERS];
	unsigned int n = acquire_all(ep, buffers);

	while (n--) {
		message_fill(krepis_buffer_data(buffers[n]), life, seq++, LARGE);
		SUCCEED(krepis_publish(ep, buffers[n], 1, LARGE, 0, krepis_deadline_ns(SECOND)));
	}
	SUCCEED(send_small(ep, seq));
}

static void read_all(struct krepis_endpoint *ep, uint64_t *seq, uint64_t last)
{
	struct krepis_msg msg;

	while (*seq < last) {
		SUCCEED(krepis_recv(ep, &msg, krepis_deadline_ns(SECOND)));
		check_message(&msg, (*seq)++);
		SUCCEED(krepis_release(ep, &msg));
	}
}

static void read_until_gone(int64_t since_ns)
{
	struct krepis_msg msg;

	while (received(krepis_recv(survivor, &msg, since_ns + 2 * SECOND), &msg))
		;
}

static void consumer_goes_on(void)
{
	bool came = !comes() || spy.info->producers != before.producers;
	struct krepis_endpoint *heir;
	unsigned int i;

	/* Who has seen nobody goes on waiting, and gets what the heir sends. */
	if (sleeping && came)
		received(awaken(died_ns), &slept_msg);
	if (!sleeping)
		read_until_gone(died_ns);
	REQUIRE(next >= board->sent + (complete && sends()), "messages were lost");

	/* What is held is not given out, and stays as it is. */
	heir = attach(KREPIS_PRODUCER);
	abandon_all(heir);
	for (i = 0; i < held_count; i++)
		check_message(&held[i], held_seq[i]);
	release_held();

	life++;
	next = 0;
	torn = false;
	send_all(heir, 0);
	if (sleeping)
		received(awaken(krepis_deadline_ns(0)), &slept_msg);
	release_held();
	read_all(survivor, &next, BUFFERS + 1);
	SUCCEED(krepis_drain(heir, krepis_deadline_ns(SECOND)));
	krepis_detach(heir);
	read_until_gone(krepis_deadline_ns(0));
	board->sent = (uint32_t)next;
}

/* The survivor sends, until it is told that nobody is there. */
static void send_until_gone(void)
{
	bool came = !comes() || spy.info->consumers != before.consumers;
	int err;

	do {
		err = emit(false);
	} while (!err && !witness && krepis_deadline_ns(0) < died_ns + 2 * SECOND);
	REQUIRE(witness ? !err : err == -KREPIS_PEER_GONE || (!came && err == -ENOTCONN),
		"krepis_send after the death: %s", krepis_strerror(err));
}

static void producer_goes_on(void)
{
	struct krepis_endpoint *heir;
	uint64_t seq;
	int err;

	if (op->sleep == sleep_acquire) {
		SUCCEED(awaken(died_ns));
		SUCCEED(krepis_abandon(survivor, slept_buffer));
	} else if (op->sleep == sleep_wait) {
		err = awaken(died_ns);
		REQUIRE(!err || err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	}
	if (!sleeping) {
		send_until_gone();
		if (witness)
			read_all(witness, &witnessed, emitted);
		abandon_all(survivor);
	}

	heir = attach(KREPIS_CONSUMER);
	/* Who waits for a consumer has got none before, or none that lived on. */
	if (sleeping)
		SUCCEED(awaken(krepis_deadline_ns(0)));
	seq = emitted;
	emitted += BUFFERS + 1;
	send_all(survivor, seq);
	read_all(heir, &seq, emitted);
	if (witness)
		read_all(witness, &witnessed, emitted);
	SUCCEED(krepis_drain(survivor, krepis_deadline_ns(SECOND)));
	abandon_all(survivor);
	krepis_detach(heir);
}

/* @to has seen message @seen: it stays as it is while others come, and then the last comes. */
static void send_values(struct krepis_endpoint *from, struct krepis_endpoint *to,
			struct krepis_msg msg, uint64_t seq)
{
	struct stamp seen, stamp;
	char why[128];
	unsigned int i;

	memcpy(&seen, msg.data, sizeof(seen));
	for (i = 0; i < 3; i++) {
		SUCCEED(send_triple(from, seq + i));
		REQUIRE(!message_check(msg.data, msg.len, &stamp, why, sizeof(why)) &&
			!memcmp(&seen, &stamp, sizeof(seen)), "a value changed while it was read");
	}
	SUCCEED(krepis_triple_read(to, &msg));
	check_message(&msg, seq + 2);
}

static void triple_consumer_goes_on(void)
{
	struct krepis_endpoint *heir;
	struct krepis_msg msg;
	int err;

	if (sleeping) {
		err = awaken(died_ns);
		REQUIRE(!err || err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	}
	msg = read_value();
	REQUIRE(next + 1 >= board->sent + (complete && sends()), "the last value was lost");
	err = krepis_wait(survivor, died_ns + 2 * SECOND);
	REQUIRE(err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	heir = attach(KREPIS_PRODUCER);
	life++;
	send_values(heir, survivor, msg, 0);
	krepis_detach(heir);
}

static void triple_producer_goes_on(void)
{
	struct krepis_endpoint *heir;
	struct krepis_msg msg;
	int err;

	feed_triple();
	err = krepis_wait(survivor, died_ns + 2 * SECOND);
	REQUIRE(err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	heir = attach(KREPIS_CONSUMER);
	SUCCEED(krepis_triple_read(heir, &msg));
	check_message(&msg, emitted - 1);
	send_values(survivor, heir, msg, emitted);
	emitted += 3;
	krepis_detach(heir);
}

/* Each death was counted, once if who counts lives on; nothing of the dead is left. */
static void check_settled(void)
{
	uint32_t least = comes() ? complete : !leaves(), most = !(complete && leaves());
	uint32_t count = spy.info->deaths - before.deaths;
	unsigned int i;

	REQUIRE(count >= least + !!op->other && count <= most + 2 * !!op->other,
		"%u deaths were counted", count);
	REQUIRE(spy.info->live == before.live, "the live mask is not %#x", before.live);
	for (i = 0; i < spy.geometry.max_consumers; i++) {
		REQUIRE(op->survivor == KREPIS_PRODUCER || !spy.producer->link[i].word,
			"the dead producer's link %u is left", i);
		REQUIRE(before.live & 1U << i || !spy_consumer(&spy, i)->link.word,
			"a dead consumer's link %u is left", i);
	}
	for (i = 0; !triple() && i < BUFFERS; i++)
		REQUIRE(!spy.desc[i].state, "buffer %u leaked", i);
}

#endif /* _STRESS_SURVIVOR_H */
