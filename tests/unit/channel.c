// SPDX-License-Identifier: MIT
/*
 * Channels: what it takes to create one and to attach, and what they live through.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "helpers.h"

/* ------------------------------------------------------------- refusals of creation */

/*
 * Makes @dir a file system of @type that only this process sees. False if that is not
 * allowed; then @dir is gone, because who is skipped does not clean up.
 */
static bool mount_private(const char *dir, const char *type, const char *options)
{
	if ((!unshare(CLONE_NEWNS) || !unshare(CLONE_NEWUSER | CLONE_NEWNS)) &&
	    !mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) &&
	    !mount("none", dir, type, 0, options))
		return true;
	rmdir(dir);
	return false;
}

/* A file system that could do all that is needed, and is none of the two. */
static void other_file_system_child(void *dir)
{
	struct krepis_channel *channel;
	char path[PATH_MAX];

	if (!mount_private(dir, "ramfs", ""))
		_exit(SKIPPED);
	snprintf(path, sizeof(path), "%s/refused", (char *)dir);
	must(krepis_channel_create(path, SMALL_RING(), &channel) == -EOPNOTSUPP);
	must(access(path, F_OK));
}

static void a_file_system_other_than_the_backends_is_refused(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	create_is_refused("/proc/refused", EOPNOTSUPP);
	snprintf(dir, sizeof(dir), "%s", path_of("mnt"));
	assert_ok(mkdir(dir, 0700));
	join_child(spawn(other_file_system_child, dir));
	assert_ok(rmdir(dir));
}

static void unreadable_child(void *arg)
{
	struct krepis_endpoint *endpoint;
	struct krepis_channel *channel;

	(void)arg;
	become_nobody();
	must(krepis_channel_open(path_of("private"), 0, &channel) == -EACCES);
	/* The kernel can let somebody read and nothing else. */
	if (on_kmod()) {
		must(!krepis_channel_open(path_of("readonly"), 0, &channel));
		must(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint) == -EACCES);
		krepis_detach(attach(channel, KREPIS_CONSUMER, 0));
		krepis_channel_close(channel);
	} else {
		must(krepis_channel_open(path_of("readonly"), 0, &channel) == -EACCES);
	}
	must(!krepis_channel_open(path_of("public"), 0, &channel));
	krepis_channel_close(channel);
}

static void a_channel_without_permission_is_refused(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = { { "private", 0600 }, { "readonly", 0644 }, { "public", 0666 } };

	(void)state;
	if (geteuid())
		skip();
	assert_ok(chmod(directory(), 0755));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		krepis_channel_close(create(files[i].name));
		assert_ok(chmod(path_of(files[i].name), files[i].mode));
	}
	join_child(spawn(unreadable_child, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_ok(krepis_unlink(files[i].name));
	assert_ok(chmod(directory(), 0700));
}

/* ----------------------------------------------------------------- room and resources */

static uint64_t free_bytes(const char *dir)
{
	struct statfs fs;

	must(!statfs(dir, &fs));
	return (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize;
}

static void fill_up(const char *dir)
{
	struct krepis_channel *channel;
	static char zeros[4096];
	char path[PATH_MAX];
	int fd, err = 0;

	for (int n = 0; on_kmod() && !err; n++) {
		snprintf(path, sizeof(path), "%s/filler%d", dir, n);
		err = krepis_channel_create(path, SMALL_RING(), &channel);
		if (!err)
			krepis_channel_close(channel);
	}
	if (on_kmod()) {
		must(err == -ENOSPC);
		return;
	}
	snprintf(path, sizeof(path), "%s/filler", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	must(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	must(errno == ENOSPC);
	close(fd);
}

static void use_all_of(struct krepis_channel *channel)
{
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
	struct krepis_buffer *buffer;

	while (!krepis_acquire(producer, &buffer, KREPIS_NOWAIT))
		fill(krepis_buffer_data(buffer), krepis_buffer_size(buffer), 1);
	recv_filled(consumer, 2, send_until_full(producer, 2, 1000), 1000);
	recv_filled(consumer, 3, send_until_full(producer, 3, 1000), 1000);
	krepis_detach(consumer);
	krepis_detach(producer);
}

static void full_file_system_child(void *arg)
{
	const char *dir = arg;
	struct krepis_channel *channel, *tiny;
	uint64_t free;

	if (!mount_private(dir, on_kmod() ? "krepis" : "tmpfs", "size=2m"))
		_exit(SKIPPED);
	must(!setenv("KREPIS_DIR", dir, 1));
	free = free_bytes(dir);
	must(krepis_channel_create("large", NULL, &channel) == -ENOSPC);
	must(free_bytes(dir) == free);
	must(krepis_channel_open("large", 0, &channel) == -ENOENT);
	must(!krepis_channel_create("small",
				    OPTIONS(.ring_size = 65536, .buffer_size = 1 << 20,
					    .buffer_count = 1), &channel));
	/* From here on every page that was not reserved would be a SIGBUS. */
	fill_up(dir);
	use_all_of(channel);
	must(krepis_channel_create("tiny", SMALL_RING(), &tiny) == -ENOSPC);
	krepis_channel_close(channel);
}

static void a_full_file_system_is_refused_and_never_a_signal(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	snprintf(dir, sizeof(dir), "%s", path_of("mnt"));
	assert_ok(mkdir(dir, 0700));
	join_child(spawn(full_file_system_child, dir));
	assert_ok(rmdir(dir));
}

static void more_than_the_memory_is_refused(void **state)
{
	struct krepis_channel_options options = *OPTIONS(.buffer_size = KREPIS_MAX_BUFFER_SIZE);
	struct krepis_channel *channel;
	uint64_t free = free_bytes(directory());

	(void)state;
	if (free >= KREPIS_MAX_CHANNEL_SIZE / 2)
		skip();
	options.buffer_count = (uint32_t)(free / KREPIS_MAX_BUFFER_SIZE + 1);
	assert_error(krepis_channel_create("large", &options, &channel), ENOSPC);
	assert_int_equal(directory_entries(), 0);
}

static void no_descriptors_child(void *arg)
{
	struct krepis_channel *channel, *other;
	struct krepis_endpoint *endpoint;
	struct rlimit none;

	(void)arg;
	must(!krepis_channel_create("channel", SMALL_RING(), &channel));
	must(!getrlimit(RLIMIT_NOFILE, &none));
	none.rlim_cur = 0;
	must(!setrlimit(RLIMIT_NOFILE, &none));
	must(krepis_channel_create("another", SMALL_RING(), &other) == -EMFILE);
	must(krepis_channel_create(NULL, SMALL_RING(), &other) == -EMFILE);
	must(krepis_channel_open("channel", 0, &other) == -EMFILE);
	must(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint) == -EMFILE);
	none.rlim_cur = none.rlim_max;
	must(!setrlimit(RLIMIT_NOFILE, &none));
	must(!krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint));
	must(krepis_channel_open("another", 0, &other) == -ENOENT);
	krepis_detach(endpoint);
	krepis_channel_close(channel);
	must(!krepis_unlink("channel"));
}

static void too_many_open_files_are_refused(void **state)
{
	(void)state;
	join_child(spawn(no_descriptors_child, NULL));
	assert_int_equal(directory_entries(), 0);
}

static void no_memory_child(void *arg)
{
	struct krepis_channel *channel = anonymous(NULL);
	struct krepis_endpoint *endpoint;
	struct rlimit limit;
	unsigned int fds = open_fds(), maps;

	(void)arg;
	must(!getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = 4096;
	free(malloc(100000));	/* so that what is small needs no new mapping */
	maps = mappings();
	must(!setrlimit(RLIMIT_AS, &limit));
	must(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint) == -ENOMEM);
	must(krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint) == -ENOMEM);
	limit.rlim_cur = limit.rlim_max;
	must(!setrlimit(RLIMIT_AS, &limit));
	must(open_fds() == fds && mappings() == maps);
	must(!krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint));
	must(!krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint));
}

static void attaching_without_address_space_is_refused(void **state)
{
	(void)state;
	if (under_sanitizer() || under_valgrind())
		skip();
	join_child(spawn(no_memory_child, NULL));
}

static void no_proc_child(void *arg)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *endpoint;

	(void)arg;
	if (!mount_private("/proc", "tmpfs", "size=2m"))
		_exit(SKIPPED);
	if (on_kmod())
		must(connected(channel, channel));
	else
		must(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint) == -ENOENT);
}

static void without_proc_only_the_module_attaches(void **state)
{
	(void)state;
	if (under_valgrind())
		skip();
	join_child(spawn(no_proc_child, NULL));
}

/* ----------------------------------------------------------------- an open channel */

static void endpoints_outlive_their_channel(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	krepis_channel_close(p.channel);
	recv_filled(p.consumer, 9, send_until_full(p.producer, 9, 100), 100);
	krepis_detach(p.consumer);
	krepis_detach(p.producer);
}

static void nothing_is_closed_and_detached(void **state)
{
	(void)state;
	krepis_channel_close(NULL);
	krepis_detach(NULL);
}

static void descriptors_close_on_exec(void **state)
{
	unsigned int inherited = 0;
	struct pair p;

	(void)state;
	for (int round = 0; round < 2; round++) {
		if (round)
			p = open_pair(SMALL_RING());
		for (int fd = 3; fd < 256; fd++) {
			int flags = fcntl(fd, F_GETFD);

			if (flags >= 0 && !(flags & FD_CLOEXEC))
				inherited += round ? 1 : -1;
		}
	}
	assert_int_equal(inherited, 0);
	close_pair(&p);
}

static void attaching_nobody(void *arg)
{
	struct krepis_endpoint *endpoint;

	become_nobody();
	must(krepis_attach(arg, KREPIS_PRODUCER, 0, &endpoint) == -EACCES);
	must(krepis_attach(arg, KREPIS_CONSUMER, 0, &endpoint) == -EACCES);
}

/* The module asks for the permission that the descriptor was opened with. */
static void attach_through(const char *path, int mode, enum krepis_role allowed,
			   enum krepis_role refused)
{
	int fd = open(path, mode | O_CLOEXEC);
	struct krepis_endpoint *endpoint;
	struct krepis_channel *channel;

	assert_ok(krepis_channel_open_fd(fd, 0, &channel));
	close(fd);
	assert_error(krepis_attach(channel, refused, 0, &endpoint), EACCES);
	krepis_detach(attach(channel, allowed, 0));
	krepis_channel_close(channel);
}

static void attaching_without_permission_is_refused(void **state)
{
	struct krepis_channel *channel = create("private");

	(void)state;
	if (on_kmod()) {
		attach_through(path_of("private"), O_RDONLY, KREPIS_CONSUMER, KREPIS_PRODUCER);
		attach_through(path_of("private"), O_WRONLY, KREPIS_PRODUCER, KREPIS_CONSUMER);
	}
	assert_ok(krepis_unlink("private"));
	if (!geteuid() && !on_kmod())
		join_child(spawn(attaching_nobody, channel));
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
	if (geteuid() && !on_kmod())
		skip();
}

static void a_role_that_is_none_is_refused(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *endpoint;

	(void)state;
	assert_error(krepis_attach(channel, 0, 0, &endpoint), EINVAL);
	assert_error(krepis_attach(channel, 3, 0, &endpoint), EINVAL);
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
}

static void unknown_flags_of_attach_are_refused(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *endpoint;

	(void)state;
	for (unsigned int bit = 3; bit < 32; bit++)
		assert_error(krepis_attach(channel, KREPIS_PRODUCER, 1U << bit, &endpoint), EINVAL);
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
}

static void a_lock_held_too_long_is_a_timeout_or_stops_nobody(void **state)
{
	struct krepis_channel *channel = create("locked");
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int other = open(path_of("locked"), O_RDWR | O_CLOEXEC);
	struct krepis_endpoint *endpoint;
	int64_t start = now_ns();

	(void)state;
	assert_ok(fcntl(other, F_OFD_SETLK, &all));
	if (on_kmod()) {
		assert_true(connected(channel, channel));
	} else {
		assert_error(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint), ETIMEDOUT);
		assert_true(now_ns() - start >= 1000 * MS);
	}
	close(other);
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("locked"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_file_system_other_than_the_backends_is_refused),
		CLAIM(a_channel_without_permission_is_refused),
		CLAIM(a_full_file_system_is_refused_and_never_a_signal),
		CLAIM(more_than_the_memory_is_refused),
		CLAIM(too_many_open_files_are_refused),
		CLAIM(attaching_without_address_space_is_refused),
		CLAIM(without_proc_only_the_module_attaches),
		CLAIM(endpoints_outlive_their_channel),
		CLAIM(nothing_is_closed_and_detached),
		CLAIM(descriptors_close_on_exec),
		CLAIM(attaching_without_permission_is_refused),
		CLAIM(a_role_that_is_none_is_refused),
		CLAIM(unknown_flags_of_attach_are_refused),
		CLAIM(a_lock_held_too_long_is_a_timeout_or_stops_nobody),
	};

	return RUN("channel", tests);
}
