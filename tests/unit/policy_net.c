// SPDX-License-Identifier: MIT
/*
 * Addresses in policies: how they are written, what they mean, what is none.
 */
#include <arpa/inet.h>
#include <string.h>
#include "policy.h"

#define A10	"aaaaaaaaaa"
#define LABEL	A10 A10 A10 A10 A10 A10 "aaa"	/* the longest */
#define LABELS	LABEL "." LABEL "." LABEL "."
#define LAST	A10 A10 A10 A10 A10 A10 "a"	/* what these leave of the 253 bytes of a name */

static void addresses_are_stored_in_one_form(void **state)
{
	static const struct form forms[] = {
		{ "*", "*" }, { "*:*", "*" }, { ":*", "*" },
		{ ":80", "*:80" }, { "*:80", "*:80" }, { ":1", "*:1" }, { ":65535", "*:65535" },
		{ ":0080", "*:80" },
		{ "example.com", "example.com" }, { "Example.COM:443", "example.com:443" },
		{ "example.com:*", "example.com" }, { "example.com.", "example.com." },
		{ "_a-b._c9", "_a-b._c9" }, { "1a", "1a" }, { "1.2.3.4a", "1.2.3.4a" },
		{ "binder:80", "binder:80" }, { "bind", "bind" }, { "a.0xg", "a.0xg" },
		{ LABEL, LABEL }, { LABELS LAST, LABELS LAST },
		{ LABELS LAST ".", LABELS LAST "." },
		{ "10.1.2.3", "10.1.2.3" }, { "10.1.2.3:80", "10.1.2.3:80" },
		{ "10.1.2.3/32", "10.1.2.3" }, { "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.0.0.0/8:*", "10.0.0.0/8" }, { "10.0.0.0/8:80", "10.0.0.0/8:80" },
		{ "0.0.0.0/0", "0.0.0.0/0" }, { "10.1.2.2/31", "10.1.2.2/31" },
		{ "::1", "[::1]" }, { "[::1]", "[::1]" }, { "[::1]:80", "[::1]:80" },
		{ "[::1/128]", "[::1]" }, { "[FD00::]/8", "[fd00::]/8" },
		{ "[fd00::/8]", "[fd00::]/8" }, { "[fd00::/8]:80", "[fd00::]/8:80" },
		{ "[fd00::]/8:80", "[fd00::]/8:80" }, { "fd00::/8", "[fd00::]/8" },
		{ "::", "[::]" }, { "[2000:0:0::]/3", "[2000::]/3" },
		{ "[fe80::]/10:*", "[fe80::]/10" }, { "[2001:db8::]/33", "[2001:db8::]/33" },
		{ "::ffff:1.2.3.4", "1.2.3.4" }, { "[::ffff:1.2.3.0/120]:80", "1.2.3.0/24:80" },
		{ "[::ffff:0:0]/96", "0.0.0.0/0" }, { "[::]/97", "[::]/97" },
		{ "bind:*", "bind:*" }, { "bind::80", "bind:*:80" },
		{ "bind:127.0.0.1:80", "bind:127.0.0.1:80" }, { "bind:::1", "bind:[::1]" },
		{ "bind:[::]:80", "bind:[::]:80" }, { "bind:localhost", "bind:localhost" },
		{ "Bind:a:80", "bind:a:80" }, { "BIND::80", "bind:*:80" },
		{ "bind:Bind:80", "bind:bind:80" },
	};

	(void)state;
	STORED_AS(KREPIS_NET, forms);
}

static void what_is_no_port_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ ":0", "port 0, which is none: leave it out, or type :*" },
		{ "a:0", "port 0" }, { "*:0", "port 0" }, { "[::1]:0", "port 0" },
		{ "10.0.0.0/8:0", "port 0" }, { "bind::00", "port 0" },
		{ ":65536", "1 to 65535" }, { ":", "1 to 65535" }, { "a:", "1 to 65535" },
		{ ":http", "1 to 65535" }, { ":-1", "1 to 65535" }, { ":+1", "1 to 65535" },
		{ ": 80", "1 to 65535" }, { ":80 ", "1 to 65535" }, { ":0x50", "1 to 65535" },
		{ ":000080", "1 to 65535" }, { ":99999999999999999999", "1 to 65535" },
		{ "[::1]:", "1 to 65535" }, { ":80-90", "1 to 65535" }, { ":**", "1 to 65535" },
		{ "http://a", "1 to 65535" },
	};

	(void)state;
	ALL_REFUSED(KREPIS_NET, refusals);
}

static void bits_beyond_the_prefix_are_refused_with_the_network_meant(void **state)
{
	static const struct refusal refusals[] = {
		{ "10.1.2.3/8", "10.1.2.3/8 has bits beyond its prefix: did you mean 10.0.0.0/8?" },
		{ "10.1.2.3/31:80", "did you mean 10.1.2.2/31:80?" },
		{ "1.2.3.4/0", "did you mean 0.0.0.0/0?" },
		{ "bind:10.1.2.3/8:80", "did you mean bind:10.0.0.0/8:80?" },
		{ "[fd00::1]/8", "did you mean [fd00::]/8?" },
		{ "[fd00::1/127]:80", "did you mean [fd00::]/127:80?" },
		{ "fdff::/9", "did you mean [fd80::]/9?" },
		{ "[::ffff:1.2.3.4]/104", "did you mean 1.0.0.0/8?" },
	};

	(void)state;
	ALL_REFUSED(KREPIS_NET, refusals);
}

static void what_is_no_prefix_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ "10.0.0.0/33", "0 to 32 for IPv4" }, { "10.0.0.0/", "0 to 32" },
		{ "10.0.0.0/255.0.0.0", "0 to 32" }, { "10.0.0.0/-1", "0 to 32" },
		{ "10.0.0.0/8/8", "0 to 32" }, { "[fd00::]/129", "0 to 128 for IPv6" },
		{ "[fd00::]/", "0 to 128" }, { "[fd00::/]", "0 to 128" },
		{ "[fd00::/8]/8", "two prefixes" }, { "fd00::/8:80", "0 to 128" },
		{ "a/8", "a name with a prefix" }, { "*/8", "prefix after the *" },
		{ "/8", "no address or host name" }, { "/8:80", "no address or host name" },
	};

	(void)state;
	ALL_REFUSED(KREPIS_NET, refusals);
}

/* To the kernel they are addresses of IPv6, ::ffff:a.b.c.d: nobody means them with these. */
static void a_network_of_ipv6_that_contains_all_of_ipv4_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ "[::]/0", "contains all IPv4 addresses" }, { "::/0", "type *" },
		{ "[::]/80", "contains all IPv4" }, { "[::1]/80", "contains all IPv4" },
		{ "[::ffff:0:0]/95", "contains all IPv4" },
	};

	(void)state;
	ALL_REFUSED(KREPIS_NET, refusals);
	assert_string_equal(stored(true, KREPIS_NET, "[8000::]/1"), "[8000::]/1");
	assert_string_equal(stored(true, KREPIS_NET, "[::]/81"), "[::]/81");
}

static void what_is_no_host_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ "", "names nothing: type *" }, { "bind:", "type bind:*" },
		{ "8080", "did you mean :8080?" }, { "bind:8080", "did you mean bind:8080?" },
		{ "8080:80", "all four numbers" }, { "10/8", "all four numbers" },
		{ "10.0.0", "all four numbers" }, { "1.2.3.4.5", "all four numbers" },
		{ "256.0.0.1", "all four numbers" }, { "01.2.3.4", "all four numbers" },
		{ "0x7f000001", "all four numbers" }, { "0x7F.0x", "all four numbers" },
		{ "127.1", "all four numbers" }, { "a.1", "all four numbers" },
		{ ".", "no address or host name" }, { ".a", "no address or host name" },
		{ "a..b", "no address or host name" }, { "a..", "no address or host name" },
		{ "-a", "no address or host name" }, { "a-", "no address or host name" },
		{ "a.-b", "no address or host name" }, { "a b", "no address or host name" },
		{ "*.a", "no address or host name" }, { "**", "no address or host name" },
		{ "\xc3\xa9", "no address or host name" }, { "a@b", "no address or host name" },
		{ LABEL "a", "no address or host name" },
		{ LABELS LAST "a", "no address or host name" },
		{ LABELS LABEL "." LABEL LABEL, "is too long" },
		{ "a:80:90", "is no IPv6 address" }, { ":::1", "is no IPv6 address" },
		{ "1:2:3:4:5:6:7:8:9", "is no IPv6 address" }, { "[]", "is no IPv6 address" },
		{ "[a]", "is no IPv6 address" }, { "[*]:80", "is no IPv6 address" },
		{ "[::1", "lacks a ]" }, { "[::1]80", "goes on after the ]" },
		{ "[::1]]", "goes on after the ]" }, { "[fd00::/8]a", "goes on after the ]" },
		{ "[::1]/128a:80", "no good prefix" },
		{ "[127.0.0.1]:80", "brackets, which are for IPv6" },
		{ "[fe80::1%eth0]:80", "names an interface" },
		{ "fe80::1%1", "names an interface" },
	};

	(void)state;
	ALL_REFUSED(KREPIS_NET, refusals);
}

static struct policy_net net_of(const char *object)
{
	struct policy_net net;

	assert_ok(krepis_policy_parse_net(object, &net, NULL, 0));
	return net;
}

static void any_host_has_no_address(void **state)
{
	static const uint8_t zero[16];
	struct policy_net net = net_of("bind:*:80");

	(void)state;
	assert_true(net.bind && net.any_host);
	assert_string_equal(net.host, "");
	assert_memory_equal(net.address, zero, 16);
	assert_int_equal(net.bits, 0);
	assert_int_equal(net.port, 80);
	assert_false(net_of("*").bind);
	assert_int_equal(net_of("*").port, 0);
}

static void a_name_is_no_address(void **state)
{
	struct policy_net net = net_of("Example.com:443");

	(void)state;
	assert_false(net.bind || net.any_host);
	assert_string_equal(net.host, "example.com");
	assert_int_equal(net.bits, 128);
	assert_int_equal(net.port, 443);
}

static void an_address_of_ipv4_is_mapped(void **state)
{
	static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 10, 1, 2, 0 };
	struct policy_net net = net_of("10.1.2.0/24");

	(void)state;
	assert_false(net.bind || net.any_host);
	assert_string_equal(net.host, "");
	assert_memory_equal(net.address, mapped, 16);
	assert_int_equal(net.bits, 120);
	assert_int_equal(net_of("10.1.2.0").bits, 128);
	assert_int_equal(net_of("0.0.0.0/0").bits, 96);
}

static void an_address_of_ipv6_is_itself(void **state)
{
	struct policy_net net = net_of("bind:[2001:db8::]/33:65535");
	uint8_t address[16];

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::", address), 1);
	assert_true(net.bind);
	assert_memory_equal(net.address, address, 16);
	assert_int_equal(net.bits, 33);
	assert_int_equal(net.port, 65535);
	assert_int_equal(net_of("::1").bits, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(addresses_are_stored_in_one_form),
		CLAIM(what_is_no_port_is_refused),
		CLAIM(bits_beyond_the_prefix_are_refused_with_the_network_meant),
		CLAIM(what_is_no_prefix_is_refused),
		CLAIM(a_network_of_ipv6_that_contains_all_of_ipv4_is_refused),
		CLAIM(what_is_no_host_is_refused),
		CLAIM(any_host_has_no_address),
		CLAIM(a_name_is_no_address),
		CLAIM(an_address_of_ipv4_is_mapped),
		CLAIM(an_address_of_ipv6_is_itself),
	};

	return RUN("policy_net", tests);
}
