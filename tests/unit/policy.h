/* SPDX-License-Identifier: MIT */
/*
 * What the tests of policies share: tables of objects that are stored, and that are refused.
 */
#ifndef KREPIS_TEST_POLICY_H
#define KREPIS_TEST_POLICY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "helpers.h"
#include "sandbox/policy.h"

static inline struct krepis_policy *new_policy(void)
{
	struct krepis_policy *policy = NULL;

	assert_ok(krepis_policy_create(&policy));
	return policy;
}

/* The text of @policy; good until the next call. */
static inline const char *text_of(const struct krepis_policy *policy)
{
	static char *json;

	free(json);
	json = NULL;
	assert_ok(krepis_policy_format(policy, &json));
	return json;
}

static inline struct krepis_policy *parsed(const char *json)
{
	struct krepis_policy *policy = new_policy();
	int err = krepis_policy_parse(policy, json, strlen(json));

	if (err)
		fprintf(stderr, "%s\n", krepis_policy_error(policy));
	assert_ok(err);
	assert_string_equal(krepis_policy_error(policy), "");
	return policy;
}

static inline int count_one(void *count, bool allow, enum krepis_what what, const char *object)
{
	(void)allow, (void)what, (void)object;
	++*(int *)count;
	return 0;
}

static inline int sentences(const struct krepis_policy *policy)
{
	int count = 0;

	assert_ok(krepis_policy_each(policy, count_one, &count));
	return count;
}

static inline int copy_object(void *copy, bool allow, enum krepis_what what, const char *object)
{
	(void)allow, (void)what;
	snprintf(copy, POLICY_OBJECT, "%s", object ? object : "(all)");
	return 1;
}

/* How @object is stored. */
static inline const char *stored(bool allow, enum krepis_what what, const char *object)
{
	static char copy[POLICY_OBJECT];
	struct krepis_policy *policy = new_policy();
	int err = krepis_policy_add(policy, allow, what, object);

	if (err)
		fprintf(stderr, "%s\n", krepis_policy_error(policy));
	assert_ok(err);
	assert_string_equal(krepis_policy_error(policy), "");
	assert_int_equal(sentences(policy), 1);
	assert_int_equal(krepis_policy_each(policy, copy_object, copy), 1);
	krepis_policy_destroy(policy);
	return copy;
}

/* Refused with a sentence that contains @why; and nothing changed. */
static inline void refused(bool allow, enum krepis_what what, const char *object, const char *why)
{
	struct krepis_policy *policy = new_policy();
	const char *error;

	assert_error(krepis_policy_add(policy, allow, what, object), EINVAL);
	error = krepis_policy_error(policy);
	if (!strstr(error, why))
		fprintf(stderr, "\"%s\" is refused with: %s\n", object, error);
	assert_non_null(strstr(error, why));
	assert_null(strchr(error, '\n'));
	assert_int_equal(sentences(policy), 0);
	assert_error(krepis_policy_remove(policy, allow, what, object), EINVAL);
	krepis_policy_destroy(policy);
}

struct form {
	const char *typed;
	const char *stored;
};

static inline void stored_as(enum krepis_what what, const struct form *forms, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(stored(true, what, forms[i].typed), forms[i].stored);
		assert_string_equal(stored(false, what, forms[i].stored), forms[i].stored);
	}
}

struct refusal {
	const char *typed;
	const char *why;
};

static inline void all_refused(enum krepis_what what, const struct refusal *refusals, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		refused(true, what, refusals[i].typed, refusals[i].why);
		refused(false, what, refusals[i].typed, refusals[i].why);
	}
}

#define STORED_AS(what, forms)	 stored_as(what, forms, ARRAY_SIZE(forms))
#define ALL_REFUSED(what, table) all_refused(what, table, ARRAY_SIZE(table))

#endif /* KREPIS_TEST_POLICY_H */
