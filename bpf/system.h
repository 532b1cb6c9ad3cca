/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system: capabilities, and what could undo the sandbox or goes around files and sockets.
 */
#ifndef KREPIS_BPF_SYSTEM_H
#define KREPIS_BPF_SYSTEM_H

#include "file.h"
#include "task.h"

#define CAP_OPT_NOAUDIT	2

/* A capability that a task has is used only if the domain has it, too. */
SEC("lsm/capable")
int BPF_PROG(sandbox_capable, const struct cred *cred, void *ns, int cap, unsigned int opts,
	     int ret)
{
	struct sandbox_domain *d;
	__u64 id;

	if (ret)
		return ret;
	id = domain_of(cred);
	if (!id)
		return 0;
	d = live_domain(id);
	if (!d)
		return -EPERM;
	if (cap >= 0 && cap < 64 && d->caps & 1ULL << cap)
		return 0;
	if (opts & CAP_OPT_NOAUDIT)
		return verdict(d, -EPERM);
	tell_of(id, d, SANDBOX_ON_CAP, cap, "", 1);
	return verdict(d, -EPERM);
}

#define FORBIDDEN(hook, op, ...)						\
	SEC("lsm/" #hook)							\
	int BPF_PROG(sandbox_##hook, ##__VA_ARGS__)				\
	{									\
		return ret ? : forbid(op);					\
	}

FORBIDDEN(bpf, SANDBOX_OP_BPF, int cmd, void *attr, unsigned int size, int ret)
FORBIDDEN(sb_mount, SANDBOX_OP_MOUNT, const char *dev, const struct path *path, const char *type,
	  unsigned long flags, void *data, int ret)
FORBIDDEN(sb_umount, SANDBOX_OP_MOUNT, struct vfsmount *mnt, int flags, int ret)
FORBIDDEN(sb_remount, SANDBOX_OP_MOUNT, struct super_block *sb, void *options, int ret)
FORBIDDEN(sb_pivotroot, SANDBOX_OP_MOUNT, const struct path *old, const struct path *new, int ret)
FORBIDDEN(move_mount, SANDBOX_OP_MOUNT, const struct path *from, const struct path *to, int ret)
FORBIDDEN(kernel_module_request, SANDBOX_OP_MODULE, char *name, int ret)
FORBIDDEN(kernel_read_file, SANDBOX_OP_MODULE, struct file *file, int id, bool contents, int ret)
FORBIDDEN(kernel_load_data, SANDBOX_OP_MODULE, int id, bool contents, int ret)
FORBIDDEN(uring_sqpoll, SANDBOX_OP_IO_URING, int ret)

/* From 6.12 it is told less: neither of it matters here. */
SEC("lsm/perf_event_open")
int sandbox_perf_event_open(void *ctx)
{
	return forbid(SANDBOX_OP_PERF);
}

/* The credentials that somebody else has left in a ring. */
SEC("lsm/uring_override_creds")
int BPF_PROG(sandbox_uring_override_creds, const struct cred *new, int ret)
{
	__u64 id = own_domain();

	return ret || domain_of(new) == id ? ret : forbid(SANDBOX_OP_IO_URING);
}

SEC("lsm/userns_create")
int BPF_PROG(sandbox_userns_create, const struct cred *cred, int ret)
{
	return ret ? : refuse_unless(SANDBOX_SYS_USERNS, SANDBOX_OP_USERNS, -EPERM);
}

/*
 * A key that is not there is made by a program that the kernel executes, outside of all
 * domains, and which may ask the network. The order to it is a key of this type.
 */
SEC("?lsm/key_alloc")
int BPF_PROG(sandbox_key_alloc, struct key *key, const struct cred *cred, unsigned long flags,
	     int ret)
{
	static const char order[] = ".request_key_auth";
	char name[sizeof(order)] = "";

	if (ret || !own_domain())
		return ret;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(key, type, name));
	for (unsigned int i = 0; i < sizeof(order); i++)
		if (name[i] != order[i])
			return 0;
	return forbid(SANDBOX_OP_KEY);
}

/* --------------------------------------------------------------------------- System V */

#define IPC_HOOK(hook, ...)							\
	SEC("lsm/" #hook)							\
	int BPF_PROG(sandbox_##hook, void *object, ##__VA_ARGS__)		\
	{									\
		return ret ? : refuse_unless(SANDBOX_SYS_IPC, SANDBOX_OP_IPC, -EPERM); \
	}

IPC_HOOK(ipc_permission, short flag, int ret)
IPC_HOOK(shm_alloc_security, int ret)
IPC_HOOK(msg_queue_alloc_security, int ret)
IPC_HOOK(sem_alloc_security, int ret)
IPC_HOOK(shm_shmctl, int cmd, int ret)
IPC_HOOK(msg_queue_msgctl, int cmd, int ret)
IPC_HOOK(sem_semctl, int cmd, int ret)

/* POSIX message queues have no path when they are removed. */
SEC("lsm/inode_unlink")
int BPF_PROG(sandbox_inode_unlink, struct inode *dir, struct dentry *dentry, int ret)
{
	if (ret || magic_of(dentry) != MQUEUE_MAGIC)
		return ret;
	return refuse_unless(SANDBOX_SYS_IPC, SANDBOX_OP_IPC, -EACCES);
}

#endif /* KREPIS_BPF_SYSTEM_H */
