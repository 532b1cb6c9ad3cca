/* SPDX-License-Identifier: MIT */
/*
 * krepis demo, in parts:
 *
 *	demo.c		the command: which phases, and whether all checks held
 *	demo_files.c	real files of this machine, and their digests by plain read(2)
 *	demo_job.c	one producer process and its consumers, and what they do
 *	demo_links.c	the ways that the bytes can go: krepis, pipe, UNIX socket
 *	demo_grid.c	a terminal grid through a triple channel
 *	demo_screen.c	that grid on a terminal
 *	demo_report.c	the tables and the JSON
 */
#ifndef _KREPIS_DEMO_H
#define _KREPIS_DEMO_H

#include "tool.h"

#define DEMO_SHA256	32
#define DEMO_SMALL	4096		/* files up to this travel as one inline message */
#define DEMO_CHUNK	(1 << 20)	/* larger ones in buffers of this */
#define DEMO_CONSUMERS	2
#define DEMO_PINGS	20000		/* latency samples of each consumer, */
#define DEMO_PACE_NS	10000		/* one every so long: the consumer is awake */
#define DEMO_RARE_PINGS	500		/* and again, */
#define DEMO_RARE_NS	1000000		/* so rarely that it sleeps */
#define DEMO_PING_BYTES	64
#define DEMO_TIME_LIMIT	120		/* seconds; a job that takes longer hangs */

/* ---- files */

/**
 * struct demo_file - one file of the set
 * @path:   absolute
 * @size:   when it was found; never more than this is read
 * @crc32c: of its content, by the parent
 * @sha256: of its content, by the parent
 */
struct demo_file {
	char *path;
	uint64_t size;
	uint32_t crc32c;
	uint8_t sha256[DEMO_SHA256];
};

/**
 * struct demo_set - what the demo moves; the same for all ways
 * @files: in the order of their paths
 * @count: files
 * @different: how many of them are not the same ones again
 * @small: how many of them are up to DEMO_SMALL
 * @bytes: in all of them
 */
struct demo_set {
	struct demo_file *files;
	uint32_t count;
	uint32_t different;
	uint32_t small;
	uint64_t bytes;
};

int demo_collect(struct demo_set *set, const char *directory, uint64_t target, uint32_t small);
int demo_digest(struct demo_set *set, bool progress);
void demo_set_free(struct demo_set *set);

/* ---- messages and the ways they go */

enum demo_kind { DEMO_DATA = 1, DEMO_PING, DEMO_END };

/**
 * struct demo_head - stands before the content of every message, on every way
 * @kind:    enum demo_kind
 * @index:   which file
 * @len:     bytes of content
 * @last:    1: the file ends here
 * @time_ns: CLOCK_MONOTONIC when it was sent (DEMO_PING)
 */
struct demo_head {
	uint32_t kind;
	uint32_t index;
	uint32_t len;
	uint32_t last;
	uint64_t time_ns;
	uint64_t reserved;
};

/**
 * struct demo_piece - what a receiver gets: a message, or on a stream a part of one
 * @head: of the message
 * @data: @len bytes of content, until the next piece
 * @last: the file ends with them
 */
struct demo_piece {
	struct demo_head head;
	const void *data;
	uint32_t len;
	bool last;
};

struct demo_way;

/**
 * struct demo_link - one way, opened
 * @way:      its operations
 * @calls:    read, write and futex calls of this process
 * @channel:  krepis
 * @endpoint: krepis
 * @buffer:   krepis: acquired and not yet published
 * @message:  krepis: being filled, or held by the receiver
 * @msg:      krepis: the message held by the receiver
 * @fds:      streams: to read, to write
 * @room:     streams: a buffer of this process
 * @at:	      streams: next byte of it
 * @end:      streams: first byte behind what was read
 * @left:     streams: content of @head that did not come yet
 * @head:     streams: of the message that is coming
 */
struct demo_link {
	const struct demo_way *way;
	uint64_t calls;
	struct krepis_channel *channel;
	struct krepis_endpoint *endpoint;
	struct krepis_buffer *buffer;
	void *message;
	struct krepis_msg msg;
	int fds[2];
	char *room;
	size_t at;
	size_t end;
	uint32_t left;
	struct demo_head head;
};

/**
 * struct demo_way - how bytes get from one process to another
 * @name:      for the report
 * @id:	       for JSON
 * @consumers: processes that receive it all
 * @copies:    of each byte, from the page cache until the consumer reads it
 * @open:      in the parent, before it forks
 * @close:     in the parent
 * @join:      in each child
 * @begin:     sender: room for a message with up to @len bytes of content
 * @commit:    sender: the message is complete, and goes out
 * @next:      receiver: the next piece; what the last one pointed to ends here
 * @leave:     in each child; sender: when all was taken
 */
struct demo_way {
	const char *name;
	const char *id;
	unsigned int consumers;
	unsigned int copies;
	int (*open)(struct demo_link *link);
	void (*close)(struct demo_link *link);
	int (*join)(struct demo_link *link, bool sender);
	int (*begin)(struct demo_link *link, size_t len, void **room);
	int (*commit)(struct demo_link *link, const struct demo_head *head);
	int (*next)(struct demo_link *link, struct demo_piece *piece);
	int (*leave)(struct demo_link *link, bool sender);
};

#define DEMO_WAYS 4
extern const struct demo_way demo_ways[DEMO_WAYS];

/* ---- jobs */

enum demo_work {
	DEMO_SHA,	/* SHA-256 of every file, for the parent to compare */
	DEMO_CRC,	/* CRC32C of every file, compared at once */
	DEMO_LATENCY,	/* how old each ping is */
};

/**
 * struct demo_job - one producer, and the consumers of a way
 * @work:     of the consumers
 * @set:      what the producer sends
 * @rounds:   how often
 * @progress: on standard error
 * @digests:  DEMO_SHA: SHA-256 of each file, by each consumer
 * @samples:  DEMO_LATENCY: nanoseconds, @pings by each consumer
 * @pings:    DEMO_LATENCY: how many
 * @pace_ns:  DEMO_LATENCY: from one to the next
 */
struct demo_job {
	enum demo_work work;
	const struct demo_set *set;
	uint32_t rounds;
	bool progress;
	uint8_t (*digests[DEMO_CONSUMERS])[DEMO_SHA256];
	uint32_t *samples[DEMO_CONSUMERS];
	uint32_t pings;
	int64_t pace_ns;
};

/**
 * struct demo_result - what a job took
 * @seconds:  from the producer's first byte to the last consumer's last
 * @cpu:      seconds of processor time, of all its processes
 * @bytes:    of content that the producer sent
 * @messages: that it sent
 * @calls:    read, write and futex calls of all its processes
 */
struct demo_result {
	double seconds;
	double cpu;
	uint64_t bytes;
	uint64_t messages;
	uint64_t calls;
};

int demo_job_run(struct demo_job *job, const struct demo_way *way, struct demo_result *result);
void *demo_share(size_t size);
void demo_child_init(pid_t parent);
unsigned int demo_processors(void);

/* ---- the triple channel */

#define GRID_COLUMNS	80
#define GRID_ROWS	24
#define GRID_BOLD	(1U << 0)

struct grid_cell {
	uint32_t codepoint;
	uint32_t foreground;	/* 0xrrggbb */
	uint32_t background;
	uint16_t attributes;	/* GRID_* */
	uint8_t width;
	uint8_t pad;
};

/**
 * struct grid_frame - one value of the channel
 * @number:  counts the frames
 * @crc32c:  of @number and @cells
 * @cells:   row by row
 */
struct grid_frame {
	uint64_t number;
	uint32_t crc32c;
	uint32_t reserved;
	struct grid_cell cells[GRID_ROWS][GRID_COLUMNS];
};

/**
 * struct grid_result - how it went
 * @seconds:   that the reader looked
 * @published: frames
 * @shown:     of these, by the reader
 * @torn:      frames whose checksum was wrong, before or after they were shown
 * @backwards: frames that were older than the one before
 * @last:      the last one shown
 */
struct grid_result {
	double seconds;
	uint64_t published;
	uint64_t shown;
	uint64_t torn;
	uint64_t backwards;
	struct grid_frame *last;
};

int demo_grid(struct grid_result *result, double seconds, bool quiet);
void demo_scene(struct grid_frame *frame, uint64_t number, int64_t now_ns);
bool screen_open(void);
void screen_close(void);
void screen_show(const struct grid_frame *frame, const struct grid_result *result);
void screen_plain(const struct grid_frame *frame);

/* ---- the report */

/**
 * struct demo_figures - one row
 * @rates:    MB/s of each round
 * @rounds:   of them
 * @latency:  p50, p99, p99.9 and the longest, nanoseconds
 * @asleep:   the same for a consumer that sleeps
 * @result:   of the last round
 */
struct demo_figures {
	double rates[16];
	unsigned int rounds;
	uint32_t latency[4];
	uint32_t asleep[4];
	struct demo_result result;
};

/**
 * struct demo_report - all of it
 * @grid:     NULL with --no-grid
 * @bad:      files that came through wrong
 */
struct demo_report {
	const struct demo_set *set;
	uint32_t repeat;
	struct demo_result sha;
	struct demo_figures ways[DEMO_WAYS];
	const struct grid_result *grid;
	uint64_t bad;
};

double demo_rate(const struct demo_figures *figures);
void demo_latency(uint32_t latency[4], uint32_t *samples, size_t count);
void demo_print(const struct demo_report *report);
void demo_print_json(const struct demo_report *report, bool ok);

/* Progress, on standard error; @done of @all, or just the text if @all is 0. */
void demo_progress(bool live, const char *text, uint64_t done, uint64_t all);

#endif /* _KREPIS_DEMO_H */
