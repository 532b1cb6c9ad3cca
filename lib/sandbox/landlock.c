// SPDX-License-Identifier: MIT
/*
 * Landlock: files by the directory above, ports of TCP, signals and abstract names.
 *
 * Everything that the kernel can control is controlled; what the policy allows is given
 * back by rules. The header may be older than the kernel, so what it may lack stands here.
 */
#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "best_effort.h"
#include "internal.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_add_rule		445
#define SYS_landlock_restrict_self	446
#endif
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER	(1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE	(1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV	(1ULL << 15)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP	(1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP	(1ULL << 1)
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL		(1ULL << 1)
#endif

#define RULE_NET_PORT	2	/* LANDLOCK_RULE_NET_PORT, an enumerator */

/* struct landlock_ruleset_attr and struct landlock_net_port_attr of the newest version. */
struct ruleset_attr {
	__u64 handled_access_fs;
	__u64 handled_access_net;	/* ABI_NET */
	__u64 scoped;			/* ABI_SCOPE */
};

struct net_port_attr {
	__u64 allowed_access;
	__u64 port;
};

#define FS(name)	LANDLOCK_ACCESS_FS_##name
#define FS_READ		(FS(READ_FILE) | FS(READ_DIR))
#define FS_MAKE		(FS(MAKE_CHAR) | FS(MAKE_DIR) | FS(MAKE_REG) | FS(MAKE_SOCK) | \
			 FS(MAKE_FIFO) | FS(MAKE_BLOCK) | FS(MAKE_SYM))
#define FS_WRITE	(FS(WRITE_FILE) | FS(REMOVE_DIR) | FS(REMOVE_FILE) | FS_MAKE | \
			 FS(REFER) | FS(TRUNCATE) | FS(IOCTL_DEV))
#define FS_ALL		(FS_READ | FS_WRITE | FS(EXECUTE))
#define FS_OF_FILES	(FS(READ_FILE) | FS(WRITE_FILE) | FS(EXECUTE) | FS(TRUNCATE) | \
			 FS(IOCTL_DEV))

int krepis_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi > 0)
		return (int)abi;
	return abi < 0 && errno != ENOSYS ? -errno : -EOPNOTSUPP;
}

/* What this kernel controls of files. */
static __u64 known_fs(int abi)
{
	__u64 known = FS_ALL;

	if (abi < ABI_REFER)
		known &= ~FS(REFER);
	if (abi < ABI_TRUNCATE)
		known &= ~FS(TRUNCATE);
	if (abi < ABI_IOCTL)
		known &= ~FS(IOCTL_DEV);
	return known;
}

static __u64 rights_of(const struct effort_path *path)
{
	__u64 rights = 0;

	switch (path->what) {
	case KREPIS_READ:
		rights = FS_READ;
		break;
	case KREPIS_WRITE:
		rights = FS_WRITE;
		break;
	case KREPIS_EXEC:
		rights = FS(EXECUTE);
		break;
	case KREPIS_CHANNEL:
		/* The module gives a role to who opened the channel for it. */
		if (path->rights & SANDBOX_CONSUME)
			rights |= FS(READ_FILE);
		if (path->rights & SANDBOX_PRODUCE)
			rights |= FS(WRITE_FILE);
		break;
	default:
		break;
	}
	return path->is_dir ? rights : rights & FS_OF_FILES;
}

static int add_file(int ruleset, const struct effort_path *path, __u64 known)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = rights_of(path) & known,
		.parent_fd = path->fd,
	};

	if (!rule.allowed_access ||
	    !syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		return 0;
	/* A file without a name, by /proc/self/fd: those are not controlled. */
	if (errno == EBADFD)
		return 0;
	return sandbox_fail(errno, "%s: %s", path->places[0], strerror(errno));
}

bool krepis_effort_any_port(const struct effort *effort, bool bind)
{
	for (size_t i = 0; i < effort->net_count; i++) {
		const struct effort_net *n = &effort->nets[i];

		if (n->allow && !n->beaten && (n->all || (n->net.bind == bind && !n->net.port)))
			return true;
	}
	return false;
}

/* What of TCP is limited. */
static __u64 handled_net(const struct effort *effort)
{
	__u64 handled = 0;

	if (!krepis_effort_any_port(effort, true))
		handled |= LANDLOCK_ACCESS_NET_BIND_TCP;
	if (!krepis_effort_any_port(effort, false))
		handled |= LANDLOCK_ACCESS_NET_CONNECT_TCP;
	return handled;
}

static int add_port(int ruleset, const struct effort_net *n, __u64 handled)
{
	struct net_port_attr rule = { .port = n->net.port };

	rule.allowed_access = handled & (n->net.bind ? LANDLOCK_ACCESS_NET_BIND_TCP :
						       LANDLOCK_ACCESS_NET_CONNECT_TCP);
	if (!rule.allowed_access ||
	    !syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0))
		return 0;
	return sandbox_fail(errno, "net %s: %s", n->object, strerror(errno));
}

static int add_rules(const struct effort *effort, int ruleset, const struct ruleset_attr *attr)
{
	int err = 0;
	size_t i;

	for (i = 0; !err && i < effort->path_count; i++) {
		if (effort->paths[i].allow && !effort->paths[i].beaten)
			err = add_file(ruleset, &effort->paths[i], attr->handled_access_fs);
	}
	for (i = 0; !err && i < effort->net_count; i++) {
		if (effort->nets[i].allow && !effort->nets[i].beaten && !effort->nets[i].all)
			err = add_port(ruleset, &effort->nets[i], attr->handled_access_net);
	}
	return err;
}

int krepis_landlock_prepare(const struct effort *effort)
{
	struct ruleset_attr attr = { .handled_access_fs = known_fs(effort->abi) };
	size_t size = offsetof(struct ruleset_attr, handled_access_net);
	int ruleset, err;

	if (effort->abi >= ABI_NET) {
		attr.handled_access_net = handled_net(effort);
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (effort->abi >= ABI_SCOPE) {
		attr.scoped = LANDLOCK_SCOPE_SIGNAL;
		if (!effort->abstract)
			attr.scoped |= LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET;
		size = sizeof(attr);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return sandbox_fail(errno, "a ruleset of Landlock: %s", strerror(errno));
	err = add_rules(effort, ruleset, &attr);
	if (err) {
		close(ruleset);
		return err;
	}
	return ruleset;
}

int krepis_landlock_enter(int ruleset)
{
	return syscall(SYS_landlock_restrict_self, ruleset, 0) ?
		       sandbox_fail(errno, "Landlock: %s", strerror(errno)) : 0;
}
