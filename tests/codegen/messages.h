/* SPDX-License-Identifier: MIT */
/* All that a message may have, for the tests of krepis-codegen. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <krepis/annotate.h>
#include <krepis/packet.h>

/* What happened. */
enum event_kind {
	EVENT_KEY = 1,	/* a key was pressed */
	EVENT_MOUSE = 2,
	EVENT_RESIZE = 7,
};

enum KREPIS_FLAGS paint {
	PAINT_BOLD = 1,
	PAINT_BLINK = 4,
};

/**
 * struct cell - one place of the grid
 * @code: a character of Unicode
 * @paint: PAINT_*, and what a later
 *	   version knows
 */
struct cell {
	uint32_t code;
	uint32_t paint;
};

typedef int64_t instant;

struct position {
	uint64_t time_ns;
	float x, y;
};

struct everything {
	instant when;		/* nanoseconds since the boot */
	double ratio;
	struct position place;
	enum event_kind kind;
	enum paint look;
	int16_t small[3];
	uint8_t type;		/* a word of some languages */
	bool done;
	int32_t matrix[2][3];
	char name[16];
	char lines[2][4];
	struct cell cells[4];
	enum event_kind recent[2];
	signed char low;
	unsigned char high;
	uint8_t padding0[6];
};

struct key {
	uint32_t code, mods;
};

/* One of what may happen. */
struct event {
	enum event_kind kind;
	union {
		struct key key KREPIS_CASE(EVENT_KEY);	/* which one */
		uint8_t bytes[12] KREPIS_CASE(EVENT_MOUSE);
		uint32_t width KREPIS_CASE(EVENT_RESIZE);
	} what KREPIS_TAG(kind);
};

struct answer {
	uint64_t tag;
	union {
		char text[16] KREPIS_CASE(0);
		struct key keys[2] KREPIS_CASE(1);
		char lines[2][4] KREPIS_CASE(0xffffffffffffffff);
		double number KREPIS_CASE(3);
	} is KREPIS_TAG(tag);
};

KREPIS_PACKET(7, position);
KREPIS_PACKET(3, everything);
KREPIS_PACKET(4, event);
KREPIS_PACKET(5, answer);

#endif /* MESSAGES_H */
