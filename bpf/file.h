/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files, and the channels among them: what is opened, changed, moved, mapped and executed.
 */
#ifndef KREPIS_BPF_FILE_H
#define KREPIS_BPF_FILE_H

#include "task.h"
#include "walk.h"

#define FMODE_READ	(1U << 0)
#define FMODE_WRITE	(1U << 1)
#define FMODE_PREAD	(1U << 3)
#define FMODE_PWRITE	(1U << 4)
#define FMODE_BACKING	(3U << 24)	/* the one bit or the other: it has moved */
#define MNT_NS_INTERNAL	(-EINVAL)
#define O_TRUNC		01000
#define __FMODE_EXEC	040
#define __O_TMPFILE	020000000
#define PROT_EXEC	4
#define RENAME_EXCHANGE	2
#define CAP_SETFCAP	31

#define S_IFMT		0170000
#define S_IFDIR		0040000
#define S_IFREG		0100000
#define S_IFCHR		0020000
#define S_IFBLK		0060000

#define KREPIS_SUPER_MAGIC	0x6b727073	/* of <linux/krepis.h> */
#define BPF_FS_MAGIC	0xcafe4a11
#define PROC_MAGIC	0x9fa0
#define SYSFS_MAGIC	0x62656572
#define BINFMT_MAGIC	0x42494e4d
#define CGROUP1_MAGIC	0x27e0eb
#define DEBUGFS_MAGIC	0x64626720
#define TRACEFS_MAGIC	0x74726163
#define SECURITYFS_MAGIC 0x73636673
#define CONFIGFS_MAGIC	0x62656570
#define ANON_MAGIC	0x09041934
#define MQUEUE_MAGIC	0x19800202

static __always_inline umode_t mode_of(const struct file *file)
{
	return get(struct inode, get(struct file, file, f_inode), i_mode);
}

static __always_inline unsigned long magic_of(const struct dentry *dentry)
{
	return get(struct super_block, get(struct dentry, dentry, d_sb), s_magic);
}

static __always_inline const struct path *path_of(const struct file *file)
{
	return (void *)file + bpf_core_field_offset(struct file, f_path);
}

static __always_inline int decide_file(const struct file *file, __u32 wanted)
{
	return decide_path(path_of(file), wanted);
}

/* ------------------------------------------------------------------------- channels */

/*
 * What who has @file may be on its channel: 0 if it is none. The module gives an endpoint
 * of a producer FMODE_PWRITE and one of a consumer FMODE_PREAD, which nobody can change.
 * A channel's file has both, or neither yet while it is opened, and makes endpoints by how it
 * was opened.
 */
static __always_inline __u32 roles(const struct file *file)
{
	__u32 mode = get(struct file, file, f_mode), both = FMODE_PREAD | FMODE_PWRITE;

	if (magic_of(get(struct file, file, f_path.dentry)) != KREPIS_SUPER_MAGIC ||
	    (mode_of(file) & S_IFMT) != S_IFREG)
		return 0;
	if ((mode & both) == both || !(mode & both))
		return (mode & FMODE_READ ? SANDBOX_CONSUME : 0) |
		       (mode & FMODE_WRITE ? SANDBOX_PRODUCE : 0);
	return mode & FMODE_PWRITE ? SANDBOX_PRODUCE : SANDBOX_CONSUME;
}

/*
 * Whether the role of @file is still allowed to who uses it, and, if that is not who made it,
 * its maker may pass it on: there are ways to give a file away that no hook sees, as a
 * message between two rings. Not a channel: 0.
 */
static __always_inline int decide_role(const struct file *file)
{
	__u32 role = roles(file);
	__u64 id, from;
	struct place at;
	int err = 0;

	if (!role)
		return 0;
	id = own_domain();
	from = domain_of(BPF_CORE_READ(file, f_cred));
	at.dentry = get(struct file, file, f_path.dentry);
	at.mnt = get(struct file, file, f_path.mnt);
	if (from && from != id)
		err = decide_for(from, &at, SANDBOX_PASS, false);
	return err || !id ? err : decide_for(id, &at, role, false);
}

/* --------------------------------------------------------------------------- guarded */

/* Whether the name of @dentry begins with @wanted, a constant. */
#define has_name(dentry, wanted)								\
	({										\
		char name_[sizeof(wanted)] = "";					\
		bool same_ = true;							\
											\
		bpf_probe_read_kernel_str(name_, sizeof(name_),				\
					  BPF_CORE_READ(dentry, d_name.name));		\
		_Pragma("unroll")							\
		for (unsigned int i_ = 0; i_ < sizeof(wanted) - 1; i_++)		\
			same_ &= name_[i_] == wanted[i_];				\
		same_;									\
	})

struct top {
	struct place at;
	bool found;
};

/* Goes to the entry of the root that @t is below. */
static long to_top(__u32 i, struct top *t)
{
	struct dentry *dentry = t->at.dentry, *parent = BPF_CORE_READ(dentry, d_parent);

	t->found = parent == BPF_CORE_READ(parent, d_parent);
	if (!t->found)
		t->at.dentry = parent;
	return t->found;
}

/*
 * In procfs the names of programs that the kernel executes, outside of all domains, stand
 * below sys, and orders to it in sysrq-trigger: both begin like this. So does sysvipc, where
 * nothing can be written.
 */
static __always_inline bool is_order(struct dentry *dentry)
{
	struct top t = { .at.dentry = dentry };

	bpf_loop(SANDBOX_DEPTH, to_top, &t, 0);
	dentry = t.at.dentry;
	return !t.found || has_name(dentry, "sys");
}

/*
 * What changes the kernel and not a file, and would undo the sandbox: our programs' pins,
 * programs that the kernel executes, traces. For no domain, whatever it is allowed.
 */
static __always_inline int guard(struct dentry *dentry)
{
	const __u32 op = SANDBOX_OP_PINS;
	struct sandbox_domain *d;
	__u64 id = own_domain();

	if (!id)
		return 0;
	switch (magic_of(dentry)) {
	case BPF_FS_MAGIC:
	case BINFMT_MAGIC:
	case CGROUP1_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case CONFIGFS_MAGIC:
		break;
	case PROC_MAGIC:
		if (is_order(dentry))
			break;
		return 0;
	case SYSFS_MAGIC:
		if (has_name(dentry, "uevent_helper"))
			break;
		return 0;
	default:
		return 0;
	}
	d = live_domain(id);
	if (d)
		tell_of(id, d, SANDBOX_ON_SYS, op, "", 1);
	return -EPERM;
}

/* ---------------------------------------------------------------------------- opened */

/*
 * Code may come from what may be executed or read, unless executing it is denied. Not only
 * from what may be executed: an interpreter and the libraries are opened and mapped, and
 * nobody named them. Who executes a program is asked in bprm_check_security().
 */
static __always_inline int decide_code(const struct path *path)
{
	struct place at = { get(struct path, path, dentry), get(struct path, path, mnt) };
	const __u32 either = SANDBOX_READ | SANDBOX_EXEC;
	__u64 id = own_domain();
	struct sandbox_domain *d;
	struct walk w = { 0 };
	void *rules;

	if (!id)
		return 0;
	d = live_domain(id);
	rules = of_domain(&policies, id);
	if (!d || !rules)
		return -EACCES;
	if (walk_up(rules, &at, either, false, &w) && !(w.deny & SANDBOX_EXEC) &&
	    (is_internal(at.dentry) || w.allow & ~w.deny & either))
		return 0;
	return tell_file(id, d, &at, SANDBOX_EXEC, -EACCES);
}

/*
 * A program that acts for its owner: whoever is outside and executes it does, as by the
 * capabilities of a file, which take this capability.
 */
static __always_inline int decide_mode(umode_t mode)
{
	struct sandbox_domain *d;
	__u64 id;

	if ((mode & S_IFMT) != S_IFREG || !(mode & (S_ISUID | S_ISGID)))
		return 0;
	id = own_domain();
	d = live_domain(id);
	if (!id || (d && d->caps & 1ULL << CAP_SETFCAP))
		return 0;
	if (!d)
		return -EPERM;
	tell_of(id, d, SANDBOX_ON_CAP, CAP_SETFCAP, "", 1);
	return verdict(d, -EPERM);
}

/*
 * A disk has the files on it that are denied, too. So where a policy denies anything, it takes
 * a rule for this one: one for a directory, or for all, does not mean it.
 */
static __always_inline int decide_disk(const struct file *file, __u32 wanted)
{
	const struct sandbox_key every = { SANDBOX_EVERY, SANDBOX_EVERY, SANDBOX_EVERY };
	struct place at = { get(struct file, file, f_path.dentry),
			    get(struct file, file, f_path.mnt) };
	struct sandbox_rule *all, *own;
	struct sandbox_key key = { 0 };
	__u64 id = own_domain();
	struct sandbox_domain *d = live_domain(id);
	void *rules = of_domain(&policies, id);

	if (!d || !rules)
		return -EACCES;
	all = bpf_map_lookup_elem(rules, &every);
	if (all && !all->self)
		return 0;
	key_of(at.dentry, &key);
	own = bpf_map_lookup_elem(rules, &key);
	return own && !(wanted & ~own->allow) ? 0 : tell_file(id, d, &at, wanted, -EACCES);
}

SEC("lsm/file_open")
int BPF_PROG(sandbox_file_open, struct file *file, int ret)
{
	__u32 mode, flags, wanted;
	int err;

	if (ret || !own_domain())
		return ret;
	mode = get(struct file, file, f_mode);
	flags = get(struct file, file, f_flags);
	if (flags & __FMODE_EXEC)
		return decide_code(path_of(file));
	/* A name that is no path, though the kernel keeps it as one. */
	if (magic_of(get(struct file, file, f_path.dentry)) == MQUEUE_MAGIC)
		return refuse_unless(SANDBOX_SYS_IPC, SANDBOX_OP_IPC, -EACCES);
	if (mode & FMODE_WRITE) {
		err = guard(get(struct file, file, f_path.dentry));
		if (!err && flags & __O_TMPFILE)
			err = decide_mode(mode_of(file));
		if (err)
			return err;
	}
	wanted = roles(file);
	if (!wanted && (mode & FMODE_WRITE || flags & O_TRUNC))
		wanted = SANDBOX_WRITE;
	if (mode & FMODE_READ && !(wanted & (SANDBOX_CONSUME | SANDBOX_PRODUCE)))
		wanted |= SANDBOX_READ;
	/* Neither: it can still be mapped by nobody, but ioctl(2) works. */
	if (!wanted)
		wanted = SANDBOX_READ;
	err = decide_file(file, wanted);
	return err || (mode_of(file) & S_IFMT) != S_IFBLK ? err : decide_disk(file, wanted);
}

/* Who watches a directory learns the names in it. */
SEC("lsm/path_notify")
int BPF_PROG(sandbox_path_notify, const struct path *path, __u64 mask, unsigned int type, int ret)
{
	return ret ? : decide_path(path, SANDBOX_READ);
}

/* By a UNIX socket, or pidfd_getfd(2). Of ordinary files it is for the giver to decide. */
SEC("lsm/file_receive")
int BPF_PROG(sandbox_file_receive, struct file *file, int ret)
{
	__u64 id = own_domain(), from;
	__u32 role;
	struct place at;
	int err = 0;

	if (ret)
		return ret;
	from = domain_of(BPF_CORE_READ(file, f_cred));
	if (id == from)
		return 0;
	role = roles(file);
	if (!role)
		return 0;
	at.dentry = get(struct file, file, f_path.dentry);
	at.mnt = get(struct file, file, f_path.mnt);
	if (from)
		err = decide_for(from, &at, SANDBOX_PASS, false);
	if (!err && id)
		err = decide_for(id, &at, role | SANDBOX_PASS, false);
	return err;
}

/* ---------------------------------------------------------------------------- mapped */

/* A table of ours, perhaps: to write there needs no bpf(2). */
static __always_inline bool is_bpf_map(const struct file *file)
{
	const struct dentry *dentry = get(struct file, file, f_path.dentry);

	return magic_of(dentry) == ANON_MAGIC && has_name(dentry, "bpf-map");
}

SEC("lsm/mmap_file")
int BPF_PROG(sandbox_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot,
	     unsigned long flags, int ret)
{
	int err;

	if (ret || !file)
		return ret;
	err = decide_role(file);
	if (err || !own_domain())
		return err;
	if (is_bpf_map(file))
		return forbid(SANDBOX_OP_BPF);
	return prot & PROT_EXEC ? decide_code(path_of(file)) : 0;
}

/*
 * Where the file of a mapping was opened: in an overlay, not where it lies, which is a mount
 * of the overlay's own. Nobody else has files on such a mount.
 */
static __always_inline const struct path *mapped_path(const struct file *file)
{
	struct vfsmount *mnt = get(struct file, file, f_path.mnt);
	struct mount *mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);

	if (bpf_core_type_exists(struct backing_file) &&
	    get(struct file, file, f_mode) & FMODE_BACKING &&
	    (long)BPF_CORE_READ(mount, mnt_ns) == MNT_NS_INTERNAL &&
	    !is_internal(get(struct file, file, f_path.dentry)))
		return (void *)file + bpf_core_field_offset(struct backing_file, user_path);
	return path_of(file);
}

SEC("lsm/file_mprotect")
int BPF_PROG(sandbox_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot,
	     unsigned long prot, int ret)
{
	const struct file *file;

	if (ret || !(prot & PROT_EXEC))
		return ret;
	file = BPF_CORE_READ(vma, vm_file);
	return file ? decide_code(mapped_path(file)) : 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(sandbox_bprm_check_security, struct linux_binprm *bprm, int ret)
{
	struct place at;
	__u64 id;

	if (ret)
		return ret;
	/* Of what comes: who executes in a control group is in its domain from here on. */
	id = domain_of(BPF_CORE_READ(bprm, cred));
	if (!id)
		return 0;
	at.dentry = BPF_CORE_READ(bprm, file, f_path.dentry);
	at.mnt = BPF_CORE_READ(bprm, file, f_path.mnt);
	return decide_for(id, &at, SANDBOX_EXEC, false);
}

/* --------------------------------------------------------------------------- changed */

static __always_inline int change(const struct path *path, __u32 wanted)
{
	int err = guard(get(struct path, path, dentry));

	return err ? : decide_path(path, wanted);
}

SEC("lsm/path_truncate")
int BPF_PROG(sandbox_path_truncate, const struct path *path, int ret)
{
	return ret ? : change(path, SANDBOX_WRITE);
}

SEC("lsm/file_truncate")
int BPF_PROG(sandbox_file_truncate, struct file *file, int ret)
{
	return ret ? : decide_file(file, SANDBOX_WRITE);
}

SEC("lsm/path_chmod")
int BPF_PROG(sandbox_path_chmod, const struct path *path, umode_t mode, int ret)
{
	umode_t type;

	if (ret || !own_domain())
		return ret;
	type = get(struct inode, get(struct dentry, get(struct path, path, dentry), d_inode),
		   i_mode) & S_IFMT;
	return decide_mode(type | (mode & ~S_IFMT)) ? : change(path, SANDBOX_META);
}

SEC("lsm/path_chown")
int BPF_PROG(sandbox_path_chown, const struct path *path, __u32 uid, __u32 gid, int ret)
{
	return ret ? : change(path, SANDBOX_META);
}

/* These are not told the mount: see root_allow. */
static __always_inline int change_meta(struct dentry *dentry)
{
	int err = guard(dentry);

	return err ? : decide(NULL, dentry, SANDBOX_META);
}

#define ATTR_SIZE	(1U << 3)
#define ATTR_ATIME	(1U << 4)
#define ATTR_MTIME	(1U << 5)

/* Of inode_setattr() what has no hook of its own: the times, where they are not the size's. */
static __always_inline int change_times(struct dentry *dentry, const struct iattr *attr)
{
	__u32 valid = BPF_CORE_READ(attr, ia_valid);

	if (valid & ATTR_SIZE || !(valid & (ATTR_ATIME | ATTR_MTIME)))
		return 0;
	return change_meta(dentry);
}

SEC("?lsm/inode_setattr")
int BPF_PROG(sandbox_inode_setattr, void *idmap, struct dentry *dentry, struct iattr *attr, int ret)
{
	return ret ? : change_times(dentry, attr);
}

/* Before 6.3 */
SEC("?lsm/inode_setattr")
int BPF_PROG(sandbox_inode_setattr_old, struct dentry *dentry, struct iattr *attr, int ret)
{
	return ret ? : change_times(dentry, attr);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(sandbox_inode_setxattr, void *idmap, struct dentry *dentry, const char *name,
	     const void *value, unsigned long size, int flags, int ret)
{
	return ret ? : change_meta(dentry);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(sandbox_inode_removexattr, void *idmap, struct dentry *dentry, const char *name,
	     int ret)
{
	return ret ? : change_meta(dentry);
}

/* From 6.2: before, they are extended attributes like others. */
SEC("?lsm/inode_set_acl")
int BPF_PROG(sandbox_inode_set_acl, void *idmap, struct dentry *dentry, const char *name,
	     void *acl, int ret)
{
	return ret ? : change_meta(dentry);
}

SEC("?lsm/inode_remove_acl")
int BPF_PROG(sandbox_inode_remove_acl, void *idmap, struct dentry *dentry, const char *name,
	     int ret)
{
	return ret ? : change_meta(dentry);
}

/* --------------------------------------------------------------------------- entries */

static __always_inline int make(const struct path *dir)
{
	return change(dir, SANDBOX_CREATE);
}

SEC("lsm/path_mknod")
int BPF_PROG(sandbox_path_mknod, const struct path *dir, struct dentry *dentry, umode_t mode,
	     unsigned int dev, int ret)
{
	if (ret || !own_domain())
		return ret;
	/* Without a type it is an ordinary file. */
	return decide_mode(mode & S_IFMT ? mode : mode | S_IFREG) ? : make(dir);
}

SEC("lsm/path_mkdir")
int BPF_PROG(sandbox_path_mkdir, const struct path *dir, struct dentry *dentry, umode_t mode,
	     int ret)
{
	return ret ? : make(dir);
}

SEC("lsm/path_symlink")
int BPF_PROG(sandbox_path_symlink, const struct path *dir, struct dentry *dentry, const char *to,
	     int ret)
{
	return ret ? : make(dir);
}

/* What is allowed counts from the directory on; what is denied, from the victim. */
static __always_inline int take_away(const struct path *dir, struct dentry *victim)
{
	struct place at = { victim, get(struct path, dir, mnt) };
	__u64 id = own_domain();

	if (!id)
		return 0;
	return guard(victim) ? : decide_for(id, &at, SANDBOX_REMOVE, true);
}

SEC("lsm/path_unlink")
int BPF_PROG(sandbox_path_unlink, const struct path *dir, struct dentry *dentry, int ret)
{
	return ret ? : take_away(dir, dentry);
}

SEC("lsm/path_rmdir")
int BPF_PROG(sandbox_path_rmdir, const struct path *dir, struct dentry *dentry, int ret)
{
	return ret ? : take_away(dir, dentry);
}

/*
 * Whether @what, which is in @from and comes to @to, could then be used as it cannot now.
 * -EXDEV, as between file systems: who only wants to move it copies it, and that is allowed
 * or not. What a rule says of itself goes with it.
 */
static __always_inline int gains(const struct dentry *what, struct place *from, struct place *to)
{
	__u64 id = own_domain();
	__u32 more;
	struct sandbox_domain *d = live_domain(id);
	void *rules = of_domain(&policies, id);
	struct sandbox_key key = { 0 };
	struct sandbox_rule *own;

	if (!d || !rules)
		return -EACCES;
	more = rights_at(rules, to, SANDBOX_FILE_ALL, false) &
	       ~rights_at(rules, from, SANDBOX_FILE_ALL, false);
	key_of(what, &key);
	own = bpf_map_lookup_elem(rules, &key);
	if (own)
		more &= ~(own->allow | own->deny);
	return more ? tell_file(id, d, from, more, -EXDEV) : 0;
}

SEC("lsm/path_link")
int BPF_PROG(sandbox_path_link, struct dentry *old, const struct path *dir, struct dentry *dentry,
	     int ret)
{
	struct place from, to;
	int err;

	if (ret || !own_domain())
		return ret;
	err = make(dir);
	if (err)
		return err;
	/* Links are within a mount. */
	to.mnt = from.mnt = get(struct path, dir, mnt);
	to.dentry = get(struct path, dir, dentry);
	from.dentry = BPF_CORE_READ(old, d_parent);
	return from.dentry == to.dentry ? 0 : gains(old, &from, &to);
}

SEC("lsm/path_rename")
int BPF_PROG(sandbox_path_rename, const struct path *old_dir, struct dentry *old,
	     const struct path *new_dir, struct dentry *new, unsigned int flags, int ret)
{
	struct place from, to;
	int err;

	if (ret || !own_domain())
		return ret;
	err = take_away(old_dir, old);
	if (!err)
		err = make(new_dir);
	if (!err && BPF_CORE_READ(new, d_inode))
		err = take_away(new_dir, new);
	if (!err && flags & RENAME_EXCHANGE)
		err = make(old_dir);
	if (err)
		return err;
	from.mnt = to.mnt = get(struct path, new_dir, mnt);
	from.dentry = get(struct path, old_dir, dentry);
	to.dentry = get(struct path, new_dir, dentry);
	if (from.dentry == to.dentry)
		return 0;
	err = gains(old, &from, &to);
	return err || !(flags & RENAME_EXCHANGE) ? err : gains(new, &to, &from);
}

#endif /* KREPIS_BPF_FILE_H */
