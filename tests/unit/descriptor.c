// SPDX-License-Identifier: MIT
/*
 * Channels by their descriptors: inherited, passed over a socket, and forged.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "helpers.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static void open_fd_is_refused(int fd, uint32_t layout_id, int err)
{
	struct krepis_channel *untouched = (void *)&untouched, *channel = untouched;
	unsigned int fds = open_fds();

	assert_error(krepis_channel_open_fd(fd, layout_id, &channel), err);
	assert_ptr_equal(channel, untouched);
	assert_int_equal(open_fds(), fds);
}

static void receive_is_refused(int socket, uint32_t layout_id, int err)
{
	struct krepis_channel *untouched = (void *)&untouched, *channel = untouched;
	unsigned int fds = open_fds();

	assert_error(krepis_channel_receive(socket, layout_id, &channel), err);
	assert_ptr_equal(channel, untouched);
	assert_int_equal(open_fds(), fds);
}

static struct krepis_channel *anonymous_without_module(void)
{
	struct krepis_channel *channel;

	must(!setenv("KREPIS_DIR", "/dev/shm", 1));
	must(!krepis_channel_create(NULL, SMALL_RING(), &channel));
	must(!setenv("KREPIS_DIR", directory(), 1));
	return channel;
}

/* A memfd with the bytes of an anonymous channel, sealed with @seals. */
static int forge(int seals)
{
	struct krepis_channel *channel = anonymous_without_module();
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int from = krepis_channel_fd(channel);
	struct stat st;
	char *bytes;

	must(fd >= 0 && !fstat(from, &st));
	bytes = malloc((size_t)st.st_size);
	must(bytes && pread(from, bytes, (size_t)st.st_size, 0) == st.st_size);
	must(pwrite(fd, bytes, (size_t)st.st_size, 0) == st.st_size);
	must(!fcntl(fd, F_ADD_SEALS, seals));
	free(bytes);
	krepis_channel_close(channel);
	return fd;
}

/* --------------------------------------------------------------------- open by fd */

static void the_descriptor_stays_the_callers(void **state)
{
	struct krepis_channel *made = anonymous(SMALL_RING()), *found;
	int fd = dup(krepis_channel_fd(made));

	(void)state;
	assert_ok(krepis_channel_open_fd(fd, 0, &found));
	assert_int_not_equal(krepis_channel_fd(found), fd);
	assert_ok(close(fd));
	assert_true(connected(made, found));
	krepis_channel_close(found);
	krepis_channel_close(made);
}

static void inheriting_child(void *fd)
{
	struct krepis_endpoint *producer;
	struct krepis_channel *channel;

	must(!krepis_channel_open_fd(*(int *)fd, 0, &channel));
	producer = attach(channel, KREPIS_PRODUCER, 0);
	must(!krepis_wait_peer(producer, 1, SOON));
	must(!krepis_send(producer, 1, "inherited", 9, SOON));
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void an_anonymous_channel_is_inherited(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	int fd = krepis_channel_fd(channel);
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;
	pid_t child;

	(void)state;
	child = spawn(inheriting_child, &fd);
	consumer = attach(channel, KREPIS_CONSUMER, 0);
	assert_ok(krepis_recv(consumer, &msg, SOON));
	assert_int_equal(msg.len, 9);
	assert_memory_equal(msg.data, "inherited", 9);
	join_child(child);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

static void a_named_channel_opens_by_its_descriptor(void **state)
{
	struct krepis_channel *made = create("named"), *found;

	(void)state;
	assert_ok(krepis_channel_open_fd(krepis_channel_fd(made), 0, &found));
	assert_true(connected(made, found));
	krepis_channel_close(found);
	krepis_channel_close(made);
	assert_ok(krepis_unlink("named"));
}

static void a_descriptor_that_is_none_is_refused(void **state)
{
	int fd = dup(STDIN_FILENO);

	(void)state;
	close(fd);
	open_fd_is_refused(-1, 0, EBADF);
	open_fd_is_refused(fd, 0, EBADF);
}

static void an_unsealed_memfd_is_refused(void **state)
{
	static const int too_few[] = { 0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(too_few); i++) {
		int fd = forge(too_few[i]);

		open_fd_is_refused(fd, 0, EPERM);
		close(fd);
	}
}

static void a_sealed_memfd_is_a_channel(void **state)
{
	struct krepis_channel *channel;
	int fd = forge(SEALS);

	(void)state;
	assert_ok(krepis_channel_open_fd(fd, 0, &channel));
	close(fd);
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
}

static void an_anonymous_channel_cannot_be_resized(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct stat st;

	(void)state;
	assert_ok(fstat(krepis_channel_fd(channel), &st));
	assert_int_equal(ftruncate(krepis_channel_fd(channel), 0), -1);
	assert_int_equal(ftruncate(krepis_channel_fd(channel), st.st_size + 4096), -1);
	assert_int_equal(fcntl(krepis_channel_fd(channel), F_ADD_SEALS, F_SEAL_WRITE), -1);
	krepis_channel_close(channel);
}

static int sealed_zeros(void)
{
	int fd = memfd_create("zeros", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(!ftruncate(fd, 1 << 20) && !fcntl(fd, F_ADD_SEALS, SEALS));
	return fd;
}

static void a_sealed_memfd_of_zeros_is_refused(void **state)
{
	int fd = sealed_zeros();

	(void)state;
	open_fd_is_refused(fd, 0, EMEDIUMTYPE);
	close(fd);
}

static void what_is_no_file_is_refused(void **state)
{
	int pipes[2], sockets[2], dir = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_ok(pipe2(pipes, O_CLOEXEC));
	assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	open_fd_is_refused(pipes[0], 0, EMEDIUMTYPE);
	open_fd_is_refused(sockets[0], 0, EMEDIUMTYPE);
	open_fd_is_refused(dir, 0, EMEDIUMTYPE);
	for (int i = 0; i < 2; i++) {
		close(pipes[i]);
		close(sockets[i]);
	}
	close(dir);
}

static void another_layout_is_refused(void **state)
{
	struct krepis_channel *made = anonymous(SMALL_RING(.layout_id = 11)), *found;

	(void)state;
	open_fd_is_refused(krepis_channel_fd(made), 12, EPROTO);
	assert_ok(krepis_channel_open_fd(krepis_channel_fd(made), 11, &found));
	krepis_channel_close(found);
	krepis_channel_close(made);
}

/* ------------------------------------------------------------------- over a socket */

struct line {
	int end[2];
};

static struct line open_line(void)
{
	struct line line;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line.end));
	return line;
}

static void close_line(struct line *line)
{
	close(line->end[0]);
	close(line->end[1]);
}

/* Sends one byte and @count descriptors. */
static void send_fds(int socket, const int *fds, unsigned int count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	must(sendmsg(socket, &msg, 0) == 1);
}

static void a_passed_channel_is_the_same_channel(void **state)
{
	struct krepis_channel *made = anonymous(SMALL_RING()), *received;
	struct line line = open_line();

	(void)state;
	assert_ok(krepis_channel_pass(made, line.end[0]));
	assert_ok(krepis_channel_receive(line.end[1], 0, &received));
	assert_true(connected(made, received));
	assert_true(fcntl(krepis_channel_fd(received), F_GETFD) & FD_CLOEXEC);
	krepis_channel_close(received);
	krepis_channel_close(made);
	close_line(&line);
}

static void channels_arrive_in_order(void **state)
{
	struct krepis_channel *first = anonymous(SMALL_RING(.layout_id = 1));
	struct krepis_channel *second = anonymous(SMALL_RING(.layout_id = 2)), *received;
	struct line line = open_line();

	(void)state;
	assert_ok(krepis_channel_pass(first, line.end[0]));
	assert_ok(krepis_channel_pass(second, line.end[0]));
	assert_ok(krepis_channel_receive(line.end[1], 1, &received));
	krepis_channel_close(received);
	assert_ok(krepis_channel_receive(line.end[1], 2, &received));
	krepis_channel_close(received);
	krepis_channel_close(first);
	krepis_channel_close(second);
	close_line(&line);
}

static void a_channel_lives_in_the_socket(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct line line = open_line();

	(void)state;
	assert_ok(krepis_channel_pass(channel, line.end[0]));
	krepis_channel_close(channel);
	assert_ok(krepis_channel_receive(line.end[1], 0, &channel));
	assert_true(connected(channel, channel));
	krepis_channel_close(channel);
	close_line(&line);
}

static void passing_to_a_closed_socket_is_refused_without_a_signal(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct line line = open_line();

	(void)state;
	close(line.end[1]);
	assert_error(krepis_channel_pass(channel, line.end[0]), EPIPE);
	close(line.end[0]);
	krepis_channel_close(channel);
}

static void passing_over_what_is_no_socket_is_refused(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());

	(void)state;
	assert_error(krepis_channel_pass(channel, krepis_channel_fd(channel)), ENOTSOCK);
	assert_error(krepis_channel_pass(channel, -1), EBADF);
	receive_is_refused(krepis_channel_fd(channel), 0, ENOTSOCK);
	receive_is_refused(-1, 0, EBADF);
	krepis_channel_close(channel);
}

static void receiving_from_a_closed_socket_says_so(void **state)
{
	struct line line = open_line();

	(void)state;
	close(line.end[0]);
	receive_is_refused(line.end[1], 0, KREPIS_PEER_GONE);
	close(line.end[1]);
}

static void a_byte_without_a_descriptor_is_refused(void **state)
{
	struct line line = open_line();

	(void)state;
	send_fds(line.end[0], NULL, 0);
	receive_is_refused(line.end[1], 0, EBADMSG);
	close_line(&line);
}

static void several_descriptors_are_refused_and_closed(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct line line = open_line();

	(void)state;
	for (unsigned int count = 2; count <= 8; count++) {
		int fds[8];

		for (unsigned int i = 0; i < count; i++)
			fds[i] = krepis_channel_fd(channel);
		send_fds(line.end[0], fds, count);
		receive_is_refused(line.end[1], 0, EBADMSG);
	}
	close_line(&line);
	krepis_channel_close(channel);
}

static void a_received_descriptor_is_checked_and_closed(void **state)
{
	struct line line = open_line();
	int unsealed = forge(0), zeros = sealed_zeros();

	(void)state;
	send_fds(line.end[0], &unsealed, 1);
	receive_is_refused(line.end[1], 0, EPERM);
	send_fds(line.end[0], &zeros, 1);
	receive_is_refused(line.end[1], 0, EMEDIUMTYPE);
	send_fds(line.end[0], &line.end[0], 1);
	receive_is_refused(line.end[1], 0, EPERM);
	close(unsealed);
	close(zeros);
	close_line(&line);
}

/* A file on tmpfs can shrink under who received it; one of the module cannot. */
static void a_channel_with_a_name_is_received_from_the_module_only(void **state)
{
	struct krepis_channel *channel = create("named"), *received;
	struct line line = open_line();

	(void)state;
	assert_ok(krepis_channel_pass(channel, line.end[0]));
	if (on_kmod()) {
		assert_ok(krepis_channel_receive(line.end[1], 0, &received));
		assert_true(connected(channel, received));
		krepis_channel_close(received);
	} else {
		receive_is_refused(line.end[1], 0, EPERM);
	}
	close_line(&line);
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("named"));
}

static void a_received_channel_of_another_layout_is_refused(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING(.layout_id = 11));
	struct line line = open_line();

	(void)state;
	assert_ok(krepis_channel_pass(channel, line.end[0]));
	receive_is_refused(line.end[1], 12, EPROTO);
	krepis_channel_close(channel);
	close_line(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(the_descriptor_stays_the_callers),
		CLAIM(an_anonymous_channel_is_inherited),
		CLAIM(a_named_channel_opens_by_its_descriptor),
		CLAIM(a_descriptor_that_is_none_is_refused),
		CLAIM(an_unsealed_memfd_is_refused),
		CLAIM(a_sealed_memfd_is_a_channel),
		CLAIM(an_anonymous_channel_cannot_be_resized),
		CLAIM(a_sealed_memfd_of_zeros_is_refused),
		CLAIM(what_is_no_file_is_refused),
		CLAIM(another_layout_is_refused),
		CLAIM(a_passed_channel_is_the_same_channel),
		CLAIM(channels_arrive_in_order),
		CLAIM(a_channel_lives_in_the_socket),
		CLAIM(passing_to_a_closed_socket_is_refused_without_a_signal),
		CLAIM(passing_over_what_is_no_socket_is_refused),
		CLAIM(receiving_from_a_closed_socket_says_so),
		CLAIM(a_byte_without_a_descriptor_is_refused),
		CLAIM(several_descriptors_are_refused_and_closed),
		CLAIM(a_received_descriptor_is_checked_and_closed),
		CLAIM(a_channel_with_a_name_is_received_from_the_module_only),
		CLAIM(a_received_channel_of_another_layout_is_refused),
	};

	return RUN("descriptor", tests);
}
