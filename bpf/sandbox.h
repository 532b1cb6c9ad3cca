/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the programs in the kernel and the library say to each other about domains.
 *
 * A domain is a number, which no other one gets after it. The credentials of its tasks
 * carry it, and those of their children after them. What a domain allows is a head of
 * global masks, one map of rules for files and one of network addresses, each of them
 * replaced as a whole. They stand in tables, in a slot that is free again when it is gone.
 */
#ifndef KREPIS_SANDBOX_SHARED_H
#define KREPIS_SANDBOX_SHARED_H

#include <linux/types.h>

#define SANDBOX_DOMAINS		1024	/* at a time; slot 0 is none */
#define SANDBOX_LABELS		65536	/* credentials at a time */
#define SANDBOX_LABELS_OF_ONE	16384	/* domain: it leaves some to the others */
#define SANDBOX_CGROUPS		4096
#define SANDBOX_DEPTH		256	/* directories and mounts above a file: deeper is denied */
#define SANDBOX_NAME		64	/* a domain's */
#define SANDBOX_COMM		16
#define SANDBOX_EVENTS		(1U << 18)	/* bytes of those that nobody has read yet */
#define SANDBOX_OBJECT		1024	/* bytes of a path or an address in an event */
#define SANDBOX_ABSTRACT	108

/* What can be allowed of a file, for it and all below it. */
#define SANDBOX_READ		(1U << 0)
#define SANDBOX_WRITE		(1U << 1)	/* what is in it */
#define SANDBOX_CREATE		(1U << 2)	/* in a directory, or to link and rename into it */
#define SANDBOX_REMOVE		(1U << 3)	/* of a directory, or to rename out of it */
#define SANDBOX_EXEC		(1U << 4)
#define SANDBOX_IOCTL		(1U << 5)	/* of devices */
#define SANDBOX_META		(1U << 6)	/* mode, owner, times, extended attributes */
#define SANDBOX_UNIX		(1U << 7)	/* connect to the socket */
#define SANDBOX_PRODUCE		(1U << 8)	/* a channel of the krepis file system */
#define SANDBOX_CONSUME		(1U << 9)
#define SANDBOX_PASS		(1U << 10)	/* its endpoints may leave or enter the domain */
#define SANDBOX_FILE_ALL	((1U << 11) - 1)
#define SANDBOX_ROOT		(1U << 31)	/* in root_allow: this is a root that is known */

/**
 * struct sandbox_key - a file, as the kernel tells it from all others
 * @dev:	of its super block, as the kernel encodes it: major << 20 | minor
 * @generation:	of the inode: its number is given to another one when it is gone
 *
 * All of it SANDBOX_EVERY: what holds of all files. It stands among the rules, so that
 * both are replaced at once; there, self is not 0 if some rule denies, and so the whole
 * way up has to be looked at.
 */
#define SANDBOX_EVERY	(~0U)

struct sandbox_key {
	__u64 ino;
	__u32 dev;
	__u32 generation;
};

/**
 * struct sandbox_rule - what is said of a file or an address
 * @allow:	a mask, for it and all below
 * @deny:	wins, wherever on the way to the root it stands
 * @self:	denied too, of this file alone, to who would remove it: a directory on the way
 *		to a denied one is not moved away
 * @root_allow:	this is the root of a mount below a file with such a rule: for hooks that
 * @root_deny:	are not told the mount, and so see no further than to here
 */
struct sandbox_rule {
	__u32 allow;
	__u32 deny;
	__u32 self;
	__u32 root_allow;
	__u32 root_deny;
};

/* What can be allowed of an address. */
#define SANDBOX_CONNECT		(1U << 0)	/* or to send to */
#define SANDBOX_BIND		(1U << 1)

/**
 * struct sandbox_net_key - addresses of a network, as a trie of longest prefixes has them
 * @right:	SANDBOX_CONNECT or SANDBOX_BIND: a rule is for one of them
 * @port:	big-endian; 0: any, which is looked up second
 * @address:	of IPv6; of IPv4 mapped, ::ffff:a.b.c.d
 *
 * The longest match alone is found. So the library gives a rule what holds of its
 * network and of all networks that contain it.
 */
struct sandbox_net_key {
	__u32 prefixlen;
	__u16 right;
	__u16 port;
	__u8 address[16];
};

#define SANDBOX_NET_BITS	(8 * (sizeof(struct sandbox_net_key) - sizeof(__u32)))

/* The abstract name of a UNIX socket, without its leading 0. @len SANDBOX_EVERY: all. */
struct sandbox_name {
	__u32 len;
	char name[SANDBOX_ABSTRACT];
};

/* sandbox_domain.flags */
#define SANDBOX_COMPLAIN	(1U << 0)	/* all that could be allowed is, and told */
#define SANDBOX_TRANSIENT	(1U << 1)	/* of no use once nobody is in it */

/* sandbox_domain.sys: facilities that a mask of capabilities does not tell apart. */
#define SANDBOX_SYS_IPC		(1U << 0)	/* System V IPC, and POSIX message queues by name */
#define SANDBOX_SYS_USERNS	(1U << 1)
#define SANDBOX_SYS_NETLINK	(1U << 2)	/* other families than NETLINK_ROUTE */
#define SANDBOX_SYS_SOCKETS	(1U << 3)	/* other families and protocols than those of addresses */

/**
 * struct sandbox_domain - what holds of all of it
 * @id:		of the domain; 0: there is none
 * @serial:	of those that had the slot
 * @labels:	credentials in it, counted by the kernel
 * @caps:	capabilities that may be used if the task has them, 1ULL << CAP_...
 * @made_ns:	CLOCK_BOOTTIME
 * @denials:	counted by the kernel
 * @lost:	events that found no room
 */
struct sandbox_domain {
	__u64 id;
	__u64 serial;
	char name[SANDBOX_NAME];
	__u32 flags;
	__u32 sys;
	__u64 labels;
	__u64 caps;
	__u64 made_ns;
	__u64 denials;
	__u64 lost;
};

/* A domain's number, and where it stands. */
static inline __u64 sandbox_id(__u64 serial, __u32 slot)
{
	return serial * SANDBOX_DOMAINS + slot;
}

static inline __u32 sandbox_slot(__u64 id)
{
	return id % SANDBOX_DOMAINS;
}

/* The policy as it was given, in pieces, for who wants to see it. */
struct sandbox_text_key {
	__u32 slot;
	__u32 piece;
};

#define SANDBOX_TEXT		4000
#define SANDBOX_TEXTS		65536

struct sandbox_text {
	__u32 bytes;		/* of the whole text */
	char text[SANDBOX_TEXT];
};

/* Of another number: neither reads the other's maps. */
#define SANDBOX_ABI		2

enum sandbox_kind {
	SANDBOX_ON_FILE = 1,	/* object: its names up to the root, each with its 0 */
	SANDBOX_ON_NET,		/* object: a struct sandbox_net_key */
	SANDBOX_ON_UNIX,	/* object: a struct sandbox_name */
	SANDBOX_ON_CAP,		/* rights: its number */
	SANDBOX_ON_SYS,		/* rights: an enum sandbox_op; object: of some, a text */
	SANDBOX_ON_TASK,	/* rights: an enum sandbox_op; object: the other's pid, __u32 */
};

/* What a domain may not do, or only by SANDBOX_SYS_*. The library has their names. */
enum sandbox_op {
	SANDBOX_OP_SIGNAL = 1,
	SANDBOX_OP_PTRACE,
	SANDBOX_OP_SCHED,
	SANDBOX_OP_OWNER,	/* of a file's signals, fcntl(F_SETOWN) */
	SANDBOX_OP_BPF,
	SANDBOX_OP_MOUNT,
	SANDBOX_OP_MODULE,
	SANDBOX_OP_USERNS,
	SANDBOX_OP_IPC,
	SANDBOX_OP_IO_URING,
	SANDBOX_OP_PERF,
	SANDBOX_OP_SETUID,
	SANDBOX_OP_SOCKET,	/* object: family, type, protocol, __u32 each */
	SANDBOX_OP_ROUTE,	/* source routes */
	SANDBOX_OP_PINS,	/* a change in a file system that is the kernel itself */
	SANDBOX_OP_TYPE,	/* on a terminal, as if a person did */
	SANDBOX_OP_GENERATION,	/* of a file, which rules are bound to */
	SANDBOX_OP_KEY,		/* have a program of the system's make a key */
};

/**
 * struct sandbox_event - something that was not allowed
 * @time_ns:	CLOCK_BOOTTIME
 * @pid:	of the process
 * @kind:	enum sandbox_kind
 * @rights:	what was wanted and not allowed
 * @allowed:	1: because the domain only complains
 * @bytes:	of @object
 */
struct sandbox_event {
	__u64 time_ns;
	__u32 pid;
	__u32 kind;
	__u32 rights;
	__u32 allowed;
	__u32 bytes;
	__u32 reserved;
	char comm[SANDBOX_COMM];
	char object[SANDBOX_OBJECT];
};

#endif /* KREPIS_SANDBOX_SHARED_H */
