// SPDX-License-Identifier: MIT
/*
 * Channels of the krepis file system: who may be which side, to whom endpoints may go, and
 * that a right which is taken back is gone for what is asked from then on.
 */
#include <kselftest_harness.h>
#include <krepis/krepis.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "ring.h"

#define CHANNELS	"/run/krepis/sandbox"
#define CHANNEL_A	CHANNELS "/a"
#define CHANNEL_B	CHANNELS "/b"
#define OTHER		"/run/krepis/sandbox-other"

FIXTURE(channel)
{
	int pair[2];
};

static int make_channel(const char *path)
{
	struct krepis_geometry g = small_ring();
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return -errno;
	err = setup(fd, &g);
	close(fd);
	return err;
}

static void remove_all(void)
{
	unlink(CHANNEL_A);
	unlink(CHANNEL_B);
	unlink(CHANNELS "/new");
	unlink(CHANNELS "/moved");
	rmdir(CHANNELS);
	unlink(OTHER);
}

FIXTURE_SETUP(channel)
{
	remove_all();
	ASSERT_EQ(0, mkdir(CHANNELS, 0700));
	ASSERT_EQ(0, make_channel(CHANNEL_A));
	ASSERT_EQ(0, make_channel(CHANNEL_B));
	ASSERT_EQ(0, make_channel(OTHER));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->pair));
}

FIXTURE_TEARDOWN(channel)
{
	domains_end();
	remove_all();
}

/* Becomes a side of the channel, by a file opened for that alone. Return: its endpoint. */
static int become(__u32 role, const char *path)
{
	int fd = open(path, (role == KREPIS_PRODUCER ? O_WRONLY : O_RDONLY) | O_CLOEXEC), side;

	if (fd < 0)
		return -errno;
	side = attach(fd, role, KREPIS_RIGHT_ALL);
	close(fd);
	return side;
}

static int produce(const char *path)
{
	return become(KREPIS_PRODUCER, path);
}

static int consumer(const char *path)
{
	return become(KREPIS_CONSUMER, path);
}

/* --------------------------------------------------------------------------- granted */

TEST_F(channel, without_a_rule_there_is_none)
{
	struct krepis_domain *none = domain("read", "write", "exec", "net", "unix", "sys");
	struct krepis_domain *all = domain("channel");

	refused(EACCES, none, produce(CHANNEL_A));
	refused(EACCES, none, consumer(CHANNEL_A));
	refused(EACCES, none, open_file(CHANNEL_A, O_RDONLY));
	refused(EACCES, none, open_file(CHANNEL_A, O_WRONLY));
	refused(EACCES, none, open_file(CHANNEL_A, O_RDWR));
	allowed(all, produce(CHANNEL_A));
	allowed(all, consumer(CHANNEL_A));
	allowed(all, open_file(CHANNEL_A, O_RDWR));
}

TEST_F(channel, reading_and_writing_it_are_no_rules_for_it)
{
	struct krepis_domain *d = domain("read " CHANNEL_A, "write " CHANNEL_A);

	refused(EACCES, d, consumer(CHANNEL_A));
	refused(EACCES, d, produce(CHANNEL_A));
	allowed(domain("channel " CHANNEL_A ":rw"), consumer(CHANNEL_A));
}

TEST_F(channel, role_is_for_one_side)
{
	struct krepis_domain *r = domain("channel " CHANNEL_A ":r");
	struct krepis_domain *w = domain("channel " CHANNEL_A ":w");
	struct krepis_domain *rw = domain("channel " CHANNEL_A ":rw");

	allowed(r, consumer(CHANNEL_A));
	refused(EACCES, r, produce(CHANNEL_A));
	refused(EACCES, r, open_file(CHANNEL_A, O_RDWR));
	allowed(w, produce(CHANNEL_A));
	refused(EACCES, w, consumer(CHANNEL_A));
	refused(EACCES, w, open_file(CHANNEL_A, O_RDWR));
	allowed(rw, consumer(CHANNEL_A));
	allowed(rw, produce(CHANNEL_A));
	allowed(rw, open_file(CHANNEL_A, O_RDWR));
}

TEST_F(channel, rule_is_for_its_channel)
{
	struct krepis_domain *d = domain("channel " CHANNEL_A ":rw");

	allowed(d, consumer(CHANNEL_A));
	refused(EACCES, d, consumer(CHANNEL_B));
	refused(EACCES, d, consumer(OTHER));
	ASSERT_EQ(0, rename(CHANNEL_A, CHANNELS "/moved"));
	ASSERT_EQ(0, make_channel(CHANNEL_A));
	allowed(d, consumer(CHANNELS "/moved"));
	refused(EACCES, d, consumer(CHANNEL_A));
}

TEST_F(channel, rule_for_a_directory_is_for_the_channels_in_it)
{
	struct krepis_domain *d = domain("channel " CHANNELS ":r");

	allowed(d, consumer(CHANNEL_A));
	allowed(d, consumer(CHANNEL_B));
	refused(EACCES, d, produce(CHANNEL_A));
	refused(EACCES, d, consumer(OTHER));
	ASSERT_EQ(0, make_channel(CHANNELS "/new"));
	allowed(d, consumer(CHANNELS "/new"));
}

TEST_F(channel, denied_one_is_refused_whatever_is_allowed)
{
	struct krepis_domain *d = domain("channel", "channel " CHANNELS ":rw",
					 "deny channel " CHANNEL_A ":w");

	refused(EACCES, d, produce(CHANNEL_A));
	allowed(d, consumer(CHANNEL_A));
	allowed(d, produce(CHANNEL_B));
}

TEST_F(channel, making_one_needs_both_to_write_there_and_to_have_it)
{
	const char *new = CHANNELS "/new";

	refused(EACCES, domain("channel " CHANNELS ":rw"), make_channel(new));
	unlink(new);
	refused(EACCES, domain("write " CHANNELS), make_channel(new));
	unlink(new);
	allowed(domain("channel " CHANNELS ":rw", "write " CHANNELS), make_channel(new));
}

TEST_F(channel, one_without_a_name_is_had_by_its_directory)
{
	struct krepis_geometry g = small_ring();

	refused(EACCES, domain("write", "read"), new_channel(&g));
	allowed(domain("channel /run/krepis:rw", "write /run/krepis"), new_channel(&g));
}

/* ------------------------------------------------------------------------ the library */

static int attach_by_library(const char *path, enum krepis_role role)
{
	struct krepis_endpoint *endpoint;
	struct krepis_channel *channel;
	int err = krepis_channel_open(path, 0, &channel);

	return err ? : krepis_attach(channel, role, 0, &endpoint);
}

TEST_F(channel, library_finds_the_side_that_is_allowed)
{
	struct krepis_domain *r = domain("channel " CHANNEL_A ":r");
	struct krepis_domain *rw = domain("channel " CHANNEL_A ":rw");

	allowed(r, attach_by_library(CHANNEL_A, KREPIS_CONSUMER));
	refused(EACCES, r, attach_by_library(CHANNEL_A, KREPIS_PRODUCER));
	refused(EACCES, r, attach_by_library(CHANNEL_B, KREPIS_CONSUMER));
	allowed(rw, attach_by_library(CHANNEL_A, KREPIS_PRODUCER));
}

static int receive_message(int ready)
{
	struct krepis_endpoint *endpoint;
	struct krepis_channel *channel;
	struct krepis_msg msg;
	int err = krepis_channel_open(CHANNEL_A, 0, &channel);

	err = err ? : krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint);
	if (err || write(ready, "x", 1) != 1)
		return err ? : -EPIPE;
	err = krepis_recv(endpoint, &msg, krepis_deadline_ms(10000));
	return err ? : msg.len == 4 && !memcmp(msg.data, "text", 4) ? 0 : -EBADMSG;
}

TEST_F(channel, message_comes_into_the_domain)
{
	struct krepis_domain *r = domain("channel " CHANNEL_A ":r");
	struct krepis_endpoint *endpoint;
	struct krepis_channel *channel;
	struct trial t;
	char byte;

	ASSERT_EQ(0, krepis_channel_open(CHANNEL_A, 0, &channel));
	ASSERT_EQ(0, krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint));
	t = trial_begin(r);
	if (!t.pid)
		trial_report(&t, receive_message(self->pair[1]));
	EXPECT_TRUE(within_ms(10000, recv(self->pair[0], &byte, 1, MSG_DONTWAIT) == 1));
	EXPECT_EQ(0, krepis_send(endpoint, 1, "text", 4, krepis_deadline_ms(10000)));
	EXPECT_EQ(0, trial_end(&t));
	krepis_detach(endpoint);
	krepis_channel_close(channel);
}

/* ------------------------------------------------------------------------ handing over */

/* Return: the descriptor; -ECOMM something was there, but could not be had. */
static int receive(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
		return -errno;
	if (msg.msg_flags & MSG_CTRUNC)
		return -ECOMM;
	if (!CMSG_FIRSTHDR(&msg))
		return -ENODATA;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

static int receive_endpoint(int socket)
{
	struct krepis_info_query q;
	int fd = receive(socket);

	return fd < 0 ? fd : query(fd, &q);
}

#define RECEIVED(error, fd, ...) do {						\
	ASSERT_EQ(0, send_fd(self->pair[0], fd));				\
	EXPECT_EQ(error, in_domain(domain(__VA_ARGS__), receive_endpoint(self->pair[1])))	\
		TH_LOG("received in %s", #__VA_ARGS__);				\
} while (0)

TEST_F(channel, endpoint_comes_in_only_if_it_may_be_passed)
{
	int p = produce(CHANNEL_A), c = consumer(CHANNEL_A);

	ASSERT_LE(0, p);
	ASSERT_LE(0, c);
	RECEIVED(0, p, "channel " CHANNEL_A ":w:pass");
	RECEIVED(-ECOMM, p, "channel " CHANNEL_A ":w");
	RECEIVED(-ECOMM, p, "channel " CHANNEL_A ":r:pass");
	RECEIVED(-ECOMM, p, "channel " CHANNEL_B ":w:pass");
	RECEIVED(-ECOMM, p, "read", "write", "unix");
	RECEIVED(0, c, "channel " CHANNEL_A ":r:pass");
	RECEIVED(-ECOMM, c, "channel " CHANNEL_A ":r");
	RECEIVED(-ECOMM, c, "channel " CHANNEL_A ":w:pass");
	RECEIVED(0, c, "channel " CHANNELS ":rw:pass");
	RECEIVED(-ECOMM, c, "channel", "deny channel " CHANNEL_A ":r");
}

TEST_F(channel, file_of_a_channel_comes_in_only_if_it_may_be_passed)
{
	int r = open(CHANNEL_A, O_RDONLY), rw = open(CHANNEL_A, O_RDWR);

	RECEIVED(0, r, "channel " CHANNEL_A ":r:pass");
	RECEIVED(-ECOMM, r, "channel " CHANNEL_A ":r");
	RECEIVED(0, rw, "channel " CHANNEL_A ":rw:pass");
	RECEIVED(-ECOMM, rw, "channel " CHANNEL_A ":r:pass");
	RECEIVED(-ECOMM, rw, "channel " CHANNEL_A ":rw");
}

static int give(int socket, const char *path)
{
	int fd = consumer(path);

	return fd < 0 ? fd : send_fd(socket, fd);
}

TEST_F(channel, endpoint_goes_out_only_if_it_may_be_passed)
{
	struct krepis_domain *yes = domain("channel " CHANNEL_A ":r:pass");
	struct krepis_domain *no = domain("channel " CHANNEL_A ":r");

	allowed(yes, give(self->pair[0], CHANNEL_A));
	EXPECT_EQ(0, receive_endpoint(self->pair[1]));
	allowed(no, give(self->pair[0], CHANNEL_A));
	EXPECT_EQ(-ECOMM, receive_endpoint(self->pair[1]));
}

TEST_F(channel, endpoint_goes_to_another_domain_only_if_both_may_pass_it)
{
	struct krepis_domain *yes = domain("channel " CHANNEL_A ":r:pass");
	struct krepis_domain *yes_too = domain("channel " CHANNEL_A ":r:pass");
	struct krepis_domain *no = domain("channel " CHANNEL_A ":r");

	allowed(yes, give(self->pair[0], CHANNEL_A));
	EXPECT_EQ(0, in_domain(yes_too, receive_endpoint(self->pair[1])));
	allowed(yes, give(self->pair[0], CHANNEL_A));
	EXPECT_EQ(-ECOMM, in_domain(no, receive_endpoint(self->pair[1])));
	allowed(no, give(self->pair[0], CHANNEL_A));
	EXPECT_EQ(-ECOMM, in_domain(yes, receive_endpoint(self->pair[1])));
}

TEST_F(channel, endpoint_goes_around_in_its_domain)
{
	struct krepis_domain *d = domain("channel " CHANNEL_A ":r");

	allowed(d, give(self->pair[0], CHANNEL_A));
	EXPECT_EQ(0, in_domain(d, receive_endpoint(self->pair[1])));
}

static int held;	/* an inmate's */

static int hold(const char *path)
{
	held = consumer(path);
	return held;
}

static int take_out(struct krepis_domain *domain)
{
	struct inmate who;
	int fd, pidfd, err;

	err = inmate_start(&who, domain);
	fd = err ? err : inmate_do(&who, hold, CHANNEL_A);
	if (fd < 0)
		return fd;
	pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
	err = sys(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
	inmate_end(&who);
	close(pidfd);
	return err;
}

TEST_F(channel, endpoint_is_taken_out_only_if_it_may_be_passed)
{
	EXPECT_LE(0, take_out(domain("channel " CHANNEL_A ":r:pass")));
	EXPECT_EQ(-EACCES, take_out(domain("channel " CHANNEL_A ":r")));
}

/* A krepis command of the ring's file @slot or of @fd. */
static int ring_command(struct io_uring *ring, int fd, unsigned int flags, __u32 cmd, void *args)
{
	struct krepis_uring area = { .args = (uintptr_t)args, .count = 1 };
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->flags |= flags;
	memcpy((char *)sqe + 8, &cmd, sizeof(cmd));
	memcpy((char *)sqe + 48, &area, sizeof(area));
	return ring_result(ring);
}

/* Puts the endpoint into a ring, and from there into the table of @target. */
static int give_by_ring(const struct io_uring *target, const char *path)
{
	const __u64 slot = 0;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int fd = consumer(path), err;

	if (fd < 0)
		return fd;
	err = io_uring_queue_init(4, &ring, 0) ? : io_uring_register_files(&ring, &fd, 1);
	if (err)
		return err;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_rw(IORING_OP_MSG_RING, sqe, target->ring_fd,
			 (void *)(uintptr_t)IORING_MSG_SEND_FD, 0, 0);
	sqe->file_index = 1;
	memcpy((char *)sqe + 48, &slot, sizeof(slot));
	return ring_result(&ring);
}

/* What can be done outside with what a process of @domain has put into a ring. */
static int given_by_ring(struct krepis_domain *domain)
{
	struct krepis_info_query q = { .size = sizeof(q) };
	struct io_uring target;
	int err = io_uring_queue_init(4, &target, 0);
	struct io_uring_cqe *cqe;

	err = err ? : io_uring_register_files_sparse(&target, 1);
	if (err)
		return err;
	in_domain(domain, give_by_ring(&target, CHANNEL_A));
	/* It tells of what came. */
	if (!io_uring_peek_cqe(&target, &cqe))
		io_uring_cqe_seen(&target, cqe);
	err = ring_command(&target, 0, IOSQE_FIXED_FILE, KREPIS_IOC_QUERY, &q);
	io_uring_queue_exit(&target);
	return err;
}

TEST_F(channel, endpoint_does_not_go_out_by_a_ring)
{
	EXPECT_EQ(0, given_by_ring(NULL));
	EXPECT_NE(0, given_by_ring(domain("channel " CHANNEL_A ":r")));
}

/* --------------------------------------------------------------------------- taken back */

/* An inmate's sides of the channel. */
static struct side producer_side, consumer_side;

static int open_sides(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int err = fd < 0 ? -errno : side_open(&producer_side, fd, KREPIS_PRODUCER);

	return err ? : side_open(&consumer_side, fd, KREPIS_CONSUMER);
}

static int map_again(const struct side *s)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, s->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, PAGE);
	return 0;
}

static int map_producer(const char *unused)
{
	return map_again(&producer_side);
}

static int map_consumer(const char *unused)
{
	return map_again(&consumer_side);
}

static int hand_over(const char *unused)
{
	int err = handoff(producer_side.fd, 0, producer_side.desc[0].generation, 8);

	return err ? : release(consumer_side.fd, 0, consumer_side.desc[0].generation);
}

/* Everything is as at the beginning, or a hand-over is refused at once. */
static int hand_over_by_ring(const char *unused)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { 0, producer_side.desc[0].generation }, .len = 8,
	};
	struct io_uring ring;
	int err = io_uring_queue_init(4, &ring, 0);

	if (err)
		return err;
	err = ring_command(&ring, producer_side.fd, 0, KREPIS_IOC_HANDOFF, &a);
	io_uring_queue_exit(&ring);
	return err < 0 ? err : release(consumer_side.fd, 0, consumer_side.desc[0].generation);
}

/* Until a time that is over: there is no event to be waited for. */
static int wait_once(const char *unused)
{
	const struct side *s = &consumer_side;
	int err = wait_word(s->fd, event_at(s), event_of(s), 0);

	return err == -ETIMEDOUT ? 0 : err;
}

static int use_mapped(const char *unused)
{
	publish(&producer_side);
	consume(&consumer_side);
	return reads(producer_side.base) && reads(consumer_side.base) ? 0 : -EFAULT;
}

/* Return: 0 if all of it works, or else the number of the first that gives not @error. */
static int all_give(const struct inmate *who, int error)
{
	static int (*const calls[])(const char *) = {
		map_producer, map_consumer, hand_over, hand_over_by_ring, wait_once,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		int err = inmate_do(who, calls[i], NULL);

		if (err != -error) {
			fprintf(stderr, "# call %u gives %d\n", i, err);
			return (int)i + 1;
		}
	}
	return 0;
}

TEST_F(channel, right_that_is_taken_back_closes_the_door)
{
	struct krepis_domain *d = domain("channel " CHANNEL_A ":rw");
	struct inmate who;

	ASSERT_EQ(0, inmate_start(&who, d));
	ASSERT_EQ(0, inmate_do(&who, open_sides, CHANNEL_A));
	EXPECT_EQ(0, all_give(&who, 0));
	ASSERT_EQ(0, krepis_domain_set(d, policy("channel " CHANNEL_B ":rw", "read", "write")));
	EXPECT_EQ(0, all_give(&who, EACCES));
	EXPECT_EQ(-EACCES, inmate_do(&who, consumer, CHANNEL_A));
	EXPECT_EQ(0, inmate_do(&who, use_mapped, NULL));
	ASSERT_EQ(0, krepis_domain_set(d, policy("channel " CHANNEL_A ":rw")));
	EXPECT_EQ(0, all_give(&who, 0));
	inmate_end(&who);
}

TEST_F(channel, role_that_is_taken_back_leaves_the_other)
{
	struct krepis_domain *d = domain("channel " CHANNEL_A ":rw");
	struct inmate who;

	ASSERT_EQ(0, inmate_start(&who, d));
	ASSERT_EQ(0, inmate_do(&who, open_sides, CHANNEL_A));
	ASSERT_EQ(0, krepis_domain_set(d, policy("channel " CHANNEL_A ":r")));
	EXPECT_EQ(-EACCES, inmate_do(&who, map_producer, NULL));
	EXPECT_EQ(-EACCES, inmate_do(&who, hand_over, NULL));
	EXPECT_EQ(-EACCES, inmate_do(&who, hand_over_by_ring, NULL));
	EXPECT_EQ(0, inmate_do(&who, map_consumer, NULL));
	EXPECT_EQ(0, inmate_do(&who, wait_once, NULL));
	inmate_end(&who);
}

TEST_F(channel, domain_that_is_removed_closes_the_door)
{
	struct krepis_domain *d = domain("channel " CHANNEL_A ":rw");
	struct inmate who;

	ASSERT_EQ(0, inmate_start(&who, d));
	ASSERT_EQ(0, inmate_do(&who, open_sides, CHANNEL_A));
	EXPECT_EQ(0, all_give(&who, 0));
	ASSERT_EQ(0, krepis_domain_remove(d));
	EXPECT_EQ(-EACCES, inmate_do(&who, map_consumer, NULL));
	EXPECT_EQ(-EACCES, inmate_do(&who, wait_once, NULL));
	EXPECT_EQ(0, inmate_do(&who, use_mapped, NULL));
	inmate_end(&who);
}

static int map_one(int fd)
{
	const struct side s = { .fd = fd };

	return map_again(&s);
}

TEST_F(channel, endpoint_of_before_is_mapped_only_if_its_role_is_allowed)
{
	int fd = consumer(CHANNEL_A);

	ASSERT_LE(0, fd);
	allowed(domain("channel " CHANNEL_A ":r"), map_one(fd));
	refused(EACCES, domain("channel " CHANNEL_A ":w"), map_one(fd));
	refused(EACCES, domain("read", "write"), map_one(fd));
}

TEST_HARNESS_MAIN
