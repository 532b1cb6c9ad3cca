// SPDX-License-Identifier: MIT
/*
 * Which kinds of sockets a domain may have, what may be asked of them, and that io_uring
 * is no other way to have and use one.
 */
#include <kselftest_harness.h>
#include <linux/netlink.h>
#include "net.h"
#include "ring.h"

FIXTURE(kinds)
{
	struct servers servers;
};

FIXTURE_SETUP(kinds)
{
	ASSERT_EQ(0, servers_make(&self->servers));
}

FIXTURE_TEARDOWN(kinds)
{
	domains_end();
}

/* ---------------------------------------------------------------------------- kinds */

#define FAMILIES	46

/* Return: 0 if those that have no addresses to be asked for give @error, and others not. */
static int other_families(int error, bool all)
{
	int family, type, fd;

	for (family = 0; family < FAMILIES; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
		    family == AF_NETLINK || family == AF_UNSPEC)
			continue;
		for (type = SOCK_STREAM; type <= SOCK_PACKET; type++) {
			fd = socket(family, type, 0);
			if (fd >= 0)
				close(fd);
			if ((fd < 0 && errno == error) != all)
				return -1000 * family - type;
		}
	}
	return 0;
}

TEST_F(kinds, other_families_are_refused)
{
	EXPECT_EQ(0, in_domain(domain("net", "unix"), other_families(EACCES, true)));
}

TEST_F(kinds, other_families_can_be_allowed)
{
	EXPECT_EQ(0, in_domain(domain("net", "sys sockets", "sys net_raw", "sys net_admin"),
			       other_families(EACCES, false)));
}

struct kind {
	int family, type, protocol;
};

static const struct kind other_kinds[] = {
	{ AF_INET, SOCK_RAW, IPPROTO_RAW },
	{ AF_INET, SOCK_RAW, IPPROTO_ICMP },
	{ AF_INET6, SOCK_RAW, IPPROTO_ICMPV6 },
	{ AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE },
	{ AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE },
	{ AF_INET, SOCK_STREAM, IPPROTO_SCTP },
	{ AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP },
	{ AF_INET6, SOCK_SEQPACKET, IPPROTO_SCTP },
	{ AF_INET, SOCK_DCCP, IPPROTO_DCCP },
	{ AF_INET, SOCK_DGRAM, IPPROTO_ICMP },
	{ AF_INET, SOCK_DGRAM, 115 },		/* L2TP */
};

static int make_kind(const struct kind *k)
{
	return sys(socket(k->family, k->type, k->protocol));
}

/* By their protocol, among families that are allowed. What the kernel has, is found outside. */
TEST_F(kinds, protocols_without_ports_are_refused)
{
	struct krepis_domain *d = domain("net");
	struct krepis_domain *all = domain("net", "sys sockets", "sys net_raw");
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(other_kinds); i++) {
		refused(EACCES, d, make_kind(&other_kinds[i]));
		EXPECT_EQ(in_domain(NULL, make_kind(&other_kinds[i])),
			  in_domain(all, make_kind(&other_kinds[i])))
			TH_LOG("kind %u", i);
	}
}

TEST_F(kinds, raw_socket_needs_its_capability_as_well)
{
	struct krepis_domain *d = domain("net", "sys sockets");
	const struct kind raw = { AF_INET, SOCK_RAW, IPPROTO_RAW };

	refused(EPERM, d, make_kind(&raw));
	allowed(domain("net", "sys sockets", "sys net_raw"), make_kind(&raw));
}

static const struct kind known_kinds[] = {
	{ AF_INET, SOCK_STREAM, 0 },
	{ AF_INET, SOCK_STREAM, IPPROTO_TCP },
	{ AF_INET, SOCK_STREAM, IPPROTO_MPTCP },
	{ AF_INET, SOCK_DGRAM, IPPROTO_UDP },
	{ AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0 },
	{ AF_INET6, SOCK_DGRAM, 0 },
	{ AF_UNIX, SOCK_STREAM, 0 },
	{ AF_UNIX, SOCK_DGRAM, 0 },
	{ AF_UNIX, SOCK_SEQPACKET, 0 },
};

TEST_F(kinds, what_is_decided_by_addresses_and_names_may_be_made)
{
	struct krepis_domain *none = domain(NULL);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known_kinds); i++)
		allowed(none, make_kind(&known_kinds[i]));
}

TEST_F(kinds, netlink_is_for_routes_alone)
{
	static const int others[] = {
		NETLINK_SOCK_DIAG, NETLINK_XFRM, NETLINK_AUDIT, NETLINK_NETFILTER,
		NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC, NETLINK_CRYPTO,
	};
	struct krepis_domain *d = domain("net", "sys sockets"), *all = domain("sys netlink");
	unsigned int i;

	allowed(domain(NULL), sys(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)));
	allowed(domain(NULL), sys(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE)));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		refused(EACCES, d, sys(socket(AF_NETLINK, SOCK_RAW, others[i])));
		EXPECT_EQ(in_domain(NULL, sys(socket(AF_NETLINK, SOCK_RAW, others[i]))),
			  in_domain(all, sys(socket(AF_NETLINK, SOCK_RAW, others[i]))))
			TH_LOG("netlink %d", others[i]);
	}
}

/* lo is up: this would take it down. */
static int change_link(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	return sys(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &lo));
}

TEST_F(kinds, network_is_configured_by_its_capability_alone)
{
	refused(EPERM, domain("net", "unix", "sys sockets", "sys netlink"), change_link());
	allowed(domain("sys net_admin"), change_link());
}

/* --------------------------------------------------------------------- source routes */

/* Through 127.0.0.9 */
static const unsigned char route[] = { 131, 7, 4, 127, 0, 0, 9, 1 };

static int set_route(void)
{
	return sys(setsockopt(socket(AF_INET, SOCK_DGRAM, 0), IPPROTO_IP, IP_OPTIONS, route,
			      sizeof(route)));
}

static int send_routed(void)
{
	char control[CMSG_SPACE(sizeof(route))] = { 0 };
	struct address a = address_of("127.0.0.1", PORT);
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &a.sa, .msg_namelen = a.len, .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_RETOPTS;
	c->cmsg_len = CMSG_LEN(sizeof(route));
	memcpy(CMSG_DATA(c), route, sizeof(route));
	return sys(sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &msg, 0));
}

static int send_as(const char *source)
{
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = { 0 };
	struct address a = address_of("0.0.0.0", PORT);
	struct in_pktinfo info = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &a.sa, .msg_namelen = a.len, .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	inet_pton(AF_INET, source, &info.ipi_spec_dst);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return sys(sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &msg, 0));
}

TEST_F(kinds, source_route_is_refused)
{
	struct krepis_domain *d = domain("net"), *raw = domain("net", "sys net_raw");

	allowed(NULL, set_route());
	refused(EPERM, d, set_route());
	refused(EPERM, raw, set_route());
	/* Another option is not. */
	allowed(d, ({ int ttl = 5;
		      sys(setsockopt(socket(AF_INET, SOCK_DGRAM, 0), IPPROTO_IP, IP_TTL, &ttl,
				     sizeof(ttl))); }));
}

TEST_F(kinds, source_route_of_one_message_is_refused)
{
	struct krepis_domain *d = domain("net");

	allowed(NULL, send_routed());
	/* The kernel asks for net_raw, with which packets go past the rules anyway. */
	refused(EPERM, d, send_routed());
	allowed(d, udp("127.0.0.1", PORT));
}

/* A message to 0.0.0.0 goes where it says that it comes from. */
TEST_F(kinds, source_of_one_message_is_no_other_destination)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	refused(EACCES, d, send_as("127.0.0.1"));
	refused(EACCES, d, send_as("127.0.0.2"));
	allowed(domain("net *:4000"), send_as("127.0.0.1"));
}

/* Segment routing, with one segment left: fd00::2 and then fd00::1 */
static int set_header(int option)
{
	unsigned char header[40] = { 0, 4, 4, 1, 1 };

	inet_pton(AF_INET6, "fd00::1", header + 8);
	inet_pton(AF_INET6, "fd00::2", header + 24);
	return sys(setsockopt(socket(AF_INET6, SOCK_DGRAM, 0), IPPROTO_IPV6, option, header,
			      sizeof(header)));
}

TEST_F(kinds, routing_header_is_refused)
{
	struct krepis_domain *d = domain("net", "sys net_raw", "sys net_admin");

	EXPECT_NE(-EPERM, in_domain(NULL, set_header(IPV6_RTHDR)));
	refused(EPERM, d, set_header(IPV6_RTHDR));
	refused(EPERM, d, set_header(5 /* IPV6_2292RTHDR */));
}

/* ------------------------------------------------------------------------- io_uring */

static int ring_socket(const struct kind *k)
{
	return by_ring(socket, k->family, k->type, k->protocol, 0);
}

TEST_F(kinds, ring_makes_no_other_sockets)
{
	struct krepis_domain *d = domain("net");
	const struct kind packet = { AF_PACKET, SOCK_RAW, 0 }, tcp = { AF_INET, SOCK_STREAM, 0 };

	allowed(NULL, ring_socket(&packet));
	refused(EACCES, d, ring_socket(&packet));
	allowed(d, ring_socket(&tcp));
}

static int ring_connect(const char *host, int port)
{
	struct address a = address_of(host, port);

	return by_ring(connect, socket(a.sa.sa_family, SOCK_STREAM, 0), &a.sa, a.len);
}

TEST_F(kinds, ring_connects_nowhere_else)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	allowed(d, ring_connect("127.0.0.1", PORT));
	refused(EACCES, d, ring_connect("127.0.0.1", OTHER_PORT));
	refused(EACCES, d, ring_connect("::1", PORT));
}

static int ring_send(int port)
{
	struct address a = address_of("127.0.0.1", port);
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &a.sa, .msg_namelen = a.len, .msg_iov = &iov, .msg_iovlen = 1,
	};

	return by_ring(sendmsg, socket(AF_INET, SOCK_DGRAM, 0), &msg, 0);
}

TEST_F(kinds, ring_sends_nowhere_else)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	allowed(d, ring_send(PORT));
	refused(EACCES, d, ring_send(OTHER_PORT));
}

/* Since Linux 6.11: IORING_OP_BIND, IORING_OP_LISTEN. */
static void io_uring_prep_new(struct io_uring_sqe *sqe, int op, int fd, const void *address,
			      unsigned int len, unsigned int off)
{
	io_uring_prep_rw(op, sqe, fd, address, len, off);
}

static int ring_bind(int port)
{
	struct address a = address_of("127.0.0.1", port);

	return by_ring(new, 56, socket(AF_INET, SOCK_STREAM, 0), &a.sa, 0, a.len);
}

static int ring_listen(void)
{
	return by_ring(new, 57, socket(AF_INET, SOCK_STREAM, 0), NULL, 1, 0);
}

TEST_F(kinds, ring_binds_nothing_else)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:4100");

	if (kernel_release() < 6011)
		SKIP(return, "io_uring binds since Linux 6.11");
	allowed(d, ring_bind(4100));
	refused(EACCES, d, ring_bind(4101));
	refused(EACCES, d, ring_listen());
	allowed(domain("net bind:*"), ring_listen());
}

static int connect_on(struct io_uring *ring, int port, unsigned int flags)
{
	struct address a = address_of("127.0.0.1", port);
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_connect(sqe, socket(AF_INET, SOCK_STREAM, 0), &a.sa, a.len);
	sqe->flags |= flags;
	return ring_result(ring);
}

/* By the caller, or by another thread of the ring. */
TEST_F(kinds, ring_of_before_connects_nowhere_else)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");
	struct io_uring ring[4];
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, io_uring_queue_init(4, &ring[i], 0));
	allowed(d, connect_on(&ring[0], PORT, 0));
	refused(EACCES, d, connect_on(&ring[1], OTHER_PORT, 0));
	allowed(d, connect_on(&ring[2], PORT, IOSQE_ASYNC));
	refused(EACCES, d, connect_on(&ring[3], OTHER_PORT, IOSQE_ASYNC));
}

TEST_HARNESS_MAIN
