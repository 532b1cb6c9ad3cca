// SPDX-License-Identifier: MIT
/* The grid on a terminal, with ANSI escape sequences, or as plain text. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "demo.h"

#define CELL_BYTES	64	/* more than any cell takes: two colours and a character */
#define ENTER		"\033[?1049h\033[?25l\033[2J"	/* other screen, no cursor, clear */
#define LEAVE		"\033[?2026l\033[0m\033[?25h\033[?1049l"
#define BEGIN_FRAME	"\033[?2026h\033[H"		/* not shown until it is complete */
#define END_FRAME	"\033[0m\033[?2026l"

static char *text;	/* one frame */
static size_t at;

/* Takes over the terminal; false if there is none, or it is too small. */
bool screen_open(void)
{
	struct winsize size;
	const char *term = getenv("TERM");

	if (!isatty(STDOUT_FILENO) || !term || !strcmp(term, "dumb") ||
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < GRID_COLUMNS ||
	    size.ws_row <= GRID_ROWS)
		return false;
	text = malloc(GRID_ROWS * GRID_COLUMNS * CELL_BYTES + 1024);
	if (!text)
		return false;
	tool_write(STDOUT_FILENO, ENTER, strlen(ENTER));
	return true;
}

void screen_close(void)
{
	/* Not tool_write(): also after a signal. */
	if (write(STDOUT_FILENO, LEAVE, strlen(LEAVE)) < 0)
		tool_error("demo: cannot restore the terminal. Type: reset");
	free(text);
	text = NULL;
}

static void add(const char *string)
{
	size_t len = strlen(string);

	memcpy(text + at, string, len);
	at += len;
}

static void add_color(const char *which, uint32_t rgb)
{
	at += sprintf(text + at, "\033[%s;2;%u;%u;%um", which, rgb >> 16 & 255, rgb >> 8 & 255,
		      rgb & 255);
}

/* UTF-8, for the characters below U+10000. */
static void add_character(uint32_t c)
{
	if (c < 0x80) {
		text[at++] = c;
	} else if (c < 0x800) {
		text[at++] = 0xc0 | c >> 6;
		text[at++] = 0x80 | (c & 63);
	} else {
		text[at++] = 0xe0 | (c >> 12 & 15);
		text[at++] = 0x80 | (c >> 6 & 63);
		text[at++] = 0x80 | (c & 63);
	}
}

static void add_row(const struct grid_cell *row)
{
	uint32_t foreground = UINT32_MAX, background = UINT32_MAX;
	uint16_t attributes = 0;
	unsigned int x;

	for (x = 0; x < GRID_COLUMNS; x++) {
		const struct grid_cell *cell = &row[x];

		if (cell->attributes != attributes)
			add(cell->attributes & GRID_BOLD ? "\033[1m" : "\033[22m");
		if (cell->foreground != foreground)
			add_color("38", cell->foreground);
		if (cell->background != background)
			add_color("48", cell->background);
		attributes = cell->attributes;
		foreground = cell->foreground;
		background = cell->background;
		add_character(cell->codepoint);
	}
	add("\033[0m\r\n");
}

/* One frame and the figures below it, in one write. */
void screen_show(const struct grid_frame *frame, const struct grid_result *result)
{
	unsigned int y;

	at = 0;
	add(BEGIN_FRAME);
	for (y = 0; y < GRID_ROWS; y++)
		add_row(frame->cells[y]);
	at += sprintf(text + at, " published %llu   shown %llu   torn %llu\033[K",
		      (unsigned long long)result->published, (unsigned long long)result->shown,
		      (unsigned long long)result->torn);
	add(END_FRAME);
	tool_write(STDOUT_FILENO, text, at);
}

/* Brightness as ink, for where there are no colours. */
static char ink(uint32_t rgb)
{
	static const char inks[] = " .:-=+*#%@";
	unsigned int luma = (2 * (rgb >> 16 & 255) + 5 * (rgb >> 8 & 255) + (rgb & 255)) / 8;

	luma = luma > 40 ? luma - 40 : 0;
	luma = luma * (sizeof(inks) - 1) / 130;
	return inks[luma < sizeof(inks) - 1 ? luma : sizeof(inks) - 2];
}

void screen_plain(const struct grid_frame *frame)
{
	unsigned int x, y;

	for (y = 0; y < GRID_ROWS; y++) {
		for (x = 0; x < GRID_COLUMNS; x++) {
			const struct grid_cell *cell = &frame->cells[y][x];

			putchar(cell->codepoint < 0x80 ? (char)cell->codepoint :
							 ink(cell->foreground));
		}
		putchar('\n');
	}
}
