/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ioctl(2), and what is its like in a ring: of devices, and of files where it changes them.
 */
#ifndef KREPIS_BPF_IOCTL_H
#define KREPIS_BPF_IOCTL_H

#include "file.h"

#define TIOCSTI		0x5412
#define TIOCLINUX	0x541c
#define FIOSETOWN	0x8901
#define SIOCSPGRP	0x8902
#define BTRFS_IOCTL	0x94

/* Of terminals, what programs do that only want to know where they write. */
static __always_inline bool harmless(unsigned int cmd)
{
	switch (cmd) {
	case 0x5401 ... 0x5404:		/* TCGETS, TCSETS, TCSETSW, TCSETSF */
	case 0x802c542a:		/* TCGETS2 */
	case 0x402c542b ... 0x402c542d:	/* TCSETS2 and so on */
	case 0x540a: case 0x540b:	/* TCXONC, TCFLSH */
	case 0x540f: case 0x5410:	/* TIOCGPGRP, TIOCSPGRP */
	case 0x5411:			/* TIOCOUTQ */
	case 0x5413:			/* TIOCGWINSZ */
	case 0x541b:			/* FIONREAD */
	case 0x5421:			/* FIONBIO */
	case 0x5429:			/* TIOCGSID */
	case 0x5450: case 0x5451:	/* FIONCLEX, FIOCLEX */
	case 0x5452:			/* FIOASYNC */
		return true;
	}
	return false;
}

/* Attributes of a file that have no system call of their own. */
static __always_inline bool is_attribute(unsigned int cmd)
{
	switch (cmd) {
	case 0x40086602: case 0x40046602:	/* FS_IOC_SETFLAGS */
	case 0x401c5820:			/* FS_IOC_FSSETXATTR */
	case 0x40047211:			/* FAT_IOCTL_SET_ATTRIBUTES */
	case 0x40806685:			/* FS_IOC_ENABLE_VERITY */
	case 0x800c6613:			/* FS_IOC_SET_ENCRYPTION_POLICY */
		return true;
	}
	return false;
}

/* The generation of a file, by which rules know it: with another one it has none. */
static __always_inline bool is_generation(unsigned int cmd)
{
	switch (cmd) {
	case 0x40087602: case 0x40047602:	/* FS_IOC_SETVERSION */
	case 0x40086604: case 0x40046604:	/* EXT4_IOC_SETVERSION_OLD */
		return true;
	}
	return false;
}

static __always_inline int decide_ioctl(const struct file *file, unsigned int cmd)
{
	int err = decide_role(file);
	__u64 id = own_domain();
	umode_t type;

	if (err || !id)
		return err;
	type = mode_of(file) & S_IFMT;
	if (cmd == FIOSETOWN || cmd == SIOCSPGRP)
		return refuse(id, SANDBOX_OP_OWNER, -EPERM);
	/* Who reads what is typed is outside, and does it. */
	if (type == S_IFCHR && (cmd == TIOCSTI || cmd == TIOCLINUX))
		return forbid(SANDBOX_OP_TYPE);
	if ((type == S_IFCHR || type == S_IFBLK) && !harmless(cmd))
		return decide_file(file, SANDBOX_IOCTL);
	if (is_generation(cmd))
		return forbid(SANDBOX_OP_GENERATION);
	/* Volumes of btrfs, which are directories. */
	if (type == S_IFDIR && (cmd >> 8 & 0xff) == BTRFS_IOCTL)
		return decide_file(file, SANDBOX_CREATE | SANDBOX_REMOVE);
	return is_attribute(cmd) ? decide_file(file, SANDBOX_META) : 0;
}

SEC("lsm/file_ioctl")
int BPF_PROG(sandbox_file_ioctl, struct file *file, unsigned int cmd, unsigned long arg, int ret)
{
	return ret ? : decide_ioctl(file, cmd);
}

SEC("lsm/file_ioctl_compat")
int BPF_PROG(sandbox_file_ioctl_compat, struct file *file, unsigned int cmd, unsigned long arg,
	     int ret)
{
	return ret ? : decide_ioctl(file, cmd);
}

SEC("lsm/uring_cmd")
int BPF_PROG(sandbox_uring_cmd, struct io_uring_cmd *cmd, int ret)
{
	const struct file *file = BPF_CORE_READ(cmd, file);
	umode_t type;
	int err;

	if (ret)
		return ret;
	err = decide_role(file);
	if (err || !own_domain())
		return err;
	type = mode_of(file) & S_IFMT;
	return type == S_IFCHR || type == S_IFBLK ? decide_file(file, SANDBOX_IOCTL) : 0;
}

#endif /* KREPIS_BPF_IOCTL_H */
