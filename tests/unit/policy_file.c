// SPDX-License-Identifier: MIT
/*
 * Policy files: what they say, how they are written, what is none, and their schema.
 */
#include <json-c/json.h>
#include <limits.h>
#include <unistd.h>
#include "policy.h"

static const char example[] =
	"{\n"
	"  \"allow\": {\n"
	"    \"read\": [\n"
	"      \"/etc\",\n"
	"      \"/usr\"\n"
	"    ],\n"
	"    \"net\": [\n"
	"      \"*:443\",\n"
	"      \"bind:*:80\"\n"
	"    ],\n"
	"    \"env\": true\n"
	"  },\n"
	"  \"deny\": {\n"
	"    \"read\": [\n"
	"      \"/etc/shadow\"\n"
	"    ],\n"
	"    \"sys\": true\n"
	"  }\n"
	"}\n";

/* ------------------------------------------------------------------------- writing */

static void a_policy_is_written_in_one_way(void **state)
{
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_ok(krepis_policy_add(policy, false, KREPIS_SYS, NULL));
	assert_ok(krepis_policy_add(policy, true, KREPIS_NET, "bind::80"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_ENV, NULL));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/usr"));
	assert_ok(krepis_policy_add(policy, false, KREPIS_READ, "/etc/shadow"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_NET, ":443"));
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/etc/"));
	assert_string_equal(text_of(policy), example);
	krepis_policy_destroy(policy);
}

static void what_is_written_is_read_again(void **state)
{
	static const char *const texts[] = {
		example,
		"{}\n",
		"{\n  \"deny\": {\n    \"exec\": true\n  }\n}\n",
		"{\n  \"allow\": {\n    \"read\": [\n"
		"      \"/a\\\"\\\\\\n\\t\\u0001 \xc3\xa9\x7f\"\n    ]\n  }\n}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct krepis_policy *policy = parsed(texts[i]);

		assert_string_equal(text_of(policy), texts[i]);
		krepis_policy_destroy(policy);
	}
}

static int add_next(void *last, bool allow, enum krepis_what what, const char *object)
{
	char text[64];

	snprintf(text, sizeof(text), "%d %d %s|", allow, what, object ? object : "-");
	strcat(last, text);
	return 0;
}

static void each_goes_in_the_order_of_the_file(void **state)
{
	struct krepis_policy *policy = parsed(example);
	char seen[512] = "";

	(void)state;
	assert_ok(krepis_policy_each(policy, add_next, seen));
	assert_string_equal(seen, "1 0 /etc|1 0 /usr|1 3 *:443|1 3 bind:*:80|1 6 -|"
				  "0 0 /etc/shadow|0 7 -|");
	krepis_policy_destroy(policy);
}

/* ------------------------------------------------------------------------- reading */

static void every_form_of_an_empty_policy_is_read(void **state)
{
	static const char *const texts[] = {
		"{}", " \t\r\n{ } \n", "{\"allow\": {}}", "{\"deny\": {}, \"allow\": {}}",
		"{\"allow\": {\"read\": []}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct krepis_policy *policy = parsed(texts[i]);

		assert_int_equal(sentences(policy), 0);
		krepis_policy_destroy(policy);
	}
}

static void a_file_adds_to_what_is_there(void **state)
{
	static const char more[] = "{\"allow\": {\"read\": [\"/usr\", \"/var\"]}}";
	struct krepis_policy *policy = new_policy();

	(void)state;
	assert_ok(krepis_policy_add(policy, true, KREPIS_READ, "/usr"));
	assert_ok(krepis_policy_add(policy, false, KREPIS_READ, "/home"));
	assert_ok(krepis_policy_parse(policy, more, strlen(more)));
	assert_int_equal(sentences(policy), 3);
	assert_ok(krepis_policy_parse(policy, example, strlen(example)));
	assert_int_equal(sentences(policy), 9);
	krepis_policy_destroy(policy);
}

static void a_file_about_all_takes_the_place_of_what_is_there(void **state)
{
	static const char all[] = "{\"allow\": {\"read\": true}}";
	struct krepis_policy *policy = parsed("{\"allow\": {\"read\": [\"/a\", \"/b\"]}}");

	(void)state;
	assert_ok(krepis_policy_parse(policy, all, strlen(all)));
	assert_int_equal(sentences(policy), 1);
	krepis_policy_destroy(policy);
}

static void only_the_given_bytes_are_read(void **state)
{
	struct krepis_policy *policy = new_policy();
	char *exact = malloc(2);

	(void)state;
	must(exact);
	memcpy(exact, "{}", 2);
	assert_ok(krepis_policy_parse(policy, exact, 2));
	assert_error(krepis_policy_parse(policy, exact, 1), EINVAL);
	assert_error(krepis_policy_parse(policy, exact, 0), EINVAL);
	free(exact);
	krepis_policy_destroy(policy);
}

static void many_objects_are_read(void **state)
{
	unsigned int count = rounds(20000);
	size_t room = 64 + 16 * (size_t)count, n = 0;
	struct krepis_policy *policy;
	char *json = malloc(room);

	(void)state;
	must(json);
	n += (size_t)snprintf(json, room, "{\"allow\": {\"read\": [\"/0\"");
	for (unsigned int i = 1; i < count; i++)
		n += (size_t)snprintf(json + n, room - n, ", \"/%u\"", i * 7919 % 1000003);
	snprintf(json + n, room - n, "]}}");
	policy = parsed(json);
	assert_int_equal(sentences(policy), count);
	krepis_policy_destroy(policy);
	free(json);
}

/* ------------------------------------------------------------------------ refusals */

/* Refused with a sentence that contains @why; what was there still is, and no more. */
static void file_refused(const char *json, size_t len, const char *why)
{
	struct krepis_policy *policy = parsed(example);
	const char *error;

	assert_error(krepis_policy_parse(policy, json, len), EINVAL);
	error = krepis_policy_error(policy);
	if (!strstr(error, why))
		fprintf(stderr, "%s\nis refused with: %s\n", json, error);
	assert_non_null(strstr(error, why));
	assert_null(strchr(error, '\n'));
	assert_string_equal(text_of(policy), example);
	krepis_policy_destroy(policy);
}

static void files_refused(const struct refusal *refusals, size_t count)
{
	for (size_t i = 0; i < count; i++)
		file_refused(refusals[i].typed, strlen(refusals[i].typed), refusals[i].why);
}

#define FILES_REFUSED(table) files_refused(table, ARRAY_SIZE(table))

static void what_is_no_json_is_refused_with_its_place(void **state)
{
	static const struct refusal refusals[] = {
		{ "", "line 1, column 1: the text ends here" },
		{ "{\n  \"allow\": {", "line 2, column 13: the text ends here" },
		{ "{\"allow", "the text ends here" },
		{ "allow", "line 1, column 1: this is no JSON" },
		{ "{} {}", "line 1, column 4: this is no JSON" }, { "{}x", "line 1, column 3" },
		{ "{\n  \"allow\": {},\n}", "line 3, column 1" },
		{ "{\"allow\": {\"read\": [\"/a\",]}}", "no JSON" },
		{ "{\"allow\": {\"read\": [\"/\xc3\xa9\" \"/b\"]}}", "line 1, column 26" },
		{ "{'allow': {}}", "line 1, column 2: this is no JSON: type \" instead of '" },
		{ "{\"allow\": {\"read\": ['/a']}}", "line 1, column 21: this is no JSON" },
		{ "{\"allow\": {\"read\": [\"/'\", '\"']}}", "line 1, column 27: this is no JSON" },
		{ "12", "this is int" }, { "\"a", "the text ends here" },
	 { "{allow: {}}", "no JSON" },
		{ "{} // end", "no JSON" }, { "/* begin */ {}", "no JSON" },
		{ "{\"allow\": {\"read\": True}}", "no JSON" }, { "\xef\xbb\xbf{}", "no JSON" },
		{ "{\"allow\": {\"read\": [\"\\x\"]}}", "no JSON" },
		{ "{\"allow\": {\"read\": [\"\\u00g0\"]}}", "no JSON" },
		{ "[[[[[[[[[[[[]]]]]]]]]]]]", "line 1, column 9: too deep" },
	};

	(void)state;
	FILES_REFUSED(refusals);
}

static void other_types_are_refused_with_their_key(void **state)
{
	static const struct refusal refusals[] = {
		{ "[]", "this is array" }, { "null", "this is null" },
		{ "\"allow\"", "this is string" },
		{ "{\"allow\": true}", "allow: this is true" },
		{ "{\"deny\": null}", "deny: this is null" },
		{ "{\"allow\": []}", "allow: this is array" },
		{ "{\"allow\": {\"read\": false}}", "allow.read: this is false" },
		{ "{\"allow\": {\"read\": null}}", "allow.read: this is null" },
		{ "{\"allow\": {\"read\": \"/usr\"}}", "allow.read: this is string: type [" },
		{ "{\"deny\": {\"net\": 80}}", "deny.net: this is int" },
		{ "{\"deny\": {\"net\": {\"a\": 1}}}", "deny.net: this is object" },
		{ "{\"deny\": {\"net\": [\"a\", 80]}}", "deny.net[1]: this is int: type a string" },
		{ "{\"deny\": {\"net\": [[\"a\"]]}}", "deny.net[0]: this is array" },
		{ "{\"allow\": {\"net\": [null]}}", "allow.net[0]: this is null" },
		{ "{\"allow\": {\"net\": [true]}}", "allow.net[0]: this is true" },
	};

	(void)state;
	FILES_REFUSED(refusals);
}

static void unknown_keys_are_refused_with_their_place(void **state)
{
	static const struct refusal refusals[] = {
		{ "{\"permit\": {}}", "line 1, column 2: unknown key: type \"allow\" or \"deny\"" },
		{ "{\n \"allow\": {\"reads\": true}}",
		  "line 2, column 12: unknown key: type \"read\", " },
		{ "{\"allow\": {\"\": true}}", "unknown key" }, { "{\"\": {}}", "unknown key" },
		{ "{\"allow\": {\"allow\": {}}}", "unknown key" },
		{ "{\"read\": true}", "unknown key" },
		{ "{\"allow\": {\"readreadreadreadread\": true}}", "unknown key" },
		{ "{\"allow\": {\"re\\u0061d\": true}}", "unknown key" },
		{ "{\"Allow\": {}}", "unknown key" }, { "{\"$schema\": \"x\"}", "unknown key" },
	};

	(void)state;
	FILES_REFUSED(refusals);
}

/* json-c keeps the last of them: what the first denies would be lost. */
static void a_key_that_stands_there_twice_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ "{\"deny\": {\"read\": true},\n\"deny\": {}}",
		  "line 2, column 1: \"deny\" stands here for the second time" },
		{ "{\"deny\": {\"read\": true, \"read\": []}}",
		  "line 1, column 25: \"read\" stands here for the second time" },
		{ "{\"allow\": {}, \"deny\": {}, \"allow\": {}}", "\"allow\" stands" },
	};

	(void)state;
	FILES_REFUSED(refusals);
	krepis_policy_destroy(parsed("{\"allow\": {\"read\": []}, \"deny\": {\"read\": []}}"));
}

static void characters_that_are_none_are_refused(void **state)
{
	static const struct refusal refusals[] = {
		{ "{\"allow\": {\"read\": [\"/a\\u0000b\"]}}", "line 1, column 24: \\u0000" },
		{ "{\"allow\": {\"read\": [\"/\\ud800\"]}}",
		  "line 1, column 23: half a surrogate" },
		{ "{\"allow\": {\"read\": [\"/\\udc00\"]}}", "half a surrogate" },
		{ "{\"allow\": {\"read\": [\"/\\ud800\\ud800\"]}}", "half a surrogate" },
		{ "{\"allow\": {\"read\": [\"/\\udbffu\"]}}", "half a surrogate" },
		{ "{\"allow\": {\"read\": [\"/\\udc00\\udc00\"]}}", "half a surrogate" },
		{ "{\"allow\": {\"read\": [\"/a\nb\"]}}", "a control character" },
		{ "{\"allow\": {\"read\": [\"/\xff\"]}}", "allow.read[0]: /\\xff is not UTF-8" },
	};
	struct krepis_policy *policy;

	(void)state;
	FILES_REFUSED(refusals);
	policy = parsed("{\"allow\": {\"read\": [\"/\\ud83d\\uDE00\\u20ac\\/\\\\u0000\"]}}");
	assert_non_null(strstr(text_of(policy), "\"/\xf0\x9f\x98\x80\xe2\x82\xac/\\\\u0000\""));
	krepis_policy_destroy(policy);
}

static void bytes_of_0_are_refused_wherever_they_stand(void **state)
{
	static const char within[] = "{\"allow\": {\"read\": [\"/a\0b\"]}}", behind[] = "{}\0x";

	(void)state;
	file_refused(within, sizeof(within) - 1, "line 1, column 24: a 0 byte");
	file_refused(behind, sizeof(behind) - 1, "line 1, column 3: a 0 byte");
	file_refused("{}", 3, "a 0 byte");
}

static void an_object_is_refused_with_its_key_and_its_reason(void **state)
{
	static const struct refusal refusals[] = {
		{ "{\"allow\": {\"net\": [\"a\", \"10.1.2.3/8\"]}}",
		  "allow.net[1]: 10.1.2.3/8 has bits beyond its prefix: did you mean 10.0.0.0/8?" },
		{ "{\"deny\": {\"channel\": [\"x\"]}}", "deny.channel[0]: x has no role" },
		{ "{\"allow\": {\"sys\": [\"bpf\"]}}", "allow.sys[0]: bpf cannot be allowed" },
		{ "{\"allow\": {\"read\": [\"/a\", \"/b\", \"\"]}}",
		  "allow.read[2]: \"\" is no path" },
	};

	(void)state;
	FILES_REFUSED(refusals);
}

static void a_text_too_long_is_refused(void **state)
{
	const size_t limit = 16U << 20;
	char *json = malloc(limit + 1);
	struct krepis_policy *policy = new_policy();

	(void)state;
	must(json);
	memset(json, ' ', limit + 1);
	json[0] = '{';
	json[1] = '}';
	assert_ok(krepis_policy_parse(policy, json, limit));
	file_refused(json, limit + 1, "at most 16777216 bytes");
	free(json);
	krepis_policy_destroy(policy);
}

/* -------------------------------------------------------------------------- schema */

/* The file of the source tree, of which the program stands somewhere in build/. */
static struct json_object *schema(void)
{
	char path[PATH_MAX + 64];
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
	struct json_object *root = NULL;
	char *slash;

	must(len > 0);
	path[len] = 0;
	while (!root && (slash = strrchr(path, '/'))) {
		strcpy(slash, "/Documentation/schema/policy.json");
		if (!access(path, R_OK))
			root = json_object_from_file(path);
		*slash = 0;
	}
	if (!root)
		fprintf(stderr, "%s\n", json_util_get_last_err());
	assert_non_null(root);
	return root;
}

static struct json_object *at(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

static void the_schema_has_the_words_of_the_library(void **state)
{
	struct json_object *root = schema(), *sentences, *whats, *what;

	(void)state;
	assert_int_equal(json_object_object_length(at(root, "properties")), 2);
	at(at(root, "properties"), "allow");
	at(at(root, "properties"), "deny");
	assert_false(json_object_get_boolean(at(root, "additionalProperties")));
	sentences = at(at(root, "$defs"), "sentences");
	assert_false(json_object_get_boolean(at(sentences, "additionalProperties")));
	whats = at(sentences, "properties");
	assert_int_equal(json_object_object_length(whats), KREPIS_WHATS);
	for (int i = 0; i < KREPIS_WHATS; i++) {
		what = at(whats, krepis_what_name((enum krepis_what)i));
		assert_true(json_object_get_string_len(at(what, "description")));
	}
	json_object_put(root);
}

static void the_examples_of_the_schema_are_policies(void **state)
{
	struct json_object *root = schema(), *examples = at(root, "examples"), *objects;
	struct json_object *whats = at(at(at(root, "$defs"), "sentences"), "properties");

	(void)state;
	krepis_policy_destroy(parsed(json_object_to_json_string(
		json_object_array_get_idx(examples, 0))));
	for (int i = 0; i < KREPIS_WHATS; i++) {
		examples = at(at(whats, krepis_what_name((enum krepis_what)i)), "examples");
		objects = json_object_array_get_idx(examples, 0);
		assert_true(json_object_array_length(objects) > 0);
		for (size_t j = 0; j < json_object_array_length(objects); j++)
			stored(true, (enum krepis_what)i, json_object_get_string(
				json_object_array_get_idx(objects, j)));
	}
	json_object_put(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_policy_is_written_in_one_way),
		CLAIM(what_is_written_is_read_again),
		CLAIM(each_goes_in_the_order_of_the_file),
		CLAIM(every_form_of_an_empty_policy_is_read),
		CLAIM(a_file_adds_to_what_is_there),
		CLAIM(a_file_about_all_takes_the_place_of_what_is_there),
		CLAIM(only_the_given_bytes_are_read),
		CLAIM(many_objects_are_read),
		CLAIM(what_is_no_json_is_refused_with_its_place),
		CLAIM(other_types_are_refused_with_their_key),
		CLAIM(unknown_keys_are_refused_with_their_place),
		CLAIM(a_key_that_stands_there_twice_is_refused),
		CLAIM(characters_that_are_none_are_refused),
		CLAIM(bytes_of_0_are_refused_wherever_they_stand),
		CLAIM(an_object_is_refused_with_its_key_and_its_reason),
		CLAIM(a_text_too_long_is_refused),
		CLAIM(the_schema_has_the_words_of_the_library),
		CLAIM(the_examples_of_the_schema_are_policies),
	};

	return RUN("policy_file", tests);
}
