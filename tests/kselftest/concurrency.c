// SPDX-License-Identifier: MIT
/*
 * Storms: many do the same thing at once, and in the end the sums are right and
 * nothing is left.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include "util.h"

#define CROWD	8

/* Memory that all processes of a test share. */
struct board {
	int go;
	__u32 attached, detached;
	int producers;
	int taken[3];
	int wins;
};

static struct board *new_board(void)
{
	void *p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void wait_for_go(struct board *b)
{
	while (!krepis_load_acquire(&b->go))
		sched_yield();
}

/* Lets @n children begin together. Return: how many did not end with 0. */
static int run_crowd(struct board *b, const pid_t *pid, int n)
{
	int i, bad = 0;

	krepis_store_release(&b->go, 1);
	for (i = 0; i < n; i++)
		bad += !!reap(pid[i]);
	return bad;
}

static struct statfs stats(const char *path)
{
	struct statfs st = { 0 };

	statfs(path, &st);
	return st;
}

/* ------------------------------------------------------------------------- setup */

TEST(exactly_one_setup_wins)
{
	struct board *b = new_board();
	int turn, i;

	for (turn = 0; turn < 20; turn++) {
		int fd = new_file(O_RDWR);
		struct krepis_info_query q;
		pid_t pid[CROWD];

		*b = (struct board) { 0 };
		for (i = 0; i < CROWD; i++) {
			struct krepis_geometry g = small_ring();

			pid[i] = child();
			if (pid[i])
				continue;
			g.buffer_count = 4 + i;
			wait_for_go(b);
			switch (setup(fd, &g)) {
			case 0:
				krepis_store_release(&b->wins, b->wins + 100 + i);
				_exit(0);
			case -EBUSY:
				_exit(0);
			default:
				_exit(1);
			}
		}
		ASSERT_EQ(0, run_crowd(b, pid, CROWD));
		ASSERT_LE(100, b->wins);
		ASSERT_GT(100 + CROWD, b->wins);
		ASSERT_EQ(0, query(fd, &q));
		EXPECT_EQ(4 + b->wins - 100, q.geometry.buffer_count);
		close(fd);
	}
}

/* ------------------------------------------------------------------------ attach */

static int use(const struct side *s)
{
	__u32 i;

	for (i = 0; i < s->geometry.buffer_count; i++) {
		if (s->role == KREPIS_PRODUCER)
			handoff(s->fd, i, krepis_read(&s->desc[i].generation), 8);
		else
			release(s->fd, i, krepis_read(&s->desc[i].generation));
	}
	return wake(s->fd, s->role == KREPIS_PRODUCER ? 3 : 0, 0);
}

static int attach_and_go(int channel, struct board *b, __u32 role)
{
	struct side s;
	int err = side_open(&s, channel, role);

	if (err)
		return err == -EBUSY || err == -EUSERS ? 0 : 1;
	__atomic_fetch_add(&b->attached, 1, __ATOMIC_SEQ_CST);
	/* Of producers there is never a second one. */
	if (role == KREPIS_PRODUCER && __atomic_fetch_add(&b->producers, 1, __ATOMIC_SEQ_CST))
		return 2;
	err = use(&s);
	if (rand() & 1) {
		err |= detach(s.fd);
		__atomic_fetch_add(&b->detached, 1, __ATOMIC_SEQ_CST);
	}
	if (role == KREPIS_PRODUCER)
		__atomic_fetch_sub(&b->producers, 1, __ATOMIC_SEQ_CST);
	side_close(&s);
	return err ? 3 : 0;
}

static int visitor(int channel, struct board *b, int turns)
{
	int i, err;

	srand(getpid());
	wait_for_go(b);
	for (i = 0; i < turns; i++) {
		err = attach_and_go(channel, b, rand() % 3 ? KREPIS_CONSUMER : KREPIS_PRODUCER);
		if (err)
			return err;
	}
	return 0;
}

static bool counted(int channel, const struct board *b)
{
	struct krepis_info_query q;

	return !query(channel, &q) && !q.live && !q.producer && q.epoch == 2 * b->attached &&
	       q.deaths == b->attached - b->detached;
}

TEST(storm_of_processes_leaves_nobody_and_right_sums)
{
	struct krepis_geometry g = small_ring();
	struct board *b = new_board();
	int fd, i;
	pid_t pid[CROWD];
	struct side s;

	fd = new_channel(&g);
	for (i = 0; i < CROWD; i++) {
		pid[i] = child();
		if (!pid[i])
			_exit(visitor(fd, b, 150));
	}
	EXPECT_EQ(0, run_crowd(b, pid, CROWD));
	EXPECT_LT(CROWD, b->attached);
	EXPECT_TRUE(counted(fd, b));
	ASSERT_EQ(0, side_open(&s, fd, KREPIS_PRODUCER));
	/* Never published, so nothing of it is left. */
	for (i = 0; i < 4; i++)
		EXPECT_EQ(KREPIS_OWNED_PRODUCER, s.desc[i].state);
}

/* Which slot of three the endpoint has. */
static unsigned int slot_of(int fd)
{
	struct krepis_info_query q;

	return query(fd, &q) || q.role == KREPIS_PRODUCER ? 0 : 1 + q.slot;
}

/* @turns times an endpoint, which nobody else has meanwhile. */
static int only_attach(int channel, struct board *b, __u32 role, int turns)
{
	int bad = 0, i;

	wait_for_go(b);
	while (turns--) {
		int fd = attach(channel, role, KREPIS_RIGHT_ALL);
		unsigned int slot;

		if (fd == -EBUSY || fd == -EUSERS)
			continue;
		if (fd < 0)
			return 1;
		slot = slot_of(fd);
		bad |= __atomic_exchange_n(&b->taken[slot], 1, __ATOMIC_SEQ_CST);
		for (i = 0; i < 2000; i++)
			krepis_barrier();
		__atomic_fetch_add(&b->attached, 1, __ATOMIC_SEQ_CST);
		__atomic_exchange_n(&b->taken[slot], 0, __ATOMIC_SEQ_CST);
		close(fd);
	}
	return !!bad;
}

TEST(there_is_never_a_second_one_in_a_slot)
{
	struct krepis_geometry g = small_ring();
	struct board *b = new_board();
	int fd = new_channel(&g), i;
	pid_t pid[6];

	for (i = 0; i < 6; i++) {
		pid[i] = child();
		if (!pid[i])
			_exit(only_attach(fd, b, i < 3 ? KREPIS_PRODUCER : KREPIS_CONSUMER, 2000));
	}
	EXPECT_EQ(0, run_crowd(b, pid, 6));
	EXPECT_LT(2000, b->attached);
	EXPECT_TRUE(counted(fd, b));
}

struct thread_arg {
	int channel, turns, result;
	struct board *board;
};

static void *visiting_thread(void *p)
{
	struct thread_arg *arg = p;

	arg->result = visitor(arg->channel, arg->board, arg->turns);
	return NULL;
}

TEST(storm_of_threads_leaves_nobody_and_right_sums)
{
	struct krepis_geometry g = small_ring();
	struct board *b = new_board();
	struct thread_arg arg = { new_channel(&g), 100, 0, b };
	pthread_t thread[CROWD];
	int i;

	for (i = 0; i < CROWD; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, visiting_thread, &arg));
	krepis_store_release(&b->go, 1);
	for (i = 0; i < CROWD; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, arg.result);
	EXPECT_TRUE(within_ms(2000, counted(arg.channel, b)));
}

/* ------------------------------------------------------------------------- names */

static const char *name_of(int i)
{
	char name[32];

	snprintf(name, sizeof(name), "storm-%d", i);
	return in_mount(name);
}

/* Everything that may be done to a few names; each may fail, as others do the same. */
static int rename_and_so_on(struct board *b)
{
	struct krepis_geometry g = small_ring();
	int i, fd, ep;

	srand(getpid());
	wait_for_go(b);
	for (i = 0; i < 300; i++) {
		const char *name = name_of(rand() % 3);

		switch (rand() % 4) {
		case 0:
			unlink(name);
			continue;
		case 1:
			rename(name, name_of(rand() % 3));
			continue;
		}
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			continue;
		setup(fd, &g);
		ep = attach(fd, rand() % 2 + 1, KREPIS_RIGHT_ALL);
		close(fd);
		if (ep >= 0)
			close(ep);
		else if (ep != -EBUSY && ep != -EUSERS)
			return 1;
	}
	return 0;
}

TEST(storm_on_names_gives_everything_back)
{
	struct statfs before = stats(mount_path());
	struct board *b = new_board();
	pid_t pid[CROWD];
	int i;

	for (i = 0; i < CROWD; i++) {
		pid[i] = child();
		if (!pid[i])
			_exit(rename_and_so_on(b));
	}
	EXPECT_EQ(0, run_crowd(b, pid, CROWD));
	for (i = 0; i < 3; i++)
		unlink(name_of(i));
	EXPECT_TRUE(within_ms(5000, stats(mount_path()).f_bfree == before.f_bfree &&
				    stats(mount_path()).f_ffree == before.f_ffree));
}

/* ------------------------------------------------------------------ mount, module */

static int mount_and_leave(struct board *b, int turns)
{
	struct krepis_geometry g = small_ring();
	char dir[64], file[80];
	int i, fd, ep;

	snprintf(dir, sizeof(dir), "/tmp/krepis-storm-%d", getpid());
	snprintf(file, sizeof(file), "%s/a", dir);
	if (mkdir(dir, 0755) || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 1;
	wait_for_go(b);
	for (i = 0; i < turns; i++) {
		if (mount("none", dir, "krepis", 0, "size=1m"))
			return 2;
		fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || setup(fd, &g))
			return 3;
		ep = attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);
		if (ep < 0 || umount2(dir, i & 1 ? MNT_DETACH : 0) != (i & 1 ? 0 : -1))
			return 4;
		close(fd);
		if (handoff(ep, 0, 1, 8) != -ENOTCONN)
			return 5;
		close(ep);
		if (!(i & 1) && umount2(dir, 0))
			return 6;
	}
	rmdir(dir);
	return 0;
}

TEST(mounts_come_and_go_while_the_module_is_asked_to_go)
{
	struct board *b = new_board();
	pid_t pid[4], breaker;
	int i, bad = 0;

	for (i = 0; i < 4; i++) {
		pid[i] = child();
		if (!pid[i])
			_exit(mount_and_leave(b, 25));
	}
	breaker = child();
	if (!breaker) {
		for (;;) {
			if (!syscall(SYS_delete_module, "krepis", O_NONBLOCK))
				_exit(1);
			sched_yield();
		}
	}
	bad = run_crowd(b, pid, 4);
	EXPECT_EQ(0, bad);
	EXPECT_EQ(128 + SIGKILL, kill_and_reap(breaker));
}

/* ------------------------------------------------------------------------- rights */

struct race {
	int fd;
	__u32 keep;
	int stop;
	int bad;
};

/* Takes away what is not in @keep, and never sees it again. */
static void *restricting_thread(void *p)
{
	struct race *r = p;
	struct krepis_info_query q;
	int i, err;

	for (i = 0; i < 100; i++) {
		err = restrict_to(r->fd, r->keep);
		if (err && err != -EPERM)
			r->bad = 1;
		if (!err && !query(r->fd, &q) && (q.rights & ~r->keep))
			r->bad = 2;
	}
	return NULL;
}

static void *using_thread(void *p)
{
	struct race *r = p;

	while (!krepis_load_acquire(&r->stop)) {
		int err = wake(r->fd, 0, KREPIS_WAKE_SELF), fd;

		if (err && err != -EACCES)
			r->bad = 3;
		fd = derive(r->fd, KREPIS_RIGHT_READ | KREPIS_RIGHT_WAIT);
		if (fd >= 0)
			close(fd);
		else if (fd != -EACCES && fd != -EPERM)
			r->bad = 4;
	}
	return NULL;
}

/* Two narrow a descriptor while a third uses it: it keeps at most what both leave. */
TEST(rights_only_shrink_whoever_races)
{
	struct krepis_geometry g = small_ring();
	int channel = new_channel(&g), turn;

	for (turn = 0; turn < 20; turn++) {
		int fd = attach(channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
		struct race a = { .fd = fd, .keep = KREPIS_RIGHT_READ | KREPIS_RIGHT_WAKE };
		struct race b = { .fd = fd, .keep = KREPIS_RIGHT_READ | KREPIS_RIGHT_DERIVE };
		struct race c = { .fd = fd };
		struct krepis_info_query q;
		pthread_t thread[3];

		ASSERT_LE(0, fd);
		pthread_create(&thread[0], NULL, using_thread, &c);
		pthread_create(&thread[1], NULL, restricting_thread, &a);
		pthread_create(&thread[2], NULL, restricting_thread, &b);
		pthread_join(thread[1], NULL);
		pthread_join(thread[2], NULL);
		krepis_store_release(&c.stop, 1);
		pthread_join(thread[0], NULL);
		EXPECT_EQ(0, a.bad | b.bad | c.bad);
		ASSERT_EQ(0, query(fd, &q));
		/* Whoever came first left the other nothing that it may ask for. */
		EXPECT_TRUE(q.rights == a.keep || q.rights == b.keep);
		close(fd);
	}
}

/* ----------------------------------------------------------------------- mappings */

struct mapper {
	int fd, stop, bad;
	__u64 size;
};

static void *mapping_thread(void *p)
{
	struct mapper *m = p;

	__u64 half = m->size / 2 / PAGE * PAGE;

	while (!krepis_load_acquire(&m->stop)) {
		volatile char *at = mmap(NULL, m->size, PROT_READ, MAP_SHARED, m->fd, 0);

		if (at == MAP_FAILED || *(volatile __u64 *)at != KREPIS_MAGIC || at[m->size - 1])
			m->bad = 1;
		munmap((void *)at, half);
		madvise((void *)(at + half), PAGE, MADV_DONTNEED);
		munmap((void *)(at + half), m->size - half);
	}
	return NULL;
}

TEST(mappings_come_and_go_while_processes_are_made)
{
	struct krepis_geometry g = small_ring();
	int channel = new_channel(&g), i;
	struct mapper m = { .fd = attach(channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL),
			    .size = krepis_layout(&g).size };
	struct krepis_info_query q;
	pthread_t thread[3];

	ASSERT_LE(0, m.fd);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, mapping_thread, &m));
	for (i = 0; i < 100; i++) {
		pid_t pid = child();

		if (!pid)
			_exit(0);
		ASSERT_EQ(0, reap(pid));
	}
	krepis_store_release(&m.stop, 1);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, m.bad);
	close(m.fd);
	EXPECT_TRUE(within_ms(2000, !query(channel, &q) && !q.live && q.epoch == 2));
}

/* ------------------------------------------------------------------------- waits */

static int wait_a_lot(int channel, struct board *b)
{
	int i, fd;

	wait_for_go(b);
	for (i = 0; i < 100; i++) {
		fd = attach(channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
		if (fd == -EUSERS)
			continue;
		if (fd < 0)
			return 1;
		wait_word(fd, offsetof(struct krepis_info, epoch), 0, now_ns() + 100000);
		wait_word(fd, offsetof(struct krepis_info, magic), (__u32)KREPIS_MAGIC,
			  now_ns() + 200000);
		close(fd);
	}
	return 0;
}

/* Slots are left and taken again while the producer wakes whoever is in them. */
TEST(wakes_reach_slots_that_change_hands)
{
	struct krepis_geometry g = small_ring();
	struct board *b = new_board();
	struct krepis_info_query q;
	int channel = new_channel(&g), i;
	pid_t pid[CROWD], waker;

	for (i = 0; i < CROWD; i++) {
		pid[i] = child();
		if (!pid[i])
			_exit(wait_a_lot(channel, b));
	}
	waker = child();
	if (!waker) {
		int fd = attach(channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);

		for (;;)
			wake(fd, 3, 0);
	}
	EXPECT_EQ(0, run_crowd(b, pid, CROWD));
	kill_and_reap(waker);
	ASSERT_EQ(0, query(channel, &q));
	EXPECT_EQ(0, q.live);
	EXPECT_EQ(0, q.producer);
}

TEST_HARNESS_MAIN
