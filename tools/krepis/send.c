// SPDX-License-Identifier: MIT
/* krepis send: texts, lines or standard input as messages. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tool.h"

#define READ_SIZE (64 << 10)

/**
 * struct sending - one run of krepis send
 * @name:     the channel, as typed
 * @endpoint: its producer
 * @geometry: its shape
 * @type:     of every message
 * @deadline: for all of it
 * @sent:     messages
 */
struct sending {
	const char *name;
	struct krepis_endpoint *endpoint;
	struct krepis_geometry geometry;
	uint16_t type;
	int64_t deadline;
	uint64_t sent;
};

static const struct option options[] = {
	{ "type", required_argument, NULL, 't' },
	{ "lines", no_argument, NULL, 'l' },
	{ "wait", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 'T' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static bool is_triple(const struct sending *s)
{
	return s->geometry.kind == KREPIS_TRIPLE;
}

/* The longest message that this channel takes. */
static uint64_t longest(const struct sending *s)
{
	return s->geometry.buffer_size > s->geometry.inline_max ? s->geometry.buffer_size :
								  s->geometry.inline_max;
}

static int send_triple(struct sending *s, const void *data, size_t len)
{
	void *room;
	int err;

	if (len > s->geometry.buffer_size)
		return -EMSGSIZE;
	err = krepis_triple_begin(s->endpoint, &room);
	if (err)
		return err;
	memcpy(room, data, len);
	return krepis_triple_commit(s->endpoint, s->type, len);
}

/* What krepis_send() will not copy by itself. */
static int send_large(struct sending *s, const void *data, size_t len)
{
	struct krepis_buffer *buffer;
	int err;

	err = krepis_acquire(s->endpoint, &buffer, s->deadline);
	if (err)
		return err;
	memcpy(krepis_buffer_data(buffer), data, len);
	err = krepis_publish(s->endpoint, buffer, s->type, len, 0, s->deadline);
	if (err)
		krepis_abandon(s->endpoint, buffer);
	return err;
}

static int send_one(struct sending *s, const void *data, size_t len)
{
	int err;

	if (is_triple(s))
		err = send_triple(s, data, len);
	else if (len >= KREPIS_MAX_COPY && len <= s->geometry.buffer_size)
		err = send_large(s, data, len);
	else
		err = krepis_send(s->endpoint, s->type, data, len, s->deadline);
	if (!err)
		s->sent++;
	return err;
}

/* All of standard input up to @size bytes; one more is -EMSGSIZE. */
static ssize_t read_all(struct sending *s, char *data, size_t size)
{
	size_t len = 0;
	ssize_t n;
	char more;

	while (len < size) {
		n = tool_read(s->endpoint, STDIN_FILENO, data + len, size - len, s->deadline);
		if (n <= 0)
			return n ? n : (ssize_t)len;
		len += n;
	}
	n = tool_read(s->endpoint, STDIN_FILENO, &more, 1, s->deadline);
	return n > 0 ? -EMSGSIZE : n ? n : (ssize_t)len;
}

/* Standard input as one message, read straight into a buffer of the channel. */
static int send_stdin_buffer(struct sending *s)
{
	struct krepis_buffer *buffer;
	ssize_t len;
	int err;

	err = krepis_acquire(s->endpoint, &buffer, s->deadline);
	if (err)
		return err;
	len = read_all(s, krepis_buffer_data(buffer), krepis_buffer_size(buffer));
	err = len < 0 ? len : krepis_publish(s->endpoint, buffer, s->type, len, 0, s->deadline);
	if (err)
		krepis_abandon(s->endpoint, buffer);
	else
		s->sent++;
	return err;
}

static int send_stdin(struct sending *s)
{
	ssize_t len;
	char *data;
	int err;

	if (!is_triple(s) && s->geometry.buffer_size >= s->geometry.inline_max)
		return send_stdin_buffer(s);
	data = malloc(longest(s));
	if (!data)
		return -ENOMEM;
	len = read_all(s, data, longest(s));
	err = len < 0 ? len : send_one(s, data, len);
	free(data);
	return err;
}

/* Sends the complete lines of @data; returns the bytes that they took. */
static ssize_t send_complete(struct sending *s, const char *data, size_t len)
{
	const char *at = data, *end;
	int err;

	while ((end = memchr(at, '\n', data + len - at))) {
		err = send_one(s, at, end - at);
		if (err)
			return err;
		at = end + 1;
	}
	return at - data;
}

/* Each line is a message, as soon as it is there. */
static int send_lines(struct sending *s)
{
	size_t len = 0, size = longest(s) + 1 + READ_SIZE;
	char *data = malloc(size);
	ssize_t n;

	if (!data)
		return -ENOMEM;
	for (;;) {
		n = tool_read(s->endpoint, STDIN_FILENO, data + len, size - len, s->deadline);
		if (n <= 0)
			break;
		len += n;
		n = send_complete(s, data, len);
		if (n < 0)
			break;
		len -= n;
		memmove(data, data + n, len);
		if (len == size) {
			n = -EMSGSIZE;
			break;
		}
	}
	if (!n && len)
		n = send_one(s, data, len);	/* the last line has no newline */
	free(data);
	return n;
}

static int explain(struct sending *s, int err)
{
	unsigned long long sent = s->sent;
	char limit[32];

	if (tool_signalled())
		return tool_signal_exit();
	switch (-err) {
	case EMSGSIZE:
		tool_error("message %llu is longer than the %s that '%s' takes. Make it with a larger --buffer-size, or stream with: krepis cat --to %s",
			   sent + 1, tool_amount_text(longest(s), limit, sizeof(limit)), s->name,
			   s->name);
		return EXIT_FAILED;
	case KREPIS_PEER_GONE:
		tool_error("the last consumer of '%s' has gone; %llu messages were sent before", s->name,
			   sent);
		return EXIT_PEER_GONE;
	case EAGAIN:
		tool_error("'%s' is full after %llu messages, and was made with --backpressure fail", s->name,
			   sent);
		return EXIT_FAILED;
	case ETIMEDOUT:
		tool_error("timed out after %llu messages to '%s'. See who reads with: krepis ls", sent,
			   s->name);
		return EXIT_TIMED_OUT;
	case ENOTCONN:
		tool_error("nobody ever read from '%s'. Wait for a consumer with --wait 1", s->name);
		return EXIT_FAILED;
	default:
		return tool_error_exit("cannot send to", s->name, err);
	}
}

static int wait_consumers(struct sending *s, unsigned int count)
{
	int err = count ? krepis_wait_peer(s->endpoint, count, s->deadline) : 0;

	if (!err)
		return EXIT_DONE;
	if (tool_signalled())
		return tool_signal_exit();
	if (err == -ETIMEDOUT) {
		tool_error("timed out: fewer than %u consumers came to '%s'. Start one with: krepis recv %s",
			   count, s->name, s->name);
		return EXIT_TIMED_OUT;
	}
	if (err == -EINVAL) {
		tool_error("'%s' has only %u slots for consumers, so --wait %u would never end",
			   s->name, s->geometry.max_consumers, count);
		return EXIT_USAGE;
	}
	return tool_error_exit("cannot wait for consumers of", s->name, err);
}

/* Opens the channel and becomes its producer. */
static int attach(struct sending *s)
{
	struct krepis_status status = { .size = sizeof(status) };
	struct krepis_channel *channel;
	const char *verb = "open";
	int err;

	err = krepis_channel_open(s->name, 0, &channel);
	if (!err) {
		verb = "attach to";
		err = krepis_query(channel, &status);
		if (!err)
			err = tool_attach(channel, KREPIS_PRODUCER, &s->endpoint);
		krepis_channel_close(channel);
	}
	s->geometry = status.geometry;
	return err ? tool_channel_error(verb, s->name, err) : 0;
}

static int send_texts(struct sending *s, int count, char **texts)
{
	int i, err;

	for (i = 0; i < count; i++) {
		err = send_one(s, texts[i], strlen(texts[i]));
		if (err)
			return err;
	}
	return 0;
}

static int run(int argc, char **argv)
{
	struct sending s = { .type = 0 };
	uint64_t wait = 1, type = 0;
	int64_t timeout = -1;
	bool lines = false;
	int option, err = 0;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		switch (option) {
		case 't':
			err = tool_parse_count("type", optarg, UINT16_MAX, &type);
			break;
		case 'w':
			err = tool_parse_count("wait", optarg, KREPIS_MAX_CONSUMERS, &wait);
			break;
		case 'T':
			err = tool_parse_timeout("timeout", optarg, &timeout);
			break;
		case 'l':
			lines = true;
			break;
		case TOOL_OPT_HELP:
			return tool_help(&command_send);
		default:
			return EXIT_USAGE;
		}
		if (err)
			return err;
	}
	if (optind == argc)
		return tool_usage(argv[0], "needs a NAME");
	s.name = argv[optind++];
	if (lines && optind < argc)
		return tool_usage(argv[0], "takes a TEXT or --lines, not both");
	s.type = type;
	s.deadline = krepis_deadline_ns(timeout);
	err = attach(&s);
	if (err)
		return err;
	err = wait_consumers(&s, wait);
	if (!err) {
		err = lines ? send_lines(&s) : optind < argc ?
			      send_texts(&s, argc - optind, argv + optind) : send_stdin(&s);
		if (err)
			err = explain(&s, err);
	}
	tool_detach(s.endpoint);
	return err;
}

const struct tool_command command_send = {
	.name = "send",
	.summary = "Send texts, lines or standard input as messages.",
	.synopsis = "NAME [TEXT...] [--type N] [--wait N] [--timeout S]\n"
		    "NAME --lines [--type N] [--wait N] [--timeout S] < FILE",
	.help =
	"  --type N      the messages' type, 0 to 65535 (default 0)\n"
	"  --lines       each line of standard input is a message, without its newline\n"
	"  --wait N      start when N consumers are there (default 1; 0: do not wait)\n"
	"  --timeout S   give up after S seconds, with exit code 5\n\n"
	"Each TEXT is one message; without any, standard input is one message. On a triple\n"
	"channel each message replaces the one before.\n\n"
	"Example:\n"
	"  krepis send cam 'first message' 'second message'\n"
	"  journalctl -f | krepis send log --lines\n",
	.run = run,
};
