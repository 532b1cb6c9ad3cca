// SPDX-License-Identifier: MIT
/*
 * What other sandboxes were got around by, where no other test of ours has it. The list is
 * Documentation/design/sandbox-history.md.
 */
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <termios.h>
#include "fixture.h"
#include "net.h"

#define EVERYTHING	"read", "write", "exec", "net", "unix", "sys"

/* ------------------------------------------------------------- calls of 32-bit programs */

#define OPEN_32		5
#define IOCTL_32	54
#define SOCKETCALL_32	102
#define CONNECT_32	3

/* A copy where 32 bits lead. */
static uint32_t low(const void *from, size_t bytes)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return (uint32_t)(uintptr_t)memcpy(p, from, bytes);
}

static int call_32(int nr, uint32_t a, uint32_t b, uint32_t c)
{
	long result;

	asm volatile("int $0x80" : "=a" (result)
		     : "a" (nr), "b" ((long)a), "c" ((long)b), "d" ((long)c)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

static int open_32(const char *path, int flags)
{
	return call_32(OPEN_32, low(path, strlen(path) + 1), flags, 0600);
}

static int connect_32(const char *host, int port)
{
	struct address a = address_of(host, port);
	uint32_t args[3] = {
		(uint32_t)socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0),
		low(&a.v6, sizeof(a.v6)), a.len,
	};

	return call_32(SOCKETCALL_32, CONNECT_32, low(args, sizeof(args)), 0);
}

TEST_F(tree, calls_of_32_bits_are_as_the_others)
{
	struct krepis_domain *d = domain("read " A, "net 127.0.0.1:4000");
	struct servers s;

	ASSERT_EQ(0, servers_make(&s));
	allowed(d, open_32(A "/f", O_RDONLY));
	refused(EACCES, d, open_32(A "/f", O_WRONLY));
	refused(EACCES, d, open_32(X "/f", O_RDONLY));
	allowed(NULL, open_32(X "/f", O_RDONLY));
	allowed(d, connect_32("127.0.0.1", PORT));
	refused(EACCES, d, connect_32("127.0.0.1", OTHER_PORT));
	allowed(NULL, connect_32("127.0.0.1", OTHER_PORT));
}

/* -------------------------------------------------------------------------- terminals */

/* The calls, with a number that a filter does not know. */
static int control(int fd, unsigned long cmd, void *arg)
{
	return sys(syscall(SYS_ioctl, fd, cmd, arg));
}

static int control_high(int fd, unsigned long cmd, void *arg)
{
	return sys(syscall(SYS_ioctl, fd, cmd | 1UL << 32, arg));
}

static int control_32(int fd, unsigned long cmd, void *arg)
{
	return call_32(IOCTL_32, fd, cmd, low(arg, sizeof(int)));
}

static int (*const controls[])(int, unsigned long, void *) = {
	control, control_high, control_32,
};

/* The name of a new terminal, whose other side stays open. */
static int terminal(char *name, size_t size)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	return fd < 0 || unlockpt(fd) || ptsname_r(fd, name, size) ? -errno : fd;
}

/* On a terminal that it is in control of since before it entered. */
static int inherited(struct krepis_domain *d, const char *name, unsigned int how,
		     unsigned long cmd, int value)
{
	int fd;

	setsid();
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -ENOTUNIQ;
	enter(d);
	return controls[how](fd, cmd, &value);
}

TEST_F(tree, nobody_types_on_a_terminal_whatever_is_allowed)
{
	struct krepis_domain *d = domain(EVERYTHING);
	struct krepis_domain *c = domain_with(KREPIS_DOMAIN_COMPLAIN, EVERYTHING);
	char name[64];
	unsigned int i;

	ASSERT_LE(0, terminal(name, sizeof(name)));
	/* From 6.2 on a kernel may keep it for sys_admin, which would hide who refuses. */
	write_text("/proc/sys/dev/tty/legacy_tiocsti", "1");
	for (i = 0; i < ARRAY_SIZE(controls); i++) {
		allowed(NULL, inherited(NULL, name, i, TIOCSTI, 'x'));
		refused(EPERM, NULL, inherited(d, name, i, TIOCSTI, 'x'));
		refused(EPERM, NULL, inherited(c, name, i, TIOCSTI, 'x'));
	}
	allowed(NULL, inherited(d, name, 0, TIOCGPGRP, 0));
}

/* Who can paste can type. To ask for the state of the keys is the one that does no harm. */
TEST_F(tree, nobody_pastes_to_a_console_whatever_is_allowed)
{
	struct krepis_domain *d = domain(EVERYTHING);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(controls); i++) {
		allowed(NULL, inherited(NULL, "/dev/tty9", i, TIOCLINUX, 6));
		refused(EPERM, NULL, inherited(d, "/dev/tty9", i, TIOCLINUX, 6));
	}
}

static int open_peer(void)
{
	char name[64];
	int fd = terminal(name, sizeof(name));

	return fd < 0 ? fd : sys(ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY));
}

TEST_F(tree, a_terminal_is_not_opened_by_its_other_side)
{
	allowed(domain("read,write /dev/ptmx", "read,write /dev/pts"), open_peer());
	refused(EACCES, domain("read,write /dev/ptmx"), open_peer());
}

/* ------------------------------------------------------------------- disks and memory */

TEST_F(tree, a_disk_is_no_way_to_what_is_denied_on_it)
{
	ASSERT_EQ(0, system("modprobe -q loop"));
	ASSERT_EQ(0, mknod(A "/disk", S_IFBLK | 0600, makedev(7, 0)));
	allowed(domain("read"), read_file(A "/disk"));
	allowed(domain("read " A), read_file(A "/disk"));
	refused(EACCES, domain("read", "deny read " X), read_file(A "/disk"));
	refused(EACCES, domain("read,write " A, "deny write " X), read_file(A "/disk"));
	refused(EACCES, domain("read " A "/disk", "write", "deny read " X),
		open_file(A "/disk", O_RDWR));
	allowed(domain("read " A "/disk", "deny read " X), read_file(A "/disk"));
	/* Other devices have no files on them. */
	allowed(domain("read", "deny read " X), read_file("/dev/zero"));
}

TEST_F(tree, the_memory_of_the_kernel_is_no_file)
{
	static const char *const memory[] = { "/proc/kcore", "/dev/mem" };
	struct krepis_domain *d = domain(EVERYTHING);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(memory); i++) {
		allowed(NULL, open_file(memory[i], O_RDONLY));
		refused(EPERM, d, open_file(memory[i], O_RDONLY));
	}
}

static int open_program_of(pid_t pid, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return open_file(path, flags);
}

TEST_F(tree, the_program_that_started_the_domain_is_out_of_reach)
{
	struct krepis_domain *d = domain(EVERYTHING);
	pid_t pid = getpid();

	allowed(NULL, open_program_of(pid, O_RDONLY));
	refused(EACCES, d, open_program_of(pid, O_RDONLY));
	refused(EACCES, d, open_program_of(pid, O_WRONLY));
	allowed(d, open_program_of(getpid(), O_RDONLY));
}

/* -------------------------------------------------------------------- what is left behind */

static int create_with(const char *path, int flags, mode_t mode)
{
	return sys(open(path, O_WRONLY | O_CLOEXEC | flags, mode));
}

/* Who is outside executes them, later, and is then their owner. */
TEST_F(tree, programs_that_change_their_user_are_not_left_behind)
{
	struct krepis_domain *d = domain("read,write " A);
	struct krepis_domain *may = domain("read,write " A, "sys setfcap");

	refused(EPERM, d, sys(chmod(A "/p", 04755)));
	refused(EPERM, d, sys(chmod(A "/p", 02755)));
	refused(EPERM, d, create_with(A "/n", O_CREAT | O_EXCL, 04755));
	refused(EPERM, d, create_with(A, O_TMPFILE, 02755));
	refused(EPERM, d, sys(mknod(A "/n", 04755, 0)));
	EXPECT_FALSE(exists(A "/n"));
	allowed(d, sys(chmod(A "/p", 0755)));
	allowed(d, sys(chmod(AB, 02755)));
	allowed(d, create_with(A, O_TMPFILE, 0755));
	allowed(may, sys(chmod(A "/p", 06755)));
	allowed(may, create_with(A, O_TMPFILE, 02755));
	allowed(may, create_with(A "/n", O_CREAT | O_EXCL, 04755));
	refused(EPERM, domain("read,write", "sys", "deny sys setfcap"), sys(chmod(A "/p", 04755)));
}

TEST_F(tree, capabilities_of_a_program_are_not_left_behind)
{
	struct vfs_cap_data {
		uint32_t magic, data[4];
	} cap = { .magic = 0x02000001, .data = { 1 << 13 } };

	refused(EPERM, domain("read,write " A),
		sys(setxattr(A "/p", "security.capability", &cap, sizeof(cap), 0)));
	allowed(domain("read,write " A, "sys setfcap"),
		sys(setxattr(A "/p", "security.capability", &cap, sizeof(cap), 0)));
}

static int crash_in(const char *dir)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t pid;

	if (chdir(dir) || setrlimit(RLIMIT_CORE, &all))
		return -errno;
	pid = child();
	if (!pid) {
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		abort();
	}
	return reap(pid) > 128 ? 0 : -EINVAL;
}

TEST_F(tree, a_crash_writes_nothing_where_that_is_not_allowed)
{
	struct krepis_domain *d = domain("read " TOP, "write " A);

	ASSERT_EQ(0, write_text("/proc/sys/kernel/core_pattern", "core"));
	ASSERT_EQ(0, write_text("/proc/sys/kernel/core_uses_pid", "0"));
	allowed(d, crash_in(X));
	EXPECT_FALSE(exists(X "/core"));
	allowed(d, crash_in(A));
	EXPECT_TRUE(exists(A "/core"));
	allowed(NULL, crash_in(X));
	EXPECT_TRUE(exists(X "/core"));
}

static int white_out(const char *from, const char *to)
{
	return sys(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_WHITEOUT));
}

TEST_F(tree, a_whiteout_is_left_only_where_one_may_write)
{
	struct krepis_domain *d = domain("read,write " A), *both = domain("read,write " TOP);

	refused(EACCES, d, white_out(X "/f", A "/g"));
	EXPECT_FALSE(exists(A "/g"));
	allowed(both, white_out(X "/f", A "/g"));
	EXPECT_TRUE(exists(A "/g"));
	/* It is no device. */
	refused(ENXIO, both, read_file(X "/f"));
}

/* ------------------------------------------------------------------- how rules are bound */

#define SETVERSION_OLD	0x40086604U	/* EXT4_IOC_SETVERSION_OLD */

static int renumber(int fd, unsigned long cmd)
{
	long generation = 1;

	return sys(ioctl(fd, cmd, &generation));
}

TEST_F(tree, a_denied_file_does_not_become_another_one)
{
	struct krepis_domain *d;
	int fd;

	ASSERT_EQ(0, mount_ext4(EMPTY));
	ASSERT_EQ(0, put_file(EMPTY "/f", "text"));
	fd = open(EMPTY "/f", O_WRONLY);
	ASSERT_LE(0, fd);
	d = domain("read", "write", "deny read " EMPTY "/f");
	refused(EPERM, d, renumber(fd, SETVERSION_OLD));
	refused(EPERM, d, renumber(fd, FS_IOC_SETVERSION));
	refused(EACCES, d, read_file(EMPTY "/f"));
	allowed(NULL, renumber(fd, SETVERSION_OLD));
	allowed(NULL, renumber(fd, FS_IOC_SETVERSION));
	close(fd);
	ASSERT_EQ(0, umount2(EMPTY, MNT_DETACH));
}

/* Of a file system that has them: others know no such thing. */
TEST_F(tree, attributes_of_fat_need_write)
{
	const unsigned long cmd = 0x40047211;	/* FAT_IOCTL_SET_ATTRIBUTES */
	int fd = open(A "/f", O_RDONLY);

	refused(ENOTTY, NULL, renumber(fd, cmd));
	refused(EACCES, domain("read " A), renumber(fd, cmd));
	refused(ENOTTY, domain("write " A), renumber(fd, cmd));
}

/* ------------------------------------------------------------------------------- keys */

static int request(const char *order)
{
	return sys(syscall(SYS_request_key, "user", "krepis:none", order,
			   KEY_SPEC_PROCESS_KEYRING));
}

TEST_F(tree, no_program_outside_is_asked_for_a_key)
{
	struct krepis_domain *d = domain(EVERYTHING);

	/* There may be no such program. */
	EXPECT_NE(-EPERM, in_domain(NULL, request("order")));
	refused(EPERM, d, request("order"));
	refused(ENOKEY, d, request(NULL));
	allowed(d, sys(syscall(SYS_add_key, "user", "krepis:mine", "x", 1,
			       KEY_SPEC_PROCESS_KEYRING)));
}

/* Has as many credentials as a domain may have, each held by a file. */
static int take_all_labels(const char *unused)
{
	struct rlimit many = { 100000, 100000 };
	int i;

	if (setrlimit(RLIMIT_NOFILE, &many))
		return -errno;
	for (i = 0; i < 90000; i++) {
		if (prctl(PR_SET_KEEPCAPS, i & 1, 0, 0, 0))
			return errno == ENOMEM ? 0 : -errno;
		if (open("/", O_PATH | O_CLOEXEC) < 0)
			return -errno;
	}
	return -ERANGE;
}

static int session(void)
{
	return (int)syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

/* A child that gives its parent a session, when it is told to. Return: whether it could. */
static int give_session(int ready, int go)
{
	char byte = 0;

	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
	    write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		return EPIPE;
	return -sys(syscall(SYS_keyctl, KEYCTL_SESSION_TO_PARENT));
}

/* With credentials that a child made. @full: while nobody can be labelled. */
static int read_in_session(const char *path, bool full)
{
	int ready[2], go[2], before, given;
	char byte = 0;
	pid_t pid;

	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	before = session();
	if (pipe(ready) || pipe(go))
		return -errno;
	pid = child();
	if (!pid)
		_exit(give_session(ready[1], go[0]));
	if (read(ready[0], &byte, 1) != 1 || (full && take_all_labels(NULL)) ||
	    write(go[1], &byte, 1) != 1)
		return -ENOTUNIQ;
	given = reap(pid);
	if (!full && (given || session() == before))
		return -ENOTUNIQ;
	return read_file(path);
}

TEST_F(tree, credentials_that_a_child_made_lead_not_out)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, d, read_in_session(X "/f", false));
	allowed(d, read_in_session(A "/f", false));
	allowed(NULL, read_in_session(X "/f", false));
}

/* In @d, which a child that is outside removes before it makes credentials for its parent. */
static int read_after_removal(struct krepis_domain *d, const char *path)
{
	int go[2], before;
	char byte = 0;
	pid_t pid;

	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	before = session();
	if (pipe(go))
		return -errno;
	pid = child();
	if (!pid) {
		if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
		    read(go[0], &byte, 1) != 1 || krepis_domain_remove(d))
			_exit(EPIPE);
		_exit(-sys(syscall(SYS_keyctl, KEYCTL_SESSION_TO_PARENT)));
	}
	if (krepis_domain_enter(d) || write(go[1], &byte, 1) != 1 || reap(pid) ||
	    session() == before)
		return -ENOTUNIQ;
	return read_file(path);
}

TEST_F(tree, credentials_that_an_outsider_made_lead_not_out_of_a_removed_domain)
{
	refused(EACCES, NULL, read_after_removal(domain("read"), A "/f"));
}

TEST_F(tree, where_nobody_can_be_labelled_nobody_gets_out)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, d, read_in_session(X "/f", true));
	/* The kernel lets go of them after a while. */
	EXPECT_TRUE(within_ms(60000, !in_domain(d, read_in_session(A "/f", false))));
}

/* --------------------------------------------------------------------- other ways round */

static int by_sibling(const char *path)
{
	int *result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long pid;

	*result = 1;
	pid = syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
	if (!pid) {
		*result = read_file(path);
		syscall(SYS_exit_group, 0);
	}
	return within_ms(10000, *(volatile int *)result != 1) ? *result : -ETIMEDOUT;
}

TEST_F(tree, a_child_of_who_is_outside_is_in_it)
{
	struct krepis_domain *d = domain("read " A);

	refused(EACCES, d, by_sibling(X "/f"));
	allowed(d, by_sibling(A "/f"));
	allowed(NULL, by_sibling(X "/f"));
}

TEST_F(tree, who_takes_all_labels_leaves_some_to_other_domains)
{
	struct krepis_domain *d = domain("read"), *other = domain("read");
	struct inmate i;

	ASSERT_EQ(0, inmate_start(&i, d));
	EXPECT_EQ(0, inmate_do(&i, take_all_labels, NULL));
	refused(ENOMEM, NULL, krepis_domain_enter(d));
	allowed(other, by_sibling(A "/f"));
	inmate_end(&i);
}

/* In a namespace of processes, by the number there or by that outside. */
static int own_signals(struct krepis_domain *d, bool outside)
{
	char number[32] = "";
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return -ENOTUNIQ;
	pid = fork();
	if (!pid) {
		int fd = open("/dev/null", O_RDONLY);

		if (readlink("/proc/self", number, sizeof(number) - 1) < 0)
			_exit(ENOTUNIQ);
		enter(d);
		_exit(-sys(fcntl(fd, F_SETOWN, outside ? atoi(number) : getpid())));
	}
	return -reap(pid);
}

TEST_F(tree, in_a_namespace_signals_are_for_itself_by_its_number_there)
{
	struct krepis_domain *d = domain(EVERYTHING);

	allowed(NULL, own_signals(d, false));
	/* There it is somebody else's, if anybody's. */
	refused(EPERM, NULL, own_signals(d, true));
	refused(ESRCH, NULL, own_signals(NULL, true));
}

/* As one that took the place of a socket of TCP, which some kernels allow. */
static int smc_socket(struct krepis_domain *d)
{
	int fd = socket(43 /* AF_SMC */, SOCK_STREAM | SOCK_CLOEXEC, 0);

	enter(d);
	return fd;
}

static int smc_connect(struct krepis_domain *d, int port)
{
	struct address a = address_of("127.0.0.1", port);

	return sys(connect(smc_socket(d), &a.sa, a.len));
}

static int smc_open(struct krepis_domain *d, int port)
{
	struct address a = address_of("127.0.0.1", port);

	return send_with(smc_socket(d), &a, MSG_FASTOPEN);
}

static int smc_serve(struct krepis_domain *d)
{
	return sys(listen(smc_socket(d), 1));
}

TEST_F(tree, a_socket_that_became_another_one_goes_nowhere_else)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000"), *all = domain("net", "sys sockets");
	struct servers s;

	ASSERT_EQ(0, system("modprobe -q smc"));
	ASSERT_EQ(0, servers_make(&s));
	allowed(d, tcp("127.0.0.1", PORT));
	refused(EACCES, NULL, smc_connect(d, PORT));
	refused(EACCES, NULL, smc_connect(d, OTHER_PORT));
	refused(EACCES, NULL, smc_open(d, OTHER_PORT));
	refused(EACCES, NULL, smc_serve(d));
	allowed(NULL, smc_connect(all, OTHER_PORT));
	allowed(NULL, smc_open(all, OTHER_PORT));
	allowed(NULL, smc_serve(all));
}

TEST_HARNESS_MAIN
