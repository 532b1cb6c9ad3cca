// SPDX-License-Identifier: MIT
/*
 * A policy, as the kernel wants it: rules by file, by network, by abstract name.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/limits.h>
#include <bpf/bpf.h>
#include "internal.h"
#include "policy.h"

#define WRITE_RIGHTS	(SANDBOX_WRITE | SANDBOX_CREATE | SANDBOX_REMOVE | SANDBOX_IOCTL | \
			 SANDBOX_META)
#define CHANNEL_RIGHTS	(SANDBOX_PRODUCE | SANDBOX_CONSUME | SANDBOX_PASS)

/* A table of keys and their rules, with a key once. */
struct table {
	size_t key_bytes, count, room;
	char *keys;
	struct sandbox_rule *rules;
};

/* A sentence about a path, which is looked at once more for each mount. */
struct place {
	bool allow;
	uint32_t rights;
	char path[PATH_MAX];	/* without symbolic links */
};

struct compiler {
	struct table rules, addresses, names;
	struct place *places;
	size_t place_count;
	int resolver;
	__u32 thread;		/* this one, as the kernel counts them */
	uint32_t allow, deny;	/* of all files */
	bool denies;
	uint64_t caps, no_caps;
	uint32_t sys, no_sys;
};

/* ---------------------------------------------------------------------------- tables */

static void *key_at(const struct table *t, size_t i)
{
	return t->keys + i * t->key_bytes;
}

/* The rule of @key, which is made if it is not there; NULL: no memory. */
static struct sandbox_rule *rule_of(struct table *t, const void *key)
{
	for (size_t i = 0; i < t->count; i++)
		if (!memcmp(key_at(t, i), key, t->key_bytes))
			return &t->rules[i];
	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		void *keys = realloc(t->keys, room * t->key_bytes), *rules;

		if (!keys)
			return NULL;
		t->keys = keys;
		rules = realloc(t->rules, room * sizeof(*t->rules));
		if (!rules)
			return NULL;
		t->rules = rules;
		t->room = room;
	}
	memcpy(key_at(t, t->count), key, t->key_bytes);
	t->rules[t->count] = (struct sandbox_rule){ 0 };
	return &t->rules[t->count++];
}

static int add(struct table *t, const void *key, bool allow, uint32_t rights)
{
	struct sandbox_rule *rule = rule_of(t, key);

	if (!rule)
		return -ENOMEM;
	*(allow ? &rule->allow : &rule->deny) |= rights;
	return 0;
}

static void table_free(struct table *t)
{
	free(t->keys);
	free(t->rules);
}

/* Into a map of the kernel. Return: its descriptor, or an error */
static int table_map(const struct table *t, enum bpf_map_type type, const char *name)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	int fd;

	if (type == BPF_MAP_TYPE_LPM_TRIE)
		options.map_flags = BPF_F_NO_PREALLOC;
	fd = bpf_map_create(type, name, t->key_bytes, sizeof(*t->rules), t->count ? t->count : 1,
			    &options);
	if (fd < 0)
		return sandbox_fail(errno, "a map for %zu rules: %s", t->count, strerror(errno));
	for (size_t i = 0; i < t->count; i++) {
		if (bpf_map_update_elem(fd, key_at(t, i), &t->rules[i], BPF_NOEXIST)) {
			int err = errno;

			close(fd);
			return sandbox_fail(err, "rule %zu of %zu: %s", i + 1, t->count, strerror(err));
		}
	}
	return fd;
}

/* ----------------------------------------------------------------------------- files */

/* Of a namespace of processes gettid(2) would know nothing. */
static int find_thread(__u32 *thread)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = thread, .ctx_size_in = sizeof(*thread));
	int fd = sandbox_object("thread"), err = 0;

	if (fd < 0)
		return fd;
	if (bpf_prog_test_run_opts(fd, &run))
		err = sandbox_fail(errno, "looking at who makes the policy: %s", strerror(errno));
	close(fd);
	return err;
}

/* How the kernel knows the file of @fd: it writes that down while it is asked. */
static int key_of(struct compiler *c, int fd, struct sandbox_key *key)
{
	__u32 thread = c->thread;
	struct stat st;
	int err = 0;

	*key = (struct sandbox_key){ 0 };
	if (bpf_map_update_elem(c->resolver, &thread, key, BPF_ANY))
		return sandbox_fail(errno, "too many policies are made at a time: %s", strerror(errno));
	if (fstat(fd, &st) || bpf_map_lookup_elem(c->resolver, &thread, key))
		err = sandbox_fail(errno, "looking at a file of the policy: %s", strerror(errno));
	bpf_map_delete_elem(c->resolver, &thread);
	if (!err && !key->ino && !key->dev)
		err = sandbox_fail(EPROTO, "the kernel's part of the sandbox does not answer: "
				   "krepis policy unload, then try again");
	return err;
}

static int real_path(int fd, char *path)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return sandbox_fail(errno, "%s: %s: is /proc mounted?", link, strerror(errno));
	path[n] = 0;
	return 0;
}

/* A directory on the way to what is denied does not move away, for another one to take its place. */
static int hold_ancestors(struct compiler *c, const char *path)
{
	char above[PATH_MAX];
	struct sandbox_rule *rule;
	struct sandbox_key key;
	char *slash;
	int fd, err;

	strcpy(above, path);
	while ((slash = strrchr(above, '/')) && above[1]) {
		slash[slash == above] = 0;
		fd = open(above, O_PATH | O_CLOEXEC);
		if (fd < 0)
			return sandbox_fail(errno, "%s: %s", above, strerror(errno));
		err = key_of(c, fd, &key);
		close(fd);
		if (err)
			return err;
		rule = rule_of(&c->rules, &key);
		if (!rule)
			return -ENOMEM;
		rule->self |= SANDBOX_REMOVE;
	}
	return 0;
}

static int add_path(struct compiler *c, bool allow, const char *path, uint32_t rights)
{
	struct place *places;
	struct sandbox_key key;
	int fd, err;

	if (!path) {
		*(allow ? &c->allow : &c->deny) |= rights;
		c->denies |= !allow;
		return 0;
	}
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return sandbox_fail(errno, "%s: %s: a policy names what is there%s", path, strerror(errno),
				    errno == ENOENT ? "; for a file to come, its directory" : "");
	places = realloc(c->places, (c->place_count + 1) * sizeof(*places));
	if (!places) {
		close(fd);
		return -ENOMEM;
	}
	c->places = places;
	places += c->place_count;
	*places = (struct place){ .allow = allow, .rights = rights };
	err = real_path(fd, places->path);
	if (!err)
		err = key_of(c, fd, &key);
	close(fd);
	if (err)
		return err;
	c->place_count++;
	err = add(&c->rules, &key, allow, rights);
	if (!err && !allow) {
		c->denies = true;
		err = hold_ancestors(c, places->path);
	}
	return err;
}

/* Whether @path is @dir or below. */
static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1)
		return true;
	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/* What the rules above a mount say holds of its root also where nobody sees the mount. */
static int add_mount(struct compiler *c, const char *path)
{
	struct sandbox_rule rule = { 0 }, *to;
	struct sandbox_key key;
	int fd, err;

	for (size_t i = 0; i < c->place_count; i++) {
		const struct place *p = &c->places[i];

		if (is_below(path, p->path) && strcmp(path, p->path))
			*(p->allow ? &rule.root_allow : &rule.root_deny) |= p->rights & SANDBOX_META;
	}
	if (!rule.root_allow && !rule.root_deny && !c->denies)
		return 0;
	/* Hidden by another mount, or gone meanwhile: then nobody comes there by a path. */
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return 0;
	err = key_of(c, fd, &key);
	close(fd);
	if (err)
		return err;
	to = rule_of(&c->rules, &key);
	if (!to)
		return -ENOMEM;
	to->root_allow |= rule.root_allow | SANDBOX_ROOT;
	to->root_deny |= rule.root_deny;
	return 0;
}

/* Of mountinfo(5): space, tab, newline and backslash are written as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (s[1] - '0') * 64 + (s[2] - '0') * 8 + s[3] - '0';
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

static int add_mounts(struct compiler *c)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, path[PATH_MAX];
	size_t room = 0;
	int err = 0;

	if (!f)
		return sandbox_fail(errno, "/proc/self/mountinfo: %s", strerror(errno));
	while (!err && getline(&line, &room, f) > 0) {
		/* Number, parent, device, root, mount point */
		if (sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1)
			continue;
		unescape(path);
		err = add_mount(c, path);
	}
	free(line);
	fclose(f);
	return err;
}

/* -------------------------------------------------------------------------- addresses */

static int add_network(struct compiler *c, bool allow, const struct policy_net *net,
		       const uint8_t *address)
{
	struct sandbox_net_key key = {
		.prefixlen = SANDBOX_NET_BITS - 128 + net->bits,
		.right = net->bind ? SANDBOX_BIND : SANDBOX_CONNECT,
		.port = htons(net->port),
	};

	int err;

	memcpy(key.address, address, sizeof(key.address));
	err = add(&c->addresses, &key, allow, key.right);
	if (err || allow || !net->bind)
		return err;
	/* Who is at all addresses is at this one: of IPv6 that is of both. */
	key.prefixlen = SANDBOX_NET_BITS;
	memset(key.address, 0, sizeof(key.address));
	err = add(&c->addresses, &key, allow, key.right);
	key.address[10] = key.address[11] = 0xff;
	return err || memcmp(address, key.address, 12) ? err :
	       add(&c->addresses, &key, allow, key.right);
}

/* All addresses that the name @net->host has now. */
static int add_host(struct compiler *c, bool allow, const struct policy_net *net)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	int err = getaddrinfo(net->host, NULL, &hints, &list);

	if (err)
		return sandbox_fail(ENOENT, "%s: %s: write an address instead, or see that the name can "
				    "be looked up", net->host, gai_strerror(err));
	for (a = list; !err && a; a = a->ai_next) {
		uint8_t address[16] = { [10] = 0xff, 0xff };

		if (a->ai_family == AF_INET)
			memcpy(address + 12, &((struct sockaddr_in *)a->ai_addr)->sin_addr, 4);
		else if (a->ai_family == AF_INET6)
			memcpy(address, &((struct sockaddr_in6 *)a->ai_addr)->sin6_addr, 16);
		else
			continue;
		err = add_network(c, allow, net, address);
	}
	freeaddrinfo(list);
	return err;
}

static int add_net(struct compiler *c, bool allow, const struct policy_net *net)
{
	return net->host[0] ? add_host(c, allow, net) : add_network(c, allow, net, net->address);
}

static int add_any_net(struct compiler *c, bool allow)
{
	struct policy_net net = { .any_host = true };
	int err = add_net(c, allow, &net);

	net.bind = true;
	return err ? : add_net(c, allow, &net);
}

static bool covers(const struct sandbox_net_key *net, const struct sandbox_net_key *inner)
{
	int bits = (int)net->prefixlen - (int)(SANDBOX_NET_BITS - 128);
	int bytes = bits / 8, rest = bits % 8;

	if (net->right != inner->right || net->port != inner->port ||
	    net->prefixlen > inner->prefixlen || memcmp(net->address, inner->address, bytes))
		return false;
	return !rest || !((net->address[bytes] ^ inner->address[bytes]) >> (8 - rest));
}

/* The longest match alone is found: what holds of a network has to be said of those in it. */
static void spread_networks(struct table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		for (size_t j = 0; j < t->count; j++) {
			if (i == j || !covers(key_at(t, j), key_at(t, i)))
				continue;
			t->rules[i].allow |= t->rules[j].allow;
			t->rules[i].deny |= t->rules[j].deny;
		}
	}
}

/* ---------------------------------------------------------------------------- the rest */

static int add_unix(struct compiler *c, bool allow, const char *object)
{
	struct sandbox_name name = { .len = SANDBOX_EVERY };
	int err = 0;

	if (!object || object[0] != '@')
		err = add_path(c, allow, object, SANDBOX_UNIX);
	if (err || (object && object[0] != '@'))
		return err;
	if (object) {
		name.len = strlen(object + 1);
		memcpy(name.name, object + 1, name.len);
	}
	return add(&c->names, &name, allow, SANDBOX_UNIX);
}

static void add_sys(struct compiler *c, bool allow, const struct policy_sys *sys)
{
	if (!sys) {
		*(allow ? &c->caps : &c->no_caps) = ~0ULL;
		*(allow ? &c->sys : &c->no_sys) = ~0U;
	} else if (sys->capability >= 0) {
		*(allow ? &c->caps : &c->no_caps) |= 1ULL << sys->capability;
	} else {
		*(allow ? &c->sys : &c->no_sys) |= sys->facility;
	}
}

static int add_sentence(void *arg, const struct policy_sentence *s)
{
	struct compiler *c = arg;

	switch (s->what) {
	case KREPIS_READ:
		return add_path(c, s->allow, s->object, SANDBOX_READ);
	case KREPIS_WRITE:
		return add_path(c, s->allow, s->object, WRITE_RIGHTS);
	case KREPIS_EXEC:
		return add_path(c, s->allow, s->object, SANDBOX_EXEC);
	case KREPIS_NET:
		return s->object ? add_net(c, s->allow, &s->net) : add_any_net(c, s->allow);
	case KREPIS_UNIX:
		return add_unix(c, s->allow, s->object);
	case KREPIS_CHANNEL:
		return s->object ? add_path(c, s->allow, s->channel.path, s->channel.rights) :
				   add_path(c, s->allow, NULL, CHANNEL_RIGHTS);
	case KREPIS_SYS:
		add_sys(c, s->allow, s->object ? &s->sys : NULL);
		return 0;
	case KREPIS_ENV:	/* is the launcher's */
	case KREPIS_WHATS:
		break;
	}
	return 0;
}

static int make_maps(struct compiler *c, struct sandbox_compiled *out)
{
	const struct sandbox_key every = { SANDBOX_EVERY, SANDBOX_EVERY, SANDBOX_EVERY };
	struct sandbox_rule *rule = rule_of(&c->rules, &every);

	if (!rule)
		return -ENOMEM;
	*rule = (struct sandbox_rule){ .allow = c->allow, .deny = c->deny, .self = c->denies };
	spread_networks(&c->addresses);
	out->rules = table_map(&c->rules, BPF_MAP_TYPE_HASH, "krepis_rules");
	if (out->rules < 0)
		return out->rules;
	out->addresses = table_map(&c->addresses, BPF_MAP_TYPE_LPM_TRIE, "krepis_nets");
	if (out->addresses < 0)
		return out->addresses;
	out->names = table_map(&c->names, BPF_MAP_TYPE_HASH, "krepis_names");
	if (out->names < 0)
		return out->names;
	out->caps = (POLICY_CAPS_USUAL | c->caps) & ~c->no_caps & ~POLICY_CAPS_NEVER;
	out->sys = c->sys & ~c->no_sys;
	return 0;
}

void sandbox_compiled_close(struct sandbox_compiled *compiled)
{
	const int fds[] = { compiled->rules, compiled->addresses, compiled->names };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int sandbox_compile(const struct krepis_policy *policy, struct sandbox_compiled *out)
{
	struct compiler c = {
		.rules.key_bytes = sizeof(struct sandbox_key),
		.addresses.key_bytes = sizeof(struct sandbox_net_key),
		.names.key_bytes = sizeof(struct sandbox_name),
		.resolver = sandbox_object("resolver"),
	};
	int err;

	if (c.resolver < 0)
		return c.resolver;
	*out = (struct sandbox_compiled){ .rules = -1, .addresses = -1, .names = -1 };
	err = find_thread(&c.thread);
	if (!err)
		err = krepis_policy_sentences(policy, add_sentence, &c);
	if (!err)
		err = add_mounts(&c);
	if (!err)
		err = make_maps(&c, out);
	if (err)
		sandbox_compiled_close(out);
	if (err == -ENOMEM)
		sandbox_fail(ENOMEM, "no memory for the policy");
	table_free(&c.rules);
	table_free(&c.addresses);
	table_free(&c.names);
	free(c.places);
	close(c.resolver);
	return err;
}
