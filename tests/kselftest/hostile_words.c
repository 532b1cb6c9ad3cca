// SPDX-License-Identifier: MIT
/*
 * A hostile peer that forges every word which it can write, and gives every command with
 * every argument: it gets errors, and the honest side nothing that it must not. See
 * hostile.h for how that is tested.
 */
#include <kselftest_harness.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "hostile.h"

FIXTURE_VARIANT_ADD(hostile, ring) { RING };
FIXTURE_VARIANT_ADD(hostile, overwriting) { OVERWRITING };
FIXTURE_VARIANT_ADD(hostile, exclusive) { EXCLUSIVE };
FIXTURE_VARIANT_ADD(hostile, triple) { TRIPLE };
FIXTURE_VARIANT_ADD(hostile, ring_consumer) { RING_CONSUMER };
FIXTURE_VARIANT_ADD(hostile, exclusive_consumer) { EXCLUSIVE_CONSUMER };
FIXTURE_VARIANT_ADD(hostile, triple_consumer) { TRIPLE_CONSUMER };

static __u64 some_value(struct hand *t)
{
	static const __u64 edges[] = {
		0, 1, 2, 3, 4, 7, 8, 16, PAGE - 1, PAGE, BUFFER, BUFFER + 1, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, INT64_MAX, 1ULL << 63, ~0ULL - 16, ~0ULL - 8, ~0ULL,
	};

	if (rnd(&t->seed) % 2)
		return edges[rnd(&t->seed) % ARRAY_SIZE(edges)];
	return (__u64)rnd(&t->seed) << 32 | rnd(&t->seed);
}

/* ------------------------------------------------------------------------ words */

static void forge_range(struct hand *t, char *at, __u64 bytes, unsigned int n)
{
	while (n--)
		krepis_write((__u64 *)at + rnd(&t->seed) % (bytes / 8), some_value(t));
}

static void forge(struct hand *t)
{
	struct side *s = &t->h->side;
	char *own = s->role == KREPIS_PRODUCER ? (char *)s->producer :
						 (char *)consumer_of(s, s->slot);

	add(&t->h->board->tries, 1);
	/* What has a meaning is in the first bytes. */
	forge_range(t, own, sizeof(struct krepis_producer), 64);
	forge_range(t, own, PAGE, 16);
	if (s->role == KREPIS_PRODUCER && s->layout.ring < s->layout.payload)
		forge_range(t, s->base + s->layout.ring, s->geometry.ring_size, 64);
}

ATTACK(forged_words, .step = forge, .threads = 2, .wild = true)

/* --------------------------------------------------------------------- commands */

static struct krepis_handle some_handle(struct hand *t)
{
	struct side *s = &t->h->side;
	__u32 index = some_buffer(t);
	struct krepis_handle handle = { index, life_of(s, index) };

	switch (rnd(&t->seed) % 16) {
	case 0:
		handle.index = (__u32)some_value(t);
		break;
	case 1:
		handle.generation = (__u32)some_value(t);
		break;
	case 2:
		handle.generation--;
		break;
	case 3:
		handle.generation++;
		break;
	}
	return handle;
}

static int hand_over(struct hand *t, int fd)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = some_handle(t), .flags = rnd(&t->seed) % 4,
		.len = rnd(&t->seed) % 2 ? 8 : (__u32)some_value(t), .type = (__u16)some_value(t),
		.msg_flags = rnd(&t->seed) % 8 ? 0 : (__u16)some_value(t),
		.crc32c = (__u32)some_value(t), .reserved = !(rnd(&t->seed) % 16),
		.sequence = some_value(t),
	};

	if (rnd(&t->seed) % 16 == 0)
		a.flags = (__u32)some_value(t);
	return command(fd, KREPIS_IOC_HANDOFF, &a);
}

static int name_one(struct hand *t, int fd, unsigned int cmd)
{
	struct krepis_release_args a = {
		.size = sizeof(a), .flags = !(rnd(&t->seed) % 16), .handle = some_handle(t),
	};

	return command(fd, cmd, &a);
}

/* A descriptor of its own, in one of its places. */
static int derive_one(struct hand *t, int fd)
{
	int *place = &t->fds[rnd(&t->seed) % ARRAY_SIZE(t->fds)];
	int new = derive(fd, rnd(&t->seed) % 2 ? KREPIS_RIGHT_ALL : rnd(&t->seed) % 64);

	if (*place)
		close(*place);
	*place = new > 0 ? new : 0;
	return new;
}

static int map_some(struct hand *t, int fd)
{
	__u64 pages = t->h->side.layout.size / PAGE + 2, from = rnd(&t->seed) % pages;
	__u64 n = 1 + rnd(&t->seed) % (pages - from);
	char *p = mmap(NULL, n * PAGE, rnd(&t->seed) % 4,
		       rnd(&t->seed) % 8 ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)(from * PAGE));

	if (p == MAP_FAILED)
		return -errno;
	storm(t, p, n * PAGE, 16);
	munmap(p, n * PAGE);
	return 0;
}

/* Arguments that are not there, are in a buffer, or are of any size. */
static int point_anywhere(struct hand *t, int fd)
{
	unsigned int cmd = _IOWR(KREPIS_IOC, rnd(&t->seed) % 16, __u32);
	char page[sizeof(struct krepis_info_query) + 64] = { 0 };
	void *at[] = { NULL, page, t->map ? some_place(t, PAGE) : NULL, (void *)~7UL };
	int got;

	/* Not for ever; and the first descriptor keeps its rights, or the attack would end. */
	if (cmd == KREPIS_IOC_WAIT || (cmd == KREPIS_IOC_RESTRICT && fd == t->h->side.fd))
		return 0;
	*(__u32 *)page = (__u32)(rnd(&t->seed) % sizeof(page));
	got = command(fd, cmd, at[rnd(&t->seed) % ARRAY_SIZE(at)]);
	if (cmd == KREPIS_IOC_DERIVE && got > 0)
		close(got);
	return got;
}

static int one_command(struct hand *t, int fd)
{
	struct krepis_info_query q;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	switch (rnd(&t->seed) % 16) {
	case 0:
		return derive_one(t, fd);
	case 1:
		/* The first one stays as it is: the attack goes on. */
		return fd == t->h->side.fd ? 0 : restrict_to(fd, rnd(&t->seed) % 64);
	case 2:
		return wake(fd, (__u32)some_value(t), rnd(&t->seed) % 5);
	case 3:
		return name_one(t, fd, KREPIS_IOC_EVICT);
	case 4:
		return name_one(t, fd, KREPIS_IOC_TAKE);
	case 5 ... 7:
		return name_one(t, fd, KREPIS_IOC_RELEASE);
	case 8 ... 10:
		return hand_over(t, fd);
	case 11:
		return detach(fd);
	case 12:
		return query(fd, &q);
	case 13:
		return map_some(t, fd);
	case 14:
		poll(&p, 1, 0);
		return wait_word(fd, some_value(t), (__u32)some_value(t), now_ns() % 1000);
	default:
		return point_anywhere(t, fd);
	}
}

/* Whether it is an answer that a hostile caller may get. */
static bool is_refusal(int err)
{
	static const int known[] = {
		EPERM, EACCES, EINVAL, EMSGSIZE, ESTALE, ENOTCONN, EAGAIN, EOPNOTSUPP, ENOTTY, E2BIG,
		EFAULT, ETIMEDOUT, ENODEV, EMFILE, ENOMEM, ENXIO, EOVERFLOW,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (err == -known[i])
			return true;
	}
	return false;
}

static void command_at_random(struct hand *t)
{
	int fd = t->fds[rnd(&t->seed) % ARRAY_SIZE(t->fds)];
	int err = one_command(t, fd && rnd(&t->seed) % 2 ? fd : t->h->side.fd);

	count_result(t, err < 0 ? err : 1);
	if (err < 0 && !is_refusal(err))
		t->h->board->odd = -err;
}

ATTACK(random_commands, .step = command_at_random, .threads = 3, .wild = true)
ATTACK(random_commands_of_a_stranger, .step = command_at_random, .threads = 2, .stranger = true,
       .wild = true)

static void everything(struct hand *t)
{
	if (t->number == 0)
		forge(t);
	else if (t->number == 1 && t->map)
		storm(t, buffer_at(t, t->map, some_buffer(t)), BUFFER, 64);
	else
		command_at_random(t);
}

ATTACK(random_commands_with_forged_words, .step = everything, .threads = 4, .wild = true)

/* Many commands in one go. */
static int open_batches(struct hand *t)
{
	return ring_open(&t->ring, 8, 0);
}

static void batch(struct hand *t)
{
	static const unsigned int commands[] = {
		KREPIS_IOC_RELEASE, KREPIS_IOC_TAKE, KREPIS_IOC_EVICT, KREPIS_IOC_HANDOFF,
		KREPIS_IOC_DERIVE, KREPIS_IOC_WAKE,
	};
	unsigned int cmd = commands[rnd(&t->seed) % ARRAY_SIZE(commands)], i;
	struct krepis_release_args names[64];
	struct krepis_handoff hands[64];
	struct io_uring_cqe cqe;
	bool gives = cmd == KREPIS_IOC_HANDOFF;

	for (i = 0; i < 64; i++) {
		struct krepis_handle h = some_handle(t);

		names[i] = (struct krepis_release_args) { .size = sizeof(names[0]), .handle = h };
		hands[i] = (struct krepis_handoff) { .size = sizeof(hands[0]), .handle = h };
	}
	ring_command(&t->ring, t->h->side.fd, cmd, gives ? (void *)hands : names, 64, 0);
	if (ring_submit(&t->ring) != 1)
		return;
	syscall(__NR_io_uring_enter, t->ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	if (!ring_reap(&t->ring, &cqe, 60000)) {
		t->h->board->odd = EIO;
		return;
	}
	count_result(t, cqe.res < 0 ? cqe.res : 1);
	if (cqe.res < 0 && !is_refusal(cqe.res))
		t->h->board->odd = -cqe.res;
}

ATTACK(random_batches, .begin = open_batches, .step = batch, .threads = 2, .wild = true)

/* ---------------------------------------------------------------------- exhaustion */

#define FILES	2000
#define MAPS	1000

/* All descriptors that it may have, and very many mappings, each with all of a buffer in it. */
static int take_everything(struct hand *t)
{
	struct rlimit limit = { FILES, FILES };
	unsigned int i;
	int fd;

	setrlimit(RLIMIT_NOFILE, &limit);
	do
		fd = derive(t->h->side.fd, KREPIS_RIGHT_ALL);
	while (fd >= 0);
	if (fd != -EMFILE)
		return fd;
	for (i = 0; i < MAPS && t->map; i++) {
		if (!map_payload(t->h, t->h->side.fd, NULL, MAP_POPULATE))
			return -errno;
	}
	return 0;
}

static void ask_for_more(struct hand *t)
{
	int err = derive(t->h->side.fd, KREPIS_RIGHT_ALL);

	count_result(t, err);
	if (err != -EMFILE)
		t->h->board->odd = EEXIST;
	if (t->map)
		storm(t, buffer_at(t, t->map, some_buffer(t)), BUFFER, 64);
	wake(t->h->side.fd, t->h->side.role == KREPIS_PRODUCER, 0);
}

ATTACK(exhaustion, .begin = take_everything, .step = ask_for_more, .wild = true)

/* ------------------------------------------------------------------------- deaths */

#define DEATHS	40
#define PACE_MS	20

static __u64 hash_of_all(const struct honest *v, __u32 held)
{
	__u64 sum = 0;
	bool dirty;
	__u32 i;

	for (i = 0; i < v->side.geometry.buffer_count; i++) {
		if (held & 1U << i)
			sum = sum * 31 + hash(payload_of(&v->side, i), &dirty);
	}
	return sum;
}

/* The buffers that the honest side has, and keeps. */
static __u32 keep_all(const struct honest *v)
{
	__u32 i, held = 0;

	for (i = 0; i < v->side.geometry.buffer_count; i++) {
		if (has_buffer(&v->side, i) &&
		    (v->terms != OVERWRITING ||
		     !named(v->side.fd, KREPIS_IOC_TAKE, i, life_of(&v->side, i))))
			held |= 1U << i;
	}
	return held;
}

/* As honest_work() would, of what was kept across a death. */
static void let_go(struct honest *v, __u32 held)
{
	__u32 i;

	for (i = 0; i < v->side.geometry.buffer_count && v->side.role == KREPIS_CONSUMER; i++) {
		if ((held & 1U << i) && v->side.geometry.kind == KREPIS_RING &&
		    release(v->side.fd, i, life_of(&v->side, i)))
			v->tally.err = EBADMSG;
	}
}

/* What it has it keeps, through the death and while the next one attacks. */
TEST_F_TIMEOUT(hostile, deaths_at_random_points, TIMEOUT_S)
{
	static const struct attack attack = { .step = everything, .threads = 4, .wild = true };
	struct honest *v = &self->honest;
	__u64 sum = 0, again = 0, kept = 0, before = 0;
	__u32 held = 0, pace = PACE_MS;
	int i;

	ASSERT_EQ(0, honest_open(v, self->channel, variant->terms));
	for (i = 0; i < DEATHS; i++) {
		pid_t pid = child();
		__s64 end;

		if (!pid)
			hostile_main(self->board, variant->terms, &attack, self->channel);
		end = in_ms(3 + (int)(rnd(&v->seed) % pace));
		while (now_ns() < end)
			again = hash_of_all(v, held);
		EXPECT_EQ(sum, again);
		let_go(v, held);
		end = in_ms((int)(rnd(&v->seed) % pace));
		do
			honest_work(v);
		while (now_ns() < end && !v->tally.err);
		held = triple_terms(variant->terms) ? 1U << v->front : keep_all(v);
		sum = hash_of_all(v, held);
		kept += !!held;
		/* A slow machine did not even get to work. */
		pace = (held && v->tally.rounds > before) || pace > 1000 ? PACE_MS : 2 * pace;
		before = v->tally.rounds;
		ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
		ASSERT_TRUE(within_ms(20000, is_alone(v)));
	}
	TH_LOG("rounds %llu kept %llu broken %llu", v->tally.rounds, kept, v->tally.broken);
	EXPECT_EQ(0, v->tally.err);
	EXPECT_EQ(0, v->tally.broken);
	EXPECT_LT(0, kept);
	EXPECT_LT(0, v->tally.rounds);
	EXPECT_EQ(0, self->board->odd);
	EXPECT_EQ(0, self->board->stray);
}

TEST_HARNESS_MAIN
