/* SPDX-License-Identifier: MIT */
/* What the peers of tests/bindings/cross send each other. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stdint.h>
#include <krepis/annotate.h>
#include <krepis/packet.h>

enum sample_kind {
	SAMPLE_RING = 1,
	SAMPLE_BUFFER = 2,
	SAMPLE_TRIPLE = 3,
};

enum KREPIS_FLAGS sample_flags {
	SAMPLE_ODD = 1,
	SAMPLE_THIRD = 2,
};

/**
 * struct sample - all that is told by its number
 * @sequence: from 0
 * @half:     @sequence / 2
 * @negative: -(@sequence % 1000)
 * @kind:     by which way it came
 * @flags:    SAMPLE_ODD: @sequence is; SAMPLE_THIRD: it is divided by 3
 * @small:    @sequence * (i + 1), modulo 65536
 * @name:     "s", and the last seven decimal digits of @sequence, without zeros before them
 * @crc:      CRC-32C of the bytes before it
 */
struct sample {
	uint64_t sequence;
	double half;
	int32_t negative;
	enum sample_kind kind;
	enum sample_flags flags;
	uint16_t small[4];
	char name[12];
	uint32_t crc;
	uint32_t padding;
};

KREPIS_PACKET(17, sample);

#endif /* SAMPLE_H */
