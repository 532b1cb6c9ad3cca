// SPDX-License-Identifier: MIT
/*
 * Enforced channels, as the library shows them: what the kernel takes away, what it
 * gives back, and how that is told. Where there is no module they are refused.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "helpers.h"

#define ENFORCED(...)  SMALL_RING(.flags = KREPIS_F_ENFORCED, __VA_ARGS__)
#define EXCLUSIVE(...)                                                       \
	SMALL_RING(.flags = KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE,          \
		   .max_consumers = 1, __VA_ARGS__)
#define ENFORCED_TRIPLE \
	OPTIONS(.kind = KREPIS_TRIPLE, .buffer_size = 4096, .flags = KREPIS_F_ENFORCED)

static void only_on_kmod(void)
{
	if (!on_kmod())
		skip();
}

/* ------------------------------------------------------------------ faults, explained */

static sigjmp_buf faulted;
static char why[160];
static void *where;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	where = info->si_addr;
	if (krepis_fault_explain(info->si_addr, why, sizeof(why)))
		why[0] = '\0';
	siglongjmp(faulted, 1);
}

/* Whether touching @p gives SIGBUS; then @why says what the library says of it. */
static bool faults(volatile uint8_t *p, bool write)
{
	struct sigaction catch = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, before;
	bool ret = true;

	must(!sigaction(SIGBUS, &catch, &before));
	if (!sigsetjmp(faulted, 1)) {
		if (write)
			*p = 1;
		else
			(void)*p;
		ret = false;
	}
	must(!sigaction(SIGBUS, &before, NULL));
	return ret && where == (void *)p;
}

static struct krepis_buffer *acquired(struct krepis_endpoint *producer)
{
	struct krepis_buffer *buffer;

	must(!krepis_acquire(producer, &buffer, SOON));
	return buffer;
}

static struct krepis_msg received(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	must(!krepis_recv(consumer, &msg, SOON));
	return msg;
}

/* -------------------------------------------------------------------------- who offers */

static void without_the_module_they_are_refused(void **state)
{
	struct krepis_channel *channel;
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "/dev/shm/krepis-enforced-%d", (int)getpid());
	assert_error(krepis_channel_create(name, ENFORCED(), &channel), EOPNOTSUPP);
	assert_int_equal(access(name, F_OK), -1);
	must(!setenv("KREPIS_DIR", "/dev/shm", 1));
	assert_error(krepis_channel_create(NULL, ENFORCED(), &channel), EOPNOTSUPP);
}

static void a_file_cannot_claim_to_be_one(void **state)
{
	struct krepis_channel *channel, *found;
	struct krepis_info *info;

	(void)state;
	must(!setenv("KREPIS_DIR", "/dev/shm", 1));
	must(!krepis_channel_create(NULL, SMALL_RING(), &channel));
	info = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, krepis_channel_fd(channel), 0);
	must(info != MAP_FAILED);
	info->geometry.flags |= KREPIS_F_ENFORCED;
	assert_error(krepis_channel_open_fd(krepis_channel_fd(channel), 0, &found), EMEDIUMTYPE);
	munmap(info, 4096);
	krepis_channel_close(channel);
}

static void the_status_tells_which_guarantee_holds(void **state)
{
	struct krepis_channel *channel;
	struct krepis_endpoint *ep;
	struct krepis_status status = { .size = sizeof(status) };

	(void)state;
	must(!krepis_channel_create(NULL, SMALL_RING(), &channel));
	assert_int_equal(status_of(channel).guarantee, KREPIS_COOPERATIVE);
	krepis_channel_close(channel);
	only_on_kmod();
	must(!krepis_channel_create(NULL, ENFORCED(), &channel));
	assert_int_equal(status_of(channel).guarantee, KREPIS_ENFORCED);
	ep = attach(channel, KREPIS_CONSUMER, 0);
	assert_ok(krepis_endpoint_query(ep, &status));
	assert_int_equal(status.guarantee, KREPIS_ENFORCED);
	krepis_detach(ep);
	krepis_channel_close(channel);
}

/* --------------------------------------------------------------------- what is taken */

static void what_is_published_is_gone_until_it_comes_back(void **state)
{
	struct pair p;
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	uint8_t *data;

	(void)state;
	only_on_kmod();
	p = open_pair(ENFORCED(.buffer_count = 1));
	for (unsigned int i = 0; i < 3; i++) {
		buffer = acquired(p.producer);
		data = krepis_buffer_data(buffer);
		assert_false(faults(data, true));
		fill(data, 4096, i);
		assert_ok(krepis_publish(p.producer, buffer, 1, 4096, 0, SOON));
		assert_true(faults(data, true));
		assert_true(faults(data + 4095, false));
		assert_non_null(strstr(why, "buffer 0 was published"));
		msg = received(p.consumer);
		assert_true(filled(msg.data, 4096, i));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	close_pair(&p);
}

static void of_an_address_elsewhere_nothing_is_explained(void **state)
{
	char text[160] = "as before";

	(void)state;
	assert_error(krepis_fault_explain(text, text, sizeof(text)), ENOENT);
	assert_string_equal(text, "as before");
}

static void a_published_value_is_gone(void **state)
{
	struct pair p;
	struct krepis_msg msg;
	void *data, *next;

	(void)state;
	only_on_kmod();
	p = open_pair(ENFORCED_TRIPLE);
	for (unsigned int i = 1; i < 20; i++) {
		assert_ok(krepis_triple_begin(p.producer, &data));
		fill(data, 4096, i);
		assert_ok(krepis_triple_commit(p.producer, (uint16_t)i, 4096));
		assert_true(faults(data, true));
		assert_non_null(strstr(why, "was published"));
		assert_ok(krepis_triple_begin(p.producer, &next));
		assert_ptr_not_equal(data, next);
		assert_false(faults(next, true));
		if (i % 3)
			continue;
		assert_ok(krepis_triple_read(p.consumer, &msg));
		assert_int_equal(msg.type, i);
		assert_int_equal(msg.sequence, i);
		assert_true(msg.flags & KREPIS_MSG_FRESH);
		assert_true(filled(msg.data, 4096, i));
	}
	close_pair(&p);
}

/* A hand-over that reaches nobody leaves the buffer where it was. */
static void a_refused_publish_takes_nothing_away(void **state)
{
	struct krepis_channel *channel;
	struct krepis_endpoint *producer;
	struct krepis_buffer *buffer;

	(void)state;
	only_on_kmod();
	must(!krepis_channel_create(NULL, ENFORCED(), &channel));
	producer = attach(channel, KREPIS_PRODUCER, 0);
	buffer = acquired(producer);
	fill(krepis_buffer_data(buffer), 4096, 7);
	assert_error(krepis_publish(producer, buffer, 1, 1, 0, KREPIS_NOWAIT), ENOTCONN);
	assert_true(filled(krepis_buffer_data(buffer), 4096, 7));
	assert_ok(krepis_abandon(producer, buffer));
	krepis_detach(producer);
	krepis_channel_close(channel);
}

/* -------------------------------------------------------------------------- inline */

/* The ring is the producer's to write: what the consumer looks at is not in it. */
static void an_inline_message_stays_as_it_was_received(void **state)
{
	struct pair p;
	struct krepis_msg msgs[8];
	void *room;

	(void)state;
	only_on_kmod();
	p = open_pair(ENFORCED());
	for (unsigned int turn = 0; turn < 40; turn++) {
		for (unsigned int i = 0; i < 8; i++) {
			uint8_t data[200];

			fill(data, sizeof(data), turn * 8 + i);
			assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
		}
		assert_int_equal(krepis_recv_batch(p.consumer, msgs, 8, SOON), 8);
		/* A hostile producer does not wait for the room. */
		assert_ok(krepis_send_begin(p.producer, 800, &room, KREPIS_NOWAIT));
		for (unsigned int i = 0; i < 8; i++)
			memset((uint8_t *)room - (i + 1) * 208, 0xee, 208);
		krepis_send_cancel(p.producer);
		for (unsigned int i = 0; i < 8; i++)
			assert_true(filled(msgs[i].data, 200, turn * 8 + i));
	}
	close_pair(&p);
}

/* ------------------------------------------------------------------------ take back */

static void a_buffer_comes_back_to_who_asked_for_it(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 2));
	struct krepis_buffer *buffer = acquired(p.producer), *other;
	struct krepis_msg msg;

	(void)state;
	fill(krepis_buffer_data(buffer), 4096, 3);
	assert_ok(krepis_publish(p.producer, buffer, 1, 4096, KREPIS_PUBLISH_RETURN, SOON));
	assert_error(krepis_take_back(p.producer, buffer, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_take_back(p.producer, buffer, SHORTLY), ETIMEDOUT);
	msg = received(p.consumer);
	assert_ok(krepis_release(p.consumer, &msg));
	/* It is free, and yet nobody else's. */
	other = acquired(p.producer);
	assert_ptr_not_equal(other, buffer);
	assert_error(krepis_acquire(p.producer, &other, KREPIS_NOWAIT), EAGAIN);
	assert_ok(krepis_take_back(p.producer, buffer, KREPIS_NOWAIT));
	assert_true(filled(krepis_buffer_data(buffer), 4096, 3));
	assert_error(krepis_take_back(p.producer, buffer, KREPIS_NOWAIT), EPERM);
	assert_ok(krepis_publish(p.producer, buffer, 1, 1, 0, SOON));
	close_pair(&p);
}

static void only_what_was_published_so_comes_back(void **state)
{
	struct pair p = open_pair(SMALL_RING()), q = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquired(p.producer), *found;

	(void)state;
	assert_error(krepis_take_back(p.producer, buffer, KREPIS_NOWAIT), EPERM);
	assert_error(krepis_take_back(q.producer, buffer, KREPIS_NOWAIT), EINVAL);
	assert_ok(krepis_publish(p.producer, buffer, 1, 1, KREPIS_PUBLISH_RETURN, SOON));
	assert_error(krepis_abandon(p.producer, buffer), EPERM);
	assert_error(krepis_publish(p.producer, buffer, 1, 1, 0, SOON), EPERM);
	assert_error(krepis_buffer_lookup(p.producer, krepis_buffer_handle(buffer), &found), EPERM);
	close_pair(&p);
	close_pair(&q);
}

struct reply {
	struct krepis_channel *channel;
	unsigned int rounds;
};

static void slow_consumer(void *arg)
{
	struct reply *r = arg;
	struct krepis_endpoint *consumer = attach_inherited(r->channel, KREPIS_CONSUMER, 0);

	for (unsigned int i = 0; i < r->rounds; i++) {
		struct krepis_msg msg = received(consumer);

		pause_for(random_below(200000));
		must(!krepis_release(consumer, &msg));
	}
	stay();
}

static void who_waits_for_a_buffer_is_woken(void **state)
{
	struct reply r = { .channel = anonymous(SMALL_RING()), .rounds = rounds(300) };
	pid_t child = spawn(slow_consumer, &r);
	struct krepis_endpoint *producer =
		attach(r.channel, KREPIS_PRODUCER, KREPIS_ATTACH_NO_SPIN);
	struct krepis_buffer *buffer;

	(void)state;
	assert_ok(krepis_wait_peer(producer, 1, SOON));
	buffer = acquired(producer);
	for (unsigned int i = 0; i < r.rounds; i++) {
		assert_ok(krepis_publish(producer, buffer, 1, 1, KREPIS_PUBLISH_RETURN, SOON));
		assert_ok(krepis_take_back(producer, buffer, SOON));
	}
	/* Who dies with it gives it back, too. */
	assert_ok(krepis_publish(producer, buffer, 1, 1, KREPIS_PUBLISH_RETURN, SOON));
	kill_child(child);
	assert_ok(krepis_take_back(producer, buffer, SOON));
	krepis_detach(producer);
	krepis_channel_close(r.channel);
}

/* ----------------------------------------------------------------------- exclusive */

static void an_exclusive_consumer_edits_what_it_holds(void **state)
{
	struct pair p;
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	void *data;

	(void)state;
	only_on_kmod();
	p = open_pair(EXCLUSIVE());
	buffer = acquired(p.producer);
	for (unsigned int i = 0; i < 5; i++) {
		fill(krepis_buffer_data(buffer), 4096, i);
		assert_ok(krepis_publish(p.producer, buffer, 1, 4096, KREPIS_PUBLISH_RETURN, SOON));
		assert_true(faults(krepis_buffer_data(buffer), false));
		msg = received(p.consumer);
		assert_true(filled(msg.data, 4096, i));
		assert_ok(krepis_msg_edit(&msg, &data));
		fill(data, 4096, 100 + i);
		assert_ok(krepis_release(p.consumer, &msg));
		assert_error(krepis_msg_edit(&msg, &data), EPERM);
		assert_true(faults(data, true));
		assert_non_null(strstr(why, "not this consumer's"));
		assert_ok(krepis_take_back(p.producer, buffer, SOON));
		assert_true(filled(krepis_buffer_data(buffer), 4096, 100 + i));
	}
	close_pair(&p);
}

static void elsewhere_nobody_edits(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquired(p.producer);
	struct krepis_msg msg;
	void *data = &p;

	(void)state;
	assert_ok(krepis_publish(p.producer, buffer, 1, 1, 0, SOON));
	msg = received(p.consumer);
	assert_error(krepis_msg_edit(&msg, &data), EACCES);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_ok(krepis_send(p.producer, 1, "x", 1, SOON));
	msg = received(p.consumer);
	assert_error(krepis_msg_edit(&msg, &data), EINVAL);
	assert_ptr_equal(data, &p);
	close_pair(&p);
}

/* --------------------------------------------------------------------------- death */

/* Hands over every buffer past the library, publishes no record, and is killed. */
static void giver_without_records(void *arg)
{
	struct reply *r = arg;
	struct krepis_endpoint *producer = attach_inherited(r->channel, KREPIS_PRODUCER, 0);
	struct krepis_handoff args = { .size = sizeof(args), .handle = { .generation = 1 } };

	must(!krepis_wait_peer(producer, 1, SOON));
	must(!krepis_send(producer, 9, "begun", 5, SOON));
	for (args.handle.index = 0; args.handle.index < 4; args.handle.index++) {
		args.sequence = random_u64();
		must(!ioctl(krepis_fd(producer), KREPIS_IOC_HANDOFF, &args));
	}
	raise(SIGKILL);
}

static void what_the_dead_gave_and_never_published_comes_back(void **state)
{
	struct reply r;
	struct krepis_endpoint *consumer, *producer;
	struct krepis_msg msg;
	pid_t child;

	(void)state;
	only_on_kmod();
	must(!krepis_channel_create(NULL, ENFORCED(), &r.channel));
	consumer = attach(r.channel, KREPIS_CONSUMER, 0);
	child = spawn(giver_without_records, &r);
	msg = received(consumer);
	assert_int_equal(msg.type, 9);
	assert_error(krepis_recv(consumer, &msg, SOON), KREPIS_PEER_GONE);
	kill_child(child);
	producer = attach(r.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(producer), 4);
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(r.channel);
}

/* The next producer is there before the consumer looks. */
static void a_successor_gets_what_the_dead_left_behind(void **state)
{
	struct reply r;
	struct krepis_endpoint *consumer, *producer;
	struct krepis_msg msg;
	pid_t child;

	(void)state;
	only_on_kmod();
	must(!krepis_channel_create(NULL, ENFORCED(), &r.channel));
	consumer = attach(r.channel, KREPIS_CONSUMER, 0);
	child = spawn(giver_without_records, &r);
	assert_true(until(status_of(r.channel).producer_deaths == 1));
	kill_child(child);
	producer = attach(r.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(producer), 0);
	msg = received(consumer);
	assert_int_equal(msg.type, 9);
	assert_error(krepis_recv(consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	assert_int_equal(count_free(producer), 4);
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(r.channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(without_the_module_they_are_refused),
		CLAIM(a_file_cannot_claim_to_be_one),
		CLAIM(the_status_tells_which_guarantee_holds),
		CLAIM(what_is_published_is_gone_until_it_comes_back),
		CLAIM(of_an_address_elsewhere_nothing_is_explained),
		CLAIM(a_published_value_is_gone),
		CLAIM(a_refused_publish_takes_nothing_away),
		CLAIM(an_inline_message_stays_as_it_was_received),
		CLAIM(a_buffer_comes_back_to_who_asked_for_it),
		CLAIM(only_what_was_published_so_comes_back),
		CLAIM(who_waits_for_a_buffer_is_woken),
		CLAIM(an_exclusive_consumer_edits_what_it_holds),
		CLAIM(elsewhere_nobody_edits),
		CLAIM(what_the_dead_gave_and_never_published_comes_back),
		CLAIM(a_successor_gets_what_the_dead_left_behind),
	};

	return RUN("enforced", tests);
}
