/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets: which kinds there may be, and whom they may talk to or be. Addresses are compared
 * as IPv6 ones, where an IPv4 address is a mapped one, so that there is one way to write it.
 */
#ifndef KREPIS_BPF_NET_H
#define KREPIS_BPF_NET_H

#include "task.h"
#include "walk.h"

#define AF_UNSPEC	0
#define AF_UNIX		1
#define AF_INET		2
#define AF_INET6	10
#define AF_NETLINK	16
#define AF_SMC		43
#define SOCK_STREAM	1
#define SOCK_DGRAM	2
#define SOCK_TYPE	0xf
#define IPPROTO_TCP	6
#define IPPROTO_UDP	17
#define IPPROTO_MPTCP	262
#define NETLINK_ROUTE	0
#define SOL_IP		0
#define IP_OPTIONS	4
#define SOL_IPV6	41
#define IPV6_RTHDR	57
#define IPV6_2292RTHDR	5
#define SIN_LEN		16	/* with what fills it up */
#define SIN6_LEN_RFC2133 24

struct sockaddr_in {
	unsigned short sin_family;
	__be16 sin_port;
	struct in_addr {
		__u32 s_addr;
	} sin_addr;
};

struct sockaddr_in6 {
	unsigned short sin6_family;
	__be16 sin6_port;
	__u32 sin6_flowinfo;
	__u32 sin6_addr[4];
	__u32 sin6_scope_id;
};

struct addresses {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct sandbox_net_key));
	__uint(value_size, sizeof(struct sandbox_rule));
} no_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SANDBOX_DOMAINS);
	__type(key, __u32);
	__array(values, struct addresses);
} networks SEC(".maps");

struct names {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sandbox_name));
	__uint(value_size, sizeof(struct sandbox_rule));
} no_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SANDBOX_DOMAINS);
	__type(key, __u32);
	__array(values, struct names);
} abstracts SEC(".maps");

/* -------------------------------------------------------------------------- kinds */

static __always_inline bool is_known(int family, int type, int protocol)
{
	type &= SOCK_TYPE;
	switch (family) {
	case AF_UNIX:
		return true;
	case AF_INET:
	case AF_INET6:
		return (type == SOCK_STREAM && (!protocol || protocol == IPPROTO_TCP ||
						protocol == IPPROTO_MPTCP)) ||
		       (type == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP));
	}
	return false;
}

static __always_inline int decide_kind(__u64 id, int family, int type, int protocol)
{
	__u32 sys = family == AF_NETLINK ? SANDBOX_SYS_NETLINK : SANDBOX_SYS_SOCKETS;
	__u32 kind[3] = { family, type & SOCK_TYPE, protocol };
	struct sandbox_domain *d = live_domain(id);

	if (!d)
		return -EACCES;
	if (d->sys & sys)
		return 0;
	tell_of(id, d, SANDBOX_ON_SYS, SANDBOX_OP_SOCKET, kind, sizeof(kind));
	return verdict(d, -EACCES);
}

SEC("lsm/socket_create")
int BPF_PROG(sandbox_socket_create, int family, int type, int protocol, int kern, int ret)
{
	__u64 id;

	if (ret || kern || is_known(family, type, protocol))
		return ret;
	id = own_domain();
	if (!id || (family == AF_NETLINK && protocol == NETLINK_ROUTE))
		return 0;
	return decide_kind(id, family, type, protocol);
}

/* Routes that a packet carries lead elsewhere than its address says. */
SEC("lsm/socket_setsockopt")
int BPF_PROG(sandbox_socket_setsockopt, struct socket *sock, int level, int option, int ret)
{
	__u64 id;

	if (ret || !((level == SOL_IP && option == IP_OPTIONS) ||
		     (level == SOL_IPV6 && (option == IPV6_RTHDR || option == IPV6_2292RTHDR))))
		return ret;
	id = own_domain();
	return id ? refuse(id, SANDBOX_OP_ROUTE, -EPERM) : 0;
}

/* ------------------------------------------------------------------------- addresses */

/* Adds what a rule says of @key. */
static __always_inline void ask(void *map, const void *key, struct sandbox_rule *sum)
{
	struct sandbox_rule *rule = bpf_map_lookup_elem(map, key);

	if (rule) {
		sum->allow |= rule->allow;
		sum->deny |= rule->deny;
	}
}

static __always_inline int decide_key(__u64 id, struct sandbox_net_key *key)
{
	struct sandbox_domain *d = live_domain(id);
	struct sandbox_rule sum = { 0 };
	__u32 right = key->right;
	void *net;

	if (!d)
		return -EACCES;
	net = of_domain(&networks, id);
	if (net) {
		struct sandbox_net_key any = *key;

		ask(net, key, &sum);
		any.port = 0;
		ask(net, &any, &sum);
	}
	if (sum.allow & ~sum.deny & right)
		return 0;
	tell_of(id, d, SANDBOX_ON_NET, right, key, sizeof(*key));
	return verdict(d, -EACCES);
}

static __always_inline int family_of(struct socket *sock)
{
	return get(struct sock, get(struct socket, sock, sk), __sk_common.skc_family);
}

/* Whether @sock has an address of its own. */
static __always_inline bool is_bound(struct socket *sock)
{
	const struct sock *sk = BPF_CORE_READ(sock, sk);
	__u32 v6[4] = { 0 };

	if (bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr))
		bpf_probe_read_kernel(v6, sizeof(v6), (void *)sk +
				      bpf_core_field_offset(struct sock,
							    __sk_common.skc_v6_rcv_saddr));
	return BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr) || v6[0] || v6[1] || v6[2] || v6[3];
}

/*
 * 0.0.0.0 and :: as a destination are this machine, by another name: its loopback address if
 * the socket is free, or else its own, which has no name here that a rule could have.
 */
static __always_inline void name_loopback(struct sandbox_net_key *key, struct socket *sock,
					  bool controlled)
{
	__u32 *a = (__u32 *)key->address;

	if (a[0] || a[1] || a[3] || (a[2] && a[2] != bpf_htonl(0xffff)))
		return;
	if (controlled || is_bound(sock))
		return;
	if (a[2])
		a[3] = bpf_htonl(0x7f000001);
	else
		a[3] = bpf_htonl(1);
}

/**
 * decide_address - of an address that the kernel has copied
 * @sock:	who uses it
 * @from:	the address
 * @bytes:	of it
 * @right:	SANDBOX_CONNECT or SANDBOX_BIND
 * @unspec:	what AF_UNSPEC means: AF_INET, or 0 if nothing
 * @controlled:	control messages are with it, which may say from where it goes
 *
 * Too short for its family: for the protocol to refuse, after us.
 */
static __always_inline int decide_address(struct socket *sock, const void *from, int bytes,
					  __u32 right, int unspec, bool controlled)
{
	struct sandbox_net_key key = { .prefixlen = SANDBOX_NET_BITS, .right = right };
	__u64 id = own_domain();
	__u32 *to = (__u32 *)key.address;
	int family;
	struct sockaddr_in6 a = { 0 };

	if (!id)
		return 0;
	family = family_of(sock);
	/* In some kernels setsockopt(TCP_ULP) puts it in the place of one of TCP. */
	if (family == AF_SMC)
		return decide_kind(id, family, SOCK_STREAM, 0);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (bytes < (int)sizeof(unsigned short))
		return -EINVAL;
	family = get(struct sockaddr_in, from, sin_family);
	switch (family == AF_UNSPEC ? unspec : family) {
	case AF_INET:
		if (bytes < SIN_LEN)
			return -EINVAL;
		key.port = get(struct sockaddr_in, from, sin_port);
		to[2] = bpf_htonl(0xffff);
		to[3] = get(struct sockaddr_in, from, sin_addr.s_addr);
		break;
	case AF_INET6:
		if (bytes < SIN6_LEN_RFC2133)
			return -EINVAL;
		if (bpf_probe_read_kernel(&a, SIN6_LEN_RFC2133, from))
			return -EACCES;
		key.port = a.sin6_port;
		__builtin_memcpy(to, a.sin6_addr, sizeof(a.sin6_addr));
		break;
	default:
		return 0;
	}
	if (right == SANDBOX_CONNECT)
		name_loopback(&key, sock, controlled);
	return decide_key(id, &key);
}

/* ---------------------------------------------------------------------- UNIX sockets */

/* An abstract name, of @len bytes behind its 0. */
static __always_inline int decide_name(__u64 id, const void *from, int len)
{
	struct sandbox_name name = { .len = SANDBOX_EVERY };
	struct sandbox_domain *d = live_domain(id);
	void *map = of_domain(&abstracts, id);
	struct sandbox_rule sum = { 0 };
	__u64 bytes = (__u32)len;

	if (!d || !map)
		return -EACCES;
	/* One register, checked and used: the verifier follows no copies. */
	barrier_var(bytes);
	if (bytes > SANDBOX_ABSTRACT)
		return -EINVAL;
	ask(map, &name, &sum);
	name.len = len;
	if (bpf_probe_read_kernel(name.name, bytes, from))
		return -EACCES;
	ask(map, &name, &sum);
	ask(map, &name, &sum);
	if (sum.allow & ~sum.deny & SANDBOX_UNIX)
		return 0;
	tell_of(id, d, SANDBOX_ON_UNIX, SANDBOX_UNIX, &name, sizeof(name));
	return verdict(d, -EACCES);
}

/* To talk to @other, which has a path, an abstract name, or none: then it is a pair. */
static __always_inline int decide_peer(const struct sock *other)
{
	const struct unix_sock *u = (const void *)other;
	struct unix_address *addr;
	struct place at;
	__u64 id = own_domain();

	if (!id)
		return 0;
	at.dentry = BPF_CORE_READ(u, path.dentry);
	at.mnt = BPF_CORE_READ(u, path.mnt);
	if (at.dentry)
		return decide_for(id, &at, SANDBOX_UNIX, false);
	addr = BPF_CORE_READ(u, addr);
	if (!addr)
		return 0;
	/* struct sockaddr_un: the family, and the 0 that makes it abstract. */
	return decide_name(id, (void *)addr->name + 3, BPF_CORE_READ(addr, len) - 3);
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(sandbox_unix_stream_connect, struct sock *sock, struct sock *other, struct sock *newsk,
	     int ret)
{
	return ret ? : decide_peer(other);
}

SEC("lsm/unix_may_send")
int BPF_PROG(sandbox_unix_may_send, struct socket *sock, struct socket *other, int ret)
{
	return ret ? : decide_peer(BPF_CORE_READ(other, sk));
}

/* A path is made by mknod; without a name the kernel finds one that nobody has. */
static __always_inline int decide_own_name(const void *address, int bytes)
{
	__u64 id = own_domain();
	char first = 1;

	if (!id || bytes < 3)
		return 0;
	if (bpf_probe_read_kernel(&first, 1, address + 2))
		return -EACCES;
	return first ? 0 : decide_name(id, address + 3, bytes - 3);
}

/* ----------------------------------------------------------------------------- hooks */

SEC("lsm/socket_connect")
int BPF_PROG(sandbox_socket_connect, struct socket *sock, void *address, int bytes, int ret)
{
	return ret ? : decide_address(sock, address, bytes, SANDBOX_CONNECT, 0, false);
}

SEC("lsm/socket_bind")
int BPF_PROG(sandbox_socket_bind, struct socket *sock, void *address, int bytes, int ret)
{
	if (ret)
		return ret;
	if (family_of(sock) == AF_UNIX)
		return decide_own_name(address, bytes);
	return decide_address(sock, address, bytes, SANDBOX_BIND, AF_INET, false);
}

/* Who listens without having bound is at any address, at a port that the kernel finds. */
SEC("lsm/socket_listen")
int BPF_PROG(sandbox_socket_listen, struct socket *sock, int backlog, int ret)
{
	struct sandbox_net_key key = { .prefixlen = SANDBOX_NET_BITS, .right = SANDBOX_BIND };
	__u64 id = own_domain();
	int family;

	if (ret || !id)
		return ret;
	family = family_of(sock);
	if (family == AF_SMC)
		return decide_kind(id, family, SOCK_STREAM, 0);
	if ((family != AF_INET && family != AF_INET6) ||
	    BPF_CORE_READ(sock, sk, __sk_common.skc_num))
		return 0;
	if (family == AF_INET)
		*(__u32 *)(key.address + 8) = bpf_htonl(0xffff);
	return decide_key(id, &key);
}

/* A destination of its own, which also opens a connection (MSG_FASTOPEN). */
SEC("lsm/socket_sendmsg")
int BPF_PROG(sandbox_socket_sendmsg, struct socket *sock, struct msghdr *msg, int size, int ret)
{
	void *address;

	if (ret || !own_domain())
		return ret;
	address = BPF_CORE_READ(msg, msg_name);
	if (!address)
		return 0;
	return decide_address(sock, address, BPF_CORE_READ(msg, msg_namelen), SANDBOX_CONNECT,
			      AF_INET, BPF_CORE_READ(msg, msg_controllen));
}

#endif /* KREPIS_BPF_NET_H */
