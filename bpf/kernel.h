/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As little of the kernel's types as the programs look at. Where the fields stand is found
 * when they are loaded; so this is for no kernel in particular.
 */
#ifndef KREPIS_BPF_KERNEL_H
#define KREPIS_BPF_KERNEL_H

#define __relocated __attribute__((preserve_access_index))

typedef unsigned short umode_t;

struct cred {
	struct { unsigned int val; } euid;
	struct { unsigned int val; } egid;
	struct { } cap_permitted;	/* 64 bits, in words or not */
} __relocated;

struct upid {
	int nr;
} __relocated;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} __relocated;

struct task_struct {
	int tgid;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	const struct cred *real_cred;
	const struct cred *cred;
} __relocated;

struct super_block {
	unsigned int s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
} __relocated;

struct inode {
	umode_t i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_generation;
} __relocated;

struct qstr {
	const unsigned char *name;
} __relocated;

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
} __relocated;

struct iattr {
	unsigned int ia_valid;
} __relocated;

struct vfsmount {
	struct dentry *mnt_root;
} __relocated;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	void *mnt_ns;
} __relocated;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} __relocated;

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct path f_path;
	struct inode *f_inode;
	const struct cred *f_cred;
} __relocated;

/* From 6.6: of a mapping of an overlay's file, that below, which knows the one above. */
struct backing_file {
	struct file file;
	struct path user_path;
} __relocated;

struct vm_area_struct {
	struct file *vm_file;
} __relocated;

struct linux_binprm {
	struct file *file;
	struct cred *cred;
} __relocated;

struct key_type {
	const char *name;
} __relocated;

struct key {
	struct key_type *type;
} __relocated;

struct io_uring_cmd {
	struct file *file;
} __relocated;

struct in6_addr {
	unsigned char bytes[16];
};

struct sock_common {
	unsigned short skc_family;
	unsigned short skc_num;
	unsigned int skc_rcv_saddr;
	struct in6_addr skc_v6_rcv_saddr;
} __relocated;

struct sock {
	struct sock_common __sk_common;
} __relocated;

struct socket {
	struct sock *sk;
} __relocated;

struct sockaddr_un {
	unsigned short sun_family;
} __relocated;

struct unix_address {
	int len;
	struct sockaddr_un name[];
} __relocated;

struct unix_sock {
	struct unix_address *addr;
	struct path path;
} __relocated;

struct msghdr {
	void *msg_name;
	int msg_namelen;
	unsigned long msg_controllen;
} __relocated;

#endif /* KREPIS_BPF_KERNEL_H */
