// SPDX-License-Identifier: MIT
/*
 * Every way to hand an address to the kernel, whole or not, to connect or to send to: each
 * is asked for as connecting is.
 */
#include <kselftest_harness.h>
#include <sys/uio.h>
#include "net.h"

FIXTURE(send)
{
	struct servers servers;
};

FIXTURE_SETUP(send)
{
	ASSERT_EQ(0, servers_make(&self->servers));
}

FIXTURE_TEARDOWN(send)
{
	domains_end();
}

/* --------------------------------------------------------------------- AF_UNSPEC */

static int disconnect(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	return sys(connect(fd, &none, sizeof(none)));
}

TEST_F(send, disconnecting_is_free)
{
	struct address a = address_of("127.0.0.1", PORT);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0);
	struct krepis_domain *none = domain(NULL);

	ASSERT_EQ(0, connect(fd, &a.sa, a.len));
	ASSERT_EQ(0, connect(stream, &a.sa, a.len));
	allowed(none, disconnect(fd));
	allowed(none, disconnect(stream));
	/* And does not open it for others. */
	refused(EACCES, none, sys(connect(fd, &a.sa, a.len)));
}

static int send_unspecified(const char *host)
{
	struct address a = address_of(host, PORT);

	a.sa.sa_family = AF_UNSPEC;
	return send_with(socket(AF_INET, SOCK_DGRAM, 0), &a, 0);
}

TEST_F(send, address_without_a_family_is_one_of_ipv4_to_send_to)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	allowed(d, send_unspecified("127.0.0.1"));
	refused(EACCES, d, send_unspecified("127.0.0.2"));
	refused(EACCES, domain(NULL), send_unspecified("127.0.0.1"));
}

/* ------------------------------------------------------------------ short addresses */

/* Return: 0 if no length gets anywhere, and those that are too short are called invalid. */
static int too_short(const char *host, socklen_t whole, bool known)
{
	int type, err;
	socklen_t len;

	for (type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		for (len = known ? sizeof(sa_family_t) : 0; len < whole; len++) {
			struct address a = address_of(host, PORT);

			a.len = len;
			err = to_address(type, 0, &a, connect);
			if (err != -EINVAL)
				return -1000 * (int)len - 1;
			err = to_address(type, 0, &a, bind);
			if (err != -EINVAL)
				return -1000 * (int)len - 2;
		}
	}
	return 0;
}

TEST_F(send, address_that_is_too_short_is_invalid)
{
	struct krepis_domain *none = domain(NULL), *all = domain("net");

	allowed(none, too_short("127.0.0.1", sizeof(struct sockaddr_in), false));
	allowed(none, too_short("::1", 24, false));
	allowed(all, too_short("127.0.0.1", sizeof(struct sockaddr_in), false));
	allowed(all, too_short("::1", 24, false));
}

static int send_short(const char *host, socklen_t len)
{
	struct address a = address_of(host, PORT);

	a.len = len;
	return send_with(socket(a.sa.sa_family, SOCK_DGRAM, 0), &a, 0);
}

TEST_F(send, address_that_is_too_short_is_not_sent_to)
{
	struct krepis_domain *none = domain(NULL), *all = domain("net");
	socklen_t len;

	for (len = 1; len < sizeof(struct sockaddr_in); len++) {
		refused(EINVAL, none, send_short("127.0.0.1", len));
		refused(EINVAL, all, send_short("127.0.0.1", len));
	}
	refused(EINVAL, none, send_short("::1", 23));
	refused(EINVAL, all, send_short("::1", 23));
	allowed(all, send_short("::1", 24));
}

/* --------------------------------------------------------------------- ways to send */

static int send_message(const char *host, int port)
{
	struct address a = address_of(host, port);
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &a.sa, .msg_namelen = a.len, .msg_iov = &iov, .msg_iovlen = 1,
	};

	return sys(sendmsg(socket(a.sa.sa_family, SOCK_DGRAM, 0), &msg, 0));
}

TEST_F(send, message_is_sent_as_its_own_destination_allows)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000", "net [fd00::1]:4000");

	allowed(d, send_message("127.0.0.1", PORT));
	refused(EACCES, d, send_message("127.0.0.1", OTHER_PORT));
	allowed(d, send_message("fd00::1", PORT));
	refused(EACCES, d, send_message("fd00::1", OTHER_PORT));
}

/* Return: how many of two messages were sent, less 2. */
static int send_messages(int first, int second)
{
	struct address a[2] = { address_of("127.0.0.1", first), address_of("127.0.0.1", second) };
	struct iovec iov = { "x", 1 };
	struct mmsghdr msgs[2] = {
		{ .msg_hdr = { &a[0].sa, a[0].len, &iov, 1 } },
		{ .msg_hdr = { &a[1].sa, a[1].len, &iov, 1 } },
	};
	int n = sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), msgs, 2, 0);

	return n < 0 ? -errno : n - 2;
}

TEST_F(send, each_of_many_messages_is_asked_for)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	allowed(d, send_messages(PORT, PORT));
	EXPECT_EQ(-1, in_domain(d, send_messages(PORT, OTHER_PORT)));
	refused(EACCES, d, send_messages(OTHER_PORT, PORT));
}

TEST_F(send, connected_socket_sends_elsewhere_only_where_that_is_allowed)
{
	struct address here = address_of("127.0.0.1", PORT), there = address_of("127.0.0.1", 4001);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct krepis_domain *none = domain(NULL);

	ASSERT_EQ(0, connect(fd, &here.sa, here.len));
	allowed(none, sys(send(fd, "x", 1, 0)));
	refused(EACCES, none, send_with(fd, &there, 0));
	refused(EACCES, none, send_with(fd, &here, 0));
	allowed(domain("net 127.0.0.1:4001"), send_with(fd, &there, 0));
}

static int fast_open(int protocol, const char *host, int port)
{
	struct address a = address_of(host, port);

	return send_with(socket(a.sa.sa_family, SOCK_STREAM, protocol), &a, MSG_FASTOPEN);
}

TEST_F(send, sending_opens_no_connection_that_is_not_allowed)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000", "net [::1]:4000");

	allowed(d, fast_open(0, "127.0.0.1", PORT));
	refused(EACCES, d, fast_open(0, "127.0.0.1", OTHER_PORT));
	allowed(d, fast_open(0, "::1", PORT));
	refused(EACCES, d, fast_open(0, "::1", OTHER_PORT));
	refused(EACCES, d, fast_open(0, "::ffff:127.0.0.1", OTHER_PORT));
}

static int fast_connect(const char *host, int port)
{
	struct address a = address_of(host, port);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0), one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
		return -ENOTUNIQ;
	if (connect(fd, &a.sa, a.len))
		return -errno;
	return sys(send(fd, "x", 1, 0));
}

TEST_F(send, connection_that_is_put_off_is_asked_for)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	allowed(d, fast_connect("127.0.0.1", PORT));
	refused(EACCES, d, fast_connect("127.0.0.1", OTHER_PORT));
}

/* ------------------------------------------------------------------- before entering */

TEST_F(send, socket_of_before_stays_usable)
{
	struct address a = address_of("127.0.0.1", PORT);
	struct krepis_domain *none = domain(NULL);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	ASSERT_EQ(0, connect(fd, &a.sa, a.len));
	allowed(none, sys(send(fd, "x", 1, 0)));
	allowed(none, ({ int in = accept(self->servers.tcp[0], NULL, NULL);
			 in < 0 ? -errno : sys(recv(in, &byte, 1, 0)); }));
	/* Without a rule it could not be made. */
	refused(EACCES, none, tcp("127.0.0.1", PORT));
}

TEST_HARNESS_MAIN
