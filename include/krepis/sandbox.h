/* SPDX-License-Identifier: MIT */
/*
 * libkrepis-sandbox - what a process and its children may do, enforced by the kernel
 *
 * A policy is a list of sentences: allow or deny, what, and of which object. The same words
 * are the flags of krepis-run(1) (--allow-read=/usr) and the keys of its policy files:
 *
 *	what	 object
 *	read	 PATH: the file, or the directory and all below it
 *	write	 PATH: change what is in it, create, remove, rename, change its metadata,
 *		 ioctl(2) of devices
 *	exec	 PATH: execute
 *	net	 [HOST][:PORT] to connect and send to; bind:[HOST][:PORT] to be. HOST is an
 *		 address, a network (10.0.0.0/8, [fd00::]/8), a name, which is looked up
 *		 when the policy is put into force, or *
 *	unix	 PATH or @ABSTRACT-NAME of a UNIX socket
 *	channel	 PATH:ROLE[:pass], a krepis channel or a directory of such; ROLE is r, w or rw
 *		 (consume, produce); pass: its endpoints may leave and enter the domain
 *	env	 NAME of an environment variable, or PREFIX*. Of the launcher, not of the kernel
 *	sys	 a capability (net_admin), but not one that would undo the sandbox (sys_admin,
 *		 sys_module, sys_rawio, bpf, mknod); ipc, userns, netlink or sockets
 *
 * Without an object it is meant of all. Whatever is not allowed is denied; what is denied
 * stays denied whatever is allowed. A path is looked up when the policy is put into force:
 * from there on it means that file, wherever it is moved, by whichever name or link.
 *
 * A domain is a policy in force. It lives in the kernel, under a name, until it is removed,
 * also when who made it is gone. Who enters stays in it, as do its children.
 *
 * Functions return 0 or a negative errno value and change nothing on failure, but where it
 * says so. An object is for one thread at a time; different ones are independent.
 */
#ifndef KREPIS_SANDBOX_H
#define KREPIS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KREPIS_SANDBOX_API __attribute__((visibility("default")))

/* -------------------------------------------------------------------------- policies */

struct krepis_policy;

enum krepis_what {
	KREPIS_READ,
	KREPIS_WRITE,
	KREPIS_EXEC,
	KREPIS_NET,
	KREPIS_UNIX,
	KREPIS_CHANNEL,
	KREPIS_ENV,
	KREPIS_SYS,
	KREPIS_WHATS,		/* their number */
};

/* krepis_what_name - its word, or NULL if there is no such */
KREPIS_SANDBOX_API const char *krepis_what_name(enum krepis_what what);
/* krepis_what_find - the other way. Return: an enum krepis_what, or -ENOENT */
KREPIS_SANDBOX_API int krepis_what_find(const char *name);

/**
 * krepis_policy_create - makes a policy that allows nothing
 * @out: to be released with krepis_policy_destroy()
 *
 * Errors: -ENOMEM.
 */
KREPIS_SANDBOX_API int krepis_policy_create(struct krepis_policy **out);

/* krepis_policy_destroy - @policy may be NULL */
KREPIS_SANDBOX_API void krepis_policy_destroy(struct krepis_policy *policy);

/**
 * krepis_policy_add - adds a sentence
 * @policy: the policy
 * @allow:  or deny
 * @what:   what
 * @object: as in the table above; NULL: all. It is copied. A relative path is meant from
 *	    the directory where the process is now
 *
 * A sentence that is there already is not added again.
 *
 * Errors: -EINVAL no such @what, or the object is none of its kind: krepis_policy_error()
 * says in words; -ENOMEM.
 */
KREPIS_SANDBOX_API int krepis_policy_add(struct krepis_policy *policy, bool allow,
					 enum krepis_what what, const char *object);

/**
 * krepis_policy_remove - takes a sentence out
 * @policy: and the rest as for krepis_policy_add()
 *
 * Errors: -ENOENT there is no such sentence; those of krepis_policy_add().
 */
KREPIS_SANDBOX_API int krepis_policy_remove(struct krepis_policy *policy, bool allow,
					    enum krepis_what what, const char *object);

/**
 * krepis_policy_parse - adds what a policy file says
 * @policy: the policy
 * @json:   {"allow": {WHAT: [OBJECT, ...] or true, ...}, "deny": {the same}}
 * @len:    its bytes
 *
 * Errors: -EINVAL not like this: krepis_policy_error() says where; -ENOMEM.
 */
KREPIS_SANDBOX_API int krepis_policy_parse(struct krepis_policy *policy, const char *json,
					   size_t len);

/**
 * krepis_policy_format - writes a policy file
 * @policy: the policy
 * @json:   out: the text, with a 0 at its end, to be released with free(3). The same
 *	    policy, whatever the order of its sentences, gives the same text
 *
 * Errors: -ENOMEM.
 */
KREPIS_SANDBOX_API int krepis_policy_format(const struct krepis_policy *policy, char **json);

/**
 * krepis_policy_each - the sentences one after the other, in the order of krepis_policy_format()
 * @policy: the policy
 * @f:	    is called with each; what it returns ends the loop unless it is 0
 * @arg:    for @f
 *
 * Return: what @f returned last, or 0.
 */
KREPIS_SANDBOX_API int krepis_policy_each(const struct krepis_policy *policy,
					  int (*f)(void *arg, bool allow, enum krepis_what what,
						   const char *object),
					  void *arg);

/* krepis_policy_env - whether the policy lets the environment variable @name through */
KREPIS_SANDBOX_API bool krepis_policy_env(const struct krepis_policy *policy, const char *name);

/* krepis_policy_error - what was wrong last, one line; it is good until the next call */
KREPIS_SANDBOX_API const char *krepis_policy_error(const struct krepis_policy *policy);

/* --------------------------------------------------------------------------- domains */

struct krepis_domain;

/**
 * krepis_sandbox_error - in words, why a function of this section failed last
 *
 * One line: what happened, why, and what to type next. Good until the thread's next call.
 */
KREPIS_SANDBOX_API const char *krepis_sandbox_error(void);

/**
 * krepis_sandbox_load - puts the programs into the kernel, if they are not there
 *
 * They stay, pinned in the BPF file system (/sys/fs/bpf), also when the process ends.
 * Every function that needs them does this by itself.
 *
 * Errors: -EOPNOTSUPP BPF is no security module of this kernel, or it lacks type
 * information; -EPERM CAP_BPF, CAP_PERFMON or CAP_SYS_ADMIN is missing; -ENOENT no BPF
 * file system; -ESTALE those that are there belong to another version; others of bpf(2).
 */
KREPIS_SANDBOX_API int krepis_sandbox_load(void);

/**
 * krepis_sandbox_unload - takes the programs out of the kernel
 *
 * Errors: -EBUSY there are domains: remove them first; -ENOENT they are not there; -EPERM.
 */
KREPIS_SANDBOX_API int krepis_sandbox_unload(void);

#define KREPIS_DOMAIN_NAME_MAX	63	/* bytes */
#define KREPIS_DOMAIN_COMPLAIN	(1U << 0)	/* allow everything, and tell what was not */
/*
 * To be removed by whoever makes another one, if nobody is in it KREPIS_DOMAIN_TRANSIENT_S
 * seconds after it was made: whoever made it may be killed before he removes it. One that
 * has a control group stays.
 */
#define KREPIS_DOMAIN_TRANSIENT	(1U << 1)
#define KREPIS_DOMAIN_TRANSIENT_S 10

/**
 * krepis_domain_create - puts a policy into force
 * @name:   not empty, no '/', at most KREPIS_DOMAIN_NAME_MAX bytes, of no other domain
 * @policy: copied
 * @flags:  KREPIS_DOMAIN_*
 * @out:    to be released with krepis_domain_close()
 *
 * Errors: those of krepis_sandbox_load(); -EEXIST; -EINVAL the name, or an unknown flag;
 * -ENOENT a path of the policy does not exist, or a host; -ENOSPC too many domains; -ENOMEM.
 */
KREPIS_SANDBOX_API int krepis_domain_create(const char *name, const struct krepis_policy *policy,
					    uint32_t flags, struct krepis_domain **out);

/* krepis_domain_open - one that is there. Errors: those of krepis_sandbox_load(); -ENOENT; -ENOMEM */
KREPIS_SANDBOX_API int krepis_domain_open(const char *name, struct krepis_domain **out);

/* krepis_domain_close - @domain may be NULL. The domain stays in force */
KREPIS_SANDBOX_API void krepis_domain_close(struct krepis_domain *domain);

/**
 * krepis_domain_remove - ends a domain, not its object
 * @domain: those who are in it may do nothing from now on
 *
 * Errors: -ENOENT it was removed already; -EPERM.
 */
KREPIS_SANDBOX_API int krepis_domain_remove(struct krepis_domain *domain);

/**
 * krepis_domain_set - puts another policy into force
 * @domain: the domain
 * @policy: copied
 *
 * At no moment is more allowed than by the old and the new policy together. What an
 * open file or a connection allows stays allowed, but for channels: their next
 * mapping, hand-over or wait is asked for again.
 *
 * Errors: as krepis_domain_create().
 */
KREPIS_SANDBOX_API int krepis_domain_set(struct krepis_domain *domain,
					 const struct krepis_policy *policy);

/* krepis_domain_policy - the policy in force. @out: see krepis_policy_create(). Errors: -ENOENT; -ENOMEM */
KREPIS_SANDBOX_API int krepis_domain_policy(struct krepis_domain *domain,
					    struct krepis_policy **out);

/**
 * krepis_domain_enter - puts the calling process into the domain, for ever
 * @domain: the domain
 *
 * All threads that share its credentials. Open descriptors stay open. To be called by a
 * child between fork(2) and execve(2), as long as it has its capabilities; it is to set
 * PR_SET_NO_NEW_PRIVS too.
 *
 * Errors: -EBUSY it is in a domain; -ENOENT the domain was removed; -ENOMEM too many
 * credentials are in domains, or in this one; -EPERM.
 */
KREPIS_SANDBOX_API int krepis_domain_enter(struct krepis_domain *domain);

/**
 * krepis_domain_add_cgroup - puts whoever executes a program in a control group into the domain
 * @domain: the domain
 * @path:   of the control group's directory
 *
 * Of those who are in none. It holds for the groups below, too, until a nearer one has a
 * domain of its own.
 *
 * Errors: -ENOTDIR, -ENOENT no control group; -EBUSY it has another domain; -ENOSPC.
 */
KREPIS_SANDBOX_API int krepis_domain_add_cgroup(struct krepis_domain *domain, const char *path);

/**
 * struct krepis_domain_info - of a domain
 * @id:       no other domain gets it, as long as the programs are loaded
 * @complain: KREPIS_DOMAIN_COMPLAIN
 * @denials:  since it was created
 * @lost:     of them, those of which nobody can be told, because nobody read them in time
 */
struct krepis_domain_info {
	char name[KREPIS_DOMAIN_NAME_MAX + 1];
	uint64_t id;
	uint32_t complain;
	uint64_t denials;
	uint64_t lost;
};

KREPIS_SANDBOX_API int krepis_domain_query(struct krepis_domain *domain,
					   struct krepis_domain_info *info);

/**
 * krepis_domain_each - all domains, one after the other
 * @f:	 is called with each; what it returns ends the loop unless it is 0
 * @arg: for @f
 *
 * Return: what @f returned last, or 0; those of krepis_sandbox_load(), but that nothing is
 * loaded is no error.
 */
KREPIS_SANDBOX_API int krepis_domain_each(int (*f)(void *arg, const struct krepis_domain_info *info),
					  void *arg);

/* ----------------------------------------------------------------------------- audit */

struct krepis_audit;

/**
 * struct krepis_denial - something that was not allowed
 * @time_ns: of the clock CLOCK_REALTIME
 * @pid:     of the process
 * @allowed: it happened though, because the domain only complains
 * @comm:    of the thread
 * @what:    in one word: "read", "connect", "capability", ...
 * @object:  the path, address, name or number
 * @sentence: whether a sentence would allow it
 * @flag:    that sentence
 * @flag_object: its object; NULL: none
 */
struct krepis_denial {
	uint64_t time_ns;
	uint32_t pid;
	bool allowed;
	const char *comm;
	const char *what;
	const char *object;
	bool sentence;
	enum krepis_what flag;
	const char *flag_object;
};

/**
 * krepis_audit_open - reads what is denied in a domain
 * @domain: may be closed afterwards
 * @f:	    is called by krepis_audit_read() with each
 * @arg:    for @f
 * @out:    to be released with krepis_audit_close()
 *
 * A denial is read once: by one reader of several. What nobody reads fills the domain's
 * buffer, and from then on is only counted.
 *
 * Errors: -ENOENT the domain was removed; -EPERM; -ENOMEM.
 */
KREPIS_SANDBOX_API int krepis_audit_open(struct krepis_domain *domain,
					 void (*f)(void *arg, const struct krepis_denial *denial),
					 void *arg, struct krepis_audit **out);
KREPIS_SANDBOX_API void krepis_audit_close(struct krepis_audit *audit);
/* krepis_audit_fd - to be polled for reading; it is the object's */
KREPIS_SANDBOX_API int krepis_audit_fd(struct krepis_audit *audit);
/* krepis_audit_read - what is there, without waiting. Return: how many, or a negative errno value */
KREPIS_SANDBOX_API int krepis_audit_read(struct krepis_audit *audit);

/* ----------------------------------------------------------------------- best effort */

/**
 * krepis_best_effort_enter - does with Landlock and seccomp what they can
 * @policy: the policy
 * @f:	    is called with a line about each part of the policy that is not enforced
 * @arg:    for @f
 *
 * For kernels without BPF LSM, and users without its capabilities. The calling thread and
 * its children, for ever; sets PR_SET_NO_NEW_PRIVS. After a failure a part of it may be in force.
 *
 * Errors: -EOPNOTSUPP the kernel has no Landlock; -ENOENT a path does not exist; -ENOMEM;
 * others of landlock_restrict_self(2), seccomp(2).
 */
KREPIS_SANDBOX_API int krepis_best_effort_enter(const struct krepis_policy *policy,
						void (*f)(void *arg, const char *line), void *arg);

#ifdef __cplusplus
}
#endif

#endif /* KREPIS_SANDBOX_H */
