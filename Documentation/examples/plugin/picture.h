/* SPDX-License-Identifier: MIT */
/* What the plugin makes for its host. */
#ifndef PICTURE_H
#define PICTURE_H

#include <stdint.h>
#include <krepis/packet.h>

#define PICTURE_WIDTH	256
#define PICTURE_HEIGHT	256

/**
 * struct picture - in shades of grey
 * @number: from 1
 * @pixels: row by row
 */
struct picture {
	uint64_t number;
	uint8_t pixels[PICTURE_WIDTH * PICTURE_HEIGHT];
};

KREPIS_VALUE(1, picture);

#endif /* PICTURE_H */
