// SPDX-License-Identifier: MIT
/* Files that are no data: devices, named pipes, terminals, sockets. */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include "fixture.h"

/* --------------------------------------------------------------------------- devices */

static int control(const char *path, int flags, unsigned long request)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY), err;
	long long value = 0;

	if (fd < 0)
		return -errno;
	err = sys(ioctl(fd, request, &value));
	close(fd);
	return err;
}

TEST_F(tree, a_device_is_read_and_written_by_its_right)
{
	struct krepis_domain *r = domain("read /dev/zero"), *w = domain("write /dev/null");

	allowed(r, read_file("/dev/zero"));
	refused(EACCES, r, open_file("/dev/zero", O_RDWR));
	refused(EACCES, r, read_file("/dev/null"));
	allowed(w, write_file("/dev/null"));
	refused(EACCES, w, read_file("/dev/null"));
}

TEST_F(tree, ioctls_of_a_device_need_write)
{
	struct krepis_domain *r = domain("read /dev"), *w = domain("read,write /dev");

	/* This device knows no such thing. */
	refused(ENOTTY, NULL, control("/dev/zero", O_RDONLY, BLKGETSIZE));
	refused(EACCES, r, control("/dev/zero", O_RDONLY, BLKGETSIZE));
	refused(ENOTTY, w, control("/dev/zero", O_RDONLY, BLKGETSIZE));
	refused(EACCES, domain("read,write /dev", "deny write /dev/zero"),
		control("/dev/zero", O_RDONLY, BLKGETSIZE));
}

TEST_F(tree, to_ask_whether_a_device_is_a_terminal_is_free)
{
	refused(ENOTTY, domain("read /dev"), control("/dev/zero", O_RDONLY, TCGETS));
	refused(ENOTTY, domain("read /dev"), control("/dev/zero", O_RDONLY, TIOCGWINSZ));
	refused(EACCES, domain("read /dev"), control("/dev/zero", O_RDONLY, TIOCSCTTY));
}

TEST_F(tree, ioctls_of_other_files_are_free)
{
	struct krepis_domain *r = domain("read " A);

	allowed(r, control(A "/f", O_RDONLY, FIONREAD));
	allowed(r, control(A "/f", O_RDONLY, FIGETBSZ));
	refused(ENOTTY, r, control(A "/f", O_RDONLY, TCGETS));
}

static int open_terminal(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), err;
	char name[64];

	if (fd < 0)
		return -errno;
	err = unlockpt(fd) || ptsname_r(fd, name, sizeof(name)) ? -errno :
	      open_file(name, O_RDWR | O_NOCTTY);
	close(fd);
	return err;
}

TEST_F(tree, a_terminal_is_a_device)
{
	allowed(domain("read,write /dev/ptmx", "read,write /dev/pts"), open_terminal());
	refused(EACCES, domain("read,write /dev/ptmx"), open_terminal());
	refused(EACCES, domain("read /dev/ptmx", "read,write /dev/pts"), open_terminal());
}

TEST_F(tree, a_device_elsewhere_is_another_file)
{
	struct krepis_domain *d = domain("read /dev/null", "read " A);

	ASSERT_EQ(0, mknod(A "/null", S_IFCHR | 0666, 1 << 8 | 3));
	ASSERT_EQ(0, mknod(X "/null", S_IFCHR | 0666, 1 << 8 | 3));
	allowed(d, read_file(A "/null"));
	refused(EACCES, d, read_file(X "/null"));
}

/* ----------------------------------------------------------------------------- pipes */

TEST_F(tree, a_named_pipe_is_opened_by_its_right)
{
	ASSERT_EQ(0, mkfifo(A "/pipe", 0600));
	allowed(domain("read " A), open_file(A "/pipe", O_RDONLY));
	refused(EACCES, domain("read " A), open_file(A "/pipe", O_RDWR));
	/* Nobody reads it. */
	refused(ENXIO, domain("write " A), open_file(A "/pipe", O_WRONLY));
	refused(EACCES, domain("read " A), open_file(A "/pipe", O_WRONLY));
	refused(EACCES, domain("write " A), open_file(A "/pipe", O_RDONLY));
	allowed(domain("read,write " A), open_file(A "/pipe", O_RDWR));
	refused(EACCES, domain("read,write " X), open_file(A "/pipe", O_RDWR));
}

/* --------------------------------------------------------------------------- sockets */

static int with_socket(int (*f)(int, const struct sockaddr *, socklen_t), int type,
		       const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	strncpy(to.sun_path, path, sizeof(to.sun_path) - 1);
	err = sys(f(fd, (struct sockaddr *)&to, sizeof(to)));
	close(fd);
	return err;
}

static int serve_at(const char *path, int type)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    (type == SOCK_STREAM && listen(fd, 100)))
		return -errno;
	return fd;
}

TEST_F(tree, to_bind_a_socket_needs_write_of_the_directory)
{
	refused(EACCES, domain("read " A, "unix " A), with_socket(bind, SOCK_STREAM, A "/s"));
	EXPECT_FALSE(exists(A "/s"));
	allowed(domain("write " A), with_socket(bind, SOCK_STREAM, A "/s"));
	EXPECT_TRUE(exists(A "/s"));
}

TEST_F(tree, to_connect_to_a_socket_needs_unix)
{
	ASSERT_LE(0, serve_at(A "/s", SOCK_STREAM));
	allowed(NULL, with_socket(connect, SOCK_STREAM, A "/s"));
	refused(EACCES, domain("read,write,exec " A), with_socket(connect, SOCK_STREAM, A "/s"));
	refused(EACCES, domain("unix " X), with_socket(connect, SOCK_STREAM, A "/s"));
	allowed(domain("unix " A), with_socket(connect, SOCK_STREAM, A "/s"));
	allowed(domain("unix " A "/s"), with_socket(connect, SOCK_STREAM, A "/s"));
	refused(EACCES, domain("unix " A, "deny unix " A "/s"),
		with_socket(connect, SOCK_STREAM, A "/s"));
}

TEST_F(tree, a_socket_of_messages_is_as_one_of_streams)
{
	ASSERT_LE(0, serve_at(A "/s", SOCK_DGRAM));
	refused(EACCES, domain("write " A), with_socket(connect, SOCK_DGRAM, A "/s"));
	allowed(domain("unix " A), with_socket(connect, SOCK_DGRAM, A "/s"));
}

static int send_to(int fd, const struct sockaddr *to, socklen_t len)
{
	return (int)sendto(fd, "T", 1, 0, to, len);
}

TEST_F(tree, a_message_to_a_socket_needs_unix)
{
	ASSERT_LE(0, serve_at(A "/s", SOCK_DGRAM));
	refused(EACCES, domain("write " A), with_socket(send_to, SOCK_DGRAM, A "/s"));
	allowed(domain("unix " A), with_socket(send_to, SOCK_DGRAM, A "/s"));
}

TEST_F(tree, a_socket_that_was_moved_or_linked_is_the_same)
{
	struct krepis_domain *d;

	ASSERT_LE(0, serve_at(A "/s", SOCK_STREAM));
	ASSERT_EQ(0, link(A "/s", X "/t"));
	d = domain("unix " A "/s");
	allowed(d, with_socket(connect, SOCK_STREAM, X "/t"));
	refused(EACCES, domain("unix " TOP, "deny unix " A "/s"),
		with_socket(connect, SOCK_STREAM, X "/t"));
}

TEST_F(tree, a_socket_is_not_opened_as_a_file)
{
	ASSERT_LE(0, serve_at(A "/s", SOCK_STREAM));
	refused(ENXIO, domain("read " A), open_file(A "/s", O_RDONLY));
}

TEST_HARNESS_MAIN
