// SPDX-License-Identifier: MIT
/* krepis run: a command in a domain of its own. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "run.h"

/* Whether what Landlock and seccomp can do is to be done instead. */
static bool is_second_best(const struct run *r, int err)
{
	return r->o->best_effort && (err == -EOPNOTSUPP || err == -EPERM || err == -ENOENT);
}

static int unavailable(const struct run *r, int err)
{
	const struct run_options *o = r->o;
	bool other = !o->best_effort && !o->complain && sandbox_failed(err) == EXIT_NOT_FOUND;

	tool_error("%s%s", krepis_sandbox_error(),
		   other ? ". Or have what Landlock and seccomp can enforce: krepis run --best-effort ..." : "");
	return sandbox_failed(err);
}

static int create(struct run *r)
{
	uint32_t flags = (r->o->complain ? KREPIS_DOMAIN_COMPLAIN : 0) |
			 (r->o->keep ? 0 : KREPIS_DOMAIN_TRANSIENT);
	char name[KREPIS_DOMAIN_NAME_MAX + 1];
	int err, i;

	snprintf(name, sizeof(name), "run-%d", getpid());
	err = krepis_domain_create(r->o->name ? : name, r->policy, flags, &r->domain);
	/* Somebody of our number may have been killed, and have left his. */
	for (i = 2; err == -EEXIST && !r->o->name && i < 100; i++) {
		snprintf(name, sizeof(name), "run-%d-%d", getpid(), i);
		err = krepis_domain_create(name, r->policy, flags, &r->domain);
	}
	return err;
}

static int domain_open(struct run *r)
{
	int err = krepis_sandbox_load();

	if (err && is_second_best(r, err)) {
		if (!r->o->quiet)
			fprintf(stderr, "krepis run: with Landlock and seccomp, as BPF is not at hand: denials are not told\n");
		return run_program_grant_loader(r) ? EXIT_FAILED : 0;
	}
	if (err)
		return unavailable(r, err);
	err = create(r);
	if (!err)
		err = krepis_audit_open(r->domain, run_report_denial, r->report, &r->audit);
	if (!err)
		return 0;
	tool_error("%s", krepis_sandbox_error());
	return sandbox_failed(err);
}

static void domain_close(struct run *r)
{
	krepis_audit_close(r->audit);
	if (r->domain && !r->o->keep && krepis_domain_remove(r->domain) == -EPERM)
		tool_error("%s", krepis_sandbox_error());
	krepis_domain_close(r->domain);
}

static int start(struct run *r)
{
	int code = run_cgroup_create(r);

	if (code)
		return code;
	r->group = r->o->timeout_ns >= 0 && !r->cgroup[0];
	run_watch_signals(r);
	return tool_signalled() ? tool_signal_exit() : run_child_start(r);
}

/* Between the domain's beginning and its end. */
static int run_in(struct run *r)
{
	int code = run_report_open(r), written;

	if (!code)
		code = domain_open(r);
	if (!code)
		code = start(r);
	if (!code)
		code = run_watch(r);
	run_cgroup_remove(r);
	written = run_report_close(r);
	domain_close(r);
	return code ? code : written;
}

static int run(int argc, char **argv)
{
	struct run_options o;
	struct run r = { .o = &o, .procs = -1 };
	int code = run_options_parse(argc, argv, &o);

	if (code != RUN_GO_ON)
		goto out;
	code = run_program_find(&r);
	if (!code)
		code = run_program_grant(&r);
	if (!code)
		code = run_in(&r);
	krepis_policy_destroy(r.policy);
out:
	krepis_policy_destroy(o.policy);
	return code;
}

const struct tool_command command_run = {
	.name = "run",
	.summary = "Run a command that may do only what it is allowed.",
	.synopsis = "[--allow-WHAT[=OBJECT,...]] [--deny-WHAT[=OBJECT,...]] [OPTIONS] [--] COMMAND [ARGUMENT...]",
	.help =
	SANDBOX_OPTIONS_HELP
	"  --policy FILE      what it says too, as JSON: {\"allow\": {WHAT: [OBJECT, ...] or true},\n"
	"                     \"deny\": {...}}\n"
	"  --complain         allow everything, and print at the end the policy that is enough\n"
	"  --learn FILE       ... into FILE, and not on standard error\n"
	"  --audit FILE       append each denial as a line of JSON; - is standard error\n"
	"  --timeout SECONDS  then SIGTERM, and 2 seconds later SIGKILL, to all of it\n"
	"  --memory-max SIZE  of all its processes, none of it swapped; needs cgroup v2\n"
	"  --pids-max N       processes and threads; needs cgroup v2\n"
	"  --user USER        be NAME or UID, or with another group NAME:GID or UID:GID\n"
	"  --chdir DIR        start there; paths in options are still those of here\n"
	"  --name NAME        of the domain (default run-PID), for krepis policy\n"
	"  --keep             leave the domain in force at the end\n"
	"  --best-effort      if BPF is no security module here, take Landlock and seccomp, and\n"
	"                     say what they do not enforce\n"
	"  --quiet            no hints about what was denied\n\n"
	"An option without an object is meant of all; a comma in an object is written '\\,'. What is\n"
	"not allowed is denied. Always allowed are: to execute COMMAND, and if it is a script its\n"
	"interpreter, and to read it; to read the loader of a program, /etc/ld.so.cache, /dev/random\n"
	"and /dev/urandom; to read and write /dev/null, /dev/zero and /dev/full. No environment\n"
	"variable is passed but what --allow-env names; PATH is /usr/local/bin:/usr/bin:/bin if it\n"
	"is not passed. Standard input, output and error are passed, and no other descriptor.\n\n"
	"Each denial of a new kind is told with the option that would allow it, the first ten of\n"
	"them. What COMMAND leaves behind in the domain may do nothing once COMMAND has ended.\n\n"
	"Exit codes: COMMAND's, or 128 and the signal that killed it; 5 its time is over, 126 it\n"
	"cannot be executed, 127 it is not found, 3 the sandbox is not available, 1 and 2 as ever.\n\n"
	"Example:\n"
	"  krepis run --allow-read=/usr,/etc/passwd cat /etc/passwd\n"
	"  krepis run --allow-read --allow-write=. --allow-exec=/usr --allow-net=:443 make\n\n"
	"  krepis run --complain --learn=my.json ./my-program && krepis run --policy=my.json ./my-program\n",
	.run = run,
};
