/* SPDX-License-Identifier: MIT */
/*
 * System calls that seccomp.c forbids, sorted by what would allow them.
 */
#ifndef _KREPIS_SANDBOX_SYSCALLS_H
#define _KREPIS_SANDBOX_SYSCALLS_H

#include <linux/capability.h>
#include <sys/syscall.h>

/* From 424 on a number is the same on all architectures; the C library may not know it. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2		452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat		463
#define SYS_removexattrat	466
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr	467
#endif
#ifndef SYS_file_setattr
#define SYS_file_setattr	469
#endif

/* All up to here were looked at. What comes later may be anything. */
#define SYSCALLS_LAST		469

/* By them others are controlled, or the kernel, or this filter is gone around. */
static const int syscalls_never[] = {
	/* other processes */
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp,
	SYS_process_madvise, SYS_process_mrelease,
	/* system calls made by the kernel, page faults served from outside of it */
	SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd,
	/* what is where */
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree, SYS_open_tree_attr,
	SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
	SYS_open_by_handle_at,
	/* the kernel */
	SYS_bpf, SYS_perf_event_open, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_kexec_load, SYS_keyctl, SYS_add_key, SYS_request_key,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm,
#endif
#ifdef SYS_uselib
	SYS_uselib,
#endif
};

/* What root may do, with the capability for it; also where the kernel asks for none. */
static const struct {
	int number;
	int capability;
} syscalls_privileged[] = {
	{ SYS_setns, CAP_SYS_ADMIN },
	{ SYS_quotactl, CAP_SYS_ADMIN },
	{ SYS_quotactl_fd, CAP_SYS_ADMIN },
	{ SYS_swapon, CAP_SYS_ADMIN },
	{ SYS_swapoff, CAP_SYS_ADMIN },
	{ SYS_fanotify_init, CAP_SYS_ADMIN },
	{ SYS_reboot, CAP_SYS_BOOT },
	{ SYS_acct, CAP_SYS_PACCT },
	{ SYS_chroot, CAP_SYS_CHROOT },
	{ SYS_syslog, CAP_SYSLOG },
	{ SYS_settimeofday, CAP_SYS_TIME },
	{ SYS_clock_settime, CAP_SYS_TIME },
	{ SYS_vhangup, CAP_SYS_TTY_CONFIG },
};

/* Of System V, and the message queues of POSIX. */
static const int syscalls_ipc[] = {
	SYS_shmget, SYS_shmat, SYS_shmctl, SYS_semget, SYS_semop, SYS_semtimedop, SYS_semctl,
	SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink,
};

static const int syscalls_metadata[] = {
	SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_fchown, SYS_fchownat, SYS_utimensat,
	SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setxattrat,
	SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_removexattrat, SYS_file_setattr,
#ifdef SYS_chmod
	SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat,
#endif
};

#endif /* _KREPIS_SANDBOX_SYSCALLS_H */
