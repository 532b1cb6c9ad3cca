// SPDX-License-Identifier: MIT
/*
 * krepis cat: a stream of any size through a channel.
 *
 * Three messages make a stream: START, any number of DATA in buffers, and END with
 * the length and CRC32C of it all. The sender read(2)s into a buffer that it
 * acquired; the receiver write(2)s from the same memory. A receiver without END has
 * not got the stream, whatever happened to the sender.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tool.h"

#define LOOK_NS		(NSEC_PER_SEC / 5)	/* how often to see whether the name is gone */
#define PIPE_SIZE	(1 << 20)

enum { CAT_START = 0x6331, CAT_DATA, CAT_END };

struct cat_end {
	uint64_t bytes;
	uint32_t crc32c;
	uint32_t reserved;
};

/**
 * struct stream - one run of krepis cat
 * @name:     the channel, as typed
 * @endpoint: our side of it
 * @channel:  kept open to see whether its name is still there
 * @geometry: its shape
 * @own:      it was made by a krepis cat, and goes when the stream has ended
 * @keep:     it does not
 * @progress: on standard error
 * @wait:     sender: consumers to wait for
 * @deadline: for the other side to come
 * @deaths:   of endpoints of the channel when we came
 * @producer_deaths: those of producers
 * @bytes:    so far
 * @crc:      of them
 * @started:  when the first byte came
 * @shown:    when progress was last printed
 */
struct stream {
	const char *name;
	struct krepis_endpoint *endpoint;
	struct krepis_channel *channel;
	struct krepis_geometry geometry;
	bool own;
	bool keep;
	bool progress;
	unsigned int wait;
	int64_t deadline;
	uint32_t deaths;
	uint32_t producer_deaths;
	uint64_t bytes;
	uint32_t crc;
	int64_t started;
	int64_t shown;
};

static const struct option options[] = {
	{ "to", required_argument, NULL, 't' },
	{ "from", required_argument, NULL, 'f' },
	{ "wait", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 'T' },
	{ "keep", no_argument, NULL, 'k' },
	{ "progress", no_argument, NULL, 'p' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/* Tells our own channels from those of krepis create. */
static uint32_t layout_id(void)
{
	return krepis_crc32c(0, "krepis cat 1", 12);
}

static void show_progress(struct stream *s, bool last)
{
	int64_t now;
	char done[32], rate[32];
	double seconds;

	if (!s->progress)
		return;
	now = tool_now();
	if (!s->started)
		s->started = now;
	if (!last && now - s->shown < NSEC_PER_SEC / 10)
		return;
	s->shown = now;
	seconds = (now - s->started) / 1e9;
	fprintf(stderr, "\r%s: %s, %s/s  %s", s->name, tool_amount_text(s->bytes, done, sizeof(done)),
		tool_amount_text(seconds > 0 ? s->bytes / seconds : 0, rate, sizeof(rate)),
		last ? "\n" : "");
}

/* Both sides make the channel if it is missing, so either may start first. */
static int open_or_create(const char *name, struct krepis_channel **channel)
{
	struct krepis_channel_options o = {
		.size = sizeof(o),
		.layout_id = layout_id(),
	};
	int err;

	do {
		err = krepis_channel_open(name, 0, channel);
		if (err != -ENOENT)
			return err;
		err = krepis_channel_create(name, &o, channel);
	} while (err == -EEXIST);
	return err;
}

static int check_shape(struct stream *s)
{
	if (s->geometry.kind == KREPIS_RING && s->geometry.buffer_count &&
	    s->geometry.backpressure == KREPIS_BLOCK && s->geometry.inline_max >= sizeof(struct cat_end))
		return 0;
	tool_error("cannot stream through '%s': that needs a ring with buffers and --backpressure block. Use another NAME, krepis cat makes a channel that fits",
		   s->name);
	return EXIT_FAILED;
}

static int attach(struct stream *s, enum krepis_role role)
{
	struct krepis_status status = { .size = sizeof(status) };
	const char *verb = "open";
	int err;

	err = open_or_create(s->name, &s->channel);
	if (!err)
		err = krepis_query(s->channel, &status);
	if (!err) {
		s->geometry = status.geometry;
		s->own = status.geometry.layout_id == layout_id();
		err = check_shape(s);
		if (err)
			goto err_close;
		verb = "attach to";
		err = tool_attach(s->channel, role, &s->endpoint);
	}
	if (err) {
		err = tool_channel_error(verb, s->name, err);
		goto err_close;
	}
	s->deaths = tool_deaths(s->endpoint);
	s->producer_deaths = tool_producer_deaths(s->endpoint);
	return 0;

err_close:
	krepis_channel_close(s->channel);
	s->channel = NULL;
	return err;
}

static void leave(struct stream *s)
{
	tool_detach(s->endpoint);
	krepis_channel_close(s->channel);
	s->endpoint = NULL;
	s->channel = NULL;
}

/* Whether the name was removed: who comes now will not find us. */
static bool unlinked(struct stream *s)
{
	struct stat st;

	return !fstat(krepis_channel_fd(s->channel), &st) && !st.st_nlink;
}

static int peer_never_came(struct stream *s, int err, const char *side)
{
	if (tool_signalled())
		return tool_signal_exit();
	if (err == -EINVAL) {
		tool_error("'%s' has only %u slots for consumers, so --wait %u would never end", s->name,
			   s->geometry.max_consumers, s->wait);
		return EXIT_USAGE;
	}
	if (err != -ETIMEDOUT)
		return tool_error_exit("cannot wait at", s->name, err);
	tool_error("timed out: nobody came to the other side of '%s'. Start one with: krepis cat --%s %s",
		   s->name, side, s->name);
	return EXIT_TIMED_OUT;
}

/*
 * Attaches and waits for the other side. A stream that ends in the meantime takes
 * the name with it, and then this begins again with a new channel.
 */
static int meet(struct stream *s, enum krepis_role role)
{
	int err;

	for (;;) {
		err = attach(s, role);
		if (err)
			return err;
		do {
			int64_t look = krepis_deadline_ns(LOOK_NS);

			err = krepis_wait_peer(s->endpoint, role == KREPIS_PRODUCER ? s->wait : 1,
					       look < s->deadline ? look : s->deadline);
		} while (err == -ETIMEDOUT && tool_now() < s->deadline && !unlinked(s));
		if (!err)
			return 0;
		if (err != -ETIMEDOUT || tool_now() >= s->deadline)
			break;
		leave(s);
	}
	err = peer_never_came(s, err, role == KREPIS_PRODUCER ? "from" : "to");
	if (s->own && !s->keep && role == KREPIS_PRODUCER)
		krepis_unlink(s->name);
	leave(s);
	return err;
}

/* ---- the sender */

/* One buffer: 1 after the last byte, or an error. */
static int send_chunk(struct stream *s)
{
	struct krepis_buffer *buffer;
	ssize_t n;
	int err;

	err = krepis_acquire(s->endpoint, &buffer, KREPIS_FOREVER);
	if (err)
		return err;
	n = tool_read(s->endpoint, STDIN_FILENO, krepis_buffer_data(buffer),
		      krepis_buffer_size(buffer), KREPIS_FOREVER);
	if (n <= 0) {
		krepis_abandon(s->endpoint, buffer);
		return n ? n : 1;
	}
	s->crc = krepis_crc32c(s->crc, krepis_buffer_data(buffer), n);
	err = krepis_publish(s->endpoint, buffer, CAT_DATA, n, 0, KREPIS_FOREVER);
	if (err) {
		krepis_abandon(s->endpoint, buffer);
		return err;
	}
	s->bytes += n;
	show_progress(s, false);
	return 0;
}

static int send_stream(struct stream *s)
{
	struct cat_end end = { };
	int err;

	/* Larger reads; no harm if it is not a pipe, or not allowed. */
	fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
	show_progress(s, false);
	err = krepis_send(s->endpoint, CAT_START, NULL, 0, KREPIS_FOREVER);
	while (!err)
		err = send_chunk(s);
	if (err != 1)
		return err;
	end.bytes = s->bytes;
	end.crc32c = s->crc;
	err = krepis_send(s->endpoint, CAT_END, &end, sizeof(end), KREPIS_FOREVER);
	return err ? err : krepis_drain(s->endpoint, KREPIS_FOREVER);
}

static int explain_sender(struct stream *s, int err)
{
	unsigned long long bytes = s->bytes;

	if (tool_signalled()) {
		tool_error("stopped by a signal after %llu bytes to '%s'; the receiver knows that it is not the end",
			   bytes, s->name);
		return tool_signal_exit();
	}
	if (tool_deaths(s->endpoint) != s->deaths) {
		tool_error("a receiver of '%s' died; %llu bytes were sent", s->name, bytes);
		return EXIT_PEER_GONE;
	}
	if (err == -KREPIS_PEER_GONE) {
		tool_error("the receiver of '%s' left before the end; %llu bytes were sent", s->name,
			   bytes);
		return EXIT_PEER_GONE;
	}
	return err ? tool_error_exit("cannot stream to", s->name, err) : EXIT_DONE;
}

static int cat_to(struct stream *s)
{
	int err = meet(s, KREPIS_PRODUCER);

	if (err)
		return err;
	err = send_stream(s);
	show_progress(s, true);
	err = explain_sender(s, err);
	if (s->own && !s->keep)
		krepis_unlink(s->name);
	leave(s);
	return err;
}

/* ---- the receiver */

static int check_end(struct stream *s, const struct krepis_msg *msg)
{
	struct cat_end end;

	if (msg->len != sizeof(end))
		return -EPROTO;
	memcpy(&end, msg->data, sizeof(end));
	return end.bytes == s->bytes && end.crc32c == s->crc ? 1 : -EBADMSG;
}

/* One message: 1 after the end of the stream, or an error. */
static int receive_one(struct stream *s, const struct krepis_msg *msg)
{
	int err;

	if (msg->type == CAT_END)
		return check_end(s, msg);
	if (msg->type != CAT_DATA)
		return -EPROTO;
	err = tool_write(STDOUT_FILENO, msg->data, msg->len);
	if (err)
		return err == -EPIPE ? -ECANCELED : err;
	s->crc = krepis_crc32c(s->crc, msg->data, msg->len);
	s->bytes += msg->len;
	show_progress(s, false);
	return 0;
}

static int receive_stream(struct stream *s)
{
	struct krepis_msg msg;
	bool started = false;
	int err;

	show_progress(s, false);
	do {
		err = krepis_recv(s->endpoint, &msg, KREPIS_FOREVER);
		if (tool_signalled())
			return -EINTR;
		if (err)
			return err;
		if (started)
			err = receive_one(s, &msg);
		else if (msg.type != CAT_START)
			err = -EILSEQ;
		started = true;
		krepis_release(s->endpoint, &msg);
	} while (!err);
	return err;
}

static int explain_receiver(struct stream *s, int err)
{
	unsigned long long bytes = s->bytes;

	if (tool_signalled())
		return tool_signal_exit();
	switch (-err) {
	case -1:
		return EXIT_DONE;
	case KREPIS_PEER_GONE:
		tool_error("the sender of '%s' %s before the end of the stream; the %llu bytes that arrived were written, more are missing",
			   s->name, tool_producer_deaths(s->endpoint) != s->producer_deaths ? "died" : "left", bytes);
		return EXIT_PEER_GONE;
	case EILSEQ:
		tool_error("a stream is running through '%s' already, and its beginning has passed. Start the receivers first, and the sender with --wait N",
			   s->name);
		return EXIT_FAILED;
	case EBADMSG:
		tool_error("what came through '%s' is not what was sent: length or checksum differ after %llu bytes",
			   s->name, bytes);
		return EXIT_FAILED;
	case EPROTO:
		tool_error("what comes through '%s' is not from krepis cat. Read it with: krepis recv %s",
			   s->name, s->name);
		return EXIT_FAILED;
	case ECANCELED:
		tool_error("nobody reads our standard output any more, after %llu bytes of '%s'",
			   bytes, s->name);
		return EXIT_FAILED;
	default:
		return tool_error_exit("cannot stream from", s->name, err);
	}
}

/* A sender that died cannot remove its channel; whoever is left does, before another comes. */
static void clean_up_after_sender(struct stream *s)
{
	struct krepis_status status = { .size = sizeof(status) };

	if (s->own && !s->keep && !unlinked(s) && !krepis_endpoint_query(s->endpoint, &status) &&
	    !status.producer)
		krepis_unlink(s->name);
}

static int cat_from(struct stream *s)
{
	int err = meet(s, KREPIS_CONSUMER), code;

	if (err)
		return err;
	err = receive_stream(s);
	show_progress(s, true);
	code = explain_receiver(s, err);
	if (err == -KREPIS_PEER_GONE)
		clean_up_after_sender(s);
	leave(s);
	return code;
}

/* `krepis cat NAME`: only if the terminal leaves one direction. */
static char choose_direction(void)
{
	bool in = isatty(STDIN_FILENO), out = isatty(STDOUT_FILENO);

	return in == out ? 0 : in ? 'f' : 't';
}

static int run(int argc, char **argv)
{
	struct stream s = { .progress = isatty(STDERR_FILENO), .wait = 1 };
	int64_t timeout = -1;
	uint64_t count = 1;
	char direction = 0;
	int option, err = 0;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		switch (option) {
		case 't':
		case 'f':
			if (direction)
				return tool_usage(argv[0], "takes one --to or --from, not both");
			direction = option;
			s.name = optarg;
			break;
		case 'w':
			err = tool_parse_count("wait", optarg, KREPIS_MAX_CONSUMERS, &count);
			break;
		case 'T':
			err = tool_parse_timeout("timeout", optarg, &timeout);
			break;
		case 'k':
			s.keep = true;
			break;
		case 'p':
			s.progress = true;
			break;
		case TOOL_OPT_HELP:
			return tool_help(&command_cat);
		default:
			return EXIT_USAGE;
		}
		if (err)
			return err;
	}
	if (argc - optind != !direction)
		return tool_usage(argv[0], "needs --to NAME or --from NAME");
	if (!direction) {
		s.name = argv[optind];
		direction = choose_direction();
		if (!direction)
			return tool_usage(argv[0], "cannot tell the direction. To send standard input: krepis cat --to %s. To receive on standard output: krepis cat --from %s",
					  s.name, s.name);
	}
	if (!count)
		return tool_usage(argv[0], "--wait is at least 1: a stream needs a receiver");
	s.wait = count;
	s.deadline = krepis_deadline_ns(timeout);
	return direction == 't' ? cat_to(&s) : cat_from(&s);
}

const struct tool_command command_cat = {
	.name = "cat",
	.summary = "Stream standard input into a channel, or a channel to standard output.",
	.synopsis = "--to NAME [--wait N] [--timeout S] [--keep] [--progress] < FILE\n"
		    "--from NAME [--timeout S] [--keep] [--progress] > FILE\n"
		    "NAME",
	.help =
	"  --to NAME     standard input into the channel\n"
	"  --from NAME   the channel to standard output\n"
	"  --wait N      sender: start when N receivers are there (default 1)\n"
	"  --timeout S   give up if the other side does not come within S seconds (exit code 5)\n"
	"  --keep        do not remove the channel at the end\n"
	"  --progress    bytes and rate on standard error, even if it is no terminal\n\n"
	"Either side may start first; who does makes the channel, and the sender removes it at\n"
	"the end unless krepis create made it. The end of the stream carries its length and CRC32C:\n"
	"a receiver ends with 0 only if it has all of it, and with 4 if the sender died or left.\n"
	"With NAME alone, the side that is not a terminal tells the direction.\n\n"
	"Example:\n"
	"  tar c /etc | krepis cat --to backup &\n"
	"  krepis cat --from backup | tar t\n",
	.run = run,
};
