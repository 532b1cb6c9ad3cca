// SPDX-License-Identifier: MIT
/*
 * Transitions of a buffer's ownership word that meet: in the middle of a publication, and by
 * several threads at once.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include "helpers.h"
#include "ownership.h"

/* --------------------------------------------------------- in the middle of a publication */

/*
 * What is to be described lies in a page that cannot be read, so the publication
 * stops between the look at the live mask and the grant. There @meanwhile happens.
 */
static struct {
	struct krepis_desc desc;
	uint32_t live;
	struct krepis_desc *what;
	void (*meanwhile)(void);
} stopped;

static void let_it_happen(int sig)
{
	(void)sig;
	must(!mprotect(stopped.what, 4096, PROT_READ));
	stopped.meanwhile();
}

static int publish_and_meanwhile(void (*meanwhile)(void))
{
	struct sigaction handle = { .sa_handler = let_it_happen }, before;
	int err;

	/* It would report the access that is wanted here. */
	if (under_valgrind())
		skip();
	stopped.meanwhile = meanwhile;
	stopped.desc = desc_in(KREPIS_OWNED_PRODUCER, GEN, 0);
	stopped.live = 3;
	stopped.what = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(stopped.what != MAP_FAILED);
	sigaction(SIGSEGV, &handle, &before);
	err = krepis_own_publish(&stopped.desc, GEN, &stopped.live, 7, stopped.what);
	sigaction(SIGSEGV, &before, NULL);
	munmap(stopped.what, 4096);
	return err;
}

static void one_dies(void)
{
	krepis_fetch_andnot(&stopped.live, 2);
	krepis_mb();
	krepis_own_sweep(&stopped.desc, 2);
}

static void who_dies_during_a_publication_holds_nothing(void **state)
{
	(void)state;
	assert_ok(publish_and_meanwhile(one_dies));
	assert_true(is(&stopped.desc, KREPIS_OWNED_CONSUMER, GEN));
	assert_int_equal(stopped.desc.holders, 1);
}

static void both_die(void)
{
	krepis_fetch_andnot(&stopped.live, 3);
	krepis_mb();
	krepis_own_sweep(&stopped.desc, 3);
}

static void when_all_die_during_a_publication_the_buffer_is_back(void **state)
{
	(void)state;
	assert_ok(publish_and_meanwhile(both_die));
	assert_true(is(&stopped.desc, KREPIS_OWNED_PRODUCER, GEN + 1));
}

static void one_comes(void)
{
	krepis_fetch_or(&stopped.live, 4);
	krepis_mb();
	krepis_own_forgo(&stopped.desc, 4, UINT64_MAX / 2, false);
}

static void who_comes_during_a_publication_is_granted_nothing(void **state)
{
	(void)state;
	assert_ok(publish_and_meanwhile(one_comes));
	assert_int_equal(stopped.desc.holders, 3);
}

static void the_producer_is_buried(void)
{
	krepis_own_recover(&stopped.desc, 0);
}

static void who_is_buried_during_a_publication_has_published_nothing(void **state)
{
	(void)state;
	assert_error(publish_and_meanwhile(the_producer_is_buried), EOWNERDEAD);
	assert_true(is(&stopped.desc, KREPIS_OWNED_PRODUCER, GEN + 1));
}

/* --------------------------------------------------------------------- several at once */

#define RACERS 3

/* Threads that start each round together, on one descriptor; the test's own is number 0. */
struct race {
	_Alignas(128) struct krepis_desc desc;
	_Alignas(128) uint32_t live;
	_Alignas(128) uint32_t round;	/* begins when it is raised */
	_Alignas(128) uint32_t done;
	uint32_t won[RACERS];
	uint32_t next;			/* thread numbers */
	uint32_t rounds;
	unsigned int racers;
	void (*run)(struct race *r, unsigned int racer, uint32_t round);
};

static void spin_until(uint32_t *word, uint32_t least)
{
	unsigned int looks = 0;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < least) {
		if (!(++looks % 1000))
			sched_yield();
	}
}

static void random_instant(uint64_t most)
{
	for (uint64_t i = random_below(most); i; i--)
		__asm__ volatile("" ::: "memory");
}

static void *racer_main(void *arg)
{
	struct race *r = arg;
	unsigned int racer = __atomic_add_fetch(&r->next, 1, __ATOMIC_SEQ_CST);

	for (uint32_t round = 1; round <= r->rounds; round++) {
		spin_until(&r->round, round);
		random_instant(50);
		r->run(r, racer, round);
		__atomic_fetch_add(&r->done, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void run_race(unsigned int racers, void (*prepare)(struct race *r, uint32_t round),
		     void (*run)(struct race *r, unsigned int racer, uint32_t round),
		     bool (*check)(struct race *r, uint32_t round))
{
	struct race r = { .run = run, .rounds = rounds(30000), .racers = racers };
	pthread_t threads[RACERS];
	unsigned int wrong = 0;

	for (unsigned int i = 1; i < racers; i++)
		assert_ok(pthread_create(&threads[i], NULL, racer_main, &r));
	for (uint32_t round = 1; round <= r.rounds; round++) {
		prepare(&r, round);
		memset(r.won, 0, sizeof(r.won));
		__atomic_store_n(&r.done, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&r.round, round, __ATOMIC_RELEASE);
		random_instant(50);
		run(&r, 0, round);
		spin_until(&r.done, racers - 1);
		wrong += !check(&r, round);
	}
	for (unsigned int i = 1; i < racers; i++)
		assert_ok(pthread_join(threads[i], NULL));
	assert_int_equal(wrong, 0);
}

static void held_by_all(struct race *r, uint32_t round)
{
	r->desc = desc_in(KREPIS_OWNED_CONSUMER, round, (1U << RACERS) - 1);
}

static void drop_own(struct race *r, unsigned int racer, uint32_t round)
{
	r->won[racer] = krepis_own_drop(&r->desc, round, 1U << racer);
}

static bool returned_by_one(struct race *r, uint32_t round)
{
	return r->won[0] + r->won[1] + r->won[2] == 1 &&
	       is(&r->desc, KREPIS_OWNED_PRODUCER, krepis_own_next(round));
}

static void of_several_droppers_one_returns_the_buffer(void **state)
{
	(void)state;
	run_race(3, held_by_all, drop_own, returned_by_one);
}

/* Two consumers take, and the third thread is the producer that evicts. */
static void held_by_two(struct race *r, uint32_t round)
{
	r->desc = desc_in(KREPIS_OWNED_CONSUMER, round, 3);
}

static void take_or_evict(struct race *r, unsigned int racer, uint32_t round)
{
	if (racer == 2)
		r->won[2] = krepis_own_evict(&r->desc, round);
	else if (krepis_own_take(&r->desc, round, 1U << racer))
		r->won[racer] = 1U << racer;
}

static bool each_hold_has_one_winner(struct race *r, uint32_t round)
{
	uint32_t taken = r->won[0] | r->won[1];

	if ((taken & r->won[2]) || (taken | r->won[2]) != 3 || (taken && r->desc.holders != taken))
		return false;
	return taken ? krepis_own_drop(&r->desc, round, taken) :
		       is(&r->desc, KREPIS_OWNED_PRODUCER, krepis_own_next(round));
}

static void each_hold_is_taken_or_evicted(void **state)
{
	(void)state;
	run_race(3, held_by_two, take_or_evict, each_hold_has_one_winner);
}

/*
 * The producer publishes to the only consumer, which is swept meanwhile: nobody
 * was there, or the hold is given back.
 */
static void owned_by_producer(struct race *r, uint32_t round)
{
	r->desc = desc_in(KREPIS_OWNED_PRODUCER, round, 0);
	__atomic_store_n(&r->live, 1, __ATOMIC_SEQ_CST);
}

static void publish_or_sweep(struct race *r, unsigned int racer, uint32_t round)
{
	const struct krepis_desc what = { .len = 1, .sequence = round };
	int err;

	if (!racer) {
		err = krepis_own_publish(&r->desc, round, &r->live, 1, &what);
		must(!err || err == -ENOTCONN);
		return;
	}
	/* The closest is a sweep that begins when the buffer is locked. */
	for (int i = 0; i < 300; i++) {
		if (__atomic_load_n(&r->desc.state, __ATOMIC_RELAXED) != KREPIS_OWNED_PRODUCER)
			break;
	}
	random_instant(20);
	krepis_fetch_andnot(&r->live, 1);
	krepis_mb();
	krepis_own_sweep(&r->desc, 1);
}

static bool nothing_is_held(struct race *r, uint32_t round)
{
	return is(&r->desc, KREPIS_OWNED_PRODUCER, round) ||
	       is(&r->desc, KREPIS_OWNED_PRODUCER, krepis_own_next(round));
}

static void a_death_during_a_publication_leaves_no_hold(void **state)
{
	(void)state;
	run_race(2, owned_by_producer, publish_or_sweep, nothing_is_held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(who_dies_during_a_publication_holds_nothing),
		CLAIM(when_all_die_during_a_publication_the_buffer_is_back),
		CLAIM(who_comes_during_a_publication_is_granted_nothing),
		CLAIM(who_is_buried_during_a_publication_has_published_nothing),
		CLAIM(of_several_droppers_one_returns_the_buffer),
		CLAIM(each_hold_is_taken_or_evicted),
		CLAIM(a_death_during_a_publication_leaves_no_hold),
	};

	return RUN("ownership_race", tests);
}
