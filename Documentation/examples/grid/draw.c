// SPDX-License-Identifier: MIT
/*
 * Draws 60 frames a second into a triple: who shows them has the latest one, whole, and
 * this program never waits for it. draw CHANNEL [FRAMES]
 */
#include <krepis/krepis.h>
#include <stdio.h>
#include <stdlib.h>
#include "grid.h"
#include "grid_layout.h"

static void draw(struct frame *f, uint64_t number)
{
	static const char text[] = "krepis: a C program draws, TypeScript shows";
	unsigned int x, y, wave;

	*f = (struct frame){ .number = number, .columns = GRID_COLUMNS, .rows = GRID_ROWS };
	for (y = 0; y < GRID_ROWS; y++)
		for (x = 0; x < GRID_COLUMNS; x++) {
			wave = (x * 3 + y * 7 + (unsigned int)number * 2) % 256;
			f->cells[y * GRID_COLUMNS + x] = (struct cell){
				.code = y == 12 && x < sizeof(text) - 1 ? (uint32_t)text[x] : 0x2588,
				.colour = wave << 16 | (255 - wave) << 8 | 128,
			};
		}
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "draw: %s: %s\n", what, krepis_strerror(err));
	return 1;
}

int main(int argc, char **argv)
{
	const struct krepis_channel_options options = {
		.size = sizeof(options),
		.kind = KREPIS_TRIPLE,
		.buffer_size = sizeof(struct frame),
		.layout_id = GRID_LAYOUT_ID,
	};
	uint64_t number, count = argc > 2 ? strtoull(argv[2], NULL, 10) : UINT64_MAX;
	int64_t next = krepis_deadline_ms(0);
	struct krepis_endpoint *producer;
	struct krepis_channel *channel;
	struct frame *frame;
	int err;

	if (argc < 2)
		return fprintf(stderr, "usage: draw CHANNEL [FRAMES]\n"), 2;
	err = krepis_channel_create(argv[1], &options, &channel);
	if (err)
		return fail(argv[1], err);
	err = krepis_attach(channel, KREPIS_PRODUCER, 0, &producer);
	for (number = 1; !err && number <= count; number++) {
		err = krepis_triple_begin_frame(producer, &frame);
		if (err)
			break;
		draw(frame, number);
		err = krepis_triple_commit_frame(producer);
		next += 1000000000 / 60;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
				&(struct timespec){ next / 1000000000, next % 1000000000 }, NULL);
	}
	krepis_unlink(argv[1]);
	if (err)
		return fail("frame", err);
	krepis_detach(producer);
	krepis_channel_close(channel);
	return 0;
}
