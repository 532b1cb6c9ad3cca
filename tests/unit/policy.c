// SPDX-License-Identifier: MIT
/*
 * Policies of the sandbox: their sentences, and what the objects may look like that are
 * no addresses.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "helpers.h"
#include "policy.h"
#include "sandbox.h"

#define A10	"aaaaaaaaaa"
#define A50	A10 A10 A10 A10 A10
#define LABEL	A50 A10 "aaa"	/* the longest */

/* --------------------------------------------------------------------------- words */

static void every_what_has_a_word_and_is_found_by_it(void **state)
{
	(void)state;
	for (int what = 0; what < KREPIS_WHATS; what++)
		assert_int_equal(krepis_what_find(krepis_what_name((enum krepis_what)what)), what);
}

static void what_is_none_has_no_word(void **state)
{
	(void)state;
	assert_null(krepis_what_name(KREPIS_WHATS));
	assert_null(krepis_what_name((enum krepis_what)-1));
	assert_error(krepis_what_find("reads"), ENOENT);
	assert_error(krepis_what_find("Read"), ENOENT);
	assert_error(krepis_what_find(""), ENOENT);
	assert_error(krepis_what_find(NULL), ENOENT);
}

/* --------------------------------------------------------------------------- paths */

static void paths_are_made_plain_but_for_two_dots(void **state)
{
	static const struct form forms[] = {
		{ "/usr", "/usr" }, { "/usr/", "/usr" }, { "/", "/" }, { "//", "/" },
		{ "/./", "/" }, { "//usr//lib", "/usr/lib" }, { "/usr/./lib/.", "/usr/lib" },
		{ "/a/../b", "/a/../b" }, { "/..", "/.." }, { "/...", "/..." }, { "/.a", "/.a" },
		{ "/with space\n", "/with space\n" }, { "/\xc3\xa9", "/\xc3\xa9" },
	};

	(void)state;
	STORED_AS(KREPIS_READ, forms);
	STORED_AS(KREPIS_WRITE, forms);
	STORED_AS(KREPIS_EXEC, forms);
	STORED_AS(KREPIS_UNIX, forms);
}

static void a_relative_path_begins_where_the_process_is(void **state)
{
	static const struct form forms[] = {
		{ "lib", "/usr/lib" }, { "./lib", "/usr/lib" }, { ".", "/usr" },
		{ "../etc", "/usr/../etc" }, { "..", "/usr/.." },
	};
	int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_ok(chdir("/usr"));
	STORED_AS(KREPIS_READ, forms);
	STORED_AS(KREPIS_UNIX, forms);
	assert_string_equal(stored(true, KREPIS_CHANNEL, "./c:r"), "/usr/c:r");
	assert_ok(chdir("/"));
	assert_string_equal(stored(true, KREPIS_READ, "lib"), "/lib");
	assert_ok(fchdir(before));
	close(before);
}

static void a_relative_path_from_a_directory_that_is_gone_is_refused(void **state)
{
	int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char gone[] = "/tmp/krepis-policy-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(gone));
	assert_ok(chdir(gone));
	assert_ok(rmdir(gone));
	refused(true, KREPIS_READ, "lib", "type a path that begins with /");
	assert_string_equal(stored(true, KREPIS_READ, "/lib"), "/lib");
	assert_ok(fchdir(before));
	close(before);
}

/* A path of @len bytes; good until the next call. */
static const char *long_path(size_t len)
{
	static char path[2 * PATH_MAX];

	memset(path, 'a', len);
	for (size_t i = 0; i < len; i += 100)
		path[i] = '/';
	path[len] = 0;
	return path;
}

static void a_path_is_as_long_as_the_kernel_takes_it(void **state)
{
	(void)state;
	assert_string_equal(stored(true, KREPIS_READ, long_path(PATH_MAX - 1)),
			    long_path(PATH_MAX - 1));
	refused(true, KREPIS_READ, long_path(PATH_MAX), "at most 4095 bytes");
	refused(true, KREPIS_UNIX, long_path(PATH_MAX), "at most 4095 bytes");
	refused(true, KREPIS_READ, long_path(PATH_MAX - 1) + 1, "more than the 4095 bytes");
}

static void an_empty_object_is_refused(void **state)
{
	(void)state;
	for (int what = 0; what < KREPIS_WHATS; what++)
		refused(true, (enum krepis_what)what, "", ": type ");
	refused(true, KREPIS_READ, "", "\"\" is no path");
}

static void what_is_not_utf8_is_refused(void **state)
{
	static const char *const objects[] = {
		"/\xff", "/\x80", "/\xc3", "/\xc0\xaf", "/\xe0\x80\xaf", "/\xed\xa0\x80",
		"/\xf0\x80\x80\x80", "/\xf4\x90\x80\x80", "/\xf8\x88\x80\x80\x80", "/\xe2\x82",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		refused(true, KREPIS_READ, objects[i], "is not UTF-8");
	refused(true, KREPIS_READ, "/a\xff", "/a\\xff is not UTF-8");
	assert_string_equal(stored(true, KREPIS_READ, "/\xf4\x8f\xbf\xbf\xe2\x82\xac"),
			    "/\xf4\x8f\xbf\xbf\xe2\x82\xac");
}

static void what_is_shown_of_an_object_is_one_line_and_short(void **state)
{
	char name[1000];

	(void)state;
	refused(true, KREPIS_SYS, "a\nb", "a\\x0ab is none");
	refused(true, KREPIS_SYS, "a\xc2\x85\x1b[2J\xe2\x80\xa8" "b",
		"a\\xc2\\x85\\x1b[2J\\xe2\\x80\\xa8" "b is none");
	refused(true, KREPIS_SYS, "a b", "\"a b\" is none");
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = 0;
	refused(true, KREPIS_SYS, name, "aaa... is none");
}

/* ------------------------------------------------------------------------- sockets */

static void abstract_names_are_kept_as_they_are(void **state)
{
	static const struct form forms[] = {
		{ "@a", "@a" }, { "@/tmp//x/", "@/tmp//x/" }, { "@@", "@@" },
		{ "@" A50 A50 "1234567", "@" A50 A50 "1234567" },
	};
	static const struct refusal refusals[] = {
		{ "@", "type @NAME" },
		{ "@" A50 A50 "12345678", "at most 107 bytes, not 108" },
	};

	(void)state;
	STORED_AS(KREPIS_UNIX, forms);
	ALL_REFUSED(KREPIS_UNIX, refusals);
}

/* ------------------------------------------------------------------------ channels */

static void channels_have_a_path_and_a_role(void **state)
{
	static const struct form forms[] = {
		{ "/run/krepis/a:r", "/run/krepis/a:r" }, { "/x//a/:w", "/x/a:w" },
		{ "/x:rw", "/x:rw" }, { "/x:r:pass", "/x:r:pass" }, { "/x:rw:pass", "/x:rw:pass" },
		{ "a:r", "/run/krepis/a:r" }, { "a:w:pass", "/run/krepis/a:w:pass" },
		{ "a:b:r", "/run/krepis/a:b:r" }, { "/a:r:w", "/a:r:w" },
		{ "pass:r", "/run/krepis/pass:r" }, { "/a:pass:r:pass", "/a:pass:r:pass" },
		{ "/:r", "/:r" }, { "...:r", "/run/krepis/...:r" },
	};
	static const struct refusal refusals[] = {
		{ "/x", "has no role: type PATH:r" }, { "/x:", "has no role" },
		{ "/x:wr", "has no role" }, { "/x:R", "has no role" }, { "/x:rwx", "has no role" },
		{ "/x:pass", "has no role in front of :pass" },
		{ "/x:r:passs", "has no role" }, { "/x:r:pass:pass", "has no role" },
		{ "/x:r:", "has no role" }, { "pass", "has no role:" }, { ":pass", "has no role" },
		{ ":r", "has no path" }, { ":r:pass", "has no path" },
		{ ".:r", "type ./" }, { "..:r", "type ../" },
	};

	(void)state;
	STORED_AS(KREPIS_CHANNEL, forms);
	ALL_REFUSED(KREPIS_CHANNEL, refusals);
}

static void the_path_of_a_channel_has_its_limit(void **state)
{
	char object[2 * PATH_MAX + 16];

	(void)state;
	snprintf(object, sizeof(object), "%s:rw:pass", long_path(PATH_MAX - 1));
	assert_string_equal(stored(true, KREPIS_CHANNEL, object), object);
	snprintf(object, sizeof(object), "%s:r", long_path(PATH_MAX));
	refused(true, KREPIS_CHANNEL, object, "at most 4095 bytes");
	snprintf(object, sizeof(object), "%s:r", long_path(PATH_MAX + 100));
	refused(true, KREPIS_CHANNEL, object, "at most 4095 bytes");
	memset(object, 'a', PATH_MAX);
	memcpy(object + PATH_MAX - 13, ":r", 3);
	assert_int_equal(strlen(stored(true, KREPIS_CHANNEL, object)), PATH_MAX + 1);
	memcpy(object + PATH_MAX - 13, "a:r", 4);
	refused(true, KREPIS_CHANNEL, object, "at most 4095 bytes");
}

static void a_channel_is_taken_apart(void **state)
{
	static const struct {
		const char *object;
		const char *path;
		uint32_t rights;
	} cases[] = {
		{ "/a:r", "/a", SANDBOX_CONSUME },
		{ "/a:w", "/a", SANDBOX_PRODUCE },
		{ "b:rw", "/run/krepis/b", SANDBOX_CONSUME | SANDBOX_PRODUCE },
		{ "/a:r:pass", "/a", SANDBOX_CONSUME | SANDBOX_PASS },
	};
	struct policy_channel channel;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(krepis_policy_parse_channel(cases[i].object, &channel, NULL, 0));
		assert_string_equal(channel.path, cases[i].path);
		assert_int_equal(channel.rights, cases[i].rights);
	}
}

/* --------------------------------------------------------------------- environment */

static void variables_have_names_or_prefixes(void **state)
{
	static const struct form forms[] = {
		{ "HOME", "HOME" }, { "LC_*", "LC_*" }, { "*", "*" }, { "a.b-c", "a.b-c" },
	};
	static const struct refusal refusals[] = {
		{ "HOME=/root", "has a value: type the name alone" }, { "=", "has a value" },
		{ "*A", "not at the end" }, { "A*B*", "not at the end" },
		{ "**", "not at the end" },
	};

	(void)state;
	STORED_AS(KREPIS_ENV, forms);
	ALL_REFUSED(KREPIS_ENV, refusals);
	assert_string_equal(stored(true, KREPIS_ENV, long_path(PATH_MAX - 1)),
			    long_path(PATH_MAX - 1));
	refused(true, KREPIS_ENV, long_path(PATH_MAX), "at most 4095 bytes");
}

static bool lets(const char *json, const char *name)
{
	struct krepis_policy *policy = parsed(json);
	bool answer = krepis_policy_env(policy, name);

	krepis_policy_destroy(policy);
	return answer;
}

static void no_variable_is_let_through_unless_allowed(void **state)
{
	(void)state;
	assert_false(lets("{}", "HOME"));
	assert_false(lets("{\"allow\": {\"read\": true}}", "HOME"));
	assert_true(lets("{\"allow\": {\"env\": true}}", "HOME"));
	assert_true(lets("{\"allow\": {\"env\": [\"HOME\"]}}", "HOME"));
	assert_false(lets("{\"allow\": {\"env\": [\"HOME\"]}}", "HOME2"));
	assert_false(lets("{\"allow\": {\"env\": [\"HOME\"]}}", "HOM"));
	assert_false(lets("{\"allow\": {\"env\": [\"HOME\"]}}", "home"));
	assert_true(lets("{\"allow\": {\"env\": [\"LC_*\"]}}", "LC_ALL"));
	assert_true(lets("{\"allow\": {\"env\": [\"LC_*\"]}}", "LC_"));
	assert_false(lets("{\"allow\": {\"env\": [\"LC_*\"]}}", "LC"));
	assert_true(lets("{\"allow\": {\"env\": [\"*\"]}}", "LC"));
}

static void a_denied_variable_stays_denied(void **state)
{
	(void)state;
	assert_false(lets("{\"allow\": {\"env\": true}, \"deny\": {\"env\": [\"A\"]}}", "A"));
	assert_true(lets("{\"allow\": {\"env\": true}, \"deny\": {\"env\": [\"A\"]}}", "B"));
	assert_false(lets("{\"allow\": {\"env\": [\"AB\"]}, \"deny\": {\"env\": [\"A*\"]}}", "AB"));
	assert_false(lets("{\"allow\": {\"env\": [\"A\"]}, \"deny\": {\"env\": true}}", "A"));
	assert_true(lets("{\"allow\": {\"env\": [\"A\"]}, \"deny\": {\"read\": true}}", "A"));
}

/* -------------------------------------------------------------------------- system */

static void every_capability_has_its_name(void **state)
{
	struct policy_sys sys;
	char upper[64];

	(void)state;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		const char *name = krepis_policy_sys_name(cap);

		assert_non_null(name);
		assert_ok(krepis_policy_parse_sys(name, &sys, NULL, 0));
		assert_int_equal(sys.capability, cap);
		assert_int_equal(sys.facility, 0);
		snprintf(upper, sizeof(upper), "CAP_%s", name);
		for (char *c = upper; *c; c++)
			*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
		assert_string_equal(stored(false, KREPIS_SYS, upper), name);
	}
	assert_null(krepis_policy_sys_name(CAP_LAST_CAP + 1));
	assert_null(krepis_policy_sys_name(-1));
	assert_int_equal(CAP_NET_ADMIN, 12);
	assert_ok(krepis_policy_parse_sys("net_admin", &sys, NULL, 0));
	assert_int_equal(sys.capability, 12);
}

static void facilities_have_their_bits(void **state)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} cases[] = {
		{ "ipc", SANDBOX_SYS_IPC }, { "userns", SANDBOX_SYS_USERNS },
		{ "netlink", SANDBOX_SYS_NETLINK }, { "sockets", SANDBOX_SYS_SOCKETS },
	};
	struct policy_sys sys;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(krepis_policy_parse_sys(cases[i].name, &sys, NULL, 0));
		assert_int_equal(sys.capability, -1);
		assert_int_equal(sys.facility, cases[i].bit);
		assert_string_equal(stored(true, KREPIS_SYS, cases[i].name), cases[i].name);
	}
	assert_string_equal(stored(true, KREPIS_SYS, "IPC"), "ipc");
}

static void what_is_no_capability_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ "net_admi", "capabilities(7)" }, { "net_admin ", "capabilities(7)" },
		{ "cap_", "capabilities(7)" }, { "cap_ipc", "capabilities(7)" },
		{ "cap_cap_chown", "capabilities(7)" }, { "12", "capabilities(7)" },
		{ "*", "capabilities(7)" },
	};

	(void)state;
	ALL_REFUSED(KREPIS_SYS, refusals);
}

static void what_undoes_the_sandbox_can_be_denied_but_not_allowed(void **state)
{
	static const char *const names[] = {
		"sys_module", "sys_rawio", "bpf", "sys_admin", "mknod",
	};
	uint64_t never = 0;
	struct policy_sys sys;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		refused(true, KREPIS_SYS, names[i], "undo its sandbox");
		assert_string_equal(stored(false, KREPIS_SYS, names[i]), names[i]);
		assert_ok(krepis_policy_parse_sys(names[i], &sys, NULL, 0));
		never |= 1ULL << sys.capability;
	}
	refused(true, KREPIS_SYS, "CAP_SYS_MODULE", "undo its sandbox");
	assert_true(never == POLICY_CAPS_NEVER);
}

/* --------------------------------------------------------------------------- lists */

static void a_new_policy_has_no_sentence(void **state)
{
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_int_equal(sentences(policy), 0);
	assert_string_equal(krepis_policy_error(policy), "");
	assert_string_equal(text_of(policy), "{}\n");
	krepis_policy_destroy(policy);
	krepis_policy_destroy(NULL);
}

static void what_is_no_what_is_refused(void **state)
{
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_error(krepis_policy_add(policy, true, KREPIS_WHATS, NULL), EINVAL);
	assert_true(*krepis_policy_error(policy));
	assert_error(krepis_policy_add(policy, true, (enum krepis_what)-1, "/x"), EINVAL);
	assert_error(krepis_policy_remove(policy, true, KREPIS_WHATS, NULL), EINVAL);
	assert_int_equal(sentences(policy), 0);
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, NULL));
	assert_string_equal(krepis_policy_error(policy), "");
	krepis_policy_destroy(policy);
}

static void a_sentence_is_there_once(void **state)
{
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/usr"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "//usr/"));
	assert_int_equal(sentences(policy), 1);
	assert_ok(krepis_policy_add(policy, false, KREPIS_READ, "/usr"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_WRITE, "/usr"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/usr2"));
	assert_int_equal(sentences(policy), 4);
	krepis_policy_destroy(policy);
}

static void a_removed_sentence_is_gone_and_no_other(void **state)
{
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_ok(krepis_policy_add(policy, true, KREPIS_NET, "a:80"));
	assert_ok(krepis_policy_add(policy, false, KREPIS_NET, "a:80"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_NET, "a:81"));
	assert_error(krepis_policy_remove(policy, true, KREPIS_NET, "a:82"), ENOENT);
	assert_non_null(strstr(krepis_policy_error(policy), "a:82 is not there"));
	assert_error(krepis_policy_remove(policy, true, KREPIS_NET, NULL), ENOENT);
	assert_error(krepis_policy_remove(policy, true, KREPIS_UNIX, "a:80"), ENOENT);
	assert_int_equal(sentences(policy), 3);
	assert_ok(krepis_policy_remove(policy, true, KREPIS_NET, "A:80"));
	assert_string_equal(krepis_policy_error(policy), "");
	assert_error(krepis_policy_remove(policy, true, KREPIS_NET, "a:80"), ENOENT);
	assert_ok(krepis_policy_remove(policy, false, KREPIS_NET, "a:80"));
	assert_ok(krepis_policy_remove(policy, true, KREPIS_NET, "a:81"));
	assert_int_equal(sentences(policy), 0);
	krepis_policy_destroy(policy);
}

static void all_takes_the_place_of_the_others_of_its_kind(void **state)
{
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/a"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/b"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_WRITE, "/a"));
	assert_ok(krepis_policy_add(policy, false, KREPIS_READ, "/a"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, NULL));
	assert_int_equal(sentences(policy), 3);
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/c"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, NULL));
	assert_int_equal(sentences(policy), 3);
	assert_error(krepis_policy_remove(policy, true, KREPIS_READ, "/a"), ENOENT);
	assert_non_null(strstr(krepis_policy_error(policy), "allow read of all"));
	assert_ok(krepis_policy_remove(policy, true, KREPIS_READ, NULL));
	assert_int_equal(sentences(policy), 2);
	krepis_policy_destroy(policy);
}

static int stop_at_second(void *count, bool allow, enum krepis_what what, const char *object)
{
	(void)allow, (void)what, (void)object;
	return ++*(int *)count == 2 ? -ECANCELED : 0;
}

static void each_ends_when_it_is_told_to(void **state)
{
	struct krepis_policy *policy = parsed("{\"allow\": {\"read\": [\"/a\", \"/b\", \"/c\"]}}");
	int count = 0;

	(void)state;
	assert_error(krepis_policy_each(policy, stop_at_second, &count), ECANCELED);
	assert_int_equal(count, 2);
	krepis_policy_destroy(policy);
}

/* ------------------------------------------------------------------------ compiler */

static int take_part(void *seen, const struct policy_sentence *s)
{
	int *n = seen;

	switch (s->what) {
	case KREPIS_READ:
		assert_null(s->object);
		break;
	case KREPIS_NET:
		assert_string_equal(s->object, "bind:10.0.0.0/8:80");
		assert_true(s->net.bind && s->net.bits == 104 && s->net.port == 80);
		break;
	case KREPIS_CHANNEL:
		assert_string_equal(s->channel.path, "/x");
		assert_int_equal(s->channel.rights, SANDBOX_PRODUCE);
		break;
	case KREPIS_SYS:
		assert_int_equal(s->sys.capability, CAP_CHOWN);
		break;
	default:
		fail();
	}
	assert_int_equal(s->allow, s->what != KREPIS_SYS);
	return ++*n == 4 ? 44 : 0;
}

static void sentences_come_taken_apart(void **state)
{
	struct krepis_policy *policy;
	int n = 0;

	(void)state;
	policy = parsed("{\"allow\": {\"channel\": [\"/x:w\"], \"net\": [\"bind:10.0.0.0/8:80\"],"
			"\"read\": true}, \"deny\": {\"sys\": [\"chown\"]}}");
	assert_int_equal(krepis_policy_sentences(policy, take_part, &n), 44);
	assert_int_equal(n, 4);
	krepis_policy_destroy(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(every_what_has_a_word_and_is_found_by_it),
		CLAIM(what_is_none_has_no_word),
		CLAIM(paths_are_made_plain_but_for_two_dots),
		CLAIM(a_relative_path_begins_where_the_process_is),
		CLAIM(a_relative_path_from_a_directory_that_is_gone_is_refused),
		CLAIM(a_path_is_as_long_as_the_kernel_takes_it),
		CLAIM(an_empty_object_is_refused),
		CLAIM(what_is_not_utf8_is_refused),
		CLAIM(what_is_shown_of_an_object_is_one_line_and_short),
		CLAIM(abstract_names_are_kept_as_they_are),
		CLAIM(channels_have_a_path_and_a_role),
		CLAIM(the_path_of_a_channel_has_its_limit),
		CLAIM(a_channel_is_taken_apart),
		CLAIM(variables_have_names_or_prefixes),
		CLAIM(no_variable_is_let_through_unless_allowed),
		CLAIM(a_denied_variable_stays_denied),
		CLAIM(every_capability_has_its_name),
		CLAIM(facilities_have_their_bits),
		CLAIM(what_is_no_capability_is_refused),
		CLAIM(what_undoes_the_sandbox_can_be_denied_but_not_allowed),
		CLAIM(a_new_policy_has_no_sentence),
		CLAIM(what_is_no_what_is_refused),
		CLAIM(a_sentence_is_there_once),
		CLAIM(a_removed_sentence_is_gone_and_no_other),
		CLAIM(all_takes_the_place_of_the_others_of_its_kind),
		CLAIM(each_ends_when_it_is_told_to),
		CLAIM(sentences_come_taken_apart),
	};

	return RUN("policy", tests);
}
