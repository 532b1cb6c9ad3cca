// SPDX-License-Identifier: MIT
/*
 * SIGKILL at any instant. Whoever lives is woken and knows, what the dead held is
 * back, and the count is exact: as soon as wait(2) tells of the death, not later.
 *
 * A round forks some victims, lets them work or sleep, and kills each at a random
 * time, in half of the rounds maybe before it has attached. KREPIS_KILLS is the number of kills in all.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <kselftest_harness.h>
#include <krepis/ownership.h>
#include <krepis/triple.h>
#include "util.h"

#define VICTIMS		3
#define SCENES		12
#define LATE_NS		(50 * MS_NS)
#define MOST_DELAY_US	3000

enum doing { IN_WAIT, IN_EPOLL, BY_COMMAND, BY_STORES, ANY };

/* ----------------------------------------------------------------- the victims */

static void sleep_in_wait(struct side *s)
{
	for (;;)
		wait_word(s->fd, event_at(s), event_of(s), FOR_EVER);
}

static void sleep_in_epoll(struct side *s)
{
	int ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };

	epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
	for (;;)
		epoll_wait(ep, &e, 1, -1);
}

/* Long enough to be killed in. */
static void dwell(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		krepis_barrier();
}

/* krepis_own_publish(), which a kill may interrupt before and in the middle. */
static int publish_by_stores(struct side *s, struct krepis_desc *d, const struct krepis_handoff *a)
{
	const struct krepis_desc what = { .len = a->len, .sequence = a->sequence };

	if (krepis_own_lock(d, a->handle.generation))
		return -1;
	dwell();
	krepis_own_unlock(d, a->handle.generation);
	return krepis_own_publish(d, a->handle.generation, &s->info->live, ~0U, &what);
}

/* All that there is, and then all records at once, if the producer gets there. */
static void publish_all(struct side *s, bool by_command)
{
	__u64 head = s->producer->head;
	__u32 i;

	for (i = 0; i < s->geometry.buffer_count; i++) {
		struct krepis_desc *d = &s->desc[i];
		struct krepis_handoff a = {
			.size = sizeof(a), .handle = { i, krepis_read(&d->generation) }, .len = 8,
			.sequence = head,
		};
		int err;

		if (krepis_read(&d->state) != KREPIS_OWNED_PRODUCER)
			continue;
		err = by_command ? command(s->fd, KREPIS_IOC_HANDOFF, &a) :
				   publish_by_stores(s, d, &a);
		if (!err)
			head += 8;
	}
	dwell();
	krepis_store_release(&s->producer->head, head);
}

static void release_all(struct side *s, bool by_command)
{
	__u32 i, bit = 1U << s->slot;
	struct krepis_desc what;

	for (i = 0; i < s->geometry.buffer_count; i++) {
		struct krepis_desc *d = &s->desc[i];
		__u32 generation = krepis_read(&d->generation);

		if (krepis_own_resolve(d, generation, bit, PAGE, &what))
			continue;
		if (by_command) {
			release(s->fd, i, generation);
			continue;
		}
		/* krepis_own_drop(), and a dwell where nobody holds it any more. */
		if (!(krepis_fetch_andnot(&d->holders, bit) & ~bit)) {
			dwell();
			krepis_own_return(d, generation);
		}
	}
	consume(s);
}

static void exchange(struct side *s)
{
	struct krepis_consumer *c = consumer_of(s, 0);
	__u32 count;

	if (s->role == KREPIS_PRODUCER)
		krepis_triple_publish(s->exchange, &s->producer->back, s->producer->back, 1);
	else if (krepis_triple_pending(s->exchange))
		krepis_triple_take(s->exchange, &c->front, c->front, &count);
}

static void work(struct side *s, bool by_command)
{
	if (s->geometry.kind == KREPIS_TRIPLE)
		exchange(s);
	else if (s->role == KREPIS_PRODUCER)
		publish_all(s, by_command);
	else
		release_all(s, by_command);
}

static void victim(int channel, __u32 role, enum doing doing)
{
	struct side s;

	if (side_open(&s, channel, role))
		_exit(1);
	if (doing == ANY)
		doing = (enum doing)(getpid() % ANY);
	if (doing == IN_WAIT)
		sleep_in_wait(&s);
	else if (doing == IN_EPOLL)
		sleep_in_epoll(&s);
	for (;;)
		work(&s, doing == BY_COMMAND);
}

/* ---------------------------------------------------------------- the survivors */

/**
 * struct watcher - a thread of the survivor that sleeps, and notes when it learnt
 * of each death
 */
struct watcher {
	pthread_t thread;
	const struct side *side;
	int epoll;
	bool stop;
	__u32 deaths;
	__s64 when_ns;
};

static void note(struct watcher *w, __u32 deaths)
{
	if (deaths == w->deaths)
		return;
	w->when_ns = now_ns();
	krepis_store_release(&w->deaths, deaths);
}

static void *watch_by_wait(void *p)
{
	struct watcher *w = p;
	const struct side *s = w->side;

	while (!krepis_load_acquire(&w->stop)) {
		__u32 e = event_of(s);

		note(w, krepis_load_acquire(&s->info->deaths));
		wait_word(s->fd, event_at(s), e, FOR_EVER);
	}
	return NULL;
}

static void *watch_by_epoll(void *p)
{
	struct watcher *w = p;
	struct epoll_event e;

	while (!krepis_load_acquire(&w->stop)) {
		if (epoll_wait(w->epoll, &e, 1, -1) == 1)
			note(w, krepis_load_acquire(&w->side->info->deaths));
	}
	return NULL;
}

static void watch(struct watcher *w, const struct side *s, bool by_epoll)
{
	/* On edges, because a hang-up would be reported without end. */
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };

	*w = (struct watcher) { .side = s, .deaths = s->info->deaths };
	if (by_epoll) {
		w->epoll = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->fd, &e);
	}
	pthread_create(&w->thread, NULL, by_epoll ? watch_by_epoll : watch_by_wait, w);
}

/* ------------------------------------------------------------------------ scenes */

FIXTURE(death)
{
	int channel, kills, late;
	struct side producer, consumer;
	const struct side *any;
	struct watcher watcher[3];
	int watchers;
	__s64 most_ns, sum_ns;
	int samples;
};

/*
 * @producers, @consumers:	victims in a round
 * @living:			a consumer survives
 */
FIXTURE_VARIANT(death)
{
	__u32 kind;
	int producers, consumers;
	bool living;
	enum doing doing;
};

FIXTURE_VARIANT_ADD(death, consumers_in_wait) { KREPIS_RING, 0, 3, true, IN_WAIT };
FIXTURE_VARIANT_ADD(death, consumers_in_epoll) { KREPIS_RING, 0, 3, true, IN_EPOLL };
FIXTURE_VARIANT_ADD(death, consumers_at_release) { KREPIS_RING, 0, 3, true, BY_COMMAND };
FIXTURE_VARIANT_ADD(death, consumers_at_stores) { KREPIS_RING, 0, 3, true, BY_STORES };
FIXTURE_VARIANT_ADD(death, all_consumers) { KREPIS_RING, 0, 3, false, ANY };
FIXTURE_VARIANT_ADD(death, producer_in_wait) { KREPIS_RING, 1, 0, true, IN_WAIT };
FIXTURE_VARIANT_ADD(death, producer_in_epoll) { KREPIS_RING, 1, 0, true, IN_EPOLL };
FIXTURE_VARIANT_ADD(death, producer_at_handoff) { KREPIS_RING, 1, 1, true, BY_COMMAND };
FIXTURE_VARIANT_ADD(death, producer_at_stores) { KREPIS_RING, 1, 1, true, BY_STORES };
FIXTURE_VARIANT_ADD(death, both_roles) { KREPIS_RING, 1, 2, true, ANY };
FIXTURE_VARIANT_ADD(death, triple_producer) { KREPIS_TRIPLE, 1, 0, true, BY_STORES };
FIXTURE_VARIANT_ADD(death, triple_consumer) { KREPIS_TRIPLE, 0, 1, false, BY_STORES };

FIXTURE_SETUP(death)
{
	struct krepis_geometry g = variant->kind == KREPIS_RING ? small_ring() : small_triple();
	const char *kills = getenv("KREPIS_KILLS");

	self->kills = ((kills ? atoi(kills) : 2000) + SCENES - 1) / SCENES;
	if (variant->kind == KREPIS_RING) {
		g.max_consumers = VICTIMS + 1;
		g.buffer_count = 16;
	}
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	if (!variant->producers) {
		ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
		self->any = &self->producer;
		watch(&self->watcher[self->watchers++], &self->producer, false);
	}
	if (variant->living) {
		ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
		self->any = &self->consumer;
		watch(&self->watcher[self->watchers++], &self->consumer, false);
	}
	/* Only a hang-up makes an epoll ready, so somebody's whole other side must go. */
	if (variant->producers || !variant->living)
		watch(&self->watcher[self->watchers++], self->any, true);
}

FIXTURE_TEARDOWN(death)
{
}

/* What the survivors do while the victims live. */
static void survive(FIXTURE_DATA(death) *self)
{
	if (self->producer.base)
		work(&self->producer, true);
	if (self->consumer.base)
		work(&self->consumer, false);
}

static void spin_us(FIXTURE_DATA(death) *self, int us)
{
	__s64 end = now_ns() + us * 1000LL;

	do {
		survive(self);
	} while (now_ns() < end);
}

/*
 * Whether everything is the producer's, or held by the living. What a producer that
 * is dead did not publish, nobody can hold. Of @others, victims yet to die, one may
 * be about to return what it was the last to let go of.
 */
static bool all_is_back(FIXTURE_DATA(death) *self, int others)
{
	const struct side *s = self->any;
	__u32 i, live = s->info->live;
	bool orphaned = s->info->producers == s->info->producer_deaths;

	for (i = 0; i < s->geometry.buffer_count && s->geometry.kind == KREPIS_RING; i++) {
		const struct krepis_desc *d = &s->desc[i];
		__u32 holders;

		if (krepis_read(&d->state) == KREPIS_OWNED_PRODUCER)
			continue;
		holders = krepis_read(&d->holders);
		if (d->state == KREPIS_LOCKED || (!holders && !others) || (holders & ~live))
			return false;
		if (orphaned && (__s64)(d->sequence - s->producer->head) >= 0)
			return false;
	}
	return true;
}

static bool nothing_is_held(FIXTURE_DATA(death) *self)
{
	const struct side *s = self->any;
	__u32 i;

	for (i = 0; i < s->geometry.buffer_count && s->geometry.kind == KREPIS_RING; i++) {
		if (s->desc[i].state != KREPIS_OWNED_PRODUCER)
			return false;
	}
	return true;
}

static bool hung_up(const struct side *s)
{
	struct pollfd p = { .fd = s->fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/*
 * Each watcher learns of the last death: how long after @since? An edge of the epoll
 * may tell of an earlier one, when several die at once.
 */
static bool all_know(FIXTURE_DATA(death) *self, __u32 deaths, __s64 since)
{
	int i;

	for (i = 0; i < self->watchers; i++) {
		struct watcher *w = &self->watcher[i];
		__s64 took;

		if (!within_ms(5000, krepis_load_acquire(&w->deaths) == deaths))
			return false;
		took = w->when_ns - since;
		self->late += took > LATE_NS;
		self->most_ns = took > self->most_ns ? took : self->most_ns;
		self->sum_ns += took > 0 ? took : 0;
		self->samples++;
	}
	return true;
}

struct count {
	__u32 deaths, producer_deaths, producers, consumers;
};

static struct count count(const struct side *s)
{
	const struct krepis_info *i = s->info;

	return (struct count) { i->deaths, i->producer_deaths, i->producers, i->consumers };
}

static void begin(FIXTURE_DATA(death) *self, const FIXTURE_VARIANT(death) *v, pid_t *pid)
{
	int i, n = v->producers + v->consumers;

	for (i = 0; i < n; i++) {
		__u32 role = i < v->producers ? KREPIS_PRODUCER : KREPIS_CONSUMER;

		pid[i] = child();
		if (!pid[i])
			victim(self->channel, role, v->doing);
	}
}

/* However long they take to come: half of the rounds have no victim that did nothing. */
static bool all_attached(const struct side *s, struct count was, int n)
{
	struct count is = count(s);

	return is.producers + is.consumers - was.producers - was.consumers == (__u32)n;
}

TEST_F_TIMEOUT(death, is_known_and_repaired_at_once, 900)
{
	int n = variant->producers + variant->consumers, done, i;
	struct count was, is;
	pid_t pid[VICTIMS];

	srand(n + variant->doing);
	for (done = 0; done < self->kills; done += n) {
		__s64 since = 0;

		was = count(self->any);
		begin(self, variant, pid);
		if (done & 4)
			ASSERT_TRUE(within_ms(20000, all_attached(self->any, was, n)));
		for (i = 0; i < n; i++) {
			spin_us(self, rand() % MOST_DELAY_US);
			ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid[i]));
			since = now_ns();
			ASSERT_TRUE(all_is_back(self, n - 1 - i));
		}
		is = count(self->any);
		ASSERT_EQ(is.producers - was.producers, is.producer_deaths - was.producer_deaths);
		ASSERT_EQ(is.producers + is.consumers - was.producers - was.consumers,
			  is.deaths - was.deaths);
		ASSERT_EQ(variant->living, self->any->info->live);
		if (is.deaths == was.deaths)
			continue;
		if (variant->producers && is.producers != was.producers)
			ASSERT_TRUE(hung_up(&self->consumer));
		if (!variant->living)
			ASSERT_TRUE(hung_up(&self->producer));
		/* Consumers' deaths are no hang-up as long as one of them lives. */
		if (!variant->producers || is.producers != was.producers)
			ASSERT_TRUE(all_know(self, is.deaths, since));
		if (variant->living)
			work(&self->consumer, true);
		ASSERT_TRUE(nothing_is_held(self));
	}
	TH_LOG("%d kills; known after %lld us on average, %lld at most, %d of %d later than 50 ms",
	       done, (long long)(self->sum_ns / (self->samples ? self->samples : 1) / 1000),
	       (long long)(self->most_ns / 1000), self->late, self->samples);
	/* A machine that is busy elsewhere stops for longer now and then. */
	EXPECT_LE(self->late, 1 + self->samples / 50);
}

TEST_HARNESS_MAIN
