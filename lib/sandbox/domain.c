// SPDX-License-Identifier: MIT
/*
 * Domains: made, entered, changed, ended.
 *
 * The table of domains is mapped. Only who has the lock writes it, by a mapping of its own,
 * which a child does not inherit: it may be about to enter a domain. The counters are
 * the kernel's. The number is set last and taken first: in between, who is in the domain may
 * do nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "internal.h"

#define CGROUP2_TYPE	0x63677270
#define NSEC_PER_SEC	1000000000ULL
#define LEFT_BEHIND_NS	(KREPIS_DOMAIN_TRANSIENT_S * NSEC_PER_SEC)

/**
 * struct krepis_domain - a domain, as it was found by its name
 * @table:	of all domains, to read
 * @head:	its own entry, to write: with the lock, or NULL
 * @enter:	the program that enters; open, because a child may have another root by then
 */
struct krepis_domain {
	const struct sandbox_domain *table;
	struct sandbox_domain *head;
	int enter;
	uint64_t id;
	char name[SANDBOX_NAME];
};

#define TABLE_BYTES	(SANDBOX_DOMAINS * sizeof(struct sandbox_domain))

static struct sandbox_domain *map_table(int prot)
{
	int fd = sandbox_object("domains");
	void *table;

	if (fd < 0)
		return NULL;
	table = mmap(NULL, TABLE_BYTES, prot, MAP_SHARED, fd, 0);
	close(fd);
	if (table != MAP_FAILED) {
		madvise(table, TABLE_BYTES, prot & PROT_WRITE ? MADV_DONTFORK : MADV_NORMAL);
		return table;
	}
	sandbox_fail(errno, "mapping the table of domains: %s", strerror(errno));
	return NULL;
}

static void unmap_table(const struct sandbox_domain *table)
{
	munmap((void *)table, TABLE_BYTES);
}

static uint64_t id_of(const struct sandbox_domain *d)
{
	/* Pairs with the release in create_locked(): with it the name is there. */
	return __atomic_load_n(&d->id, __ATOMIC_ACQUIRE);
}

/* The number of the domain @name; 0: there is none. */
static uint64_t find(const struct sandbox_domain *table, const char *name)
{
	for (uint32_t slot = 1; slot < SANDBOX_DOMAINS; slot++) {
		uint64_t id = id_of(&table[slot]);

		if (id && !strncmp(table[slot].name, name, SANDBOX_NAME))
			return id;
	}
	return 0;
}

static int gone(const char *name)
{
	return sandbox_fail(ENOENT, "there is no domain '%s'. See those there are: krepis policy ls", name);
}

/* Writes @value, a descriptor, into the table of maps @name. */
static int put_map(const char *name, uint32_t slot, int value)
{
	int fd = sandbox_object(name), err = 0;

	if (fd < 0)
		return fd;
	if (bpf_map_update_elem(fd, &slot, &value, BPF_ANY))
		err = sandbox_fail(errno, "%s of the domain: %s", name, strerror(errno));
	close(fd);
	return err;
}

static void drop_map(const char *name, uint32_t slot)
{
	int fd = sandbox_object(name);

	if (fd < 0)
		return;
	bpf_map_delete_elem(fd, &slot);
	close(fd);
}

/* ---------------------------------------------------------------------------- creating */

/* 0: there is none. */
static uint32_t free_slot(const struct sandbox_domain *table)
{
	for (uint32_t slot = 1; slot < SANDBOX_DOMAINS; slot++)
		if (!id_of(&table[slot]))
			return slot;
	return 0;
}

/* The three maps of a domain, then what its head says of it. Never more than old and new. */
static int put_policy(struct krepis_domain *domain, const struct krepis_policy *policy)
{
	const uint32_t slot = sandbox_slot(domain->id);
	struct sandbox_compiled c;
	char *text;
	int err = krepis_policy_format(policy, &text);

	if (err)
		return err;
	err = sandbox_compile(policy, &c);
	if (err)
		goto out_text;
	err = sandbox_put_text(slot, text);
	if (!err)
		err = put_map("policies", slot, c.rules);
	if (!err)
		err = put_map("networks", slot, c.addresses);
	if (!err)
		err = put_map("abstracts", slot, c.names);
	if (!err) {
		__atomic_store_n(&domain->head->caps, c.caps, __ATOMIC_RELAXED);
		__atomic_store_n(&domain->head->sys, c.sys, __ATOMIC_RELAXED);
	}
	sandbox_compiled_close(&c);
out_text:
	free(text);
	return err;
}

static int put_ring(uint32_t slot)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "krepis_events", 0, 0, SANDBOX_EVENTS, NULL);
	int err;

	if (fd < 0)
		return sandbox_fail(errno, "a buffer for events: %s", strerror(errno));
	err = put_map("rings", slot, fd);
	close(fd);
	return err;
}

static void drop_cgroups(uint64_t id)
{
	__u64 key, before, *from = NULL;
	int fd = sandbox_object("cgroups");
	uint64_t of;

	if (fd < 0)
		return;
	while (!bpf_map_get_next_key(fd, from, &key)) {
		if (!bpf_map_lookup_elem(fd, &key, &of) && of == id) {
			bpf_map_delete_elem(fd, &key);
			continue;	/* from the last one that stays */
		}
		before = key;
		from = &before;
	}
	close(fd);
}

/* Waits for all who decide at the moment, as whoever changes a table of maps. */
static void drop_all(struct sandbox_domain *head, uint32_t slot)
{
	const uint64_t id = head->id;

	/* Nobody may do anything from here on; the rest is in no order with it. */
	__atomic_store_n(&head->id, 0, __ATOMIC_RELAXED);
	drop_cgroups(id);
	drop_map("policies", slot);
	drop_map("networks", slot);
	drop_map("abstracts", slot);
	drop_map("rings", slot);
	sandbox_drop_text(slot);
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Those that their makers would have removed, had they not been killed. */
static void drop_left_behind(struct sandbox_domain *table)
{
	const uint64_t now = boot_ns();

	for (uint32_t slot = 1; slot < SANDBOX_DOMAINS; slot++) {
		struct sandbox_domain *head = &table[slot];

		if (head->id && head->flags & SANDBOX_TRANSIENT &&
		    now - head->made_ns > LEFT_BEHIND_NS &&
		    !__atomic_load_n(&head->labels, __ATOMIC_RELAXED))
			drop_all(head, slot);
	}
}

static int check_name(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	if (!len || len > KREPIS_DOMAIN_NAME_MAX || strchr(name, '/') || strchr(name, '\n'))
		return sandbox_fail(EINVAL, "'%s' is no name of a domain: 1 to %d bytes, no '/' and no "
				    "newline", name ? name : "", KREPIS_DOMAIN_NAME_MAX);
	return 0;
}

/* An object for the domain @name, whose number is to be found yet. */
static int object(const char *name, struct krepis_domain **out)
{
	struct krepis_domain *domain = calloc(1, sizeof(*domain));
	int err = -EPERM;

	if (!domain)
		return -ENOMEM;
	snprintf(domain->name, sizeof(domain->name), "%s", name);
	domain->table = map_table(PROT_READ);
	if (!domain->table)
		goto err_free;
	domain->enter = sandbox_object("enter");
	if (domain->enter < 0) {
		err = domain->enter;
		goto err_unmap;
	}
	*out = domain;
	return 0;

err_unmap:
	unmap_table(domain->table);
err_free:
	free(domain);
	return err;
}

KREPIS_SANDBOX_API void krepis_domain_close(struct krepis_domain *domain)
{
	if (!domain)
		return;
	close(domain->enter);
	unmap_table(domain->table);
	free(domain);
}

/* What is done with the lock, and with @domain->head to write. */
typedef int (*action_t)(struct krepis_domain *domain, const void *arg);

static int locked(struct krepis_domain *domain, action_t action, const void *arg)
{
	struct sandbox_domain *table;
	int lock = sandbox_lock(), err;

	if (lock < 0)
		return lock;
	table = map_table(PROT_READ | PROT_WRITE);
	err = -EPERM;
	if (table) {
		domain->head = &table[sandbox_slot(domain->id)];
		err = action(domain, arg);
		domain->head = NULL;
		unmap_table(table);
	}
	close(lock);
	return err;
}

struct creation {
	const struct krepis_policy *policy;
	uint32_t flags;
};

static uint32_t head_flags(uint32_t flags)
{
	return (flags & KREPIS_DOMAIN_COMPLAIN ? SANDBOX_COMPLAIN : 0) |
	       (flags & KREPIS_DOMAIN_TRANSIENT ? SANDBOX_TRANSIENT : 0);
}

static int create_locked(struct krepis_domain *domain, const void *arg)
{
	const struct creation *creation = arg;
	struct sandbox_domain *head = domain->head;	/* of slot 0 */
	uint64_t serial;
	uint32_t slot;
	int err;

	drop_left_behind(head);
	if (find(domain->table, domain->name))
		return sandbox_fail(EEXIST, "there is a domain '%s' already: take another name, or "
				    "krepis policy rm %s", domain->name, domain->name);
	slot = free_slot(domain->table);
	if (!slot)
		return sandbox_fail(ENOSPC, "there are %d domains already: krepis policy ls",
				    SANDBOX_DOMAINS - 1);
	head += slot;
	/* Waits: nobody counts in the head any more for the domain that was here before. */
	err = put_ring(slot);
	if (err)
		return err;
	serial = head->serial + 1;
	*head = (struct sandbox_domain){
		.serial = serial,
		.flags = head_flags(creation->flags),
		.made_ns = boot_ns(),
	};
	memcpy(head->name, domain->name, sizeof(head->name));
	domain->head = head;
	domain->id = sandbox_id(serial, slot);
	err = put_policy(domain, creation->policy);
	if (err) {
		drop_all(head, slot);
		return err;
	}
	/* Pairs with the acquire in id_of(). */
	__atomic_store_n(&head->id, domain->id, __ATOMIC_RELEASE);
	return 0;
}

KREPIS_SANDBOX_API int krepis_domain_create(const char *name, const struct krepis_policy *policy,
					    uint32_t flags, struct krepis_domain **out)
{
	const struct creation creation = { policy, flags };
	struct krepis_domain *domain;
	int err = check_name(name);

	if (!err && flags & ~(KREPIS_DOMAIN_COMPLAIN | KREPIS_DOMAIN_TRANSIENT))
		err = sandbox_fail(EINVAL, "unknown flags 0x%x", flags);
	if (!err)
		err = krepis_sandbox_load();
	if (!err)
		err = object(name, &domain);
	if (err)
		return err;
	err = locked(domain, create_locked, &creation);
	if (err)
		krepis_domain_close(domain);
	else
		*out = domain;
	return err;
}

KREPIS_SANDBOX_API int krepis_domain_open(const char *name, struct krepis_domain **out)
{
	struct krepis_domain *domain;
	int err = check_name(name);

	if (!err)
		err = krepis_sandbox_load();
	if (!err)
		err = object(name, &domain);
	if (err)
		return err;
	domain->id = find(domain->table, name);
	if (!domain->id) {
		krepis_domain_close(domain);
		return gone(name);
	}
	*out = domain;
	return 0;
}

/* ---------------------------------------------------------------------------- changing */

static const struct sandbox_domain *entry(const struct krepis_domain *domain)
{
	return &domain->table[sandbox_slot(domain->id)];
}

/* Whether it is there still. */
static int check(const struct krepis_domain *domain)
{
	return id_of(entry(domain)) == domain->id ? 0 : gone(domain->name);
}

static int remove_locked(struct krepis_domain *domain, const void *arg)
{
	int err = check(domain);

	if (!err)
		drop_all(domain->head, sandbox_slot(domain->id));
	return err;
}

KREPIS_SANDBOX_API int krepis_domain_remove(struct krepis_domain *domain)
{
	return locked(domain, remove_locked, NULL);
}

static int set_locked(struct krepis_domain *domain, const void *arg)
{
	return check(domain) ? : put_policy(domain, arg);
}

KREPIS_SANDBOX_API int krepis_domain_set(struct krepis_domain *domain,
					 const struct krepis_policy *policy)
{
	return locked(domain, set_locked, policy);
}

static int text_locked(struct krepis_domain *domain, const void *arg)
{
	return check(domain) ? : sandbox_get_text(sandbox_slot(domain->id), (char **)arg);
}

KREPIS_SANDBOX_API int krepis_domain_policy(struct krepis_domain *domain,
					    struct krepis_policy **out)
{
	char *text = NULL;
	int err = locked(domain, text_locked, &text);

	if (err)
		return err;
	err = krepis_policy_create(out);
	if (!err) {
		err = krepis_policy_parse(*out, text, strlen(text));
		if (err) {
			sandbox_fail(-err, "%s", krepis_policy_error(*out));
			krepis_policy_destroy(*out);
		}
	}
	free(text);
	return err;
}

KREPIS_SANDBOX_API int krepis_domain_query(struct krepis_domain *domain,
					   struct krepis_domain_info *info)
{
	const struct sandbox_domain *head = entry(domain);
	int err = check(domain);

	if (err)
		return err;
	*info = (struct krepis_domain_info){
		.id = domain->id,
		.complain = !!(head->flags & SANDBOX_COMPLAIN),
		.denials = __atomic_load_n(&head->denials, __ATOMIC_RELAXED),
		.lost = __atomic_load_n(&head->lost, __ATOMIC_RELAXED),
	};
	memcpy(info->name, domain->name, sizeof(info->name));
	return 0;
}

KREPIS_SANDBOX_API int krepis_domain_each(int (*f)(void *arg, const struct krepis_domain_info *info),
					  void *arg)
{
	struct krepis_domain domain = { .table = NULL };
	struct krepis_domain_info info;
	int ret = 0;

	if (access("/sys/fs/bpf/krepis", F_OK) && errno == ENOENT)
		return 0;
	ret = krepis_sandbox_load();
	if (ret)
		return ret;
	domain.table = map_table(PROT_READ);
	if (!domain.table)
		return -EPERM;
	for (uint32_t slot = 1; !ret && slot < SANDBOX_DOMAINS; slot++) {
		domain.id = id_of(&domain.table[slot]);
		if (!domain.id)
			continue;
		memcpy(domain.name, domain.table[slot].name, sizeof(domain.name));
		if (!krepis_domain_query(&domain, &info))
			ret = f(arg, &info);
	}
	unmap_table(domain.table);
	return ret;
}

/* ---------------------------------------------------------------------------- entering */

KREPIS_SANDBOX_API int krepis_domain_enter(struct krepis_domain *domain)
{
	uint64_t id = domain->id;
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &id, .ctx_size_in = sizeof(id));
	int err = check(domain);

	if (err)
		return err;
	if (bpf_prog_test_run_opts(domain->enter, &run))
		return sandbox_fail(errno, "entering the domain '%s': %s", domain->name,
				    strerror(errno));
	switch (-(int)run.retval) {
	case 0:
		return 0;
	case EINVAL:
		return gone(domain->name);
	case EEXIST:
		return sandbox_fail(EBUSY, "this process is in a domain already");
	}
	return sandbox_fail(ENOMEM, "too many processes are in domains, or in this one (%d and %d "
			    "credentials)", SANDBOX_LABELS, SANDBOX_LABELS_OF_ONE);
}

static int cgroup_locked(struct krepis_domain *domain, const void *arg)
{
	int fd, err = check(domain);
	uint64_t id;

	if (err)
		return err;
	fd = sandbox_object("cgroups");
	if (fd < 0)
		return fd;
	if (!bpf_map_lookup_elem(fd, arg, &id))
		err = id == domain->id ? 0 : sandbox_fail(EBUSY, "the control group has another domain");
	else if (bpf_map_update_elem(fd, arg, &domain->id, BPF_ANY))
		err = sandbox_fail(ENOSPC, "too many control groups have a domain (%d)",
				   SANDBOX_CGROUPS);
	if (!err)	/* somebody may come at any time */
		__atomic_fetch_and(&domain->head->flags, ~SANDBOX_TRANSIENT, __ATOMIC_RELAXED);
	close(fd);
	return err;
}

KREPIS_SANDBOX_API int krepis_domain_add_cgroup(struct krepis_domain *domain, const char *path)
{
	struct { struct file_handle handle; __u64 id; } h = { .handle.handle_bytes = sizeof(h.id) };
	struct statfs fs;
	__u64 id;
	int mount;

	if (statfs(path, &fs))
		return sandbox_fail(errno, "%s: %s", path, strerror(errno));
	/* The handle of a control group is its id. */
	if (fs.f_type != CGROUP2_TYPE ||
	    name_to_handle_at(AT_FDCWD, path, &h.handle, &mount, 0) ||
	    h.handle.handle_bytes != sizeof(id))
		return sandbox_fail(ENOTDIR, "%s is no control group: give a directory of cgroup v2, "
				    "below /sys/fs/cgroup", path);
	memcpy(&id, h.handle.f_handle, sizeof(id));
	return locked(domain, cgroup_locked, &id);
}
