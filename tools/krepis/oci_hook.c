// SPDX-License-Identifier: MIT
/*
 * krepis oci-hook: what a container runtime runs when it creates a container, so that all
 * that is executed in there is in a domain, and when it has deleted it. Containers are
 * described by the runtime specification of the Open Container Initiative.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>
#include "oci.h"

#define FILE_KEY	"org.krepis.policy"
#define TEXT_KEY	"org.krepis.policy.json"
#define NAME_PREFIX	"oci-"
#define HASH_DIGITS	16

struct hook {
	struct oci_state state;
	const char *stage;	/* as typed, or NULL */
	const char *policy;
	bool optional;
};

static const struct option options[] = {
	{ "policy", required_argument, NULL, 'p' },
	{ "optional", no_argument, NULL, 'o' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/* A text in an object, or NULL. */
const char *oci_text(struct json_object *json, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(json, json_type_object) ||
	    !json_object_object_get_ex(json, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static int read_state(struct oci_state *state)
{
	struct json_object *pid;

	if (isatty(0)) {
		tool_error("a hook reads what the runtime says of the container, and nobody says it here. See: krepis help oci-hook");
		return EXIT_USAGE;
	}
	state->json = json_object_from_fd(0);
	state->id = oci_text(state->json, "id");
	state->bundle = oci_text(state->json, "bundle");
	state->status = oci_text(state->json, "status");
	if (!state->id || !*state->id || !state->bundle || state->bundle[0] != '/') {
		tool_error("standard input is no state of a container, as a runtime tells it: it has no id and bundle");
		return EXIT_FAILED;
	}
	if (json_object_object_get_ex(state->json, "pid", &pid))
		state->pid = json_object_get_int(pid);
	return 0;
}

/* ------------------------------------------------------------------------- the domain */

/* A long name is cut, and told from others by its hash (FNV-1a, of 64 bits). */
static void domain_name(const char *id, char *name)
{
	const size_t max = KREPIS_DOMAIN_NAME_MAX - strlen(NAME_PREFIX);
	uint64_t hash = 0xcbf29ce484222325;
	const char *at;

	if (strlen(id) <= max) {
		sprintf(name, NAME_PREFIX "%s", id);
		return;
	}
	for (at = id; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 0x100000001b3;
	sprintf(name, NAME_PREFIX "%.*s-%0*llx", (int)max - HASH_DIGITS - 1, id, HASH_DIGITS,
		(unsigned long long)hash);
}

static int failed(const char *id, int err)
{
	tool_error("cannot put the policy of the container '%s' into force: %s", id,
		   krepis_sandbox_error());
	return sandbox_failed(err);
}

static int is_this(void *name, const struct krepis_domain_info *info)
{
	return !strcmp(info->name, name);
}

/* That there is none is what is wanted. Return: 0 or an error */
static int remove_domain(char *name)
{
	struct krepis_domain *domain;
	int err;

	/* To open one would load the sandbox. */
	err = krepis_domain_each(is_this, name);
	if (err <= 0)
		return err;
	err = krepis_domain_open(name, &domain);
	if (!err) {
		err = krepis_domain_remove(domain);
		krepis_domain_close(domain);
	}
	return err == -ENOENT ? 0 : err;
}

/*
 * A domain of this name is of a container whose creation failed afterwards, which no runtime
 * tells of, or of this one, if the hook is run in two stages. Nobody is in it yet.
 */
static int make_domain(const struct oci_container *c, char *name,
		       const struct krepis_policy *policy)
{
	struct krepis_domain *domain;
	int err;

	err = krepis_domain_create(name, policy, 0, &domain);
	if (err == -EEXIST)
		err = remove_domain(name) ? : krepis_domain_create(name, policy, 0, &domain);
	if (err)
		return err;
	err = krepis_domain_add_cgroup(domain, c->cgroup);
	if (err)
		krepis_domain_remove(domain);
	krepis_domain_close(domain);
	return err;
}

/* ------------------------------------------------------------------------- the policy */

static int parse(struct krepis_policy *policy, const char *text)
{
	int err = krepis_policy_parse(policy, text, strlen(text));

	if (!err)
		return 0;
	tool_error("the policy in the annotation " TEXT_KEY ": %s",
		   err == -EINVAL ? krepis_policy_error(policy) : krepis_strerror(err));
	return EXIT_FAILED;
}

/* The one that the administrator gave is for all, whatever the container says of itself. */
static int read_policy(const struct hook *h, struct krepis_policy *policy, bool *none)
{
	struct json_object *annotations = NULL;
	const char *path, *text;

	json_object_object_get_ex(h->state.json, "annotations", &annotations);
	path = h->policy ? : oci_text(annotations, FILE_KEY);
	text = h->policy ? NULL : oci_text(annotations, TEXT_KEY);
	*none = !path && !text;
	if (path && text) {
		tool_error("the container '%s' has two policies, in the annotations " FILE_KEY " and " TEXT_KEY ": give it one",
			   h->state.id);
		return EXIT_FAILED;
	}
	if (text)
		return parse(policy, text);
	if (path && path[0] != '/') {
		tool_error("the policy '%s' of the container '%s': give its path from the root, such as /etc/krepis/%s",
			   path, h->state.id, path);
		return EXIT_FAILED;
	}
	if (path)
		return sandbox_policy_file(policy, path);
	if (h->optional)
		return 0;
	tool_error("the container '%s' has no policy. Give it one with the annotation " FILE_KEY "=/PATH, or run the hook with --optional",
		   h->state.id);
	return EXIT_NOT_FOUND;
}

/* ----------------------------------------------------------------------------- stages */

static int create_with(const struct hook *h, const struct krepis_policy *policy)
{
	char name[KREPIS_DOMAIN_NAME_MAX + 1];
	struct krepis_policy *placed;
	struct oci_container c;
	int code, err;

	domain_name(h->state.id, name);
	code = oci_container_find(&h->state, &c);
	if (code)
		return code;
	code = oci_policy_place(policy, &c, &placed);
	if (!code) {
		err = make_domain(&c, name, placed);
		code = err ? failed(h->state.id, err) : 0;
		krepis_policy_destroy(placed);
	}
	close(c.dir);
	return code;
}

static int create(const struct hook *h)
{
	struct krepis_policy *policy;
	bool none = false;
	int code;

	/* From where relative paths of a policy are meant. */
	if (chdir("/") || krepis_policy_create(&policy)) {
		tool_error("%s", krepis_strerror(-ENOMEM));
		return EXIT_FAILED;
	}
	code = read_policy(h, policy, &none);
	if (!code && !none)
		code = create_with(h, policy);
	krepis_policy_destroy(policy);
	return code;
}

static int delete(const struct hook *h)
{
	char name[KREPIS_DOMAIN_NAME_MAX + 1];
	int err;

	domain_name(h->state.id, name);
	err = remove_domain(name);
	if (!err)
		return 0;
	tool_error("cannot remove the domain '%s' of the container '%s': %s", name, h->state.id,
		   krepis_sandbox_error());
	return sandbox_failed(err);
}

static int too_late(const struct hook *h)
{
	tool_error("the container '%s' runs already, and who runs is in no domain. The hook belongs into the stages createRuntime and poststop",
		   h->state.id);
	return EXIT_FAILED;
}

static const struct {
	const char *name;
	int (*run)(const struct hook *h);
} stages[] = {
	{ "prestart", create },
	{ "createRuntime", create },
	{ "createContainer", create },
	{ "startContainer", too_late },
	{ "poststart", too_late },
	{ "poststop", delete },
};

static int run_stage(const struct hook *h)
{
	const char *status = h->state.status;
	unsigned int i;

	for (i = 0; h->stage && i < ARRAY_SIZE(stages); i++)
		if (!strcmp(stages[i].name, h->stage))
			return stages[i].run(h);
	if (h->stage)
		return tool_usage("oci-hook", "there is no stage '%s'", h->stage);
	if (status && !strcmp(status, "stopped"))
		return delete(h);
	return status && !strcmp(status, "running") ? too_late(h) : create(h);
}

/*
 * Not every runtime prints what its hooks say: crun takes it for itself. So the system's log
 * has it, too. Return: what tell() is to be told
 */
static int hush(int *said)
{
	int to = dup(2);

	*said = memfd_create("krepis", MFD_CLOEXEC);
	if (to >= 0 && *said >= 0 && dup2(*said, 2) == 2)
		return to;
	if (to >= 0)
		close(to);
	return -1;
}

static void tell(int to, int said, int code)
{
	char text[2048];
	ssize_t n;

	if (to >= 0) {
		dup2(to, 2);
		close(to);
		n = pread(said, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		fputs(text, stderr);
		openlog("krepis oci-hook", LOG_PID, LOG_DAEMON);
		if (code)
			syslog(LOG_ERR, "%s", text + (strncmp(text, "krepis: ", 8) ? 0 : 8));
		closelog();
	}
	if (said >= 0)
		close(said);
}

static int run(int argc, char **argv)
{
	int option, code, to, said;
	struct hook h = { };

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		switch (option) {
		case 'p':
			h.policy = optarg;
			break;
		case 'o':
			h.optional = true;
			break;
		case TOOL_OPT_HELP:
			return tool_help(&command_oci_hook);
		default:
			return EXIT_USAGE;
		}
	}
	if (argc - optind > 1)
		return tool_usage(argv[0], "takes one STAGE at most");
	h.stage = argv[optind];
	to = hush(&said);
	code = read_state(&h.state);
	if (!code)
		code = run_stage(&h);
	tell(to, said, code);
	json_object_put(h.state.json);
	return code;
}

const struct tool_command command_oci_hook = {
	.name = "oci-hook",
	.summary = "A hook of container runtimes: all of a container is in a sandbox.",
	.synopsis = "[STAGE] [--policy FILE] [--optional]",
	.help =
	"  --policy FILE   the policy, whatever the container's annotations say\n"
	"  --optional      a container without a policy is in no sandbox; else it is stopped\n\n"
	"For config.json, CDI and the hooks of podman, in the stages createRuntime and poststop.\n"
	"The policy is a file that the annotation " FILE_KEY " names, or the text of\n"
	TEXT_KEY ". Its paths are those in the container. The domain is\n"
	NAME_PREFIX "ID. The state of the container comes on standard input, STAGE from there.\n\n"
	"Example:\n"
	"  podman run --hooks-dir /usr/share/containers/oci/hooks.d \\\n"
	"         --annotation " FILE_KEY "=/etc/krepis/web.json IMAGE\n",
	.run = run,
};
