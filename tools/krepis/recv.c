// SPDX-License-Identifier: MIT
/* krepis recv: prints messages. */
#include <signal.h>
#include <string.h>
#include "tool.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_RAW };

/**
 * struct receiving - one run of krepis recv
 * @name:     the channel, as typed
 * @endpoint: its consumer
 * @triple:   its kind
 * @format:   how to print
 * @count:    stop after so many messages; 0: never
 * @timeout:  for each message, ns; negative: none
 * @deaths:   of producers of the channel before we came
 * @received: messages
 */
struct receiving {
	const char *name;
	struct krepis_endpoint *endpoint;
	bool triple;
	enum format format;
	uint64_t count;
	int64_t timeout;
	uint32_t deaths;
	uint64_t received;
};

static const struct option options[] = {
	{ "count", required_argument, NULL, 'c' },
	{ "timeout", required_argument, NULL, 'T' },
	{ "json", no_argument, NULL, 'j' },
	{ "raw", no_argument, NULL, 'r' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

static void print_json(const struct krepis_msg *msg)
{
	printf("{\"type\":%u,\"len\":%u,\"sequence\":%llu,", msg->type, msg->len,
	       (unsigned long long)msg->sequence);
	if (utf8_valid(msg->data, msg->len)) {
		fputs("\"text\":", stdout);
		json_string(stdout, msg->data, msg->len);
	} else {
		fputs("\"base64\":", stdout);
		json_base64(stdout, msg->data, msg->len);
	}
	fputs("}\n", stdout);
}

static void print(const struct receiving *r, const struct krepis_msg *msg)
{
	if (r->format == FORMAT_JSON) {
		print_json(msg);
	} else if (r->format == FORMAT_RAW) {
		fwrite(msg->data, 1, msg->len, stdout);
	} else {
		print_escaped(stdout, msg->data, msg->len);
		putchar('\n');
	}
}

static void report_lost(const struct receiving *r, const struct krepis_msg *msg)
{
	unsigned long long lost = msg->lost;

	if (r->format == FORMAT_JSON)
		printf("{\"lost\":%llu}\n", lost);
	else
		tool_error("%llu messages of '%s' were overwritten before they were read", lost,
			   r->name);
}

/* The next message, or fresh value: what krepis_recv() returns. */
static int next(struct receiving *r, struct krepis_msg *msg, int64_t deadline)
{
	int err;

	if (!r->triple)
		return krepis_recv(r->endpoint, msg, deadline);
	err = krepis_wait(r->endpoint, deadline);
	return err ? err : krepis_triple_read(r->endpoint, msg);
}

/* As next(), and what was printed goes out before it sleeps. */
static int next_or_flush(struct receiving *r, struct krepis_msg *msg)
{
	int err = next(r, msg, KREPIS_NOWAIT);

	if (err != -EAGAIN)
		return err;
	if (fflush(stdout))
		return -EIO;
	return next(r, msg, krepis_deadline_ns(r->timeout));
}

/* Prints until there is a reason to stop, and returns it: 0 after @count. */
static int receive(struct receiving *r)
{
	struct krepis_msg msg;
	int err;

	while (!r->count || r->received < r->count) {
		err = next_or_flush(r, &msg);
		if (tool_signalled())
			return -EINTR;
		if (err == -KREPIS_ELAPPED) {
			report_lost(r, &msg);
			continue;
		}
		if (err)
			return err;
		print(r, &msg);
		if (!r->triple)
			krepis_release(r->endpoint, &msg);
		r->received++;
		if (ferror(stdout))
			return -EIO;
	}
	return 0;
}

static int explain(struct receiving *r, int err)
{
	unsigned long long received = r->received;

	if (fflush(stdout) || ferror(stdout)) {
		/* As a program that SIGPIPE ended, but detached. */
		tool_detach(r->endpoint);
		r->endpoint = NULL;
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
		return EXIT_FAILED;
	}
	if (!err)
		return EXIT_DONE;
	if (tool_signalled())
		return tool_signal_exit();
	if (err == -ETIMEDOUT) {
		tool_error("timed out: no message on '%s' in time, %llu before. See who sends with: krepis ls",
			   r->name, received);
		return EXIT_TIMED_OUT;
	}
	if (err != -KREPIS_PEER_GONE)
		return tool_error_exit("cannot receive from", r->name, err);
	if (tool_producer_deaths(r->endpoint) != r->deaths) {
		tool_error("the producer of '%s' died after %llu messages", r->name, received);
		return EXIT_PEER_GONE;
	}
	if (r->count) {
		tool_error("the producer of '%s' left after %llu of %llu messages", r->name,
			   received, (unsigned long long)r->count);
		return EXIT_PEER_GONE;
	}
	return EXIT_DONE;
}

static int attach(struct receiving *r)
{
	struct krepis_status status = { .size = sizeof(status) };
	struct krepis_channel *channel;
	const char *verb = "open";
	int err;

	err = krepis_channel_open(r->name, 0, &channel);
	if (!err) {
		verb = "attach to";
		err = tool_attach(channel, KREPIS_CONSUMER, &r->endpoint);
		if (!err)
			err = krepis_endpoint_query(r->endpoint, &status);
		krepis_channel_close(channel);
	}
	r->deaths = status.producer_deaths;
	r->triple = status.geometry.kind == KREPIS_TRIPLE;
	return err ? tool_channel_error(verb, r->name, err) : 0;
}

static int run(int argc, char **argv)
{
	struct receiving r = { .timeout = -1 };
	int option, err = 0;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		switch (option) {
		case 'c':
			err = tool_parse_count("count", optarg, UINT64_MAX, &r.count);
			break;
		case 'T':
			err = tool_parse_timeout("timeout", optarg, &r.timeout);
			break;
		case 'j':
		case 'r':
			if (r.format != FORMAT_TEXT)
				return tool_usage(argv[0], "takes --json or --raw, not both");
			r.format = option == 'j' ? FORMAT_JSON : FORMAT_RAW;
			break;
		case TOOL_OPT_HELP:
			return tool_help(&command_recv);
		default:
			return EXIT_USAGE;
		}
		if (err)
			return err;
	}
	if (argc - optind != 1)
		return tool_usage(argv[0], "needs one NAME");
	r.name = argv[optind];
	err = attach(&r);
	if (err)
		return err;
	err = explain(&r, receive(&r));
	if (r.endpoint)
		tool_detach(r.endpoint);
	return err;
}

const struct tool_command command_recv = {
	.name = "recv",
	.summary = "Receive messages and print them, one a line.",
	.synopsis = "NAME [--count N] [--timeout S] [--json|--raw]",
	.help =
	"  --count N     stop after N messages\n"
	"  --timeout S   give up when no message comes for S seconds, with exit code 5\n"
	"  --json        one object a line: type, len, sequence, and the payload as \"text\", or\n"
	"                as \"base64\" if it is not UTF-8; {\"lost\": N} for overwritten ones\n"
	"  --raw         the payloads alone, nothing between them\n\n"
	"Messages sent before this starts are not seen. Ends with 0 when the producer has left,\n"
	"with 4 when it died, or left before --count. On a triple channel, prints each fresh value.\n\n"
	"Example:\n"
	"  krepis recv cam\n"
	"  krepis recv cam --json --count 1 --timeout 5\n",
	.run = run,
};
