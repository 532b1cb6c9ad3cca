/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: a directory of their own, channels of a given shape, bytes
 * that prove what they are, child processes that never outlive their test, and a watchdog.
 *
 * The directory says which backend is tested: it stands on tmpfs, or where
 * $KREPIS_TEST_DIR says, which is on_kmod() if that is a krepis mount.
 *
 * A program's main() runs its tests with begin_program() and end_program(), each of them as a
 * CLAIM(). cmocka's assertions are for the test's own thread; children and other threads use
 * must(), which ends the program.
 */
#ifndef KREPIS_TEST_HELPERS_H
#define KREPIS_TEST_HELPERS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>
#include <krepis/geometry.h>
#include <krepis/krepis.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#define assert_ok(call)		assert_int_equal((call), 0)
#define assert_error(call, err) assert_int_equal((call), -(err))

#define must(condition)                                                \
	do {                                                           \
		if (!(condition))                                      \
			give_up(__FILE__, __LINE__, #condition);       \
	} while (0)
_Noreturn void give_up(const char *file, int line, const char *what);

/* ------------------------------------------------------------------------- programs */

#define CLAIM(function)	cmocka_unit_test_setup_teardown(function, begin_claim, end_claim)
#define RUN(name, tests) cmocka_run_group_tests_name(name, tests, begin_program, end_program)

int begin_program(void **state);
int end_program(void **state);
int begin_claim(void **state);
int end_claim(void **state);

/* The directory of this program's channels; KREPIS_DIR says so too. */
const char *directory(void);
bool on_kmod(void);
/* For a claim that means nothing on kmod, for the reason @why: skips it there. */
void only_on_shm(const char *why);
/* $KREPIS_TEST_ENFORCED: anonymous() makes enforced channels. */
bool enforced(void);
/* For a claim that means nothing there, for the reason @why. */
void only_cooperative(const char *why);
/* How many entries stand in it. */
unsigned int directory_entries(void);

/* @n, or less where everything is slow: under a sanitizer, Valgrind or an emulator. */
unsigned int rounds(unsigned int n);
bool under_emulator(void);
bool under_valgrind(void);
bool under_sanitizer(void);

/* ----------------------------------------------------------------------------- time */

#define MS	1000000LL
#define SOON_MS 20000				/* SOON, for poll() and its like */
#define SOON	krepis_deadline_ms(SOON_MS)	/* what a test waits for must come */
#define SHORTLY krepis_deadline_ms(20)		/* what it waits for does not come */

int64_t now_ns(void);
void nap(void);
void pause_for(uint64_t ns);	/* awake */

/* Looks at @condition again and again, for a limited time. */
#define until(condition)                                               \
	({                                                             \
		int64_t end_ = SOON;                                   \
		bool met_;                                             \
                                                                       \
		while (!(met_ = (condition)) && now_ns() < end_)       \
			nap();                                         \
		met_;                                                  \
	})

/* ------------------------------------------------------------------------- channels */

#define OPTIONS(...)                                            \
	(&(struct krepis_channel_options){                      \
		.size = sizeof(struct krepis_channel_options),  \
		__VA_ARGS__ })

/* A ring of one page with a few buffers of one page: full soon. What is given overrides. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define SMALL_RING(...) \
	OPTIONS(.ring_size = 4096, .buffer_size = 4096, .buffer_count = 4, __VA_ARGS__)
#define SMALL_TRIPLE OPTIONS(.kind = KREPIS_TRIPLE, .buffer_size = 4096)

struct krepis_channel *anonymous(const struct krepis_channel_options *options);
struct krepis_endpoint *attach(struct krepis_channel *channel, enum krepis_role role,
			       uint32_t flags);

/* A small ring with a name. */
struct krepis_channel *create(const char *path);
struct krepis_channel *open_channel(const char *path);
/* The path of @name in directory(); good until the next call. */
const char *path_of(const char *name);
/* The same where anything may stand: a krepis mount has channels and directories only. */
const char *foreign_path_of(const char *name);
/* Refused with @err, and nothing changed: no name, no descriptor, no channel handed out. */
void create_is_refused(const char *path, int err);
void open_is_refused(const char *path, uint32_t layout_id, int err);
/* Whether both are the same channel: what one sends the other receives. */
bool connected(struct krepis_channel *a, struct krepis_channel *b);

/* For a child: the same in its parent's channel, which it opens and closes for itself. */
struct krepis_endpoint *attach_inherited(struct krepis_channel *channel, enum krepis_role role,
					 uint32_t flags);

struct pair {
	struct krepis_channel *channel;
	struct krepis_endpoint *producer;
	struct krepis_endpoint *consumer;
};

struct pair open_pair(const struct krepis_channel_options *options);
void close_pair(struct pair *pair);

struct krepis_status status_of(struct krepis_channel *channel);
struct krepis_counters counters_of(struct krepis_endpoint *endpoint);

/* How often the consumer in @slot went to sleep, or the producer: THE_PRODUCER. */
#define THE_PRODUCER	(-1)
uint64_t waits_of(struct krepis_channel *channel, int slot);
/* Whether it falls asleep, soon, after it had slept @before times. */
bool falls_asleep(struct krepis_channel *channel, int slot, uint64_t before);

/* Sends a small message, for which there must be room. */
void send_one(struct krepis_endpoint *producer);

/* Sends small messages until there is no room: how many. */
unsigned int send_until_full(struct krepis_endpoint *producer, uint64_t seed, size_t len);
/* Receives and checks what send_until_full() sent. */
void recv_filled(struct krepis_endpoint *consumer, uint64_t seed, unsigned int count, size_t len);

/* Acquires all buffers that are free, and puts them back: how many. */
unsigned int count_free(struct krepis_endpoint *producer);

/* ---------------------------------------------------------------------------- bytes */

uint64_t random_u64(void);
uint64_t random_below(uint64_t limit);
/* @len bytes that follow from @seed, and whether they do. */
void fill(void *data, size_t len, uint64_t seed);
bool filled(const void *data, size_t len, uint64_t seed);

/* -------------------------------------------------------------------------- children */

/* Memory shared with the children of this test, zeroed; gone with the test. */
void *shared_memory(size_t size);
void post(uint32_t *word);		/* one more */
bool posted(uint32_t *word, uint32_t count);	/* at least @count, soon */

/* A child that runs @body and exits with 0. It dies with its parent. */
pid_t spawn(void (*body)(void *arg), void *arg);
/* Waits for the child; asserts that it exited with 0. SKIPPED skips the test. */
#define SKIPPED 77
void join_child(pid_t child);
/* Kills it, and returns when nothing of it is left. */
void kill_child(pid_t child);
/* For a child of root: becomes somebody else, who may still look at its own /proc. */
void become_nobody(void);
/* For a child: stays until it is killed. */
_Noreturn void stay(void);

/* ------------------------------------------------------------------------- resources */

unsigned int open_fds(void);
unsigned int mappings(void);	/* of channels only, where others map as well */
unsigned int threads(void);

#include "view.h"

#endif /* KREPIS_TEST_HELPERS_H */
