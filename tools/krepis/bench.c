// SPDX-License-Identifier: MIT
/* krepis bench: how fast it is here, beside what every system has. The short version of krepis-bench. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "backend.h"
#include "tool.h"

#define ROUNDS		8

static const struct option options[] = {
	{ "cpus", required_argument, NULL, 'c' },
	{ "json", required_argument, NULL, 'j' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static const struct bench_scenario *const scenarios[] = {
	&s1_latency, &s2_rate, &s4_wake, &s5_handover,
};

static const char *const cases[] = {
	"S1/*/64", "S2/*/64", "S2/*/64/batch32", "S4/*/8", "S4/*/8/idle", "S5/*/4096/handover",
	"S5/*/16777216/handover", "S5/*/1048576/full", NULL,
};

static int measure(const struct bench_options *how)
{
	struct bench_suite *suite = malloc(sizeof(*suite));
	unsigned int i, failed = 0;

	for (i = 0; suite && i < ARRAY_SIZE(scenarios); i++) {
		suite_open(suite, scenarios[i], how);
		failed += suite_measure(suite, how);
	}
	free(suite);
	return suite && !failed ? EXIT_DONE : EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	struct bench_options how = { .rounds = ROUNDS, .only = cases, .present = true };
	const char *cpus = NULL, *json = NULL;
	uint64_t rounds;
	int option, result, err;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		switch (option) {
		case 'c':
			cpus = optarg;
			break;
		case 'j':
			json = optarg;
			break;
		case 'r':
			if (tool_parse_count("rounds", optarg, BENCH_MAX_ROUNDS, &rounds))
				return EXIT_USAGE;
			if (!rounds)
				return tool_usage(argv[0], "--rounds is 1 to %d", BENCH_MAX_ROUNDS);
			how.rounds = (unsigned int)rounds;
			break;
		case TOOL_OPT_HELP:
			return tool_help(&command_bench);
		default:
			return EXIT_USAGE;
		}
	}
	if (argc != optind)
		return tool_usage(argv[0], "takes no operand");
	err = machine_init(cpus);
	if (err == -EINVAL && cpus)
		return tool_usage(argv[0], "--cpus '%s' are not two processors of this machine", cpus);
	if (err) {
		tool_error("measuring wants two processors, and there are not: %s", strerror(-err));
		return EXIT_NOT_FOUND;
	}
	/* Nothing is left behind by who is stopped in the middle. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	machine_print();
	if (backend_no_module())
		printf("module     not measured: %s\n", backend_no_module());
	result = measure(&how);
	err = json && result == EXIT_DONE ? report_json(json) : 0;
	if (err) {
		tool_error("cannot write %s: %s", json, strerror(-err));
		return EXIT_FAILED;
	}
	return result;
}

const struct tool_command command_bench = {
	.name = "bench",
	.summary = "Measure channels beside pipes and sockets, on this machine, in a minute.",
	.synopsis = "[OPTIONS]",
	.help =
	"Latency and messages a second of 64 bytes, sleep and wake, the hand-over of buffers.\n"
	"A row is the median of 8 rounds, in which all take turns; 'krepis is' says how many times\n"
	"better krepis was than that row. With '!' it was disturbed: run it again when nothing else\n"
	"runs. raw: bare cache lines, the limit. -spin: non-blocking, and asked again and again.\n\n"
	"  --cpus A,B   the two processors (default: two cores with a common cache)\n"
	"  --json FILE  write the records, too\n"
	"  --rounds N   1 to 100 (default 8)\n\n"
	"Example:\n"
	"  krepis bench\n"
	"  krepis bench --cpus 2,4 --json bench.json\n",
	.run = run,
};
