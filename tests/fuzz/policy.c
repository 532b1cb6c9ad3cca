// SPDX-License-Identifier: MIT
/*
 * Policies from anybody: policy [COUNT [SEED]] | policy FILE...
 *
 * An input is a policy file, or a list of sentences. Whatever it says:
 *
 *	- no crash, no report of a sanitizer, no result but those that sandbox.h allows;
 *	- what is refused is refused in one line that can be printed, and changes nothing;
 *	- what is accepted is written as a file that is read as the same policy, and written
 *	  as the same bytes;
 *	- an object as it is stored is stored as it is, and can be taken apart;
 *	- what was added can be removed.
 *
 * The first byte says which it is. For libFuzzer (compiled with -DKREPIS_LIBFUZZER, together
 * with the library's sources) each input is a policy of its own. By itself the program
 * makes inputs from SEED, of pieces of what is right, some of them damaged. What it
 * leaves behind when it fails is the input, to be run again as FILE.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sandbox.h"
#include "sandbox/policy.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define MUST(condition)                                                              \
	do {                                                                         \
		if (!(condition)) {                                                  \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);     \
			abort();                                                     \
		}                                                                    \
	} while (0)

static struct {
	uint64_t files;
	uint64_t read;
	uint64_t sentences;
	uint64_t added;
} figures;

/* --------------------------------------------------------------------- properties */

static char *text_of(const struct krepis_policy *policy)
{
	char *json = NULL;

	MUST(!krepis_policy_format(policy, &json));
	return json;
}

static bool same(const struct krepis_policy *policy, const char *json)
{
	char *text = text_of(policy);
	bool answer = !strcmp(text, json);

	free(text);
	return answer;
}

static void check_error(const struct krepis_policy *policy, int err)
{
	const unsigned char *s = (const unsigned char *)krepis_policy_error(policy);

	MUST(!err || err == -EINVAL || err == -ENOENT);
	MUST(!err == !*s);
	for (; *s; s++)
		MUST(*s >= 0x20 && *s != 0x7f);
}

static int add_again(void *policy, bool allow, enum krepis_what what, const char *object)
{
	MUST((unsigned int)what < KREPIS_WHATS);
	MUST(!krepis_policy_add(policy, allow, what, object));
	return 0;
}

static int check_parts(void *arg, const struct policy_sentence *s)
{
	char text[POLICY_OBJECT];

	(void)arg;
	if (!s->object)
		return 0;
	MUST(*s->object && strlen(s->object) < POLICY_OBJECT);
	if (s->what == KREPIS_NET) {
		MUST(s->net.bits <= 128 && (!s->net.any_host || !s->net.bits));
		krepis_policy_format_net(&s->net, text);
		MUST(!strcmp(text, s->object));
	} else if (s->what == KREPIS_CHANNEL) {
		MUST(*s->channel.path == '/' && s->channel.rights);
		MUST(!strncmp(s->object, s->channel.path, strlen(s->channel.path)));
	} else if (s->what == KREPIS_SYS) {
		MUST(s->sys.capability >= 0 ? !s->sys.facility : s->sys.facility);
		MUST(!s->allow || s->sys.capability < 0 ||
		     !(POLICY_CAPS_NEVER & 1ULL << s->sys.capability));
	} else if (s->what != KREPIS_ENV) {
		MUST(*s->object == '/' || (s->what == KREPIS_UNIX && *s->object == '@'));
		MUST(*s->object != '/' || !strstr(s->object, "//"));
	}
	return 0;
}

static void check_policy(const struct krepis_policy *policy)
{
	struct krepis_policy *read, *again;
	char *json = text_of(policy);

	MUST(!krepis_policy_create(&read) && !krepis_policy_create(&again));
	MUST(!krepis_policy_parse(read, json, strlen(json)) && same(read, json));
	MUST(!krepis_policy_parse(read, json, strlen(json)) && same(read, json));
	MUST(!krepis_policy_each(policy, add_again, again) && same(again, json));
	MUST(!krepis_policy_sentences(policy, check_parts, NULL));
	krepis_policy_env(policy, "HOME");
	krepis_policy_destroy(again);
	krepis_policy_destroy(read);
	free(json);
}

/* -------------------------------------------------------------------------- inputs */

static void file(struct krepis_policy *policy, const char *data, size_t size)
{
	char *before = text_of(policy);
	int err = krepis_policy_parse(policy, data, size);

	check_error(policy, err);
	MUST(err != -ENOENT);
	MUST(!err || same(policy, before));
	figures.files++;
	figures.read += !err;
	free(before);
}

static int count_one(void *count, bool allow, enum krepis_what what, const char *object)
{
	(void)allow, (void)what, (void)object;
	++*(size_t *)count;
	return 0;
}

static size_t count(const struct krepis_policy *policy)
{
	size_t n = 0;

	krepis_policy_each(policy, count_one, &n);
	return n;
}

/* @how: what is done with it. */
static void sentence(struct krepis_policy *policy, uint8_t how, uint8_t kind, const char *object)
{
	enum krepis_what what = (enum krepis_what)(kind % (KREPIS_WHATS + 1));
	bool allow = how & 1, all = how / 4 % 16 == 15;
	size_t before = count(policy);
	int err;

	err = how & 2 ? krepis_policy_remove(policy, allow, what, all ? NULL : object) :
			krepis_policy_add(policy, allow, what, all ? NULL : object);
	check_error(policy, err);
	MUST(!err || count(policy) == before);
	MUST(what < KREPIS_WHATS || err == -EINVAL);
	figures.sentences++;
	figures.added += !err;
	if (err || how & 2 || count(policy) <= before)
		return;
	MUST(!krepis_policy_remove(policy, allow, what, all ? NULL : object));
	MUST(all || count(policy) == before);
	MUST(!krepis_policy_add(policy, allow, what, all ? NULL : object));
}

/* Each of them: what is done with it, its kind, and the object with a 0 behind. */
static void sentences(struct krepis_policy *policy, const char *data, size_t size)
{
	while (size > 2) {
		const char *end = memchr(data + 2, 0, size - 2);
		size_t len = end ? (size_t)(end - data - 2) : size - 2;
		char *object = strndup(data + 2, len);

		MUST(object);
		sentence(policy, (uint8_t)data[0], (uint8_t)data[1], object);
		free(object);
		data += len + 2 + !!end;
		size -= len + 2 + !!end;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct krepis_policy *policy;
	char *exact;

	if (!size)
		return 0;
	/* Of this size, so that a read beyond it is one beyond what was allocated. */
	exact = malloc(size);
	MUST(exact && !krepis_policy_create(&policy));
	memcpy(exact, data, size);
	if (*data & 1)
		sentences(policy, exact + 1, size - 1);
	else
		file(policy, exact + 1, size - 1);
	check_policy(policy);
	krepis_policy_destroy(policy);
	free(exact);
	return 0;
}

#ifndef KREPIS_LIBFUZZER

/* ------------------------------------------------------------------- random inputs */

static struct {
	uint8_t data[4 * PATH_MAX];
	size_t size;
	uint64_t seed;
	uint64_t number;
} input;

/* splitmix64, by S. Vigna */
static uint64_t draw(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void append(const char *text, size_t len)
{
	if (len > sizeof(input.data) - input.size)
		len = sizeof(input.data) - input.size;
	memcpy(input.data + input.size, text, len);
	input.size += len;
}

static void append_text(const char *text)
{
	append(text, strlen(text));
}

static const char *one_of(uint64_t *rng, const char *const *words, size_t words_count)
{
	return words[draw(rng) % words_count];
}

static const char *const pieces[] = {
	"/", "/", ".", "..", "//", "usr", "a", ":", ":", "r", "w", "rw", ":pass", "@", "*",
	"bind:", "[", "]", "::", "1", "255", "/8", "/96", "/128", ":80", ":0", ":65535", "65536",
	"10.0.0.0", "fd00::", "::ffff:", "example.com", "-", "_", "=", "HOME", "%", "0x", " ",
	"net_admin", "cap_", "SYS_MODULE", "ipc", "userns", "bpf", "\xc3\xa9", "\xff", "\x01",
};

/* What is right of each kind. */
static const char *const wholes[KREPIS_WHATS][6] = {
	[KREPIS_READ] = { "/usr", "usr/./lib", "/a/../b", "/", "\xe2\x82\xac", "/etc/ssl//" },
	[KREPIS_WRITE] = { "/tmp", "/dev/null", ".", "..", "/a b", "/var/lib" },
	[KREPIS_EXEC] = { "/bin/sh", "/usr/bin", "a", "/b", "/c/", "//d" },
	[KREPIS_NET] = { "*:443", "bind::80", "example.com:443", "192.168.1.0/24:22",
			 "[fd00::/8]:53", "::ffff:1.2.3.4" },
	[KREPIS_UNIX] = { "/run/socket", "@name", "@/tmp/x", "@*", "socket", "/s" },
	[KREPIS_CHANNEL] = { "a:r", "/run/krepis/a:rw:pass", "/x:w", "b:w:pass", "./c:r", "/:rw" },
	[KREPIS_ENV] = { "HOME", "LC_*", "*", "PATH", "A", "A*" },
	[KREPIS_SYS] = { "chown", "CAP_NET_ADMIN", "netlink", "sockets", "ipc", "CAP_kill" },
};

static void append_object(uint64_t *rng, uint64_t what)
{
	uint64_t kind = draw(rng) % 32, n = draw(rng) % 8;

	if (kind < 28) {
		append_text(one_of(rng, wholes[what % KREPIS_WHATS], ARRAY_SIZE(wholes[0])));
		return;
	}
	if (kind == 31)
		n = draw(rng) % 3000;
	while (n--)
		append_text(one_of(rng, pieces, ARRAY_SIZE(pieces)));
}

static void append_sentences(uint64_t *rng)
{
	uint64_t n = draw(rng) % 12;

	append("\1", 1);
	while (n--) {
		uint8_t head[2] = { (uint8_t)draw(rng), (uint8_t)draw(rng) };

		append((const char *)head, 2);
		append_object(rng, draw(rng) % 4 ? head[1] % (KREPIS_WHATS + 1) : draw(rng));
		append("", 1);
	}
}

static void append_string(uint64_t *rng, uint64_t what)
{
	static const char *const escapes[] = {
		"\\n", "\\u0041", "\\u0000", "\\ud83d\\ude00", "\\ud83d", "\\/", "\\\"", "\\",
	};

	append_text("\"");
	append_object(rng, what);
	if (draw(rng) % 16 == 0)
		append_text(one_of(rng, escapes, ARRAY_SIZE(escapes)));
	append_text("\"");
}

static void append_section(uint64_t *rng, const char *name)
{
	uint64_t what = draw(rng) % 4;
	bool first, begun = false;

	append_text(name);
	for (; what < KREPIS_WHATS; what += 1 + draw(rng) % 3) {
		uint64_t n = draw(rng) % 4;

		append_text(begun ? ",\n\"" : "{\"");
		append_text(krepis_what_name((enum krepis_what)what));
		append_text(n ? "\": [" : "\": true");
		for (first = true; n; n--, first = false) {
			append_text(first ? "" : ", ");
			append_string(rng, what);
			if (n == 1)
				append_text("]");
		}
		begun = true;
	}
	append_text("}");
}

/* Overwrites, takes out or doubles some bytes. */
static void damage(uint64_t *rng)
{
	static const char marks[] = "{}[]\",:'\\/ \n0tfn\0";
	size_t at, len;
	uint64_t n;

	for (n = draw(rng) % 4; n && input.size > 2; n--) {
		at = 1 + draw(rng) % (input.size - 1);
		len = draw(rng) % 8;
		if (len > input.size - at)
			len = input.size - at;
		switch (draw(rng) % 4) {
		case 0:
			input.data[at] = (uint8_t)draw(rng);
			break;
		case 1:
			input.data[at] = (uint8_t)marks[draw(rng) % sizeof(marks)];
			break;
		case 2:
			memmove(input.data + at, input.data + at + len, input.size - at - len);
			input.size -= len;
			break;
		case 3:
			append((const char *)input.data + at, len);
			break;
		}
	}
}

static void append_file(uint64_t *rng)
{
	uint64_t which = draw(rng) % 3;

	append("", 1);
	append_text("{");
	if (which != 1)
		append_section(rng, "\"allow\": ");
	append_text(which == 2 ? ", " : "");
	if (which)
		append_section(rng, "\"deny\": ");
	append_text("}\n");
}

static void random_input(uint64_t *rng)
{
	input.size = 0;
	if (draw(rng) % 2)
		append_file(rng);
	else
		append_sentences(rng);
	if (draw(rng) % 3 == 0)
		damage(rng);
}

/* ------------------------------------------------------------------------- running */

static void report(void)
{
	/* A virtual machine's own /tmp does not outlive it. */
	const char *out = getenv("KREPIS_OUT");
	char path[256];
	int fd;

	dprintf(STDOUT_FILENO, "not ok 1 - seed %llu, input %llu\n",
		(unsigned long long)input.seed, (unsigned long long)input.number);
	snprintf(path, sizeof(path), "%s/krepis-policy-%d.input", out ? out : "/tmp",
		 (int)getpid());
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, input.data, input.size) == (ssize_t)input.size)
		dprintf(STDOUT_FILENO, "# the input is in %s\n", path);
}

static void on_death(int sig)
{
	signal(sig, SIG_DFL);
	report();
	raise(sig);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(void)
{
	const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM };

	signal(SIGABRT, on_death);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(report);
		signal(SIGALRM, on_death);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++)
		signal(deadly[i], on_death);
}

static int run_files(char **paths)
{
	ssize_t n;
	int fd;

	for (; *paths; paths++) {
		fd = open(*paths, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, input.data, sizeof(input.data));
		if (n < 0) {
			perror(*paths);
			return 1;
		}
		close(fd);
		LLVMFuzzerTestOneInput(input.data, (size_t)n);
		printf("ok 1 - %s\n", *paths);
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t inputs = 100000, rng;

	argv += argc > 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	watch();
	if (*argv && strspn(*argv, "0123456789") != strlen(*argv))
		return run_files(argv);
	if (*argv)
		inputs = strtoull(*argv++, NULL, 10);
	rng = input.seed = *argv ? strtoull(*argv, NULL, 10) : 1;
	while (input.number < inputs) {
		input.number++;
		random_input(&rng);
		alarm(10);
		LLVMFuzzerTestOneInput(input.data, input.size);
	}
	printf("ok 1 - %llu inputs: no crash, and what was read is what was written\n",
	       (unsigned long long)inputs);
	printf("# seed %llu; files %llu, of them good %llu; sentences %llu, of them good %llu\n",
	       (unsigned long long)input.seed, (unsigned long long)figures.files,
	       (unsigned long long)figures.read, (unsigned long long)figures.sentences,
	       (unsigned long long)figures.added);
	/* Inputs that are all refused, or none, say nothing. */
	printf("%s 2 - some were accepted, and some refused\n1..2\n",
	       figures.read && figures.read < figures.files && figures.added &&
	       figures.added < figures.sentences ? "ok" : "not ok");
	return 0;
}

#endif /* !KREPIS_LIBFUZZER */
