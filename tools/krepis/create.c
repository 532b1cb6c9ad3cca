// SPDX-License-Identifier: MIT
/* krepis create: makes a channel. */
#include <stdlib.h>
#include <string.h>
#include "tool.h"

static const struct option options[] = {
	{ "kind", required_argument, NULL, 'k' },
	{ "backpressure", required_argument, NULL, 'p' },
	{ "consumers", required_argument, NULL, 'c' },
	{ "ring", required_argument, NULL, 'r' },
	{ "inline", required_argument, NULL, 'i' },
	{ "buffers", required_argument, NULL, 'n' },
	{ "buffer-size", required_argument, NULL, 's' },
	{ "layout", required_argument, NULL, 'l' },
	{ "mode", required_argument, NULL, 'm' },
	{ "enforced", no_argument, NULL, 'e' },
	{ "exclusive", no_argument, NULL, 'x' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/* The place of @text in @names, or -1 after a message. */
static int choose(const char *option, const char *text, const char * const *names)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], text))
			return i;
	tool_error("--%s: there is no '%s'. See: krepis help create", option, text);
	return -1;
}

static int parse_kind(const char *text, struct krepis_channel_options *o)
{
	static const char * const names[] = { "ring", "triple", NULL };
	int i = choose("kind", text, names);

	if (i < 0)
		return EXIT_USAGE;
	o->kind = i ? KREPIS_TRIPLE : KREPIS_RING;
	return 0;
}

static int parse_backpressure(const char *text, struct krepis_channel_options *o)
{
	static const char * const names[] = { "block", "fail", "overwrite", NULL };
	static const uint32_t values[] = { KREPIS_BLOCK, KREPIS_FAIL, KREPIS_OVERWRITE };
	int i = choose("backpressure", text, names);

	if (i < 0)
		return EXIT_USAGE;
	o->backpressure = values[i];
	return 0;
}

static int parse_buffers(const char *text, struct krepis_channel_options *o)
{
	uint64_t value;

	if (tool_parse_count("buffers", text, KREPIS_MAX_BUFFERS, &value))
		return EXIT_USAGE;
	o->buffer_count = value;
	if (value)
		o->flags &= ~KREPIS_F_NO_BUFFERS;
	else
		o->flags |= KREPIS_F_NO_BUFFERS;
	return 0;
}

static int parse_mode(const char *text, struct krepis_channel_options *o)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (end == text || *end || !mode || mode > 0777) {
		tool_error("--mode: '%s' is not a file mode in octal, such as 660", text);
		return EXIT_USAGE;
	}
	o->mode = mode;
	return 0;
}

static int parse(int option, struct krepis_channel_options *o)
{
	uint64_t value = 0;
	int err;

	switch (option) {
	case 'k':
		return parse_kind(optarg, o);
	case 'p':
		return parse_backpressure(optarg, o);
	case 'c':
		err = tool_parse_count("consumers", optarg, KREPIS_MAX_CONSUMERS, &value);
		o->max_consumers = value;
		return err;
	case 'r':
		return tool_parse_size("ring", optarg, &value) ? : (o->ring_size = value, 0);
	case 'i':
		err = tool_parse_size("inline", optarg, &value);
		if (!err && value > KREPIS_MAX_INLINE) {
			tool_error("--inline: at most %uK", KREPIS_MAX_INLINE >> 10);
			return EXIT_USAGE;
		}
		o->inline_max = value;
		return err;
	case 'n':
		return parse_buffers(optarg, o);
	case 's':
		return tool_parse_size("buffer-size", optarg, &value) ? : (o->buffer_size = value, 0);
	case 'l':
		err = tool_parse_count("layout", optarg, UINT32_MAX, &value);
		o->layout_id = value;
		return err;
	case 'e':
		o->flags |= KREPIS_F_ENFORCED;
		return 0;
	case 'x':
		o->flags |= KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE;
		o->max_consumers = o->max_consumers ? : 1;
		return 0;
	default:
		return parse_mode(optarg, o);
	}
}

static void print_channel(const char *name, const char *path, const struct krepis_status *status)
{
	const struct krepis_geometry *g = &status->geometry;
	char ring[32], size[32], memory[32];

	print_escaped(stdout, name, strlen(name));
	printf(": %s%s, ", g->flags & KREPIS_F_EXCLUSIVE ? "exclusive " :
			   g->flags & KREPIS_F_ENFORCED ? "enforced " : "", kind_name(g->kind));
	if (g->kind == KREPIS_RING)
		printf("%s of records, inline up to %u, %s, up to %u consumers, ",
		       tool_size_text(g->ring_size, ring, sizeof(ring)), g->inline_max,
		       backpressure_name(g->backpressure), g->max_consumers);
	if (g->buffer_count)
		printf("%u buffers of %s, ", g->buffer_count,
		       tool_size_text(g->buffer_size, size, sizeof(size)));
	printf("%s in ", tool_amount_text(status->channel_bytes, memory, sizeof(memory)));
	print_escaped(stdout, path, strlen(path));
	putchar('\n');
}

static int create(const char *name, const struct krepis_channel_options *o, bool json)
{
	struct krepis_status status = { .size = sizeof(status) };
	struct krepis_channel *channel;
	char path[PATH_SIZE];
	int err;

	err = krepis_channel_create(name, o, &channel);
	if (err == -EINVAL || err == -E2BIG) {
		tool_error("cannot create channel '%s': no channel can have this shape: %s. See the limits in: krepis help create",
			   name, krepis_strerror(err));
		return EXIT_USAGE;
	}
	if (err == -EOPNOTSUPP && (o->flags & KREPIS_F_ENFORCED)) {
		tool_error("cannot create channel '%s': only the kernel can enforce its rules, and the module is not at hand where it would stand. See: krepis doctor",
			   name);
		return EXIT_FAILED;
	}
	if (err)
		return tool_channel_error("create", name, err);
	err = krepis_query(channel, &status);
	krepis_channel_close(channel);
	if (!err)
		err = tool_path(name, path, sizeof(path));
	if (err)
		return tool_channel_error("look at", name, err);
	if (json) {
		json_channel(stdout, name, path, &status);
		putchar('\n');
	} else {
		print_channel(name, path, &status);
	}
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct krepis_channel_options o = { .size = sizeof(o) };
	bool json = false;
	int option;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		if (option == TOOL_OPT_HELP)
			return tool_help(&command_create);
		if (option == TOOL_OPT_BAD)
			return EXIT_USAGE;
		if (option == 'j')
			json = true;
		else if (parse(option, &o))
			return EXIT_USAGE;
	}
	if (argc - optind != 1)
		return tool_usage(argv[0], "needs one NAME");
	return create(argv[optind], &o, json);
}

const struct tool_command command_create = {
	.name = "create",
	.summary = "Make a channel.",
	.synopsis = "NAME [--kind ring|triple] [--backpressure block|fail|overwrite]\n"
		    "NAME [--consumers N] [--ring SIZE] [--inline SIZE] [--buffers N]\n"
		    "NAME [--buffer-size SIZE] [--layout ID] [--mode OCTAL] [--enforced] [--exclusive]\n"
		    "NAME [--json]",
	.help =
	"  --kind KIND       ring: every message, in order, to every consumer (default)\n"
	"                    triple: the latest value only; its producer never waits\n"
	"  --backpressure P  when the ring is full: block (default), fail, overwrite\n"
	"  --consumers N     slots, 1 to 32 (default 8; a triple has 1)\n"
	"  --ring SIZE       a power of two, 4K to 1G (default 256K)\n"
	"  --inline SIZE     largest message copied into the ring, 8 to 64K (default 4K)\n"
	"  --buffers N       buffers for larger messages, 0 to 65536 (default 16)\n"
	"  --buffer-size S   bytes of each, up to 2G (default 1M)\n"
	"  --layout ID       of its messages, as krepis-codegen says: other programs are refused\n"
	"  --mode OCTAL      permissions, less the umask (default 600)\n"
	"  --enforced        what was handed over is out of the producer's reach: needs the module\n"
	"  --exclusive       enforced, and the one consumer may edit in place: who holds a\n"
	"                    buffer is the only one who sees it\n"
	"  --json            print the channel as JSON\n\n"
	"A SIZE is in bytes, or has K, M or G (powers of 1024). The memory is reserved at once.\n\n"
	"Example:\n"
	"  krepis create cam --buffers 8 --buffer-size 4M\n"
	"  krepis create position --kind triple --buffer-size 64\n"
	"  krepis create plugin --enforced --mode 660\n",
	.run = run,
};
