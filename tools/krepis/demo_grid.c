// SPDX-License-Identifier: MIT
/*
 * A terminal grid through a triple channel: a process that draws frames as fast
 * as it can, and one that shows the latest of them 60 times a second. Each frame
 * carries its number and checksum, so one that is half another would be noticed.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "demo.h"

#define FRAME_NS	(NSEC_PER_SEC / 60)
#define HALF_BLOCK	0x2580		/* upper half: two pixels a cell */
#define START_NS	(10 * NSEC_PER_SEC)

/**
 * struct stage - what writer and reader share besides the channel
 * @stop:      atomic: the reader has seen enough
 * @published: by the writer
 * @err:       of the writer
 */
struct stage {
	uint32_t stop;
	int32_t err;
	uint64_t published;
};

/* ---- the scene */

static uint8_t wave[256];	/* one period of a sine, 0 to 255 */
static uint32_t palette[256];

/* A sine by two parabolas: phase 256 is a period, the result is -127 to 127. */
static int sine(unsigned int phase)
{
	int x = phase & 127;
	int y = 127 * x * (128 - x) / (64 * 64);

	return phase & 128 ? -y : y;
}

static void scene_init(void)
{
	unsigned int i;

	for (i = 0; i < 256; i++) {
		wave[i] = 128 + sine(i);
		palette[i] = (96 + sine(i) * 3 / 4) << 16 | (80 + sine(i + 85) * 5 / 8) << 8 |
			     (128 + sine(i + 171));
	}
}

static uint32_t plasma(unsigned int x, unsigned int y, unsigned int t)
{
	unsigned int v = wave[(3 * x + t) & 255] + wave[(5 * y - t / 2) & 255] +
			 wave[(2 * (x + y) + 2 * t) & 255] +
			 wave[(wave[(4 * x - t) & 255] + wave[(6 * y + t) & 255]) / 2 & 255];

	return palette[(v / 2 + t / 3) & 255];
}

static void put_text(struct grid_frame *frame, unsigned int row, const char *text)
{
	unsigned int len = strlen(text), column = (GRID_COLUMNS - len) / 2, i;

	for (i = 0; i < len; i++) {
		struct grid_cell *cell = &frame->cells[row][column + i];

		cell->codepoint = (unsigned char)text[i];
		cell->foreground = 0xffffff;
		cell->background = 0x101018;
		cell->attributes = GRID_BOLD;
	}
}

static uint32_t frame_crc(const struct grid_frame *frame)
{
	uint32_t crc = krepis_crc32c(0, &frame->number, sizeof(frame->number));

	return krepis_crc32c(crc, frame->cells, sizeof(frame->cells));
}

/* Draws frame @number as it looks at @now_ns, and seals it with its checksum. */
void demo_scene(struct grid_frame *frame, uint64_t number, int64_t now_ns)
{
	unsigned int t = now_ns / 12000000, x, y;
	time_t wall = time(NULL);
	struct tm tm;
	char text[64];

	for (y = 0; y < GRID_ROWS; y++) {
		for (x = 0; x < GRID_COLUMNS; x++)
			frame->cells[y][x] = (struct grid_cell){
				.codepoint = HALF_BLOCK,
				.foreground = plasma(x, 2 * y, t),
				.background = plasma(x, 2 * y + 1, t),
				.width = 1,
			};
	}
	localtime_r(&wall, &tm);
	put_text(frame, 9, "                              ");
	put_text(frame, 10, "    krepis: triple channel    ");
	strftime(text, sizeof(text), "           %H:%M:%S           ", &tm);
	put_text(frame, 11, text);
	snprintf(text, sizeof(text), "     frame %12llu       ", (unsigned long long)number);
	put_text(frame, 12, text);
	put_text(frame, 13, "                              ");
	frame->number = number;
	frame->crc32c = frame_crc(frame);
}

/* ---- the writer */

static int write_frames(struct krepis_endpoint *endpoint, struct stage *stage)
{
	uint64_t number = 0;
	void *frame;
	int err = 0;

	while (!err && !__atomic_load_n(&stage->stop, __ATOMIC_ACQUIRE)) {
		err = krepis_triple_begin(endpoint, &frame);
		if (err)
			break;
		demo_scene(frame, ++number, tool_now());
		err = krepis_triple_commit(endpoint, 0, sizeof(struct grid_frame));
		if (!err)
			stage->published++;
	}
	return err;
}

static void writer(struct krepis_channel *channel, struct stage *stage, pid_t parent)
{
	struct krepis_endpoint *endpoint;

	demo_child_init(parent);
	scene_init();
	stage->err = krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint);
	if (stage->err)
		_exit(EXIT_FAILED);
	stage->err = krepis_wait_peer(endpoint, 1, krepis_deadline_ns(START_NS));
	if (!stage->err)
		stage->err = write_frames(endpoint, stage);
	krepis_detach(endpoint);
	_exit(stage->err ? EXIT_FAILED : EXIT_DONE);
}

/* ---- the reader */

static void look_at(const struct krepis_msg *msg, struct grid_result *result, bool screen,
		    uint64_t *newest)
{
	const struct grid_frame *frame = msg->data;
	uint64_t number;

	if (msg->len != sizeof(*frame) || frame_crc(frame) != frame->crc32c) {
		result->torn++;
		return;
	}
	number = frame->number;
	result->backwards += number < *newest;
	*newest = number;
	if (screen)
		screen_show(frame, result);
	/* What is ours to look at must still be the same after we have looked. */
	result->torn += frame->number != number || frame_crc(frame) != frame->crc32c;
	result->shown++;
	memcpy(result->last, frame, sizeof(*frame));
}

static int read_frames(struct krepis_endpoint *endpoint, struct stage *stage,
		       struct grid_result *result, double seconds, bool screen)
{
	int64_t start, next;
	uint64_t newest = 0;
	int err;

	err = krepis_wait(endpoint, krepis_deadline_ns(START_NS));
	start = next = tool_now();
	while (!err && !tool_signalled() && tool_now() - start < seconds * NSEC_PER_SEC) {
		struct timespec at = { .tv_sec = next / NSEC_PER_SEC, .tv_nsec = next % NSEC_PER_SEC };
		struct krepis_msg msg;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		next += FRAME_NS;
		result->published = stage->published;
		err = krepis_triple_read(endpoint, &msg);
		if (!err && (msg.flags & KREPIS_MSG_FRESH))
			look_at(&msg, result, screen, &newest);
	}
	result->seconds = (tool_now() - start) / 1e9;
	return err;
}

static int reader(struct krepis_channel *channel, struct stage *stage, struct grid_result *result,
		  double seconds, bool quiet)
{
	struct krepis_endpoint *endpoint;
	bool screen;
	int err;

	err = tool_attach(channel, KREPIS_CONSUMER, &endpoint);
	if (err)
		return err;
	screen = !quiet && screen_open();
	err = read_frames(endpoint, stage, result, seconds, screen);
	if (screen)
		screen_close();
	tool_detach(endpoint);
	return tool_signalled() ? -EINTR : err;
}

static int wait_writer(pid_t pid, struct stage *stage)
{
	int status;

	__atomic_store_n(&stage->stop, 1, __ATOMIC_RELEASE);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return stage->err ? stage->err : -EIO;
}

/**
 * demo_grid - shows the grid
 * @result:  how it went; free @result->last
 * @seconds: how long
 * @quiet:   not on the terminal
 *
 * Return: 0, -EINTR after a signal, or an error after a message.
 */
int demo_grid(struct grid_result *result, double seconds, bool quiet)
{
	struct krepis_channel_options o = {
		.size = sizeof(o),
		.kind = KREPIS_TRIPLE,
		.buffer_size = sizeof(struct grid_frame),
	};
	struct stage *stage = demo_share(sizeof(*stage));
	struct krepis_channel *channel;
	pid_t parent = getpid(), pid;
	int err, left;

	memset(result, 0, sizeof(*result));
	result->last = calloc(1, sizeof(*result->last));
	if (!stage || !result->last)
		return -ENOMEM;
	err = krepis_channel_create(NULL, &o, &channel);
	if (err)
		goto out_unmap;
	fflush(NULL);
	pid = fork();
	if (!pid)
		writer(channel, stage, parent);
	if (pid < 0) {
		err = -errno;
		goto out_close;
	}
	err = reader(channel, stage, result, seconds, quiet);
	left = wait_writer(pid, stage);
	err = err ? err : left;
	result->published = stage->published;
out_close:
	krepis_channel_close(channel);
out_unmap:
	munmap(stage, sizeof(*stage));
	if (err && err != -EINTR)
		tool_error("demo: triple channel: %s", krepis_strerror(err));
	return err;
}
