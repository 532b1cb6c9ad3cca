/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a domain may do with a file. A rule is for an inode and holds for all below it, on
 * whatever way one comes there: so a path is not compared but walked, from the file up to
 * the root of the mounts, and what the rules of its directories say is put together.
 */
#ifndef KREPIS_BPF_WALK_H
#define KREPIS_BPF_WALK_H

#include "core.h"

#define SB_NOUSER	(1UL << 31)

struct rules {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	/* Sizes, not types: 6.1 finds a map that the library makes unlike one with types. */
	__uint(key_size, sizeof(struct sandbox_key));
	__uint(value_size, sizeof(struct sandbox_rule));
} no_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SANDBOX_DOMAINS);
	__type(key, __u32);
	__array(values, struct rules);
} policies SEC(".maps");

/* A place on the way up. No mount: the way ends at the root of the file system. */
struct place {
	struct dentry *dentry;
	struct vfsmount *mnt;
};

enum step { ABOVE, ROOT, LOST };

/*
 * Goes on to the directory above. LOST: there is none, and this is no root: it was opened by
 * its handle, or was moved away from under its mount.
 */
static __always_inline enum step climb(struct place *p)
{
	/* Own variables: places are no kernel's structure, and not to be relocated. */
	struct dentry *dentry = p->dentry, *parent;
	struct vfsmount *mnt = p->mnt;
	struct mount *mount, *up;

	if (mnt && dentry == get(struct vfsmount, mnt, mnt_root)) {
		mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		up = get(struct mount, mount, mnt_parent);
		if (up == mount)
			return ROOT;
		p->dentry = get(struct mount, mount, mnt_mountpoint);
		p->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return ABOVE;
	}
	parent = get(struct dentry, dentry, d_parent);
	if (parent == dentry)
		return LOST;
	p->dentry = parent;
	return ABOVE;
}

/* Without an inode, as a file is that does not exist yet, all is 0: no rule has that. */
static __always_inline void key_of(const struct dentry *dentry, struct sandbox_key *key)
{
	struct inode *inode = get(struct dentry, dentry, d_inode);

	key->ino = get(struct inode, inode, i_ino);
	key->dev = get(struct super_block, get(struct inode, inode, i_sb), s_dev);
	key->generation = get(struct inode, inode, i_generation);
}

/* No path leads there: pipes, sockets, memfds. Who has it was given it, or made it. */
static __always_inline bool is_internal(const struct dentry *dentry)
{
	return get(struct super_block, get(struct dentry, dentry, d_sb), s_flags) & SB_NOUSER;
}

/**
 * struct walk - a way up
 * @wanted:	what is asked for
 * @allow:	seen so far
 * @deny:	seen so far
 * @all:	look at the whole way, because something may be denied
 * @above:	what is allowed counts from the directory on, as it does to remove a file
 * @whole:	the root was reached, or nothing is left to be found
 */
struct walk {
	struct place at;
	void *rules;
	__u32 wanted, allow, deny, all, above, whole;
};

static long look(__u32 i, struct walk *w)
{
	struct sandbox_key key = { 0 };
	struct sandbox_rule *rule;
	void *rules = w->rules;

	if (!rules)
		return 1;
	key_of(w->at.dentry, &key);
	rule = bpf_map_lookup_elem(rules, &key);
	if (rule) {
		bool root = !w->at.mnt;

		if (i || !w->above)
			w->allow |= rule->allow | (root ? rule->root_allow : 0);
		w->deny |= rule->deny | (root ? rule->root_deny : 0) |
			   (i || !w->above ? 0 : rule->self);
	}
	if (!(w->wanted & ~w->allow) && !w->all) {
		w->whole = 1;
		return 1;
	}
	switch (climb(&w->at)) {
	case ABOVE:
		return 0;
	case LOST:
		/*
		 * Perhaps below what is denied: without a mount, if this root is not known.
		 * Not what hangs nowhere because no path leads there.
		 */
		if (w->all && !is_internal(w->at.dentry) &&
		    (w->at.mnt || !(w->allow & SANDBOX_ROOT)))
			w->deny = w->wanted;
		break;
	case ROOT:
		break;
	}
	w->whole = 1;
	return 1;
}

/* Goes up from @at, until it has found @wanted. Return: false: it is too deep, so nothing is. */
static __always_inline bool walk_up(void *rules, const struct place *at, __u32 wanted, bool above,
				    struct walk *w)
{
	const struct sandbox_key every = { SANDBOX_EVERY, SANDBOX_EVERY, SANDBOX_EVERY };
	struct sandbox_rule *rule = bpf_map_lookup_elem(rules, &every);

	if (!rule)
		return false;
	w->at = *at;
	w->rules = rules;
	w->wanted = wanted;
	w->allow = rule->allow;
	w->deny = rule->deny;
	w->all = rule->self;
	w->above = above;
	w->whole = !(wanted & ~w->allow) && !w->all;
	if (!w->whole)
		bpf_loop(SANDBOX_DEPTH, look, w, 0);
	return w->whole;
}

/* Which of @wanted the rules allow at @at. */
static __always_inline __u32 rights_at(void *rules, const struct place *at, __u32 wanted,
				       bool above)
{
	struct walk w = { 0 };

	return walk_up(rules, at, wanted, above, &w) ? wanted & w.allow & ~w.deny : 0;
}

/* -------------------------------------------------------------------------- events */

struct spelling {
	struct place at;
	struct sandbox_event *event;
};

/* The names on the way up. At the end without a mount, or of one that hangs nowhere, no more. */
static long spell(__u32 i, struct spelling *s)
{
	struct sandbox_event *e = s->event;
	struct dentry *dentry = s->at.dentry;
	struct vfsmount *mnt = s->at.mnt;
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	__u32 bytes;
	long n;

	if (!e)
		return 1;
	bytes = e->bytes;
	/* A root's name is no part of the path. */
	if (!mnt || dentry != BPF_CORE_READ(mnt, mnt_root)) {
		if (bytes > SANDBOX_OBJECT - 256)
			return 1;
		n = bpf_probe_read_kernel_str(e->object + bytes, 256, name);
		if (n < 0)
			return 1;
		e->bytes = bytes + n;
	}
	return climb(&s->at) != ABOVE;
}

static __always_inline int tell_file(__u64 id, struct sandbox_domain *d, const struct place *at,
				     __u32 rights, int err)
{
	struct spelling s = { .at = *at };

	s.event = event_begin(id, d, SANDBOX_ON_FILE, rights);
	if (s.event) {
		bpf_loop(SANDBOX_DEPTH, spell, &s, 0);
		bpf_ringbuf_submit(s.event, 0);
	}
	return verdict(d, err);
}

/* ------------------------------------------------------------------------ decisions */

/* All of @wanted, at @at, in the domain @id. */
static __always_inline int decide_for(__u64 id, const struct place *at, __u32 wanted, bool above)
{
	struct sandbox_domain *d = live_domain(id);
	void *rules = of_domain(&policies, id);
	__u32 lacks;

	if (!d || !rules)
		return -EACCES;
	if (is_internal(at->dentry) && !(wanted & SANDBOX_EXEC))
		return 0;
	lacks = wanted & ~rights_at(rules, at, wanted, above);
	return lacks ? tell_file(id, d, at, lacks, -EACCES) : 0;
}

static __always_inline int decide(struct vfsmount *mnt, struct dentry *dentry, __u32 wanted)
{
	struct place at = { dentry, mnt };
	__u64 id = own_domain();

	return id ? decide_for(id, &at, wanted, false) : 0;
}

static __always_inline int decide_path(const struct path *path, __u32 wanted)
{
	return decide(get(struct path, path, mnt), get(struct path, path, dentry), wanted);
}

#endif /* KREPIS_BPF_WALK_H */
