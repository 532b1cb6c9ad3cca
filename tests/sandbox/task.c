// SPDX-License-Identifier: MIT
/*
 * Other processes: a domain reaches its own, and nobody else, by whichever call. Each is
 * tried at somebody inside and at somebody outside, who differ in nothing else.
 */
#include <kselftest_harness.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "net.h"

#ifndef FIOSETOWN
#define FIOSETOWN	0x8901
#define SIOCSPGRP	0x8902
#endif

/* What the ones who are reached have at one address, all of them. */
static volatile int seen;
static volatile long secret = 0x5ec7e7;

static void on_signal(int sig)
{
	seen = sig;
}

/* Nobody else minds this one. */
static int listen_to_signals(const char *unused)
{
	return signal(SIGWINCH, on_signal) == SIG_ERR || signal(SIGIO, on_signal) == SIG_ERR ?
	       -errno : 0;
}

/* Which signal came since it was asked last. */
static int seen_signal(const char *unused)
{
	int sig = seen;

	seen = 0;
	return sig;
}

static int own_priority(const char *unused)
{
	return getpriority(PRIO_PROCESS, 0);
}

FIXTURE(task)
{
	struct krepis_domain *domain;
	struct inmate inside, outside;
};

FIXTURE_SETUP(task)
{
	mkdir(TOP, 0755);
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ASSERT_EQ(0, mount("none", TOP, "tmpfs", 0, "mode=755"));
	/* Not the group of the harness. */
	setpgid(0, 0);
	self->domain = domain("read", "write", "exec", "net", "unix");
	ASSERT_EQ(0, inmate_start(&self->inside, self->domain));
	ASSERT_EQ(0, inmate_start(&self->outside, NULL));
	ASSERT_EQ(0, inmate_do(&self->inside, listen_to_signals, NULL));
	ASSERT_EQ(0, inmate_do(&self->outside, listen_to_signals, NULL));
}

FIXTURE_TEARDOWN(task)
{
	inmate_end(&self->inside);
	inmate_end(&self->outside);
	domains_end();
	umount2(TOP, MNT_DETACH);
}

/* The claim that a call of a pid reaches the one inside, and that the other gives @error. */
#define REACHES_ONLY_INSIDE(name, error, call)			\
	TEST_F(task, name##_reaches_only_inside)		\
	{							\
		allowed(self->domain, call(self->inside.pid));	\
		refused(error, self->domain, call(self->outside.pid)); \
		allowed(NULL, call(self->outside.pid));		\
	}

/* -------------------------------------------------------------------------- signals */

static int kill_0(pid_t pid)
{
	return sys(kill(pid, 0));
}

static int kill_1(pid_t pid)
{
	return sys(kill(pid, SIGWINCH));
}

static int kill_thread(pid_t pid)
{
	return sys(syscall(SYS_tgkill, pid, pid, SIGWINCH));
}

static int kill_any_thread(pid_t pid)
{
	return sys(syscall(SYS_tkill, pid, SIGWINCH));
}

static int queue(pid_t pid)
{
	return sys(sigqueue(pid, SIGWINCH, (union sigval){ 0 }));
}

static int queue_to_thread(pid_t pid)
{
	siginfo_t info = { .si_signo = SIGWINCH, .si_code = SI_QUEUE };

	return sys(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGWINCH, &info));
}

static int kill_by_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -ENOTUNIQ : sys(syscall(SYS_pidfd_send_signal, fd, SIGWINCH, NULL, 0));
}

REACHES_ONLY_INSIDE(asking_who_is_there, EPERM, kill_0)
REACHES_ONLY_INSIDE(kill, EPERM, kill_1)
REACHES_ONLY_INSIDE(tgkill, EPERM, kill_thread)
REACHES_ONLY_INSIDE(tkill, EPERM, kill_any_thread)
REACHES_ONLY_INSIDE(sigqueue, EPERM, queue)
REACHES_ONLY_INSIDE(tgsigqueue, EPERM, queue_to_thread)
REACHES_ONLY_INSIDE(pidfd_signal, EPERM, kill_by_pidfd)

TEST_F(task, pidfd_of_before_signals_nobody_outside)
{
	int fd = (int)syscall(SYS_pidfd_open, self->outside.pid, 0);
	int in = (int)syscall(SYS_pidfd_open, self->inside.pid, 0);

	allowed(self->domain, sys(syscall(SYS_pidfd_send_signal, in, SIGWINCH, NULL, 0)));
	refused(EPERM, self->domain, sys(syscall(SYS_pidfd_send_signal, fd, SIGWINCH, NULL, 0)));
}

/* Both are in the group, and it succeeds if it reaches anybody. */
TEST_F(task, signal_to_a_group_reaches_only_inside)
{
	allowed(self->domain, kill_1(0));
	EXPECT_EQ(SIGWINCH, inmate_do(&self->inside, seen_signal, NULL));
	EXPECT_EQ(0, inmate_do(&self->outside, seen_signal, NULL));
	allowed(self->domain, kill_1(-getpgid(0)));
	EXPECT_EQ(SIGWINCH, inmate_do(&self->inside, seen_signal, NULL));
	EXPECT_EQ(0, inmate_do(&self->outside, seen_signal, NULL));
	allowed(NULL, kill_1(0));
	EXPECT_EQ(SIGWINCH, inmate_do(&self->outside, seen_signal, NULL));
}

TEST_F(task, signal_to_all_reaches_only_inside)
{
	in_domain(self->domain, kill_1(-1));
	EXPECT_EQ(SIGWINCH, inmate_do(&self->inside, seen_signal, NULL));
	EXPECT_EQ(0, inmate_do(&self->outside, seen_signal, NULL));
	in_domain(NULL, kill_1(-1));
	EXPECT_EQ(SIGWINCH, inmate_do(&self->outside, seen_signal, NULL));
}

TEST_F(task, group_of_others_only_is_not_signalled)
{
	ASSERT_EQ(0, setpgid(self->outside.pid, self->outside.pid));
	ASSERT_EQ(0, setpgid(self->inside.pid, self->inside.pid));
	allowed(self->domain, kill_1(-self->inside.pid));
	refused(EPERM, self->domain, kill_1(-self->outside.pid));
}

TEST_F(task, another_domain_is_outside)
{
	struct inmate other;

	ASSERT_EQ(0, inmate_start(&other, domain("read")));
	ASSERT_EQ(0, inmate_do(&other, listen_to_signals, NULL));
	refused(EPERM, self->domain, kill_1(other.pid));
	allowed(NULL, kill_1(other.pid));
	inmate_end(&other);
}

TEST_F(task, itself_and_its_children_are_inside)
{
	allowed(self->domain, kill_1(getpid()));
	allowed(self->domain, ({ pid_t pid = child();
				 if (!pid)
					 pause();
				 kill(pid, SIGKILL) ? -errno : reap(pid) - 128 - SIGKILL; }));
	refused(EPERM, self->domain, kill_1(getppid()));
}

/* ------------------------------------------------------------------ signals of files */

static int own_by_fcntl(int fd, pid_t pid)
{
	return sys(fcntl(fd, F_SETOWN, pid));
}

static int own_by_fcntl_ex(int fd, pid_t pid)
{
	struct f_owner_ex owner = { F_OWNER_PID, pid };

	return sys(fcntl(fd, F_SETOWN_EX, &owner));
}

static int own_group(int fd, pid_t pid)
{
	return sys(fcntl(fd, F_SETOWN, -getpgid(pid)));
}

static int own_by_ioctl(int fd, pid_t pid)
{
	return sys(ioctl(fd, FIOSETOWN, &pid));
}

static int own_by_other_ioctl(int fd, pid_t pid)
{
	return sys(ioctl(fd, SIOCSPGRP, &pid));
}

/* Makes @pid the owner of a socket, and writes to it. */
static int signal_by_socket(int (*own)(int, pid_t), pid_t pid)
{
	int fd[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) || fcntl(fd[0], F_SETFL, O_ASYNC | O_NONBLOCK))
		return -ENOTUNIQ;
	err = own(fd[0], pid);
	return write(fd[1], "x", 1) == 1 ? err : -EPIPE;
}

TEST_F(task, signals_of_a_file_are_for_nobody_outside)
{
	refused(EPERM, self->domain, signal_by_socket(own_by_fcntl, self->outside.pid));
	refused(EPERM, self->domain, signal_by_socket(own_by_fcntl_ex, self->outside.pid));
	refused(EPERM, self->domain, signal_by_socket(own_group, self->outside.pid));
	EXPECT_EQ(0, inmate_do(&self->outside, seen_signal, NULL));
	allowed(NULL, signal_by_socket(own_by_fcntl, self->outside.pid));
	EXPECT_EQ(SIGIO, inmate_do(&self->outside, seen_signal, NULL));
}

TEST_F(task, signals_of_a_socket_are_for_nobody_outside)
{
	in_domain(self->domain, signal_by_socket(own_by_ioctl, self->outside.pid));
	EXPECT_EQ(0, inmate_do(&self->outside, seen_signal, NULL));
	in_domain(self->domain, signal_by_socket(own_by_other_ioctl, self->outside.pid));
	EXPECT_EQ(0, inmate_do(&self->outside, seen_signal, NULL));
	allowed(NULL, signal_by_socket(own_by_ioctl, self->outside.pid));
	EXPECT_EQ(SIGIO, inmate_do(&self->outside, seen_signal, NULL));
}

static int own_itself(int unused)
{
	signal(SIGIO, on_signal);
	return signal_by_socket(own_by_fcntl, getpid()) ? : seen == SIGIO ? 0 : -ENOMSG;
}

TEST_F(task, signals_of_a_file_are_for_itself)
{
	allowed(self->domain, own_itself(0));
}

/* -------------------------------------------------------------------------- looking */

static int attach_to(pid_t pid)
{
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL))
		return -errno;
	waitpid(pid, NULL, __WALL);
	return sys(ptrace(PTRACE_DETACH, pid, NULL, NULL));
}

static int seize(pid_t pid)
{
	return sys(ptrace(PTRACE_SEIZE, pid, NULL, NULL));
}

static int read_memory(pid_t pid)
{
	long word;
	struct iovec to = { &word, sizeof(word) }, from = { (void *)&secret, sizeof(secret) };

	return sys(process_vm_readv(pid, &to, 1, &from, 1, 0));
}

static int write_memory(pid_t pid)
{
	long word = 1;
	struct iovec from = { &word, sizeof(word) }, to = { (void *)&secret, sizeof(secret) };

	return sys(process_vm_writev(pid, &from, 1, &to, 1, 0));
}

static int open_of(pid_t pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open_file(path, flags);
}

static int open_memory(pid_t pid)
{
	return open_of(pid, "mem", O_RDWR);
}

static int open_environment(pid_t pid)
{
	return open_of(pid, "environ", O_RDONLY);
}

static int open_maps(pid_t pid)
{
	return open_of(pid, "maps", O_RDONLY);
}

static int open_root(pid_t pid)
{
	return open_of(pid, "root/", O_RDONLY | O_DIRECTORY);
}

static int open_file_of(pid_t pid)
{
	return open_of(pid, "fd/0", O_RDONLY);
}

static int take_file(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -ENOTUNIQ : sys(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

static int compare(pid_t pid)
{
	return sys(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0));
}

static int robust_list(pid_t pid)
{
	size_t len;
	void *head;

	return sys(syscall(SYS_get_robust_list, pid, &head, &len));
}

REACHES_ONLY_INSIDE(ptrace_attach, EPERM, attach_to)
REACHES_ONLY_INSIDE(ptrace_seize, EPERM, seize)
REACHES_ONLY_INSIDE(process_vm_readv, EPERM, read_memory)
REACHES_ONLY_INSIDE(process_vm_writev, EPERM, write_memory)
REACHES_ONLY_INSIDE(proc_mem, EACCES, open_memory)
REACHES_ONLY_INSIDE(proc_environ, EACCES, open_environment)
REACHES_ONLY_INSIDE(proc_maps, EACCES, open_maps)
REACHES_ONLY_INSIDE(proc_root, EACCES, open_root)
REACHES_ONLY_INSIDE(proc_fd, EACCES, open_file_of)
REACHES_ONLY_INSIDE(pidfd_getfd, EPERM, take_file)
REACHES_ONLY_INSIDE(kcmp, EPERM, compare)
REACHES_ONLY_INSIDE(get_robust_list, EPERM, robust_list)

/* ------------------------------------------------------------------------- scheduling */

static int nice_to(pid_t pid)
{
	return sys(setpriority(PRIO_PROCESS, pid, 5));
}

static int schedule(pid_t pid)
{
	struct sched_param p = { 0 };

	return sys(sched_setscheduler(pid, SCHED_BATCH, &p));
}

static int pin(pid_t pid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	return sys(sched_setaffinity(pid, sizeof(set), &set));
}

static int order_io(pid_t pid)
{
	return sys(syscall(SYS_ioprio_set, 1, pid, 2 << 13 | 5));
}

static int limit(pid_t pid)
{
	struct rlimit none = { 0 };

	return sys(prlimit(pid, RLIMIT_CORE, &none, NULL));
}

static int move_pages_of(pid_t pid)
{
	return sys(syscall(SYS_move_pages, pid, 0, NULL, NULL, NULL, 0));
}

REACHES_ONLY_INSIDE(setpriority, EPERM, nice_to)
REACHES_ONLY_INSIDE(sched_setscheduler, EPERM, schedule)
REACHES_ONLY_INSIDE(sched_setaffinity, EPERM, pin)
REACHES_ONLY_INSIDE(ioprio_set, EPERM, order_io)
REACHES_ONLY_INSIDE(prlimit, EPERM, limit)
REACHES_ONLY_INSIDE(move_pages, EPERM, move_pages_of)

TEST_F(task, priority_of_a_group_or_a_user_changes_only_inside)
{
	in_domain(self->domain, sys(setpriority(PRIO_PGRP, 0, 3)));
	EXPECT_EQ(3, inmate_do(&self->inside, own_priority, NULL));
	EXPECT_EQ(0, inmate_do(&self->outside, own_priority, NULL));
	in_domain(self->domain, sys(setpriority(PRIO_USER, 0, 4)));
	EXPECT_EQ(4, inmate_do(&self->inside, own_priority, NULL));
	EXPECT_EQ(0, inmate_do(&self->outside, own_priority, NULL));
}

/* ------------------------------------------------------------------------- namespaces */

static int clone_users(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return sys(pid);
}

TEST_F(task, namespace_of_users_is_made_only_if_allowed)
{
	struct krepis_domain *d = domain("read", "write", "sys userns");

	refused(EPERM, self->domain, sys(unshare(CLONE_NEWUSER)));
	refused(EPERM, self->domain, clone_users());
	allowed(d, sys(unshare(CLONE_NEWUSER)));
	allowed(d, clone_users());
}

/* Its capabilities there are no way to move files. */
TEST_F(task, namespace_of_users_mounts_nothing)
{
	struct krepis_domain *d = domain("read", "write", "sys userns");

	allowed(NULL, ({ unshare(CLONE_NEWUSER | CLONE_NEWNS) ? -errno :
			 sys(mount("none", TOP, "tmpfs", 0, NULL)); }));
	refused(EPERM, d, ({ unshare(CLONE_NEWUSER) ? -ENOTUNIQ :
			     unshare(CLONE_NEWNS) ? -errno :
			     sys(mount("none", TOP, "tmpfs", 0, NULL)); }));
}

TEST_F(task, namespace_of_others_is_not_entered)
{
	static const char *const names[] = { "net", "mnt", "uts", "ipc", "cgroup" };
	char path[64];
	int i, fd;

	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", self->outside.pid, names[i]);
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		allowed(NULL, sys(setns(fd, 0)));
		refused(EPERM, self->domain, sys(setns(fd, 0)));
	}
}

/* ------------------------------------------------------------------- who one becomes */

/* As nobody, executes the program. */
static int run_as_nobody(const char *path)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		return -ENOTUNIQ;
	return run(path, NULL);
}

/* A trial would have given up what it gains. */
static int outcome(struct krepis_domain *domain, const char *path)
{
	struct inmate who;
	int result;

	if (inmate_start(&who, domain))
		return -ENOTUNIQ;
	result = inmate_do(&who, run_as_nobody, path);
	inmate_end(&who);
	return result;
}

TEST_F(task, program_of_another_user_is_not_executed)
{
	struct krepis_domain *d = domain("read", "exec", "sys setuid", "sys setgid");

	ASSERT_EQ(0, put_program("hand", TOP "/plain", 0755));
	ASSERT_EQ(0, put_program("hand", TOP "/setuid", 04755));
	ASSERT_EQ(0, put_program("hand", TOP "/setgid", 02755));
	EXPECT_EQ(0, outcome(NULL, TOP "/setuid"));
	EXPECT_EQ(0, outcome(d, TOP "/plain"));
	EXPECT_EQ(-EPERM, outcome(d, TOP "/setuid"));
	EXPECT_EQ(-EPERM, outcome(d, TOP "/setgid"));
}

TEST_HARNESS_MAIN
