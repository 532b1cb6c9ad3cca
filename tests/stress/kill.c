// SPDX-License-Identifier: MIT
/*
 * Death at random instants: kill [--kills N] [--seed S] [--seconds MAX]
 *
 * This supervisor keeps a producer and three consumers on one channel and kills
 * them, thousands of times: after a random time, or when it sees on the channel
 * or on the board that the victim is in the middle of something. After each death
 * all others must go on within WATCHDOG_NS, and after each round, when all have
 * stopped in an orderly way, nothing may have leaked and the channel must work.
 *
 * The decisions follow from the seed; where they hit does not.
 */
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "board.h"
#include "peers.h"
#include "spy.h"

#define WATCHDOG_NS	(2000000000LL * slowness())
#define SLOW_NS		(100000000LL * slowness())	/* worth a line in the log */
#define BUFFERS		8

struct round {
	const char *name;
	unsigned int consumers;
	unsigned int percent;	/* of the kills */
	struct krepis_channel_options options;
};

#define RING(policy)							\
	.kind = KREPIS_RING, .backpressure = (policy), .max_consumers = 4,	\
	.ring_size = 16384, .inline_max = 1024, .buffer_count = BUFFERS, .buffer_size = 16384

static const struct round rounds[] = {
	{ "block", 3, 50, { .size = sizeof(struct krepis_channel_options), RING(KREPIS_BLOCK) } },
	{ "fail", 3, 15, { .size = sizeof(struct krepis_channel_options), RING(KREPIS_FAIL) } },
	{ "overwrite", 3, 20,
	  { .size = sizeof(struct krepis_channel_options), RING(KREPIS_OVERWRITE) } },
	{ "triple", 1, 15,
	  { .size = sizeof(struct krepis_channel_options), .kind = KREPIS_TRIPLE,
	    .buffer_size = 16384 } },
};

#define ROUNDS	(sizeof(rounds) / sizeof(rounds[0]))

/* At what the supervisor aims. */
enum aim { AIM_TIME, AIM_PHASE, AIM_LOCKED, AIM_HEAD, AIM_SLEEP, AIM_OWNER, AIMS };

/**
 * struct decision - one kill, drawn before it is done
 * @victims: mask of peers
 * @stopped: a peer that gets SIGSTOP for @stop_ns meanwhile; PEERS: none
 * @early:   the victims are restarted before the others have to go on
 * @again:   and killed a second time, @again_ns into their attachment
 */
struct decision {
	uint32_t victims;
	enum aim aim;
	enum phase phase;
	int64_t delay_ns;
	int64_t nudge_ns;
	unsigned int stopped;
	int64_t stop_ns;
	bool early;
	bool again;
	int64_t again_ns;
};

struct supervisor {
	const struct round *round;
	struct board *board;
	struct krepis_channel *channel;
	struct spy spy;
	pid_t pid[PEERS];
	uint64_t rng;
	uint64_t seed;
	unsigned int kills[2];	/* of producers, of consumers */
	unsigned int starts;
	int64_t worst_ns;
	unsigned int test;
};

static int64_t now_ns(void)
{
	return krepis_deadline_ns(0);
}

static void sleep_ns(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	nanosleep(&ts, NULL);
}

static void spin_ns(int64_t ns)
{
	int64_t until = now_ns() + ns;

	while (now_ns() < until)
		;
}

static unsigned int peers(const struct supervisor *s)
{
	return 1 + s->round->consumers;
}

static void kill_all(struct supervisor *s)
{
	unsigned int i;

	for (i = 0; i < PEERS; i++) {
		if (s->pid[i]) {
			kill(s->pid[i], SIGKILL);
			waitpid(s->pid[i], NULL, 0);
		}
		s->pid[i] = 0;
	}
}

/* Says all that is known, and ends the test. */
static void __attribute__((noreturn, format(printf, 2, 3)))
fail(struct supervisor *s, const char *format, ...)
{
	va_list args;
	unsigned int i;

	printf("not ok %u - %s: ", s->test, s->round->name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n# seed %llu, after %u kills of producers and %u of consumers\n",
	       (unsigned long long)s->seed, s->kills[0], s->kills[1]);
	for (i = 0; i < 1000 && load(&s->board->failed) == 1; i++)
		sleep_ns(1000000);
	if (s->board->failed)
		printf("# %s\n", s->board->why);
	for (i = 0; i < peers(s); i++) {
		struct peer *p = &s->board->peer[i];

		printf("# peer %u: pid %d in %s, progress %llu, messages %llu\n", i, s->pid[i],
		       phase_names[p->phase], (unsigned long long)p->progress,
		       (unsigned long long)p->messages);
	}
	printf("# lives %u, sent in the last %llu of %llu\n", s->board->lives,
	       (unsigned long long)s->board->life[s->board->lives - !!s->board->lives].sent,
	       (unsigned long long)s->board->life[s->board->lives - !!s->board->lives].started);
	spy_dump(&s->spy, stdout);
	fflush(stdout);
	if (getenv("KILL_PAUSE"))	/* for a debugger */
		pause();
	kill_all(s);
	exit(1);
}

static void start(struct supervisor *s, unsigned int i)
{
	uint64_t seed = s->seed + ++s->starts * 0x10001ULL;
	pid_t parent = getpid();

	s->board->peer[i].phase = PHASE_START;
	s->pid[i] = fork();
	if (s->pid[i] < 0)
		fail(s, "fork: %s", strerror(errno));
	if (s->pid[i])
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	peer_main(s->board, i, krepis_channel_fd(s->channel), rng_next(&seed));
}

/* Nobody may end by himself, and nobody may have found something wrong. */
static void check_alive(struct supervisor *s)
{
	unsigned int i;
	int status;

	for (i = 0; i < peers(s); i++) {
		if (!s->pid[i] || !waitpid(s->pid[i], &status, WNOHANG))
			continue;
		s->pid[i] = 0;
		if (WIFSIGNALED(status))
			fail(s, "peer %u was ended by signal %d", i, WTERMSIG(status));
		fail(s, "peer %u ended with status %d", i, WEXITSTATUS(status));
	}
	if (load(&s->board->failed))
		fail(s, "a peer found an error");
}

/* ------------------------------------------------------------------ waiting */

static bool other_side_runs(const struct supervisor *s, unsigned int i)
{
	unsigned int j;

	if (i)
		return s->pid[0];
	for (j = 1; j < peers(s); j++) {
		if (s->pid[j])
			return true;
	}
	return false;
}

/* It moved, or it knows that the other side is gone and waits for it to return. */
static bool settled(const struct supervisor *s, unsigned int i, uint64_t before)
{
	return load(&s->board->peer[i].progress) != before ||
	       (load(&s->board->peer[i].phase) == PHASE_WAIT_PEER && !other_side_runs(s, i));
}

static void watch(struct supervisor *s, const uint64_t *before, int64_t since)
{
	int64_t begin = now_ns(), looked = begin;
	unsigned int i;

	for (i = 0; i < peers(s); i++) {
		bool slow = false;

		while (s->pid[i] && !settled(s, i, before[i])) {
			int64_t now = now_ns();

			if (now - begin > SLOW_NS && !slow) {
				slow = true;
				printf("# %s: slow after kill %u: peer %u in %s\n", s->round->name,
				       s->kills[0] + s->kills[1], i,
				       phase_names[load(&s->board->peer[i].phase)]);
			}

			if (now - begin > WATCHDOG_NS)
				fail(s, "peer %u hangs in %s", i,
				     phase_names[load(&s->board->peer[i].phase)]);
			if (now - looked > 20000000) {
				check_alive(s);
				looked = now;
			}
			sleep_ns(50000);
		}
	}
	check_alive(s);
	if (now_ns() - since > s->worst_ns)
		s->worst_ns = now_ns() - since;
}

static void snapshot(const struct supervisor *s, uint64_t *progress)
{
	unsigned int i;

	for (i = 0; i < PEERS; i++)
		progress[i] = load(&s->board->peer[i].progress);
}

/* ------------------------------------------------------------------- aiming */

static struct krepis_status status_of(const struct supervisor *s)
{
	struct krepis_status status = { .size = sizeof(status) };

	krepis_query(s->channel, &status);
	return status;
}

/*
 * What changes whenever a buffer changes hands. On kmod there is no look from
 * outside, but the counters tell of messages; who publishes may have locked a buffer.
 */
static uint64_t owners(const struct supervisor *s, bool *locked)
{
	struct krepis_status status;
	uint64_t sum = 0;
	unsigned int i;

	if (s->spy.kmod) {
		*locked = load(&s->board->peer[0].phase) == PHASE_PUBLISH;
		status = status_of(s);
		for (i = 0; i < KREPIS_MAX_CONSUMERS; i++)
			sum += status.consumers[i].messages;
		return sum + status.counters.messages;
	}
	*locked = false;
	sum = krepis_read(&s->spy.exchange->word);
	for (i = 0; i < s->spy.geometry.buffer_count; i++) {
		uint64_t word = krepis_read(&s->spy.desc[i].word);

		*locked |= krepis_own_state(word) == KREPIS_LOCKED;
		sum = sum * 31 + word + krepis_read(&s->spy.desc[i].holders);
	}
	return sum;
}

static uint64_t head(const struct supervisor *s)
{
	return s->spy.kmod ? status_of(s).counters.messages : krepis_read(&s->spy.producer->head);
}

static bool somebody_sleeps(const struct supervisor *s, bool producer)
{
	unsigned int i;

	/* In a call that sleeps, perhaps. */
	for (i = !producer; s->spy.kmod && i < (producer ? 1 : peers(s)); i++) {
		enum phase phase = (enum phase)load(&s->board->peer[i].phase);

		if (phase == PHASE_RECV || phase == PHASE_ACQUIRE || phase == PHASE_SEND)
			return true;
	}
	if (s->spy.kmod)
		return false;
	if (producer)
		return krepis_read(&s->spy.producer->waiter.waiting) & 1;
	for (i = 0; i < s->spy.geometry.max_consumers; i++) {
		if (krepis_read(&spy_consumer(&s->spy, i)->waiter.waiting) & 1)
			return true;
	}
	return false;
}

/* Busy waits for the instant, but not for long: it may never come. */
static void aim(struct supervisor *s, const struct decision *d)
{
	unsigned int victim = (unsigned int)__builtin_ctz(d->victims);
	uint64_t begin = head(s), before;
	int64_t until = now_ns() + 3000000;
	bool locked, hit = false;

	if (d->aim == AIM_TIME) {
		sleep_ns(d->delay_ns);
		return;
	}
	before = owners(s, &locked);
	while (!hit && now_ns() < until) {
		bool changed = owners(s, &locked) != before;

		hit = (d->aim == AIM_PHASE && load(&s->board->peer[victim].phase) == d->phase) ||
		      (d->aim == AIM_LOCKED && locked) || (d->aim == AIM_OWNER && changed) ||
		      (d->aim == AIM_HEAD && head(s) != begin) ||
		      (d->aim == AIM_SLEEP && somebody_sleeps(s, !victim));
	}
	spin_ns(d->nudge_ns);
}

/* Always the same number of draws, so that one decision does not shift the next. */
static struct decision decide(struct supervisor *s)
{
	uint64_t who = rng_below(&s->rng, 100), n = s->round->consumers;
	uint32_t one = 1U << (1 + rng_below(&s->rng, n)), two = 1U << rng_below(&s->rng, n + 1);
	struct decision d = {
		.victims = who < 40 ? 1 : who < 85 ? one : one | two,
		.aim = (enum aim)rng_below(&s->rng, AIMS),
		.phase = (enum phase)(PHASE_ATTACH + rng_below(&s->rng, PHASES - PHASE_ATTACH)),
		.delay_ns = (int64_t)rng_below(&s->rng, 4000000),
	};
	static const int64_t scale[] = { 1, 500, 5000, 50000 };

	d.nudge_ns = (int64_t)rng_below(&s->rng, (uint64_t)scale[rng_below(&s->rng, 4)]);
	d.stopped = (unsigned int)rng_below(&s->rng, 8 * (n + 1));
	if (d.stopped > n)
		d.stopped = PEERS;
	d.stop_ns = (int64_t)rng_below(&s->rng, 10000000);
	d.early = rng_below(&s->rng, 2);
	d.again = !rng_below(&s->rng, 4);
	d.again_ns = (int64_t)rng_below(&s->rng, 800000);
	return d;
}

static void execute(struct supervisor *s, uint32_t victims)
{
	uint32_t rest;

	for (rest = victims; rest; rest &= rest - 1)
		kill(s->pid[__builtin_ctz(rest)], SIGKILL);
	for (rest = victims; rest; rest &= rest - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(rest);
		int status;

		waitpid(s->pid[i], &status, 0);
		s->pid[i] = 0;
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			fail(s, "peer %u was dead already, status %#x", i, status);
		s->kills[i > 0]++;
	}
}

static void restart(struct supervisor *s, uint32_t victims)
{
	uint32_t rest;

	for (rest = victims; rest; rest &= rest - 1)
		start(s, (unsigned int)__builtin_ctz(rest));
}

/* Kills the first of @victims once more, while it attaches. */
static void execute_again(struct supervisor *s, const struct decision *d)
{
	unsigned int i = (unsigned int)__builtin_ctz(d->victims);
	int64_t until = now_ns() + 20000000;

	while (load(&s->board->peer[i].phase) != PHASE_ATTACH && now_ns() < until)
		;
	spin_ns(d->again_ns);
	execute(s, 1U << i);
	restart(s, 1U << i);
}

static void step(struct supervisor *s)
{
	struct decision d = decide(s);
	uint64_t before[PEERS];
	int64_t since;

	if (d.stopped < PEERS)
		kill(s->pid[d.stopped], SIGSTOP);
	aim(s, &d);
	since = now_ns();
	execute(s, d.victims);
	if (d.stopped < PEERS) {
		sleep_ns(d.stop_ns);
		if (s->pid[d.stopped])
			kill(s->pid[d.stopped], SIGCONT);
		since = now_ns();
	}
	snapshot(s, before);
	if (!d.early)
		watch(s, before, since);
	restart(s, d.victims);
	if (d.again)
		execute_again(s, &d);
	if (d.early)
		watch(s, before, since);
}

/* ------------------------------------------------------------------- rounds */

static void wait_end(struct supervisor *s, unsigned int i)
{
	int64_t until = now_ns() + WATCHDOG_NS;
	int status;

	while (!waitpid(s->pid[i], &status, WNOHANG)) {
		if (now_ns() > until)
			fail(s, "peer %u does not stop", i);
		sleep_ns(200000);
	}
	s->pid[i] = 0;
	if (status)
		fail(s, "peer %u ended with status %#x", i, status);
}

/* First the producer, then the consumers, when they have read what there is. */
static void stop(struct supervisor *s)
{
	unsigned int i;

	store(&s->board->stop, 1);
	kill(s->pid[0], SIGUSR1);
	wait_end(s, 0);
	store(&s->board->stop, 2);
	for (i = 1; i < peers(s); i++)
		kill(s->pid[i], SIGUSR1);
	for (i = 1; i < peers(s); i++)
		wait_end(s, i);
}

static void must(struct supervisor *s, int err, const char *what)
{
	if (err)
		fail(s, "afterwards %s: %d (%s)", what, err, krepis_strerror(err));
}

static void try_triple(struct supervisor *s, struct krepis_endpoint *p, struct krepis_endpoint *c)
{
	struct krepis_msg msg;
	void *data;

	must(s, krepis_triple_begin(p, &data), "begin");
	memcpy(data, "value", 6);
	must(s, krepis_triple_commit(p, 9, 6), "commit");
	must(s, krepis_triple_read(c, &msg), "read");
	must(s, msg.len != 6 || memcmp(msg.data, "value", 6), "compare");
}

static void try_ring(struct supervisor *s, struct krepis_endpoint *p, struct krepis_endpoint *c)
{
	struct krepis_buffer *buffers[BUFFERS];
	struct krepis_msg msg;
	unsigned int i;

	for (i = 0; i < BUFFERS; i++)
		must(s, krepis_acquire(p, &buffers[i], KREPIS_NOWAIT), "acquire of every buffer");
	for (i = 1; i < BUFFERS; i++)
		must(s, krepis_abandon(p, buffers[i]), "abandon");
	must(s, krepis_send(p, 7, "inline", 7, KREPIS_NOWAIT), "send");
	memcpy(krepis_buffer_data(buffers[0]), "buffer", 7);
	must(s, krepis_publish(p, buffers[0], 8, 7, 0, KREPIS_NOWAIT), "publish");
	must(s, krepis_recv(c, &msg, KREPIS_NOWAIT), "recv");
	must(s, msg.type != 7 || strcmp(msg.data, "inline"), "compare");
	must(s, krepis_recv(c, &msg, KREPIS_NOWAIT), "recv of a buffer");
	must(s, msg.type != 8 || strcmp(msg.data, "buffer"), "compare of a buffer");
	must(s, krepis_release(c, &msg), "release");
	/* The room of what was read is given back by the next receive. */
	must(s, krepis_recv(c, &msg, KREPIS_NOWAIT) != -EAGAIN, "recv of nothing");
	must(s, krepis_drain(p, KREPIS_NOWAIT), "drain");
}

static void check_clean(struct supervisor *s, const char *when)
{
	const char *why = spy_unclean(&s->spy);

	if (why)
		fail(s, "%s: %s", when, why);
}

/* No buffer has leaked, and new endpoints find a channel that works. */
static void reuse(struct supervisor *s)
{
	struct krepis_endpoint *p, *c;

	must(s, krepis_attach(s->channel, KREPIS_PRODUCER, 0, &p), "attach of a producer");
	must(s, krepis_attach(s->channel, KREPIS_CONSUMER, 0, &c), "attach of a consumer");
	if (s->round->options.kind == KREPIS_TRIPLE)
		try_triple(s, p, c);
	else
		try_ring(s, p, c);
	krepis_detach(p);
	krepis_detach(c);
}

static void report(struct supervisor *s)
{
	struct peer sum = { 0 };
	unsigned int i;

	for (i = 1; i < peers(s); i++) {
		sum.messages += s->board->peer[i].messages;
		sum.bytes += s->board->peer[i].bytes;
		sum.gone += s->board->peer[i].gone;
		sum.lost += s->board->peer[i].lost;
	}
	printf("ok %u - %s: %u producers and %u consumers killed, %llu messages (%llu MB) verified, worst recovery %.1f ms\n",
	       s->test++, s->round->name, s->kills[0], s->kills[1], (unsigned long long)sum.messages,
	       (unsigned long long)(sum.bytes >> 20), (double)s->worst_ns / 1e6);
	printf("# %s: %llu sent in %u lives, peer gone told %llu + %llu times, %llu reported lost\n",
	       s->round->name, (unsigned long long)s->board->peer[0].messages, s->board->lives,
	       (unsigned long long)s->board->peer[0].gone, (unsigned long long)sum.gone,
	       (unsigned long long)sum.lost);
	fflush(stdout);
}

static void run(struct supervisor *s, unsigned int kills, int64_t deadline)
{
	uint64_t before[PEERS];
	unsigned int i;

	s->kills[0] = s->kills[1] = 0;
	s->worst_ns = 0;
	s->board = mmap(NULL, sizeof(*s->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (s->board == MAP_FAILED || create_channel(&s->round->options, &s->channel) ||
	    spy_open(&s->spy, s->channel)) {
		printf("not ok %u - %s: cannot make a channel\n", s->test, s->round->name);
		exit(1);
	}
	for (i = 0; i < peers(s); i++)
		start(s, i);
	while (s->kills[0] + s->kills[1] < kills && now_ns() < deadline)
		step(s);
	snapshot(s, before);
	watch(s, before, now_ns());
	stop(s);
	check_clean(s, "after the stop");
	reuse(s);
	check_clean(s, "after the reuse");
	report(s);
	spy_close(&s->spy);
	krepis_channel_close(s->channel);
	munmap(s->board, sizeof(*s->board));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kills", required_argument, NULL, 'k' },
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ 0 },
	};
	unsigned int kills = 2000, done = 0, i;
	int64_t seconds = 90, begin;
	struct supervisor s = { .seed = 1, .test = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k')
			kills = (unsigned int)strtoul(optarg, NULL, 0);
		else if (c == 's')
			s.seed = strtoull(optarg, NULL, 0);
		else if (c == 't')
			seconds = strtoll(optarg, NULL, 0);
		else
			return 2;
	}
	choose_backend();
	/* Before any fork: a peer must not meet the signal without its handler. */
	signal(SIGUSR1, on_shutdown);
	s.rng = s.seed;
	begin = now_ns();
	printf("1..%zu\n", ROUNDS + 1);
	fflush(stdout);
	for (i = 0; i < ROUNDS; i++) {
		int64_t share = 0;
		unsigned int j;

		for (j = 0; j <= i; j++)
			share += rounds[j].percent;
		s.round = &rounds[i];
		run(&s, kills * rounds[i].percent / 100, begin + seconds * 10000000 * share);
		done += s.kills[0] + s.kills[1];
	}
	printf("%sok %u - %u of %u kills in %.1f s, seed %llu\n", done ? "" : "not ", s.test, done,
	       kills, (double)(now_ns() - begin) / 1e9, (unsigned long long)s.seed);
	return !done;
}
