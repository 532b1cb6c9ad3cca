// SPDX-License-Identifier: MIT
/* krepis run: what was typed. */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include "run.h"

static const struct option options[] = {
	SANDBOX_OPTIONS,
	{ "policy", required_argument, NULL, 'p' },
	{ "audit", required_argument, NULL, 'a' },
	{ "complain", no_argument, NULL, 'c' },
	{ "learn", required_argument, NULL, 'l' },
	{ "timeout", required_argument, NULL, 't' },
	{ "memory-max", required_argument, NULL, 'm' },
	{ "pids-max", required_argument, NULL, 'n' },
	{ "best-effort", no_argument, NULL, 'b' },
	{ "name", required_argument, NULL, 'N' },
	{ "keep", no_argument, NULL, 'k' },
	{ "user", required_argument, NULL, 'u' },
	{ "chdir", required_argument, NULL, 'C' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static int bad_user(const char *text, const char *why)
{
	tool_error("--user=%s: %s. It is NAME, UID or one of them with :GID, such as nobody or 1000:1000",
		   text, why);
	return EXIT_USAGE;
}

static bool number(const char *text, unsigned int *value)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	/* -1 is nobody: setresuid(2) takes it for no change. */
	if (errno || end == text || *end || text[strspn(text, "0123456789")] || n >= UINT32_MAX)
		return false;
	*value = n;
	return true;
}

static int groups_of(struct run_user *u, const struct passwd *entry, const char *text)
{
	u->count = ARRAY_SIZE(u->groups);
	if (getgrouplist(entry->pw_name, u->gid, u->groups, &u->count) < 0)
		return bad_user(text, "is in too many groups");
	return 0;
}

static int parse_user(const char *text, struct run_user *u)
{
	char name[256];
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	const struct passwd *entry;

	if (!len || len >= sizeof(name))
		return bad_user(text, "there is no user");
	memcpy(name, text, len);
	name[len] = '\0';
	entry = number(name, &u->uid) ? getpwuid(u->uid) : getpwnam(name);
	if (entry)
		u->uid = entry->pw_uid;
	else if (!number(name, &u->uid))
		return bad_user(text, "there is no such user");
	if (colon && !number(colon + 1, &u->gid))
		return bad_user(text, "what is behind the colon is not a number");
	if (!colon && !entry)
		return bad_user(text, "there is no such user, so it needs a group");
	u->given = true;
	if (colon) {
		u->groups[0] = u->gid;
		u->count = 1;
		return 0;
	}
	u->gid = entry->pw_gid;
	return groups_of(u, entry, text);
}

/* A limit that leaves something. */
static int limit(const char *option, uint64_t value)
{
	if (value)
		return 0;
	tool_error("--%s: with 0 the command could not even start", option);
	return EXIT_USAGE;
}

static int parse(int option, struct run_options *o)
{
	switch (option) {
	case 'p':
		return sandbox_policy_file(o->policy, optarg);
	case 'a':
		o->audit = optarg;
		return 0;
	case 'c':
		o->complain = true;
		return 0;
	case 'l':
		o->learn = optarg;
		return 0;
	case 't':
		return tool_parse_timeout("timeout", optarg, &o->timeout_ns);
	case 'm':
		return tool_parse_size("memory-max", optarg, &o->memory_max) ? :
		       limit("memory-max", o->memory_max);
	case 'n':
		return tool_parse_count("pids-max", optarg, 4194304, &o->pids_max) ? :
		       limit("pids-max", o->pids_max);
	case 'b':
		o->best_effort = true;
		return 0;
	case 'N':
		o->name = optarg;
		return 0;
	case 'k':
		o->keep = true;
		return 0;
	case 'u':
		return parse_user(optarg, &o->user);
	case 'C':
		o->directory = optarg;
		return 0;
	default:
		o->quiet = true;
		return 0;
	}
}

/* What fits together, and what does not. */
static int check(const char *command, const struct run_options *o)
{
	if (!o->command[0])
		return tool_usage(command, "needs a COMMAND");
	if (o->learn && !o->complain)
		return tool_usage(command, "--learn needs --complain");
	if (o->complain && o->best_effort)
		return tool_usage(command, "--complain and --best-effort exclude each other: only BPF tells what was needed");
	if (o->name && (!*o->name || strchr(o->name, '/') ||
			strlen(o->name) > KREPIS_DOMAIN_NAME_MAX))
		return tool_usage(command, "--name=%s: a name has 1 to %d bytes, and no '/'", o->name,
				  KREPIS_DOMAIN_NAME_MAX);
	return RUN_GO_ON;
}

/**
 * run_options_parse - reads the command line
 * @argc: of the subcommand
 * @argv: of the subcommand
 * @o:	  out; its policy is to be destroyed in any case
 *
 * Return: RUN_GO_ON, or an exit code.
 */
int run_options_parse(int argc, char **argv, struct run_options *o)
{
	int option, code;

	*o = (struct run_options){ .timeout_ns = -1 };
	if (krepis_policy_create(&o->policy)) {
		tool_error("%s", krepis_strerror(-ENOMEM));
		return EXIT_FAILED;
	}
	while ((option = tool_getopt(argc, argv, "+:h", options)) != TOOL_OPT_END) {
		if (option == TOOL_OPT_HELP)
			return tool_help(&command_run);
		if (option == TOOL_OPT_BAD)
			return EXIT_USAGE;
		code = sandbox_is_sentence(option) ? sandbox_sentence(argv[0], o->policy, option) :
						     parse(option, o);
		if (code)
			return code;
	}
	o->command = argv + optind;
	return check(argv[0], o);
}
