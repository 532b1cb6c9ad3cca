// SPDX-License-Identifier: MIT
/*
 * Channels: what it takes to create one, what is opened as one, and what they live through.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "helpers.h"

/* ------------------------------------------------------------- refusals of creation */

static void a_file_system_other_than_tmpfs_is_refused(void **state)
{
	static const char *const candidates[] = { "/var/tmp", "/tmp", "." };
	unsigned int tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
		char path[64];
		struct statfs fs;

		if (statfs(candidates[i], &fs) || fs.f_type == TMPFS_MAGIC)
			continue;
		snprintf(path, sizeof(path), "%s/krepis-unit-refused", candidates[i]);
		create_is_refused(path, EOPNOTSUPP);
		assert_int_equal(access(path, F_OK), -1);
		tried++;
	}
	create_is_refused("/proc/refused", EOPNOTSUPP);
	if (!tried)
		skip();
}

static void unreadable_child(void *arg)
{
	struct krepis_channel *channel;

	(void)arg;
	become_nobody();
	must(krepis_channel_open(path_of("private"), 0, &channel) == -EACCES);
	must(krepis_channel_open(path_of("readonly"), 0, &channel) == -EACCES);
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

/* Makes @dir a tmpfs of 2 MiB that only this process sees; false where that is not allowed. */
static bool mount_small_tmpfs(const char *dir)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return !mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) &&
	       !mount("none", dir, "tmpfs", 0, "size=2m");
}

static uint64_t free_bytes(const char *dir)
{
	struct statfs fs;

	must(!statfs(dir, &fs));
	return (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize;
}

static void fill_up(const char *dir)
{
	static char zeros[4096];
	char path[PATH_MAX];
	int fd;

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

static void full_tmpfs_child(void *arg)
{
	const char *dir = arg;
	struct krepis_channel *channel, *tiny;
	uint64_t free;

	if (!mount_small_tmpfs(dir)) {
		rmdir(dir);
		_exit(SKIPPED);
	}
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
	join_child(spawn(full_tmpfs_child, dir));
	assert_ok(rmdir(dir));
}

static void more_than_the_memory_is_refused(void **state)
{
	struct krepis_channel_options options = *OPTIONS(.buffer_size = KREPIS_MAX_BUFFER_SIZE);
	struct krepis_channel *channel;
	uint64_t free = free_bytes("/dev/shm");

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
	if (!mount_small_tmpfs("/proc"))
		_exit(SKIPPED);
	must(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint) == -ENOENT);
}

static void attaching_without_proc_is_refused(void **state)
{
	(void)state;
	if (under_valgrind())
		skip();
	join_child(spawn(no_proc_child, NULL));
}

/* --------------------------------------------------------------------------- opening */

static void a_missing_channel_is_refused(void **state)
{
	(void)state;
	open_is_refused("missing", 0, ENOENT);
	open_is_refused(path_of("missing/channel"), 0, ENOENT);
}

static void another_layout_is_refused(void **state)
{
	struct krepis_channel *made = NULL, *found;

	(void)state;
	assert_ok(krepis_channel_create("layout", SMALL_RING(.layout_id = 0x1234), &made));
	open_is_refused("layout", 0x1235, EPROTO);
	assert_ok(krepis_channel_open("layout", 0x1234, &found));
	krepis_channel_close(found);
	/* Zero is unchecked. */
	assert_ok(krepis_channel_open("layout", 0, &found));
	krepis_channel_close(found);
	krepis_channel_close(made);
	assert_ok(krepis_unlink("layout"));
}

static void a_channel_without_layout_is_unchecked(void **state)
{
	struct krepis_channel *made = create("layout"), *found = NULL;

	(void)state;
	assert_ok(krepis_channel_open("layout", 0x1234, &found));
	krepis_channel_close(found);
	krepis_channel_close(made);
	assert_ok(krepis_unlink("layout"));
}

/* Writes @len bytes into a new channel's file at @offset; the name is "edited". */
static void edited(size_t offset, const void *bytes, size_t len)
{
	struct krepis_channel *channel = create("edited");

	assert_int_equal(pwrite(krepis_channel_fd(channel), bytes, len, (off_t)offset), len);
	krepis_channel_close(channel);
}

static void edited_word_is_refused(size_t offset, uint32_t word, int err)
{
	edited(offset, &word, sizeof(word));
	open_is_refused("edited", 0, err);
	assert_ok(krepis_unlink("edited"));
}

static void any_other_magic_is_refused(void **state)
{
	const uint64_t magic = KREPIS_MAGIC;

	(void)state;
	for (unsigned int bit = 0; bit < 64; bit += 7) {
		uint64_t other = magic ^ 1ULL << bit;

		edited(offsetof(struct krepis_info, magic), &other, sizeof(other));
		open_is_refused("edited", 0, EMEDIUMTYPE);
		assert_ok(krepis_unlink("edited"));
	}
	edited(offsetof(struct krepis_info, magic), &magic, sizeof(magic));
	krepis_channel_close(open_channel("edited"));
	assert_ok(krepis_unlink("edited"));
}

static void another_version_is_refused(void **state)
{
	(void)state;
	edited_word_is_refused(offsetof(struct krepis_info, abi), 0, EPROTONOSUPPORT);
	edited_word_is_refused(offsetof(struct krepis_info, abi), 2, EPROTONOSUPPORT);
	edited_word_is_refused(offsetof(struct krepis_info, abi), UINT32_MAX, EPROTONOSUPPORT);
}

static void another_size_of_info_is_refused(void **state)
{
	(void)state;
	edited_word_is_refused(offsetof(struct krepis_info, size), 0, EPROTONOSUPPORT);
	edited_word_is_refused(offsetof(struct krepis_info, size), 255, EPROTONOSUPPORT);
	edited_word_is_refused(offsetof(struct krepis_info, size), 264, EPROTONOSUPPORT);
}

static void a_geometry_that_is_none_is_refused(void **state)
{
	static const struct {
		size_t offset;
		uint32_t word;
	} edits[] = {
		{ offsetof(struct krepis_geometry, kind), 0 },
		{ offsetof(struct krepis_geometry, kind), KREPIS_TRIPLE },
		{ offsetof(struct krepis_geometry, kind), 3 },
		{ offsetof(struct krepis_geometry, flags), KREPIS_F_NO_BUFFERS },
		{ offsetof(struct krepis_geometry, flags), 2 },
		{ offsetof(struct krepis_geometry, backpressure), 3 },
		{ offsetof(struct krepis_geometry, max_consumers), 0 },
		{ offsetof(struct krepis_geometry, max_consumers), 7 },
		{ offsetof(struct krepis_geometry, max_consumers), 33 },
		{ offsetof(struct krepis_geometry, max_consumers), UINT32_MAX },
		{ offsetof(struct krepis_geometry, inline_max), 0 },
		{ offsetof(struct krepis_geometry, inline_max), 1017 },
		{ offsetof(struct krepis_geometry, inline_max), UINT32_MAX },
		{ offsetof(struct krepis_geometry, buffer_count), 0 },
		{ offsetof(struct krepis_geometry, buffer_count), 3 },
		{ offsetof(struct krepis_geometry, buffer_count), 5 },
		{ offsetof(struct krepis_geometry, buffer_count), UINT32_MAX },
		{ offsetof(struct krepis_geometry, page_size), 0 },
		{ offsetof(struct krepis_geometry, page_size), 1 },
		{ offsetof(struct krepis_geometry, page_size), 2048 },
		{ offsetof(struct krepis_geometry, page_size), 12288 },
		{ offsetof(struct krepis_geometry, page_size), 1U << 31 },
		{ offsetof(struct krepis_geometry, ring_size), 0 },
		{ offsetof(struct krepis_geometry, ring_size), 4097 },
		{ offsetof(struct krepis_geometry, ring_size), 8192 },
		{ offsetof(struct krepis_geometry, ring_size) + 4, 1 },
		{ offsetof(struct krepis_geometry, buffer_size), 0 },
		{ offsetof(struct krepis_geometry, buffer_size), 4097 },
		{ offsetof(struct krepis_geometry, buffer_size), UINT32_MAX },
		{ offsetof(struct krepis_geometry, buffer_size) + 4, 1 },
		{ offsetof(struct krepis_geometry, buffer_size) + 4, UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
		edited_word_is_refused(offsetof(struct krepis_info, geometry) + edits[i].offset,
				       edits[i].word, EMEDIUMTYPE);
}

static void resized_is_refused(off_t by)
{
	struct krepis_channel *channel = create("resized");
	struct stat st;

	assert_ok(fstat(krepis_channel_fd(channel), &st));
	assert_ok(truncate(path_of("resized"), by < 0 && -by > st.st_size ? 0 : st.st_size + by));
	krepis_channel_close(channel);
	open_is_refused("resized", 0, EMEDIUMTYPE);
	assert_ok(krepis_unlink("resized"));
}

static void a_truncated_file_is_refused(void **state)
{
	(void)state;
	resized_is_refused(-1);
	resized_is_refused(-4096);
	resized_is_refused(-INT32_MAX);
}

static void a_grown_file_is_refused(void **state)
{
	(void)state;
	resized_is_refused(1);
	resized_is_refused(4096);
}

static void a_short_file_is_refused(void **state)
{
	(void)state;
	for (off_t size = 0; size < (off_t)sizeof(struct krepis_info); size += 51) {
		krepis_channel_close(create("short"));
		assert_ok(truncate(path_of("short"), size));
		open_is_refused("short", 0, EMEDIUMTYPE);
		assert_ok(krepis_unlink("short"));
	}
}

static void a_fifo_is_refused_unopened(void **state)
{
	(void)state;
	/* To open it would wait for its other end. */
	assert_ok(mkfifo(path_of("fifo"), 0600));
	open_is_refused("fifo", 0, EMEDIUMTYPE);
	assert_ok(krepis_unlink("fifo"));
}

static void a_directory_is_refused(void **state)
{
	(void)state;
	assert_ok(mkdir(path_of("dir"), 0700));
	open_is_refused("dir", 0, EMEDIUMTYPE);
	assert_ok(rmdir(path_of("dir")));
}

static void a_device_is_refused(void **state)
{
	(void)state;
	open_is_refused("/dev/null", 0, EMEDIUMTYPE);
	open_is_refused("/dev/zero", 0, EMEDIUMTYPE);
}

static void a_socket_is_refused(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path_of("socket"));
	assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	open_is_refused("socket", 0, EMEDIUMTYPE);
	close(fd);
	assert_ok(krepis_unlink("socket"));
}

static void a_channel_copied_off_tmpfs_is_refused(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	char path[] = "/var/tmp/krepis-unit-XXXXXX", bytes[4096];
	int fd = mkstemp(path);
	struct statfs fs;
	off_t at = 0;
	ssize_t n;

	(void)state;
	assert_true(fd >= 0);
	assert_ok(fstatfs(fd, &fs));
	while ((n = pread(krepis_channel_fd(channel), bytes, sizeof(bytes), at)) > 0) {
		assert_int_equal(pwrite(fd, bytes, (size_t)n, at), n);
		at += n;
	}
	krepis_channel_close(channel);
	if (fs.f_type != TMPFS_MAGIC)
		open_is_refused(path, 0, EMEDIUMTYPE);
	close(fd);
	unlink(path);
	if (fs.f_type == TMPFS_MAGIC)
		skip();
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

static void attaching_to_a_resized_file_is_refused(void **state)
{
	static const off_t by[] = { -4096, 4096 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(by); i++) {
		struct krepis_channel *channel = create("resized");
		struct krepis_endpoint *endpoint;
		unsigned int fds = open_fds();
		struct stat st;

		assert_ok(fstat(krepis_channel_fd(channel), &st));
		assert_ok(truncate(path_of("resized"), st.st_size + by[i]));
		assert_error(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint), EMEDIUMTYPE);
		assert_error(krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint), EMEDIUMTYPE);
		assert_int_equal(open_fds(), fds);
		assert_ok(truncate(path_of("resized"), st.st_size));
		krepis_channel_close(channel);
		assert_ok(krepis_unlink("resized"));
	}
}

static void querying_a_resized_file_is_refused(void **state)
{
	struct krepis_channel *channel = create("resized");
	struct krepis_status status = { .size = sizeof(status) };
	struct stat st;

	(void)state;
	assert_ok(fstat(krepis_channel_fd(channel), &st));
	assert_ok(truncate(path_of("resized"), 0));
	assert_error(krepis_query(channel, &status), EMEDIUMTYPE);
	assert_ok(truncate(path_of("resized"), st.st_size + 1));
	assert_error(krepis_query(channel, &status), EMEDIUMTYPE);
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("resized"));
}

static void attaching_nobody(void *arg)
{
	struct krepis_endpoint *endpoint;

	become_nobody();
	must(krepis_attach(arg, KREPIS_PRODUCER, 0, &endpoint) == -EACCES);
	must(krepis_attach(arg, KREPIS_CONSUMER, 0, &endpoint) == -EACCES);
}

static void attaching_without_permission_is_refused(void **state)
{
	struct krepis_channel *channel = create("private");

	(void)state;
	assert_ok(krepis_unlink("private"));
	if (!geteuid())
		join_child(spawn(attaching_nobody, channel));
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
	if (geteuid())
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

static void an_admin_lock_held_too_long_is_a_timeout(void **state)
{
	struct krepis_channel *channel = create("locked");
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int other = open(path_of("locked"), O_RDWR | O_CLOEXEC);
	struct krepis_endpoint *endpoint;
	int64_t start = now_ns();

	(void)state;
	assert_ok(fcntl(other, F_OFD_SETLK, &all));
	assert_error(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint), ETIMEDOUT);
	assert_true(now_ns() - start >= 1000 * MS);
	close(other);
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("locked"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_file_system_other_than_tmpfs_is_refused),
		CLAIM(a_channel_without_permission_is_refused),
		CLAIM(a_full_file_system_is_refused_and_never_a_signal),
		CLAIM(more_than_the_memory_is_refused),
		CLAIM(too_many_open_files_are_refused),
		CLAIM(attaching_without_address_space_is_refused),
		CLAIM(attaching_without_proc_is_refused),
		CLAIM(a_missing_channel_is_refused),
		CLAIM(another_layout_is_refused),
		CLAIM(a_channel_without_layout_is_unchecked),
		CLAIM(any_other_magic_is_refused),
		CLAIM(another_version_is_refused),
		CLAIM(another_size_of_info_is_refused),
		CLAIM(a_geometry_that_is_none_is_refused),
		CLAIM(a_truncated_file_is_refused),
		CLAIM(a_grown_file_is_refused),
		CLAIM(a_short_file_is_refused),
		CLAIM(a_fifo_is_refused_unopened),
		CLAIM(a_directory_is_refused),
		CLAIM(a_device_is_refused),
		CLAIM(a_socket_is_refused),
		CLAIM(a_channel_copied_off_tmpfs_is_refused),
		CLAIM(endpoints_outlive_their_channel),
		CLAIM(nothing_is_closed_and_detached),
		CLAIM(descriptors_close_on_exec),
		CLAIM(attaching_to_a_resized_file_is_refused),
		CLAIM(querying_a_resized_file_is_refused),
		CLAIM(attaching_without_permission_is_refused),
		CLAIM(a_role_that_is_none_is_refused),
		CLAIM(unknown_flags_of_attach_are_refused),
		CLAIM(an_admin_lock_held_too_long_is_a_timeout),
	};

	return RUN("channel", tests);
}
