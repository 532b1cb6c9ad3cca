// SPDX-License-Identifier: MIT
/*
 * krepis run: what is done with what was denied. Each is a line of the audit file; the first
 * of their kind are hints on standard error; and with --complain they become a policy.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "run.h"

#define HINTS_SHOWN	10
#define HINTS_KNOWN	10000	/* of which it is known that they were counted */
#define READS_AT_END	64	/* then somebody who was left behind keeps on trying */

/**
 * struct run_report - what was told so far
 * @told:   what standard error will get, in @text of @bytes
 * @audit:  the file, @told, or NULL
 * @hints:  tree of texts: those that were counted
 * @count:  of different ones
 * @learn:  or NULL
 */
struct run_report {
	const struct run *r;
	FILE *told;
	char *text;
	size_t bytes;
	FILE *audit;
	void *hints;
	unsigned int count;
	struct run_learn *learn;
};

/* ------------------------------------------------------------------------ audit file */

/* RFC 3339, in UTC. */
static void print_time(FILE *out, uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / NSEC_PER_SEC);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(out, "\"%s.%09lluZ\"", text, (unsigned long long)(time_ns % NSEC_PER_SEC));
}

static void print_audit(FILE *out, const struct krepis_denial *d, const char *flag)
{
	fputs("{\"time\":", out);
	print_time(out, d->time_ns);
	fprintf(out, ",\"pid\":%u,\"comm\":", d->pid);
	json_text(out, d->comm);
	fputs(",\"what\":", out);
	json_text(out, d->what);
	fputs(",\"object\":", out);
	json_text(out, d->object);
	fprintf(out, ",\"verdict\":\"%s\",\"flag\":", d->allowed ? "allowed" : "denied");
	if (flag)
		json_text(out, flag);
	else
		fputs("null", out);
	fputs("}\n", out);
}

/* ----------------------------------------------------------------------------- hints */

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Whether it is told for the first time. */
static bool is_new(struct run_report *p, const struct krepis_denial *d, const char *flag)
{
	char *key, **node;

	if (p->count >= HINTS_KNOWN ||
	    asprintf(&key, "%s\n%s\n%s", d->what, d->object, flag ? flag : "") < 0)
		return false;
	node = tsearch(key, &p->hints, by_text);
	if (node && *node == key)
		return true;
	free(key);
	return false;
}

static void print_hint(FILE *out, const struct krepis_denial *d, const char *flag)
{
	fputs("krepis run: ", out);
	print_escaped(out, d->comm, strlen(d->comm));
	fprintf(out, " (pid %u) was denied to %s ", d->pid, d->what);
	print_escaped(out, d->object, strlen(d->object));
	if (flag) {
		fputs(": allow with ", out);
		print_shell(out, flag);
	}
	fputc('\n', out);
}

static void hint(struct run_report *p, const struct krepis_denial *d, const char *flag)
{
	if (!p->r->o->quiet && is_new(p, d, flag) && p->count++ < HINTS_SHOWN)
		print_hint(p->told, d, flag);
}

static void hints_left(const struct run_report *p)
{
	if (p->count > HINTS_SHOWN)
		fprintf(stderr, "krepis run: and %s%u more that were denied: see them with --audit=FILE, or learn what is needed with --complain\n",
			p->count >= HINTS_KNOWN ? "at least " : "", p->count - HINTS_SHOWN);
}

/* --------------------------------------------------------------------------- reading */

void run_report_denial(void *report, const struct krepis_denial *d)
{
	struct run_report *p = report;
	char *flag = d->sentence ? sandbox_flag(true, d->flag, d->flag_object) : NULL;

	if (p->audit)
		print_audit(p->audit, d, flag);
	if (p->learn && d->sentence)
		run_learn_add(p->learn, d->flag, d->flag_object);
	if (!d->allowed)
		hint(p, d, flag);
	free(flag);
}

bool run_report_read(struct run *r)
{
	if (!r->audit)
		return false;
	krepis_audit_read(r->audit);
	if (r->report->audit)
		fflush(r->report->audit);
	return ftell(r->report->told) > 0;
}

/* In one piece: the command may write there at the same time. */
void run_report_tell(struct run *r)
{
	struct run_report *p = r->report;

	if (fflush(p->told))
		return;
	fwrite(p->text, 1, p->bytes, stderr);
	rewind(p->told);
}

/* ---------------------------------------------------------------------- begin and end */

static void report_destroy(struct run_report *p)
{
	if (!p)
		return;
	run_learn_destroy(p->learn);
	tdestroy(p->hints, free);
	if (p->told)
		fclose(p->told);
	free(p->text);
	free(p);
}

int run_report_open(struct run *r)
{
	const char *path = r->o->audit;
	struct run_report *p = calloc(1, sizeof(*p));

	if (p)
		p->told = open_memstream(&p->text, &p->bytes);
	if (p && r->o->complain)
		p->learn = run_learn_create();
	if (!p || !p->told || (r->o->complain && !p->learn)) {
		report_destroy(p);
		tool_error("%s", krepis_strerror(-ENOMEM));
		return EXIT_FAILED;
	}
	p->r = r;
	r->report = p;
	if (!path)
		return 0;
	p->audit = strcmp(path, "-") ? fopen(path, "ae") : p->told;
	if (p->audit)
		return 0;
	tool_error("--audit: cannot write '%s': %s", path, strerror(errno));
	return EXIT_FAILED;
}

/* What nobody could be told, because it came faster than it was read. */
static void lost(const struct run *r)
{
	struct krepis_domain_info info;

	if (!r->domain || krepis_domain_query(r->domain, &info) || !info.lost)
		return;
	fprintf(stderr, "krepis run: %llu of %llu denials are not known, as they came too fast%s\n",
		(unsigned long long)info.lost, (unsigned long long)info.denials,
		r->o->complain ? ": the policy may lack something. Run it again with --complain and --policy" : "");
}

static int print_policy(const struct run *r)
{
	struct krepis_policy *policy = NULL;
	const char *path = r->o->learn;
	char *text = NULL;
	FILE *out = stderr;
	int err = run_learn_policy(r->report->learn, r->o->policy, &policy);

	if (!err)
		err = krepis_policy_format(policy, &text);
	krepis_policy_destroy(policy);
	if (!err && path) {
		out = fopen(path, "we");
		err = out ? 0 : -errno;
	}
	if (!err && (fputs(text, out) < 0 || fflush(out)))
		err = -errno;
	if (out && out != stderr && fclose(out) && !err)
		err = -errno;
	free(text);
	if (!err)
		return 0;
	tool_error("cannot write the policy%s%s: %s", path ? " to " : "", path ? path : "",
		   krepis_strerror(err));
	return EXIT_FAILED;
}

static bool audit_failed(struct run_report *p)
{
	if (!p->audit)
		return false;
	return p->audit == p->told ? ferror(stderr) : ferror(p->audit) | fclose(p->audit);
}

/* Return: an exit code after a message if what was asked for could not be written, or 0. */
int run_report_close(struct run *r)
{
	struct run_report *p = r->report;
	int code = 0, i;

	if (!p)
		return 0;
	for (i = 0; r->audit && i < READS_AT_END && krepis_audit_read(r->audit) > 0; i++)
		;
	run_report_tell(r);
	if (r->pid > 0 && !r->o->quiet) {
		hints_left(p);
		lost(r);
	}
	if (audit_failed(p)) {
		tool_error("--audit: not all could be written to '%s'", r->o->audit);
		code = EXIT_FAILED;
	}
	if (p->learn && r->pid > 0)
		code = print_policy(r) ? : code;
	report_destroy(p);
	r->report = NULL;
	return code;
}
