// SPDX-License-Identifier: MIT
/*
 * Names of channels: where they stand, when they appear, when they go.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "helpers.h"

/* ---------------------------------------------------------------------------- names */

static void a_name_without_slash_stands_in_krepis_dir(void **state)
{
	struct krepis_channel *made = create("plain"), *found;
	struct stat st;

	(void)state;
	assert_ok(stat(path_of("plain"), &st));
	assert_true(S_ISREG(st.st_mode));
	found = open_channel("plain");
	assert_true(connected(made, found));
	krepis_channel_close(found);
	krepis_channel_close(made);
	assert_ok(krepis_unlink("plain"));
}

static void a_path_with_a_slash_is_taken_as_it_is(void **state)
{
	struct krepis_channel *made, *found;
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s", path_of("elsewhere"));
	assert_ok(setenv("KREPIS_DIR", "/nonexistent", 1));
	made = create(path);
	found = open_channel(path);
	assert_true(connected(made, found));
	krepis_channel_close(found);
	krepis_channel_close(made);
	assert_ok(krepis_unlink(path));
}

static void a_relative_path_is_relative(void **state)
{
	int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct krepis_channel *made;
	struct stat st;

	(void)state;
	assert_ok(chdir(directory()));
	made = create("./relative");
	assert_ok(fchdir(before));
	close(before);
	assert_ok(stat(path_of("relative"), &st));
	krepis_channel_close(made);
	assert_ok(krepis_unlink("relative"));
}

static void the_directory_is_krepis_dir(void **state)
{
	char path[108];

	(void)state;
	assert_ok(setenv("KREPIS_DIR", "/some/where", 1));
	assert_ok(krepis_directory(path, sizeof(path)));
	assert_string_equal(path, "/some/where");
}

/* Whether the machine has the module's mount, at its place. */
static bool module_mounted(void)
{
	struct statfs fs;

	return !statfs("/run/krepis", &fs) && fs.f_type == KREPIS_SUPER_MAGIC;
}

/* Leaves the mount alone with this process, whose directory may then be gone. */
static void leave_mounts(void)
{
	must(!unshare(CLONE_NEWNS) && !mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL));
}

/* What krepis_directory() says without $KREPIS_DIR, and with @run as $XDG_RUNTIME_DIR. */
static bool directory_is(const char *expected, const char *run)
{
	char path[108];

	must(!unsetenv("KREPIS_DIR"));
	must(!(run ? setenv("XDG_RUNTIME_DIR", run, 1) : unsetenv("XDG_RUNTIME_DIR")));
	must(!krepis_directory(path, sizeof(path)));
	if (strcmp(path, expected))
		fprintf(stderr, "it is %s\n", path);
	return !strcmp(path, expected);
}

static void without_krepis_dir_it_is_the_modules(void **state)
{
	(void)state;
	if (!module_mounted())
		skip();
	assert_true(directory_is("/run/krepis", "/dev/shm"));
	assert_true(directory_is("/run/krepis", NULL));
}

/* A mount that this user cannot make anything in. */
static void guarded_mount_child(void *arg)
{
	(void)arg;
	leave_mounts();
	must(!mount("none", "/run/krepis", "krepis", 0, "mode=755"));
	must(directory_is("/run/krepis", "/dev/shm"));
	become_nobody();
	must(directory_is("/dev/shm/krepis", "/dev/shm"));
}

static void a_mount_without_permission_is_passed_over(void **state)
{
	(void)state;
	if (!module_mounted() || geteuid())
		skip();
	join_child(spawn(guarded_mount_child, NULL));
}

/* Runs @child where there is no mount of the module. */
static void without_module(void (*child)(void *arg))
{
	if (module_mounted() && geteuid())
		skip();
	join_child(spawn(child, NULL));
}

static void hide_module(void)
{
	if (!module_mounted())
		return;
	leave_mounts();
	must(!mount("none", "/run/krepis", "tmpfs", 0, NULL));
}

static void runtime_directory_child(void *arg)
{
	(void)arg;
	hide_module();
	must(directory_is("/dev/shm/krepis", "/dev/shm"));
}

static void without_the_module_it_is_in_the_runtime_directory(void **state)
{
	(void)state;
	without_module(runtime_directory_child);
}

static void no_runtime_directory_child(void *arg)
{
	char expected[108];

	(void)arg;
	hide_module();
	snprintf(expected, sizeof(expected), "/dev/shm/krepis-%u", getuid());
	must(directory_is(expected, "/proc"));
	must(directory_is(expected, ""));
	must(directory_is(expected, NULL));
}

static void a_runtime_directory_that_is_not_tmpfs_is_passed_over(void **state)
{
	(void)state;
	without_module(no_runtime_directory_child);
}

static void a_directory_longer_than_the_room_is_refused(void **state)
{
	char path[16] = "as before";

	(void)state;
	assert_ok(setenv("KREPIS_DIR", "/fifteen/chars.", 1));
	assert_ok(krepis_directory(path, sizeof(path)));
	assert_error(krepis_directory(path, sizeof(path) - 1), ENAMETOOLONG);
}

static void create_makes_the_directory_for_its_owner_alone(void **state)
{
	char made[PATH_MAX];
	struct stat st;

	(void)state;
	snprintf(made, sizeof(made), "%s", path_of("made"));
	assert_ok(setenv("KREPIS_DIR", made, 1));
	krepis_channel_close(create("channel"));
	assert_ok(stat(made, &st));
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_ok(krepis_unlink("channel"));
	assert_ok(rmdir(made));
}

static void open_and_unlink_make_no_directory(void **state)
{
	struct stat st;

	(void)state;
	assert_ok(setenv("KREPIS_DIR", path_of("unmade"), 1));
	open_is_refused("channel", 0, ENOENT);
	assert_error(krepis_unlink("channel"), ENOENT);
	assert_int_equal(stat(getenv("KREPIS_DIR"), &st), -1);
}

static void an_existing_name_is_refused_and_stays(void **state)
{
	struct krepis_channel *first = create("taken"), *found;

	(void)state;
	create_is_refused("taken", EEXIST);
	found = open_channel("taken");
	assert_true(connected(first, found));
	krepis_channel_close(found);
	krepis_channel_close(first);
	assert_ok(krepis_unlink("taken"));
}

static void a_dangling_link_is_an_existing_name(void **state)
{
	(void)state;
	if (on_kmod()) {
		assert_int_equal(symlink("/nonexistent/target", path_of("dangling")), -1);
		assert_int_equal(errno, EPERM);
	}
	assert_ok(symlink("/nonexistent/target", foreign_path_of("dangling")));
	create_is_refused(foreign_path_of("dangling"), EEXIST);
	assert_ok(krepis_unlink(foreign_path_of("dangling")));
}

static void a_missing_directory_is_refused(void **state)
{
	(void)state;
	create_is_refused(path_of("missing/channel"), ENOENT);
}

static void a_file_as_directory_is_refused(void **state)
{
	struct krepis_channel *file = create("file");

	(void)state;
	create_is_refused(path_of("file/channel"), ENOTDIR);
	krepis_channel_close(file);
	assert_ok(krepis_unlink("file"));
}

static void a_name_too_long_is_refused(void **state)
{
	char name[NAME_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	create_is_refused(name, ENAMETOOLONG);
	create_is_refused(path_of(name), ENAMETOOLONG);
	open_is_refused(name, 0, ENAMETOOLONG);
	name[NAME_MAX] = 0;
	krepis_channel_close(create(name));
	assert_ok(krepis_unlink(name));
}

static void a_path_too_long_is_refused(void **state)
{
	char path[PATH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(path) - 1; i++)
		path[i] = i % 2 ? '.' : '/';
	path[PATH_MAX] = 0;
	create_is_refused(path, ENAMETOOLONG);
	open_is_refused(path, 0, ENAMETOOLONG);
	assert_ok(setenv("KREPIS_DIR", path + 1, 1));
	create_is_refused("channel", ENAMETOOLONG);
	open_is_refused("channel", 0, ENAMETOOLONG);
}

static void what_is_no_name_is_refused(void **state)
{
	(void)state;
	create_is_refused("", EINVAL);
	create_is_refused(".", EINVAL);
	create_is_refused("..", EINVAL);
	open_is_refused(NULL, 0, EINVAL);
}

static void foreign_directory_child(void *arg)
{
	struct krepis_channel *channel;

	(void)arg;
	become_nobody();
	if (on_kmod()) {
		krepis_channel_close(create("channel"));
		krepis_channel_close(open_channel("channel"));
		krepis_channel_close(open_channel("public"));
		must(!krepis_unlink("channel"));
		return;
	}
	must(krepis_channel_create("channel", SMALL_RING(), &channel) == -EACCES);
	must(krepis_channel_open("public", 0, &channel) == -EACCES);
	must(krepis_unlink("public") == -EACCES);
}

/* On a krepis mount it is the administrator who says whose a directory is. */
static void a_directory_of_another_user_is_refused_but_for_the_modules(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	krepis_channel_close(create("public"));
	assert_ok(chmod(path_of("public"), 0666));
	assert_ok(chmod(directory(), 0777));
	join_child(spawn(foreign_directory_child, NULL));
	assert_ok(chmod(directory(), 0700));
	assert_int_equal(directory_entries(), 1);
	assert_ok(krepis_unlink("public"));
}

static void a_link_as_directory_is_refused(void **state)
{
	(void)state;
	assert_ok(symlink(directory(), foreign_path_of("link")));
	assert_ok(setenv("KREPIS_DIR", foreign_path_of("link"), 1));
	create_is_refused("channel", ENOTDIR);
	assert_ok(unlink(foreign_path_of("link")));
}

static void unlink_removes_the_name_and_nothing_else(void **state)
{
	struct krepis_channel *made = create("unlinked"), *found = open_channel("unlinked");

	(void)state;
	assert_ok(krepis_unlink("unlinked"));
	open_is_refused("unlinked", 0, ENOENT);
	assert_error(krepis_unlink("unlinked"), ENOENT);
	assert_true(connected(made, found));
	krepis_channel_close(found);
	krepis_channel_close(made);
}

static void an_unlinked_name_is_free_again(void **state)
{
	struct krepis_channel *old = create("again"), *new;

	(void)state;
	assert_ok(krepis_unlink("again"));
	new = create("again");
	assert_true(connected(new, new));
	assert_true(connected(old, old));
	assert_false(status_of(old).producer);
	krepis_channel_close(new);
	krepis_channel_close(old);
	assert_ok(krepis_unlink("again"));
}

/* -------------------------------------------------------------- while it is created */

static void *open_often(void *stop)
{
	uint64_t opened = 0;

	while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE)) {
		struct krepis_channel *channel;
		int err = krepis_channel_open("appearing", 0, &channel);

		must(!err || err == -ENOENT);
		if (err)
			continue;
		opened++;
		krepis_channel_close(channel);
	}
	return (void *)(uintptr_t)opened;
}

static void a_channel_appears_complete(void **state)
{
	bool stop = false;
	pthread_t thread;

	(void)state;
	assert_ok(pthread_create(&thread, NULL, open_often, &stop));
	for (unsigned int i = 0; i < rounds(2000); i++) {
		krepis_channel_close(create("appearing"));
		assert_ok(krepis_unlink("appearing"));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	assert_ok(pthread_join(thread, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_name_without_slash_stands_in_krepis_dir),
		CLAIM(a_path_with_a_slash_is_taken_as_it_is),
		CLAIM(a_relative_path_is_relative),
		CLAIM(the_directory_is_krepis_dir),
		CLAIM(without_krepis_dir_it_is_the_modules),
		CLAIM(a_mount_without_permission_is_passed_over),
		CLAIM(without_the_module_it_is_in_the_runtime_directory),
		CLAIM(a_runtime_directory_that_is_not_tmpfs_is_passed_over),
		CLAIM(a_directory_longer_than_the_room_is_refused),
		CLAIM(create_makes_the_directory_for_its_owner_alone),
		CLAIM(open_and_unlink_make_no_directory),
		CLAIM(an_existing_name_is_refused_and_stays),
		CLAIM(a_dangling_link_is_an_existing_name),
		CLAIM(a_missing_directory_is_refused),
		CLAIM(a_file_as_directory_is_refused),
		CLAIM(a_name_too_long_is_refused),
		CLAIM(a_path_too_long_is_refused),
		CLAIM(what_is_no_name_is_refused),
		CLAIM(a_directory_of_another_user_is_refused_but_for_the_modules),
		CLAIM(a_link_as_directory_is_refused),
		CLAIM(unlink_removes_the_name_and_nothing_else),
		CLAIM(an_unlinked_name_is_free_again),
		CLAIM(a_channel_appears_complete),
	};

	return RUN("name", tests);
}
