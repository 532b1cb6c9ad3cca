/* SPDX-License-Identifier: MIT */
/*
 * What krepis run and krepis policy share: the sentences of a policy as options.
 */
#ifndef _KREPIS_TOOL_SANDBOX_H
#define _KREPIS_TOOL_SANDBOX_H

#include <krepis/sandbox.h>
#include "tool.h"

/* The values of the options: a sentence each, and all that can be allowed. */
#define SANDBOX_ALLOW		0x100
#define SANDBOX_DENY		0x200
#define SANDBOX_ALLOW_ALL	0x300

#define SANDBOX_SENTENCE(name, what)						\
	{ "allow-" name, optional_argument, NULL, SANDBOX_ALLOW + (what) },	\
	{ "deny-" name, optional_argument, NULL, SANDBOX_DENY + (what) }

/* To stand in the table of options of a subcommand. */
#define SANDBOX_OPTIONS								\
	SANDBOX_SENTENCE("read", KREPIS_READ),					\
	SANDBOX_SENTENCE("write", KREPIS_WRITE),				\
	SANDBOX_SENTENCE("exec", KREPIS_EXEC),					\
	SANDBOX_SENTENCE("net", KREPIS_NET),					\
	SANDBOX_SENTENCE("unix", KREPIS_UNIX),					\
	SANDBOX_SENTENCE("channel", KREPIS_CHANNEL),				\
	SANDBOX_SENTENCE("env", KREPIS_ENV),					\
	SANDBOX_SENTENCE("sys", KREPIS_SYS),					\
	{ "allow-all", no_argument, NULL, SANDBOX_ALLOW_ALL }

/* And in its help. */
#define SANDBOX_OPTIONS_HELP							\
	"  --allow-read[=PATH,...]   read it and all below it\n"		\
	"  --allow-write[=PATH,...]  change, create, remove, rename; ioctl of devices\n" \
	"  --allow-exec[=PATH,...]   execute it\n"				\
	"  --allow-net[=OBJECT,...]  [HOST][:PORT] to connect and send to, bind:[HOST][:PORT]\n" \
	"                            to be; HOST is an address, a network (10.0.0.0/8), a name\n" \
	"                            or *\n"					\
	"  --allow-unix[=OBJECT,...] PATH or @ABSTRACT-NAME of a UNIX socket\n"	\
	"  --allow-channel[=PATH:ROLE[:pass],...]  a channel; ROLE is r, w or rw\n" \
	"  --allow-env[=NAME,...]    pass the environment variable; NAME may end with *\n" \
	"  --allow-sys[=NAME,...]    a capability (net_admin), ipc, userns, netlink, sockets\n" \
	"  --deny-...                the same words; what is denied stays denied\n" \
	"  --allow-all               every --allow-... without an object\n"

bool sandbox_is_sentence(int option);
int sandbox_sentence(const char *command, struct krepis_policy *policy, int option);
int sandbox_policy_file(struct krepis_policy *policy, const char *path);
int sandbox_policy_copy(const struct krepis_policy *from, struct krepis_policy **to);
char *sandbox_flag(bool allow, enum krepis_what what, const char *object);
void print_shell(FILE *out, const char *text);
int sandbox_failed(int err);

#endif /* _KREPIS_TOOL_SANDBOX_H */
