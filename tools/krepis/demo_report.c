// SPDX-License-Identifier: MIT
/* The demo's tables and JSON, and what it says while it works. */
#include <stdlib.h>
#include <unistd.h>
#include "demo.h"

#define MB 1e6

void demo_progress(bool live, const char *text, uint64_t done, uint64_t all)
{
	static const char *last;
	static int64_t shown;
	int64_t now = tool_now();

	if (!live || (text == last && now - shown < NSEC_PER_SEC / 10))
		return;
	last = text;
	shown = now;
	if (!text)
		fputs("\r\033[K", stderr);
	else if (all)
		fprintf(stderr, "\r\033[K%s: %llu%%", text, (unsigned long long)(100 * done / all));
	else
		fprintf(stderr, "\r\033[K%s", text);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int by_rate(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts the samples. */
void demo_latency(uint32_t latency[4], uint32_t *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), by_value);
	latency[0] = samples[count / 2];
	latency[1] = samples[count * 99 / 100];
	latency[2] = samples[count * 999 / 1000];
	latency[3] = samples[count - 1];
}

/* The median of the rounds, MB/s. */
double demo_rate(const struct demo_figures *figures)
{
	double sorted[ARRAY_SIZE(figures->rates)];
	unsigned int i;

	if (!figures->rounds)
		return 0;
	for (i = 0; i < figures->rounds; i++)
		sorted[i] = figures->rates[i];
	qsort(sorted, figures->rounds, sizeof(sorted[0]), by_rate);
	return sorted[figures->rounds / 2];
}

static void print_files(const struct demo_report *report)
{
	const struct demo_set *set = report->set;
	char total[32], repeat[64] = "";

	if (report->repeat > 1)
		snprintf(repeat, sizeof(repeat), ", %u times over in the table below",
			 report->repeat);
	if (set->different < set->count)
		printf("\nThis machine has %u files for it; they are sent again until it is enough.\n",
		       set->different);
	printf("\nFiles: %u of this machine, %s; %u of them up to %u bytes, each one message; the\n"
	       "others in chunks of up to %u KiB, each one buffer%s.\n\n",
	       set->count, tool_amount_text(set->bytes, total, sizeof(total)), set->small, DEMO_SMALL,
	       DEMO_CHUNK >> 10, repeat);
	printf("SHA-256: 2 consumers hashed every file from what they received: %u files, %llu wrong,\n"
	       "%.2f s, %.0f MB/s to each. The parent computed the same from the files by read(2).\n\n",
	       set->count, (unsigned long long)report->bad, report->sha.seconds,
	       report->sha.bytes / MB / report->sha.seconds);
}

static void print_row(const char *name, const struct demo_figures *f, unsigned int copies)
{
	const struct demo_result *r = &f->result;

	printf("%-23s %6.0f %7.1f %7.1f %7.1f %8.1f %7.1f %6u %6.2f %8llu %5.2f\n", name,
	       demo_rate(f), f->latency[0] / 1e3, f->latency[1] / 1e3, f->latency[2] / 1e3,
	       f->latency[3] / 1e3, f->asleep[0] / 1e3, copies, r->calls / (r->bytes / MB),
	       (unsigned long long)r->messages, r->cpu);
}

static void print_notes(const struct demo_report *report)
{
	printf("\nMB/s: median of %u interleaved rounds; the producer read(2)s the files from the page\n"
	       "cache into what it sends, every consumer computes and compares CRC32C of each file.\n"
	       "Latency, us: one way, %u messages of %u bytes, one every %u us, so that a consumer who\n"
	       "spins is awake; asleep: p50 of %u, one every %u us. Copies of each byte: from the page\n"
	       "cache until the consumer looks. Calls a MB: read, write and futex calls counted by the\n"
	       "program itself (krepis: its waits and wakes), without open and close of the files, which\n"
	       "all ways need. A producer that only forwards files could save copies with splice(2).\n",
	       report->ways[0].rounds, DEMO_PINGS, DEMO_PING_BYTES, DEMO_PACE_NS / 1000,
	       DEMO_RARE_PINGS, DEMO_RARE_NS / 1000);
	if (demo_processors() <= DEMO_CONSUMERS)
		printf("This machine lets us have %u processor%s: where more processes are awake, the longer\n"
		       "latencies are turns of the scheduler.\n", demo_processors(),
		       demo_processors() == 1 ? "" : "s");
}

static void print_ways(const struct demo_report *report)
{
	double krepis = demo_rate(&report->ways[1]);
	unsigned int i;

	printf("%-23s %6s %-31s %8s %6s %6s %8s %5s\n", "", "", "    latency", "asleep", "", "calls",
	       "", "CPU");
	printf("%-23s %6s %7s %7s %7s %8s %7s %6s %6s %8s %5s\n", "way", "MB/s", "p50", "p99",
	       "p99.9", "max", "p50", "copies", "a MB", "messages", "s");
	for (i = 0; i < DEMO_WAYS; i++)
		print_row(demo_ways[i].name, &report->ways[i], demo_ways[i].copies);
	print_notes(report);
	printf("\nWith one consumer, krepis moved %.2f times the bytes of the pipe and %.2f times those\n"
	       "of the socket in the same time.\n", krepis / demo_rate(&report->ways[2]),
	       krepis / demo_rate(&report->ways[3]));
}

static void print_grid(const struct grid_result *grid)
{
	if (!isatty(STDOUT_FILENO)) {
		putchar('\n');
		screen_plain(grid->last);
	}
	printf("\nTriple channel: %llu frames of %zu bytes published in %.1f s, %llu shown at 60 Hz, %llu torn,\n"
	       "%llu out of order.\n", (unsigned long long)grid->published, sizeof(*grid->last),
	       grid->seconds, (unsigned long long)grid->shown, (unsigned long long)grid->torn,
	       (unsigned long long)grid->backwards);
}

void demo_print(const struct demo_report *report)
{
	print_files(report);
	print_ways(report);
	if (report->grid)
		print_grid(report->grid);
}

static void json_latency(const uint32_t latency[4])
{
	printf("{\"p50\":%u,\"p99\":%u,\"p99.9\":%u,\"max\":%u}", latency[0], latency[1], latency[2],
	       latency[3]);
}

static void json_way(const struct demo_way *way, const struct demo_figures *f)
{
	const struct demo_result *r = &f->result;
	unsigned int i;

	printf("{\"id\":\"%s\",\"consumers\":%u,\"mb_per_s\":%.1f,\"rounds_mb_per_s\":[", way->id,
	       way->consumers, demo_rate(f));
	for (i = 0; i < f->rounds; i++)
		printf("%s%.1f", i ? "," : "", f->rates[i]);
	printf("],\"latency_ns\":");
	json_latency(f->latency);
	printf(",\"latency_asleep_ns\":");
	json_latency(f->asleep);
	printf(",\"copies\":%u,\"calls\":%llu,\"messages\":%llu,\"bytes\":%llu,\"cpu_seconds\":%.3f}",
	       way->copies, (unsigned long long)r->calls, (unsigned long long)r->messages,
	       (unsigned long long)r->bytes, r->cpu);
}

void demo_print_json(const struct demo_report *report, bool ok)
{
	const struct demo_set *set = report->set;
	const struct grid_result *grid = report->grid;
	unsigned int i;

	printf("{\"version\":\"%s\",\"ok\":%s,\"files\":{\"count\":%u,\"small\":%u,\"bytes\":%llu,\"repeat\":%u}",
	       krepis_version(), ok ? "true" : "false", set->count, set->small,
	       (unsigned long long)set->bytes, report->repeat);
	printf(",\"sha256\":{\"consumers\":%u,\"wrong\":%llu,\"seconds\":%.3f},\"ways\":[",
	       DEMO_CONSUMERS, (unsigned long long)report->bad, report->sha.seconds);
	for (i = 0; i < DEMO_WAYS; i++) {
		fputs(i ? "," : "", stdout);
		json_way(&demo_ways[i], &report->ways[i]);
	}
	fputs("]", stdout);
	if (grid)
		printf(",\"triple\":{\"seconds\":%.3f,\"frame_bytes\":%zu,\"published\":%llu,\"shown\":%llu,\"torn\":%llu,\"out_of_order\":%llu}",
		       grid->seconds, sizeof(*grid->last), (unsigned long long)grid->published,
		       (unsigned long long)grid->shown, (unsigned long long)grid->torn,
		       (unsigned long long)grid->backwards);
	fputs("}\n", stdout);
}
