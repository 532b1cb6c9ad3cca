// SPDX-License-Identifier: MIT
/*
 * Whom a domain may connect and send to: hosts, networks and ports, of both families, and
 * every way to write an address.
 */
#include <kselftest_harness.h>
#include "net.h"

FIXTURE(net)
{
	struct servers servers;
};

FIXTURE_SETUP(net)
{
	ASSERT_EQ(0, servers_make(&self->servers));
}

FIXTURE_TEARDOWN(net)
{
	domains_end();
}

/* --------------------------------------------------------------- hosts and ports */

TEST_F(net, without_a_rule_there_are_sockets_but_nobody_to_talk_to)
{
	struct krepis_domain *none = domain(NULL), *all = domain("net");

	allowed(none, sys(socket(AF_INET, SOCK_STREAM, 0)));
	allowed(none, sys(socket(AF_INET6, SOCK_DGRAM, 0)));
	refused(EACCES, none, tcp("127.0.0.1", PORT));
	refused(EACCES, none, tcp("::1", PORT));
	refused(EACCES, none, udp("127.0.0.1", PORT));
	refused(EACCES, none, udp("::1", PORT));
	allowed(all, tcp("127.0.0.1", PORT));
	allowed(all, tcp("::1", PORT));
	allowed(all, udp("127.0.0.1", PORT));
	allowed(all, udp("::1", PORT));
}

TEST_F(net, rule_is_for_its_host_and_port)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");

	allowed(d, tcp("127.0.0.1", PORT));
	refused(EACCES, d, tcp("127.0.0.1", OTHER_PORT));
	refused(EACCES, d, tcp("127.0.0.2", PORT));
	allowed(d, udp("127.0.0.1", PORT));
	refused(EACCES, d, udp("127.0.0.1", OTHER_PORT));
	refused(EACCES, d, udp("127.0.0.2", PORT));
}

TEST_F(net, rule_without_a_port_is_for_all_ports)
{
	struct krepis_domain *d = domain("net 127.0.0.1");

	allowed(d, tcp("127.0.0.1", PORT));
	allowed(d, tcp("127.0.0.1", OTHER_PORT));
	refused(EACCES, d, tcp("127.0.0.2", PORT));
}

TEST_F(net, rule_for_a_port_is_for_all_hosts)
{
	struct krepis_domain *star = domain("net *:4000"), *bare = domain("net :4000");

	allowed(star, tcp("127.0.0.1", PORT));
	allowed(star, tcp("fd00::1", PORT));
	refused(EACCES, star, tcp("127.0.0.1", OTHER_PORT));
	refused(EACCES, star, tcp("fd00::1", OTHER_PORT));
	allowed(bare, tcp("127.0.0.1", PORT));
	allowed(bare, tcp("fd00::1", PORT));
	refused(EACCES, bare, tcp("127.0.0.1", OTHER_PORT));
}

TEST_F(net, rule_for_a_network_is_for_its_addresses)
{
	struct krepis_domain *d = domain("net 127.1.0.0/16:4000", "net [fd00::]/112:4000");

	allowed(d, tcp("127.1.0.0", PORT));
	allowed(d, tcp("127.1.2.3", PORT));
	refused(EACCES, d, tcp("127.1.2.3", OTHER_PORT));
	refused(EACCES, d, tcp("127.2.0.0", PORT));
	refused(EACCES, d, tcp("127.0.255.255", PORT));
	allowed(d, tcp("fd00::1", PORT));
	refused(EACCES, d, tcp("fd00::1", OTHER_PORT));
	refused(EACCES, d, tcp("fd00::1:1", PORT));
}

TEST_F(net, rule_for_a_name_is_for_what_it_means)
{
	struct krepis_domain *d = domain("net localhost:4000");

	allowed(d, tcp("127.0.0.1", PORT));
	refused(EACCES, d, tcp("127.0.0.1", OTHER_PORT));
	refused(EACCES, d, tcp("127.0.0.2", PORT));
}

TEST_F(net, rule_to_bind_is_none_to_connect)
{
	struct krepis_domain *d = domain("net bind:127.0.0.1:4000");

	refused(EACCES, d, tcp("127.0.0.1", PORT));
	refused(EACCES, d, udp("127.0.0.1", PORT));
	allowed(domain("net 127.0.0.1:4000"), tcp("127.0.0.1", PORT));
}

/* ---------------------------------------------------------------------- denying */

TEST_F(net, denied_part_of_an_allowed_network_is_refused)
{
	struct krepis_domain *d = domain("net 127.1.0.0/16", "deny net 127.1.2.0/24");

	allowed(d, tcp("127.1.1.3", PORT));
	refused(EACCES, d, tcp("127.1.2.3", PORT));
}

TEST_F(net, allowed_part_of_a_denied_network_is_refused)
{
	struct krepis_domain *d = domain("net 127.1.2.3", "deny net 127.1.0.0/16");

	refused(EACCES, d, tcp("127.1.2.3", PORT));
	allowed(domain("net 127.1.2.3", "deny net 127.2.0.0/16"), tcp("127.1.2.3", PORT));
}

TEST_F(net, denied_port_is_refused_whatever_is_allowed_of_the_host)
{
	struct krepis_domain *d = domain("net", "net 127.0.0.1", "net 127.0.0.1:4001",
					 "deny net *:4001");

	allowed(d, tcp("127.0.0.1", PORT));
	refused(EACCES, d, tcp("127.0.0.1", OTHER_PORT));
	refused(EACCES, d, tcp("fd00::1", OTHER_PORT));
}

TEST_F(net, denied_host_is_refused_whatever_is_allowed_of_the_port)
{
	struct krepis_domain *d = domain("net *:4000", "net 127.0.0.2:4000", "deny net 127.0.0.2");

	allowed(d, tcp("127.0.0.1", PORT));
	refused(EACCES, d, tcp("127.0.0.2", PORT));
}

TEST_F(net, denied_port_of_one_host_leaves_the_others)
{
	struct krepis_domain *d = domain("net 127.0.0.0/8", "deny net 127.1.2.3:4001");

	allowed(d, tcp("127.1.2.3", PORT));
	refused(EACCES, d, tcp("127.1.2.3", OTHER_PORT));
	allowed(d, tcp("127.1.2.4", OTHER_PORT));
}

TEST_F(net, denying_all_leaves_nothing)
{
	refused(EACCES, domain("net", "net 127.0.0.1:4000", "deny net"), tcp("127.0.0.1", PORT));
	allowed(domain("net", "net 127.0.0.1:4000"), tcp("127.0.0.1", PORT));
}

/* Networks that contain each other, with and without ports, in any order. */
#define RULES	6

struct rule {
	bool deny;
	uint32_t address;
	int prefix, port;
};

static bool matches(const struct rule *r, uint32_t address, int port)
{
	return !((r->address ^ address) >> (32 - r->prefix)) && (!r->port || r->port == port);
}

static bool is_allowed(const struct rule *rules, uint32_t address, int port)
{
	bool yes = false;
	int i;

	for (i = 0; i < RULES; i++) {
		if (matches(&rules[i], address, port) && rules[i].deny)
			return false;
		yes |= matches(&rules[i], address, port);
	}
	return yes;
}

static uint32_t few_addresses(unsigned int *seed)
{
	return 127U << 24 | (rand_r(seed) % 2) << 16 | (rand_r(seed) % 2) << 8 | rand_r(seed) % 4;
}

/* Return: 0 if all is as the rules say, or a destination that is not, as a negative number. */
static int as_the_rules_say(const struct rule *rules, unsigned int seed)
{
	char host[INET_ADDRSTRLEN];
	uint32_t address, order;
	int i, port, err;

	for (i = 0; i < 200; i++) {
		address = few_addresses(&seed);
		order = htonl(address);
		port = PORT + rand_r(&seed) % 3;
		inet_ntop(AF_INET, &order, host, sizeof(host));
		err = udp_connect(host, port);
		if (err != (is_allowed(rules, address, port) ? 0 : -EACCES)) {
			fprintf(stderr, "# %s:%d gives %d\n", host, port, err);
			return -(int)(address & 0xffffff) - 1;
		}
	}
	return 0;
}

TEST_F(net, rules_add_up_as_sentences_do)
{
	const int prefixes[] = { 8, 15, 16, 24, 30, 31, 32 };
	char text[RULES][64];
	struct rule rules[RULES];
	unsigned int seed;
	int i;

	for (seed = 1; seed <= 12; seed++) {
		unsigned int state = seed;

		for (i = 0; i < RULES; i++) {
			rules[i] = (struct rule) {
				.deny = !(rand_r(&state) % 3),
				.prefix = prefixes[rand_r(&state) % 7],
				.port = rand_r(&state) % 2 ? 0 : PORT + (int)(rand_r(&state) % 2),
			};
			rules[i].address = few_addresses(&state) & ~0U << (32 - rules[i].prefix);
			snprintf(text[i], sizeof(text[i]), "%snet 127.%u.%u.%u/%d%s",
				 rules[i].deny ? "deny " : "", rules[i].address >> 16 & 255,
				 rules[i].address >> 8 & 255, rules[i].address & 255,
				 rules[i].prefix, rules[i].port == PORT ? ":4000" :
				 rules[i].port ? ":4001" : "");
		}
		EXPECT_EQ(0, in_domain(domain(text[0], text[1], text[2], text[3], text[4], text[5]),
				       as_the_rules_say(rules, seed)))
			TH_LOG("of: %s, %s, %s, %s, %s, %s", text[0], text[1], text[2], text[3],
			       text[4], text[5]);
	}
}

/* ------------------------------------------------------------------------- IPv6 */

TEST_F(net, families_are_apart)
{
	struct krepis_domain *v4 = domain("net 127.0.0.0/8"), *v6 = domain("net [::1]:4000");

	allowed(v4, tcp("127.0.0.1", PORT));
	refused(EACCES, v4, tcp("::1", PORT));
	allowed(v6, tcp("::1", PORT));
	refused(EACCES, v6, tcp("::1", OTHER_PORT));
	refused(EACCES, v6, tcp("fd00::1", PORT));
	refused(EACCES, v6, tcp("127.0.0.1", PORT));
}

TEST_F(net, network_of_ipv6_is_none_of_ipv4)
{
	struct krepis_domain *d = domain("net [8000::]/1");

	allowed(d, tcp("fd00::1", PORT));
	refused(EACCES, d, tcp("127.0.0.1", PORT));
}

TEST_F(net, mapped_address_is_the_one_of_ipv4)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");
	struct krepis_domain *mapped = domain("net [::ffff:127.0.0.1]:4000");

	allowed(d, tcp("::ffff:127.0.0.1", PORT));
	refused(EACCES, d, tcp("::ffff:127.0.0.2", PORT));
	refused(EACCES, d, udp("::ffff:127.0.0.1", OTHER_PORT));
	allowed(d, udp("::ffff:127.0.0.1", PORT));
	allowed(mapped, tcp("127.0.0.1", PORT));
	refused(EACCES, mapped, tcp("127.0.0.2", PORT));
}

TEST_F(net, mapped_address_of_a_denied_one_is_denied)
{
	struct krepis_domain *d = domain("net", "deny net 127.0.0.1");

	refused(EACCES, d, tcp("::ffff:127.0.0.1", PORT));
	refused(EACCES, d, udp("::ffff:127.0.0.1", PORT));
	allowed(d, tcp("::ffff:127.0.0.2", PORT));
	allowed(d, tcp("::1", PORT));
}

/* Without the scope, as an old program has it. */
static int tcp_by_24_bytes(const char *host)
{
	struct address a = address_of(host, PORT);

	a.len = 24;
	return to_address(SOCK_STREAM, 0, &a, connect);
}

TEST_F(net, address_without_a_scope_is_one)
{
	struct krepis_domain *d = domain("net [fd00::1]:4000");

	allowed(d, tcp_by_24_bytes("fd00::1"));
	refused(EACCES, d, tcp_by_24_bytes("fd00::2"));
}

/* An IPv6 socket takes them, too. */
static int ipv4_by_ipv6(const char *host, bool by_connect)
{
	struct address a = address_of(host, PORT);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	return by_connect ? sys(connect(fd, &a.sa, a.len)) : send_with(fd, &a, 0);
}

TEST_F(net, address_of_ipv4_counts_on_a_socket_of_ipv6)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000", "net [8000::]/1");

	allowed(d, ipv4_by_ipv6("127.0.0.1", true));
	refused(EACCES, d, ipv4_by_ipv6("127.0.0.2", true));
	allowed(d, ipv4_by_ipv6("127.0.0.1", false));
	refused(EACCES, d, ipv4_by_ipv6("127.0.0.2", false));
}

/* --------------------------------------------------------- the unspecified address */

TEST_F(net, destination_0_0_0_0_is_127_0_0_1)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000");
	struct krepis_domain *other = domain("net 127.0.0.2:4000");

	allowed(d, tcp("0.0.0.0", PORT));
	allowed(d, udp("0.0.0.0", PORT));
	refused(EACCES, d, tcp("0.0.0.0", OTHER_PORT));
	refused(EACCES, other, tcp("0.0.0.0", PORT));
	refused(EACCES, other, udp("0.0.0.0", PORT));
	allowed(d, tcp("::ffff:0.0.0.0", PORT));
	allowed(d, udp("::ffff:0.0.0.0", PORT));
	refused(EACCES, other, tcp("::ffff:0.0.0.0", PORT));
	refused(EACCES, other, udp("::ffff:0.0.0.0", PORT));
}

TEST_F(net, destination_of_nothing_but_zeros_is_the_loopback_of_ipv6)
{
	struct krepis_domain *d = domain("net [::1]:4000"), *other = domain("net [fd00::1]:4000");

	allowed(d, tcp("::", PORT));
	allowed(d, udp("::", PORT));
	refused(EACCES, d, tcp("::", OTHER_PORT));
	refused(EACCES, other, tcp("::", PORT));
	refused(EACCES, other, udp("::", PORT));
}

TEST_F(net, unspecified_destination_does_not_go_around_what_is_denied)
{
	struct krepis_domain *v4 = domain("net", "deny net 127.0.0.1");
	struct krepis_domain *v6 = domain("net", "deny net [::1]");

	refused(EACCES, v4, tcp("0.0.0.0", PORT));
	refused(EACCES, v4, udp("0.0.0.0", PORT));
	refused(EACCES, v4, tcp("::ffff:0.0.0.0", PORT));
	allowed(v4, tcp("::", PORT));
	refused(EACCES, v6, tcp("::", PORT));
	refused(EACCES, v6, udp("::", PORT));
	allowed(v6, tcp("0.0.0.0", PORT));
}

/* Of a socket that has an address, the kernel takes that one instead, or its family's. */
static int from_to(int type, const char *from, const char *to)
{
	struct address a = address_of(from, 0), b = address_of(to, PORT);
	int fd = socket(a.sa.sa_family, type, 0);

	if (bind(fd, &a.sa, a.len))
		return -ENOTUNIQ;
	return type == SOCK_STREAM ? sys(connect(fd, &b.sa, b.len)) : send_with(fd, &b, 0);
}

/* It is the socket's own address, which the destination does not say. */
TEST_F(net, unspecified_destination_of_a_bound_socket_is_allowed_with_all_others)
{
	struct krepis_domain *d = domain("net 127.0.0.1:4000", "net bind:*");
	struct krepis_domain *v6 = domain("net [::1]:4000", "net bind:*");
	struct krepis_domain *all = domain("net *:4000", "net bind:*");

	refused(EACCES, d, from_to(SOCK_STREAM, "127.0.0.1", "0.0.0.0"));
	refused(EACCES, d, from_to(SOCK_STREAM, "127.0.0.2", "0.0.0.0"));
	refused(EACCES, d, from_to(SOCK_DGRAM, "127.0.0.2", "0.0.0.0"));
	refused(EACCES, v6, from_to(SOCK_STREAM, "::1", "::"));
	refused(EACCES, v6, from_to(SOCK_STREAM, "::ffff:127.0.0.1", "::"));
	refused(EACCES, v6, from_to(SOCK_DGRAM, "::ffff:127.0.0.1", "::"));
	allowed(all, from_to(SOCK_STREAM, "127.0.0.1", "0.0.0.0"));
	allowed(all, from_to(SOCK_STREAM, "::1", "::"));
}

TEST_HARNESS_MAIN
