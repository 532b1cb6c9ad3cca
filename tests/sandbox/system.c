// SPDX-License-Identifier: MIT
/*
 * The system: what root can do with its capabilities, and a domain cannot, be it root.
 * Of each call the arguments are such that it does no harm where it is let through: that is
 * what it is outside, and, where the policy can allow it, inside.
 */
#include <kselftest_harness.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include "net.h"

#define DIR_A	TOP "/a"
#define DIR_X	TOP "/x"

static int mount_fd;	/* of a file system that is configured, but not mounted */
static int handle_fd;
static struct {
	struct file_handle head;
	char bytes[128];
} handle;

FIXTURE(system)
{
};

FIXTURE_SETUP(system)
{
	int id;

	mkdir(TOP, 0755);
	ASSERT_EQ(0, unshare(CLONE_NEWNS | CLONE_NEWUTS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ASSERT_EQ(0, mount("none", TOP, "tmpfs", 0, "mode=755"));
	ASSERT_EQ(0, mkdir(DIR_A, 0755));
	ASSERT_EQ(0, mkdir(DIR_X, 0755));
	ASSERT_EQ(0, mount("none", DIR_A, "tmpfs", 0, "mode=755"));
	ASSERT_EQ(0, put_file(DIR_X "/f", "text"));
	handle.head.handle_bytes = sizeof(handle.bytes);
	ASSERT_EQ(0, name_to_handle_at(AT_FDCWD, DIR_X "/f", &handle.head, &id, 0));
	handle_fd = open(DIR_X, O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, handle_fd);
}

FIXTURE_TEARDOWN(system)
{
	domains_end();
	umount2(TOP, MNT_DETACH);
}

/* ---------------------------------------------------------------------------- mounts */

static int mount_new(void)
{
	return sys(mount("none", DIR_X, "tmpfs", 0, NULL));
}

static int mount_bind(void)
{
	return sys(mount(DIR_A, DIR_X, NULL, MS_BIND, NULL));
}

static int mount_again(void)
{
	return sys(mount(NULL, DIR_A, NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

static int mount_move(void)
{
	return sys(mount(DIR_A, DIR_X, NULL, MS_MOVE, NULL));
}

static int mount_private(void)
{
	return sys(mount(NULL, DIR_A, NULL, MS_PRIVATE, NULL));
}

static int unmount(void)
{
	return sys(umount2(DIR_A, MNT_DETACH));
}

static int clone_tree(void)
{
	return sys(syscall(SYS_open_tree, AT_FDCWD, DIR_A, 1 /* OPEN_TREE_CLONE */));
}

static int move_tree(void)
{
	return sys(syscall(SYS_move_mount, AT_FDCWD, DIR_A, AT_FDCWD, DIR_X, 0));
}

static int open_fs(void)
{
	return sys(syscall(SYS_fsopen, "tmpfs", 0));
}

static int mount_fs(void)
{
	return sys(syscall(SYS_fsmount, mount_fd, 0, 0));
}

static int pick_fs(void)
{
	return sys(syscall(SYS_fspick, AT_FDCWD, DIR_A, 0));
}

static int set_mount(void)
{
	struct { uint64_t set, clear, propagation, userns; } attr = { .set = 1 };

	return sys(syscall(SYS_mount_setattr, AT_FDCWD, DIR_A, 0, &attr, sizeof(attr)));
}

static int pivot(void)
{
	return chdir(DIR_A) ? -ENOTUNIQ : sys(syscall(SYS_pivot_root, ".", "."));
}

static int own_mounts(void)
{
	return sys(unshare(CLONE_NEWNS));
}

/* -------------------------------------------------------------------- other abilities */

static int change_root(void)
{
	return sys(chroot(DIR_X));
}

static int make_device(void)
{
	unlink(DIR_X "/null");
	return sys(mknod(DIR_X "/null", S_IFCHR | 0600, makedev(1, 3)));
}

static int load_module(void)
{
	return sys(syscall(SYS_init_module, "", 0, ""));
}

static int load_module_file(void)
{
	return sys(syscall(SYS_finit_module, -1, "", 0));
}

static int unload_module(void)
{
	return sys(syscall(SYS_delete_module, "there_is_none", O_NONBLOCK));
}

static int kexec(void)
{
	return sys(syscall(SYS_kexec_load, 0, 0, NULL, ~0UL));
}

static int boot_again(void)
{
	return sys(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static int set_time(void)
{
	struct timezone zone = { .tz_minuteswest = 100000 };

	return sys(syscall(SYS_settimeofday, NULL, &zone));
}

static int adjust_time(void)
{
	struct timex t = { .modes = ADJ_TICK, .tick = 1 };

	return sys(adjtimex(&t));
}

static int set_hostname(void)
{
	return sys(sethostname("inside", 6));
}

static int swap_on(void)
{
	return sys(swapon(TOP "/none", 0));
}

static int open_by_handle(void)
{
	return sys(open_by_handle_at(handle_fd, &handle.head, O_RDONLY));
}

static int use_ports(void)
{
	return sys(ioperm(0x80, 1, 1));
}

static int use_all_ports(void)
{
	return sys(iopl(3));
}

static int read_log(void)
{
	char text[16];

	return sys(klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text)));
}

static int account(void)
{
	return sys(syscall(SYS_acct, NULL));
}

static int become_nobody(void)
{
	return sys(setresuid(NOBODY, NOBODY, NOBODY));
}

static int become_group(void)
{
	return sys(setresgid(NOBODY, NOBODY, NOBODY));
}

static int be_nicer(void)
{
	errno = 0;
	return nice(-5) == -1 && errno ? -errno : 0;
}

static int open_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1, .exclude_hv = 1,
	};

	return sys(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int drop_capability(void)
{
	return sys(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
}

/**
 * struct ability - something that root can do
 * @sentence:	what allows it in a domain; NULL: nothing does
 */
struct ability {
	const char *name;
	int (*call)(void);
	const char *sentence;
};

#define ABILITY(call, sentence)	{ #call, call, sentence }

static const struct ability abilities[] = {
	ABILITY(mount_new, NULL),
	ABILITY(mount_bind, NULL),
	ABILITY(mount_again, NULL),
	ABILITY(mount_move, NULL),
	ABILITY(mount_private, NULL),
	ABILITY(unmount, NULL),
	ABILITY(move_tree, NULL),
	ABILITY(pivot, NULL),
	ABILITY(clone_tree, NULL),
	ABILITY(open_fs, NULL),
	ABILITY(mount_fs, NULL),
	ABILITY(pick_fs, NULL),
	ABILITY(set_mount, NULL),
	ABILITY(own_mounts, NULL),
	ABILITY(change_root, "sys sys_chroot"),
	ABILITY(make_device, NULL),
	ABILITY(load_module, NULL),
	ABILITY(load_module_file, NULL),
	ABILITY(unload_module, NULL),
	ABILITY(kexec, NULL),
	ABILITY(boot_again, "sys sys_boot"),
	ABILITY(set_time, "sys sys_time"),
	ABILITY(adjust_time, "sys sys_time"),
	ABILITY(set_hostname, NULL),
	ABILITY(swap_on, NULL),
	ABILITY(use_ports, NULL),
	ABILITY(use_all_ports, NULL),
	ABILITY(read_log, "sys syslog"),
	ABILITY(account, "sys sys_pacct"),
	ABILITY(be_nicer, "sys sys_nice"),
};

#define ABILITIES ((int)ARRAY_SIZE(abilities))

/* How one of them goes, with what it needs made anew. */
static int try_ability(struct krepis_domain *domain, int i)
{
	int result;

	mount_fd = (int)syscall(SYS_fsopen, "tmpfs", 0);
	if (syscall(SYS_fsconfig, mount_fd, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0))
		return -ENOTUNIQ;
	result = in_domain(domain, abilities[i].call());
	close(mount_fd);
	return result;
}

/* ------------------------------------------------------------------------ the claims */

TEST_F(system, outside_root_is_able)
{
	int i;

	for (i = 0; i < ABILITIES; i++) {
		EXPECT_NE(-EPERM, try_ability(NULL, i))
			TH_LOG("outside: %s", abilities[i].name);
	}
}

TEST_F(system, root_in_a_domain_is_not)
{
	struct krepis_domain *d = domain("read", "write", "exec", "net", "unix");
	int i;

	for (i = 0; i < ABILITIES; i++) {
		EXPECT_EQ(-EPERM, try_ability(d, i))
			TH_LOG("in a domain: %s", abilities[i].name);
	}
}

TEST_F(system, capability_of_the_policy_makes_able)
{
	int i;

	for (i = 0; i < ABILITIES; i++) {
		const char *sentence = abilities[i].sentence;

		if (!sentence)
			continue;
		EXPECT_EQ(try_ability(NULL, i),
			  try_ability(domain("read", "write", sentence), i))
			TH_LOG("with %s: %s", sentence, abilities[i].name);
	}
}

TEST_F(system, other_capabilities_do_not_make_able)
{
	struct krepis_domain *d = domain("read", "write", "sys audit_read", "sys lease", "sys ipc",
					 "sys userns", "sys netlink", "sys sockets");
	int i;

	for (i = 0; i < ABILITIES; i++) {
		EXPECT_EQ(-EPERM, try_ability(d, i))
			TH_LOG("with others: %s", abilities[i].name);
	}
}

TEST_F(system, no_capability_undoes_the_sandbox)
{
	struct krepis_domain *d = domain("read", "write", "exec", "net", "unix", "sys");
	int i;

	for (i = 0; i < ABILITIES; i++) {
		if (abilities[i].sentence)
			continue;
		EXPECT_EQ(-EPERM, try_ability(d, i))
			TH_LOG("with all: %s", abilities[i].name);
	}
}

TEST_F(system, capability_that_the_process_lacks_is_not_given)
{
	struct krepis_domain *d = domain("read", "sys sys_nice");

	allowed(d, be_nicer());
	refused(EPERM, d, become_nobody() ? : be_nicer());
}

TEST_F(system, denied_capability_is_refused_whatever_is_allowed)
{
	refused(EPERM, domain("sys", "sys sys_nice", "deny sys sys_nice"), be_nicer());
	allowed(domain("sys", "sys sys_nice", "deny sys sys_time"), be_nicer());
}

/* What other rules limit: files, and the own processes. */
TEST_F(system, root_stays_root_of_what_it_has_but_where_that_is_denied)
{
	struct krepis_domain *d = domain("read"), *none = domain("read", "deny sys");

	allowed(d, become_nobody());
	allowed(d, become_group());
	allowed(d, drop_capability());
	refused(EPERM, none, become_nobody());
	refused(EPERM, none, become_group());
	refused(EPERM, none, drop_capability());
}

static const char *const never[] = {
	"bpf", "sys_module", "sys_rawio", "sys_admin", "mknod",
};

TEST_F(system, capability_that_undoes_the_sandbox_cannot_be_allowed)
{
	struct krepis_policy *p;
	unsigned int i;

	ASSERT_EQ(0, krepis_policy_create(&p));
	for (i = 0; i < ARRAY_SIZE(never); i++) {
		EXPECT_EQ(-EINVAL, krepis_policy_add(p, true, KREPIS_SYS, never[i]));
		EXPECT_EQ(0, krepis_policy_add(p, false, KREPIS_SYS, never[i]));
	}
	krepis_policy_destroy(p);
}

/* A kernel may keep it for perfmon, which would hide who refuses. */
TEST_F(system, events_of_perf_are_refused_whatever_is_allowed)
{
	const char *path = "/proc/sys/kernel/perf_event_paranoid";
	char before[16];

	snprintf(before, sizeof(before), "%lld", number_in(path, ""));
	ASSERT_EQ(0, write_text(path, "-1"));
	allowed(NULL, open_perf());
	refused(EPERM, domain("read", "write"), open_perf());
	refused(EPERM, domain("read", "write", "sys"), open_perf());
	write_text(path, before);
}

/* ---------------------------------------------------------------------------- handles */

TEST_F(system, handle_of_a_file_is_no_way_around_its_rule)
{
	allowed(domain("read " DIR_X), open_by_handle());
	refused(EACCES, domain("read " DIR_A), open_by_handle());
	refused(EACCES, domain("read", "deny read " DIR_X), open_by_handle());
	refused(EPERM, domain("read", "deny sys dac_read_search"), open_by_handle());
}

/* Of a file whose name the kernel has forgotten it does not know where it is. */
TEST_F(system, handle_of_a_forgotten_file_is_no_way_around_a_denial)
{
	struct krepis_domain *d, *all;
	int id;

	ASSERT_EQ(0, mount_ext4(DIR_X));
	ASSERT_EQ(0, mkdir(DIR_X "/secret", 0755));
	ASSERT_EQ(0, put_file(DIR_X "/secret/f", "text"));
	handle.head.handle_bytes = sizeof(handle.bytes);
	ASSERT_EQ(0, name_to_handle_at(AT_FDCWD, DIR_X "/secret/f", &handle.head, &id, 0));
	close(handle_fd);
	handle_fd = open(DIR_X, O_RDONLY | O_DIRECTORY);
	d = domain("read", "deny read " DIR_X "/secret");
	all = domain("read");
	sync();
	ASSERT_EQ(0, write_text("/proc/sys/vm/drop_caches", "3"));
	allowed(all, open_by_handle());
	ASSERT_EQ(0, write_text("/proc/sys/vm/drop_caches", "3"));
	refused(EACCES, d, open_by_handle());
}

/* ------------------------------------------------------------------------------- bpf */

/* Return: 0 if every command gives @error; for nothing is there to be done with these. */
static int all_bpf_commands(int error)
{
	union bpf_attr attr;
	int cmd;

	for (cmd = 0; cmd < 64; cmd++) {
		memset(&attr, 0xff, sizeof(attr));
		if (sys(syscall(SYS_bpf, cmd, &attr, sizeof(attr))) != -error)
			return -cmd - 1;
	}
	return 0;
}

static int make_map(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1,
	};

	return sys(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

TEST_F(system, bpf_is_refused_with_any_command)
{
	struct krepis_domain *d = domain("read", "write", "sys");

	allowed(NULL, make_map());
	refused(EPERM, d, make_map());
	EXPECT_EQ(0, in_domain(d, all_bpf_commands(EPERM)));
}

TEST_HARNESS_MAIN
