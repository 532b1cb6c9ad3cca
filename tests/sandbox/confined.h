/* SPDX-License-Identifier: MIT */
/*
 * Whether somebody is in a domain, as it is seen from there: by bpf(2), which none allows.
 */
#ifndef _SANDBOX_CONFINED_H
#define _SANDBOX_CONFINED_H

#include <linux/bpf.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include "sandbox.h"

#define GROUPS	TOP "/groups"

/* 0: the caller is in a domain; -ENOTCONN: it is not. */
static inline int confined(void)
{
	union bpf_attr attr = { 0 };
	long r = sys(syscall(SYS_bpf, 9999, &attr, sizeof(attr)));

	return r == -EPERM ? 0 : r == -EINVAL ? -ENOTCONN : (int)r;
}

/* Its own mounts, with a file TOP/f, and the control groups. */
static inline int place_make(void)
{
	mkdir(TOP, 0755);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", TOP, "tmpfs", 0, "mode=755") || mkdir(GROUPS, 0755) ||
	    mount("none", GROUPS, "cgroup2", 0, NULL))
		return -errno;
	return put_file(TOP "/f", "text");
}

static inline void place_end(void)
{
	domains_end();
	umount2(GROUPS, MNT_DETACH);
	umount2(TOP, MNT_DETACH);
}

#endif /* _SANDBOX_CONFINED_H */
