// SPDX-License-Identifier: MIT
/*
 * krepis-bench: krepis beside its peers, in one run on one machine.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "count.h"

#define ROUNDS		12
#define QUICK_ROUNDS	3
#define VM_ROUNDS	8

static const struct bench_scenario *const scenarios[] = {
	&s1_latency, &s2_rate, &s3_fixed, &s4_wake, &s5_handover, &s6_broadcast, &s7_triple,
	&s8_pool, &s9_crc, &s10_founding, &s11_startup, &s12_growth, &s13_batch, &s14_calls,
	&s15_memory,
};

/* What --vm measures: an emulated machine takes 10 to 30 times as long. */
static const char *const vm_cases[] = {
	"S1/*/8", "S2/*/64", "S2/*/64/*", "S4/*", "S5/*/4096/*", "S5/*/65536/*", "S5/*/262144/*",
	"S5/*/1048576*", "S5/*/4194304*", "S7/*", "S13/*", "S14/*", "S15/*", NULL,
};

static const char usage[] =
"usage: krepis-bench [OPTION]...\n"
"\n"
"  --scenario S1,S2   only these\n"
"  --match TEXT       only cases whose id contains TEXT\n"
"  --rounds N         rounds of each case, 1 to 100 (default 12)\n"
"  --quick            3 short rounds\n"
"  --vm               what says something about the module in an emulated machine: 8 short rounds\n"
"  --cpus A,B         the two processors (default: two cores with a common cache)\n"
"  --json FILE        the records (default build/bench/native.json or vm.json)\n"
"  --list             the cases, and what is missing here\n"
"  --verbose          say why rounds are discarded\n"
"  --help\n";

/* Makes the directories above a file. What fails here, fails again at fopen(). */
static void make_parents(const char *path)
{
	char *copy = strdup(path), *slash;

	if (!copy)
		return;
	for (slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(copy, 0777);
		*slash = '/';
	}
	free(copy);
}

static bool known(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (!strcmp(scenarios[i]->name, name))
			return true;
	return false;
}

/* Whether @name stands in the comma-separated @list. */
static bool chosen(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (list && *list) {
		if (!strncmp(list, name, n) && (list[n] == ',' || !list[n]))
			return true;
		list = strchr(list, ',');
		list += list ? 1 : 0;
	}
	return false;
}

static bool all_known(const char *list)
{
	char *copy = strdup(list), *save, *name;
	bool good = copy;

	for (name = copy ? strtok_r(copy, ",", &save) : NULL; name;
	     name = strtok_r(NULL, ",", &save))
		if (!known(name)) {
			fprintf(stderr, "krepis-bench: no scenario %s\n", name);
			good = false;
		}
	free(copy);
	return good;
}

static void list_cases(const struct bench_suite *suite)
{
	unsigned int i;
	char id[128];

	printf("%s  %s\n", suite->scenario->name, suite->scenario->title);
	for (i = 0; i < suite->count; i++) {
		const struct bench_case *what = &suite->row[i].what;

		case_id(id, sizeof(id), suite->scenario, what);
		if (what->missing)
			printf("  %s  %s: %s\n", id, case_absence(what), what->missing);
		else
			printf("  %s\n", id);
	}
}

static int run_all(const struct bench_options *options, const char *only, bool list,
		   const char *json)
{
	struct bench_suite *suite = malloc(sizeof(*suite));
	unsigned int failed = 0;
	uint64_t began = clock_ns();
	size_t i;
	int err;

	if (!suite)
		return 1;
	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		if (only && !chosen(only, scenarios[i]->name))
			continue;
		suite_open(suite, scenarios[i], options);
		if (list)
			list_cases(suite);
		else
			failed += suite_measure(suite, options);
	}
	free(suite);
	if (list)
		return 0;
	report_goals();
	make_parents(json);
	err = report_json(json);
	if (err) {
		fprintf(stderr, "krepis-bench: %s: %s\n", json, strerror(-err));
		return 1;
	}
	printf("\nrecords in %s; %.0f s; %u cases failed\n", json,
	       (double)(clock_ns() - began) / 1e9, failed);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "scenario", required_argument, NULL, 's' },
		{ "match", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "quick", no_argument, NULL, 'q' },
		{ "vm", no_argument, NULL, 'V' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "json", required_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *only = NULL, *cpus = NULL, *json = NULL;
	struct bench_options options = { 0 };
	bool list = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 's':
			only = optarg;
			break;
		case 'm':
			options.match = optarg;
			break;
		case 'r':
			options.rounds = (unsigned int)atoi(optarg);
			if (options.rounds >= 1 && options.rounds <= BENCH_MAX_ROUNDS)
				break;
			fprintf(stderr, "krepis-bench: --rounds is 1 to %d\n", BENCH_MAX_ROUNDS);
			return 2;
		case 'q':
			options.quick = true;
			break;
		case 'V':
			options.vm = true;
			options.only = vm_cases;
			break;
		case 'c':
			cpus = optarg;
			break;
		case 'j':
			json = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (!options.rounds)
		options.rounds = options.quick ? QUICK_ROUNDS : options.vm ? VM_ROUNDS : ROUNDS;
	if (!json)
		json = options.vm ? "build/bench/vm.json" : "build/bench/native.json";
	if (only && !all_known(only))
		return 2;
	if (list)
		return run_all(&options, only, true, json);
	err = machine_init(cpus);
	if (err) {
		fprintf(stderr, "krepis-bench: two processors are needed: %s\n", strerror(-err));
		return 1;
	}
	machine.emulated = options.vm;
	machine_print();
	/* To say what cannot be counted here, before anything is measured. */
	options.count = !options.vm && count_begin();
	count_end();
	return run_all(&options, only, false, json);
}
