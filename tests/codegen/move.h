/* SPDX-License-Identifier: MIT */
/* A packet of two versions, for the tests of krepis-codegen: the first has no line with KREPIS_ADDED. */
#ifndef MOVE_H
#define MOVE_H

#include <stdint.h>
#include <krepis/annotate.h>
#include <krepis/packet.h>

enum move_kind {
	MOVE_TO = 1,
	MOVE_NAME = 4,
};

struct place {
	int32_t x, y;
};

union move_what {
	struct place place KREPIS_CASE(MOVE_TO);
	char name[16] KREPIS_CASE(MOVE_NAME);
};

struct KREPIS_SIZED move {
	uint32_t size;
	uint32_t number;
	uint64_t time_ns;
	float speed KREPIS_ADDED;
	enum move_kind kind KREPIS_ADDED;
	union move_what what KREPIS_TAG(kind) KREPIS_ADDED;
};

KREPIS_PACKET(5, move);

#endif /* MOVE_H */
