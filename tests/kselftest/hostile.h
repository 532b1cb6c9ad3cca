/* SPDX-License-Identifier: MIT */
/*
 * A hostile peer against an honest one.
 *
 * The hostile process takes one side of a channel. Its main thread passes buffers on as
 * fast as it can: clean, so that whatever else is found in one was written by the
 * attack, which other threads repeat all the time, on all buffers, whoever has them. The
 * test is the other side and honest. It looks at each buffer that the read-only
 * descriptor says it has, hashes it, waits a little, hashes it once more, and passes it on:
 *
 *	landed		the attack had written before the buffer changed hands
 *	refused		the attack met a signal or an error instead
 *	broken		the buffer changed in the hands of the honest side
 *
 * An attack has power only if it landed and was refused many times, and if it
 * breaks a cooperative channel, where nothing is enforced. KREPIS_HOSTILE_ROUNDS says
 * how many buffers each test looks at.
 */
#ifndef _KSELFTEST_HOSTILE_H
#define _KSELFTEST_HOSTILE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <krepis/ownership.h>
#include "sqe.h"
#include "util.h"

/* Of what is written and looked at in a buffer, only each GRAIN-th byte is, if it is large. */
#ifndef BUFFER
#define BUFFER		(2 * PAGE)
#define GRAIN		1
#endif
#define CLEAN		0xa5
#define STAMP		0x3c
#ifndef ROUNDS
#define ROUNDS		300
#endif
#define TIMEOUT_S	1200	/* of a test; the harness has 30 if nothing is said */
#define LIMIT_MS	60000	/* until an attack that does nothing is given up, and 10 a round */
#define HANDS		4
#define POWER		8	/* how often an attack must have landed, and was refused */

/* What kind of channel it is, and who is hostile: the producer if nothing is said. */
enum terms {
	RING,
	OVERWRITING,
	EXCLUSIVE,
	TRIPLE,
	RING_CONSUMER,
	EXCLUSIVE_CONSUMER,
	TRIPLE_CONSUMER,
	COOPERATIVE,
};

/* Memory that all processes share. */
struct board {
	__u32 stop;
	__u64 tries, worked, refused;
	/* Of the hostile main thread, mapped there: for who writes into another process. */
	char *place;
	/* Errors that nobody may meet, and signals where none may be. */
	int odd, stray;
};

struct hand;

/**
 * struct attack - what the hostile side does beside passing buffers on
 * @begin:	once in each thread; 0, or -errno if this system cannot
 * @step:	again and again
 * @threads:	how many, 1 if 0
 * @stranger:	they are another process's, that got a derived descriptor in a message
 * @pins:	works by pinned pages: shall never work, and so never land
 * @reads:	does not write at all
 * @anywhere:	is refused on a cooperative channel too
 * @wild:	passes on buffers by itself: who has one changes any time
 * @slow:	makes processes, or sleeps: buffers are kept for a millisecond
 */
struct attack {
	int (*begin)(struct hand *t);
	void (*step)(struct hand *t);
	unsigned int threads;
	bool stranger, pins, reads, anywhere, wild, slow;
};

/* The hostile process. */
struct hostile {
	struct board *board;
	const struct attack *attack;
	enum terms terms;
	struct side side;
	/* What some attacks share among their threads. */
	char *arena;
	char *volatile at;
	volatile __u32 target;
	int pipe[2];
};

/* One of its threads. */
struct hand {
	struct hostile *h;
	unsigned int number, seed;
	/* Its own mapping of all buffers. */
	char *map;
	volatile bool armed;
	sigjmp_buf env;
	int fd, other;
	pid_t pid;
	struct ring ring;
	char *memory;
	unsigned long count;
	int fds[16];
};

static struct board *the_board;
static __thread struct hand *me;

static inline unsigned int rnd(unsigned int *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static inline void add(__u64 *counter, __u64 n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline __u64 rounds_wanted(void)
{
	const char *text = getenv("KREPIS_HOSTILE_ROUNDS");
	long n = text ? atol(text) : 0;

	return n > 0 ? (__u64)n : ROUNDS;
}

static inline bool hostile_consumer(enum terms terms)
{
	return terms == RING_CONSUMER || terms == EXCLUSIVE_CONSUMER || terms == TRIPLE_CONSUMER;
}

static inline bool triple_terms(enum terms terms)
{
	return terms == TRIPLE || terms == TRIPLE_CONSUMER;
}

static inline struct krepis_geometry geometry_of(enum terms terms)
{
	struct krepis_geometry g = triple_terms(terms) ? small_triple() : small_ring();

	g.buffer_size = BUFFER;
	if (terms != COOPERATIVE)
		g.flags |= KREPIS_F_ENFORCED;
	if (terms == OVERWRITING)
		g.backpressure = KREPIS_OVERWRITE;
	if (terms == EXCLUSIVE || terms == EXCLUSIVE_CONSUMER) {
		g.flags |= KREPIS_F_EXCLUSIVE;
		g.max_consumers = 1;
	}
	return g;
}

static inline size_t payload_bytes(const struct side *s)
{
	return s->layout.size - s->layout.payload;
}

static inline __u32 life_of(const struct side *s, __u32 index)
{
	return krepis_own_generation(krepis_read(&s->desc[index].word));
}

/* Whether the descriptor says that the side has the buffer; of a triple, its own note. */
static inline bool has_buffer(const struct side *s, __u32 index)
{
	struct krepis_desc *d = &s->desc[index], what;

	if (s->geometry.kind == KREPIS_TRIPLE)
		return krepis_read(s->role == KREPIS_PRODUCER ? &s->producer->back :
								&consumer_of(s, 0)->front) == index;
	if (s->role == KREPIS_PRODUCER)
		return krepis_own_state(krepis_load_acquire(&d->word)) == KREPIS_OWNED_PRODUCER;
	return !krepis_own_resolve(d, life_of(s, index), 1U << s->slot, ~0ULL, &what);
}

static inline int named(int fd, unsigned int cmd, __u32 index, __u32 generation)
{
	struct krepis_release_args a = { .size = sizeof(a), .handle = { index, generation } };

	return command(fd, cmd, &a);
}

/* ------------------------------------------------------------- hostile threads */

static inline void on_fault(int sig)
{
	if (me && me->armed) {
		me->armed = false;
		siglongjmp(me->env, sig);
	}
	the_board->stray = sig;
	_exit(99);
}

static inline void catch_faults(void)
{
	struct sigaction a = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &a, NULL);
	sigaction(SIGSEGV, &a, NULL);
}

/* @n stores at random places from @at on. Return: whether all of them landed. */
static inline bool storm(struct hand *t, char *at, size_t bytes, unsigned int n)
{
	volatile unsigned int done = 0;

	add(&t->h->board->tries, 1);
	if (sigsetjmp(t->env, 0)) {
		add(&t->h->board->refused, 1);
		add(&t->h->board->worked, !!done);
		return false;
	}
	t->armed = true;
	for (; done < n; done++)
		((volatile char *)at)[rnd(&t->seed) % (bytes / GRAIN) * GRAIN] = STAMP;
	t->armed = false;
	add(&t->h->board->worked, 1);
	return true;
}

static inline __u32 some_buffer(struct hand *t)
{
	return rnd(&t->seed) % t->h->side.geometry.buffer_count;
}

static inline char *buffer_at(const struct hand *t, char *map, __u32 index)
{
	return map + index * t->h->side.layout.stride;
}

/* A place in some buffer with @bytes behind it, aligned to 64. */
static inline char *some_place(struct hand *t, size_t bytes)
{
	return buffer_at(t, t->map, some_buffer(t)) + (rnd(&t->seed) % (BUFFER - bytes + 1) & ~63U);
}

/* What the kernel said to a write of @result bytes; 0 is no write. */
static inline void count_result(struct hand *t, long result)
{
	add(&t->h->board->tries, 1);
	if (result < 0)
		add(&t->h->board->refused, 1);
	else if (result)
		add(&t->h->board->worked, 1);
}

static inline char *map_payload(const struct hostile *h, int fd, void *at, int flags)
{
	void *p = mmap(at, payload_bytes(&h->side), PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd,
		       (off_t)h->side.layout.payload);

	return p == MAP_FAILED ? NULL : p;
}

static inline void *hand_main(void *arg)
{
	struct hand *t = arg;
	int err;

	me = t;
	if (t->h->terms != RING_CONSUMER && t->h->terms != TRIPLE_CONSUMER)
		t->map = map_payload(t->h, t->h->side.fd, NULL, 0);
	err = t->h->attack->begin ? t->h->attack->begin(t) : 0;
	if (err) {
		t->h->board->odd = -err;
		return NULL;
	}
	while (!krepis_load_acquire(&t->h->board->stop))
		t->h->attack->step(t);
	return NULL;
}

static inline void start_hands(struct hostile *h)
{
	static struct hand hands[HANDS];
	unsigned int i;

	for (i = 0; i < (h->attack->threads ? h->attack->threads : 1); i++) {
		pthread_t thread;

		hands[i] = (struct hand) {
			.h = h, .number = i, .seed = (unsigned int)now_ns() | 1, .fd = -1, .other = -1,
		};
		pthread_create(&thread, NULL, hand_main, &hands[i]);
	}
}

/* Another process gets the endpoint by a message, and all of the attack. */
static inline void start_stranger(struct hostile *h)
{
	int sockets[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return;
	h->board->place = payload_of(&h->side, 0);
	if (!child()) {
		close(h->side.fd);
		fd = recv_fd(sockets[1]);
		if (side_map(&h->side, fd))
			_exit(98);
		start_hands(h);
		for (;;)
			pause_ms(1000);
	}
	fd = derive(h->side.fd, KREPIS_RIGHT_ALL);
	send_fd(sockets[0], fd);
	close(fd);
}

/* ------------------------------------------- the hostile side passes buffers on */

static inline void little_while(unsigned int *seed)
{
	volatile unsigned int n = rnd(seed) % (rnd(seed) % 2 ? 1024 : 32768);

	if (rnd(seed) % 4 == 0)
		sched_yield();
	while (n)
		n--;
}

/* Between the cleaning and the hand-over: the attack's turn. */
static inline void wait_for_attack(struct hand *t)
{
	if (t->h->attack->slow && rnd(&t->seed) % 2)
		pause_ms(1);
	else
		little_while(&t->seed);
}

/* Cleans what it has. Of a wild attack another thread may have passed it on. */
static inline bool clean(struct hand *t, __u32 index)
{
	char *at = payload_of(&t->h->side, index);

	if (sigsetjmp(t->env, 0))
		return false;
	t->armed = t->h->attack->wild;
	memset(at, CLEAN, BUFFER);
	t->armed = false;
	return true;
}

static inline void pass_on_triple(struct hand *t)
{
	struct side *s = &t->h->side;
	bool producer = s->role == KREPIS_PRODUCER;
	__u32 *note = producer ? &s->producer->back : &consumer_of(s, 0)->front;
	__u32 index = krepis_read(note) % KREPIS_TRIPLE_BUFFERS;
	int next;

	if (producer && !clean(t, index)) {
		krepis_write(note, index + 1);
		return;
	}
	wait_for_attack(t);
	next = producer ? handoff(s->fd, index, 1, 8) : release(s->fd, index, 1);
	if (next >= 0)
		krepis_write(note, (__u32)next);
	else if (next == -EPERM)
		krepis_write(note, index + 1);
	if (next < 0)
		sched_yield();
}

static inline void pass_on(struct hand *t)
{
	struct side *s = &t->h->side;
	bool writes = s->role == KREPIS_PRODUCER || (s->geometry.flags & KREPIS_F_EXCLUSIVE);
	bool idle = true;
	__u32 i;

	if (triple_terms(t->h->terms)) {
		pass_on_triple(t);
		return;
	}
	for (i = 0; i < s->geometry.buffer_count; i++) {
		if (t->h->terms == OVERWRITING && rnd(&t->seed) % 2)
			named(s->fd, KREPIS_IOC_EVICT, i, life_of(s, i));
		if (!has_buffer(s, i))
			continue;
		idle = false;
		if (writes && !clean(t, i))
			continue;
		wait_for_attack(t);
		if (s->role == KREPIS_PRODUCER)
			handoff(s->fd, i, life_of(s, i), 8);
		else
			release(s->fd, i, life_of(s, i));
	}
	if (idle)
		sched_yield();
}

static inline void hostile_main(struct board *board, enum terms terms, const struct attack *attack,
				int channel)
{
	static struct hostile h;
	struct hand hand = { .h = &h, .seed = (unsigned int)now_ns() | 1 };
	size_t arena;

	the_board = board;
	me = &hand;
	h = (struct hostile) { .board = board, .terms = terms, .attack = attack };
	catch_faults();
	if (side_open(&h.side, channel, hostile_consumer(terms) ? KREPIS_CONSUMER : KREPIS_PRODUCER) ||
	    pipe(h.pipe))
		_exit(97);
	/* Room to map and move things without meeting what is not the attack's. */
	arena = 8 * payload_bytes(&h.side);
	h.arena = mmap(NULL, arena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!hostile_consumer(terms) || terms == EXCLUSIVE_CONSUMER)
		h.at = map_payload(&h, h.side.fd, h.arena, MAP_FIXED);
	if (attack->stranger)
		start_stranger(&h);
	else
		start_hands(&h);
	while (!krepis_load_acquire(&board->stop))
		pass_on(&hand);
	for (;;)
		pause_ms(1000);
}

/* --------------------------------------------------------------- the honest side */

struct tally {
	__u64 rounds, landed, broken;
	int err;
};

struct honest {
	enum terms terms;
	struct side side;
	unsigned int seed;
	struct tally tally;
	__u32 front;
};

/* All of the buffer, and whether there is something that is not clean. */
static inline __u64 hash(char *buffer, bool *dirty)
{
	__u64 word, sum = 0, unlike = 0, want = CLEAN * 0x0101010101010101ULL;
	unsigned int i;

	for (i = 0; i < BUFFER; i += GRAIN < 8 ? 8 : GRAIN) {
		word = krepis_read((__u64 *)(buffer + i));
		unlike |= word ^ want;
		sum = (sum ^ word) * 0x100000001b3ULL;
		sum ^= sum >> 29;
	}
	*dirty = unlike;
	return sum;
}

/* Between the two looks: nothing, some instructions, the other's turn, or a sleep. */
static inline void some_distance(unsigned int *seed)
{
	switch (rnd(seed) % 16) {
	case 0:
		pause_ms(1);
		break;
	case 1 ... 5:
		sched_yield();
		break;
	case 6 ... 11:
		little_while(seed);
		break;
	}
}

/* Who may write writes, and finds what it wrote. */
static inline bool keeps_writes(struct honest *v, char *at)
{
	__u64 token = (__u64)rnd(&v->seed) << 32 | rnd(&v->seed);
	__u32 place[8];
	unsigned int i;
	bool same = true;

	for (i = 0; i < 8; i++) {
		place[i] = rnd(&v->seed) % (BUFFER / 8);
		krepis_write((__u64 *)at + place[i], token);
	}
	some_distance(&v->seed);
	for (i = 0; i < 8; i++)
		same &= krepis_read((__u64 *)at + place[i]) == token;
	return same;
}

static inline void look(struct honest *v, __u32 index, bool fresh)
{
	struct side *s = &v->side;
	bool writes = s->role == KREPIS_PRODUCER || (s->geometry.flags & KREPIS_F_EXCLUSIVE);
	struct krepis_desc before = s->desc[index];
	char *at = payload_of(s, index);
	bool dirty, ignored, same;
	__u64 first;

	first = hash(at, &dirty);
	some_distance(&v->seed);
	same = first == hash(at, &ignored);
	if (writes)
		same &= keeps_writes(v, at);
	/* Others may let go meanwhile, so the mask of all holders is not compared. */
	same &= before.word == krepis_read(&s->desc[index].word) && before.len <= BUFFER;
	v->tally.rounds++;
	v->tally.landed += dirty && fresh;
	v->tally.broken += !same;
}

static inline void honest_triple(struct honest *v)
{
	bool producer = v->side.role == KREPIS_PRODUCER;
	int next;

	if (producer)
		look(v, v->front, false);
	next = producer ? handoff(v->side.fd, v->front, 1, 8) : release(v->side.fd, v->front, 1);
	if (next == -EAGAIN)
		sched_yield();
	else if (next < 0)
		v->tally.err = next;
	else
		v->front = (__u32)next;
	if (!producer && next >= 0)
		look(v, v->front, true);
}

/* Looks at all that it has, and passes it on. */
static inline void honest_work(struct honest *v)
{
	struct side *s = &v->side;
	bool producer = s->role == KREPIS_PRODUCER, idle = true;
	__u32 i, generation;
	int err;

	if (triple_terms(v->terms)) {
		honest_triple(v);
		return;
	}
	for (i = 0; i < s->geometry.buffer_count; i++) {
		if (!has_buffer(s, i))
			continue;
		generation = life_of(s, i);
		if (v->terms == OVERWRITING && named(s->fd, KREPIS_IOC_TAKE, i, generation))
			continue;
		idle = false;
		look(v, i, generation > 1 || !producer);
		err = producer ? handoff(s->fd, i, generation, 8) : release(s->fd, i, generation);
		if (err && !(producer && err == -ENOTCONN))
			v->tally.err = err;
	}
	if (idle)
		sched_yield();
}

/* What an honest side also asks for, whatever the other one forges. */
static inline void honest_questions(struct honest *v)
{
	struct pollfd p = { .fd = v->side.fd, .events = POLLIN | POLLOUT };
	struct krepis_info_query q;
	int err = query(v->side.fd, &q);

	if (!err && memcmp(&q.geometry, &v->side.geometry, sizeof(q.geometry)))
		err = -EBADMSG;
	if (!err)
		err = wait_word(v->side.fd, event_at(&v->side), event_of(&v->side), 0);
	if (!err || err == -ETIMEDOUT)
		err = v->side.role == KREPIS_PRODUCER ? wake(v->side.fd, 1, 0) :
							wake(v->side.fd, 0, 0);
	if (!err && poll(&p, 1, 0) < 0)
		err = -errno;
	if (err)
		v->tally.err = err;
}

static inline int honest_open(struct honest *v, int channel, enum terms terms)
{
	__u32 role = hostile_consumer(terms) ? KREPIS_PRODUCER : KREPIS_CONSUMER;
	int err;

	*v = (struct honest) { .terms = terms, .seed = (unsigned int)now_ns() | 1 };
	err = side_open(&v->side, channel, role);
	if (!err && triple_terms(terms))
		v->front = role == KREPIS_PRODUCER ? v->side.producer->back :
						     consumer_of(&v->side, 0)->front;
	return err;
}

/* --------------------------------------------------------------------- the frame */

static inline struct board *new_board(void)
{
	void *p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static inline struct statfs mount_use(void)
{
	struct statfs st = { 0 };

	statfs(mount_path(), &st);
	return st;
}

static inline bool use_is(const struct statfs *want)
{
	struct statfs st = mount_use();

	return st.f_bfree == want->f_bfree && st.f_ffree == want->f_ffree;
}

/* After a scene: one buffer there and back on a fresh channel of the same kind. */
static inline int round_trip(enum terms terms)
{
	struct krepis_geometry g = geometry_of(terms);
	int channel = new_channel(&g), err;
	struct side p, c;

	if (channel < 0)
		return channel;
	err = side_open(&p, channel, KREPIS_PRODUCER);
	if (!err)
		err = side_open(&c, channel, KREPIS_CONSUMER);
	if (err)
		return err;
	if (triple_terms(terms)) {
		memset(payload_of(&p, p.producer->back), 1, BUFFER);
		err = handoff(p.fd, p.producer->back, 1, 8);
		if (err >= 0)
			err = release(c.fd, consumer_of(&c, 0)->front, 1);
		err = err < 0 ? err : payload_of(&c, (__u32)err)[BUFFER - 1] == 1 ? 0 : -EIO;
	} else {
		memset(payload_of(&p, 1), 1, BUFFER);
		err = handoff(p.fd, 1, 1, 8);
		if (!err && terms == OVERWRITING)
			err = named(c.fd, KREPIS_IOC_TAKE, 1, 1);
		if (!err && payload_of(&c, 1)[BUFFER - 1] != 1)
			err = -EIO;
		if (!err)
			err = release(c.fd, 1, 1);
		if (!err)
			memset(payload_of(&p, 1), 2, BUFFER);
	}
	side_close(&c);
	side_close(&p);
	close(channel);
	return err;
}

/* Whether the hostile endpoint is gone, and the honest one is not. */
static inline bool is_alone(const struct honest *v)
{
	bool producer = v->side.role == KREPIS_PRODUCER;
	struct krepis_info_query q;

	return !query(v->side.fd, &q) && q.producer == producer && q.live == (producer ? 0 : 1);
}

FIXTURE(hostile)
{
	int channel;
	struct board *board;
	struct honest honest;
	struct statfs use;
	long long memory;
};

FIXTURE_VARIANT(hostile)
{
	enum terms terms;
};

FIXTURE_SETUP(hostile)
{
	struct krepis_geometry g = geometry_of(variant->terms);

	self->memory = number_in("/proc/meminfo", "MemAvailable:");
	self->use = mount_use();
	self->board = new_board();
	ASSERT_NE(NULL, self->board);
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
}

FIXTURE_TEARDOWN(hostile)
{
	side_close(&self->honest.side);
	close(self->channel);
	EXPECT_EQ(0, round_trip(variant->terms));
	EXPECT_TRUE(within_ms(20000, use_is(&self->use)));
	/* Of all memory, roughly: caches come and go. */
	EXPECT_LT(self->memory - 200 * 1024, number_in("/proc/meminfo", "MemAvailable:"));
}

/* Whether the attack has shown what it can. */
static inline bool enough(const struct attack *a, enum terms terms, const struct board *b,
			  const struct tally *t)
{
	__u64 wanted = rounds_wanted() / (terms == RING ? 1 : 3);

	if (t->rounds < wanted && !(terms == COOPERATIVE && t->broken))
		return false;
	if (terms == COOPERATIVE)
		return t->broken || (a->reads && b->worked) || (a->anywhere && b->refused);
	if (a->wild || a->pins || a->reads || a->anywhere)
		return b->tries > 1000;
	return t->landed >= POWER && b->refused >= POWER;
}

static inline void scene(struct __test_metadata *_metadata, FIXTURE_DATA(hostile) *self,
			 enum terms terms, const struct attack *a)
{
	struct honest *v = &self->honest;
	const struct tally *t = &v->tally;
	struct board *b = self->board;
	__s64 begin = now_ns(), end = in_ms(LIMIT_MS + 10 * (int)rounds_wanted());
	pid_t pid = child();

	if (!pid)
		hostile_main(b, terms, a, self->channel);
	ASSERT_EQ(0, honest_open(v, self->channel, terms));
	while (!enough(a, terms, b, t) && now_ns() < end && !b->odd && !b->stray && !t->err) {
		honest_work(v);
		if (a->wild)
			honest_questions(v);
	}
	krepis_store_release(&b->stop, 1);
	EXPECT_EQ(128 + SIGKILL, kill_and_reap(pid));
	TH_LOG("rounds %llu landed %llu tries %llu worked %llu refused %llu broken %llu in %lld ms",
	       t->rounds, t->landed, b->tries, b->worked, b->refused, t->broken,
	       (now_ns() - begin) / MS_NS);
	if (b->odd == ENOSYS)
		SKIP(return, "not in this kernel");
	EXPECT_EQ(0, b->odd);
	EXPECT_EQ(0, b->stray);
	EXPECT_EQ(0, t->err);
	EXPECT_TRUE(enough(a, terms, b, t));
	if (terms == COOPERATIVE) {
		if (!a->reads && !a->anywhere)
			EXPECT_LT(0, t->broken);
		return;
	}
	EXPECT_EQ(0, t->broken);
	if (a->pins || a->anywhere) {
		EXPECT_EQ(0, b->worked);
		EXPECT_EQ(0, t->landed);
	}
	EXPECT_TRUE(within_ms(20000, is_alone(v)));
}

#define ATTACK(name, ...)						\
	TEST_F_TIMEOUT(hostile, name, TIMEOUT_S)			\
	{								\
		static const struct attack attack = { __VA_ARGS__ };	\
									\
		scene(_metadata, self, variant->terms, &attack);	\
	}

#endif /* _KSELFTEST_HOSTILE_H */
