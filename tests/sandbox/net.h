/* SPDX-License-Identifier: MIT */
/*
 * What the tests of sockets share: a network of their own, where every address is this
 * machine's and somebody listens, and the ways to say a word to it.
 *
 * A host is written as an address; PORT and OTHER_PORT are where somebody listens.
 */
#ifndef _SANDBOX_NET_H
#define _SANDBOX_NET_H

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "sandbox.h"

#define PORT		4000
#define OTHER_PORT	4001

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

static inline struct address address_of(const char *host, int port)
{
	struct address a = { 0 };

	if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
		a.len = sizeof(a.v4);
	} else if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
		a.len = sizeof(a.v6);
	} else {
		abort();
	}
	return a;
}

static inline int to_address(int type, int protocol, const struct address *a,
			     int (*call)(int, const struct sockaddr *, socklen_t))
{
	int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC, protocol), err, one = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	err = call(fd, &a->sa, a->len) ? -errno : 0;
	close(fd);
	return err;
}

static inline int tcp(const char *host, int port)
{
	struct address a = address_of(host, port);

	return to_address(SOCK_STREAM, 0, &a, connect);
}

static inline int udp_connect(const char *host, int port)
{
	struct address a = address_of(host, port);

	return to_address(SOCK_DGRAM, 0, &a, connect);
}

static inline int send_with(int fd, const struct address *a, int flags)
{
	return sendto(fd, "x", 1, flags, &a->sa, a->len) < 0 ? -errno : 0;
}

static inline int udp(const char *host, int port)
{
	struct address a = address_of(host, port);
	int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? -errno : send_with(fd, &a, 0);

	close(fd);
	return err;
}

static inline int bind_to(int type, const char *host, int port)
{
	struct address a = address_of(host, port);

	return to_address(type, 0, &a, bind);
}

/* A socket bound to all addresses, of both families. */
static inline int serve_at(int type, int protocol, int port)
{
	struct address a = address_of("::", port);
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, protocol);

	if (fd < 0 || bind(fd, &a.sa, a.len) || (type == SOCK_STREAM && listen(fd, 4096)))
		return -errno;
	return fd;
}

/* struct in6_ifreq, whose header does not go with the C library's. */
struct address_request {
	struct in6_addr address;
	uint32_t prefix;
	int index;
};

/* All of 127.0.0.0/8, and ::1, fd00::1, fd00::2, fd00::1:1. */
static inline int net_make(void)
{
	static const char *const more[] = { "fd00::1", "fd00::2", "fd00::1:1" };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int v4, v6, err = 0;
	unsigned int i;

	if (unshare(CLONE_NEWNET))
		return -errno;
	v4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	v6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (v4 < 0 || v6 < 0 || ioctl(v4, SIOCSIFFLAGS, &lo))
		err = -errno;
	for (i = 0; i < sizeof(more) / sizeof(*more) && !err; i++) {
		struct address_request r = { .prefix = 128, .index = (int)if_nametoindex("lo") };

		inet_pton(AF_INET6, more[i], &r.address);
		err = ioctl(v6, SIOCSIFADDR, &r) ? -errno : 0;
	}
	close(v4);
	close(v6);
	return err ? : write_text("/proc/sys/net/ipv4/tcp_fastopen", "1027");
}

/* Who listens at both ports. */
struct servers {
	int tcp[2], udp[2];
};

static inline int servers_make(struct servers *s)
{
	int i, err = net_make();

	for (i = 0; i < 2 && !err; i++) {
		s->tcp[i] = serve_at(SOCK_STREAM, 0, PORT + i);
		s->udp[i] = serve_at(SOCK_DGRAM, 0, PORT + i);
		err = s->tcp[i] < 0 ? s->tcp[i] : s->udp[i] < 0 ? s->udp[i] : 0;
	}
	return err;
}

#endif /* _SANDBOX_NET_H */
