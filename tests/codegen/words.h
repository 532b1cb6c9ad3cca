/* SPDX-License-Identifier: MIT */
/* Names that other languages need for themselves, or what krepis-codegen makes does. */
#ifndef WORDS_H
#define WORDS_H

#include <stdint.h>
#include <krepis/packet.h>

enum number {
	NUMBER_TEST = 1,
	NUMBER_TYPE = 2,
	NUMBER_ERROR = 3,
	NUMBER_NONE = 4,
	NUMBER_DECODE = 5,
	NUMBER_LAST = 5,		/* another name of the same */
};

struct option {
	uint32_t from, in, is, pass, lambda, None;		/* Python */
	uint32_t self, super, crate, type, fn, gen;		/* Rust */
	uint32_t error, test, u8, var, opaque, given;		/* Zig */
	uint32_t function, constructor, view, at, null;		/* TypeScript */
	uint32_t PACKET, packet, decode, encode, offsets;	/* here */
};

struct KREPIS_SIZED math {
	uint32_t size;
	enum number from;
	union {
		uint8_t test[4] KREPIS_CASE(NUMBER_TEST);
		float type KREPIS_CASE(NUMBER_TYPE);
		uint32_t self KREPIS_CASE(NUMBER_ERROR);
		uint32_t is KREPIS_CASE(NUMBER_NONE);
		uint32_t decode KREPIS_CASE(NUMBER_DECODE);
	} in KREPIS_TAG(from);
	struct option option;
};

KREPIS_PACKET(1, option);
KREPIS_PACKET(2, math);

#endif /* WORDS_H */
