// SPDX-License-Identifier: MIT
/*
 * Best effort, by Landlock: ports, sockets with names and signals, of each of which a kernel
 * limits some or none; and that it is told what is not limited.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "best_effort.h"

/* ---------------------------------------------------------------------------------- net */

static uint16_t listening, other;	/* ports of somebody outside */
static uint16_t unused;

static void raise_loopback(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	return fd;
}

static struct sockaddr_in local(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int listener(uint16_t *port)
{
	struct sockaddr_in address = local(0);
	socklen_t len = sizeof(address);
	int fd = tcp();

	must(!bind(fd, (struct sockaddr *)&address, len) && !listen(fd, 8));
	must(!getsockname(fd, (struct sockaddr *)&address, &len));
	*port = ntohs(address.sin_port);
	return fd;
}

static int tcp_to(int (*call)(int fd, const struct sockaddr *address, socklen_t len), uint16_t port)
{
	struct sockaddr_in address = local(port);
	int fd = tcp(), ret = call(fd, (struct sockaddr *)&address, sizeof(address)), err = errno;

	close(fd);
	errno = err;
	return ret;
}

static const char *net(const char *format, uint16_t port)
{
	static char object[64];

	snprintf(object, sizeof(object), format, port);
	return object;
}

static void use_ports(void *arg)
{
	bool limited = landlock_abi() >= 4;
	struct sockaddr_in address = local(other);

	allow(KREPIS_NET, net("127.0.0.1:%u", listening));
	enter();
	must(!tcp_to(connect, listening));
	if (limited) {
		must_fail(tcp_to(connect, other), EACCES);
		must_fail(tcp_to(bind, 0), EACCES);
	}
	must_fail(sendto(tcp(), "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof(address)),
		  EOPNOTSUPP);
	must_fail(socket(AF_INET, SOCK_STREAM, 262 /* MPTCP */), EACCES);
	must_fail(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EACCES);
	must_fail(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
	must(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) >= 0);
	must(told("UDP", "not limited"));
	must(told("TCP is not limited", "") == !limited);
	must(told("127.0.0.1", "the host is not enforced") == limited);
	must(told("listen(2)", "net") == limited);
}

static void in_child_with_ports(void (*body)(void *arg))
{
	int fds[2];

	raise_loopback();
	fds[0] = listener(&listening);
	fds[1] = listener(&other);
	close(listener(&unused));
	in_child(body);
	close(fds[0]);
	close(fds[1]);
}

static void ports_are_enforced_and_the_rest_is_told(void **state)
{
	(void)state;
	in_child_with_ports(use_ports);
}

static void bind_ports(void *arg)
{
	if (landlock_abi() < 4)
		_exit(SKIPPED);
	allow(KREPIS_NET, net("bind::%u", unused));
	allow(KREPIS_NET, net(":%u", listening));
	allow(KREPIS_NET, net(":%u", other));
	deny(KREPIS_NET, net(":%u", other));
	enter();
	must(!tcp_to(bind, unused));
	must_fail(tcp_to(bind, 0), EACCES);
	must_fail(tcp_to(connect, unused), EACCES);
	must(!tcp_to(connect, listening));
	must_fail(tcp_to(connect, other), EACCES);
	must(!told("deny", ""));
}

static void to_bind_is_not_to_connect(void **state)
{
	(void)state;
	in_child_with_ports(bind_ports);
}

static void deny_a_port(void *arg)
{
	allow(KREPIS_NET, NULL);
	deny(KREPIS_NET, net(":%u", other));
	enter();
	must(!tcp_to(connect, other));
	must(told("deny net", "is not enforced"));
}

static void a_denied_port_among_all_is_told(void **state)
{
	(void)state;
	in_child_with_ports(deny_a_port);
}

/* ------------------------------------------------------------------------------- scopes */

static const char abstract[] = "krepis-best-effort";

static int connect_abstract(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + sizeof(abstract);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path + 1, abstract, sizeof(abstract) - 1);
	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, len);
}

static void use_path_sockets(void *arg)
{
	bool limited = landlock_abi() >= 6;

	allow(KREPIS_UNIX, directory());
	enter();
	if (limited)
		must_fail(connect_abstract(), EPERM);
	else
		must(!connect_abstract());
	must(told("unix", "have a path"));
	must(told("unix", "abstract") == !limited);
}

static void connecting_to_sockets_is_scoped_or_told(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	memcpy(address.sun_path + 1, abstract, sizeof(abstract) - 1);
	must(!bind(fd, (struct sockaddr *)&address,
		   offsetof(struct sockaddr_un, sun_path) + sizeof(abstract)));
	must(!listen(fd, 8));
	in_child(use_path_sockets);
	close(fd);
}

static void use_a_name(void *arg)
{
	allow(KREPIS_UNIX, "@one");
	allow(KREPIS_UNIX, "@two");
	deny(KREPIS_UNIX, "@two");
	enter();
	must_fail(connect_abstract(), ECONNREFUSED);
	must(told("unix", "abstract"));
}

static void that_one_name_opens_all_is_told(void **state)
{
	(void)state;
	in_child(use_a_name);
}

static void signal_outside(void *arg)
{
	pid_t child;

	enter();
	if (landlock_abi() >= 6)
		must_fail(kill(getppid(), 0), EPERM);
	else
		must(!kill(getppid(), 0));
	must(told("signals", "") == (landlock_abi() < 6));
	must(told("priority", ""));
	child = fork();
	must(child >= 0);
	if (!child)
		stay();
	must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
}

static void signals_stay_inside_or_that_is_told(void **state)
{
	(void)state;
	in_child(signal_outside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(ports_are_enforced_and_the_rest_is_told),
		CLAIM(to_bind_is_not_to_connect),
		CLAIM(a_denied_port_among_all_is_told),
		CLAIM(connecting_to_sockets_is_scoped_or_told),
		CLAIM(that_one_name_opens_all_is_told),
		CLAIM(signals_stay_inside_or_that_is_told),
	};

	return RUN("best_effort_net", tests);
}
