// SPDX-License-Identifier: MIT
/* Options, numbers, and messages that say what happened, why, and what to type next. */
#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "tool.h"

int64_t tool_now(void)
{
	return krepis_deadline_ns(0);
}

/* Names may be anybody's: a terminal is to obey none of them. */
static void print_message(const char *format, va_list args)
{
	char *text;
	int len = vasprintf(&text, format, args);

	if (len < 0)
		return;
	print_escaped(stderr, text, len);
	free(text);
}

void tool_error(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("krepis: ", stderr);
	va_start(args, format);
	print_message(format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* A usage error: the reason, and where the right usage stands. */
int tool_usage(const char *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "krepis %s: ", command);
	va_start(args, format);
	print_message(format, args);
	va_end(args);
	fprintf(stderr, ". See: krepis help %s\n", command);
	return EXIT_USAGE;
}

int tool_help(const struct tool_command *command)
{
	const char *line = command->synopsis;
	const char *lead = "usage: ";

	while (*line) {
		int len = strcspn(line, "\n");

		printf("%skrepis %s %.*s\n", lead, command->name, len, line);
		line += len + (line[len] == '\n');
		lead = "       ";
	}
	printf("\n%s\n\n%s", command->summary, command->help);
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

/*
 * getopt_long() with our messages. @shorts starts with ':'. Every command has -h
 * and --help, which @longs must list.
 */
int tool_getopt(int argc, char **argv, const char *shorts, const struct option *longs)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, shorts, longs, NULL);
	if (option == ':') {
		tool_usage(argv[0], "option '%s' needs a value", argv[optind - 1]);
		return TOOL_OPT_BAD;
	}
	if (option == '?') {
		const char *text = optind > 0 && optind <= argc ? argv[optind - 1] : "";

		if (optopt && text[0] == '-' && text[1] != '-')
			tool_usage(argv[0], "unknown option '-%c'", optopt);
		else if (optopt)
			tool_usage(argv[0], "option '%s' takes no value", text);
		else
			tool_usage(argv[0], "unknown option '%s'", text);
	}
	return option;
}

/* 4096, 64K, 16M, 1G: suffixes are powers of 1024. */
int tool_parse_size(const char *option, const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	const char *found;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || !isdigit((unsigned char)text[0]))
		goto bad;
	found = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (found) {
		shift = 10 * (found - suffixes + 1);
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
	}
	if (*end || (shift && value >> (64 - shift)))
		goto bad;
	*size = value << shift;
	return 0;
bad:
	tool_error("--%s: '%s' is not a size. A size is a number of bytes, or one with K, M or G, such as 64K",
		   option, text);
	return EXIT_USAGE;
}

int tool_parse_count(const char *option, const char *text, uint64_t max, uint64_t *count)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || !isdigit((unsigned char)text[0]) || value > max) {
		tool_error("--%s: '%s' is not a number from 0 to %llu", option, text,
			   (unsigned long long)max);
		return EXIT_USAGE;
	}
	*count = value;
	return 0;
}

/* Seconds, with decimals. */
int tool_parse_timeout(const char *option, const char *text, int64_t *timeout_ns)
{
	double seconds;
	char *end;

	seconds = strtod(text, &end);
	if (end == text || *end || !(seconds >= 0 && seconds <= 1e9)) {
		tool_error("--%s: '%s' is not a number of seconds, such as 2 or 0.5", option, text);
		return EXIT_USAGE;
	}
	*timeout_ns = (int64_t)(seconds * NSEC_PER_SEC);
	return 0;
}

/* The full path of a channel's name. */
int tool_path(const char *name, char *path, size_t size)
{
	char directory[PATH_SIZE];
	int len, err;

	if (strchr(name, '/')) {
		len = snprintf(path, size, "%s", name);
	} else {
		err = krepis_directory(directory, sizeof(directory));
		if (err)
			return err;
		len = snprintf(path, size, "%s/%s", directory, name);
	}
	return (size_t)len < size ? 0 : -ENAMETOOLONG;
}

static int exit_code(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case EMEDIUMTYPE:
		return EXIT_NOT_FOUND;
	case KREPIS_PEER_GONE:
		return EXIT_PEER_GONE;
	case ETIMEDOUT:
		return EXIT_TIMED_OUT;
	default:
		return EXIT_FAILED;
	}
}

/* What to type next after @err on a channel; a format for its name, or NULL. */
static const char *advice(const char *verb, int err)
{
	if (err == -EACCES && !strcmp(verb, "create"))
		return "Choose a directory of your own on tmpfs: export KREPIS_DIR=/dev/shm/krepis-mine";
	switch (-err) {
	case EEXIST:
		return "Look at it with: krepis ls. Remove it with: krepis rm %s";
	case EMEDIUMTYPE:
		return "See what is a channel with: krepis ls";
	case EBUSY:
		return "Each producer has a channel of its own; see who is there with: krepis ls";
	case EUSERS:
		return "Make the channel with more slots: krepis create --consumers N";
	case EOPNOTSUPP:
		return "Channels live on tmpfs or krepis: export KREPIS_DIR=/dev/shm/krepis-mine, or see: krepis doctor";
	case ENOMEM:
		return "Make it smaller with --buffers or --buffer-size, or see which limit it is: krepis doctor";
	case ENOSPC:
		return "Make it smaller with --ring, --buffers or --buffer-size, or see: krepis doctor";
	case EACCES:
	case EPERM:
		return "See whose it is with: ls -l, and let its owner create it with --mode";
	case EMFILE:
		return "Raise the limit with: ulimit -n 4096";
	default:
		return NULL;
	}
}

/* Of another ABI: which side is older, and what to type next. */
static void tell_abi(const char *path, const char *name)
{
	struct krepis_info_query q = { .size = sizeof(q) };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct krepis_info info;

	if (fd >= 0 && !ioctl(fd, KREPIS_IOC_QUERY, &q) && q.abi != KREPIS_ABI_VERSION)
		fprintf(stderr, "the module has ABI %u and this krepis has %u: the %s is older. See: krepis doctor",
			q.abi, KREPIS_ABI_VERSION, q.abi < KREPIS_ABI_VERSION ? "module" : "command");
	else if (fd >= 0 && pread(fd, &info, sizeof(info), 0) == sizeof(info) && info.abi != KREPIS_ABI_VERSION)
		fprintf(stderr, "it has ABI %u and this krepis has %u: %s krepis made it. "
			"Remove it with: krepis rm %s, and make it again", info.abi, KREPIS_ABI_VERSION,
			info.abi < KREPIS_ABI_VERSION ? "an older" : "a newer", name);
	else
		fputs(krepis_strerror(-EPROTONOSUPPORT), stderr);
	if (fd >= 0)
		close(fd);
}

/**
 * tool_channel_error - says why a channel could not be used
 * @verb: "open", "create", "remove", "attach to"
 * @name: as the user typed it
 * @err:  the library's error
 *
 * Return: the exit code that fits.
 */
int tool_channel_error(const char *verb, const char *name, int err)
{
	char path[PATH_SIZE] = "";
	const char *next = advice(verb, err);
	char *slash;

	fflush(stdout);
	if (tool_path(name, path, sizeof(path)))
		path[0] = '\0';
	slash = strrchr(path, '/');
	fprintf(stderr, "krepis: cannot %s channel '%s': ", verb, name);
	if (err == -ENOENT && slash) {
		*slash = '\0';
		fprintf(stderr, "no such channel in %s. Make one with: krepis create %s\n",
			slash == path ? "/" : path, name);
		return EXIT_NOT_FOUND;
	}
	if (err == -EMEDIUMTYPE)
		fprintf(stderr, "%s is not a krepis channel", path);
	else if (err == -EPROTONOSUPPORT)
		tell_abi(path, name);
	else
		fprintf(stderr, "%s", krepis_strerror(err));
	if (next) {
		fputs(". ", stderr);
		fprintf(stderr, next, name);
	}
	fputc('\n', stderr);
	return exit_code(err);
}

/* The same for what happened on an attached channel. */
int tool_error_exit(const char *what, const char *name, int err)
{
	tool_error("%s '%s': %s", what, name, krepis_strerror(err));
	return exit_code(err);
}

/* 64K, 1M, 1000: the exact value, as tool_parse_size() reads it. */
const char *tool_size_text(uint64_t bytes, char *text, size_t size)
{
	static const char suffixes[] = "KMGT";
	int i = -1;

	while (bytes && !(bytes & 1023) && i < 3) {
		bytes >>= 10;
		i++;
	}
	snprintf(text, size, "%llu%.*s", (unsigned long long)bytes, i >= 0, &suffixes[i < 0 ? 0 : i]);
	return text;
}

/* 17.4 MiB: about how much, to read. */
const char *tool_amount_text(uint64_t bytes, char *text, size_t size)
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = bytes;
	unsigned int i = 0;

	while (value >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		i++;
	}
	snprintf(text, size, i ? "%.1f %s" : "%.0f %s", value, units[i]);
	return text;
}
