// SPDX-License-Identifier: MIT
/*
 * A policy without the programs in the kernel: what Landlock and seccomp can make of it.
 *
 * Landlock only allows, by files, and by ports of TCP. So a sentence that denies holds by
 * leaving out what it beats; where it lies below something that is allowed it cannot
 * hold, and that is told. seccomp forbids a kind of thing as a whole, if the policy
 * allows nothing of it. Where either could only do too much or too little it does too
 * little, and tells, but for:
 *
 *	ptrace(2) and io_uring, which are forbidden also inside; clone3(2), for which the C
 *	library has another way; descriptors of memory, whose mode cannot be changed while
 *	nothing may be written; sockets of UNIX that only wait for others, while none may
 *	be connected to; executing from memory, while nothing may be executed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/krepis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "best_effort.h"
#include "internal.h"

void krepis_effort_tell(const struct effort *effort, const char *format, ...)
{
	char line[2 * POLICY_OBJECT + 256];
	va_list args;

	if (!effort->f)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	effort->f(effort->arg, line);
}

#define tell krepis_effort_tell

/* ------------------------------------------------------------------------- sentences */

struct gathering {
	struct effort *effort;
	uint64_t no_caps;
	uint32_t no_sys;
	bool denied[KREPIS_WHATS];	/* something of it */
};

static const char *shown(const char *object)
{
	return object ? object : "everything";
}

static int add_path(struct effort *e, const struct policy_sentence *s, const char *path)
{
	struct effort_path *list = reallocarray(e->paths, e->path_count + 1, sizeof(*list)), *p;
	struct stat st;

	if (!list)
		return -ENOMEM;
	e->paths = list;
	p = &list[e->path_count];
	*p = (struct effort_path){ .what = s->what, .allow = s->allow, .fd = -1 };
	p->fd = open(path, O_PATH | O_CLOEXEC);
	if (p->fd < 0 || fstat(p->fd, &st)) {
		int err = errno;

		if (p->fd >= 0)
			close(p->fd);
		return sandbox_fail(err, "%s: %s", path, strerror(err));
	}
	e->path_count++;
	p->is_dir = S_ISDIR(st.st_mode);
	if (s->what == KREPIS_CHANNEL)
		p->rights = s->object ? s->channel.rights :
					SANDBOX_CONSUME | SANDBOX_PRODUCE | SANDBOX_PASS;
	p->object = s->object ? strdup(s->object) : NULL;
	if (s->object && !p->object)
		return -ENOMEM;
	return krepis_effort_places(e->mounts, p->fd, &p->places);
}

static bool is_krepis(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == KREPIS_SUPER_MAGIC;
}

/*
 * Channels are files of the krepis file system only. So elsewhere a sentence that allows
 * them means the mounts of it below, or else everything there could be read.
 */
static int add_channel(struct effort *e, const struct policy_sentence *s)
{
	size_t named = e->path_count, next = 0;
	const char *point;
	int err;

	err = add_path(e, s, s->object ? s->channel.path : "/");
	if (err || !s->allow || is_krepis(e->paths[named].fd))
		return err;
	e->paths[named].beaten = true;
	while (!err && (point = krepis_effort_krepis(e->mounts, &next))) {
		char *places[] = { (char *)point, NULL };

		if (!krepis_effort_within(places, e->paths[named].places))
			continue;
		err = add_path(e, s, point);
		/* Another mount may cover it. */
		if (!err)
			e->paths[e->path_count - 1].beaten =
				!is_krepis(e->paths[e->path_count - 1].fd);
	}
	return err;
}

static int add_net(struct effort *e, const struct policy_sentence *s)
{
	struct effort_net *list = reallocarray(e->nets, e->net_count + 1, sizeof(*list)), *n;

	if (!list)
		return -ENOMEM;
	e->nets = list;
	n = &list[e->net_count];
	*n = (struct effort_net){ .allow = s->allow, .all = !s->object };
	if (s->object) {
		n->net = s->net;
		n->object = strdup(s->object);
		if (!n->object)
			return -ENOMEM;
	}
	e->net_count++;
	return 0;
}

static void add_sys(struct gathering *g, const struct policy_sentence *s)
{
	struct effort *e = g->effort;

	if (!s->object || s->sys.capability >= 0)
		*(s->allow ? &e->caps : &g->no_caps) |=
			s->object ? 1ULL << s->sys.capability : ~0ULL;
	if (!s->object || s->sys.capability < 0)
		*(s->allow ? &e->sys : &g->no_sys) |= s->object ? s->sys.facility : ~0U;
}

static int add_sentence(void *arg, const struct policy_sentence *s)
{
	struct gathering *g = arg;
	struct effort *e = g->effort;

	g->denied[s->what] |= !s->allow;
	e->whole[s->what] |= s->allow && !s->object;
	switch (s->what) {
	case KREPIS_READ:
	case KREPIS_WRITE:
	case KREPIS_EXEC:
	case KREPIS_UNIX:
		if (s->object && s->what == KREPIS_UNIX && *s->object == '@')
			return 0;
		return add_path(e, s, s->object ? s->object : "/");
	case KREPIS_CHANNEL:
		return add_channel(e, s);
	case KREPIS_NET:
		return add_net(e, s);
	case KREPIS_SYS:
		add_sys(g, s);
		return 0;
	case KREPIS_ENV:	/* is the launcher's */
	case KREPIS_WHATS:
		break;
	}
	return 0;
}

struct name_search {
	const struct krepis_policy *policy;
	const char *name;
};

static int denies_name(void *arg, const struct policy_sentence *s)
{
	const struct name_search *search = arg;

	return s->what == KREPIS_UNIX && !s->allow &&
	       (!s->object || (search->name && !strcmp(s->object, search->name)));
}

/* Whether an abstract name is allowed and not denied. */
static int allows_name(void *arg, const struct policy_sentence *s)
{
	const struct name_search *search = arg;
	struct name_search same = { .name = s->object };

	if (s->what != KREPIS_UNIX || !s->allow || (s->object && *s->object != '@'))
		return 0;
	return !krepis_policy_sentences(search->policy, denies_name, &same);
}

static int gather(struct effort *e, const struct krepis_policy *policy)
{
	struct name_search search = { .policy = policy };
	struct gathering g = { .effort = e };
	int err = krepis_policy_sentences(policy, add_sentence, &g);

	if (err)
		return err;
	e->caps = (POLICY_CAPS_USUAL | e->caps) & ~g.no_caps & ~POLICY_CAPS_NEVER;
	e->sys &= ~g.no_sys;
	for (int what = 0; what < KREPIS_WHATS; what++)
		e->whole[what] &= !g.denied[what];
	e->abstract = krepis_policy_sentences(policy, allows_name, &search);
	return 0;
}

static void release(struct effort *e)
{
	size_t i;

	for (i = 0; i < e->path_count; i++) {
		close(e->paths[i].fd);
		free(e->paths[i].object);
		krepis_effort_places_free(e->paths[i].places);
	}
	for (i = 0; i < e->net_count; i++)
		free(e->nets[i].object);
	free(e->paths);
	free(e->nets);
	krepis_effort_mounts_free(e->mounts);
}

/* --------------------------------------------------------------------------- denials */

/* Whether both are about the same: of channels, about one of the roles. */
static bool concerns(const struct effort_path *deny, const struct effort_path *p)
{
	return p->allow && !p->beaten && p->what == deny->what &&
	       (p->what != KREPIS_CHANNEL || p->rights & deny->rights);
}

/* Leaves out what @deny denies, and tells where it lies below what remains. */
static void deny_path(struct effort *e, const struct effort_path *deny)
{
	for (size_t i = 0; i < e->path_count; i++) {
		struct effort_path *p = &e->paths[i];

		if (!concerns(deny, p) || !krepis_effort_within(p->places, deny->places))
			continue;
		p->rights &= ~deny->rights;
		p->beaten = !(p->rights & (SANDBOX_CONSUME | SANDBOX_PRODUCE));
	}
	for (size_t i = 0; i < e->path_count; i++) {
		const struct effort_path *p = &e->paths[i];

		if (concerns(deny, p) && krepis_effort_within(deny->places, p->places))
			tell(e, "deny %s %s is not enforced: it lies below %s, which is allowed",
			     krepis_what_name(deny->what), shown(deny->object), shown(p->object));
	}
}

/* Whether the first @bits of both are the same. */
static bool same_network(const struct policy_net *a, const struct policy_net *b, unsigned int bits)
{
	unsigned int i;

	for (i = 0; i < bits; i++) {
		if ((a->address[i / 8] ^ b->address[i / 8]) & 0x80 >> i % 8)
			return false;
	}
	return true;
}

static bool host_covers(const struct policy_net *outer, const struct policy_net *inner)
{
	if (outer->any_host || inner->any_host)
		return outer->any_host;
	if (*outer->host || *inner->host)
		return !strcmp(outer->host, inner->host);
	return outer->bits <= inner->bits && same_network(outer, inner, outer->bits);
}

/* A name may turn out to be any address. */
static bool hosts_meet(const struct policy_net *a, const struct policy_net *b)
{
	if (a->any_host || b->any_host || *a->host || *b->host)
		return true;
	return same_network(a, b, a->bits < b->bits ? a->bits : b->bits);
}

static bool net_covers(const struct effort_net *outer, const struct effort_net *inner)
{
	if (outer->all || inner->all)
		return outer->all;
	return outer->net.bind == inner->net.bind && host_covers(&outer->net, &inner->net) &&
	       (!outer->net.port || outer->net.port == inner->net.port);
}

static bool nets_meet(const struct effort_net *a, const struct effort_net *b)
{
	if (a->all || b->all)
		return true;
	return a->net.bind == b->net.bind && hosts_meet(&a->net, &b->net) &&
	       (!a->net.port || !b->net.port || a->net.port == b->net.port);
}

static void deny_net(struct effort *e, const struct effort_net *deny)
{
	size_t i;

	for (i = 0; i < e->net_count; i++)
		e->nets[i].beaten |= e->nets[i].allow && net_covers(deny, &e->nets[i]);
	for (i = 0; i < e->net_count; i++) {
		const struct effort_net *n = &e->nets[i];

		if (n->allow && !n->beaten && nets_meet(deny, n))
			tell(e, "deny net %s is not enforced: it is a part of %s, which is allowed",
			     shown(deny->object), shown(n->object));
	}
}

/* Whether any sentence still allows something. */
static void find_allowed(struct effort *e)
{
	e->allowed[KREPIS_UNIX] = e->abstract;
	for (size_t i = 0; i < e->path_count; i++)
		e->allowed[e->paths[i].what] |= e->paths[i].allow && !e->paths[i].beaten;
	for (size_t i = 0; i < e->net_count; i++)
		e->allowed[KREPIS_NET] |= e->nets[i].allow && !e->nets[i].beaten;
}

/* In two rounds, so that nothing is told of what another sentence takes out. */
static void deny(struct effort *e)
{
	void (*f)(void *arg, const char *line) = e->f;

	for (int round = 0; round < 2; round++) {
		e->f = round ? f : NULL;
		for (size_t i = 0; i < e->path_count; i++) {
			if (!e->paths[i].allow)
				deny_path(e, &e->paths[i]);
		}
		for (size_t i = 0; i < e->net_count; i++) {
			if (!e->nets[i].allow)
				deny_net(e, &e->nets[i]);
		}
	}
	find_allowed(e);
}

/* ---------------------------------------------------------------- what is not enforced */

static bool denies_some_file(const struct effort *e)
{
	for (size_t i = 0; i < e->path_count; i++) {
		const struct effort_path *p = &e->paths[i];

		if (!p->allow && p->object && p->what != KREPIS_UNIX && e->allowed[p->what])
			return true;
	}
	return false;
}

static void tell_files(const struct effort *e)
{
	bool openable = e->allowed[KREPIS_READ] || e->allowed[KREPIS_WRITE];

	if (denies_some_file(e))
		tell(e, "deny: a file is denied by its place: one that is linked, or moved by "
		     "somebody outside, to a place below what is allowed is allowed there");
	if (!e->whole[KREPIS_EXEC])
		tell(e, "exec: code can be run that is mapped into memory from files that may be "
		     "read (mmap(2)), or made in memory (memfd_create(2))");
	if (e->allowed[KREPIS_WRITE] && !e->whole[KREPIS_WRITE])
		tell(e, "write: mode, owner, times and extended attributes of all files can be "
		     "changed (chmod(2), chown(2), utimensat(2), setxattr(2))");
	if (e->allowed[KREPIS_WRITE] && !e->whole[KREPIS_WRITE] && e->abi < ABI_TRUNCATE)
		tell(e, "write: all files can be cut (truncate(2), O_TRUNC): this kernel's "
		     "Landlock does not control it");
	if (openable && !e->whole[KREPIS_WRITE] && e->abi < ABI_IOCTL)
		tell(e, "write: ioctl(2) is allowed of all devices that may be opened: this "
		     "kernel's Landlock does not control it");
}

/* Whether @path is allowed by a sentence about @what, itself or something below. */
static const struct effort_path *allowed_around(const struct effort *e, enum krepis_what what,
						const char *path)
{
	char *places[] = { (char *)path, NULL };

	for (size_t i = 0; i < e->path_count; i++) {
		const struct effort_path *p = &e->paths[i];

		if (p->allow && !p->beaten && p->what == what &&
		    (krepis_effort_within(places, p->places) ||
		     krepis_effort_within(p->places, places)))
			return p;
	}
	return NULL;
}

static void tell_channels(const struct effort *e)
{
	const struct effort_path *p;
	const char *point;
	size_t next = 0;

	for (size_t i = 0; i < e->path_count; i++) {
		p = &e->paths[i];
		if (p->what == KREPIS_CHANNEL && p->allow && !p->beaten &&
		    !(p->rights & SANDBOX_PASS))
			tell(e, "channel %s: its endpoints can leave and enter the domain",
			     shown(p->object));
	}
	while (!e->whole[KREPIS_CHANNEL] && (point = krepis_effort_krepis(e->mounts, &next))) {
		p = allowed_around(e, KREPIS_READ, point);
		if (!p)
			p = allowed_around(e, KREPIS_WRITE, point);
		if (p)
			tell(e, "channel: what may be read or written in %s includes channels of "
			     "%s, and they can be used", p->places[0], point);
	}
}

static void tell_net(const struct effort *e)
{
	if (!e->allowed[KREPIS_NET] || e->whole[KREPIS_NET])
		return;
	tell(e, "net: UDP is not limited: it can be sent to and received from every host and port");
	if (e->abi < ABI_NET) {
		tell(e, "net: TCP is not limited, neither hosts nor ports: this kernel's Landlock "
		     "does not control it");
		return;
	}
	for (size_t i = 0; i < e->net_count; i++) {
		const struct effort_net *n = &e->nets[i];

		if (n->allow && !n->beaten && !n->all && !n->net.any_host)
			tell(e, "net %s: the host is not enforced: it holds for every one",
			     n->object);
	}
	if (!krepis_effort_any_port(e, true))
		tell(e, "net: a socket of TCP that was not bound can listen (listen(2)), at a port "
		     "that the kernel chooses");
}

static void tell_unix(const struct effort *e)
{
	if (!e->allowed[KREPIS_UNIX] || e->whole[KREPIS_UNIX])
		return;
	tell(e, "unix: all sockets that have a path can be connected to, also those that are not "
	     "allowed or denied");
	if (e->abi < ABI_SCOPE || e->abstract)
		tell(e, "unix: all sockets that have an abstract name can be connected to%s",
		     e->abstract ? "" : ": this kernel's Landlock does not control it");
}

static void tell_rest(const struct effort *e)
{
	if (e->abi < ABI_SCOPE)
		tell(e, "signals can be sent to processes outside, if they are of the same user: "
		     "this kernel's Landlock does not control it");
	tell(e, "priority, scheduling and limits of processes outside can be changed, if they are "
	     "of the same user");
	if (e->sys & SANDBOX_SYS_USERNS)
		tell(e, "sys userns: in a user namespace of its own a process has all "
		     "capabilities, also those that are not allowed");
	if (e->sys & SANDBOX_SYS_SOCKETS && !e->whole[KREPIS_NET])
		tell(e, "sys sockets: what other families and protocols send is not limited by "
		     "net");
}

/* ---------------------------------------------------------------------------- entering */

/* Privileges gained by executing are none: PR_SET_NO_NEW_PRIVS is set. */
static int drop_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	for (int i = 0; i < 2; i++) {
		uint32_t mask = (uint32_t)(keep >> 32 * i);

		data[i].effective &= mask;
		data[i].permitted &= mask;
		data[i].inheritable &= mask;
	}
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

static int enter(const struct effort *e, int ruleset)
{
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	err = krepis_landlock_enter(ruleset);
	if (!err)
		err = drop_capabilities(e->caps);
	return err ? err : krepis_seccomp_enter(e);
}

KREPIS_SANDBOX_API int krepis_best_effort_enter(const struct krepis_policy *policy,
						void (*f)(void *arg, const char *line), void *arg)
{
	struct effort e = { .f = f, .arg = arg };
	int err, ruleset;

	e.abi = krepis_landlock_abi();
	if (e.abi < 0)
		return sandbox_fail(-e.abi, "Landlock: %s: if the kernel has it, switch it on: add "
				    "landlock to its parameter lsm=", strerror(-e.abi));
	err = krepis_effort_mounts(&e.mounts);
	if (err)
		return sandbox_fail(-err, "/proc/self/mountinfo: %s: is /proc mounted?",
				    strerror(-err));
	err = gather(&e, policy);
	if (err)
		goto out;
	deny(&e);
	ruleset = krepis_landlock_prepare(&e);
	if (ruleset < 0) {
		err = ruleset;
		goto out;
	}
	/* While @f may still do anything. */
	tell_files(&e);
	tell_channels(&e);
	tell_net(&e);
	tell_unix(&e);
	tell_rest(&e);
	err = enter(&e, ruleset);
	close(ruleset);
out:
	release(&e);
	return err;
}
