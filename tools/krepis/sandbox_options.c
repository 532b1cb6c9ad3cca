// SPDX-License-Identifier: MIT
/* The sentences of a policy: from options and files, and as options again. */
#include <stdlib.h>
#include <string.h>
#include "sandbox.h"

#define POLICY_MAX	(16UL << 20)	/* bytes of a policy file */

bool sandbox_is_sentence(int option)
{
	return option >= SANDBOX_ALLOW && option <= SANDBOX_ALLOW_ALL;
}

/* For what the library refused for other reasons than that the input is wrong. */
int sandbox_failed(int err)
{
	switch (-err) {
	case ENOENT:
	case EOPNOTSUPP:
	case EPERM:
		return EXIT_NOT_FOUND;
	default:
		return EXIT_FAILED;
	}
}

/* The object at the start of @rest, which goes on behind the comma, or is NULL. */
static char *cut(char **rest)
{
	char *object = *rest, *from = *rest, *to = *rest;

	while (*from && *from != ',') {
		if (from[0] == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return object;
}

static int add(struct krepis_policy *policy, bool allow, enum krepis_what what, const char *object)
{
	int err = krepis_policy_add(policy, allow, what, object);

	if (!err)
		return 0;
	tool_error("--%s-%s%s%s: %s", allow ? "allow" : "deny", krepis_what_name(what),
		   object ? "=" : "", object ? object : "",
		   err == -EINVAL ? krepis_policy_error(policy) : krepis_strerror(err));
	return err == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

static int add_all(struct krepis_policy *policy)
{
	int what, code = 0;

	for (what = 0; what < KREPIS_WHATS && !code; what++)
		code = add(policy, true, what, NULL);
	return code;
}

/**
 * sandbox_sentence - adds what an option says
 * @command: the subcommand, for messages
 * @policy:  to which it is added
 * @option:  one for which sandbox_is_sentence(), with its value in optarg
 *
 * Return: 0, or an exit code after a message.
 */
int sandbox_sentence(const char *command, struct krepis_policy *policy, int option)
{
	bool allow = option < SANDBOX_DENY;
	enum krepis_what what = option & 0xff;
	char *list, *rest;
	int code = 0;

	if (option == SANDBOX_ALLOW_ALL)
		return add_all(policy);
	if (!optarg)
		return add(policy, allow, what, NULL);
	list = rest = strdup(optarg);
	if (!list) {
		tool_error("%s", krepis_strerror(-ENOMEM));
		return EXIT_FAILED;
	}
	while (rest && !code) {
		const char *object = cut(&rest);

		if (*object)
			code = add(policy, allow, what, object);
		else
			code = tool_usage(command, "--%s-%s=%s: an object is empty",
					  allow ? "allow" : "deny", krepis_what_name(what), optarg);
	}
	free(list);
	return code;
}

/* All of @file, to be released with free(3). */
static char *read_all(FILE *file, size_t *len)
{
	size_t room = 4096, n;
	char *text = malloc(room), *more;

	*len = 0;
	while (text && (n = fread(text + *len, 1, room - *len, file)) > 0) {
		*len += n;
		if (*len < room)
			continue;
		more = *len < POLICY_MAX ? realloc(text, room *= 2) : NULL;
		if (!more) {
			free(text);
			errno = EFBIG;
		}
		text = more;
	}
	if (text && ferror(file)) {
		free(text);
		text = NULL;
	}
	return text;
}

/**
 * sandbox_policy_file - adds what a policy file says
 * @policy: to which it is added
 * @path:   the file, or "-" for standard input
 *
 * Return: 0, or an exit code after a message.
 */
int sandbox_policy_file(struct krepis_policy *policy, const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *text = NULL;
	size_t len = 0;
	int err;

	if (file)
		text = read_all(file, &len);
	err = text ? 0 : -errno;
	if (file && file != stdin)
		fclose(file);
	if (err) {
		tool_error("cannot read the policy '%s': %s", path, krepis_strerror(err));
		return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
	}
	err = krepis_policy_parse(policy, text, len);
	free(text);
	if (err)
		tool_error("the policy '%s': %s", path, err == -EINVAL ? krepis_policy_error(policy) :
			   krepis_strerror(err));
	return err ? EXIT_FAILED : 0;
}

/* Return: 0 or -ENOMEM. */
int sandbox_policy_copy(const struct krepis_policy *from, struct krepis_policy **to)
{
	char *text = NULL;
	int err = krepis_policy_create(to);

	if (err)
		return err;
	err = krepis_policy_format(from, &text);
	if (!err)
		err = krepis_policy_parse(*to, text, strlen(text));
	free(text);
	if (err)
		krepis_policy_destroy(*to);
	return err;
}

/**
 * sandbox_flag - the option that says a sentence, as sandbox_sentence() reads it
 *
 * Return: to be released with free(3), or NULL.
 */
char *sandbox_flag(bool allow, enum krepis_what what, const char *object)
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "--%s-%s", allow ? "allow" : "deny", krepis_what_name(what));
	if (object)
		fputc('=', out);
	for (; object && *object; object++) {
		if (*object == ',' || (*object == '\\' && (object[1] == ',' || object[1] == '\\' ||
							    !object[1])))
			fputc('\\', out);
		fputc(*object, out);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Whether @text is shown as it is: UTF-8, and nothing that a terminal would obey. */
static bool is_plain(const char *text)
{
	size_t len = strlen(text);
	const unsigned char *at = (const unsigned char *)text;

	for (; *at; at++)
		if (*at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0))
			return false;
	return utf8_valid(text, len);
}

/* One word, to be pasted into a shell; $'...' is of bash, ksh and zsh. */
void print_shell(FILE *out, const char *text)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "-_=+/.,:@%";
	bool plain = is_plain(text);

	if (*text && !text[strspn(text, safe)]) {
		fputs(text, out);
		return;
	}
	fputs(plain ? "'" : "$'", out);
	for (; *text; text++) {
		unsigned char c = *text;

		if (plain && c == '\'')
			fputs("'\\''", out);
		else if (!plain && (c == '\'' || c == '\\'))
			fprintf(out, "\\%c", c);
		else if (!plain && (c < 0x20 || c >= 0x7f))
			fprintf(out, "\\%03o", c);
		else
			fputc(c, out);
	}
	fputc('\'', out);
}
