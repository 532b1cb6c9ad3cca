// SPDX-License-Identifier: MIT
/*
 * S11: from making a channel to its first message in another process, which runs already
 * and is connected by a UNIX socket, over which the descriptor goes. The message carries
 * the time before the channel was made. The same for a pipe and a socket pair.
 *
 * "ring" is a channel of what a pipe holds, "default" one of the default options, whose
 * buffers' memory is reserved, too. "idle": what such channels take, both ends attached.
 */
#include <errno.h>
#include <fcntl.h>
#include <krepis/krepis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend.h"
#include "footprint.h"
#include "payload.h"

#define SIZE		64
#define RING_BYTES	65536	/* as a pipe's */
#define DEFAULT_NS	200000000

/* Like is compared with like; a pipe and a socket pair with both. */
#define START_RING	BENCH_GROUP(0)
#define START_DEFAULT	BENCH_GROUP(1)
#define IDLE_RING	BENCH_GROUP(2)
#define IDLE_DEFAULT	BENCH_GROUP(3)

enum { S11_SHARED = LINK_MAX + 1, S11_RESIDENT };

static const char variant_default[] = "default";
static const char idle_default[] = "idle-default";

static const struct krepis_channel_options ring_options = {
	.size = sizeof(ring_options),
	.flags = KREPIS_F_NO_BUFFERS,
	.ring_size = RING_BYTES,
};

static const struct krepis_channel_options *options_of(const struct bench_case *what)
{
	bool all = what->variant == variant_default || what->variant == idle_default;

	return all ? NULL : &ring_options;
}

/* The socket between the sides; an end for each. */
struct startup {
	int control[2];
};

static int startup_setup(struct bench_run *run)
{
	struct startup *s = calloc(1, sizeof(*s));

	if (!s)
		return bench_error(run, 0, "no memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->control)) {
		free(s);
		return bench_error(run, 0, "socketpair: %s", strerror(errno));
	}
	run->data = s;
	return 0;
}

static void startup_teardown(struct bench_run *run)
{
	struct startup *s = run->data;

	close(s->control[0]);
	close(s->control[1]);
	free(s);
}

/*
 * One start. The first side: makes, passes, sends @began, waits for the answer, closes. The
 * second: receives, stores @began and the time when it had it, closes.
 */
typedef int (*first_fn)(struct bench_run *run, int control, uint64_t began);
typedef int (*second_fn)(int control, uint64_t *began, uint64_t *now);

static int wait_answer(int control)
{
	char byte;

	return read(control, &byte, 1) == 1 ? 0 : -EPIPE;
}

static int side_first(struct bench_run *run, first_fn first)
{
	struct startup *s = run->data;
	uint64_t end;
	int err = 0;

	bench_ready(run, 0);
	end = clock_ticks() + clock_from_ns(run->warmup_ns + run->measure_ns);
	while (!err && clock_ticks() < end)
		err = first(run, s->control[0], clock_ticks());
	bench_done(run, 0);
	/* The other side's sign to stop; the parent has this end, too. */
	shutdown(s->control[0], SHUT_WR);
	return err ? bench_error(run, 0, "start: %s", krepis_strerror(err)) : 0;
}

static int side_second(struct bench_run *run, second_fn second)
{
	struct startup *s = run->data;
	uint64_t warm, began, now;
	uint32_t n = 0;
	int err;

	bench_ready(run, 1);
	warm = clock_ticks() + clock_from_ns(run->warmup_ns);
	while (!(err = second(s->control[1], &began, &now))) {
		if (began > warm && n < BENCH_MAX_SAMPLES)
			run->sample[n++] = now - began > UINT32_MAX ? UINT32_MAX :
								      (uint32_t)(now - began);
		if (write(s->control[1], "", 1) != 1)
			return bench_error(run, 1, "write: %s", strerror(errno));
	}
	run->sample_count = n;
	bench_done(run, 1);
	return err == -EPIPE ? 0 : bench_error(run, 1, "start: %s", krepis_strerror(err));
}

/* -------------------------------------------------------------------- krepis */

static int krepis_first(struct bench_run *run, int control, uint64_t began)
{
	struct krepis_endpoint *producer = NULL;
	uint64_t message[SIZE / 8] __attribute__((aligned(64)));
	struct krepis_channel *channel;
	int err = krepis_channel_create(NULL, options_of(run->what), &channel);

	if (err)
		return err;
	err = krepis_channel_pass(channel, control);
	if (!err)
		err = krepis_attach(channel, KREPIS_PRODUCER, 0, &producer);
	if (!err)
		err = krepis_wait_peer(producer, 1, KREPIS_FOREVER);
	payload_fill(message, SIZE, began);
	if (!err)
		err = krepis_send(producer, 0, message, SIZE, KREPIS_FOREVER);
	if (!err)
		err = wait_answer(control);
	krepis_detach(producer);
	krepis_channel_close(channel);
	return err;
}

static int krepis_second(int control, uint64_t *began, uint64_t *now)
{
	struct krepis_endpoint *consumer = NULL;
	struct krepis_channel *channel;
	struct krepis_msg msg;
	int err = krepis_channel_receive(control, 0, &channel);

	if (err)
		return err;
	err = krepis_attach(channel, KREPIS_CONSUMER, 0, &consumer);
	if (!err)
		err = krepis_recv(consumer, &msg, KREPIS_FOREVER);
	if (!err && (msg.len != SIZE || !payload_check(msg.data, SIZE, began)))
		err = -EBADMSG;
	*now = clock_ticks();
	krepis_detach(consumer);
	krepis_channel_close(channel);
	/* That is how the other side stops, and nothing else may look like it. */
	return err == -EPIPE ? -EIO : err;
}

/* The backend is asked once, and then chosen by the directory alone. */
static int krepis_side_first(struct bench_run *run)
{
	struct krepis_channel *channel;

	if (backend_create(run, options_of(run->what), &channel))
		return -1;
	krepis_channel_close(channel);
	setenv("KREPIS_DIR", backend_directory(run->what->impl), 1);
	return side_first(run, krepis_first);
}

static int krepis_side_second(struct bench_run *run)
{
	return side_second(run, krepis_second);
}

/* --------------------------------------------------------- pipe and UNIX socket */

union fd_message {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int pass_fd(int control, int fd)
{
	char byte = 'k';
	struct iovec iov = { &byte, 1 };
	union fd_message m = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &m,
			      .msg_controllen = sizeof(m) };

	m.header.cmsg_level = SOL_SOCKET;
	m.header.cmsg_type = SCM_RIGHTS;
	m.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&m.header), &fd, sizeof(int));
	return sendmsg(control, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int take_fd(int control)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	union fd_message m = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &m,
			      .msg_controllen = sizeof(m) };
	ssize_t n = recvmsg(control, &msg, MSG_CMSG_CLOEXEC);
	int fd;

	if (n < 0)
		return -errno;
	if (!n || !CMSG_FIRSTHDR(&msg))
		return n ? -EBADMSG : -EPIPE;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* @pair: what is read, and passed; what is written */
static int fd_first(int control, int pair[2], uint64_t began)
{
	uint64_t message[SIZE / 8] __attribute__((aligned(64)));
	int err = pass_fd(control, pair[0]);

	close(pair[0]);
	payload_fill(message, SIZE, began);
	if (!err && write(pair[1], message, SIZE) != SIZE)
		err = -EIO;
	if (!err)
		err = wait_answer(control);
	close(pair[1]);
	return err;
}

static int fd_second(int control, uint64_t *began, uint64_t *now)
{
	uint64_t message[SIZE / 8] __attribute__((aligned(64)));
	int fd = take_fd(control), err = 0;

	if (fd < 0)
		return fd;
	if (read(fd, message, SIZE) != SIZE || !payload_check(message, SIZE, began))
		err = -EBADMSG;
	*now = clock_ticks();
	close(fd);
	return err;
}

static int pipe_first(struct bench_run *run, int control, uint64_t began)
{
	int pair[2];

	(void)run;
	return pipe2(pair, O_CLOEXEC) ? -errno : fd_first(control, pair, began);
}

static int unix_first(struct bench_run *run, int control, uint64_t began)
{
	int pair[2];

	(void)run;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ?
	       -errno : fd_first(control, pair, began);
}

static int pipe_side_first(struct bench_run *run)
{
	return side_first(run, pipe_first);
}

static int unix_side_first(struct bench_run *run)
{
	return side_first(run, unix_first);
}

static int fd_side_second(struct bench_run *run)
{
	return side_second(run, fd_second);
}

/* ---------------------------------------------------------------------- idle */

static int side_idle(struct bench_run *run)
{
	struct footprint f;
	int err;

	bench_ready(run, 0);
	err = footprint_measure(run, options_of(run->what), NULL, &f);
	bench_done(run, 0);
	if (err)
		return err;
	run->value[S11_SHARED] = f.shared;
	run->value[S11_RESIDENT] = f.resident;
	return 0;
}

static void add_start(struct bench_suite *suite, const char *impl, const char *variant,
		      uint32_t group)
{
	struct bench_case what = {
		.impl = impl,
		.param = SIZE,
		.variant = variant,
		.missing = backend_missing(impl),
		.setup = startup_setup,
		.side = { krepis_side_first, krepis_side_second },
		.teardown = startup_teardown,
	};

	/* One takes milliseconds: a run has to have more than a few. */
	if (variant == variant_default)
		what.measure_ns = DEFAULT_NS;
	case_ours(&what, group);
	suite_add(suite, &what);
}

static void add_peer(struct bench_suite *suite, const char *impl,
		     int (*first)(struct bench_run *run))
{
	struct bench_case what = {
		.impl = impl,
		.param = SIZE,
		.peer = START_RING | START_DEFAULT,
		.setup = startup_setup,
		.side = { first, fd_side_second },
		.teardown = startup_teardown,
	};

	suite_add(suite, &what);
}

static void add_idle(struct bench_suite *suite, const char *impl, const char *variant,
		     uint32_t group)
{
	struct bench_case what = {
		.impl = impl,
		.param = SIZE,
		.variant = variant,
		.flags = BENCH_ALONE | BENCH_CROWDED,
		.max_rounds = 2,	/* a count needs no more */
		.missing = backend_missing(impl),
		.side = { side_idle },
	};

	case_ours(&what, group);
	suite_add(suite, &what);
}

static void s11_list(struct bench_suite *suite)
{
	const char *const *impl;

	for (impl = backend_impls; *impl; impl++) {
		add_start(suite, *impl, "ring", START_RING);
		add_start(suite, *impl, variant_default, START_DEFAULT);
	}
	add_peer(suite, "pipe", pipe_side_first);
	add_peer(suite, "unix", unix_side_first);
	for (impl = backend_impls; *impl; impl++) {
		add_idle(suite, *impl, "idle", IDLE_RING);
		add_idle(suite, *impl, idle_default, IDLE_DEFAULT);
	}
}

static void s11_finish(struct bench_run *run)
{
	stats_percentiles(run, 1.0, run->value);
}

#define BYTES(text) { text, "bytes", text, 1, BENCH_LOWER, BENCH_COLUMN | BENCH_SOLO }

const struct bench_scenario s11_startup = {
	.name = "S11",
	.title = "from making a channel to its first message in another process, ns; what an idle\n"
		 "     one takes, bytes",
	.param_unit = "B",
	.measure_ns = 80000000,
	.metric = {
		[LINK_P50] = { "p50", "ns", "p50", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_P90] = { "p90", "ns", "p90", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_MAX] = { "max", "ns", "max", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_WORST },
		[S11_SHARED] = BYTES("shared"),
		[S11_RESIDENT] = BYTES("resident"),
	},
	.list = s11_list,
	.finish = s11_finish,
};
