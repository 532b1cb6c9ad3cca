/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tasks: who is in which domain. Credentials are where those are from which they were
 * made, and nobody leaves.
 */
#ifndef KREPIS_BPF_TASK_H
#define KREPIS_BPF_TASK_H

#include "core.h"

#define S_ISUID		04000
#define S_ISGID		02000
#define PTRACE_MODE_NOAUDIT 4
#define F_SETOWN	8
#define F_SETOWN_EX	15
#define CGROUP_LEVELS	32

/* A control group's id, and the domain of who executes a program in it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SANDBOX_CGROUPS);
	__type(key, __u64);
	__type(value, __u64);
} cgroups SEC(".maps");

/* --------------------------------------------------------------------------- labels */

/* Labels of the domain @id, if it is there still. */
static __always_inline void count(__u64 id, __s64 more)
{
	struct sandbox_domain *d = live_domain(id);

	if (d)
		__sync_fetch_and_add(&d->labels, more);
}

/* Credentials that have no label get that of the domain @id, if it is there still. */
static __always_inline int put_label(const struct cred *cred, __u64 id)
{
	struct sandbox_domain *d = live_domain(id);
	__u64 key = (__u64)cred;
	int err;

	if (!d)
		return -EINVAL;
	/* Two that are here at once may have a few more. */
	if (d->labels >= SANDBOX_LABELS_OF_ONE)
		return -ENOMEM;
	err = bpf_map_update_elem(&labels, &key, &id, BPF_NOEXIST);
	if (!err)
		__sync_fetch_and_add(&d->labels, 1);
	return err;
}

static __always_inline void unlabel(const struct cred *cred)
{
	__u64 key = (__u64)cred, id = domain_of(cred);

	if (id && !bpf_map_delete_elem(&labels, &key))
		count(id, -1);
}

/*
 * Those of an earlier life may have left theirs, if cred_free() could not: 6.1 does not wait
 * where an interrupt came in the middle of another change. Or somebody is taken for who was
 * there before.
 */
static __always_inline int label(const struct cred *cred, __u64 id)
{
	unlabel(cred);
	return id && put_label(cred, id) ? -ENOMEM : 0;
}

SEC("lsm/cred_prepare")
int BPF_PROG(sandbox_cred_prepare, struct cred *new, const struct cred *old, unsigned int gfp,
	     int ret)
{
	return ret ? : label(new, domain_of(old));
}

/*
 * Of keyctl(KEYCTL_SESSION_TO_PARENT): what a child makes for its parent. Labelled here as
 * the child is, because where the labels are full this can fail, and cred_transfer() cannot:
 * nobody would be taken for nobody.
 */
SEC("lsm/cred_alloc_blank")
int BPF_PROG(sandbox_cred_alloc_blank, struct cred *cred, unsigned int gfp, int ret)
{
	return ret ? : label(cred, own_domain());
}

/*
 * The parent puts it on, and stays where it is: also in a domain that was removed, or has its
 * share of labels. In one step, so that it is never without one.
 */
SEC("lsm/cred_transfer")
int BPF_PROG(sandbox_cred_transfer, struct cred *new, const struct cred *old)
{
	__u64 key = (__u64)new, id = domain_of(old), was = domain_of(new);

	if (id == was)
		return 0;
	if (!id) {
		unlabel(new);
	} else if (!bpf_map_update_elem(&labels, &key, &id, BPF_ANY)) {
		count(was, -1);
		count(id, 1);
	}
	return 0;
}

SEC("lsm/cred_free")
int BPF_PROG(sandbox_cred_free, struct cred *cred)
{
	unlabel(cred);
	return 0;
}

/* Run by who enters, for itself. */
SEC("syscall")
int sandbox_enter(__u64 *id)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	return put_label(task->cred, *id);
}

/* The domain of the nearest control group that has one. */
static __always_inline __u64 domain_of_cgroup(void)
{
	__u64 id = 0;

	for (int level = 1; level < CGROUP_LEVELS; level++) {
		__u64 cgroup = bpf_get_current_ancestor_cgroup_id(level);
		__u64 *found;

		if (!cgroup)
			break;
		found = bpf_map_lookup_elem(&cgroups, &cgroup);
		if (found)
			id = *found;
	}
	return id;
}

SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(sandbox_bprm_creds_for_exec, struct linux_binprm *bprm, int ret)
{
	__u64 id;

	if (ret || own_domain())
		return ret;
	id = domain_of_cgroup();
	return id ? label(BPF_CORE_READ(bprm, cred), id) : 0;
}

/* ----------------------------------------------------------------- what is refused */

/* Whether what the domain @id must not do is refused: not if it only complains. */
static __always_inline int refuse(__u64 id, __u32 op, int err)
{
	struct sandbox_domain *d = live_domain(id);

	if (!d)
		return err;
	tell_of(id, d, SANDBOX_ON_SYS, op, "", 1);
	return verdict(d, err);
}

/* As @refuse, but nobody learns to do without: it would undo the sandbox. */
static __always_inline int forbid(__u32 op)
{
	__u64 id = own_domain();

	if (!id)
		return 0;
	refuse(id, op, -EPERM);
	return -EPERM;
}

static __always_inline int refuse_unless(__u32 sys, __u32 op, int err)
{
	__u64 id = own_domain();
	struct sandbox_domain *d;

	if (!id)
		return 0;
	d = live_domain(id);
	return d && d->sys & sys ? 0 : refuse(id, op, err);
}

static __always_inline __u64 capabilities(const struct cred *cred)
{
	__u64 caps = ~0ULL;

	bpf_probe_read_kernel(&caps, sizeof(caps),
			      (void *)cred + bpf_core_field_offset(struct cred, cap_permitted));
	return caps;
}

/* A program that would gain by its file's mode or capabilities. */
SEC("lsm/bprm_creds_from_file")
int BPF_PROG(sandbox_bprm_creds_from_file, struct linux_binprm *bprm, struct file *file, int ret)
{
	const struct cred *old, *new;
	__u64 id = own_domain();

	if (ret || !id)
		return ret;
	old = ((struct task_struct *)bpf_get_current_task_btf())->cred;
	new = BPF_CORE_READ(bprm, cred);
	if (BPF_CORE_READ(new, euid.val) == BPF_CORE_READ(old, euid.val) &&
	    BPF_CORE_READ(new, egid.val) == BPF_CORE_READ(old, egid.val) &&
	    !(capabilities(new) & ~capabilities(old)))
		return 0;
	return refuse(id, SANDBOX_OP_SETUID, -EPERM);
}

/* Others may be looked at and signalled only in the own domain. */
static __always_inline int reach(const struct task_struct *task, __u32 op, bool quiet)
{
	struct sandbox_domain *d;
	__u64 id = own_domain();
	__u32 pid;

	if (!id || domain_of(BPF_CORE_READ(task, real_cred)) == id)
		return 0;
	d = live_domain(id);
	if (!d)
		return -EPERM;
	if (quiet)
		return verdict(d, -EPERM);
	pid = BPF_CORE_READ(task, tgid);
	tell_of(id, d, SANDBOX_ON_TASK, op, &pid, sizeof(pid));
	return verdict(d, -EPERM);
}

SEC("lsm/task_kill")
int BPF_PROG(sandbox_task_kill, struct task_struct *task, void *info, int sig,
	     const struct cred *cred, int ret)
{
	return ret ? : reach(task, SANDBOX_OP_SIGNAL, false);
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(sandbox_ptrace_access_check, struct task_struct *child, unsigned int mode, int ret)
{
	return ret ? : reach(child, SANDBOX_OP_PTRACE, mode & PTRACE_MODE_NOAUDIT);
}

SEC("lsm/task_setnice")
int BPF_PROG(sandbox_task_setnice, struct task_struct *task, int nice, int ret)
{
	return ret ? : reach(task, SANDBOX_OP_SCHED, false);
}

SEC("lsm/task_setioprio")
int BPF_PROG(sandbox_task_setioprio, struct task_struct *task, int ioprio, int ret)
{
	return ret ? : reach(task, SANDBOX_OP_SCHED, false);
}

SEC("lsm/task_setscheduler")
int BPF_PROG(sandbox_task_setscheduler, struct task_struct *task, int ret)
{
	return ret ? : reach(task, SANDBOX_OP_SCHED, false);
}

SEC("lsm/task_setrlimit")
int BPF_PROG(sandbox_task_setrlimit, struct task_struct *task, unsigned int resource, void *limit,
	     int ret)
{
	return ret ? : reach(task, SANDBOX_OP_SCHED, false);
}

SEC("lsm/task_movememory")
int BPF_PROG(sandbox_task_movememory, struct task_struct *task, int ret)
{
	return ret ? : reach(task, SANDBOX_OP_SCHED, false);
}

/* The number of the process in its own namespace, as it is meant there; 0: not to be found. */
static __always_inline int own_number(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	const struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	int number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), (void *)pid +
			      bpf_core_field_offset(struct pid, numbers) +
			      level * bpf_core_type_size(struct upid) +
			      bpf_core_field_offset(struct upid, nr));
	return number;
}

/*
 * Whom a file's signals go to: the sender is whoever writes to it, who knows nothing of the
 * domain. So only to itself.
 */
SEC("lsm/file_fcntl")
int BPF_PROG(sandbox_file_fcntl, struct file *file, unsigned int cmd, unsigned long arg, int ret)
{
	__u64 id;

	if (ret || (cmd != F_SETOWN && cmd != F_SETOWN_EX))
		return ret;
	id = own_domain();
	if (!id || (cmd == F_SETOWN && (!(int)arg || (int)arg == own_number())))
		return 0;
	return refuse(id, SANDBOX_OP_OWNER, -EPERM);
}

#endif /* KREPIS_BPF_TASK_H */
