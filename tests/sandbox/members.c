// SPDX-License-Identifier: MIT
/* Who is in a domain: who entered, its threads, its children and theirs. Nobody leaves it. */
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "fixture.h"

/* -------------------------------------------------------------------------- children */

static int in_child(int (*f)(const char *), const char *path)
{
	pid_t pid = child();

	if (!pid)
		_exit(-f(path));
	return pid < 0 ? -errno : -reap(pid);
}

static int read_in_child(const char *path)
{
	return in_child(read_file, path);
}

TEST_F(tree, children_and_theirs_are_in_it)
{
	struct krepis_domain *d = domain("read,exec " A);

	refused(EACCES, d, in_child(read_file, X "/f"));
	refused(EACCES, d, in_child(read_in_child, X "/f"));
	allowed(d, in_child(read_in_child, A "/f"));
	refused(EACCES, d, run(A "/p", X "/f"));
	allowed(d, run(A "/p", A "/f"));
}

/* A child whose parent is gone tells through @result. */
static int orphan(int *result, const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		if (!fork()) {
			while (getppid() == (pid_t)syscall(SYS_getpid))
				pause_ms(1);
			pause_ms(50);
			*result = read_file(path);
			_exit(0);
		}
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return 0;
}

TEST_F(tree, a_child_stays_in_it_when_its_parent_is_gone)
{
	struct krepis_domain *d = domain("read " A);
	int *result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*result = 1;
	allowed(d, orphan(result, X "/f"));
	EXPECT_TRUE(within_ms(10000, *(volatile int *)result != 1));
	EXPECT_EQ(-EACCES, *result);
	*result = 1;
	allowed(d, orphan(result, A "/f"));
	EXPECT_TRUE(within_ms(10000, *(volatile int *)result != 1));
	EXPECT_EQ(0, *result);
}

static int by_vfork(const char *path)
{
	volatile int result = -ECHILD;
	pid_t pid = vfork();

	if (!pid) {
		int fd = open(path, O_RDONLY);

		result = fd < 0 ? -errno : 0;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return result;
}

TEST_F(tree, a_child_by_vfork_is_in_it)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, d, by_vfork(X "/f"));
	allowed(d, by_vfork(A "/f"));
}

/* --------------------------------------------------------------------------- threads */

struct job {
	const char *path;
	int result;
	bool *go;
};

static void *work(void *arg)
{
	struct job *j = arg;

	while (j->go && !__atomic_load_n(j->go, __ATOMIC_ACQUIRE))
		pause_ms(1);
	j->result = read_file(j->path);
	return NULL;
}

static int in_thread(const char *path)
{
	struct job j = { .path = path };
	pthread_t t;

	if (pthread_create(&t, NULL, work, &j))
		return -EAGAIN;
	pthread_join(t, NULL);
	return j.result;
}

TEST_F(tree, threads_are_in_it)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, d, in_thread(X "/f"));
	allowed(d, in_thread(A "/f"));
}

/* A thread that was there before. */
static int in_older_thread(struct krepis_domain *d, const char *path)
{
	bool go = false;
	struct job j = { .path = path, .go = &go };
	pthread_t t;

	if (pthread_create(&t, NULL, work, &j))
		return -EAGAIN;
	enter(d);
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	return j.result;
}

TEST_F(tree, threads_that_share_credentials_enter_with_it)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, NULL, in_older_thread(d, X "/f"));
	allowed(NULL, in_older_thread(d, A "/f"));
}

static int parent_after_child(struct krepis_domain *d)
{
	in_domain(d, 0);
	return read_file(X "/f");
}

TEST_F(tree, the_parent_of_who_entered_is_not_in_it)
{
	allowed(NULL, parent_after_child(domain("read " A)));
}

/* ------------------------------------------------------------------- new credentials */

static int become_and_read(const char *path)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		return -EUSERS;
	return read_file(path);
}

static int securebits_and_read(const char *path)
{
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* New credentials with nothing new in them. */
	if (setresuid(-1, -1, -1) || setgroups(0, NULL))
		return -EUSERS;
	return read_file(path);
}

TEST_F(tree, other_credentials_are_in_it_too)
{
	struct krepis_domain *d = domain("read " A, "sys setuid", "sys setgid");

	refused(EACCES, d, become_and_read(X "/f"));
	allowed(d, become_and_read(A "/f"));
	refused(EACCES, d, securebits_and_read(X "/f"));
	allowed(d, securebits_and_read(A "/f"));
}

/* The keyring makes a thread's credentials its own. */
static int session_and_read(const char *path)
{
	syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL, 0, 0, 0);
	syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -1 /* the thread's */, 1, 0, 0);
	return read_file(path);
}

TEST_F(tree, a_session_keyring_leads_not_out)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, d, session_and_read(X "/f"));
	allowed(d, session_and_read(A "/f"));
}

static int in_user_namespace(const char *path)
{
	if (unshare(CLONE_NEWUSER))
		return -EPERM;
	return read_file(path);
}

TEST_F(tree, a_user_namespace_leads_not_out)
{
	struct krepis_domain *d = domain("read " A, "sys userns");

	refused(EPERM, domain("read " A), in_user_namespace(A "/f"));
	refused(EACCES, d, in_user_namespace(X "/f"));
	allowed(d, in_user_namespace(A "/f"));
}

TEST_F(tree, many_children_come_and_go)
{
	struct krepis_domain *d = domain("read " A);
	struct inmate i;
	int n, wrong = 0;

	ASSERT_EQ(0, inmate_start(&i, d));
	for (n = 0; n < 300; n++)
		wrong += inmate_do(&i, read_in_child, n % 2 ? A "/f" : X "/f") !=
			 (n % 2 ? 0 : -EACCES);
	EXPECT_EQ(0, wrong);
	inmate_end(&i);
}

/* ------------------------------------------------------------------------ the loader */

TEST_F(tree, when_who_made_it_is_killed_it_holds)
{
	const char *const sentences[] = { "read " A, NULL };
	struct krepis_domain *d;
	struct inmate i;
	int ready[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = child();
	if (!pid) {
		if (!krepis_domain_create("test-killed", policy_make(sentences), 0, &d) &&
		    write(ready[1], "T", 1) == 1)
			pause_ms(100000);
		_exit(1);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	ASSERT_EQ(0, krepis_domain_open("test-killed", &d));
	ASSERT_EQ(0, inmate_start(&i, d));
	EXPECT_EQ(128 + SIGKILL, kill_and_reap(pid));
	EXPECT_EQ(0, inmate_do(&i, read_file, A "/f"));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, X "/f"));
	/* It can still be entered, and is changed by who opens it. */
	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(X "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("read " X)));
	EXPECT_EQ(0, inmate_do(&i, read_file, X "/f"));
	inmate_end(&i);
	EXPECT_EQ(0, krepis_domain_remove(d));
	krepis_domain_close(d);
}

TEST_HARNESS_MAIN
