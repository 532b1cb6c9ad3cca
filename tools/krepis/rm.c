// SPDX-License-Identifier: MIT
/* krepis rm: removes a channel's name. */
#include "tool.h"

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static int run(int argc, char **argv)
{
	struct krepis_channel *channel;
	const char *name;
	int option, err;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END)
		return option == TOOL_OPT_HELP ? tool_help(&command_rm) : EXIT_USAGE;
	if (argc - optind != 1)
		return tool_usage(argv[0], "needs one NAME");
	name = argv[optind];
	/* Not everything that stands there is ours to remove. */
	err = krepis_channel_open(name, 0, &channel);
	if (!err)
		krepis_channel_close(channel);
	else if (err != -EPROTONOSUPPORT)
		return tool_channel_error("remove", name, err);
	err = krepis_unlink(name);
	return err ? tool_channel_error("remove", name, err) : EXIT_DONE;
}

const struct tool_command command_rm = {
	.name = "rm",
	.summary = "Remove a channel's name; who is attached goes on.",
	.synopsis = "NAME",
	.help =
	"The memory is freed when the last one who has it open has gone. A file that is not a\n"
	"channel is left alone.\n\n"
	"Example:\n"
	"  krepis create cam\n"
	"  krepis rm cam\n",
	.run = run,
};
