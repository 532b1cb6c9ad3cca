// SPDX-License-Identifier: MIT
/*
 * krepis run, policy and oci-hook where the library of the sandbox could not be built:
 * they say why. The Makefile takes this file instead of the others, and names the packages.
 */
#include <string.h>
#include "tool.h"

static const struct tool_command *find(const char *name)
{
	return !strcmp(name, "run") ? &command_run :
	       !strcmp(name, "policy") ? &command_policy : &command_oci_hook;
}

static int run(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return tool_help(find(argv[0]));
	tool_error("this krepis was built without the sandbox, as packages were missing: %s. To have it: apt install %s, and build krepis again",
		   KREPIS_SANDBOX_LACKS, KREPIS_SANDBOX_LACKS);
	return EXIT_NOT_FOUND;
}

#define HELP								\
	"This krepis was built without the sandbox, as packages were missing:\n"	\
	"  " KREPIS_SANDBOX_LACKS "\n\n"				\
	"Example:\n"							\
	"  apt install " KREPIS_SANDBOX_LACKS "\n"			\
	"  make && build/krepis run --help\n"

const struct tool_command command_run = {
	.name = "run",
	.summary = "Run a command that may do only what it is allowed.",
	.synopsis = "[OPTIONS] [--] COMMAND [ARGUMENT...]",
	.help = HELP,
	.run = run,
};

const struct tool_command command_policy = {
	.name = "policy",
	.summary = "See and change what commands in a sandbox may do, while they run.",
	.synopsis = "ls|show|set|allow|revoke|rm|load|unload",
	.help = HELP,
	.run = run,
};

const struct tool_command command_oci_hook = {
	.name = "oci-hook",
	.summary = "A hook of container runtimes: all of a container is in a sandbox.",
	.synopsis = "[STAGE] [--policy FILE] [--optional]",
	.help = HELP,
	.run = run,
};
