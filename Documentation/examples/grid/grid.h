/* SPDX-License-Identifier: MIT */
/* What a program draws and another one shows: a terminal of 80 x 24 cells. */
#ifndef GRID_H
#define GRID_H

#include <stdint.h>
#include <krepis/packet.h>

#define GRID_COLUMNS	80
#define GRID_ROWS	24

/**
 * struct cell - one place
 * @code:   a character of Unicode
 * @colour: 0xRRGGBB, of the character
 */
struct cell {
	uint32_t code;
	uint32_t colour;
};

/**
 * struct frame - all of them
 * @number: from 1
 * @cells:  row by row
 */
struct frame {
	uint64_t number;
	uint16_t columns;
	uint16_t rows;
	uint32_t padding;
	struct cell cells[GRID_ROWS * GRID_COLUMNS];
};

KREPIS_VALUE(1, frame);

#endif /* GRID_H */
