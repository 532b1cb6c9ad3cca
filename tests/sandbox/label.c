// SPDX-License-Identifier: MIT
/*
 * Who is in a domain stays in it: whoever it becomes, wherever it moves, and whoever does
 * for it what it asks io_uring to do.
 */
#include <kselftest_harness.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <pthread.h>
#include <sys/wait.h>
#include "confined.h"
#include "ring.h"

FIXTURE(label)
{
	struct krepis_domain *domain;	/* where everything is allowed */
};

FIXTURE_SETUP(label)
{
	ASSERT_EQ(0, place_make());
	self->domain = domain("read", "write", "exec", "net", "unix", "channel", "env", "sys");
}

FIXTURE_TEARDOWN(label)
{
	place_end();
}

/* ---------------------------------------------------------------------- credentials */

static int in_child(int (*f)(void))
{
	pid_t pid = child();

	if (!pid)
		_exit(-f());
	return pid < 0 ? -errno : -reap(pid);
}

static int grandchild(void)
{
	return in_child(confined);
}

static int new_credentials(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) || syscall(SYS_capset, &head, data))
		return -errno;
	return confined();
}

static int other_users(void)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return confined();
}

static int new_users(void)
{
	return unshare(CLONE_NEWUSER) ? -errno : confined();
}

static int new_session(void)
{
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ? -errno : confined();
}

static int keys_to_parent(void)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
	    syscall(SYS_keyctl, KEYCTL_SESSION_TO_PARENT))
		return -errno;
	return 0;
}

/* A child gives its parent new credentials. */
static int new_keys(void)
{
	return in_child(keys_to_parent) ? : confined();
}

static void *in_thread(void *result)
{
	*(int *)result = confined();
	return NULL;
}

static int thread(void)
{
	pthread_t id;
	int result = -ENOTUNIQ;

	if (!pthread_create(&id, NULL, in_thread, &result))
		pthread_join(id, NULL);
	return result;
}

static int cloned(void)
{
	const long shared = CLONE_FS | CLONE_FILES | CLONE_IO;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD | shared, 0, 0, 0, 0);

	if (!pid)
		_exit(-confined());
	return -reap(pid);
}

static int executed(void)
{
	char *argv[] = { "label", "--confined", NULL };

	return run_with("/proc/self/exe", argv, environ);
}

static int again_and_again(void)
{
	int i, err = 0;

	for (i = 0; i < 200 && !err; i++)
		err = in_child(new_credentials);
	return err;
}

TEST_F(label, domain_holds_whoever_one_becomes)
{
	allowed(self->domain, confined());
	EXPECT_EQ(-ENOTCONN, in_domain(NULL, confined()));
	allowed(self->domain, in_child(confined));
	allowed(self->domain, in_child(grandchild));
	allowed(self->domain, cloned());
	allowed(self->domain, thread());
	allowed(self->domain, executed());
	allowed(self->domain, new_credentials());
	allowed(self->domain, other_users());
	allowed(self->domain, new_users());
	allowed(self->domain, new_session());
	allowed(self->domain, new_keys());
	allowed(self->domain, again_and_again());
}

/* --------------------------------------------------------------------- control groups */

static int move_into(const char *group)
{
	char path[64];

	snprintf(path, sizeof(path), GROUPS "/%s/cgroup.procs", group);
	return write_text(path, "0");
}

TEST_F(label, moving_to_another_group_leaves_no_domain)
{
	ASSERT_TRUE(!mkdir(GROUPS "/krepis-test", 0755) || errno == EEXIST);
	allowed(self->domain, move_into("krepis-test") ? : confined());
	allowed(self->domain, ({ int err = move_into("krepis-test");
				 pid_t pid = err ? -1 : child();

				 if (!pid)
					 _exit(-confined());
				 err ? : -reap(pid); }));
	rmdir(GROUPS "/krepis-test");
}

static int confined_program(const char *group)
{
	char *argv[] = { "label", "--confined", NULL };
	int err = move_into(group);

	return err ? : run_with("/proc/self/exe", argv, environ);
}

/* This program, executed by itself: it exits with what confined() found. */
static void __attribute__((constructor)) execute_confined(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--confined"))
		_exit(-confined());
}

static int confined_program_moved(const char *groups)
{
	char *argv[] = { "label", "--confined-moved", NULL };

	return move_into("krepis-in") ? : run_with("/proc/self/exe", argv, environ);
}

static void __attribute__((constructor)) execute_moved(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--confined-moved"))
		_exit(-confined_program("krepis-out"));
}

TEST_F(label, group_of_a_domain_is_left_but_not_the_domain)
{
	ASSERT_TRUE(!mkdir(GROUPS "/krepis-in", 0755) || errno == EEXIST);
	ASSERT_TRUE(!mkdir(GROUPS "/krepis-out", 0755) || errno == EEXIST);
	ASSERT_EQ(0, krepis_domain_add_cgroup(self->domain, GROUPS "/krepis-in"));
	EXPECT_EQ(-ENOTCONN, in_domain(NULL, confined_program("krepis-out")));
	EXPECT_EQ(0, in_domain(NULL, confined_program("krepis-in")));
	EXPECT_EQ(0, in_domain(NULL, confined_program_moved(NULL)));
	rmdir(GROUPS "/krepis-in");
	rmdir(GROUPS "/krepis-out");
}

/* -------------------------------------------------------------------------- io_uring */

static int open_on(struct io_uring *ring, unsigned int flags, int personality)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_openat(sqe, AT_FDCWD, TOP "/f", O_RDONLY, 0);
	sqe->flags |= flags;
	sqe->personality = personality;
	return ring_result(ring);
}

/* In a process of its own, what a ring opens that was made before @domain was entered. */
static int open_by_ring_of_before(struct krepis_domain *domain, unsigned int setup,
				  unsigned int flags)
{
	struct io_uring ring;

	return in_domain(NULL, ({
		int err = io_uring_queue_init(4, &ring, setup);

		err = err ? : open_on(&ring, flags, 0);
		if (err >= 0) {
			enter(domain);
			err = open_on(&ring, flags, 0);
		}
		err; }));
}

TEST_F(label, ring_of_before_opens_nothing_else)
{
	struct krepis_domain *none = domain("net"), *all = domain("read");
	unsigned int async = IOSQE_ASYNC;

	EXPECT_EQ(0, open_by_ring_of_before(all, 0, 0));
	EXPECT_EQ(-EACCES, open_by_ring_of_before(none, 0, 0));
	EXPECT_EQ(0, open_by_ring_of_before(all, 0, async));
	EXPECT_EQ(-EACCES, open_by_ring_of_before(none, 0, async));
	EXPECT_EQ(0, open_by_ring_of_before(all, IORING_SETUP_SQPOLL, 0));
	EXPECT_EQ(-EACCES, open_by_ring_of_before(none, IORING_SETUP_SQPOLL, 0));
}

/* Its thread is its maker's, who is outside: to leave such a ring is to leave what it can do. */
TEST_F(label, ring_with_a_thread_is_refused)
{
	struct io_uring ring;

	allowed(NULL, io_uring_queue_init(4, &ring, IORING_SETUP_SQPOLL));
	refused(EPERM, self->domain, io_uring_queue_init(4, &ring, IORING_SETUP_SQPOLL));
	allowed(self->domain, io_uring_queue_init(4, &ring, 0));
}

TEST_F(label, credentials_of_others_in_a_ring_are_refused)
{
	struct krepis_domain *none = domain("net"), *all = domain("read");
	struct io_uring ring[4];
	int who[4], i;

	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, io_uring_queue_init(4, &ring[i], 0));
		who[i] = io_uring_register_personality(&ring[i]);
		ASSERT_LT(0, who[i]);
	}
	/* The ring's credentials are not the ones that enter. */
	ASSERT_EQ(-ENOTCONN, new_credentials());
	allowed(NULL, open_on(&ring[0], 0, who[0]));
	refused(EPERM, none, open_on(&ring[1], 0, who[1]));
	refused(EPERM, all, open_on(&ring[2], 0, who[2]));
	refused(EACCES, none, open_on(&ring[3], 0, 0));
}

TEST_F(label, own_credentials_in_a_ring_are_as_good_as_the_own)
{
	struct krepis_domain *none = domain("net"), *all = domain("read");
	struct io_uring ring;

	allowed(all, ({ io_uring_queue_init(4, &ring, 0) ? :
			open_on(&ring, 0, io_uring_register_personality(&ring)); }));
	refused(EACCES, none, ({ io_uring_queue_init(4, &ring, 0) ? :
				 open_on(&ring, 0, io_uring_register_personality(&ring)); }));
}

TEST_HARNESS_MAIN
