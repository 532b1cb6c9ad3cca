// SPDX-License-Identifier: MIT
/*
 * seccomp: what is forbidden as a whole, by the numbers of system calls.
 *
 *	ENOSYS	another architecture's entry; system calls that came later than this list;
 *		those whose arguments lie in memory, where the C library has another way
 *	EACCES	sockets of a kind of which the policy allows none, and what changes files
 *		or executes them, if it allows nothing of that
 *	EPERM	everything else
 *
 * The filter is written out, without a library: the kernel looks at the lower half of an
 * argument that is an int, and so must a filter, also where it lists what is allowed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "best_effort.h"
#include "internal.h"
#include "syscalls.h"

#if defined(__x86_64__) && !defined(__ILP32__)
#define NATIVE	AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define NATIVE	AUDIT_ARCH_AARCH64
#else
#error "krepis: the filter for system calls knows x86_64 and aarch64 only"
#endif

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif
#ifndef AF_SMC
#define AF_SMC		43
#endif

#define FILTER_MAX	1024	/* instructions; below 600 are used */
#define TYPE_MASK	0xf	/* of a socket's type: the rest are flags */

struct filter {
	struct sock_filter code[FILTER_MAX];
	size_t len;
};

/* A condition: whether the lower half of an argument, under a mask, is one of some values. */
struct condition {
	unsigned int argument;
	uint32_t mask;		/* 0: all bits */
	bool not;		/* none of them */
	size_t count;
	uint32_t values[6];
};

#define VALUES(...)	.count = sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), \
			.values = { __VA_ARGS__ }

/* ------------------------------------------------------------------------ instructions */

static void put(struct filter *f, struct sock_filter instruction)
{
	if (f->len < FILTER_MAX)
		f->code[f->len] = instruction;
	f->len++;
}

static void load(struct filter *f, size_t offset)
{
	put(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void answer(struct filter *f, int err)
{
	put(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
					    err ? SECCOMP_RET_ERRNO | (uint32_t)err :
						  SECCOMP_RET_ALLOW));
}

/* Goes @yes or @no instructions further than the next. */
static void compare(struct filter *f, uint16_t how, uint32_t value, size_t yes, size_t no)
{
	put(f, (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | BPF_K | how), value,
					    (uint8_t)yes, (uint8_t)no));
}

/* To be aimed by aim(). Return: where it stands. */
static size_t jump(struct filter *f)
{
	put(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0));
	return f->len - 1;
}

static void aim(struct filter *f, size_t jump)
{
	if (jump < FILTER_MAX)
		f->code[jump].k = (uint32_t)(f->len - jump - 1);
}

/* Falls through if it is met. Return: the jump for if it is not. */
static size_t check(struct filter *f, const struct condition *c)
{
	size_t i;

	load(f, offsetof(struct seccomp_data, args) + c->argument * sizeof(uint64_t));
	if (c->mask)
		put(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));
	for (i = 0; i < c->count; i++) {
		bool last = i == c->count - 1;

		/* After the last stands the jump, and after that what is met. */
		compare(f, BPF_JEQ, c->values[i], c->count - 1 - i + !c->not, last && c->not);
	}
	return jump(f);
}

/* Refuses the system call @number if all conditions are met. The number is loaded, also after. */
static void refuse_if(struct filter *f, int number, int err, size_t count,
		      const struct condition *conditions)
{
	size_t jumps[4], other, i;

	compare(f, BPF_JEQ, (uint32_t)number, 1, 0);
	other = jump(f);
	for (i = 0; i < count; i++)
		jumps[i] = check(f, &conditions[i]);
	answer(f, err);
	for (i = 0; i < count; i++)
		aim(f, jumps[i]);
	load(f, offsetof(struct seccomp_data, nr));
	aim(f, other);
}

#define REFUSE_IF(f, number, err, ...)                                                     \
	refuse_if(f, number, err,                                                          \
		  sizeof((struct condition[]){ __VA_ARGS__ }) / sizeof(struct condition), \
		  (const struct condition[]){ __VA_ARGS__ })

static void refuse(struct filter *f, int number, int err)
{
	compare(f, BPF_JEQ, (uint32_t)number, 0, 1);
	answer(f, err);
}

static void refuse_all(struct filter *f, const int *numbers, size_t count, int err)
{
	for (size_t i = 0; i < count; i++)
		refuse(f, numbers[i], err);
}

/* ------------------------------------------------------------------------------- parts */

/* Other entries have other numbers: with them everything below could be gone around. */
static void entries(struct filter *f)
{
	load(f, offsetof(struct seccomp_data, arch));
	compare(f, BPF_JEQ, NATIVE, 1, 0);
	answer(f, ENOSYS);
	load(f, offsetof(struct seccomp_data, nr));
	/* Those of x32, too: they have bit 30. */
	compare(f, BPF_JGT, SYSCALLS_LAST, 0, 1);
	answer(f, ENOSYS);
}

static void capabilities(struct filter *f, const struct effort *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(syscalls_privileged); i++) {
		if (!(e->caps & 1ULL << syscalls_privileged[i].capability))
			refuse(f, syscalls_privileged[i].number, EPERM);
	}
}

/* CLONE_NEWTIME is no flag of clone(2), where its bit belongs to the signal. */
static void namespaces(struct filter *f, const struct effort *e)
{
	uint32_t flags = 0;

	if (!(e->sys & SANDBOX_SYS_USERNS))
		flags |= CLONE_NEWUSER;
	if (!(e->caps & 1ULL << CAP_SYS_ADMIN))
		flags |= CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS |
			 CLONE_NEWPID | CLONE_NEWUTS;
	if (!flags)
		return;
	REFUSE_IF(f, SYS_clone, EPERM, { .mask = flags, .not = true, VALUES(0) });
	if (flags & CLONE_NEWNS)
		flags |= CLONE_NEWTIME;
	REFUSE_IF(f, SYS_unshare, EPERM, { .mask = flags, .not = true, VALUES(0) });
	refuse(f, SYS_clone3, ENOSYS);
}

/* Families of which nothing is allowed, and other ones than those that have sentences. */
static void families(struct filter *f, const struct effort *e)
{
	struct condition named = { .not = true, VALUES(AF_NETLINK) };
	bool net = e->allowed[KREPIS_NET], local = e->allowed[KREPIS_UNIX];

	if (net) {
		named.values[named.count++] = AF_INET;
		named.values[named.count++] = AF_INET6;
	} else {
		REFUSE_IF(f, SYS_socket, EACCES, { VALUES(AF_INET, AF_INET6) });
	}
	if (local) {
		named.values[named.count++] = AF_UNIX;
	} else {
		REFUSE_IF(f, SYS_socket, EACCES, { VALUES(AF_UNIX) });
		/* One of a pair of datagrams can be sent elsewhere from. */
		REFUSE_IF(f, SYS_socketpair, EACCES, { VALUES(AF_UNIX) },
			  { .argument = 1, .mask = TYPE_MASK, VALUES(SOCK_DGRAM, SOCK_RAW) });
	}
	if (e->sys & SANDBOX_SYS_SOCKETS) {
		/* It is TCP by another name. */
		if (!e->whole[KREPIS_NET])
			REFUSE_IF(f, SYS_socket, EACCES, { VALUES(AF_SMC) });
		return;
	}
	refuse_if(f, SYS_socket, EACCES, 1, &named);
	REFUSE_IF(f, SYS_socketpair, EACCES, { .not = true, VALUES(AF_UNIX) });
}

/* What Landlock does not take for TCP would go anywhere. */
static void protocols(struct filter *f, const struct effort *e)
{
	const struct condition addresses = { VALUES(AF_INET, AF_INET6) };

	if (!(e->sys & SANDBOX_SYS_NETLINK))
		REFUSE_IF(f, SYS_socket, EACCES, { VALUES(AF_NETLINK) },
			  { .argument = 2, .not = true, VALUES(NETLINK_ROUTE) });
	if (!(e->sys & SANDBOX_SYS_SOCKETS)) {
		REFUSE_IF(f, SYS_socket, EACCES, addresses,
			  { .argument = 1, .mask = TYPE_MASK, .not = true,
			    VALUES(SOCK_STREAM, SOCK_DGRAM) });
		REFUSE_IF(f, SYS_socket, EACCES, addresses,
			  { .argument = 2, .not = true,
			    VALUES(0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_MPTCP) });
	}
	if (e->whole[KREPIS_NET])
		return;
	REFUSE_IF(f, SYS_socket, EACCES, addresses, { .argument = 2, VALUES(IPPROTO_MPTCP) });
	/* To connect by sending is not to call connect(2). So says a kernel that cannot do it. */
	REFUSE_IF(f, SYS_sendto, EOPNOTSUPP,
		  { .argument = 3, .mask = MSG_FASTOPEN, .not = true, VALUES(0) });
	REFUSE_IF(f, SYS_sendmsg, EOPNOTSUPP,
		  { .argument = 2, .mask = MSG_FASTOPEN, .not = true, VALUES(0) });
	REFUSE_IF(f, SYS_sendmmsg, EOPNOTSUPP,
		  { .argument = 3, .mask = MSG_FASTOPEN, .not = true, VALUES(0) });
}

/* Nothing may be written: also what Landlock does not control. */
static void no_write(struct filter *f, const struct effort *e)
{
	refuse_all(f, syscalls_metadata, ARRAY_SIZE(syscalls_metadata), EACCES);
	REFUSE_IF(f, SYS_ioctl, EACCES,
		  { .argument = 1, VALUES(FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR,
					  FS_IOC_SETVERSION, FS_IOC32_SETVERSION) });
	if (e->abi >= ABI_TRUNCATE)
		return;
	refuse(f, SYS_truncate, EACCES);
#ifdef SYS_open
	REFUSE_IF(f, SYS_open, EACCES, { .argument = 1, .mask = O_TRUNC, .not = true, VALUES(0) });
#endif
	REFUSE_IF(f, SYS_openat, EACCES,
		  { .argument = 2, .mask = O_TRUNC, .not = true, VALUES(0) });
	refuse(f, SYS_openat2, ENOSYS);
}

static void build(struct filter *f, const struct effort *e)
{
	entries(f);
	refuse_all(f, syscalls_never, ARRAY_SIZE(syscalls_never), EPERM);
	capabilities(f, e);
	namespaces(f, e);
	if (!(e->sys & SANDBOX_SYS_IPC))
		refuse_all(f, syscalls_ipc, ARRAY_SIZE(syscalls_ipc), EPERM);
	families(f, e);
	protocols(f, e);
	REFUSE_IF(f, SYS_ioctl, EPERM, { .argument = 1, VALUES(TIOCSTI, TIOCLINUX) });
	if (!e->allowed[KREPIS_WRITE])
		no_write(f, e);
	if (!e->allowed[KREPIS_EXEC]) {
		refuse(f, SYS_execve, EACCES);
		refuse(f, SYS_execveat, EACCES);
	}
	answer(f, 0);
}

int krepis_seccomp_enter(const struct effort *effort)
{
	struct filter filter = { .len = 0 };
	struct sock_fprog program = { .filter = filter.code };

	build(&filter, effort);
	if (filter.len > FILTER_MAX)
		return sandbox_fail(E2BIG, "the filter for system calls is too long");
	program.len = (unsigned short)filter.len;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ?
		       sandbox_fail(errno, "seccomp: %s", strerror(errno)) : 0;
}
