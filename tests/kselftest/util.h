/* SPDX-License-Identifier: MIT */
/*
 * What the self tests share: the module's commands as functions, a side of a
 * channel with its mappings, processes, and a picture of everything that a refusal
 * must leave alone.
 *
 * A function that can be refused returns what the system call did, or -errno.
 * KREPIS_MOUNT names a mounted krepis file system, if it is not /run/krepis.
 */
#ifndef _KSELFTEST_UTIL_H
#define _KSELFTEST_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <krepis/geometry.h>

#define PAGE		4096U
#define FOR_EVER	INT64_MAX
#define SECOND_NS	1000000000LL
#define MS_NS		1000000LL
#define NOBODY		65534

/* More than the harness gives a test: the kernel may check everything, and be emulated. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

/* ------------------------------------------------------------------ commands */

int command(int fd, unsigned int cmd, void *arg);
int setup(int fd, const struct krepis_geometry *g);
int attach(int fd, __u32 role, __u32 rights);
int detach(int fd);
int restrict_to(int fd, __u32 rights);
int derive(int fd, __u32 rights);
int query(int fd, struct krepis_info_query *q);
int wait_word(int fd, __u64 at, __u32 value, __s64 deadline_ns);
int wake(int fd, __u32 consumers, __u32 flags);
int handoff(int fd, __u32 index, __u32 generation, __u32 len);
int release(int fd, __u32 index, __u32 generation);
int take(int fd, __u32 index, __u32 generation);
int evict(int fd, __u32 index, __u32 generation);
/* HANDOFF with KREPIS_HANDOFF_PUBLISH, of a record at @sequence. */
int handoff_publish(int fd, __u32 index, __u32 generation, __u32 len, __u64 sequence);

/* ------------------------------------------------------------------ channels */

/* A ring: two consumers, four buffers of a page, 8 KiB of records. */
struct krepis_geometry small_ring(void);
struct krepis_geometry small_triple(void);

const char *mount_path(void);
/* The path of @name in the mount, in one of a few static buffers. */
const char *in_mount(const char *name);
/* An empty file without a name, open as @flags say. */
int new_file(int flags);
/* A channel without a name, open for reading and writing. */
int new_channel(const struct krepis_geometry *g);
/* The same file, opened once more. */
int reopen(int fd, int flags);

/**
 * struct side - an endpoint with all of its mappings, in one piece at @base
 *
 * What its role does not write is mapped read only.
 */
struct side {
	int fd;
	__u32 role;
	__u32 slot;
	struct krepis_geometry geometry;
	struct krepis_layout layout;
	char *base;
	struct krepis_info *info;
	struct krepis_producer *producer;
	struct krepis_exchange *exchange;
	struct krepis_desc *desc;
};

/* Maps what the endpoint @fd may map. */
int side_map(struct side *s, int fd);
/* Attaches and maps; a consumer begins to read at the head. */
int side_open(struct side *s, int channel, __u32 role);
void side_unmap(struct side *s);
void side_close(struct side *s);
struct krepis_consumer *consumer_of(const struct side *s, __u32 slot);
char *payload_of(const struct side *s, __u32 index);
/* Where the side's own event word stands in the channel, and what it holds. */
__u64 event_at(const struct side *s);
__u32 event_of(const struct side *s);
/* Producer: a record of 8 bytes; tells whether the library would call WAKE. */
void publish(const struct side *s);
/* Consumer: reads everything. */
void consume(const struct side *s);

/**
 * struct picture - a channel as QUERY and its pages show it; of a side that has its
 * buffers only at times, without those
 */
struct picture {
	struct krepis_info_query query;
	size_t bytes;
	char *pages;
};

void picture_take(struct picture *p, const struct side *s);
/* Whether nothing changed since. */
bool picture_holds(const struct picture *p, const struct side *s);

/* -------------------------------------------------------------------- touching */

/**
 * struct fault - how an access went
 * @signal:	0: well
 * @code:	siginfo_t.si_code, with @at
 */
struct fault {
	int signal, code;
	const void *at;
};

struct fault try_access(void (*access)(void *), void *with);
/* Reads the byte at @p, or writes the same one again. */
struct fault fault_at(const void *p, bool write);
/* Whether it goes well. */
bool reads(const void *p);
bool writes(const void *p);
/* Whether the process has the page's area, and neither reads nor writes it: SIGBUS at @p. */
bool is_taken_away(const void *p);

/* ----------------------------------------------------------- time, processes */

__s64 now_ns(void);
static inline __s64 in_ms(int ms)
{
	return now_ns() + ms * MS_NS;
}

/* Whether @what becomes true before @ms are over. */
#define within_ms(ms, what) __extension__ ({				\
	__s64 _end = in_ms(ms);						\
	bool _is;							\
	while (!(_is = (what)) && now_ns() < _end)			\
		pause_ms(1);						\
	_is;								\
})

void pause_ms(int ms);
/* fork(2), and the child dies with its parent. */
pid_t child(void);
/* Waits for it. Return: its exit status, or 128 and the signal that ended it. */
int reap(pid_t pid);
int kill_and_reap(pid_t pid);
/* Whether thread @tid sleeps in the system call @nr. */
bool sleeps_in(pid_t tid, long nr);
/* The letter of its state, as ps(1) shows it. */
char state_of(pid_t tid);
/* Waits until it does: at most some seconds. */
bool until_sleeps_in(pid_t tid, long nr);
int send_fd(int socket, int fd);
int recv_fd(int socket);
/* The kernel's release, as 6 * 1000 + 12. */
int kernel_release(void);
/* Whether the kernel is one that finds errors, and counts memory otherwise. */
bool kernel_debugs(void);
/* The first number behind @key in a file of lines, or -1. */
long long number_in(const char *path, const char *key);
int write_text(const char *path, const char *text);

#endif /* _KSELFTEST_UTIL_H */
