/* SPDX-License-Identifier: MIT */
/*
 * Policies, as the library's own files see them.
 *
 *	policy.c	the sentences
 *	policy_object.c	what an object may look like: paths, channels, variables, capabilities
 *	policy_net.c	the same of addresses
 *	policy_json.c	policy files
 *
 * An object is stored in its canonical form: two that mean the same by their words are
 * equal as strings. What stands in a policy has been checked; to parse it again succeeds.
 */
#ifndef _KREPIS_SANDBOX_POLICY_H
#define _KREPIS_SANDBOX_POLICY_H

#include <limits.h>
#include <linux/capability.h>
#include <krepis/sandbox.h>

#define POLICY_OBJECT	(PATH_MAX + 16)	/* room for a canonical object and its 0 */
#define POLICY_WHY	512		/* for a sentence that says what is wrong */
#define POLICY_HOST	256

#define POLICY_RUN	"/run/krepis"	/* where a channel stands that is given by its name */

/*
 * Capabilities that are never allowed: to load a module or a BPF program, to write to the
 * memory of the kernel, to mount, to make the node of a disk is to undo the sandbox. "All"
 * does not mean them.
 */
#define POLICY_CAPS_NEVER							\
	(1ULL << CAP_SYS_MODULE | 1ULL << CAP_SYS_RAWIO | 1ULL << CAP_BPF |	\
	 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_MKNOD)

/*
 * Capabilities over the own processes and files, which other rules limit: nobody has to
 * allow them. So root in a domain is still somebody who may change his user and ignore the
 * modes of his files.
 */
#define POLICY_CAPS_USUAL							\
	(1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH | \
	 1ULL << CAP_FOWNER | 1ULL << CAP_FSETID | 1ULL << CAP_KILL |		\
	 1ULL << CAP_SETGID | 1ULL << CAP_SETUID | 1ULL << CAP_SETPCAP |	\
	 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_AUDIT_WRITE)

/**
 * struct policy_net - the object of a sentence about net
 * @bind:     to be there, or else to connect and send to
 * @any_host: all addresses of both families; @address and @bits are 0
 * @host:     a name to be looked up; @address is 0 and @bits 128. Empty: it is none
 * @address:  of IPv6; of IPv4 mapped, ::ffff:a.b.c.d
 * @bits:     of the mapped form: 96 to 128 for IPv4. Bits of @address beyond are 0, and
 *	      no network of IPv6 contains those of IPv4
 * @port:     as the host has it; 0: any
 */
struct policy_net {
	bool bind;
	bool any_host;
	char host[POLICY_HOST];
	uint8_t address[16];
	unsigned int bits;
	uint16_t port;
};

/**
 * struct policy_channel - the object of a sentence about channels
 * @path:   absolute
 * @rights: SANDBOX_CONSUME, SANDBOX_PRODUCE, SANDBOX_PASS
 */
struct policy_channel {
	char path[PATH_MAX];
	uint32_t rights;
};

/**
 * struct policy_sys - the object of a sentence about the system
 * @capability: CAP_..., or -1: then it is
 * @facility:	one of SANDBOX_SYS_*
 */
struct policy_sys {
	int capability;
	uint32_t facility;
};

/**
 * struct policy_sentence - one of a policy, taken apart
 * @object: canonical; NULL: all, and nothing of it is taken apart. A path is absolute, and
 *	    may contain ".." and links; the abstract name of a socket begins with @
 */
struct policy_sentence {
	bool allow;
	enum krepis_what what;
	const char *object;
	union {
		struct policy_net net;
		struct policy_channel channel;
		struct policy_sys sys;
	};
};

/**
 * krepis_policy_sentences - krepis_policy_each(), with what is in the objects
 * @f: the sentence is good until it returns
 */
int krepis_policy_sentences(const struct krepis_policy *policy,
			    int (*f)(void *arg, const struct policy_sentence *sentence),
			    void *arg);

/*
 * Take an object apart, canonical or not. @why, of @size bytes: what is wrong and what to
 * type; may be NULL if @size is 0. Return: 0, or -EINVAL.
 */
int krepis_policy_parse_net(const char *object, struct policy_net *net, char *why, size_t size);
int krepis_policy_parse_channel(const char *object, struct policy_channel *channel, char *why,
				size_t size);
int krepis_policy_parse_sys(const char *object, struct policy_sys *sys, char *why, size_t size);

/* krepis_policy_format_net - the other way, into @object of POLICY_OBJECT bytes */
void krepis_policy_format_net(const struct policy_net *net, char *object);

/* krepis_policy_sys_name - the word for a capability, or NULL: this library knows no such */
const char *krepis_policy_sys_name(int capability);

/* ------------------------------------------------------- between the files of policies */

struct sentence {
	bool allow;
	enum krepis_what what;
	char *object;
};

/**
 * struct krepis_policy
 * @list:  in order, no two equal; where all is meant, no other of the same kind
 * @error: what was wrong last; empty: nothing
 */
struct krepis_policy {
	struct sentence *list;
	size_t count;
	size_t room;
	char error[POLICY_WHY];
};

/* The canonical form of @object, not NULL, in @canonical of POLICY_OBJECT bytes. */
int krepis_policy_canonical(bool allow, enum krepis_what what, const char *object,
			    char *canonical, char *why, size_t size);

/* Writes the object as it can be shown, and then the text. Return: -EINVAL. */
int krepis_policy_refuse(char *why, size_t size, const char *object, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Takes all sentences of @from over, which is empty then. On failure nothing has changed. */
int krepis_policy_merge(struct krepis_policy *policy, struct krepis_policy *from);

#endif /* _KREPIS_SANDBOX_POLICY_H */
