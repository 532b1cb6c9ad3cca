// SPDX-License-Identifier: MIT
/*
 * What is opened as a channel, and what is not.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "helpers.h"

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

/* Nobody edits a file of the module; then there is nothing that could be refused later. */
static bool edited(size_t offset, const void *bytes, size_t len)
{
	struct krepis_channel *channel = create("edited");
	int fd = krepis_channel_fd(channel);

	if (on_kmod()) {
		assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), -1);
		assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
				 MAP_FAILED);
		assert_true(connected(channel, channel));
	} else {
		assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	}
	krepis_channel_close(channel);
	return !on_kmod();
}

static void edited_word_is_refused(size_t offset, uint32_t word, int err)
{
	if (edited(offset, &word, sizeof(word)))
		open_is_refused("edited", 0, err);
	else
		krepis_channel_close(open_channel("edited"));
	assert_ok(krepis_unlink("edited"));
}

static void any_other_magic_is_refused(void **state)
{
	const uint64_t magic = KREPIS_MAGIC;

	(void)state;
	for (unsigned int bit = 0; bit < 64; bit += 7) {
		uint64_t other = magic ^ 1ULL << bit;

		if (edited(offsetof(struct krepis_info, magic), &other, sizeof(other)))
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
	edited_word_is_refused(offsetof(struct krepis_info, abi), KREPIS_ABI_VERSION - 1,
			       EPROTONOSUPPORT);
	edited_word_is_refused(offsetof(struct krepis_info, abi), KREPIS_ABI_VERSION + 1,
			       EPROTONOSUPPORT);
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

/* Makes the file @name @size bytes long; of one of the module that is the kernel's to say. */
static bool resize(const char *name, off_t size)
{
	if (!on_kmod()) {
		assert_ok(truncate(path_of(name), size));
		return true;
	}
	assert_int_equal(truncate(path_of(name), size), -1);
	assert_int_equal(errno, EPERM);
	return false;
}

static void resized_is_refused(off_t by)
{
	struct krepis_channel *channel = create("resized");
	struct stat st;

	assert_ok(fstat(krepis_channel_fd(channel), &st));
	if (resize("resized", by < 0 && -by > st.st_size ? 0 : st.st_size + by))
		open_is_refused("resized", 0, EMEDIUMTYPE);
	else
		assert_true(connected(channel, channel));
	krepis_channel_close(channel);
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
		if (resize("short", size))
			open_is_refused("short", 0, EMEDIUMTYPE);
		assert_ok(krepis_unlink("short"));
	}
}

static void a_file_that_nobody_made_a_channel_of_is_refused(void **state)
{
	int fd = open(path_of("empty"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct krepis_channel *channel;

	(void)state;
	assert_true(fd >= 0);
	open_is_refused("empty", 0, EMEDIUMTYPE);
	assert_error(krepis_channel_open_fd(fd, 0, &channel), EMEDIUMTYPE);
	create_is_refused("empty", EEXIST);
	close(fd);
	assert_ok(krepis_unlink("empty"));
}

static void a_fifo_is_refused_unopened(void **state)
{
	(void)state;
	if (on_kmod()) {
		assert_int_equal(mkfifo(path_of("fifo"), 0600), -1);
		assert_int_equal(errno, EPERM);
	}
	/* To open it would wait for its other end. */
	assert_ok(mkfifo(foreign_path_of("fifo"), 0600));
	open_is_refused(foreign_path_of("fifo"), 0, EMEDIUMTYPE);
	assert_ok(krepis_unlink(foreign_path_of("fifo")));
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
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", foreign_path_of("socket"));
	assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	open_is_refused(foreign_path_of("socket"), 0, EMEDIUMTYPE);
	close(fd);
	assert_ok(krepis_unlink(foreign_path_of("socket")));
}

static void a_channel_copied_off_tmpfs_is_refused(void **state)
{
	char path[] = "/var/tmp/krepis-unit-XXXXXX", bytes[4096];
	struct krepis_channel *channel;
	int fd = mkstemp(path);
	struct statfs fs;
	off_t at = 0;
	ssize_t n;

	(void)state;
	assert_true(fd >= 0);
	assert_ok(fstatfs(fd, &fs));
	channel = anonymous(SMALL_RING());
	while ((n = pread(krepis_channel_fd(channel), bytes, sizeof(bytes), at)) > 0) {
		assert_int_equal(pwrite(fd, bytes, (size_t)n, at), n);
		at += n;
	}
	assert_int_equal(n, on_kmod() ? -1 : 0);
	krepis_channel_close(channel);
	if (on_kmod() || fs.f_type != TMPFS_MAGIC)
		open_is_refused(path, 0, EMEDIUMTYPE);
	close(fd);
	unlink(path);
	if (!on_kmod() && fs.f_type == TMPFS_MAGIC)
		skip();
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
		if (resize("resized", st.st_size + by[i])) {
			assert_error(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint),
				     EMEDIUMTYPE);
			assert_error(krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint),
				     EMEDIUMTYPE);
			assert_int_equal(open_fds(), fds);
			assert_true(resize("resized", st.st_size));
		}
		assert_true(connected(channel, channel));
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
	if (resize("resized", 0))
		assert_error(krepis_query(channel, &status), EMEDIUMTYPE);
	if (resize("resized", st.st_size + 1))
		assert_error(krepis_query(channel, &status), EMEDIUMTYPE);
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("resized"));
}

/* What the module is made to say of itself; 0: the truth. */
static uint32_t told_abi;

/* The library's calls come here. */
int ioctl(int fd, unsigned long cmd, ...)
{
	va_list args;
	void *arg;
	long rc;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	rc = syscall(SYS_ioctl, fd, cmd, arg);
	if (!rc && cmd == KREPIS_IOC_QUERY && told_abi)
		((struct krepis_info_query *)arg)->abi = told_abi;
	return (int)rc;
}

static void a_module_of_another_version_is_refused(void **state)
{
	struct krepis_channel *channel;
	struct krepis_endpoint *none;

	(void)state;
	if (!on_kmod())
		skip();
	channel = create("made");
	for (told_abi = KREPIS_ABI_VERSION - 1; told_abi <= KREPIS_ABI_VERSION + 1; told_abi += 2) {
		open_is_refused("made", 0, EPROTONOSUPPORT);
		create_is_refused("new", EPROTONOSUPPORT);
		assert_error(krepis_attach(channel, KREPIS_PRODUCER, 0, &none), EPROTONOSUPPORT);
	}
	told_abi = 0;
	krepis_detach(attach(channel, KREPIS_PRODUCER, 0));
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("made"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		CLAIM(a_file_that_nobody_made_a_channel_of_is_refused),
		CLAIM(a_fifo_is_refused_unopened),
		CLAIM(a_directory_is_refused),
		CLAIM(a_device_is_refused),
		CLAIM(a_socket_is_refused),
		CLAIM(a_channel_copied_off_tmpfs_is_refused),
		CLAIM(attaching_to_a_resized_file_is_refused),
		CLAIM(a_module_of_another_version_is_refused),
		CLAIM(querying_a_resized_file_is_refused),
	};

	return RUN("opening", tests);
}
