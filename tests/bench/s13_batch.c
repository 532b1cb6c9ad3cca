// SPDX-License-Identifier: MIT
/*
 * S13: many commands of the module in one submission of io_uring, against as many
 * ioctl() calls. "release" is the release of buffers that were received, "wake" is
 * KREPIS_WAKE_SELF: the least that a command can do.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <string.h>
#include <sys/ioctl.h>

#include "backend.h"
#include "link.h"

#if __has_include(<liburing.h>)
#include <krepis/uring.h>
#define HAVE_URING	1
#undef LINK_MAX			/* of linux/limits.h, by way of liburing.h */
#endif

#define COMMANDS	32
#define BUFFER_SIZE	4096

#define RELEASE		BENCH_GROUP(0)
#define WAKE		BENCH_GROUP(1)

struct batch {
	struct krepis_endpoint *producer;
	struct krepis_endpoint *consumer;
	int fd;
	struct krepis_msg msg[COMMANDS];
	struct krepis_release_args release[COMMANDS];
	struct krepis_wake_args wake[COMMANDS];
#ifdef HAVE_URING
	struct io_uring ring;
#endif
};

static int batch_setup(struct bench_run *run)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.buffer_size = BUFFER_SIZE,
		.buffer_count = COMMANDS,
		.max_consumers = 1,
	};

	return backend_create(run, &options, (struct krepis_channel **)&run->data);
}

static void batch_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

static int batch_attach(struct bench_run *run, struct batch *b)
{
	unsigned int i;
	int err;

	memset(b, 0, sizeof(*b));
	err = krepis_attach(run->data, KREPIS_PRODUCER, KREPIS_ATTACH_NO_CACHE, &b->producer);
	if (!err)
		err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &b->consumer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	b->fd = krepis_fd(b->consumer);
	for (i = 0; i < COMMANDS; i++)
		b->wake[i] = (struct krepis_wake_args){
			.size = sizeof(b->wake[i]), .flags = KREPIS_WAKE_SELF,
		};
	return 0;
}

/* Every buffer there is goes over, so that one that was not released is missed here. */
static int hand_over(struct batch *b)
{
	struct krepis_buffer *buffer;
	unsigned int i;
	int err;

	for (i = 0; i < COMMANDS; i++) {
		err = krepis_acquire(b->producer, &buffer, KREPIS_NOWAIT);
		if (!err)
			err = krepis_publish(b->producer, buffer, 0, 64, 0, KREPIS_NOWAIT);
		if (!err)
			err = krepis_recv(b->consumer, &b->msg[i], KREPIS_NOWAIT);
		if (err)
			return err;
	}
	err = krepis_release_begin(b->consumer, b->msg, COMMANDS, b->release);
	return err == COMMANDS ? 0 : err < 0 ? err : -EBADMSG;
}

static int nothing(struct batch *b)
{
	(void)b;
	return 0;
}

/*
 * Prepares untimed and does timed, as often as the run has time. The look at the clock
 * is taken off: where it is a system call it is as long as what is measured.
 */
static int measure(struct bench_run *run, struct batch *b, int (*prepare)(struct batch *),
		   int (*once)(struct batch *))
{
	const uint64_t cost = clock_from_ns((uint64_t)clock_cost_ns);
	uint64_t warm, end, then, now;
	uint32_t n = 0;
	int err;

	bench_ready(run, 0);
	warm = clock_ticks() + clock_from_ns(run->warmup_ns);
	end = warm + clock_from_ns(run->measure_ns);
	do {
		err = prepare(b);
		if (err)
			return bench_error(run, 0, "hand-over: %s", krepis_strerror(err));
		then = clock_ticks();
		err = once(b);
		now = clock_ticks();
		if (err)
			return bench_error(run, 0, "command: %s", krepis_strerror(err));
		if (now > warm)
			run->sample[n++] = (uint32_t)(now - then > cost ? now - then - cost : 0);
	} while (now < end && n < BENCH_MAX_SAMPLES);
	run->sample_count = n;
	bench_done(run, 0);
	return 0;
}

/* --------------------------------------------------------------------- ioctl */

static int release_ioctl(struct batch *b)
{
	unsigned int i;

	for (i = 0; i < COMMANDS; i++)
		if (ioctl(b->fd, KREPIS_IOC_RELEASE, &b->release[i]))
			return -errno;
	return 0;
}

static int wake_ioctl(struct batch *b)
{
	unsigned int i;

	for (i = 0; i < COMMANDS; i++)
		if (ioctl(b->fd, KREPIS_IOC_WAKE, &b->wake[i]))
			return -errno;
	return 0;
}

static int side_ioctl(struct bench_run *run)
{
	struct batch b;
	int err;

	if (batch_attach(run, &b))
		return -1;
	err = run->what->peer == RELEASE ?
	      measure(run, &b, hand_over, release_ioctl) : measure(run, &b, nothing, wake_ioctl);
	krepis_detach(b.consumer);
	krepis_detach(b.producer);
	return err;
}

/* ------------------------------------------------------------------ io_uring */

#ifdef HAVE_URING
static int submit(struct batch *b, unsigned int cmd, const void *args)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);
	struct io_uring_cqe *cqe;
	int err;

	krepis_uring_prep_command(sqe, b->fd, cmd, args, COMMANDS);
	err = io_uring_submit_and_wait(&b->ring, 1);
	if (err == 1)
		err = io_uring_peek_cqe(&b->ring, &cqe);
	if (err)
		return err < 0 ? err : -EBADMSG;
	err = cqe->res;
	io_uring_cqe_seen(&b->ring, cqe);
	return err == COMMANDS ? 0 : err < 0 ? err : -EBADMSG;
}

static int release_uring(struct batch *b)
{
	return submit(b, KREPIS_IOC_RELEASE, b->release);
}

static int wake_uring(struct batch *b)
{
	return submit(b, KREPIS_IOC_WAKE, b->wake);
}

static int side_uring(struct bench_run *run)
{
	struct batch b;
	int err;

	if (batch_attach(run, &b))
		return -1;
	err = io_uring_queue_init(4, &b.ring, 0);
	if (err)
		return bench_error(run, 0, "io_uring_queue_init: %s", krepis_strerror(err));
	err = run->what->ours == RELEASE ? measure(run, &b, hand_over, release_uring) :
					   measure(run, &b, nothing, wake_uring);
	io_uring_queue_exit(&b.ring);
	krepis_detach(b.consumer);
	krepis_detach(b.producer);
	return err;
}

static const char *no_uring(void)
{
	struct io_uring ring;
	int err = io_uring_queue_init(4, &ring, 0);

	if (err)
		return "io_uring_setup(2) fails";
	io_uring_queue_exit(&ring);
	return NULL;
}
#else
static int side_uring(struct bench_run *run)
{
	return bench_error(run, 0, "built without liburing");
}

static const char *no_uring(void)
{
	return "built without liburing";
}
#endif

static void s13_add(struct bench_suite *suite, const char *variant, uint32_t group)
{
	struct bench_case what = {
		.impl = "krepis-uring",
		.param = COMMANDS,
		.variant = variant,
		.ours = group,
		.flags = BENCH_ALONE,
		.missing = backend_no_module(),
		.setup = batch_setup,
		.side = { side_uring },
		.teardown = batch_teardown,
	};

	if (!what.missing)
		what.missing = no_uring();
	suite_add(suite, &what);
	what.impl = "krepis-ioctl";
	what.ours = 0;
	what.peer = group;
	what.missing = backend_no_module();
	what.side[0] = side_ioctl;
	suite_add(suite, &what);
}

static void s13_list(struct bench_suite *suite)
{
	s13_add(suite, "release", RELEASE);
	s13_add(suite, "wake", WAKE);
}

static void s13_finish(struct bench_run *run)
{
	stats_percentiles(run, 1.0, run->value);
}

static const struct bench_goal s13_goals[] = {
	{ "S13/krepis-uring/32/release", "p50", "krepis-ioctl", 0.25, true },
	{ "S13/krepis-uring/32/wake", "p50", "krepis-ioctl", 0.25, true },
};

const struct bench_scenario s13_batch = {
	.name = "S13",
	.title = "module: 32 commands in one submission, ns for all",
	.param_unit = "commands",
	.measure_ns = 40000000,
	.metric = {
		[LINK_P50] = { "p50", "ns", "p50", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_P90] = { "p90", "ns", "p90", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_MAX] = { "max", "ns", "max", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_WORST },
	},
	.list = s13_list,
	.finish = s13_finish,
	.goals = s13_goals,
	.goal_count = ARRAY_SIZE(s13_goals),
};
