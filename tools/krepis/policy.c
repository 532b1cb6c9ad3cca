// SPDX-License-Identifier: MIT
/* krepis policy: the domains that are in force, and what they allow. */
#include <stdlib.h>
#include <string.h>
#include "sandbox.h"

static const struct option options[] = {
	SANDBOX_OPTIONS,
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/**
 * struct request - what is to be done
 * @name:    the domain's
 * @file:    or NULL
 * @changes: the sentences that were options
 * @changed: how many options those were
 */
struct request {
	const char *name;
	const char *file;
	struct krepis_policy *changes;
	unsigned int changed;
	bool json;
};

static int failed(int err)
{
	tool_error("%s", krepis_sandbox_error());
	return sandbox_failed(err);
}

/* -------------------------------------------------------------------------------- ls */

struct listing {
	bool json;
	unsigned int shown;
};

static int show_domain(void *arg, const struct krepis_domain_info *info)
{
	struct listing *l = arg;

	if (l->json) {
		fputs(l->shown ? ",{\"name\":" : "{\"name\":", stdout);
		json_text(stdout, info->name);
		printf(",\"id\":%llu,\"complain\":%s,\"denials\":%llu,\"lost\":%llu}",
		       (unsigned long long)info->id, info->complain ? "true" : "false",
		       (unsigned long long)info->denials, (unsigned long long)info->lost);
	} else {
		if (!l->shown)
			printf("%-9s %10s %10s  %s\n", "MODE", "DENIALS", "LOST", "NAME");
		printf("%-9s %10llu %10llu  ", info->complain ? "complain" : "enforce",
		       (unsigned long long)info->denials, (unsigned long long)info->lost);
		print_escaped(stdout, info->name, strlen(info->name));
		putchar('\n');
	}
	l->shown++;
	return 0;
}

static int list(const struct request *q)
{
	struct listing l = { .json = q->json };
	int err;

	if (q->json)
		fputs("{\"domains\":[", stdout);
	err = krepis_domain_each(show_domain, &l);
	if (q->json)
		puts("]}");
	if (err)
		return failed(err);
	if (!q->json && !l.shown)
		fprintf(stderr, "krepis: no domains. Start a command in one with: krepis run\n");
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

/* ---------------------------------------------------------------------------- changes */

/**
 * struct change - sentences that go into a policy, or out of it
 * @add: into it
 */
struct change {
	const struct request *q;
	struct krepis_policy *policy;
	bool add;
};

static int apply(void *arg, bool allow, enum krepis_what what, const char *object)
{
	struct change *c = arg;
	int err = c->add ? krepis_policy_add(c->policy, allow, what, object) :
			   krepis_policy_remove(c->policy, allow, what, object);
	char *flag;

	if (!err)
		return 0;
	flag = sandbox_flag(allow, what, object);
	fflush(stdout);
	fprintf(stderr, "krepis: the domain '%s': ", c->q->name);
	print_shell(stderr, flag ? flag : krepis_what_name(what));
	if (err == -ENOENT)
		fprintf(stderr, " is no sentence of its policy. See those it has: krepis policy show %s\n",
			c->q->name);
	else
		fprintf(stderr, ": %s\n", krepis_policy_error(c->policy));
	free(flag);
	return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
}

/* All of the sentences, or none of them. */
static int change(const struct request *q, struct krepis_domain *domain, bool add)
{
	struct change c = { .q = q, .add = add };
	int code, err = krepis_domain_policy(domain, &c.policy);

	if (err)
		return failed(err);
	code = krepis_policy_each(q->changes, apply, &c);
	err = code ? 0 : krepis_domain_set(domain, c.policy);
	krepis_policy_destroy(c.policy);
	return err ? failed(err) : code;
}

static int allow(const struct request *q, struct krepis_domain *domain)
{
	return change(q, domain, true);
}

static int revoke(const struct request *q, struct krepis_domain *domain)
{
	return change(q, domain, false);
}

static int set(const struct request *q, struct krepis_domain *domain)
{
	struct krepis_policy *policy;
	int code, err = krepis_policy_create(&policy);

	if (err) {
		tool_error("%s", krepis_strerror(err));
		return EXIT_FAILED;
	}
	code = sandbox_policy_file(policy, q->file);
	err = code ? 0 : krepis_domain_set(domain, policy);
	krepis_policy_destroy(policy);
	return err ? failed(err) : code;
}

static int show(const struct request *q, struct krepis_domain *domain)
{
	struct krepis_policy *policy;
	char *text;
	int err = krepis_domain_policy(domain, &policy);

	if (err)
		return failed(err);
	err = krepis_policy_format(policy, &text);
	krepis_policy_destroy(policy);
	if (err) {
		tool_error("%s", krepis_strerror(err));
		return EXIT_FAILED;
	}
	fputs(text, stdout);
	if (text[0] && text[strlen(text) - 1] != '\n')
		putchar('\n');
	free(text);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int remove_domain(const struct request *q, struct krepis_domain *domain)
{
	int err = krepis_domain_remove(domain);

	return err ? failed(err) : EXIT_DONE;
}

static int load(const struct request *q)
{
	int err = krepis_sandbox_load();

	return err ? failed(err) : EXIT_DONE;
}

static int unload(const struct request *q)
{
	int err = krepis_sandbox_unload();

	return err ? failed(err) : EXIT_DONE;
}

/* ------------------------------------------------------------------------ the command */

static const struct verb {
	const char *name;
	const char *arguments;
	int count;
	bool changes;		/* takes --allow-WHAT and --deny-WHAT */
	int (*all)(const struct request *q);
	int (*one)(const struct request *q, struct krepis_domain *domain);
} verbs[] = {
	{ "ls", "no arguments", 0, false, list, NULL },
	{ "show", "the NAME of a domain", 1, false, NULL, show },
	{ "set", "the NAME of a domain and a FILE", 2, false, NULL, set },
	{ "allow", "the NAME of a domain", 1, true, NULL, allow },
	{ "revoke", "the NAME of a domain", 1, true, NULL, revoke },
	{ "rm", "the NAME of a domain", 1, false, NULL, remove_domain },
	{ "load", "no arguments", 0, false, load, NULL },
	{ "unload", "no arguments", 0, false, unload, NULL },
};

static int carry_out(const struct verb *verb, const struct request *q)
{
	struct krepis_domain *domain;
	int err, code;

	if (verb->all)
		return verb->all(q);
	err = krepis_domain_open(q->name, &domain);
	if (err)
		return failed(err);
	code = verb->one(q, domain);
	krepis_domain_close(domain);
	return code;
}

/* @argv: the verb and what it takes. */
static int act(int argc, char **argv, struct request *q)
{
	const struct verb *verb = NULL;
	unsigned int i;

	if (!argc)
		return tool_usage("policy", "needs one of ls, show, set, allow, revoke, rm, load and unload");
	for (i = 0; i < ARRAY_SIZE(verbs) && !verb; i++)
		if (!strcmp(verbs[i].name, argv[0]))
			verb = &verbs[i];
	if (!verb)
		return tool_usage("policy", "there is no '%s'", argv[0]);
	if (argc - 1 != verb->count)
		return tool_usage("policy", "%s takes %s", verb->name, verb->arguments);
	if (verb->changes && !q->changed)
		return tool_usage("policy", "%s needs at least one --allow-WHAT or --deny-WHAT", verb->name);
	if (!verb->changes && q->changed)
		return tool_usage("policy", "%s takes no --allow-WHAT and no --deny-WHAT", verb->name);
	if (q->json && strcmp(verb->name, "ls"))
		return tool_usage("policy", "%s takes no --json", verb->name);
	q->name = argc > 1 ? argv[1] : NULL;
	q->file = argc > 2 ? argv[2] : NULL;
	return carry_out(verb, q);
}

static int parse(int argc, char **argv, struct request *q)
{
	int option, code;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		if (option == TOOL_OPT_HELP)
			return tool_help(&command_policy);
		if (option == TOOL_OPT_BAD)
			return EXIT_USAGE;
		if (option == 'j') {
			q->json = true;
			continue;
		}
		code = sandbox_sentence(argv[0], q->changes, option);
		if (code)
			return code;
		q->changed++;
	}
	return act(argc - optind, argv + optind, q);
}

static int run(int argc, char **argv)
{
	struct request q = { .name = NULL };
	int code, err = krepis_policy_create(&q.changes);

	if (err) {
		tool_error("%s", krepis_strerror(err));
		return EXIT_FAILED;
	}
	code = parse(argc, argv, &q);
	krepis_policy_destroy(q.changes);
	return code;
}

const struct tool_command command_policy = {
	.name = "policy",
	.summary = "See and change what commands in a sandbox may do, while they run.",
	.synopsis = "ls [--json]\n"
		    "show NAME\n"
		    "set NAME FILE\n"
		    "allow|revoke NAME --allow-WHAT[=OBJECT,...] [--deny-WHAT[=OBJECT,...]]\n"
		    "rm NAME\n"
		    "load|unload",
	.help =
	"  ls       list the domains in force; --json: one object, {\"domains\": [...]}\n"
	"  show     print the policy as a policy file\n"
	"  set      put the policy of FILE into force instead, - is standard input\n"
	"  allow    add the sentences\n"
	"  revoke   take the sentences out, which must be there as they are written\n"
	"  rm       end the domain: those who are in it may do nothing from now on\n"
	"  load     put the programs into the kernel, which krepis run does by itself\n"
	"  unload   take them out; there must be no domain\n\n"
	SANDBOX_OPTIONS_HELP
	"\nA change holds for those who are in the domain at once. What they have open stays open,\n"
	"but for channels, of which they are asked again. See krepis help run for what can be said.\n\n"
	"Example:\n"
	"  krepis policy allow run-4711 --allow-read=/srv/data\n"
	"  krepis policy revoke run-4711 --allow-net\n\n"
	"  krepis policy show run-4711 >web.json && krepis policy set run-4712 web.json\n",
	.run = run,
};
