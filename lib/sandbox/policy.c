// SPDX-License-Identifier: MIT
/*
 * Policies: lists of sentences, in one order whatever the order they came in.
 *
 * A sentence about all makes the others of its kind meaningless, and takes their place:
 * a policy file has no words for both.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy.h"

static const char *const names[KREPIS_WHATS] = {
	[KREPIS_READ] = "read",
	[KREPIS_WRITE] = "write",
	[KREPIS_EXEC] = "exec",
	[KREPIS_NET] = "net",
	[KREPIS_UNIX] = "unix",
	[KREPIS_CHANNEL] = "channel",
	[KREPIS_ENV] = "env",
	[KREPIS_SYS] = "sys",
};

/* An enumeration may be signed or not, and whoever calls may put any number there. */
static bool is_what(enum krepis_what what)
{
	return (unsigned int)what < KREPIS_WHATS;
}

KREPIS_SANDBOX_API const char *krepis_what_name(enum krepis_what what)
{
	return is_what(what) ? names[what] : NULL;
}

KREPIS_SANDBOX_API int krepis_what_find(const char *name)
{
	int what;

	for (what = 0; name && what < KREPIS_WHATS; what++) {
		if (!strcmp(names[what], name))
			return what;
	}
	return -ENOENT;
}

KREPIS_SANDBOX_API int krepis_policy_create(struct krepis_policy **out)
{
	struct krepis_policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return -ENOMEM;
	*out = policy;
	return 0;
}

KREPIS_SANDBOX_API void krepis_policy_destroy(struct krepis_policy *policy)
{
	size_t i;

	if (!policy)
		return;
	for (i = 0; i < policy->count; i++)
		free(policy->list[i].object);
	free(policy->list);
	free(policy);
}

KREPIS_SANDBOX_API const char *krepis_policy_error(const struct krepis_policy *policy)
{
	return policy->error;
}

/* ----------------------------------------------------------------------- the list */

/* First what is allowed; in the order of the words; all before any object. */
static int compare(const struct sentence *a, const struct sentence *b)
{
	if (a->allow != b->allow)
		return a->allow ? -1 : 1;
	if (a->what != b->what)
		return a->what < b->what ? -1 : 1;
	if (!a->object || !b->object)
		return !!a->object - !!b->object;
	return strcmp(a->object, b->object);
}

/* Where @wanted stands, or has to. */
static size_t find(const struct krepis_policy *policy, const struct sentence *wanted, bool *there)
{
	size_t begin = 0, end = policy->count;

	while (begin < end) {
		size_t middle = begin + (end - begin) / 2;

		if (compare(&policy->list[middle], wanted) < 0)
			begin = middle + 1;
		else
			end = middle;
	}
	*there = begin < policy->count && !compare(&policy->list[begin], wanted);
	return begin;
}

static bool has_all(const struct krepis_policy *policy, bool allow, enum krepis_what what)
{
	const struct sentence all = { .allow = allow, .what = what };
	bool there;

	find(policy, &all, &there);
	return there;
}

static void take_out(struct krepis_policy *policy, size_t at, size_t count)
{
	size_t i;

	if (!count)
		return;
	for (i = at; i < at + count; i++)
		free(policy->list[i].object);
	policy->count -= count;
	memmove(policy->list + at, policy->list + at + count,
		(policy->count - at) * sizeof(*policy->list));
}

static int reserve(struct krepis_policy *policy, size_t more)
{
	size_t room = policy->room ? policy->room : 8;
	struct sentence *list;

	while (room < policy->count + more)
		room *= 2;
	if (room == policy->room)
		return 0;
	list = reallocarray(policy->list, room, sizeof(*list));
	if (!list)
		return -ENOMEM;
	policy->list = list;
	policy->room = room;
	return 0;
}

/* There is room. The object is the list's from now on. */
static void insert(struct krepis_policy *policy, struct sentence sentence)
{
	size_t at, others = 0;
	bool there;

	at = find(policy, &sentence, &there);
	if (there || has_all(policy, sentence.allow, sentence.what)) {
		free(sentence.object);
		return;
	}
	while (!sentence.object && at + others < policy->count &&
	       policy->list[at + others].allow == sentence.allow &&
	       policy->list[at + others].what == sentence.what)
		others++;
	take_out(policy, at, others);
	memmove(policy->list + at + 1, policy->list + at,
		(policy->count - at) * sizeof(*policy->list));
	policy->list[at] = sentence;
	policy->count++;
}

int krepis_policy_merge(struct krepis_policy *policy, struct krepis_policy *from)
{
	int err = reserve(policy, from->count);
	size_t i;

	if (err)
		return err;
	for (i = 0; i < from->count; i++)
		insert(policy, from->list[i]);
	from->count = 0;
	return 0;
}

/* --------------------------------------------------------------------- sentences */

/* Checks the words of a sentence; its object is in @canonical, if it has one. */
static int check(struct krepis_policy *policy, struct sentence *sentence, const char *object,
		 char *canonical)
{
	policy->error[0] = 0;
	if (!is_what(sentence->what)) {
		snprintf(policy->error, sizeof(policy->error), "%d is none of enum krepis_what",
			 (int)sentence->what);
		return -EINVAL;
	}
	if (!object)
		return 0;
	sentence->object = canonical;
	return krepis_policy_canonical(sentence->allow, sentence->what, object, canonical,
				       policy->error, sizeof(policy->error));
}

static int no_memory(struct krepis_policy *policy)
{
	snprintf(policy->error, sizeof(policy->error), "no memory is left");
	return -ENOMEM;
}

KREPIS_SANDBOX_API int krepis_policy_add(struct krepis_policy *policy, bool allow,
					 enum krepis_what what, const char *object)
{
	struct sentence sentence = { .allow = allow, .what = what };
	char canonical[POLICY_OBJECT];
	int err;

	err = check(policy, &sentence, object, canonical);
	if (err)
		return err;
	if (reserve(policy, 1))
		return no_memory(policy);
	if (sentence.object)
		sentence.object = strdup(canonical);
	if (object && !sentence.object)
		return no_memory(policy);
	insert(policy, sentence);
	return 0;
}

static int not_there(struct krepis_policy *policy, const struct sentence *wanted)
{
	const char *verb = wanted->allow ? "allow" : "deny", *what = names[wanted->what];
	char *error = policy->error;

	if (!wanted->object)
		snprintf(error, POLICY_WHY, "the policy does not %s %s of all", verb, what);
	else if (has_all(policy, wanted->allow, wanted->what))
		krepis_policy_refuse(error, POLICY_WHY, wanted->object,
				     "is not there by itself: the policy says %s %s of all; "
				     "remove that", verb, what);
	else
		krepis_policy_refuse(error, POLICY_WHY, wanted->object,
				     "is not there: the policy does not %s %s of it", verb, what);
	return -ENOENT;
}

KREPIS_SANDBOX_API int krepis_policy_remove(struct krepis_policy *policy, bool allow,
					    enum krepis_what what, const char *object)
{
	struct sentence sentence = { .allow = allow, .what = what };
	char canonical[POLICY_OBJECT];
	bool there;
	size_t at;
	int err;

	err = check(policy, &sentence, object, canonical);
	if (err)
		return err;
	at = find(policy, &sentence, &there);
	if (!there)
		return not_there(policy, &sentence);
	take_out(policy, at, 1);
	return 0;
}

KREPIS_SANDBOX_API int krepis_policy_each(const struct krepis_policy *policy,
					  int (*f)(void *arg, bool allow, enum krepis_what what,
						   const char *object),
					  void *arg)
{
	int result = 0;
	size_t i;

	for (i = 0; i < policy->count && !result; i++)
		result = f(arg, policy->list[i].allow, policy->list[i].what,
			   policy->list[i].object);
	return result;
}

static void take_apart(struct policy_sentence *sentence)
{
	if (!sentence->object)
		return;
	if (sentence->what == KREPIS_NET)
		krepis_policy_parse_net(sentence->object, &sentence->net, NULL, 0);
	else if (sentence->what == KREPIS_CHANNEL)
		krepis_policy_parse_channel(sentence->object, &sentence->channel, NULL, 0);
	else if (sentence->what == KREPIS_SYS)
		krepis_policy_parse_sys(sentence->object, &sentence->sys, NULL, 0);
}

int krepis_policy_sentences(const struct krepis_policy *policy,
			    int (*f)(void *arg, const struct policy_sentence *sentence),
			    void *arg)
{
	int result = 0;
	size_t i;

	for (i = 0; i < policy->count && !result; i++) {
		struct policy_sentence sentence = {
			.allow = policy->list[i].allow,
			.what = policy->list[i].what,
			.object = policy->list[i].object,
		};

		take_apart(&sentence);
		result = f(arg, &sentence);
	}
	return result;
}

/* ------------------------------------------------------------------- environment */

static bool matches(const char *object, const char *name)
{
	size_t len = object ? strlen(object) : 0;

	if (!object)
		return true;
	if (object[len - 1] == '*')
		return !strncmp(object, name, len - 1);
	return !strcmp(object, name);
}

KREPIS_SANDBOX_API bool krepis_policy_env(const struct krepis_policy *policy, const char *name)
{
	bool allowed = false;
	size_t i;

	for (i = 0; i < policy->count; i++) {
		const struct sentence *s = &policy->list[i];

		if (s->what != KREPIS_ENV || !matches(s->object, name))
			continue;
		if (!s->allow)
			return false;
		allowed = true;
	}
	return allowed;
}
