// SPDX-License-Identifier: MIT
/*
 * Policy files.
 *
 *	{
 *	  "allow": {
 *	    "read": ["/usr", "/etc"],
 *	    "env": true
 *	  },
 *	  "deny": { ... }
 *	}
 *
 * json-c reads them. What it passes over in silence is looked for here, since a sentence that
 * gets lost may be one that denies: a key that stands there twice, of which it keeps
 * one, and half a surrogate pair, for which it puts another character. And it takes ' for ".
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy.h"

#define TEXT_MAX	(16U << 20)	/* bytes */
#define DEPTH		8		/* half of it is needed */
#define FORMAT		(JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | \
			 JSON_C_TO_STRING_NOSLASHESCAPE)

static const char *const verbs[] = { "deny", "allow" };

/* The text, and where an error of it is said. */
struct text {
	struct krepis_policy *policy;
	const char *json;
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static int fail(struct krepis_policy *policy, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(policy->error, sizeof(policy->error), format, args);
	va_end(args);
	return -EINVAL;
}

/* Says in front where @at is: a column is a character, not a byte. */
__attribute__((format(printf, 3, 4)))
static int fail_at(const struct text *text, size_t at, const char *format, ...)
{
	unsigned int line = 1, column = 1;
	char what[POLICY_WHY / 2];
	va_list args;
	size_t i;

	for (i = 0; i < at && i < text->len; i++) {
		bool newline = text->json[i] == '\n';

		line += newline;
		column = newline ? 1 : column + ((text->json[i] & 0xc0) != 0x80);
	}
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return fail(text->policy, "line %u, column %u: %s", line, column, what);
}

/* ----------------------------------------------------------------------- the text */

/* The number of a \uXXXX at @at, or -1: there is none. */
static long unit(const struct text *text, size_t at)
{
	char digits[5] = "", *end;
	long value;

	if (at + 6 > text->len || text->json[at] != '\\' || text->json[at + 1] != 'u')
		return -1;
	memcpy(digits, text->json + at + 2, 4);
	value = strtol(digits, &end, 16);
	return *end ? -1 : value;
}

/* Goes over the escape at @at; *@used: how many bytes it has. */
static int check_escape(const struct text *text, size_t at, size_t *used)
{
	long first = unit(text, at), second;

	*used = first < 0 ? 2 : 6;
	if (!first)
		return fail_at(text, at, "\\u0000 cannot stand in a name: take it out");
	if (first < 0xd800 || first > 0xdfff)
		return 0;
	second = unit(text, at + 6);
	if (first > 0xdbff || second < 0xdc00 || second > 0xdfff)
		return fail_at(text, at, "half a surrogate pair is no character: type the other "
			       "half too, or the character itself");
	*used = 12;
	return 0;
}

/* @at: of the quote at its begin; then of the one at its end. */
static int check_string(const struct text *text, size_t *at)
{
	size_t i = *at + 1, used;
	int err;

	while (i < text->len && text->json[i] != '"') {
		if ((unsigned char)text->json[i] < 0x20)
			return fail_at(text, i, "a control character in a string: type \\n, \\t "
				       "or \\u00%02x", text->json[i]);
		used = 1;
		err = text->json[i] == '\\' ? check_escape(text, i, &used) : 0;
		if (err)
			return err;
		i += used;
	}
	*at = i;
	return 0;
}

/**
 * struct keys - what was seen of them
 * @section: number of the verb in which the others are
 * @verbs:   a bit for each
 * @whats:   the same, of each verb
 */
struct keys {
	unsigned int section;
	unsigned int verbs;
	unsigned int whats[2];
};

static int twice(const struct text *text, size_t at, const char *key)
{
	return fail_at(text, at, "\"%s\" stands here for the second time: put all into one", key);
}

static int check_verb(const struct text *text, size_t at, const char *key, struct keys *keys)
{
	if (strcmp(key, "allow") && strcmp(key, "deny"))
		return fail_at(text, at, "unknown key: type \"allow\" or \"deny\"");
	keys->section = !strcmp(key, "allow");
	if (keys->verbs & 1U << keys->section)
		return twice(text, at, key);
	keys->verbs |= 1U << keys->section;
	return 0;
}

static int check_what(const struct text *text, size_t at, const char *key, struct keys *keys)
{
	int what = krepis_what_find(key), i;
	char words[96] = "";
	size_t n = 0;

	for (i = 0; i < KREPIS_WHATS; i++)
		n += (size_t)snprintf(words + n, sizeof(words) - n, "%s\"%s\"",
				      !i ? "" : i + 1 < KREPIS_WHATS ? ", " : " or ",
				      krepis_what_name((enum krepis_what)i));
	if (what < 0)
		return fail_at(text, at, "unknown key: type %s", words);
	if (keys->whats[keys->section] & 1U << what)
		return twice(text, at, key);
	keys->whats[keys->section] |= 1U << what;
	return 0;
}

/* The key of @len bytes at @at, @depth objects and arrays deep. */
static int check_key(const struct text *text, size_t at, size_t len, unsigned int depth,
		     struct keys *keys)
{
	char key[16] = "";

	/* What is longer, or has escapes in it, is none of the words. */
	if (len < sizeof(key))
		memcpy(key, text->json + at, len);
	if (depth == 1)
		return check_verb(text, at - 1, key, keys);
	return depth == 2 ? check_what(text, at - 1, key, keys) : 0;
}

/* Whether all keys are known and each is there once, and strings are what they seem. */
static int check_text(const struct text *text)
{
	size_t at, begin = 0, end = 0;
	struct keys keys = { 0 };
	unsigned int depth = 0;
	int err = 0;

	for (at = 0; at < text->len && !err; at++) {
		switch (text->json[at]) {
		case '"':
			begin = at + 1;
			err = check_string(text, &at);
			end = at;
			break;
		case '\'':
			err = fail_at(text, at, "this is no JSON: type \" instead of '");
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		case ':':
			err = check_key(text, begin, end - begin, depth, &keys);
			break;
		}
	}
	return err;
}

/* ---------------------------------------------------------------------- the values */

static const char *type_of(struct json_object *value)
{
	return json_object_is_type(value, json_type_boolean) ?
		       (json_object_get_boolean(value) ? "true" : "false") :
		       json_type_to_name(json_object_get_type(value));
}

static int add(struct krepis_policy *policy, bool allow, enum krepis_what what, size_t index,
	       struct json_object *value)
{
	char why[POLICY_WHY];
	const char *object;
	int err;

	if (!json_object_is_type(value, json_type_string))
		return fail(policy, "%s.%s[%zu]: this is %s: type a string", verbs[allow],
			    krepis_what_name(what), index, type_of(value));
	object = json_object_get_string(value);
	if (!object)
		return -ENOMEM;
	if (strlen(object) != (size_t)json_object_get_string_len(value))
		return fail(policy, "%s.%s[%zu]: a 0 in a name: take it out", verbs[allow],
			    krepis_what_name(what), index);
	err = krepis_policy_add(policy, allow, what, object);
	if (err == -EINVAL) {
		memcpy(why, policy->error, sizeof(why));
		snprintf(policy->error, sizeof(policy->error), "%s.%s[%zu]: %.*s", verbs[allow],
			 krepis_what_name(what), index, POLICY_WHY - 64, why);
	}
	return err;
}

static int add_what(struct krepis_policy *policy, bool allow, enum krepis_what what,
		    struct json_object *value)
{
	size_t i;
	int err = 0;

	if (json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value))
		return krepis_policy_add(policy, allow, what, NULL);
	if (!json_object_is_type(value, json_type_array))
		return fail(policy, "%s.%s: this is %s: type [\"OBJECT\", ...], or true for all, "
			    "or leave it out for none", verbs[allow], krepis_what_name(what),
			    type_of(value));
	for (i = 0; i < json_object_array_length(value) && !err; i++)
		err = add(policy, allow, what, i, json_object_array_get_idx(value, i));
	return err;
}

static int add_section(struct krepis_policy *policy, bool allow, struct json_object *root)
{
	struct json_object *section, *value;
	int what, err = 0;

	if (!json_object_object_get_ex(root, verbs[allow], &section))
		return 0;
	if (!json_object_is_type(section, json_type_object))
		return fail(policy, "%s: this is %s: type {\"read\": [\"/usr\"], ...}",
			    verbs[allow], type_of(section));
	for (what = 0; what < KREPIS_WHATS && !err; what++) {
		const char *name = krepis_what_name((enum krepis_what)what);

		if (json_object_object_get_ex(section, name, &value))
			err = add_what(policy, allow, (enum krepis_what)what, value);
	}
	return err;
}

/* ------------------------------------------------------------------------- reading */

static int syntax_error(const struct text *text, struct json_tokener *tokener)
{
	enum json_tokener_error err = json_tokener_get_error(tokener);
	size_t at = json_tokener_get_parse_end(tokener);

	if (err == json_tokener_error_parse_eof)
		return fail_at(text, text->len, "the text ends here, in the middle: "
			       "a \" or a bracket is not closed");
	if (err == json_tokener_error_depth)
		return fail_at(text, at, "too deep: there are no more brackets than in "
			       "{\"allow\": {\"read\": [\"/usr\"]}}");
	return fail_at(text, at, "this is no JSON (%s): type {\"allow\": {\"read\": [\"/usr\"]}}",
		       json_tokener_error_desc(err));
}

static int parse(const struct text *text, struct json_tokener *tokener, struct json_object **root)
{
	const char *zero = memchr(text->json, 0, text->len);

	if (zero)
		return fail_at(text, (size_t)(zero - text->json), "a 0 byte: this is no text");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	*root = json_tokener_parse_ex(tokener, text->json, (int)text->len);
	/* A 0 tells it that nothing follows: until then it waits for more. */
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		*root = json_tokener_parse_ex(tokener, "", 1);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		return syntax_error(text, tokener);
	if (!json_object_is_type(*root, json_type_object))
		return fail(text->policy, "this is %s: type {\"allow\": {...}, \"deny\": {...}}",
			    type_of(*root));
	return check_text(text);
}

/* Into a policy of its own: nothing has changed if something is wrong. */
static int read_policy(const struct text *text, struct krepis_policy *aside)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
	struct json_object *root = NULL;
	int err;

	if (!tokener)
		return -ENOMEM;
	err = parse(text, tokener, &root);
	if (!err)
		err = add_section(aside, true, root);
	if (!err)
		err = add_section(aside, false, root);
	json_object_put(root);
	json_tokener_free(tokener);
	return err;
}

KREPIS_SANDBOX_API int krepis_policy_parse(struct krepis_policy *policy, const char *json,
					   size_t len)
{
	struct krepis_policy *aside;
	struct text text;
	int err;

	policy->error[0] = 0;
	if (len > TEXT_MAX)
		return fail(policy, "the text is too long: a policy has at most %u bytes",
			    TEXT_MAX);
	err = krepis_policy_create(&aside);
	if (!err) {
		text = (struct text){ .policy = aside, .json = json, .len = len };
		err = read_policy(&text, aside);
		memcpy(policy->error, aside->error, sizeof(policy->error));
		if (!err)
			err = krepis_policy_merge(policy, aside);
		krepis_policy_destroy(aside);
	}
	if (err == -ENOMEM)
		fail(policy, "no memory is left");
	return err;
}

/* ------------------------------------------------------------------------- writing */

/* Puts @value, which may be NULL for lack of memory, into @object; it is gone in any case. */
static int put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* What @key has in @object, made with @make if it has nothing. NULL: no memory. */
static struct json_object *member(struct json_object *object, const char *key,
				  struct json_object *(*make)(void))
{
	struct json_object *value;

	if (json_object_object_get_ex(object, key, &value))
		return value;
	value = make();
	return put(object, key, value) ? NULL : value;
}

static int write_sentence(void *root, bool allow, enum krepis_what what, const char *object)
{
	struct json_object *section = member(root, verbs[allow], json_object_new_object);
	struct json_object *array, *string;

	if (!section)
		return -ENOMEM;
	if (!object)
		return put(section, krepis_what_name(what), json_object_new_boolean(1));
	array = member(section, krepis_what_name(what), json_object_new_array);
	string = json_object_new_string(object);
	if (array && string && !json_object_array_add(array, string))
		return 0;
	json_object_put(string);
	return -ENOMEM;
}

KREPIS_SANDBOX_API int krepis_policy_format(const struct krepis_policy *policy, char **json)
{
	struct json_object *root = json_object_new_object();
	const char *text;
	char *copy;
	int err;

	if (!root)
		return -ENOMEM;
	err = krepis_policy_each(policy, write_sentence, root);
	/* Of an empty object json-c's versions make different texts. */
	text = err ? NULL : !policy->count ? "{}" : json_object_to_json_string_ext(root, FORMAT);
	if (!text || asprintf(&copy, "%s\n", text) < 0)
		err = -ENOMEM;
	else
		*json = copy;
	json_object_put(root);
	return err;
}
