// SPDX-License-Identifier: MIT
/* krepis ls: the channels of a directory, and who is there. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "tool.h"

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/* "256K ring, 16x1M" */
static void geometry_text(const struct krepis_geometry *g, char *text, size_t size)
{
	char ring[32], buffer[32], buffers[64] = "";

	tool_size_text(g->ring_size, ring, sizeof(ring));
	tool_size_text(g->buffer_size, buffer, sizeof(buffer));
	if (g->buffer_count)
		snprintf(buffers, sizeof(buffers), "%ux%s", g->buffer_count, buffer);
	snprintf(text, size, "%s%s%s", g->ring_size ? ring : "", g->ring_size && g->buffer_count ?
		 "+" : "", buffers);
}

static void print_row(const char *name, const struct krepis_status *status)
{
	const struct krepis_geometry *g = &status->geometry;
	unsigned long long drops = status->counters.drops;
	char shape[96], memory[32], consumers[16];
	unsigned int i;

	for (i = 0; i < KREPIS_MAX_CONSUMERS; i++)
		if (status->live >> i & 1)
			drops += status->consumers[i].drops;
	geometry_text(g, shape, sizeof(shape));
	snprintf(consumers, sizeof(consumers), "%d/%u", __builtin_popcount(status->live),
		 g->max_consumers);
	printf("%-6s %-9s %-11s %-14s %10s %-8s %9s %12llu %15llu %8llu %6u  ", kind_name(g->kind),
	       g->kind == KREPIS_RING ? backpressure_name(g->backpressure) : "-",
	       status->guarantee == KREPIS_ENFORCED ? "enforced" : "cooperative", shape,
	       tool_amount_text(status->channel_bytes, memory, sizeof(memory)),
	       status->producer ? "yes" : "no", consumers,
	       (unsigned long long)status->counters.messages,
	       (unsigned long long)status->counters.bytes, drops, status->deaths);
	print_escaped(stdout, name, strlen(name));
	putchar('\n');
}

/* One directory entry: 1 if it is a channel, and printed. */
static int show(const char *directory, const char *name, bool json, bool first)
{
	struct krepis_status status = { .size = sizeof(status) };
	struct krepis_channel *channel;
	char path[PATH_SIZE];
	struct stat st;
	int err;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path) ||
	    lstat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	err = krepis_channel_open(path, 0, &channel);
	if (err == -EMEDIUMTYPE || err == -ENOENT)
		return 0;
	if (!err) {
		err = krepis_query(channel, &status);
		krepis_channel_close(channel);
	}
	if (err) {
		tool_channel_error("look at", path, err);
		return 0;
	}
	if (json) {
		fputs(first ? "" : ",", stdout);
		json_channel(stdout, name, path, &status);
	} else {
		if (first)
			printf("%-6s %-9s %-11s %-14s %10s %-8s %9s %12s %15s %8s %6s  %s\n",
			       "KIND", "WHEN FULL", "GUARANTEE", "RING+BUFFERS", "MEMORY", "PRODUCER", "CONSUMERS",
			       "MESSAGES", "BYTES", "DROPS", "DEATHS", "NAME");
		print_row(name, &status);
	}
	return 1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int list(const char *directory, bool is_default, bool json)
{
	struct dirent **entries = NULL;
	int n, i, shown = 0;

	n = scandir(directory, &entries, NULL, by_name);
	if (n < 0 && (errno != ENOENT || !is_default)) {
		tool_error("cannot list '%s': %s. Without DIR, krepis ls shows where names stand",
			   directory, strerror(errno));
		return errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_FAILED;
	}
	if (json) {
		fputs("{\"directory\":", stdout);
		json_text(stdout, directory);
		fputs(",\"channels\":[", stdout);
	}
	for (i = 0; i < n; i++) {
		shown += show(directory, entries[i]->d_name, json, !shown);
		free(entries[i]);
	}
	free(entries);
	if (json)
		fputs("]}\n", stdout);
	else if (!shown)
		fprintf(stderr, "krepis: no channels in %s. Make one with: krepis create NAME\n",
			directory);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
	char directory[PATH_SIZE];
	bool json = false;
	int option, err;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		if (option == TOOL_OPT_HELP)
			return tool_help(&command_ls);
		if (option == TOOL_OPT_BAD)
			return EXIT_USAGE;
		json = true;
	}
	if (argc - optind > 1)
		return tool_usage(argv[0], "takes one DIR at most");
	if (argc - optind == 1)
		return list(argv[optind], false, json);
	err = krepis_directory(directory, sizeof(directory));
	if (err)
		return tool_error_exit("cannot list", "$KREPIS_DIR", err);
	return list(directory, true, json);
}

const struct tool_command command_ls = {
	.name = "ls",
	.summary = "List channels: shape, memory, who is attached, what went through.",
	.synopsis = "[DIR] [--json]",
	.help =
	"  --json   one object: {\"directory\", \"channels\": [...]}\n\n"
	"Files that are not channels are skipped. MESSAGES and BYTES are those of the present or\n"
	"last producer; DEATHS counts who went without detaching since the channel was made.\n\n"
	"Example:\n"
	"  krepis ls\n"
	"  krepis ls --json | python3 -m json.tool\n",
	.run = run,
};
