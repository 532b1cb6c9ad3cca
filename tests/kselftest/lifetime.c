// SPDX-License-Identifier: MIT
/*
 * How long things live: an endpoint as long as a descriptor or a mapping of it, a
 * channel as long as a name or an endpoint, a mount as long as any of them.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include "util.h"

static struct krepis_info_query look(int fd)
{
	struct krepis_info_query q;

	query(fd, &q);
	return q;
}

FIXTURE(life)
{
	int channel, fd;
	struct side producer;
};

/* @fd is a consumer's endpoint without a mapping. */
FIXTURE_SETUP(life)
{
	struct krepis_geometry g = small_ring();

	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	self->fd = attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(life)
{
}

static bool alive(FIXTURE_DATA(life) *self)
{
	return look(self->channel).live & 1;
}

static bool hung_up(FIXTURE_DATA(life) *self)
{
	struct pollfd p = { .fd = self->producer.fd };

	return poll(&p, 1, 0) == 1 && p.revents == POLLHUP;
}

/* --------------------------------------------------------------- descriptors */

TEST_F(life, ends_with_its_only_descriptor)
{
	EXPECT_TRUE(alive(self));
	EXPECT_FALSE(hung_up(self));
	close(self->fd);
	EXPECT_FALSE(alive(self));
	EXPECT_TRUE(hung_up(self));
	EXPECT_EQ(1, look(self->channel).deaths);
}

TEST_F(life, ends_with_its_last_duplicate)
{
	int twin = dup(self->fd);

	close(self->fd);
	EXPECT_TRUE(alive(self));
	close(twin);
	EXPECT_FALSE(alive(self));
	EXPECT_EQ(1, look(self->channel).deaths);
}

TEST_F(life, ends_with_its_last_derived_descriptor)
{
	int first = derive(self->fd, KREPIS_RIGHT_ALL), second = derive(first, KREPIS_RIGHT_WAIT);

	ASSERT_LE(0, second);
	close(self->fd);
	EXPECT_TRUE(alive(self));
	close(first);
	EXPECT_TRUE(alive(self));
	close(second);
	EXPECT_FALSE(alive(self));
	EXPECT_EQ(1, look(self->channel).deaths);
}

TEST_F(life, does_not_depend_on_the_channel_file)
{
	close(self->channel);
	EXPECT_EQ(1, look(self->producer.fd).live);
	EXPECT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	EXPECT_EQ(0, release(self->fd, 0, 1));
}

TEST_F(life, is_not_held_by_the_channel_file)
{
	side_close(&self->producer);
	close(self->fd);
	EXPECT_EQ(0, look(self->channel).live);
	EXPECT_EQ(0, look(self->channel).producer);
}

TEST_F(life, forked_child_holds_it)
{
	pid_t pid = child();

	if (!pid) {
		pause();
		_exit(0);
	}
	close(self->fd);
	EXPECT_TRUE(alive(self));
	EXPECT_EQ(128 + SIGKILL, kill_and_reap(pid));
	EXPECT_FALSE(alive(self));
	/* The child had the producer's descriptor as well, which lives on here. */
	EXPECT_EQ(1, look(self->channel).deaths);
	EXPECT_EQ(1, look(self->channel).producer);
}

static void *nothing(void *unused)
{
	return NULL;
}

TEST_F(life, thread_that_ends_does_not_end_it)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, nothing, NULL));
	pthread_join(thread, NULL);
	EXPECT_TRUE(alive(self));
}

/* ------------------------------------------------------------------------ exec */

/* A child that has executed something else, and sleeps. */
static pid_t executed(void)
{
	int pipes[2];
	pid_t pid;
	char c;

	if (pipe2(pipes, O_CLOEXEC))
		return -1;
	pid = child();
	if (!pid) {
		execl("/bin/sleep", "sleep", "100", (char *)NULL);
		_exit(1);
	}
	close(pipes[1]);
	/* The end of file says that exec closed the other end. */
	if (read(pipes[0], &c, 1))
		pid = -1;
	close(pipes[0]);
	return pid;
}

TEST_F(life, exec_closes_it)
{
	int derived = derive(self->fd, KREPIS_RIGHT_ALL);
	pid_t pid = executed();

	ASSERT_LT(0, pid);
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(derived, F_GETFD));
	close(derived);
	close(self->fd);
	EXPECT_FALSE(alive(self));
	kill_and_reap(pid);
}

TEST_F(life, exec_keeps_it_if_asked)
{
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->fd, F_SETFD, 0));
	pid = executed();
	ASSERT_LT(0, pid);
	close(self->fd);
	EXPECT_TRUE(alive(self));
	kill_and_reap(pid);
	EXPECT_FALSE(alive(self));
}

TEST_F(life, exec_ends_its_mappings)
{
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = child();
	if (!pid) {
		struct side s;

		if (side_map(&s, self->fd))
			_exit(1);
		close(self->fd);
		execl("/bin/sleep", "sleep", "100", (char *)NULL);
		_exit(1);
	}
	close(self->fd);
	close(ready[1]);
	EXPECT_EQ(0, read(ready[0], &c, 1));
	EXPECT_TRUE(within_ms(1000, !alive(self)));
	kill_and_reap(pid);
}

/* --------------------------------------------------------------------- passing on */

TEST_F(life, descriptor_in_a_socket_keeps_it)
{
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], self->fd));
	close(self->fd);
	close(pair[0]);
	EXPECT_TRUE(alive(self));
	EXPECT_FALSE(hung_up(self));
	close(pair[1]);
	EXPECT_TRUE(within_ms(1000, !alive(self)));
	EXPECT_TRUE(hung_up(self));
}

TEST_F(life, descriptor_in_a_socket_that_is_in_itself_ends)
{
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], self->fd));
	ASSERT_EQ(0, send_fd(pair[0], pair[1]));
	ASSERT_EQ(0, send_fd(pair[1], pair[0]));
	close(self->fd);
	close(pair[0]);
	close(pair[1]);
	/* The collector of sockets runs when one is made or closed. */
	EXPECT_TRUE(within_ms(2000, (close(socket(AF_UNIX, SOCK_STREAM, 0)), !alive(self))));
}

TEST_F(life, descriptor_that_was_passed_on_is_the_same_endpoint)
{
	int pair[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	close(self->channel);
	pid = child();
	if (!pid) {
		struct side s;
		int fd;

		close(self->fd);
		side_close(&self->producer);
		fd = recv_fd(pair[1]);
		_exit(!(fd >= 0 && !side_map(&s, fd) && s.role == KREPIS_CONSUMER &&
			!release(fd, 0, 1)));
	}
	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	ASSERT_EQ(0, send_fd(pair[0], self->fd));
	close(self->fd);
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(2, self->producer.desc[0].generation);
	EXPECT_TRUE(hung_up(self));
}

/* ---------------------------------------------------------------------- mappings */

TEST_F(life, mapping_outlives_the_descriptor)
{
	struct side s;

	ASSERT_EQ(0, side_map(&s, self->fd));
	close(self->fd);
	EXPECT_TRUE(alive(self));
	EXPECT_FALSE(hung_up(self));
	side_unmap(&s);
	EXPECT_FALSE(alive(self));
	EXPECT_TRUE(hung_up(self));
}

TEST_F(life, descriptor_outlives_the_mapping)
{
	struct side s;

	ASSERT_EQ(0, side_map(&s, self->fd));
	side_unmap(&s);
	EXPECT_TRUE(alive(self));
	EXPECT_FALSE(hung_up(self));
	close(self->fd);
	EXPECT_FALSE(alive(self));
}

TEST_F(life, last_page_of_a_mapping_keeps_it)
{
	struct side s;

	ASSERT_EQ(0, side_map(&s, self->fd));
	close(self->fd);
	munmap(s.base, s.layout.size - PAGE);
	EXPECT_TRUE(alive(self));
	munmap(s.base + s.layout.size - PAGE, PAGE);
	EXPECT_FALSE(alive(self));
}

TEST_F(life, mapping_of_another_process_keeps_it)
{
	pid_t pid = child();

	if (!pid) {
		struct side s;

		if (side_map(&s, self->fd))
			_exit(1);
		close(self->fd);
		pause();
		_exit(0);
	}
	ASSERT_TRUE(until_sleeps_in(pid, SYS_pause));
	close(self->fd);
	EXPECT_TRUE(alive(self));
	kill_and_reap(pid);
	EXPECT_FALSE(alive(self));
}

/* ------------------------------------------------------------------- counting */

TEST_F(life, detached_endpoint_does_not_count_as_dead)
{
	__u32 epoch = look(self->channel).epoch;

	ASSERT_EQ(0, detach(self->fd));
	EXPECT_TRUE(alive(self));
	close(self->fd);
	EXPECT_FALSE(alive(self));
	EXPECT_EQ(0, look(self->channel).deaths);
	EXPECT_EQ(epoch + 1, look(self->channel).epoch);
	EXPECT_TRUE(hung_up(self));
	ASSERT_EQ(0, detach(self->producer.fd));
	side_close(&self->producer);
	EXPECT_EQ(0, look(self->channel).deaths);
	EXPECT_EQ(0, look(self->channel).producer_deaths);
}

TEST_F(life, every_coming_and_going_is_counted)
{
	struct krepis_info_query q = look(self->channel);
	int i;

	EXPECT_EQ(2, q.epoch);
	for (i = 0; i < 5; i++) {
		close(attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
		q = look(self->channel);
		EXPECT_EQ(4 + 2 * i, q.epoch);
		EXPECT_EQ(1 + i, q.deaths);
		EXPECT_EQ(0, q.producer_deaths);
		EXPECT_EQ(2 + i, self->producer.info->consumers);
	}
	side_close(&self->producer);
	q = look(self->channel);
	EXPECT_EQ(6, q.deaths);
	EXPECT_EQ(1, q.producer_deaths);
}

TEST_F(life, slot_is_clean_for_its_next_user)
{
	struct side old, new;
	struct krepis_consumer *c;

	ASSERT_EQ(0, side_open(&old, self->channel, KREPIS_CONSUMER));
	c = consumer_of(&old, 1);
	EXPECT_EQ(1, old.slot);
	memset(&c->counters, 0x55, sizeof(c->counters));
	c->tail = 12345;
	c->waiter.waiting = 7 * KREPIS_SLEEP | KREPIS_ASLEEP | KREPIS_FENCE;
	krepis_store_release(&self->producer.producer->head, 64);
	EXPECT_EQ(KREPIS_LINK_ALIVE, c->link.word);
	side_close(&old);
	EXPECT_EQ(0, krepis_read(&consumer_of(&self->producer, 1)->link.word));
	ASSERT_EQ(0, side_map(&new, attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL)));
	c = consumer_of(&new, 1);
	EXPECT_EQ(1, new.slot);
	EXPECT_EQ(0, c->joined);
	EXPECT_EQ(0, c->counters.messages | c->counters.bytes | c->counters.drops |
		     c->counters.waits | c->counters.wakes);
	EXPECT_EQ(64, c->tail);
	EXPECT_EQ(7 * KREPIS_SLEEP, c->waiter.waiting);
	EXPECT_EQ(KREPIS_LINK_ALIVE, c->link.word);
	EXPECT_EQ(0, look(new.fd).counters[2].messages);
}

TEST_F(life, producers_slot_is_clean_for_the_next_one)
{
	struct krepis_producer *p = self->producer.producer;
	struct side new;

	memset(&p->counters, 0x55, sizeof(p->counters));
	p->head = 64;
	p->need = 99;
	p->waiter.waiting = 7 * KREPIS_SLEEP | KREPIS_ASLEEP | KREPIS_FENCE;
	side_close(&self->producer);
	ASSERT_EQ(0, side_open(&new, self->channel, KREPIS_PRODUCER));
	EXPECT_EQ(0, look(self->channel).counters[0].messages);
	/* What was published stays so. */
	EXPECT_EQ(64, new.producer->head);
	EXPECT_EQ(0, new.producer->need);
	EXPECT_EQ(7 * KREPIS_SLEEP, new.producer->waiter.waiting);
	EXPECT_EQ(KREPIS_LINK_ALIVE, new.producer->link[0].word);
	EXPECT_EQ(KREPIS_LINK_ALIVE, new.producer->link[1].word);
}

TEST_F(life, endpoint_that_ends_gives_back_what_it_held)
{
	const struct krepis_desc *d = self->producer.desc;
	__u32 event = event_of(&self->producer);

	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	ASSERT_EQ(0, handoff(self->producer.fd, 3, 1, 8));
	close(self->fd);
	EXPECT_EQ(KREPIS_OWNED_PRODUCER, d[0].state);
	EXPECT_EQ(2, d[0].generation);
	EXPECT_EQ(2, d[3].generation);
	EXPECT_EQ(1, d[1].generation);
	EXPECT_LT(event, event_of(&self->producer));
}

/* Handed over, and the record that would carry it was never published. */
TEST_F(life, producer_that_ends_gives_back_what_nobody_can_receive)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { 1, 1 }, .len = 8, .sequence = 0,
	};
	struct side s;

	ASSERT_EQ(0, side_map(&s, self->fd));
	self->producer.producer->head = 8;
	ASSERT_EQ(0, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	a.handle.index = 2;
	a.sequence = 8;
	ASSERT_EQ(0, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	side_close(&self->producer);
	EXPECT_EQ(KREPIS_OWNED_CONSUMER, s.desc[1].state);
	EXPECT_EQ(1, s.desc[1].holders);
	EXPECT_EQ(KREPIS_OWNED_PRODUCER, s.desc[2].state);
	EXPECT_EQ(2, s.desc[2].generation);
	EXPECT_EQ(0, release(self->fd, 1, 1));
}

TEST_HARNESS_MAIN
