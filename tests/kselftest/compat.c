// SPDX-License-Identifier: MIT
/*
 * A 32-bit process and a 64-bit process on one channel. Each of the two builds of
 * this program executes the other one as its peer: PROGRAM and PROGRAM.32.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include <krepis/ownership.h>
#include "util.h"

#define MESSAGES	200

/* Bytes of message @n, which no shift or cut leaves the same. */
static void fill(char *p, __u32 n)
{
	__u32 i;

	for (i = 0; i < PAGE; i++)
		p[i] = (char)(n * 31 + i * 7 + i / 256);
}

static bool filled(const char *p, __u32 n)
{
	char want[PAGE];

	fill(want, n);
	return !memcmp(p, want, PAGE);
}

static void wait_event(const struct side *s, __u32 seen)
{
	wait_word(s->fd, event_at(s), seen, in_ms(10000));
}

/* A buffer that is the producer's. */
static __u32 acquire(const struct side *s)
{
	__u32 i, seen;

	for (;;) {
		seen = event_of(s);
		for (i = 0; i < s->geometry.buffer_count; i++) {
			if (krepis_load_acquire(&s->desc[i].state) == KREPIS_OWNED_PRODUCER)
				return i;
		}
		wait_event(s, seen);
	}
}

/* Every second message by the command, the others by the transition in user space. */
static int send(const struct side *s, __u32 n)
{
	__u32 i = acquire(s), generation = s->desc[i].generation;
	const struct krepis_desc what = {
		.len = PAGE, .type = 5, .crc32c = n, .sequence = s->producer->head,
	};
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { i, generation }, .len = PAGE, .type = 5,
		.crc32c = n, .sequence = what.sequence,
	};
	int err;

	fill(payload_of(s, i), n);
	if (n & 1)
		err = command(s->fd, KREPIS_IOC_HANDOFF, &a);
	else
		err = krepis_own_publish(&s->desc[i], generation, &s->info->live, ~0U, &what);
	if (err)
		return 3;
	*(struct krepis_handle *)(s->base + s->layout.ring + what.sequence % s->geometry.ring_size) =
		a.handle;
	publish(s);
	return wake(s->fd, 1, 0) ? 4 : 0;
}

static int produce(const struct side *s)
{
	__u32 n;
	int err;

	while (!s->info->live)
		pause_ms(1);
	for (n = 0; n < MESSAGES; n++) {
		err = send(s, n);
		if (err)
			return err;
	}
	s->producer->counters = (struct krepis_counters) { MESSAGES, 1ULL << 33, 1, 2, 3 };
	/* All is back before it goes. */
	while (krepis_load_acquire(&consumer_of(s, 0)->tail) != s->producer->head)
		pause_ms(1);
	return 0;
}

static int receive(const struct side *s, __u64 at, __u32 n)
{
	struct krepis_handle h = *(struct krepis_handle *)(s->base + s->layout.ring +
							   at % s->geometry.ring_size);
	struct krepis_desc *d = &s->desc[h.index], what;

	if (krepis_own_resolve(d, h.generation, 1, PAGE, &what))
		return 3;
	if (what.len != PAGE || what.type != 5 || what.crc32c != n || what.sequence != at)
		return 4;
	if (!filled(payload_of(s, h.index), n))
		return 5;
	if (n & 2)
		return release(s->fd, h.index, h.generation) ? 6 : 0;
	if (krepis_own_drop(d, h.generation, 1))
		wake(s->fd, 0, 0);
	return 0;
}

static int consume_all(const struct side *s)
{
	struct krepis_consumer *c = consumer_of(s, 0);
	__u32 n, seen;
	int err;

	for (n = 0; n < MESSAGES; n++) {
		for (;;) {
			seen = event_of(s);
			if (krepis_load_acquire(&s->producer->head) != c->tail)
				break;
			wait_event(s, seen);
		}
		err = receive(s, c->tail, n);
		if (err)
			return err;
		krepis_store_release(&c->tail, c->tail + 8);
	}
	return wake(s->fd, 0, 0) ? 7 : 0;
}

static int sleep_on_futex(const struct side *s)
{
	__u64 at = s->layout.payload + PAGE - 4;

	return syscall(SYS_futex, s->base + at, FUTEX_WAIT, 0, NULL, NULL, 0) ? 3 : 0;
}

static int sleep_in_wait(const struct side *s)
{
	return wait_word(s->fd, event_at(s), event_of(s), FOR_EVER) ? 3 : 0;
}

/* Values in every word that the consumer writes. */
static int mark(const struct side *s)
{
	struct krepis_consumer *c = consumer_of(s, 0);

	c->tail = 0x0102030405060708ULL;
	c->waiter = (struct krepis_waiter) { 0x11, 0x22 };
	c->front = 0x33;
	c->counters = (struct krepis_counters) { 1ULL << 40, 2ULL << 40, 3, 4, 5 };
	s->desc[3].claim = 0x8899aabbccddeeffULL;
	s->exchange->word = 0x1234567890ULL;
	pause();
	return 0;
}

static const struct part {
	const char *name;
	__u32 role;
	int (*run)(const struct side *s);
} parts[] = {
	{ "produce", KREPIS_PRODUCER, produce },
	{ "consume", KREPIS_CONSUMER, consume_all },
	{ "futex", KREPIS_CONSUMER, sleep_on_futex },
	{ "wait", KREPIS_CONSUMER, sleep_in_wait },
	{ "mark", KREPIS_CONSUMER, mark },
};

/* The peer: what it plays, on the channel that it has as descriptor 3. */
static int play(const char *name)
{
	struct side s;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!strcmp(parts[i].name, name))
			return side_open(&s, 3, parts[i].role) ? 2 : parts[i].run(&s);
	}
	return 1;
}

/* The program of the other width. */
static void other(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 4);

	path[n > 0 ? n : 0] = '\0';
	if (n > 3 && !strcmp(path + n - 3, ".32"))
		path[n - 3] = '\0';
	else
		strcat(path, ".32");
}

static pid_t peer(int channel, const char *part)
{
	char path[512];
	pid_t pid;

	other(path, sizeof(path));
	pid = child();
	if (pid)
		return pid;
	if (channel != 3)
		dup2(channel, 3);
	fcntl(3, F_SETFD, 0);
	execl(path, path, "--peer", part, (char *)NULL);
	_exit(99);
}

FIXTURE(compat)
{
	int channel;
	struct side s;
};

FIXTURE_SETUP(compat)
{
	struct krepis_geometry g = small_ring();

	g.max_consumers = 1;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
}

FIXTURE_TEARDOWN(compat)
{
}

TEST_F(compat, messages_of_the_other_width_arrive)
{
	pid_t pid;

	ASSERT_EQ(0, side_open(&self->s, self->channel, KREPIS_CONSUMER));
	pid = peer(self->channel, "produce");
	EXPECT_EQ(0, consume_all(&self->s));
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(MESSAGES, self->s.producer->counters.messages);
	EXPECT_EQ(1ULL << 33, self->s.producer->counters.bytes);
	EXPECT_EQ(1, self->s.info->producer_deaths);
}

TEST_F(compat, messages_to_the_other_width_arrive)
{
	pid_t pid;

	ASSERT_EQ(0, side_open(&self->s, self->channel, KREPIS_PRODUCER));
	pid = peer(self->channel, "consume");
	EXPECT_EQ(0, produce(&self->s));
	EXPECT_EQ(0, reap(pid));
}

/* Where it sleeps has a number of the other width: that it sleeps must do. */
static bool peer_sleeps(FIXTURE_DATA(compat) *self, pid_t pid)
{
	return within_ms(10000, krepis_load_acquire(&consumer_of(&self->s, 0)->joined)) &&
	       within_ms(10000, state_of(pid) == 'S');
}

TEST_F(compat, futex_wakes_the_other_width)
{
	char *word;
	pid_t pid;

	ASSERT_EQ(0, side_open(&self->s, self->channel, KREPIS_PRODUCER));
	word = payload_of(&self->s, 0) + PAGE - 4;
	pid = peer(self->channel, "futex");
	ASSERT_TRUE(peer_sleeps(self, pid));
	EXPECT_TRUE(within_ms(5000, syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) == 1));
	EXPECT_EQ(0, reap(pid));
}

TEST_F(compat, wake_reaches_the_other_width)
{
	pid_t pid;

	ASSERT_EQ(0, side_open(&self->s, self->channel, KREPIS_PRODUCER));
	pid = peer(self->channel, "wait");
	ASSERT_TRUE(peer_sleeps(self, pid));
	ASSERT_EQ(0, wake(self->s.fd, 1, 0));
	EXPECT_EQ(0, reap(pid));
}

TEST_F(compat, words_of_the_other_width_stand_where_they_should)
{
	struct krepis_consumer *c;
	struct krepis_info_query q;
	struct pollfd p;
	pid_t pid;

	ASSERT_EQ(0, side_open(&self->s, self->channel, KREPIS_PRODUCER));
	c = consumer_of(&self->s, 0);
	pid = peer(self->channel, "mark");
	ASSERT_TRUE(within_ms(10000, krepis_load_acquire(&self->s.exchange->word)));
	EXPECT_EQ(0x0102030405060708ULL, c->tail);
	EXPECT_EQ(0x11, c->waiter.wake);
	EXPECT_EQ(0x22, c->waiter.waiting);
	EXPECT_EQ(0x33, c->front);
	EXPECT_EQ(1, c->joined);
	EXPECT_EQ(0x8899aabbccddeeffULL, self->s.desc[3].claim);
	EXPECT_EQ(0x1234567890ULL, self->s.exchange->word);
	ASSERT_EQ(0, query(self->channel, &q));
	EXPECT_EQ(1ULL << 40, q.counters[1].messages);
	EXPECT_EQ(5, q.counters[1].wakes);
	EXPECT_EQ(128 + SIGKILL, kill_and_reap(pid));
	p = (struct pollfd) { .fd = self->s.fd };
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLHUP, p.revents);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--peer"))
		return play(argv[2]);
	return test_harness_run(argc, argv);
}
