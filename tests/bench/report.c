// SPDX-License-Identifier: MIT
/*
 * What came out: a table for people, records for programs, goals.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench.h"

#define NAME_WIDTH	30

struct record {
	char id[96];
	const char *metric;
	const char *unit;
	double value;
	double spread;
	char peer[96];		/* "" if there is none */
	double peer_value;
	double ratio;
	double better;
	unsigned int rounds;
	unsigned int discarded;
	bool tainted;
};

static struct record records[BENCH_MAX_RECORDS];
static unsigned int record_count;

static const struct bench_goal *goals[BENCH_MAX_CASES];
static unsigned int goal_count;

static bool same_variant(const struct bench_case *a, const struct bench_case *b)
{
	if (!a->variant || !b->variant)
		return a->variant == b->variant;
	return !strcmp(a->variant, b->variant);
}

static bool compared(const struct bench_case *ours, const struct bench_case *peer)
{
	uint32_t common = ours->ours & peer->peer;

	if (ours == peer)
		return false;
	if ((common & BENCH_ANY_PARAM) && same_variant(ours, peer))
		return true;
	return (common & ~BENCH_ANY_PARAM) && ours->param == peer->param;
}

/* How many times better ours is: more than 1 is ahead, whatever the sense of the metric. */
static double better(const struct bench_metric *metric, double ours, double peer)
{
	return metric->sense == BENCH_LOWER ? peer / ours : ours / peer;
}

/* A peer by its name, with what sets it apart from what it is compared with. */
static void peer_name(char *name, size_t size, const struct bench_case *ours,
		      const struct bench_case *peer)
{
	int n = snprintf(name, size, "%s", peer->impl);

	if (ours->param != peer->param)
		n += snprintf(name + n, size - (size_t)n, "/%llu",
			      (unsigned long long)peer->param);
	if (peer->variant && !same_variant(ours, peer))
		snprintf(name + n, size - (size_t)n, "/%s", peer->variant);
}

/* ---------------------------------------------------------------------- table */

/* What is not counted in this program, or cannot be on this machine, has no column. */
static bool has_column(const struct bench_suite *suite, unsigned int m)
{
	uint32_t flags = suite->scenario->metric[m].flags;
	unsigned int i;

	if (!(flags & BENCH_COLUMN) || !(flags & BENCH_COUNTED))
		return flags & BENCH_COLUMN;
	for (i = 0; i < suite->count; i++)
		if (suite->row[i].rounds && !isnan(suite->row[i].value[m]))
			return true;
	return false;
}

static void print_title(const struct bench_suite *suite, const struct bench_metric *head)
{
	const struct bench_scenario *scenario = suite->scenario;
	unsigned int m;

	printf("\n%s  %s\n", scenario->name, scenario->title);
	printf("  %-*s", NAME_WIDTH, "");
	for (m = 0; m < BENCH_METRICS; m++)
		if (has_column(suite, m))
			printf(" %10s", scenario->metric[m].shown);
	printf(" %8s %10s %7s\n", head ? "spread" : "", "krepis is", "rounds");
}

static void print_row(const struct bench_suite *suite, const struct bench_row *row)
{
	const struct bench_scenario *scenario = suite->scenario;
	const struct bench_case *what = &row->what;
	const struct bench_row *ours = NULL;
	char name[64], text[32];
	unsigned int m, i;
	int head = -1;

	snprintf(name, sizeof(name), "%s%s%s", what->impl, what->variant ? "/" : "",
		 what->variant ? what->variant : "");
	printf("  %-*s", NAME_WIDTH, name);
	if (what->missing || row->failed) {
		printf(" %s: %s\n", what->missing ? case_absence(what) : "FAILED",
		       what->missing ? what->missing : row->why);
		return;
	}
	for (m = 0; m < BENCH_METRICS; m++) {
		const struct bench_metric *metric = &scenario->metric[m];

		if (!has_column(suite, m))
			continue;
		if (isnan(row->value[m])) {
			printf(" %10s", "");
			continue;
		}
		snprintf(text, sizeof(text), "%.*f",
			 row->value[m] * metric->scale < 100 ? 2 : 0,
			 row->value[m] * metric->scale);
		printf(" %10s", text);
		if (head < 0 && (metric->flags & BENCH_HEAD))
			head = (int)m;
	}
	text[0] = '\0';
	if (head >= 0)
		snprintf(text, sizeof(text), "%.0f %%", 100 * row->spread[head] / row->value[head]);
	printf(" %8s", text);

	for (i = 0; i < suite->count && !ours; i++)
		if (compared(&suite->row[i].what, what) && head >= 0 &&
		    suite->row[i].rounds && !isnan(suite->row[i].value[head]))
			ours = &suite->row[i];
	text[0] = '\0';
	if (ours)
		snprintf(text, sizeof(text), "%.2f x",
			 better(&scenario->metric[head], ours->value[head], row->value[head]));
	printf(" %10s %3u%s", text, row->rounds, row->tainted ? "!" : "");
	if (row->discarded)
		printf(" (%u discarded)", row->discarded);
	putchar('\n');
}

static void print_solo(const struct bench_suite *suite)
{
	const struct bench_scenario *scenario = suite->scenario;
	unsigned int i, m;
	char id[128];

	for (i = 0; i < suite->count; i++) {
		const struct bench_row *row = &suite->row[i];
		bool begun = false;

		for (m = 0; row->what.ours && m < BENCH_METRICS; m++) {
			const struct bench_metric *metric = &scenario->metric[m];

			if (!(metric->flags & BENCH_SOLO) || metric->flags & BENCH_COLUMN ||
			    !row->rounds || isnan(row->value[m]))
				continue;
			case_id(id, sizeof(id), scenario, &row->what);
			if (!begun)
				printf("  %-*s", NAME_WIDTH, id);
			printf("%s %s %.0f", begun ? "," : "", metric->name, row->value[m]);
			begun = true;
		}
		if (begun)
			putchar('\n');
	}
}

void report_table(const struct bench_suite *suite)
{
	const struct bench_scenario *scenario = suite->scenario;
	const struct bench_metric *head = NULL;
	unsigned int i, m;

	for (m = 0; m < BENCH_METRICS; m++)
		if (!head && (scenario->metric[m].flags & BENCH_HEAD))
			head = &scenario->metric[m];
	print_title(suite, head);
	for (i = 0; i < suite->count; i++) {
		if (!i || suite->row[i].what.param != suite->row[i - 1].what.param)
			printf("  -- %llu %s\n", (unsigned long long)suite->row[i].what.param,
			       scenario->param_unit);
		print_row(suite, &suite->row[i]);
	}
	print_solo(suite);
	fflush(stdout);
}

/* -------------------------------------------------------------------- records */

static void add_record(const struct bench_suite *suite, const struct bench_row *row,
		       unsigned int m, const struct bench_row *peer)
{
	const struct bench_metric *metric = &suite->scenario->metric[m];
	struct record *r;

	if (record_count == BENCH_MAX_RECORDS)
		return;
	r = &records[record_count++];
	case_id(r->id, sizeof(r->id), suite->scenario, &row->what);
	r->metric = metric->name;
	r->unit = metric->unit;
	r->value = row->value[m];
	r->spread = row->spread[m];
	r->rounds = row->rounds;
	r->discarded = row->discarded;
	r->tainted = row->tainted;
	r->peer_value = NAN;
	r->ratio = NAN;
	r->better = NAN;
	if (!peer)
		return;
	peer_name(r->peer, sizeof(r->peer), &row->what, &peer->what);
	r->peer_value = peer->value[m];
	r->ratio = row->value[m] / peer->value[m];
	r->better = better(metric, row->value[m], peer->value[m]);
	r->tainted |= peer->tainted;
}

static void collect_row(const struct bench_suite *suite, const struct bench_row *row)
{
	unsigned int m, i;

	if (!row->what.ours || !row->rounds || row->failed)
		return;
	for (m = 0; m < BENCH_METRICS; m++) {
		uint32_t flags = suite->scenario->metric[m].flags;
		bool alone = true;

		if (!(flags & (BENCH_RECORD | BENCH_SOLO)) || isnan(row->value[m]))
			continue;
		for (i = 0; (flags & BENCH_RECORD) && i < suite->count; i++) {
			const struct bench_row *peer = &suite->row[i];

			if (!compared(&row->what, &peer->what) || peer->failed || !peer->rounds ||
			    isnan(peer->value[m]))
				continue;
			add_record(suite, row, m, peer);
			alone = false;
		}
		if (alone)
			add_record(suite, row, m, NULL);
	}
}

void report_collect(const struct bench_suite *suite, const struct bench_options *options)
{
	unsigned int i;

	for (i = 0; i < suite->count; i++)
		collect_row(suite, &suite->row[i]);
	for (i = 0; i < suite->scenario->goal_count && goal_count < ARRAY_SIZE(goals); i++)
		if (!options->vm || suite->scenario->goals[i].vm)
			goals[goal_count++] = &suite->scenario->goals[i];
}

static void json_number(FILE *f, const char *name, double value)
{
	if (isfinite(value))
		fprintf(f, ", \"%s\": %.6g", name, value);
	else
		fprintf(f, ", \"%s\": null", name);
}

static void json_record(FILE *f, const struct record *r)
{
	/* Names are ours and hold nothing that JSON would want escaped. */
	fprintf(f, "  {\"id\": \"%s\", \"metric\": \"%s\", \"unit\": \"%s\"", r->id, r->metric,
		r->unit);
	json_number(f, "value", r->value);
	json_number(f, "spread", r->spread);
	if (r->peer[0])
		fprintf(f, ", \"peer\": \"%s\"", r->peer);
	else
		fprintf(f, ", \"peer\": null");
	json_number(f, "peer_value", r->peer_value);
	json_number(f, "ratio", r->ratio);
	json_number(f, "better", r->better);
	fprintf(f, ", \"rounds\": %u, \"discarded\": %u, \"disturbed\": %s}", r->rounds,
		r->discarded, r->tainted ? "true" : "false");
}

int report_json(const char *path)
{
	FILE *f = fopen(path, "we");
	unsigned int i;

	if (!f)
		return -errno;
	fprintf(f, "[\n");
	for (i = 0; i < record_count; i++) {
		json_record(f, &records[i]);
		fprintf(f, "%s\n", i + 1 < record_count ? "," : "");
	}
	fprintf(f, "]\n");
	if (fclose(f))
		return -errno;
	return 0;
}

/* ---------------------------------------------------------------------- goals */

static bool is_linked(const char *peer)
{
	static const char *const linked[] = { "ck_ring", "boost-spsc", "rte_ring", "iceoryx" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(linked); i++)
		if (!strncmp(peer, linked[i], strlen(linked[i])))
			return true;
	return false;
}

static bool meant(const struct bench_goal *goal, const struct record *r)
{
	if (strcmp(r->id, goal->id) || strcmp(r->metric, goal->metric))
		return false;
	if (!goal->peer)
		return true;
	return strcmp(goal->peer, BENCH_LINKED) ? !strcmp(r->peer, goal->peer) : is_linked(r->peer);
}

/* Of several peers, the best. */
static const struct record *find_record(const struct bench_goal *goal)
{
	const struct record *found = NULL;
	unsigned int i;

	for (i = 0; i < record_count; i++)
		if (meant(goal, &records[i]) && (!found || records[i].better < found->better))
			found = &records[i];
	return found;
}

void report_goals(void)
{
	unsigned int i;

	if (!goal_count)
		return;
	printf("\nGoals\n");
	for (i = 0; i < goal_count; i++) {
		const struct bench_goal *goal = goals[i];
		const struct record *r = find_record(goal);
		double value;

		printf("  %-40s %-18s", goal->id, goal->metric);
		if (!r) {
			printf(" not measured\n");
			continue;
		}
		value = goal->peer ? 1 / r->better : r->value;
		printf(" %8.2f %s%-20s <= %-6.4g %s%s\n", value, goal->peer ? "x " : "",
		       goal->peer ? r->peer : r->unit, goal->limit,
		       value <= goal->limit ? "met" : "MISSED",
		       r->tainted ? " (disturbed)" : "");
	}
}
