// SPDX-License-Identifier: MIT
/* Executing programs: which, through what, and with what they may load. */
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include "fixture.h"

#define LOADER	"/lib64/ld-linux-x86-64.so.2"
#define PRELOADED	77	/* what the library of parts/ ends with */
#define GAINED		99	/* what hand ends with, when it acts for another one */

/* ------------------------------------------------------------------------- programs */

TEST_F(tree, a_program_needs_exec)
{
	refused(EACCES, domain("read,write " A), run(A "/p", NULL));
	allowed(domain("exec " A), run(A "/p", NULL));
	allowed(domain("exec " A "/p"), run(A "/p", NULL));
	refused(EACCES, domain("exec " A "/f"), run(A "/p", NULL));
}

TEST_F(tree, an_executed_program_is_not_readable_by_that)
{
	refused(EACCES, domain("exec " A), read_file(A "/p"));
	refused(EACCES, domain("exec " A), run(A "/p", A "/p"));
	allowed(domain("read,exec " A), run(A "/p", A "/p"));
}

TEST_F(tree, an_executed_program_is_in_the_domain)
{
	struct krepis_domain *d = domain("exec,read " A);

	allowed(d, run(A "/p", A "/f"));
	refused(EACCES, d, run(A "/p", X "/f"));
	allowed(NULL, run(A "/p", X "/f"));
}

TEST_F(tree, a_written_program_is_not_executed)
{
	struct krepis_domain *d = domain("read,write " A, "exec " X);

	allowed(d, create(A "/new"));
	ASSERT_EQ(0, put_program("hand", A "/new", 0755));
	refused(EACCES, d, run(A "/new", NULL));
	allowed(domain("read,write,exec " A), run(A "/new", NULL));
}

static int run_fd(int fd, const char *name, int flags)
{
	char *argv[] = { "p", NULL }, *env[] = { NULL };
	pid_t pid = child();

	if (!pid) {
		syscall(SYS_execveat, fd, name, argv, env, flags);
		_exit(errno);
	}
	return pid < 0 ? -errno : -reap(pid);
}

static int run_link(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return run(path, NULL);
}

TEST_F(tree, a_descriptor_is_executed_only_where_its_file_may_be)
{
	struct krepis_domain *d = domain("read " A), *e = domain("exec " A);
	int fd = open(A "/p", O_RDONLY), path = open(A "/p", O_PATH), dir = open(A, O_PATH);

	refused(EACCES, d, run_fd(fd, "", AT_EMPTY_PATH));
	refused(EACCES, d, run_fd(path, "", AT_EMPTY_PATH));
	refused(EACCES, d, run_fd(dir, "p", 0));
	refused(EACCES, d, run_link(fd));
	refused(EACCES, d, run_link(path));
	allowed(e, run_fd(fd, "", AT_EMPTY_PATH));
	allowed(e, run_fd(path, "", AT_EMPTY_PATH));
	allowed(e, run_fd(dir, "p", 0));
	allowed(e, run_link(fd));
	allowed(e, run_link(path));
}

/* A program in memory, of which there is no path. */
static int memory_program(void)
{
	char path[32];
	int fd = memfd_create("p", 0);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return put_program("hand", path, 0755) ? -1 : fd;
}

TEST_F(tree, a_program_in_memory_is_not_executed)
{
	struct krepis_domain *d = domain("read,write,exec " TOP);
	int fd = memory_program(), again;
	char path[32];

	ASSERT_LE(0, fd);
	/* A file that is open for writing is not executed by anybody. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY);
	close(fd);
	ASSERT_LE(0, again);
	allowed(NULL, run_fd(again, "", AT_EMPTY_PATH));
	refused(EACCES, d, run_fd(again, "", AT_EMPTY_PATH));
	refused(EACCES, d, run_link(again));
	allowed(domain("exec"), run_fd(again, "", AT_EMPTY_PATH));
	refused(EACCES, domain("exec", "deny exec"), run_fd(again, "", AT_EMPTY_PATH));
}

/* -------------------------------------------------------------------------- scripts */

TEST_F(tree, a_script_needs_exec_of_itself_and_of_its_interpreter)
{
	/* The interpreter reads the script. */
	ASSERT_EQ(0, put_file(A "/script", "#!" X "/p\n"));
	ASSERT_EQ(0, chmod(A "/script", 0755));
	allowed(domain("exec,read " A "/script", "exec " X "/p"), run(A "/script", NULL));
	refused(EACCES, domain("exec,read " A "/script", "read " X "/p"), run(A "/script", NULL));
	refused(EACCES, domain("read " A "/script", "exec " X "/p"), run(A "/script", NULL));
	refused(EACCES, domain("exec " A "/script", "exec " X "/p"), run(A "/script", NULL));
	refused(EACCES, domain("exec,read " TOP, "deny exec " X "/p"), run(A "/script", NULL));
}

TEST_F(tree, a_script_by_a_script_needs_exec_of_all)
{
	ASSERT_EQ(0, put_file(A "/one", "#!" A "/two\n"));
	ASSERT_EQ(0, put_file(A "/two", "#!" X "/p\n"));
	ASSERT_EQ(0, chmod(A "/one", 0755));
	ASSERT_EQ(0, chmod(A "/two", 0755));
	allowed(domain("exec,read " A, "exec " X "/p"), run(A "/one", NULL));
	refused(EACCES, domain("exec,read " A), run(A "/one", NULL));
	refused(EACCES, domain("exec,read " A, "exec " X "/p", "deny exec " A "/two"),
		run(A "/one", NULL));
}

/* -------------------------------------------------------------------------- libraries */

#define SYSTEM	"read,exec /usr", "read /etc"

/* A program that needs a loader and a library. */
static int put_true(void)
{
	return system("cat /usr/bin/true >" A "/true") || chmod(A "/true", 0755) ? -EIO : 0;
}

TEST_F(tree, a_program_with_libraries_needs_those)
{
	ASSERT_EQ(0, put_true());
	allowed(domain("exec " A, SYSTEM), run(A "/true", NULL));
	EXPECT_NE(0, in_domain(domain("exec " A), run(A "/true", NULL)));
	EXPECT_NE(0, in_domain(domain("exec " A, SYSTEM, "deny read,exec " LOADER),
			       run(A "/true", NULL)));
	refused(EACCES, domain("read " A, SYSTEM), run(A "/true", NULL));
}

TEST_F(tree, what_is_denied_to_be_executed_is_not_loaded_by_the_loader)
{
	struct krepis_domain *r = domain("read " A, SYSTEM);

	ASSERT_EQ(0, put_true());
	refused(EACCES, r, run(A "/true", NULL));
	/* Who may read it could load it by hand. */
	allowed(r, run(LOADER, A "/true"));
	EXPECT_NE(0, in_domain(domain("read " A, SYSTEM, "deny exec " A), run(LOADER, A "/true")));
	EXPECT_NE(0, in_domain(domain(SYSTEM), run(LOADER, A "/true")));
	refused(EACCES, domain("read,exec " A, SYSTEM, "deny exec " LOADER),
		run(LOADER, A "/true"));
}

static int preload(const char *library)
{
	char *argv[] = { A "/true", NULL }, variable[128], *env[] = { variable, NULL };

	snprintf(variable, sizeof(variable), "LD_PRELOAD=%s", library);
	/* The loader warns of what it cannot load. */
	dup2(open("/dev/null", O_PATH), STDERR_FILENO);
	return -run_with(A "/true", argv, env);
}

TEST_F(tree, a_library_that_may_not_be_read_is_not_loaded)
{
	ASSERT_EQ(0, put_true());
	ASSERT_EQ(0, put_program("preload.so", X "/l.so", 0755));
	EXPECT_EQ(PRELOADED, preload(X "/l.so"));
	allowed(domain("exec " A, SYSTEM, "read " X),
		preload(X "/l.so") == PRELOADED ? 0 : -EINVAL);
	allowed(domain("exec " A, SYSTEM), preload(X "/l.so") == 0 ? 0 : -EINVAL);
	allowed(domain("exec " A, SYSTEM, "read " X, "deny exec " X),
		preload(X "/l.so") == 0 ? 0 : -EINVAL);
}

/* -------------------------------------------------------------------------- privileges */

static int as_nobody(const char *path, bool no_new_privs)
{
	if (no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return run(path, "uid");
}

/* trial_begin() sets no_new_privs, which this is without. */
static int enter_as_nobody(struct krepis_domain *d, const char *path, bool no_new_privs)
{
	enter(d);
	return as_nobody(path, no_new_privs);
}

static int gains(const char *path)
{
	pid_t pid = child();

	if (!pid)
		_exit(-as_nobody(path, false));
	return reap(pid);
}

/* Whether it could not be executed. */
static bool is_error(int result)
{
	return result < 0 && result != -GAINED && result != TRIAL_OUTSIDE;
}

#define apart(d, path, no_new) __extension__ ({				\
	pid_t _pid = child();						\
									\
	if (!_pid)							\
		_exit(-enter_as_nobody(d, path, no_new));		\
	-reap(_pid);							\
})

TEST_F(tree, by_a_setuid_program_nobody_gains)
{
	struct krepis_domain *d = domain("exec " TOP, "sys setuid", "sys setgid");

	ASSERT_EQ(0, put_program("hand", A "/s", 04755));
	ASSERT_EQ(GAINED, gains(A "/s"));
	/* It runs as who calls it. */
	EXPECT_EQ(0, apart(d, A "/s", true));
	/* It would run as its owner: not at all. */
	EXPECT_TRUE(is_error(apart(d, A "/s", false)));
	EXPECT_EQ(0, apart(d, A "/p", false));
}

TEST_F(tree, by_a_setgid_program_nobody_gains)
{
	struct krepis_domain *d = domain("exec " TOP, "sys setuid", "sys setgid");

	ASSERT_EQ(0, put_program("hand", A "/s", 02755));
	EXPECT_EQ(0, apart(d, A "/s", true));
	EXPECT_TRUE(is_error(apart(d, A "/s", false)));
}

TEST_F(tree, by_a_program_with_capabilities_nobody_gains)
{
	struct krepis_domain *d = domain("exec " TOP, "sys setuid", "sys setgid");
	struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1 << CAP_NET_RAW,
	};

	ASSERT_EQ(0, put_program("hand", A "/s", 0755));
	EXPECT_EQ(0, apart(d, A "/s", false));
	ASSERT_EQ(0, setxattr(A "/s", "security.capability", &cap, XATTR_CAPS_SZ_2, 0));
	EXPECT_EQ(0, apart(d, A "/s", true));
	EXPECT_TRUE(is_error(apart(d, A "/s", false)));
}

TEST_HARNESS_MAIN
