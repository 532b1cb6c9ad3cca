// SPDX-License-Identifier: MIT
/*
 * A job: one producer process, its consumers, and the parent that waits for
 * them. What they do is the same on every way; only the link differs.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "demo.h"

#define LOOK_NS 10000000	/* how often the parent looks */
#define WARM_UP(job) ((job)->pings / 10)

/**
 * struct side - what one process tells the parent, in memory that they share
 * @start_ns: before its first message
 * @end_ns:   after its last one
 * @bad:      files that came through wrong
 * @bad_file: the first of them
 * @ready:    atomic: it has joined
 * @error:    why it failed
 */
struct side {
	_Alignas(128) uint64_t start_ns;
	uint64_t end_ns;
	uint64_t bytes;
	uint64_t messages;
	uint64_t calls;
	uint64_t bad;
	uint32_t bad_file;
	uint32_t ready;
	char error[256];
};

/**
 * struct crew - the processes of a job
 * @sides: [0] the producer, then the consumers
 * @pids:  the same; 0: it has been waited for
 */
struct crew {
	struct demo_job *job;
	struct demo_link link;
	struct side *sides;
	pid_t pids[1 + DEMO_CONSUMERS];
	unsigned int count;
	double cpu;
	int err;
};

/* Memory that children and parent share, or NULL. */
void *demo_share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* How many this process may run on. */
unsigned int demo_processors(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
}

/* A child ends with its parent, by any signal, and at the latest when its time is up. */
void demo_child_init(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	alarm(DEMO_TIME_LIMIT + 10);
}

/* ---- the producer */

/* Up to @len bytes of the file, straight into the room that the way gave. */
static ssize_t fill(struct side *side, int fd, char *room, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, room + done, len - done);
		side->calls++;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += n;
	}
	return done;
}

static int send_file(struct demo_link *link, struct side *side, const struct demo_file *file,
		     uint32_t index)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct demo_head head = { .kind = DEMO_DATA, .index = index };
	uint64_t left = file->size;
	void *room;
	int err;

	if (fd < 0)
		return -errno;
	do {
		size_t want = left < DEMO_CHUNK ? left : DEMO_CHUNK;
		ssize_t n;

		err = link->way->begin(link, want, &room);
		if (err)
			break;
		n = fill(side, fd, room, want);
		if (n < 0) {
			err = n;
			break;
		}
		left -= n;
		head.len = n;
		head.last = !left || (size_t)n < want;
		err = link->way->commit(link, &head);
		side->bytes += n;
		side->messages++;
	} while (!err && !head.last);
	close(fd);
	return err;
}

static int send_files(struct demo_link *link, struct side *side, const struct demo_job *job)
{
	uint32_t round, i;
	int err;

	for (round = 0; round < job->rounds; round++) {
		for (i = 0; i < job->set->count; i++) {
			err = send_file(link, side, &job->set->files[i], i);
			if (err) {
				snprintf(side->error, sizeof(side->error), "%s: %s",
					 job->set->files[i].path, krepis_strerror(err));
				return err;
			}
		}
	}
	return 0;
}

static int send_one(struct demo_link *link, uint32_t kind, uint32_t len)
{
	struct demo_head head = { .kind = kind, .len = len, .last = 1 };
	void *room;
	int err;

	err = link->way->begin(link, len, &room);
	if (err)
		return err;
	memset(room, 0, len);
	head.time_ns = tool_now();
	return link->way->commit(link, &head);
}

/* Sleeps if there is time for it, or no processor to spare. */
static void pace(int64_t until, bool sleeps)
{
	struct timespec at = { .tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC };

	if (sleeps)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	while (tool_now() < until)
		;
}

/* Pings, each when the one before has long been taken. */
static int send_pings(struct demo_link *link, struct side *side, const struct demo_job *job)
{
	/* With one processor of our own we would only keep the consumer from it. */
	bool sleeps = job->pace_ns > 10 * DEMO_PACE_NS || demo_processors() < 2;
	unsigned int i;
	int err = 0;

	prctl(PR_SET_TIMERSLACK, 1);
	for (i = 0; i < WARM_UP(job) + job->pings && !err; i++) {
		pace(krepis_deadline_ns(job->pace_ns), sleeps);
		err = send_one(link, DEMO_PING, DEMO_PING_BYTES - sizeof(struct demo_head));
		side->messages++;
	}
	return err;
}

static int produce(struct crew *crew, struct side *side)
{
	struct timespec pause = { .tv_nsec = 100000 };
	unsigned int i;
	int err;

	for (i = 1; i < crew->count; i++) {
		while (!__atomic_load_n(&crew->sides[i].ready, __ATOMIC_ACQUIRE))
			nanosleep(&pause, NULL);
	}
	side->start_ns = tool_now();
	err = crew->job->work == DEMO_LATENCY ? send_pings(&crew->link, side, crew->job) :
						send_files(&crew->link, side, crew->job);
	return err ? err : send_one(&crew->link, DEMO_END, 0);
}

/* ---- a consumer */

static void compare_crc(struct side *side, const struct demo_job *job, uint32_t index, uint32_t crc)
{
	if (job->set->files[index].crc32c == crc)
		return;
	if (!side->bad++)
		side->bad_file = index;
}

static int consume_files(struct demo_link *link, struct side *side, const struct demo_job *job,
			 uint8_t (*digests)[DEMO_SHA256])
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	struct demo_piece piece;
	bool begins = true;
	uint32_t crc = 0;
	int err;

	if (!sha)
		return -ENOMEM;
	while (!(err = link->way->next(link, &piece)) && piece.head.kind != DEMO_END) {
		if (piece.head.kind != DEMO_DATA || piece.head.index >= job->set->count) {
			err = -EPROTO;
			break;
		}
		if (job->work == DEMO_CRC) {
			crc = krepis_crc32c(begins ? 0 : crc, piece.data, piece.len);
			if (piece.last)
				compare_crc(side, job, piece.head.index, crc);
		} else {
			if (begins)
				EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
			EVP_DigestUpdate(sha, piece.data, piece.len);
			if (piece.last)
				EVP_DigestFinal_ex(sha, digests[piece.head.index], NULL);
		}
		begins = piece.last;
		side->bytes += piece.len;
	}
	EVP_MD_CTX_free(sha);
	return err;
}

static int consume_pings(struct demo_link *link, const struct demo_job *job, uint32_t *samples)
{
	unsigned int n = 0, skip = WARM_UP(job);
	struct demo_piece piece;
	int err;

	while (!(err = link->way->next(link, &piece)) && piece.head.kind != DEMO_END) {
		int64_t age = tool_now() - (int64_t)piece.head.time_ns;

		if (n >= skip && n < skip + job->pings)
			samples[n - skip] = age < UINT32_MAX ? age : UINT32_MAX;
		n++;
	}
	return err ? err : n == skip + job->pings ? 0 : -EBADMSG;
}

static int consume(struct crew *crew, struct side *side, unsigned int i)
{
	struct demo_job *job = crew->job;

	__atomic_store_n(&side->ready, 1, __ATOMIC_RELEASE);
	return job->work == DEMO_LATENCY ? consume_pings(&crew->link, job, job->samples[i]) :
			consume_files(&crew->link, side, job, job->digests[i]);
}

/* ---- processes */

static void child(struct crew *crew, unsigned int i, pid_t parent)
{
	struct side *side = &crew->sides[i];
	bool sender = i == 0;
	int err, left;

	demo_child_init(parent);
	err = crew->link.way->join(&crew->link, sender);
	if (!err) {
		err = sender ? produce(crew, side) : consume(crew, side, i - 1);
		side->end_ns = tool_now();
		left = crew->link.way->leave(&crew->link, sender);
		err = err ? err : left;
	}
	side->calls += crew->link.calls;
	if (err && !side->error[0])
		snprintf(side->error, sizeof(side->error), "%s", krepis_strerror(err));
	_exit(err ? EXIT_FAILED : EXIT_DONE);
}

static void failed(struct crew *crew, unsigned int i, int status)
{
	const char *error = crew->sides[i].error;
	char text[64];

	if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "ended by signal %d", WTERMSIG(status));
		error = text;
	}
	if (!tool_signalled())
		tool_error("demo: %s: %s %u: %s", crew->link.way->name, i ? "consumer" : "producer", i,
			   error);
	crew->err = -EIO;
}

static unsigned int reap(struct crew *crew)
{
	unsigned int i, running = 0;
	struct rusage usage;
	int status;

	for (i = 0; i < crew->count; i++) {
		pid_t pid = crew->pids[i] ? wait4(crew->pids[i], &status, WNOHANG, &usage) : 0;

		running += crew->pids[i] && !pid;
		if (pid <= 0)
			continue;
		crew->pids[i] = 0;
		crew->cpu += usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
			     (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			failed(crew, i, status);
	}
	return running;
}

static void kill_all(struct crew *crew)
{
	unsigned int i;

	for (i = 0; i < crew->count; i++) {
		if (crew->pids[i])
			kill(crew->pids[i], SIGKILL);
	}
}

static void wait_all(struct crew *crew)
{
	struct timespec pause = { .tv_nsec = LOOK_NS };
	const struct demo_job *job = crew->job;
	char text[128];

	snprintf(text, sizeof(text), "%s: %s", crew->link.way->name,
		 job->work == DEMO_SHA ? "SHA-256 of every file in each consumer" :
		 job->work == DEMO_CRC ? "the same bytes, checksummed" : "latency");
	while (reap(crew)) {
		demo_progress(job->progress, text, crew->sides[0].bytes,
			      job->work == DEMO_LATENCY ? 0 : job->rounds * job->set->bytes);
		if (tool_signalled() || crew->err)
			kill_all(crew);
		nanosleep(&pause, NULL);
	}
}

static void summarize(struct crew *crew, struct demo_result *result)
{
	const struct demo_set *set = crew->job->set;
	unsigned int i;
	uint64_t end = 0;

	memset(result, 0, sizeof(*result));
	for (i = 0; i < crew->count; i++) {
		struct side *side = &crew->sides[i];

		result->calls += side->calls;
		end = side->end_ns > end ? side->end_ns : end;
		if (side->bad) {
			tool_error("demo: %s: consumer %u got %llu files wrong, the first is %s",
				   crew->link.way->name, i, (unsigned long long)side->bad,
				   set->files[side->bad_file].path);
			crew->err = -EBADMSG;
		}
		if (i && crew->job->work != DEMO_LATENCY && !crew->err &&
		    side->bytes != crew->sides[0].bytes) {
			tool_error("demo: %s: consumer %u got %llu bytes of %llu", crew->link.way->name,
				   i, (unsigned long long)side->bytes,
				   (unsigned long long)crew->sides[0].bytes);
			crew->err = -EBADMSG;
		}
	}
	result->seconds = (end - crew->sides[0].start_ns) / 1e9;
	result->cpu = crew->cpu;
	result->bytes = crew->sides[0].bytes;
	result->messages = crew->sides[0].messages;
}

/**
 * demo_job_run - moves everything once, one way
 * @job:    what
 * @way:    how
 * @result: what it took
 *
 * Return: 0, -EINTR after a signal, or an error after a message.
 */
int demo_job_run(struct demo_job *job, const struct demo_way *way, struct demo_result *result)
{
	size_t size = (1 + DEMO_CONSUMERS) * sizeof(struct side);
	struct crew crew = { .job = job, .link.way = way, .count = 1 + way->consumers };
	pid_t parent = getpid();
	unsigned int i;
	int err;

	crew.sides = demo_share(size);
	if (!crew.sides)
		return -ENOMEM;
	err = way->open(&crew.link);
	if (err) {
		tool_error("demo: cannot open %s: %s", way->name, krepis_strerror(err));
		goto out_unmap;
	}
	fflush(NULL);
	for (i = 0; i < crew.count; i++) {
		crew.pids[i] = fork();
		if (!crew.pids[i])
			child(&crew, i, parent);
		if (crew.pids[i] < 0) {
			crew.pids[i] = 0;
			crew.err = -errno;
			tool_error("demo: cannot fork: %s", krepis_strerror(crew.err));
		}
	}
	/* A stream ends when its last writer has gone: that must be the producer. */
	way->close(&crew.link);
	wait_all(&crew);
	summarize(&crew, result);
	err = tool_signalled() ? -EINTR : crew.err;
out_unmap:
	munmap(crew.sides, size);
	return err;
}
