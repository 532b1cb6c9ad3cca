// SPDX-License-Identifier: MIT
/*
 * Best effort, by Landlock: what it enforces of files and channels, and that it tells what
 * it does not.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/krepis.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include "best_effort.h"

static char in[80], out[80];		/* two directories, with a file each */
static char in_file[96], out_file[96];

static void write_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, "text", 4) == 4);
	close(fd);
}

static int begin_files(void **state)
{
	snprintf(in, sizeof(in), "%s/in", directory());
	snprintf(out, sizeof(out), "%s/out", directory());
	snprintf(in_file, sizeof(in_file), "%s/file", in);
	snprintf(out_file, sizeof(out_file), "%s/file", out);
	must(!mkdir(in, 0755) || errno == EEXIST);
	must(!mkdir(out, 0755) || errno == EEXIST);
	write_file(in_file);
	write_file(out_file);
	return begin_claim(state);
}

#define FILES(function) cmocka_unit_test_setup_teardown(function, begin_files, end_claim)

static const char *below(const char *dir, const char *name)
{
	static char paths[4][112];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int open_and_close(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	return fd < 0 ? -1 : close(fd);
}

/* ----------------------------------------------------------------------------- refusals */

/* Where it is there, the system call is made not to exist. */
static void without_landlock(void *arg)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };
	int before;

	if (geteuid())
		must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	before = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	if (landlock_abi() > 0)
		must(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	must(try_to_enter() == -EOPNOTSUPP);
	must(!*told_lines && *krepis_sandbox_error());
	must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == before);
	must(!open_and_close(in_file, O_RDWR));
	must(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
}

static void a_kernel_without_landlock_is_refused(void **state)
{
	(void)state;
	if (under_valgrind())
		skip();
	join_child(spawn(without_landlock, NULL));
}

static void missing_path(void *arg)
{
	int before = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	unsigned int fds = open_fds();

	allow(KREPIS_READ, in);
	deny(KREPIS_WRITE, below(in, "none"));
	must(try_to_enter() == -ENOENT);
	must(strstr(krepis_sandbox_error(), below(in, "none")));
	must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == before);
	must(!open_and_close(out_file, O_RDWR));
	must(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
	must(open_fds() == fds + 1);
}

static void a_path_that_does_not_exist_is_refused(void **state)
{
	(void)state;
	in_child(missing_path);
}

/* -------------------------------------------------------------------------------- files */

static void read_inside(void *arg)
{
	allow(KREPIS_READ, in);
	enter();
	must(!open_and_close(in_file, O_RDONLY));
	must(!open_and_close(in, O_RDONLY | O_DIRECTORY));
	must_fail(open_and_close(in_file, O_WRONLY), EACCES);
	must_fail(open_and_close(out_file, O_RDONLY), EACCES);
	must_fail(open_and_close(out, O_RDONLY | O_DIRECTORY), EACCES);
	must_fail(open_and_close(below(in, "../out/file"), O_RDONLY), EACCES);
}

static void what_is_outside_is_not_read(void **state)
{
	(void)state;
	in_child(read_inside);
}

static void read_one_file(void *arg)
{
	allow(KREPIS_READ, in_file);
	allow(KREPIS_WRITE, in_file);
	enter();
	must(!open_and_close(in_file, O_RDWR));
	must_fail(open_and_close(in, O_RDONLY | O_DIRECTORY), EACCES);
	must_fail(unlink(in_file), EACCES);
}

static void a_file_can_be_allowed_alone(void **state)
{
	(void)state;
	in_child(read_one_file);
}

static void write_inside(void *arg)
{
	allow(KREPIS_WRITE, in);
	enter();
	must(!open_and_close(in_file, O_WRONLY));
	must_fail(open_and_close(in_file, O_RDONLY), EACCES);
	must(!open_and_close(below(in, "new"), O_WRONLY | O_CREAT));
	must(!mkdir(below(in, "dir"), 0755));
	must(!rename(below(in, "new"), below(in, "other")));
	if (landlock_abi() >= 2)
		must(!rename(below(in, "other"), below(in, "dir/other")));
	must(!symlink("file", below(in, "link")) && !unlink(below(in, "link")));
	must_fail(open_and_close(out_file, O_WRONLY), EACCES);
	must_fail(open_and_close(below(out, "new"), O_WRONLY | O_CREAT), EACCES);
	must_fail(mkdir(below(out, "dir"), 0755), EACCES);
	must_fail(symlink("file", below(out, "link")), EACCES);
	must_fail(unlink(out_file), EACCES);
	must_fail(rmdir(out), EACCES);
	must(told("chmod(2)", "can be changed"));
}

static void what_is_outside_is_not_written(void **state)
{
	(void)state;
	in_child(write_inside);
}

static void rename_over_the_border(void *arg)
{
	allow(KREPIS_WRITE, in);
	allow(KREPIS_READ, NULL);
	enter();
	must(rename(in_file, below(out, "moved")) == -1 && (errno == EACCES || errno == EXDEV));
	must(rename(out_file, below(in, "moved")) == -1 && (errno == EACCES || errno == EXDEV));
	must(link(out_file, below(in, "linked")) == -1 && (errno == EACCES || errno == EXDEV));
}

static void nothing_is_moved_in_or_out(void **state)
{
	(void)state;
	in_child(rename_over_the_border);
}

static void truncate_outside(void *arg)
{
	allow(KREPIS_READ, NULL);
	allow(KREPIS_WRITE, in);
	enter();
	must(!truncate(in_file, 1));
	if (landlock_abi() >= 3) {
		must_fail(truncate(out_file, 1), EACCES);
		must_fail(open_and_close(out_file, O_RDONLY | O_TRUNC), EACCES);
	}
	must(told("truncate(2)", "write") == (landlock_abi() < 3));
	must(told("ioctl(2)", "devices") == (landlock_abi() < 5));
}

static void what_is_outside_is_not_cut_or_that_is_told(void **state)
{
	(void)state;
	in_child(truncate_outside);
}

static void truncate_nothing(void *arg)
{
	allow(KREPIS_READ, NULL);
	enter();
	must_fail(truncate(in_file, 1), EACCES);
	must_fail(open_and_close(in_file, O_RDONLY | O_TRUNC), EACCES);
	must_fail(syscall(SYS_openat, AT_FDCWD, in_file, O_RDONLY | O_TRUNC), EACCES);
	must_fail(chmod(in_file, 0600), EACCES);
	must_fail(chown(in_file, 0, 0), EACCES);
	must_fail(utimensat(AT_FDCWD, in_file, NULL, 0), EACCES);
	must(!told("write", "can be c"));
}

static void without_write_nothing_of_a_file_changes(void **state)
{
	(void)state;
	in_child(truncate_nothing);
}

static int run(const char *path)
{
	char *const argv[] = { (char *)path, NULL };
	int status;
	pid_t child = fork();

	must(child >= 0);
	if (!child) {
		execv(path, argv);
		_exit(errno);
	}
	must(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void execute_inside(void *arg)
{
	must(run(below(in, "true")) == 0);
	allow(KREPIS_READ, NULL);
	allow(KREPIS_EXEC, "/usr");
	enter();
	must(run("/usr/bin/true") == 0);
	must(run(below(in, "true")) == EACCES);
	must(told("exec", "mmap(2)"));
}

static void copy_true(void)
{
	char command[256];

	snprintf(command, sizeof(command), "cp /usr/bin/true %s/true", in);
	must(!system(command));
}

static void what_is_outside_is_not_executed(void **state)
{
	(void)state;
	copy_true();
	in_child(execute_inside);
}

/* ------------------------------------------------------------------------------ denials */

static void deny_below(void *arg)
{
	allow(KREPIS_READ, directory());
	deny(KREPIS_READ, out_file);
	enter();
	must(told(out_file, "is not enforced"));
	must(told(out_file, directory()));
	must(told("deny", "linked"));
}

static void a_denial_below_what_is_allowed_is_told(void **state)
{
	(void)state;
	in_child(deny_below);
}

static void deny_the_same(void *arg)
{
	allow(KREPIS_READ, in);
	allow(KREPIS_READ, out);
	deny(KREPIS_READ, below(in, "../out"));
	enter();
	must(!open_and_close(in_file, O_RDONLY));
	must_fail(open_and_close(out_file, O_RDONLY), EACCES);
	must(!told("deny", "is not enforced"));
}

static void what_is_denied_itself_is_left_out(void **state)
{
	(void)state;
	in_child(deny_the_same);
}

static void deny_above(void *arg)
{
	allow(KREPIS_READ, in);
	allow(KREPIS_READ, out_file);
	deny(KREPIS_READ, out);
	enter();
	must(!open_and_close(in_file, O_RDONLY));
	must_fail(open_and_close(out_file, O_RDONLY), EACCES);
	must(!told("deny", "is not enforced"));
}

static void what_lies_below_the_denied_is_left_out(void **state)
{
	(void)state;
	in_child(deny_above);
}

static void deny_all(void *arg)
{
	allow(KREPIS_READ, in);
	allow(KREPIS_NET, NULL);
	deny(KREPIS_READ, NULL);
	deny(KREPIS_NET, NULL);
	enter();
	must_fail(open_and_close(in_file, O_RDONLY), EACCES);
	must_fail(socket(AF_INET, SOCK_STREAM, 0), EACCES);
	must(!told("deny", "") && !told("net", ""));
}

static void what_is_denied_of_all_beats_everything(void **state)
{
	(void)state;
	in_child(deny_all);
}

/* A mount shows what is outside below what is allowed. */
static void deny_mounted(void *arg)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (mkdir(below(in, "mount"), 0755) && errno != EEXIST) ||
	    mount(out, below(in, "mount"), NULL, MS_BIND, NULL))
		_exit(SKIPPED);
	allow(KREPIS_READ, in);
	deny(KREPIS_READ, out_file);
	enter();
	must(!open_and_close(below(in, "mount/file"), O_RDONLY));
	must(told(out_file, "is not enforced"));
}

static void a_denial_that_another_mount_goes_around_is_told(void **state)
{
	(void)state;
	in_child(deny_mounted);
}

/* ----------------------------------------------------------------------------- channels */

static const char *const krepis_mount = "/run/krepis";
static char channel_path[64];

static void consume_only(void *arg)
{
	char object[160];

	snprintf(object, sizeof(object), "%s:rw", channel_path);
	allow(KREPIS_CHANNEL, object);
	snprintf(object, sizeof(object), "%s:w", channel_path);
	deny(KREPIS_CHANNEL, object);
	snprintf(object, sizeof(object), "%s:rw", in_file);
	allow(KREPIS_CHANNEL, object);
	enter();
	must(!open_and_close(channel_path, O_RDONLY));
	must_fail(open_and_close(channel_path, O_RDWR), EACCES);
	must_fail(open_and_close(in_file, O_RDONLY), EACCES);
	must(told("channel", "leave") && !told("deny", "is not enforced"));
}

static void all_channels(void *arg)
{
	char object[160];

	allow(KREPIS_CHANNEL, "/:rw:pass");
	snprintf(object, sizeof(object), "%s:w", channel_path);
	deny(KREPIS_CHANNEL, object);
	enter();
	must(!open_and_close(channel_path, O_RDWR));
	must_fail(open_and_close(in_file, O_RDONLY), EACCES);
	must(told(object, "is not enforced") && !told("channel", "leave"));
}

static void read_the_mount(void *arg)
{
	allow(KREPIS_READ, krepis_mount);
	enter();
	must(told(krepis_mount, "they can be used"));
}

static void in_child_with_channel(void (*body)(void *arg))
{
	struct krepis_channel *channel;
	struct statfs fs;

	if (statfs(krepis_mount, &fs) || fs.f_type != KREPIS_SUPER_MAGIC)
		skip();
	snprintf(channel_path, sizeof(channel_path), "%s/best-effort-%d", krepis_mount, getpid());
	if (krepis_channel_create(channel_path, SMALL_RING(), &channel))
		skip();
	in_child(body);
	krepis_channel_close(channel);
	unlink(channel_path);
}

static void the_role_in_a_channel_is_enforced(void **state)
{
	(void)state;
	in_child_with_channel(consume_only);
}

static void to_allow_all_channels_allows_no_other_file(void **state)
{
	(void)state;
	in_child_with_channel(all_channels);
}

static void that_files_include_channels_is_told(void **state)
{
	(void)state;
	in_child_with_channel(read_the_mount);
}

/* ---------------------------------------------------------------------------- everything */

static void allow_everything(void *arg)
{
	static const char *const words[] = { "read", "write", "exec", "net", "unix", "channel" };

	for (int what = 0; what < KREPIS_WHATS; what++)
		allow((enum krepis_what)what, NULL);
	enter();
	must(!open_and_close(out_file, O_RDWR | O_TRUNC));
	must(!rename(below(in, "file"), below(out, "moved")) || landlock_abi() < 2);
	must(!chmod(out_file, 0600));
	must(socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
	must(run("/usr/bin/true") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		char begin[16];

		snprintf(begin, sizeof(begin), "%s: ", words[i]);
		must(!told(begin, "") && !told("deny", ""));
	}
}

static void of_what_is_allowed_as_a_whole_nothing_is_told(void **state)
{
	(void)state;
	in_child(allow_everything);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES(a_kernel_without_landlock_is_refused),
		FILES(a_path_that_does_not_exist_is_refused),
		FILES(what_is_outside_is_not_read),
		FILES(a_file_can_be_allowed_alone),
		FILES(what_is_outside_is_not_written),
		FILES(nothing_is_moved_in_or_out),
		FILES(what_is_outside_is_not_cut_or_that_is_told),
		FILES(without_write_nothing_of_a_file_changes),
		FILES(what_is_outside_is_not_executed),
		FILES(a_denial_below_what_is_allowed_is_told),
		FILES(what_is_denied_itself_is_left_out),
		FILES(what_lies_below_the_denied_is_left_out),
		FILES(what_is_denied_of_all_beats_everything),
		FILES(a_denial_that_another_mount_goes_around_is_told),
		FILES(the_role_in_a_channel_is_enforced),
		FILES(to_allow_all_channels_allows_no_other_file),
		FILES(that_files_include_channels_is_told),
		FILES(of_what_is_allowed_as_a_whole_nothing_is_told),
	};

	return RUN("best_effort", tests);
}
