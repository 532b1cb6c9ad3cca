/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands of krepis(1) share: exit codes, options, messages,
 * signals, descriptors, and the few pieces of JSON.
 */
#ifndef _KREPIS_TOOL_H
#define _KREPIS_TOOL_H

#include <getopt.h>
#include <stdio.h>
#include <sys/types.h>
#include <krepis/krepis.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define NSEC_PER_SEC	1000000000LL
#define PATH_SIZE	4096

/* What the command exits with; documented in help and in krepis(1). */
enum tool_exit {
	EXIT_DONE	= 0,
	EXIT_FAILED	= 1,
	EXIT_USAGE	= 2,
	EXIT_NOT_FOUND	= 3,
	EXIT_PEER_GONE	= 4,
	EXIT_TIMED_OUT	= 5,
};

/**
 * struct tool_command - one subcommand
 * @name:	what is typed
 * @summary:	one line for the list
 * @synopsis:	lines of usage, without the leading "krepis NAME"
 * @help:	options, then an example of two lines
 * @run:	gets argv[0] == @name; returns an exit code
 */
struct tool_command {
	const char *name;
	const char *summary;
	const char *synopsis;
	const char *help;
	int (*run)(int argc, char **argv);
};

extern const struct tool_command command_create, command_ls, command_rm, command_send,
	command_recv, command_cat, command_run, command_policy, command_oci_hook, command_demo,
	command_doctor, command_bench;

/* ---- tool.c: options and messages */

#define TOOL_OPT_END	(-1)
#define TOOL_OPT_BAD	'?'	/* said why; return EXIT_USAGE */
#define TOOL_OPT_HELP	'h'	/* return tool_help() */

int tool_getopt(int argc, char **argv, const char *shorts, const struct option *longs);
int tool_help(const struct tool_command *command);
int tool_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

int tool_parse_size(const char *option, const char *text, uint64_t *size);
int tool_parse_count(const char *option, const char *text, uint64_t max, uint64_t *count);
int tool_parse_timeout(const char *option, const char *text, int64_t *timeout_ns);

int tool_path(const char *name, char *path, size_t size);
int tool_channel_error(const char *verb, const char *name, int err);
int tool_error_exit(const char *what, const char *name, int err);

const char *tool_size_text(uint64_t bytes, char *text, size_t size);
const char *tool_amount_text(uint64_t bytes, char *text, size_t size);
int64_t tool_now(void);

/* ---- endpoint.c: signals, attaching, blocking descriptors */

void tool_signals_init(void);
int tool_signalled(void);
int tool_signal_exit(void);
int tool_attach(struct krepis_channel *channel, enum krepis_role role,
		struct krepis_endpoint **out);
void tool_detach(struct krepis_endpoint *endpoint);
bool tool_peer_gone(struct krepis_endpoint *endpoint);
uint32_t tool_deaths(struct krepis_endpoint *endpoint);
uint32_t tool_producer_deaths(struct krepis_endpoint *endpoint);
ssize_t tool_read(struct krepis_endpoint *endpoint, int fd, void *data, size_t len,
		  int64_t deadline);
int tool_write(int fd, const void *data, size_t len);

/* ---- json.c */

void json_string(FILE *out, const char *text, size_t len);
void json_text(FILE *out, const char *text);
void json_base64(FILE *out, const void *data, size_t len);
bool utf8_valid(const char *text, size_t len);
void print_escaped(FILE *out, const char *text, size_t len);
void json_channel(FILE *out, const char *name, const char *path,
		  const struct krepis_status *status);

static inline const char *kind_name(uint32_t kind)
{
	return kind == KREPIS_TRIPLE ? "triple" : "ring";
}

static inline const char *backpressure_name(uint32_t backpressure)
{
	return backpressure == KREPIS_OVERWRITE ? "overwrite" :
	       backpressure == KREPIS_FAIL ? "fail" : "block";
}

#endif /* _KREPIS_TOOL_H */
