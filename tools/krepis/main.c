// SPDX-License-Identifier: MIT
/* krepis(1): the subcommands, help and version. */
#include <string.h>
#include "tool.h"

static const struct tool_command * const commands[] = {
	&command_create, &command_ls, &command_rm, &command_send,
	&command_recv, &command_cat, &command_run, &command_policy, &command_oci_hook,
	&command_demo, &command_bench, &command_doctor,
};

static const struct tool_command *find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int unknown(const char *name)
{
	tool_error("there is no subcommand '%s'. See the list with: krepis help", name);
	return EXIT_USAGE;
}

static void list(FILE *out)
{
	unsigned int i;

	fputs("usage: krepis SUBCOMMAND [OPTIONS]\n"
	      "       krepis help [SUBCOMMAND]\n"
	      "       krepis --version\n\n"
	      "Zero-copy messages between processes, through shared memory, and a sandbox for them.\n\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nA NAME without '/' stands in $KREPIS_DIR, else /run/krepis if the module is\n"
	      "mounted there, else $XDG_RUNTIME_DIR/krepis if that is tmpfs, else /dev/shm/krepis-UID. With a '/' it is a path.\n\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found or not available, 4 the\n"
	      "other side died or left too early, 5 timed out, 130 and 143 stopped by a signal.\n\n"
	      "Example:\n"
	      "  krepis create cam; krepis recv cam --count 1 &\n"
	      "  krepis send cam 'hello'\n", out);
}

static int help(int argc, char **argv)
{
	const struct tool_command *command;

	if (argc < 2) {
		list(stdout);
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (argc > 2) {
		tool_error("help takes one subcommand, not %d. See the list with: krepis help",
			   argc - 1);
		return EXIT_USAGE;
	}
	command = find(argv[1]);
	return command ? tool_help(command) : unknown(argv[1]);
}

int main(int argc, char **argv)
{
	const struct tool_command *command;

	if (argc < 2) {
		list(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("krepis %s\n", krepis_version());
		return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc - 1, argv + 1);
	command = find(argv[1]);
	if (!command)
		return unknown(argv[1]);
	tool_signals_init();
	return command->run(argc - 1, argv + 1);
}
