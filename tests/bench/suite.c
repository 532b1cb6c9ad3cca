// SPDX-License-Identifier: MIT
/*
 * The cases of one scenario, their rounds in rotation, and what comes out of them.
 */
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"

#define WARMUP_NS	5000000ULL
/* At one round of one case, while the machine disturbs it; of all rounds, once more each. */
#define ATTEMPTS	3
/* The run that counts takes that part of a round's time. */
#define COUNT_SHARE	4

void case_id(char *id, size_t size, const struct bench_scenario *scenario,
	     const struct bench_case *what)
{
	snprintf(id, size, "%s/%s/%llu%s%s", scenario->name, what->impl,
		 (unsigned long long)what->param, what->variant ? "/" : "",
		 what->variant ? what->variant : "");
}

const char *case_absence(const struct bench_case *what)
{
	return what->flags & BENCH_IMPOSSIBLE ? "not possible" : "missing";
}

void case_ours(struct bench_case *what, uint32_t group)
{
	uint32_t backends = group << 8;

	what->ours |= group;
	if (!strcmp(what->impl, "krepis-kmod"))
		what->ours |= backends;
	else if (!strcmp(what->impl, "krepis-shm"))
		what->peer |= backends;
}

void suite_add(struct bench_suite *suite, const struct bench_case *what)
{
	struct bench_row *row;

	if (suite->count == BENCH_MAX_CASES) {
		fprintf(stderr, "krepis-bench: more than %d cases\n", BENCH_MAX_CASES);
		abort();
	}
	row = &suite->row[suite->count++];
	memset(row, 0, sizeof(*row));
	row->what = *what;
}

static void tell(const struct bench_suite *suite, const struct bench_row *row, const char *why)
{
	char id[128];

	case_id(id, sizeof(id), suite->scenario, &row->what);
	fprintf(stderr, "%s: %s\n", id, why);
}

static uint64_t round_ns(const struct bench_suite *suite, const struct bench_row *row,
			 const struct bench_options *options)
{
	uint64_t ns = row->what.measure_ns ? row->what.measure_ns : suite->scenario->measure_ns;

	return options->quick || options->vm ? ns / 2 : ns;
}

/*
 * A disturbed round is taken again at once, so that it stays between the same
 * rounds of the others; what it was is kept for the case that none is clean.
 */
static void take_round(struct bench_suite *suite, struct bench_row *row, struct bench_run *run,
		       const struct bench_options *options)
{
	const struct bench_scenario *scenario = suite->scenario;
	uint64_t ns = round_ns(suite, row, options);
	enum bench_verdict verdict = BENCH_DISTURBED;
	unsigned int attempt;
	char why[160];

	for (attempt = 0; attempt < ATTEMPTS && verdict == BENCH_DISTURBED; attempt++) {
		verdict = run_once(run, &row->what, WARMUP_NS, ns, false, why, sizeof(why));
		if (verdict != BENCH_CLEAN && options->verbose)
			tell(suite, row, why);
		if (verdict == BENCH_DISTURBED && ++row->discarded >= options->rounds)
			break;
	}
	if (verdict == BENCH_FAILED && run->impossible) {
		row->what.flags |= BENCH_IMPOSSIBLE;
		row->what.missing = strdup(why);
		return;
	}
	if (verdict == BENCH_FAILED) {
		row->failed = true;
		snprintf(row->why, sizeof(row->why), "%s", why);
		return;
	}
	if (scenario->finish)
		scenario->finish(run);
	memcpy(row->round[row->rounds], run->value, sizeof(run->value));
	row->verdict[row->rounds++] = verdict;
}

/* Medians over the clean rounds; over all of them if fewer than half, and then it is said. */
static void conclude(struct bench_row *row, const struct bench_scenario *scenario)
{
	double value[BENCH_MAX_ROUNDS];
	unsigned int m, i, n, clean = 0;

	for (i = 0; i < row->rounds; i++)
		clean += row->verdict[i] == BENCH_CLEAN;
	row->tainted = clean * 2 < row->rounds;
	for (m = 0; m < BENCH_METRICS; m++) {
		for (i = 0, n = 0; i < row->rounds; i++)
			if ((row->tainted || row->verdict[i] == BENCH_CLEAN) &&
			    !isnan(row->round[i][m]))
				value[n++] = row->round[i][m];
		if (!n) {
			row->value[m] = NAN;
			row->spread[m] = NAN;
			continue;
		}
		row->value[m] = stats_median(value, n);
		row->spread[m] = stats_spread(value, n);
		if (!(scenario->metric[m].flags & BENCH_WORST))
			continue;
		for (i = 0; i < n; i++)
			if (value[i] > row->value[m])
				row->value[m] = value[i];
	}
	if (!row->tainted)
		row->rounds = clean;
}

/*
 * One more run of a row, in which its sides are counted, and slower for it: nothing else is
 * taken of it, and nothing else depends on it. The last attempt counts, disturbed or not:
 * a call is one even so.
 */
static void count_row(const struct bench_suite *suite, struct bench_row *row,
		      struct bench_run *run, const struct bench_options *options)
{
	uint64_t ns = round_ns(suite, row, options) / COUNT_SHARE;
	enum bench_verdict verdict = BENCH_DISTURBED;
	unsigned int attempt, i;
	char why[160];

	for (attempt = 0; attempt < ATTEMPTS && verdict == BENCH_DISTURBED; attempt++) {
		verdict = run_once(run, &row->what, WARMUP_NS, ns, true, why, sizeof(why));
		for (i = 0; verdict != BENCH_FAILED && i < ARRAY_SIZE(run->side); i++)
			if (run->side[i].error[0])
				snprintf(why, sizeof(why), "%s", run->side[i].error);
		if (why[0] && options->verbose)
			tell(suite, row, why);
	}
	if (verdict == BENCH_FAILED)
		return;
	suite->scenario->finish(run);
	for (i = 0; i < BENCH_METRICS; i++) {
		if (!(suite->scenario->metric[i].flags & BENCH_COUNTED))
			continue;
		row->value[i] = run->value[i];
		row->spread[i] = NAN;
	}
}

/*
 * After the rotation, and together: while anybody counts system calls, those of the whole
 * machine are slower.
 */
static void count_rows(struct bench_suite *suite, struct bench_run *run,
		       const struct bench_options *options)
{
	unsigned int i;

	if (!options->count || !count_begin())
		return;
	for (i = 0; i < suite->count; i++) {
		struct bench_row *row = &suite->row[i];

		if (row->what.transport && !row->what.missing && row->rounds && !row->failed)
			count_row(suite, row, run, options);
	}
	count_end();
}

static bool fits(const char *const *patterns, const char *id)
{
	for (; patterns && *patterns; patterns++)
		if (!fnmatch(*patterns, id, 0))
			return true;
	return false;
}

static void suite_select(struct bench_suite *suite, const struct bench_options *options)
{
	unsigned int i, n = 0;
	char id[128];

	for (i = 0; i < suite->count; i++) {
		case_id(id, sizeof(id), suite->scenario, &suite->row[i].what);
		if ((!options->match || strstr(id, options->match)) &&
		    (!options->only || fits(options->only, id)) &&
		    !(options->present && suite->row[i].what.missing) &&
		    !(options->vm && (suite->row[i].what.flags & BENCH_NATIVE)))
			suite->row[n++] = suite->row[i];
	}
	suite->count = n;
}

static unsigned int suite_run(struct bench_suite *suite, const struct bench_options *options)
{
	struct bench_run *run = run_create();
	unsigned int round, i, failed = 0;

	if (!run) {
		fprintf(stderr, "krepis-bench: no memory\n");
		return 1;
	}
	for (round = 0; round < options->rounds; round++) {
		for (i = 0; i < suite->count; i++) {
			struct bench_row *row = &suite->row[i];

			if (row->what.missing || row->failed)
				continue;
			if (row->what.max_rounds && round >= row->what.max_rounds)
				continue;
			take_round(suite, row, run, options);
		}
	}
	for (i = 0; i < suite->count; i++) {
		conclude(&suite->row[i], suite->scenario);
		failed += suite->row[i].failed;
	}
	count_rows(suite, run, options);
	run_shared_free(run, sizeof(*run));
	return failed;
}

void suite_open(struct bench_suite *suite, const struct bench_scenario *scenario,
		const struct bench_options *options)
{
	suite->scenario = scenario;
	suite->count = 0;
	scenario->list(suite);
	suite_select(suite, options);
}

unsigned int suite_measure(struct bench_suite *suite, const struct bench_options *options)
{
	unsigned int failed = suite_run(suite, options);

	if (suite->count) {
		report_table(suite);
		report_collect(suite, options);
	}
	return failed;
}
