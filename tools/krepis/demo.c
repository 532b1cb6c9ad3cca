// SPDX-License-Identifier: MIT
/*
 * krepis demo: real files of this machine through channels, every byte checked,
 * and the same bytes through a pipe and a UNIX socket for comparison.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "demo.h"

#define TARGET		(1ULL << 30)
#define TARGET_SMALL	(64ULL << 20)
#define SMALL_FILES	512
#define ROUNDS		3
#define RATE_BYTES	(256ULL << 20)	/* for a rate, at least so much */
#define REPEAT_MOST	256

static const struct option options[] = {
	{ "small", no_argument, NULL, 's' },
	{ "path", required_argument, NULL, 'p' },
	{ "no-grid", no_argument, NULL, 'g' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/**
 * struct demo - one run
 * @live:    progress on standard error is rewritten in place
 * @digests: SHA-256 of each file by each consumer
 * @samples: of the latency job, by each consumer in turn
 */
struct demo {
	const char *path;
	bool small;
	bool grid;
	bool json;
	bool live;
	struct demo_set set;
	struct demo_report report;
	struct grid_result grid_result;
	uint8_t (*digests)[DEMO_SHA256];
	uint32_t *samples;
};

static void say(const struct demo *d, const char *text)
{
	demo_progress(d->live, NULL, 0, 0);
	if (!d->live)
		fprintf(stderr, "krepis demo: %s\n", text);
}

/* As much as the page cache can surely hold, so that disks do not count. */
static uint64_t target_bytes(bool small)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	uint64_t target = small ? TARGET_SMALL : TARGET;

	return memory / 4 < target ? memory / 4 : target;
}

static int prepare(struct demo *d)
{
	int err;

	say(d, "choosing files of this machine");
	err = demo_collect(&d->set, d->path, target_bytes(d->small), SMALL_FILES);
	if (err == -ENOENT)
		tool_error("demo: no readable files in %s. Choose another directory with: krepis demo --path DIR",
			   d->path ? d->path : "/usr");
	if (err)
		return err;
	say(d, "reading the files and computing their SHA-256");
	err = demo_digest(&d->set, d->live);
	if (err)
		return err;
	d->digests = demo_share(DEMO_CONSUMERS * (size_t)d->set.count * DEMO_SHA256);
	d->samples = demo_share(DEMO_CONSUMERS * DEMO_PINGS * sizeof(*d->samples));
	return d->digests && d->samples ? 0 : -ENOMEM;
}

static void compare(struct demo *d)
{
	uint32_t i, consumer;

	for (i = 0; i < d->set.count; i++) {
		for (consumer = 0; consumer < DEMO_CONSUMERS; consumer++) {
			uint8_t *sha = d->digests[consumer * d->set.count + i];

			if (!memcmp(sha, d->set.files[i].sha256, DEMO_SHA256))
				continue;
			tool_error("demo: consumer %u received other bytes than %s holds", consumer + 1,
				   d->set.files[i].path);
			d->report.bad++;
		}
	}
}

/* The main job: every file to two processes, and both can prove that they have it. */
static int verify(struct demo *d)
{
	struct demo_job job = {
		.work = DEMO_SHA,
		.set = &d->set,
		.rounds = 1,
		.progress = d->live,
		.digests = { d->digests, d->digests + d->set.count },
	};
	int err;

	say(d, "one producer, two consumers that compute SHA-256 of every file");
	err = demo_job_run(&job, &demo_ways[0], &d->report.sha);
	if (err)
		return err;
	compare(d);
	return d->report.bad ? -EBADMSG : 0;
}

/* Round by round, all ways in turn: machines drift. */
static int measure_rates(struct demo *d)
{
	struct demo_job job = {
		.work = DEMO_CRC,
		.set = &d->set,
		.rounds = d->report.repeat,
		.progress = d->live,
	};
	unsigned int round, i;
	int err;

	say(d, "the same bytes by krepis, pipe and UNIX socket");
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < DEMO_WAYS; i++) {
			struct demo_figures *f = &d->report.ways[i];

			err = demo_job_run(&job, &demo_ways[i], &f->result);
			if (err)
				return err;
			f->rates[f->rounds++] = f->result.bytes / 1e6 / f->result.seconds;
		}
	}
	return 0;
}

static int ping(struct demo *d, const struct demo_way *way, uint32_t pings, int64_t pace_ns,
		uint32_t latency[4])
{
	struct demo_job job = {
		.work = DEMO_LATENCY,
		.set = &d->set,
		.rounds = 1,
		.progress = d->live,
		.samples = { d->samples, d->samples + pings },
		.pings = pings,
		.pace_ns = pace_ns,
	};
	struct demo_result result;
	int err;

	err = demo_job_run(&job, way, &result);
	if (!err)
		demo_latency(latency, d->samples, way->consumers * pings);
	return err;
}

static int measure_latency(struct demo *d)
{
	unsigned int i;
	int err = 0;

	say(d, "latency of small messages");
	for (i = 0; i < DEMO_WAYS && !err; i++) {
		struct demo_figures *f = &d->report.ways[i];

		err = ping(d, &demo_ways[i], DEMO_PINGS, DEMO_PACE_NS, f->latency);
		if (!err)
			err = ping(d, &demo_ways[i], DEMO_RARE_PINGS, DEMO_RARE_NS, f->asleep);
	}
	return err;
}

static int show_grid(struct demo *d)
{
	struct grid_result *g = &d->grid_result;
	int err;

	if (!d->grid)
		return 0;
	say(d, "a terminal grid through a triple channel");
	err = demo_grid(g, d->small && !isatty(STDOUT_FILENO) ? 1 : 3, d->json);
	if (err)
		return err;
	d->report.grid = g;
	if (g->torn || g->backwards || !g->shown) {
		tool_error("demo: triple channel: %llu frames shown, %llu torn, %llu out of order",
			   (unsigned long long)g->shown, (unsigned long long)g->torn,
			   (unsigned long long)g->backwards);
		return -EBADMSG;
	}
	return 0;
}

static int run_all(struct demo *d)
{
	int err;

	err = prepare(d);
	if (err)
		return err;
	d->report.set = &d->set;
	/* Few files: the same ones again and again, so that there is something to measure. */
	d->report.repeat = 1 + RATE_BYTES / (d->set.bytes + 1);
	if (d->report.repeat > REPEAT_MOST)
		d->report.repeat = REPEAT_MOST;
	err = verify(d);
	if (!err)
		err = measure_rates(d);
	if (!err)
		err = measure_latency(d);
	if (!err)
		err = show_grid(d);
	demo_progress(d->live, NULL, 0, 0);
	return err;
}

static int finish(struct demo *d, int err)
{
	if (tool_signalled())
		return tool_signal_exit();
	if (d->json) {
		if (d->report.set)
			demo_print_json(&d->report, !err);
	} else if (!err) {
		demo_print(&d->report);
		puts("\nAll checks held.");
	}
	if (err)
		tool_error("demo: failed: %s", krepis_strerror(err));
	return err || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int run(int argc, char **argv)
{
	struct demo d = { .grid = true, .live = isatty(STDERR_FILENO) };
	int option, err;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		switch (option) {
		case 's':
			d.small = true;
			break;
		case 'p':
			d.path = optarg;
			break;
		case 'g':
			d.grid = false;
			break;
		case 'j':
			d.json = true;
			break;
		case TOOL_OPT_HELP:
			return tool_help(&command_demo);
		default:
			return EXIT_USAGE;
		}
	}
	if (optind != argc)
		return tool_usage(argv[0], "takes no arguments but options");
	err = finish(&d, run_all(&d));
	free(d.grid_result.last);
	demo_set_free(&d.set);
	return err;
}

const struct tool_command command_demo = {
	.name = "demo",
	.summary = "Move real files between processes, check every byte, compare with pipe and socket.",
	.synopsis = "[--small] [--path DIR] [--no-grid] [--json]",
	.help =
	"  --small      64 MiB of files instead of 1 GiB\n"
	"  --path DIR   files from there instead of /usr and its like\n"
	"  --no-grid    without the terminal grid\n"
	"  --json       the figures as JSON, and nothing on the terminal but progress\n\n"
	"One process sends the files to two others through one ring channel; both compute SHA-256\n"
	"of each, and the demo fails with the file's name if one differs from what read(2) gives.\n"
	"Then the same bytes go by krepis, a pipe and a UNIX socket, and a table compares them. Last,\n"
	"a terminal grid goes through a triple channel. Exit code 0 only if all checks held.\n\n"
	"Example:\n"
	"  krepis demo\n"
	"  krepis demo --small --json | python3 -m json.tool\n",
	.run = run,
};
