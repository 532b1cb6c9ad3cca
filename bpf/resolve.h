/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stat(2) says of a file is not always what the kernel knows it by: overlayfs and
 * btrfs give other numbers. So who makes a policy has them written down here, while it
 * looks at the file.
 */
#ifndef KREPIS_BPF_RESOLVE_H
#define KREPIS_BPF_RESOLVE_H

#include "walk.h"

/* Thread: key of what it looked at last. Who wants that puts its number in. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct sandbox_key);
} resolver SEC(".maps");

/* Run by who makes a policy: its number here, which may be another one in its namespace. */
SEC("syscall")
int sandbox_thread(__u32 *thread)
{
	*thread = bpf_get_current_pid_tgid();
	return 0;
}

/* The first answer counts: an overlay looks at the files below next. */
SEC("lsm/inode_getattr")
int BPF_PROG(sandbox_inode_getattr, const struct path *path, int ret)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct sandbox_key key = { 0 }, *seen;

	if (ret)
		return ret;
	seen = bpf_map_lookup_elem(&resolver, &thread);
	if (!seen || seen->dev)
		return 0;
	key_of(BPF_CORE_READ(path, dentry), &key);
	bpf_map_update_elem(&resolver, &thread, &key, BPF_EXIST);
	return 0;
}

#endif /* KREPIS_BPF_RESOLVE_H */
