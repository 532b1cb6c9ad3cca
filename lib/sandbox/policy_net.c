// SPDX-License-Identifier: MIT
/*
 * Addresses in policies: [bind:][HOST][:PORT].
 *
 * HOST is *, a name, an IPv4 address or network, or the same of IPv6 in brackets; these
 * may be left out where no port follows. An IPv4 address that is written as one of
 * IPv6 (::ffff:a.b.c.d) is the same address to the kernel, and so it is here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "policy.h"

#define refuse krepis_policy_refuse

#define NAME_MAX_BYTES	253	/* RFC 1035, section 2.3.4, as text */
#define LABEL_MAX_BYTES	63
#define IPV4_BITS	96	/* in front of an address in its mapped form */
#define DIGITS		"0123456789"
#define HEX		DIGITS "abcdefABCDEF"
#define LETTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };

/**
 * struct parts - an object, cut
 * @object:  whole
 * @text:    a copy of what follows bind:, into which the others point
 * @bits:    NULL: not there
 * @port:    NULL: not there
 * @bracket: the host stood in brackets
 * @v6:      it can be nothing but an IPv6 address
 */
struct parts {
	const char *object;
	char text[NAME_MAX_BYTES + 64];
	char *host;
	char *bits;
	char *port;
	bool bracket;
	bool v6;
	char *why;
	size_t size;
};

#define REFUSE(p, ...) refuse((p)->why, (p)->size, (p)->object, __VA_ARGS__)

/* ------------------------------------------------------------------------ cutting */

/* [ADDRESS], [ADDRESS/BITS] or [ADDRESS]/BITS, and maybe :PORT */
static int cut_bracket(struct parts *p)
{
	char *end = strchr(p->text, ']'), *inner;

	if (!end)
		return REFUSE(p, "lacks a ]: type [ADDRESS]:PORT");
	*end++ = 0;
	p->bracket = true;
	p->v6 = true;
	p->host = p->text + 1;
	inner = strchr(p->host, '/');
	if (inner) {
		*inner = 0;
		p->bits = inner + 1;
	}
	if (*end == '/' && inner)
		return REFUSE(p, "has two prefixes: type [ADDRESS]/BITS");
	if (*end == '/') {
		p->bits = end + 1;
		end += strcspn(end, ":");
	}
	if (*end && *end != ':')
		return REFUSE(p, "goes on after the ]: type [ADDRESS]:PORT or [ADDRESS]/BITS:PORT");
	if (*end) {
		*end = 0;
		p->port = end + 1;
	}
	return 0;
}

static int cut(struct parts *p)
{
	char *colon = strchr(p->text, ':'), *slash;

	if (*p->text == '[')
		return cut_bracket(p);
	p->host = p->text;
	p->v6 = colon && strchr(colon + 1, ':');
	if (colon && !p->v6) {
		*colon = 0;
		p->port = colon + 1;
	}
	slash = strchr(p->text, '/');
	if (slash) {
		*slash = 0;
		p->bits = slash + 1;
	}
	return 0;
}

/* -1: it is no number, or a larger one than @max. */
static long number(const char *text, long max)
{
	size_t len = strlen(text);
	long value;

	if (!len || len > 5 || strspn(text, DIGITS) != len)
		return -1;
	value = strtol(text, NULL, 10);
	return value > max ? -1 : value;
}

static int parse_port(const struct parts *p, struct policy_net *net)
{
	long port;

	if (!p->port || !strcmp(p->port, "*"))
		return 0;
	port = number(p->port, UINT16_MAX);
	if (!port)
		return REFUSE(p, "names port 0, which is none: leave it out, or type :*, to mean "
			      "any port");
	if (port < 0)
		return REFUSE(p, "does not end in a port: it is a number from 1 to 65535, or * "
			      "for any");
	net->port = (uint16_t)port;
	return 0;
}

/* ----------------------------------------------------------------------- networks */

static void mask(uint8_t *address, unsigned int bits)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		unsigned int kept = bits <= 8 * i ? 0 : bits - 8 * i;

		if (kept < 8)
			address[i] &= (uint8_t)(0xff00 >> kept);
	}
}

static bool is_v4(const struct policy_net *net)
{
	return net->bits >= IPV4_BITS && !memcmp(net->address, mapped, IPV4_BITS / 8);
}

/* Whether it is wider than all of IPv4, and contains it. */
static bool contains_v4(const struct policy_net *net)
{
	struct policy_net other = { .bits = net->bits };

	if (net->bits >= IPV4_BITS)
		return false;
	memcpy(other.address, mapped, sizeof(mapped));
	mask(other.address, net->bits);
	return !memcmp(other.address, net->address, sizeof(mapped));
}

static int parse_bits(const struct parts *p, struct policy_net *net, unsigned int base)
{
	struct policy_net meant = *net;
	char text[POLICY_OBJECT];
	long bits;

	net->bits = 128;
	if (!p->bits)
		return 0;
	bits = number(p->bits, 128 - base);
	if (bits < 0)
		return REFUSE(p, "has no good prefix: after the / stands its number of bits, 0 to "
			      "%u for %s", 128 - base, base ? "IPv4" : "IPv6");
	net->bits = base + (unsigned int)bits;
	meant.bits = net->bits;
	meant.port = net->port;
	mask(meant.address, meant.bits);
	if (contains_v4(&meant))
		return REFUSE(p, "contains all IPv4 addresses, which are ::ffff:0:0/96: type * "
			      "for all addresses, or [2000::]/3 for the public ones of IPv6");
	if (!memcmp(meant.address, net->address, sizeof(net->address)))
		return 0;
	krepis_policy_format_net(&meant, text);
	return REFUSE(p, "has bits beyond its prefix: did you mean %s?", text);
}

static int parse_v4(const struct parts *p, struct policy_net *net)
{
	if (p->bracket)
		return REFUSE(p, "has brackets, which are for IPv6: leave them out");
	memmove(net->address + IPV4_BITS / 8, net->address, 4);
	memcpy(net->address, mapped, IPV4_BITS / 8);
	return parse_bits(p, net, IPV4_BITS);
}

static int parse_v6(const struct parts *p, struct policy_net *net)
{
	if (inet_pton(AF_INET6, p->host, net->address) == 1)
		return parse_bits(p, net, 0);
	if (strchr(p->host, '%'))
		return REFUSE(p, "names an interface: leave out the %% and what follows, the "
			      "address holds on all of them");
	return REFUSE(p, "is no IPv6 address: type HOST:PORT, [ADDRESS]:PORT or [ADDRESS]/BITS");
}

/* -------------------------------------------------------------------------- names */

/* Whether it is what inet_aton(3) takes for an address: 80 is 0.0.0.80, 0x7f.1 is 127.0.0.1. */
static bool is_numeric(const char *host)
{
	const char *last = strrchr(host, '.');

	last = last ? last + 1 : host;
	if (last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
		return strspn(last + 2, HEX) == strlen(last + 2);
	return *last && strspn(last, DIGITS) == strlen(last);
}

/* RFC 1123, section 2.1, and _, which stands in many names. A . at the end is kept. */
static bool is_name(const char *host)
{
	size_t total = strlen(host), len;

	if (total && host[total - 1] == '.')
		total--;
	if (!total || total > NAME_MAX_BYTES)
		return false;
	for (; *host; host += len + (host[len] == '.')) {
		len = strcspn(host, ".");
		if (!len || len > LABEL_MAX_BYTES || host[0] == '-' || host[len - 1] == '-' ||
		    strspn(host, LETTERS DIGITS "-_") != len)
			return false;
	}
	return true;
}

static int parse_name(const struct parts *p, struct policy_net *net)
{
	size_t i;

	if (is_numeric(p->host)) {
		if (!p->port && !p->bits && number(p->host, UINT16_MAX) > 0)
			return REFUSE(p, "is a number: did you mean %s:%s?",
				      net->bind ? "bind" : "", p->host);
		return REFUSE(p, "is no IPv4 address: type all four numbers, like 10.0.0.0/8 or "
			      "127.0.0.1:80, and a port with a : in front");
	}
	if (!is_name(p->host))
		return REFUSE(p, "is no address or host name: type HOST, HOST:PORT, :PORT, "
			      "ADDRESS/BITS or *; a name has letters, digits, -, _ and .");
	if (p->bits)
		return REFUSE(p, "is a name with a prefix: leave out the / and what follows, "
			      "or type an address instead of the name");
	for (i = 0; p->host[i]; i++) {
		bool upper = p->host[i] >= 'A' && p->host[i] <= 'Z';

		net->host[i] = (char)(p->host[i] + (upper ? 'a' - 'A' : 0));
	}
	net->bits = 128;
	return 0;
}

/* --------------------------------------------------------------------- the object */

static int parse_host(const struct parts *p, struct policy_net *net)
{
	if (p->v6)
		return inet_pton(AF_INET, p->host, net->address) == 1 ? parse_v4(p, net) :
								       parse_v6(p, net);
	if (!strcmp(p->host, "*") || (!*p->host && p->port && !p->bits)) {
		net->any_host = true;
		if (p->bits)
			return REFUSE(p, "has a prefix after the *: leave it out");
		return 0;
	}
	if (inet_pton(AF_INET, p->host, net->address) == 1)
		return parse_v4(p, net);
	return parse_name(p, net);
}

int krepis_policy_parse_net(const char *object, struct policy_net *net, char *why, size_t size)
{
	struct parts p = { .object = object, .why = why, .size = size };
	const char *rest;
	int err;

	/* In any case: names have none, and a host of this name with a port would mean both. */
	*net = (struct policy_net){ .bind = !strncasecmp(object, "bind:", 5) };
	rest = object + (net->bind ? 5 : 0);
	if (!*rest)
		return REFUSE(&p, "names nothing: type %s* for all addresses, or %s:PORT",
			      net->bind ? "bind:" : "", net->bind ? "bind" : "");
	if (strlen(rest) >= sizeof(p.text))
		return REFUSE(&p, "is too long: a host name has at most %d bytes", NAME_MAX_BYTES);
	memcpy(p.text, rest, strlen(rest) + 1);
	err = cut(&p);
	if (!err)
		err = parse_port(&p, net);
	return err ? err : parse_host(&p, net);
}

/* The address, and the bits if they are not all. */
static void format_address(const struct policy_net *net, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN], bits[8] = "";
	bool v4 = is_v4(net);

	inet_ntop(v4 ? AF_INET : AF_INET6, net->address + (v4 ? IPV4_BITS / 8 : 0), address,
		  sizeof(address));
	if (net->bits < 128)
		snprintf(bits, sizeof(bits), "/%u", (net->bits - (v4 ? IPV4_BITS : 0)) & 0xff);
	snprintf(text, size, v4 ? "%s%s" : "[%s]%s", address, bits);
}

void krepis_policy_format_net(const struct policy_net *net, char *object)
{
	char host[POLICY_HOST], port[8] = "";

	if (net->any_host)
		strcpy(host, "*");
	else if (*net->host)
		memcpy(host, net->host, sizeof(host));
	else
		format_address(net, host, sizeof(host));
	if (net->port)
		snprintf(port, sizeof(port), ":%u", net->port);
	snprintf(object, POLICY_OBJECT, "%s%s%s", net->bind ? "bind:" : "", host, port);
}
