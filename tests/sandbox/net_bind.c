// SPDX-License-Identifier: MIT
/*
 * Which addresses a domain may be: binding, listening, and the port that the kernel finds.
 */
#include <kselftest_harness.h>
#include "net.h"

FIXTURE(bind)
{
};

FIXTURE_SETUP(bind)
{
	ASSERT_EQ(0, net_make());
}

FIXTURE_TEARDOWN(bind)
{
	domains_end();
}

/* ---------------------------------------------------------------- hosts and ports */

TEST_F(bind, without_a_rule_nobody_is_anything)
{
	struct krepis_domain *none = domain(NULL), *all = domain("net");

	refused(EACCES, none, bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	refused(EACCES, none, bind_to(SOCK_DGRAM, "127.0.0.1", PORT));
	refused(EACCES, none, bind_to(SOCK_STREAM, "::1", PORT));
	refused(EACCES, none, bind_to(SOCK_DGRAM, "::1", PORT));
	allowed(all, bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	allowed(all, bind_to(SOCK_DGRAM, "127.0.0.1", PORT));
	allowed(all, bind_to(SOCK_STREAM, "::1", PORT));
	allowed(all, bind_to(SOCK_DGRAM, "::1", PORT));
}

TEST_F(bind, rule_is_for_its_host_and_port)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:4000", "net bind:[fd00::1]:4000");

	allowed(d, bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "127.0.0.1", OTHER_PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "127.0.0.2", PORT));
	allowed(d, bind_to(SOCK_DGRAM, "127.0.0.1", PORT));
	refused(EACCES, d, bind_to(SOCK_DGRAM, "127.0.0.1", OTHER_PORT));
	allowed(d, bind_to(SOCK_STREAM, "fd00::1", PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "fd00::2", PORT));
}

TEST_F(bind, rule_to_connect_is_none_to_bind)
{
	refused(EACCES, domain("net 127.0.0.1:4000"), bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	allowed(domain("net bind:127.0.0.1:4000"), bind_to(SOCK_STREAM, "127.0.0.1", PORT));
}

TEST_F(bind, denied_address_is_refused_whatever_is_allowed)
{
	struct krepis_domain *d = domain("net bind:*", "net bind:127.0.0.1:4000",
					 "deny net bind:127.0.0.1:4000");

	refused(EACCES, d, bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	allowed(d, bind_to(SOCK_STREAM, "127.0.0.1", OTHER_PORT));
	allowed(d, bind_to(SOCK_STREAM, "127.0.0.2", PORT));
}

TEST_F(bind, denying_to_connect_leaves_binding)
{
	struct krepis_domain *d = domain("net bind:*", "net *", "deny net 127.0.0.1");

	allowed(d, bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	refused(EACCES, d, udp_connect("127.0.0.1", PORT));
}

TEST_F(bind, mapped_address_is_the_one_of_ipv4)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:4000");

	allowed(d, bind_to(SOCK_STREAM, "::ffff:127.0.0.1", PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "::ffff:127.0.0.1", OTHER_PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "::ffff:127.0.0.2", PORT));
}

/* ------------------------------------------------------------------- all addresses */

TEST_F(bind, one_address_does_not_allow_all_of_them)
{
	struct krepis_domain *v4 = domain("net bind:127.0.0.1:4000");
	struct krepis_domain *v6 = domain("net bind:[::1]:4000"), *all = domain("net bind:*:4000");

	refused(EACCES, v4, bind_to(SOCK_STREAM, "0.0.0.0", PORT));
	refused(EACCES, v4, bind_to(SOCK_DGRAM, "0.0.0.0", PORT));
	refused(EACCES, v4, bind_to(SOCK_STREAM, "::ffff:0.0.0.0", PORT));
	refused(EACCES, v6, bind_to(SOCK_STREAM, "::", PORT));
	refused(EACCES, v6, bind_to(SOCK_DGRAM, "::", PORT));
	allowed(all, bind_to(SOCK_STREAM, "0.0.0.0", PORT));
	allowed(all, bind_to(SOCK_STREAM, "::ffff:0.0.0.0", PORT));
	allowed(all, bind_to(SOCK_STREAM, "::", PORT));
	refused(EACCES, all, bind_to(SOCK_STREAM, "0.0.0.0", OTHER_PORT));
}

TEST_F(bind, all_addresses_can_be_named)
{
	struct krepis_domain *d = domain("net bind:0.0.0.0:4000");

	allowed(d, bind_to(SOCK_STREAM, "0.0.0.0", PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "0.0.0.0", OTHER_PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "127.0.0.1", PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "::", PORT));
}

TEST_F(bind, all_addresses_contain_a_denied_one)
{
	struct krepis_domain *d = domain("net bind:*:4000", "deny net bind:127.0.0.1:4000");

	refused(EACCES, d, bind_to(SOCK_STREAM, "0.0.0.0", PORT));
	refused(EACCES, d, bind_to(SOCK_STREAM, "::", PORT));
	allowed(d, bind_to(SOCK_STREAM, "127.0.0.2", PORT));
}

static int bind_unspecified(const char *host, int port)
{
	struct address a = address_of(host, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sa.sa_family = AF_UNSPEC;
	return sys(bind(fd, &a.sa, a.len));
}

/* The kernel takes it for 0.0.0.0, and no other address. */
TEST_F(bind, address_without_a_family_is_one_of_ipv4)
{
	struct krepis_domain *all = domain("net bind:0.0.0.0:4000");

	allowed(all, bind_unspecified("0.0.0.0", PORT));
	refused(EACCES, all, bind_unspecified("0.0.0.0", OTHER_PORT));
	refused(EACCES, domain("net bind:127.0.0.1:4000"), bind_unspecified("0.0.0.0", PORT));
}

/* ------------------------------------------------------------------- any free port */

TEST_F(bind, port_of_the_kernels_choice_needs_all_ports)
{
	struct krepis_domain *one = domain("net bind:127.0.0.1:4000");
	struct krepis_domain *ports = domain("net bind:127.0.0.1");

	refused(EACCES, one, bind_to(SOCK_STREAM, "127.0.0.1", 0));
	refused(EACCES, one, bind_to(SOCK_DGRAM, "127.0.0.1", 0));
	allowed(ports, bind_to(SOCK_STREAM, "127.0.0.1", 0));
	allowed(ports, bind_to(SOCK_DGRAM, "127.0.0.1", 0));
	refused(EACCES, ports, bind_to(SOCK_STREAM, "127.0.0.2", 0));
	refused(EACCES, ports, bind_to(SOCK_STREAM, "0.0.0.0", 0));
}

static int listen_unbound(int family, int protocol)
{
	return sys(listen(socket(family, SOCK_STREAM, protocol), 1));
}

TEST_F(bind, listening_without_an_address_is_at_all_of_them)
{
	struct krepis_domain *v4 = domain("net bind:127.0.0.1"), *all = domain("net bind:*");
	struct krepis_domain *port = domain("net bind:*:4000");

	refused(EACCES, domain(NULL), listen_unbound(AF_INET, 0));
	refused(EACCES, v4, listen_unbound(AF_INET, 0));
	refused(EACCES, v4, listen_unbound(AF_INET6, 0));
	refused(EACCES, port, listen_unbound(AF_INET, 0));
	allowed(all, listen_unbound(AF_INET, 0));
	allowed(all, listen_unbound(AF_INET6, 0));
}

/* It has an address, but only until something is connected to it. */
static int listen_after_a_lost_connection(void)
{
	struct address a = address_of("127.0.0.1", PORT);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, &a.sa, a.len) || connect(fd, &none, sizeof(none)))
		return -ENOTUNIQ;
	return sys(listen(fd, 1));
}

TEST_F(bind, connecting_first_is_no_way_to_listen)
{
	ASSERT_LE(0, serve_at(SOCK_STREAM, 0, PORT));
	refused(EACCES, domain("net 127.0.0.1:4000"), listen_after_a_lost_connection());
	allowed(domain("net 127.0.0.1:4000", "net bind:*"), listen_after_a_lost_connection());
}

static int serve(const char *host)
{
	struct address a = address_of(host, PORT);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

	if (bind(fd, &a.sa, a.len) || listen(fd, 1))
		return -errno;
	return 0;
}

TEST_F(bind, who_is_bound_may_listen)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:4000");

	allowed(d, serve("127.0.0.1"));
	refused(EACCES, d, serve("127.0.0.2"));
}

TEST_F(bind, socket_bound_before_listens)
{
	struct address a = address_of("127.0.0.1", PORT);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ASSERT_EQ(0, bind(fd, &a.sa, a.len));
	allowed(domain(NULL), sys(listen(fd, 1)));
	refused(EACCES, domain(NULL), listen_unbound(AF_INET, 0));
}

/* ------------------------------------------------------------------------- the rest */

/* Which root has, but a policy can deny. */
TEST_F(bind, privileged_port_needs_its_capability_as_well)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:80");
	struct krepis_domain *less = domain("net bind:127.0.0.1:80", "deny sys net_bind_service");

	allowed(d, bind_to(SOCK_STREAM, "127.0.0.1", 80));
	refused(EACCES, less, bind_to(SOCK_STREAM, "127.0.0.1", 80));
	refused(EACCES, domain("sys net_bind_service"), bind_to(SOCK_STREAM, "127.0.0.1", 80));
}

static int multipath(const char *host, int port,
		     int (*call)(int, const struct sockaddr *, socklen_t))
{
	struct address a = address_of(host, port);

	return to_address(SOCK_STREAM, IPPROTO_MPTCP, &a, call);
}

TEST_F(bind, multipath_tcp_is_bound_as_tcp_is)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:4000");

	allowed(d, multipath("127.0.0.1", PORT, bind));
	refused(EACCES, d, multipath("127.0.0.1", OTHER_PORT, bind));
	refused(EACCES, d, multipath("0.0.0.0", PORT, bind));
	refused(EACCES, d, listen_unbound(AF_INET, IPPROTO_MPTCP));
	allowed(domain("net bind:*"), listen_unbound(AF_INET, IPPROTO_MPTCP));
}

TEST_F(bind, multipath_tcp_connects_as_tcp_does)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000", "net [::1]:4000");

	ASSERT_LE(0, serve_at(SOCK_STREAM, IPPROTO_MPTCP, PORT));
	ASSERT_LE(0, serve_at(SOCK_STREAM, IPPROTO_MPTCP, OTHER_PORT));
	allowed(d, multipath("127.0.0.1", PORT, connect));
	refused(EACCES, d, multipath("127.0.0.1", OTHER_PORT, connect));
	refused(EACCES, d, multipath("127.0.0.2", PORT, connect));
	allowed(d, multipath("::1", PORT, connect));
	refused(EACCES, d, multipath("::ffff:127.0.0.1", OTHER_PORT, connect));
}

static int multipath_fast_open(int port)
{
	struct address a = address_of("127.0.0.1", port);

	return send_with(socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), &a, MSG_FASTOPEN);
}

/* Linux before 6.2 does not know it. */
TEST_F(bind, multipath_tcp_opens_nothing_by_sending)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	ASSERT_LE(0, serve_at(SOCK_STREAM, IPPROTO_MPTCP, PORT));
	ASSERT_LE(0, serve_at(SOCK_STREAM, IPPROTO_MPTCP, OTHER_PORT));
	EXPECT_EQ(in_domain(NULL, multipath_fast_open(PORT)),
		  in_domain(d, multipath_fast_open(PORT)));
	refused(EACCES, d, multipath_fast_open(OTHER_PORT));
}

TEST_HARNESS_MAIN
