// SPDX-License-Identifier: MIT
/*
 * What was denied, in words, with the sentence that would have allowed it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "internal.h"
#include "policy.h"

#define READ_AT_ONCE	4096	/* events: they may come faster than they are told */

struct krepis_audit {
	struct ring_buffer *ring;
	void (*f)(void *arg, const struct krepis_denial *denial);
	void *arg;
	int events;
	int read;	/* in this call */
};

/* What is told of an event: @object and @flag_object of the denial lie here. */
struct words {
	char object[POLICY_OBJECT];
	char flag_object[POLICY_OBJECT + 16];
};

/* ------------------------------------------------------------------------------ files */

/* In this order: the first that is missing gives the word. */
static const struct {
	uint32_t right;
	const char *word;
	enum krepis_what flag;
} file_words[] = {
	{ SANDBOX_EXEC, "execute", KREPIS_EXEC },
	{ SANDBOX_WRITE, "write", KREPIS_WRITE },
	{ SANDBOX_CREATE, "create in", KREPIS_WRITE },
	{ SANDBOX_REMOVE, "remove", KREPIS_WRITE },
	{ SANDBOX_META, "change the attributes of", KREPIS_WRITE },
	{ SANDBOX_IOCTL, "control", KREPIS_WRITE },
	{ SANDBOX_READ, "read", KREPIS_READ },
	{ SANDBOX_UNIX, "connect to", KREPIS_UNIX },
	{ SANDBOX_PASS, "pass on", KREPIS_CHANNEL },
	{ SANDBOX_PRODUCE, "produce into", KREPIS_CHANNEL },
	{ SANDBOX_CONSUME, "consume from", KREPIS_CHANNEL },
};

/* The names come from the file upwards, each with its 0. */
static void spell_path(const struct sandbox_event *e, char *path, size_t size)
{
	size_t end = e->bytes < SANDBOX_OBJECT ? e->bytes : SANDBOX_OBJECT, len = 0;

	path[0] = 0;
	while (end > 0) {
		size_t begin = end - 1;

		while (begin > 0 && e->object[begin - 1])
			begin--;
		len += snprintf(path + len, size - len, "/%.*s", (int)(end - 1 - begin), e->object + begin);
		if (len >= size)
			return;
		end = begin;
	}
	if (!len)
		snprintf(path, size, "/");
}

/* Of the rights that one sentence allows: which of @rights these are. */
static uint32_t rights_of(enum krepis_what flag, uint32_t rights)
{
	uint32_t of = 0;

	for (size_t i = 0; i < ARRAY_SIZE(file_words); i++)
		if (file_words[i].flag == flag)
			of |= file_words[i].right;
	return rights & of;
}

static void describe_file(uint32_t rights, enum krepis_what flag, struct krepis_denial *d,
			  struct words *w)
{
	const uint32_t roles = SANDBOX_PRODUCE | SANDBOX_CONSUME;
	char *slash;

	for (size_t i = 0; i < ARRAY_SIZE(file_words); i++) {
		if (rights & file_words[i].right) {
			d->what = file_words[i].word;
			break;
		}
	}
	d->sentence = true;
	d->flag = flag;
	d->flag_object = w->flag_object;
	strcpy(w->flag_object, w->object);
	if (flag == KREPIS_CHANNEL) {
		const char *role = !(rights & roles) || (rights & roles) == roles ? "rw" :
				   rights & SANDBOX_PRODUCE ? "w" : "r";

		snprintf(w->flag_object, sizeof(w->flag_object), "%s:%s%s", w->object, role,
			 rights & SANDBOX_PASS ? ":pass" : "");
	}
	/* To remove something is a right on where it stands. */
	slash = strrchr(w->flag_object, '/');
	if (rights & SANDBOX_REMOVE && slash)
		slash[slash == w->flag_object] = 0;
}

/* As many denials as it takes sentences: who opens for both is told of both. */
static void tell_file(struct krepis_audit *audit, const struct sandbox_event *e,
		      struct krepis_denial *d, struct words *w)
{
	spell_path(e, w->object, sizeof(w->object));
	for (int flag = 0; flag < KREPIS_WHATS; flag++) {
		uint32_t rights = rights_of(flag, e->rights);

		if (!rights)
			continue;
		describe_file(rights, flag, d, w);
		audit->f(audit->arg, d);
	}
}

/* -------------------------------------------------------------------------- addresses */

static void describe_net(const struct sandbox_event *e, struct krepis_denial *d, struct words *w)
{
	struct policy_net net = { .bits = 128 };
	struct sandbox_net_key key;

	memcpy(&key, e->object, sizeof(key));
	net.bind = key.right == SANDBOX_BIND;
	net.port = ntohs(key.port);
	memcpy(net.address, key.address, sizeof(net.address));
	krepis_policy_format_net(&net, w->flag_object);
	d->what = net.bind ? "bind to" : "connect to";
	strcpy(w->object, w->flag_object + (net.bind ? strlen("bind:") : 0));
	d->sentence = true;
	d->flag = KREPIS_NET;
	d->flag_object = w->flag_object;
}

static void describe_unix(const struct sandbox_event *e, struct krepis_denial *d, struct words *w)
{
	struct sandbox_name name;

	memcpy(&name, e->object, sizeof(name));
	if (name.len > sizeof(name.name))
		name.len = sizeof(name.name);
	w->object[0] = '@';
	memcpy(w->object + 1, name.name, name.len);
	w->object[1 + name.len] = 0;
	d->what = "connect to or be";
	d->sentence = !memchr(name.name, 0, name.len);
	d->flag = KREPIS_UNIX;
	d->flag_object = w->object;
}

/* ------------------------------------------------------------------------- the system */

static const struct {
	const char *what, *object;
	const char *sys;	/* the sentence that allows it; NULL: none does */
} operations[] = {
	[SANDBOX_OP_SIGNAL] = { "signal", "a process outside", NULL },
	[SANDBOX_OP_PTRACE] = { "trace", "a process outside", NULL },
	[SANDBOX_OP_SCHED] = { "schedule", "a process outside", NULL },
	[SANDBOX_OP_OWNER] = { "have signals sent to", "another process", NULL },
	[SANDBOX_OP_BPF] = { "call", "bpf(2)", NULL },
	[SANDBOX_OP_MOUNT] = { "change", "mounts", NULL },
	[SANDBOX_OP_MODULE] = { "load", "a kernel module", NULL },
	[SANDBOX_OP_USERNS] = { "create", "a user namespace", "userns" },
	[SANDBOX_OP_IPC] = { "use", "System V IPC or a message queue", "ipc" },
	[SANDBOX_OP_IO_URING] = { "use", "a polling thread or credentials of io_uring", NULL },
	[SANDBOX_OP_PERF] = { "call", "perf_event_open(2)", NULL },
	[SANDBOX_OP_SETUID] = { "execute", "a program that changes its user", NULL },
	[SANDBOX_OP_SOCKET] = { "create", "a socket", "sockets" },
	[SANDBOX_OP_ROUTE] = { "set", "a route of packets", NULL },
	[SANDBOX_OP_PINS] = { "change", "the kernel, not a file", NULL },
	[SANDBOX_OP_TYPE] = { "type on", "a terminal", NULL },
	[SANDBOX_OP_GENERATION] = { "change", "the generation of a file", NULL },
	[SANDBOX_OP_KEY] = { "request", "a key that is not there", NULL },
};

static void describe_operation(const struct sandbox_event *e, struct krepis_denial *d, struct words *w)
{
	uint32_t op = e->rights < ARRAY_SIZE(operations) ? e->rights : 0, v[3];
	const char *sys = operations[op].sys;

	d->what = operations[op].what ? operations[op].what : "use";
	snprintf(w->object, sizeof(w->object), "%s",
		 operations[op].object ? operations[op].object : "the system");
	memcpy(v, e->object, sizeof(v));
	if (e->kind == SANDBOX_ON_TASK)
		snprintf(w->object, sizeof(w->object), "the process %u", v[0]);
	if (op == SANDBOX_OP_SOCKET) {
		snprintf(w->object, sizeof(w->object), "a socket of family %u, type %u, protocol %u",
			 v[0], v[1], v[2]);
		if (v[0] == AF_NETLINK)
			sys = "netlink";
	}
	d->sentence = sys;
	d->flag = KREPIS_SYS;
	d->flag_object = sys;
}

static void describe_capability(const struct sandbox_event *e, struct krepis_denial *d, struct words *w)
{
	const char *name = krepis_policy_sys_name(e->rights);

	d->what = "use the capability";
	snprintf(w->object, sizeof(w->object), "%s", name ? name : "unknown");
	d->sentence = name && e->rights < 64 && !(POLICY_CAPS_NEVER & 1ULL << e->rights);
	d->flag = KREPIS_SYS;
	d->flag_object = name;
}

/* ----------------------------------------------------------------------------- reading */

/* CLOCK_REALTIME when it was @boot_ns of CLOCK_BOOTTIME. */
static uint64_t real_time(uint64_t boot_ns)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (real.tv_sec - boot.tv_sec) * 1000000000ULL + real.tv_nsec - boot.tv_nsec + boot_ns;
}

static int on_event(void *ctx, void *data, size_t size)
{
	const struct sandbox_event *e = data;
	struct krepis_audit *audit = ctx;
	char comm[SANDBOX_COMM + 1] = "";
	struct krepis_denial d = { .comm = comm };
	struct words w;

	if (size < sizeof(*e))
		return 0;
	memcpy(comm, e->comm, SANDBOX_COMM);
	d.time_ns = real_time(e->time_ns);
	d.pid = e->pid;
	d.allowed = e->allowed;
	d.object = w.object;
	switch (e->kind) {
	case SANDBOX_ON_FILE:
		tell_file(audit, e, &d, &w);
		break;
	case SANDBOX_ON_NET:
		describe_net(e, &d, &w);
		break;
	case SANDBOX_ON_UNIX:
		describe_unix(e, &d, &w);
		break;
	case SANDBOX_ON_CAP:
		describe_capability(e, &d, &w);
		break;
	default:
		describe_operation(e, &d, &w);
	}
	if (e->kind != SANDBOX_ON_FILE)
		audit->f(audit->arg, &d);
	return ++audit->read < READ_AT_ONCE ? 0 : -ECANCELED;
}

/* The ring of the domain @id. */
static int open_ring(uint64_t id)
{
	uint32_t slot = sandbox_slot(id);
	int fd = sandbox_object("rings"), ring = -1;
	__u32 number;

	if (fd < 0)
		return fd;
	if (!bpf_map_lookup_elem(fd, &slot, &number))
		ring = bpf_map_get_fd_by_id(number);
	if (ring < 0)
		ring = sandbox_fail(errno, "the events of the domain: %s", strerror(errno));
	close(fd);
	return ring;
}

KREPIS_SANDBOX_API int krepis_audit_open(struct krepis_domain *domain,
					 void (*f)(void *arg, const struct krepis_denial *denial),
					 void *arg, struct krepis_audit **out)
{
	struct krepis_domain_info info;
	struct krepis_audit *audit;
	int err = krepis_domain_query(domain, &info);

	if (err)
		return err;
	audit = calloc(1, sizeof(*audit));
	if (!audit)
		return -ENOMEM;
	audit->f = f;
	audit->arg = arg;
	audit->events = open_ring(info.id);
	if (audit->events < 0) {
		err = audit->events;
		goto err_free;
	}
	/* That of the next domain in the slot? */
	err = krepis_domain_query(domain, &info);
	if (err)
		goto err_close;
	audit->ring = ring_buffer__new(audit->events, on_event, audit, NULL);
	if (!audit->ring) {
		err = sandbox_fail(errno, "the events of the domain: %s", strerror(errno));
		goto err_close;
	}
	*out = audit;
	return 0;

err_close:
	close(audit->events);
err_free:
	free(audit);
	return err;
}

KREPIS_SANDBOX_API void krepis_audit_close(struct krepis_audit *audit)
{
	if (!audit)
		return;
	ring_buffer__free(audit->ring);
	close(audit->events);
	free(audit);
}

KREPIS_SANDBOX_API int krepis_audit_fd(struct krepis_audit *audit)
{
	return ring_buffer__epoll_fd(audit->ring);
}

KREPIS_SANDBOX_API int krepis_audit_read(struct krepis_audit *audit)
{
	int n;

	audit->read = 0;
	n = ring_buffer__consume(audit->ring);
	return n == -ECANCELED ? audit->read : n;
}
