// SPDX-License-Identifier: MIT
/* krepis doctor: what of a sandbox does this machine enforce? */
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "doctor.h"

#ifndef SYS_lsm_list_modules
#define SYS_lsm_list_modules 461
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#define LANDLOCK_VERSION	(1U << 0)	/* LANDLOCK_CREATE_RULESET_VERSION */
#define ID_BPF			109		/* LSM_ID_BPF */
#define LANDLOCK_WANTED		4		/* from which on it knows the network */

enum answer { NO, YES, UNKNOWN };

/* The kernel says it itself since 6.8, and before in a file that may not be mounted. */
static enum answer bpf_is_security_module(void)
{
	/* Of 64 bits in 6.8, and of 32 since. */
	uint64_t ids[32], size = sizeof(ids);
	long n = syscall(SYS_lsm_list_modules, ids, &size, 0);

	if (n < 0) {
		if (access("/sys/kernel/security/lsm", R_OK))
			return UNKNOWN;
		return doctor_file_has("/sys/kernel/security/lsm", "bpf") ? YES : NO;
	}
	while (n-- > 0)
		if (ids[n] == ID_BPF)
			return YES;
	return NO;
}

void doctor_lsm(struct finding *f)
{
	enum answer bpf = bpf_is_security_module();

	if (access("/sys/kernel/btf/vmlinux", F_OK)) {
		SAY(f, MISSING, "this kernel has no type information (CONFIG_DEBUG_INFO_BTF): a sandbox is Landlock and seccomp");
		NEXT(f, "apt install linux-image-$(dpkg --print-architecture), then reboot");
	} else if (bpf == YES) {
		SAY(f, OK, "BPF is a security module: all of a policy is enforced");
	} else if (bpf == UNKNOWN) {
		SAY(f, MISSING, "cannot tell whether BPF is a security module: securityfs is not mounted");
		NEXT(f, "sudo mount -t securityfs none /sys/kernel/security");
	} else {
		SAY(f, MISSING, "BPF is no security module of this kernel: a sandbox is Landlock and seccomp");
		NEXT(f, "add lsm=landlock,lockdown,yama,integrity,apparmor,bpf to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot");
	}
}

void doctor_bpffs(struct finding *f)
{
	struct statfs fs;

	if (!statfs("/sys/fs/bpf", &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC) {
		SAY(f, OK, "the BPF file system is mounted on /sys/fs/bpf: policies stay there");
		return;
	}
	SAY(f, MISSING, "no BPF file system is mounted on /sys/fs/bpf: policies have no place");
	NEXT(f, "sudo mount -t bpf bpf /sys/fs/bpf");
}

void doctor_caps(struct finding *f)
{
	static const int needed[] = { CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { };
	unsigned int i, missing = 0;

	syscall(SYS_capget, &head, data);
	for (i = 0; i < ARRAY_SIZE(needed); i++)
		missing += !(data[needed[i] / 32].effective & 1U << needed[i] % 32);
	if (!missing) {
		SAY(f, OK, "the caller has what it takes to put policies into force");
		return;
	}
	SAY(f, MISSING, "the caller lacks CAP_BPF, CAP_PERFMON or CAP_SYS_ADMIN: without them krepis run takes Landlock and seccomp alone");
	NEXT(f, "sudo krepis run --user=$(id -un) ... COMMAND, or krepis run --best-effort ... COMMAND");
}

void doctor_landlock(struct finding *f)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);

	if (abi >= LANDLOCK_WANTED) {
		SAY(f, OK, "Landlock ABI %ld: krepis run --best-effort enforces files and TCP ports", abi);
		return;
	}
	if (abi > 0) {
		SAY(f, SLOW, "Landlock ABI %ld: krepis run --best-effort enforces files, and of the network nothing but all or none",
		    abi);
		NEXT(f, "apt install linux-image-$(dpkg --print-architecture), then reboot (TCP ports came with 6.7)");
		return;
	}
	SAY(f, MISSING, "Landlock: %s: krepis run --best-effort cannot enforce a policy", strerror(errno));
	NEXT(f, "add landlock to the lsm= of the kernel's command line, then reboot (it came with 5.13)");
}
