// SPDX-License-Identifier: MIT
/*
 * Best effort, by seccomp: which system calls are forbidden, with which error, and what the
 * policy can allow of them.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "best_effort.h"

#define CALL(name) { #name, SYS_##name }

struct call {
	const char *name;
	long number;
};

/* With arguments of which none is good: what is not forbidden fails otherwise. */
static void calls_are_forbidden(const struct call *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		errno = 0;
		if (syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L) == -1 && errno == EPERM)
			continue;
		fprintf(stderr, "# %s: errno %d\n", calls[i].name, errno);
		give_up(__FILE__, __LINE__, "forbidden");
	}
}

/* With all capabilities, if it had them: the kernel itself would not refuse. */
static void call_never(void *arg)
{
	static const struct call calls[] = {
		CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev), CALL(pidfd_getfd),
		CALL(kcmp), CALL(process_madvise), CALL(process_mrelease), CALL(io_uring_setup),
		CALL(io_uring_enter), CALL(io_uring_register), CALL(userfaultfd), CALL(mount),
		CALL(umount2), CALL(pivot_root), CALL(move_mount), CALL(open_tree), CALL(fsopen),
		CALL(fsconfig), CALL(fsmount), CALL(fspick), CALL(mount_setattr),
		CALL(open_by_handle_at), CALL(bpf), CALL(perf_event_open), CALL(init_module),
		CALL(finit_module), CALL(delete_module), CALL(kexec_load), CALL(keyctl),
		CALL(add_key), CALL(request_key),
#ifdef SYS_kexec_file_load
		CALL(kexec_file_load),
#endif
#ifdef SYS_iopl
		CALL(iopl), CALL(ioperm),
#endif
	};

	allow(KREPIS_SYS, NULL);
	enter();
	calls_are_forbidden(calls, ARRAY_SIZE(calls));
	must_fail(ioctl(0, TIOCSTI, "x"), EPERM);
	must_fail(ioctl(0, TIOCLINUX, "x"), EPERM);
	must_fail(syscall(SYS_ioctl, 0, (1L << 32) | TIOCSTI, "x"), EPERM);
}

static void some_calls_are_never_allowed(void **state)
{
	(void)state;
	in_child(call_never);
}

static void call_privileged(void *arg)
{
	static const struct call calls[] = {
		CALL(setns), CALL(quotactl), CALL(quotactl_fd), CALL(swapon), CALL(swapoff),
		CALL(fanotify_init), CALL(reboot), CALL(acct), CALL(chroot), CALL(syslog),
		CALL(settimeofday), CALL(clock_settime), CALL(vhangup), CALL(shmget), CALL(shmat),
		CALL(shmctl), CALL(semget), CALL(semop), CALL(semtimedop), CALL(semctl),
		CALL(msgget), CALL(msgsnd), CALL(msgrcv), CALL(msgctl), CALL(mq_open),
		CALL(mq_unlink),
	};

	enter();
	calls_are_forbidden(calls, ARRAY_SIZE(calls));
}

static void others_are_forbidden_without_a_sentence(void **state)
{
	(void)state;
	in_child(call_privileged);
}

static void use_ipc(void *arg)
{
	int id;

	allow(KREPIS_SYS, "ipc");
	enter();
	id = shmget(IPC_PRIVATE, 4096, 0600);
	must(id >= 0 && !shmctl(id, IPC_RMID, NULL));
}

static void ipc_can_be_allowed(void **state)
{
	(void)state;
	in_child(use_ipc);
}

static void use_chroot(void *arg)
{
	if (geteuid())
		_exit(SKIPPED);
	allow(KREPIS_SYS, "sys_chroot");
	enter();
	must(!chroot("/"));
	must_fail(sethostname("x", 1), EPERM);
}

static void a_capability_can_be_allowed(void **state)
{
	(void)state;
	in_child(use_chroot);
}

/* --------------------------------------------------------------------------- namespaces */

static void make_namespaces(void *arg)
{
	static const unsigned long flags[] = {
		CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS,
		CLONE_NEWCGROUP,
	};
	struct clone_args args = { .exit_signal = SIGCHLD };
	int status;
	pid_t child;

	enter();
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		must_fail(unshare((int)flags[i]), EPERM);
		must_fail(syscall(SYS_unshare, 1UL << 32 | flags[i]), EPERM);
		must_fail(syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0), EPERM);
	}
	must_fail(unshare(CLONE_NEWTIME), EPERM);
	must_fail(syscall(SYS_clone3, &args, sizeof(args)), ENOSYS);
	must(!unshare(CLONE_FILES));
	child = fork();
	must(child >= 0);
	if (!child)
		_exit(0);
	must(waitpid(child, &status, 0) == child && !status);
}

static void namespaces_are_not_made(void **state)
{
	(void)state;
	in_child(make_namespaces);
}

static void make_user_namespace(void *arg)
{
	pid_t child = fork();
	int status;

	must(child >= 0);
	if (!child)
		_exit(unshare(CLONE_NEWUSER) ? SKIPPED : 0);
	must(waitpid(child, &status, 0) == child);
	if (status)
		_exit(SKIPPED);
	allow(KREPIS_SYS, "userns");
	enter();
	must(told("userns", "capabilities"));
	must_fail(unshare(CLONE_NEWUSER | CLONE_NEWNS), EPERM);
	must(!unshare(CLONE_NEWUSER));
}

static void a_user_namespace_can_be_allowed(void **state)
{
	(void)state;
	in_child(make_user_namespace);
}

/* ------------------------------------------------------------------------------ sockets */

static void make_sockets(void *arg)
{
	int pair[2];

	enter();
	for (long family = 0; family < 64; family++) {
		if (family == AF_NETLINK)
			continue;
		must_fail(syscall(SYS_socket, family, SOCK_STREAM, 0), EACCES);
		must_fail(syscall(SYS_socket, 1L << 32 | family, SOCK_DGRAM, 0), EACCES);
	}
	must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) >= 0);
	must_fail(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT), EACCES);
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	must_fail(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), EACCES);
	must_fail(socketpair(AF_UNIX, SOCK_RAW, 0, pair), EACCES);
	must_fail(socketpair(AF_TIPC, SOCK_STREAM, 0, pair), EACCES);
	must(!told("net", "") && !told("unix", ""));
}

static void without_a_sentence_there_are_no_sockets(void **state)
{
	(void)state;
	in_child(make_sockets);
}

static void make_other_sockets(void *arg)
{
	allow(KREPIS_SYS, "netlink");
	allow(KREPIS_SYS, "sockets");
	enter();
	must(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT) >= 0);
	must_fail(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
	must_fail(socket(AF_INET, SOCK_STREAM, 0), EACCES);
	must_fail(socket(AF_INET6, SOCK_DGRAM, 0), EACCES);
	must_fail(socket(AF_UNIX, SOCK_STREAM, 0), EACCES);
	must_fail(socket(43 /* AF_SMC */, SOCK_STREAM, 0), EACCES);
	must(told("sys sockets", "not limited"));
}

static void other_sockets_can_be_allowed(void **state)
{
	(void)state;
	in_child(make_other_sockets);
}

/* ---------------------------------------------------------------------------- executing */

static void execute_memory(void *arg)
{
	char *const argv[] = { "true", NULL };
	int fd = memfd_create("true", MFD_CLOEXEC), file = open("/usr/bin/true", O_RDONLY);
	char page[4096];
	ssize_t len;

	must(fd >= 0 && file >= 0);
	while ((len = read(file, page, sizeof(page))) > 0)
		must(write(fd, page, (size_t)len) == len);
	enter();
	must_fail(fexecve(fd, argv, argv + 1), EACCES);
	must_fail(execv("/usr/bin/true", argv), EACCES);
}

static void without_exec_memory_is_not_executed(void **state)
{
	(void)state;
	in_child(execute_memory);
}

/* What a program has that is executed: see main(). */
static void execute_self(void *arg)
{
	char *const argv[] = { "best_effort_calls", "capabilities", NULL };

	allow(KREPIS_READ, NULL);
	allow(KREPIS_EXEC, NULL);
	enter();
	execv("/proc/self/exe", argv);
	must(!"executed");
}

static void executing_gives_no_capability_back(void **state)
{
	(void)state;
	in_child(execute_self);
}

static int check_capabilities(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long long caps = 0;
	unsigned int seen = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "CapPrm: %llx", &caps) == 1 ||
		    sscanf(line, "CapEff: %llx", &caps) == 1) {
			seen++;
			if (caps & (1ULL << CAP_SYS_ADMIN | 1ULL << CAP_BPF | 1ULL << CAP_NET_RAW))
				return 1;
		}
	}
	return seen != 2;
}

/* ------------------------------------------------------------------------------ entries */

#ifdef __x86_64__
static long call_32(long number)
{
	long ret = number;

	__asm__ volatile("int $0x80" : "+a"(ret) : : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

static void enter_by_other_entries(void *arg)
{
	pid_t child = fork();
	int status;

	must(child >= 0);
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		_exit(call_32(20 /* getpid */) == getpid() ? 0 : SKIPPED);
	}
	must(waitpid(child, &status, 0) == child);
	enter();
	must(getpid() > 0);
	if (!status)
		must(call_32(20) == -ENOSYS);
	must_fail(syscall(0x40000000L | SYS_getpid), ENOSYS);
	must_fail(syscall(SYS_getpid | 0x80000000L), ENOSYS);
}
#else
static void enter_by_other_entries(void *arg)
{
	_exit(SKIPPED);
}
#endif

static void other_entries_do_not_exist(void **state)
{
	(void)state;
	in_child(enter_by_other_entries);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CLAIM(some_calls_are_never_allowed),
		CLAIM(others_are_forbidden_without_a_sentence),
		CLAIM(ipc_can_be_allowed),
		CLAIM(a_capability_can_be_allowed),
		CLAIM(namespaces_are_not_made),
		CLAIM(a_user_namespace_can_be_allowed),
		CLAIM(without_a_sentence_there_are_no_sockets),
		CLAIM(other_sockets_can_be_allowed),
		CLAIM(without_exec_memory_is_not_executed),
		CLAIM(executing_gives_no_capability_back),
		CLAIM(other_entries_do_not_exist),
	};

	if (argc == 2 && !strcmp(argv[1], "capabilities"))
		_exit(check_capabilities());	/* a sanitizer's look back would need ptrace(2) */
	return RUN("best_effort_calls", tests);
}
