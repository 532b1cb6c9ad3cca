/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module is written for Linux 6.12. What an older kernel lacks, or a newer one took
 * away, stands here under its name; there is no version test anywhere else.
 */
#ifndef _KREPIS_COMPAT_H
#define _KREPIS_COMPAT_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "krepis needs Linux 6.1 or newer"
#endif

#ifndef CONFIG_64BIT
#error "krepis needs a 64-bit kernel: its words are 64 bits wide. 32-bit programs work on it"
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)
/* An entry that maps 2 MiB can say that nothing may pin what it maps. */
#define KREPIS_HUGE
#include <linux/huge_mm.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#include <linux/pfn_t.h>
#else
#define __pfn_to_pfn_t(pfn, flags) (pfn)
#endif
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
/* Both are passed on, and never looked into. */
#define mnt_idmap user_namespace
#define nop_mnt_idmap init_user_ns

static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
static inline struct timespec64 simple_inode_init_ts(struct inode *inode)
{
	inode->i_atime = inode->i_mtime = inode->i_ctime = current_time(inode);
	return inode->i_ctime;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
/* A command cannot be cancelled: what would wait is refused, see uring.c. */
#define KREPIS_URING_CANCELS	false
#define IO_URING_F_CANCEL	0U

static inline void io_uring_cmd_mark_cancelable(struct io_uring_cmd *cmd, unsigned int flags)
{
}

static inline const void *krepis_uring_area(const struct io_uring_cmd *cmd)
{
	return cmd->cmd;
}
#else
#define KREPIS_URING_CANCELS	true

static inline const void *krepis_uring_area(const struct io_uring_cmd *cmd)
{
	return io_uring_sqe_cmd(cmd->sqe);
}
#endif

#endif /* _KREPIS_COMPAT_H */
