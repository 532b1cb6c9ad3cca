// SPDX-License-Identifier: MIT
/*
 * Death at every instruction: death_at_every_step [TEXT [K [STRIDE]]]
 *
 * For k = 1, 2, 3, ... a victim is stopped k instructions into one operation and
 * killed. This process has the other side of the channel, awake or asleep, and
 * checks after each death that it was told, that what was published before is
 * whole and in order, that an heir can take the victim's place, that all buffers
 * come back, and that messages flow again. So the states that a death can leave
 * behind are not sampled but enumerated, and a failure can be repeated by its k.
 *
 * Only the thread that does the operation is traced: the library's keeper runs
 * freely, so a handshake with it is one system call like any other. A first run
 * steps through the whole operation and notes where it calls the kernel, so that
 * later ones run from call to call (PTRACE_SYSCALL) and step only from the last
 * one before k. Operations of thousands of instructions take a stride, and besides
 * each instruction that changed the channel, each that called the kernel, and the
 * one before that: nothing else outlives a process.
 *
 * The actors are processes: the victim; this one, the survivor; in some scenes
 * another, which is killed before the first step, so that the victim dies while
 * it cleans up. They proceed from mark to mark:
 *
 *	other		attach	send			killed
 *	victim		attach	send		receive		the operation
 *	survivor			feed		sleep		meanwhile
 */
#include "survivor.h"

/* ------------------------------------------------------------------------- scenes */

static void prepare(void)
{
	/* Only who has seen nobody yet can sleep until somebody comes. */
	if (survivor && comes() && op->sleep) {
		spy_away(&spy);
		krepis_detach(survivor);
		survivor = NULL;
	}
	if (!survivor) {
		survivor = attach(op->survivor);
		if (op->survivor == KREPIS_PRODUCER) {
			life++;
			emitted = 0;
		}
		if (op->witness)
			witness = attach(KREPIS_CONSUMER);
		SUCCEED(spy_look(&spy));
	}
	if ((op->victim == KREPIS_PRODUCER && op->before) || op->other == KREPIS_PRODUCER) {
		life++;
		next = 0;
		board->sent = 0;
	}
	board->err = 0;
	complete = false;
	before = *spy.info;
}

/* One death, @k instructions into the operation; 0: at its end, and the path is noted. */
static void die(unsigned int k)
{
	step = k;
	prepare();
	if (op->other)
		spawn(&other, op->other, true, op->other == KREPIS_PRODUCER ? produce : NULL, NULL);
	spawn(&victim, op->victim, !comes(), op->before, op->operate);
	if (op->other)
		next_mark(&other);
	next_mark(&victim);
	if (op->feed)
		op->feed();
	next_mark(&victim);
	end(&other);
	if (op->sleep)
		fall_asleep();
	if (k)
		advance(k);
	else
		explore();
	died_at = victim_pc();
	if (op->meanwhile)
		op->meanwhile();
	torn = spy.producer->version & 1;
	died_ns = krepis_deadline_ns(0);
	end(&victim);
	deaths++;
	REQUIRE(!complete || !board->err, "the operation: %s", krepis_strerror(board->err));
	if (op->survivor == KREPIS_CONSUMER)
		triple() ? triple_consumer_goes_on() : consumer_goes_on();
	else
		triple() ? triple_producer_goes_on() : producer_goes_on();
	check_settled();
}

static void begin(void)
{
	deaths = 0;
	held_count = 0;
	next = 0;
	witnessed = 0;
	memset(board, 0, sizeof(*board));
	survivor = NULL;
	witness = NULL;
	memset(&spy, 0, sizeof(spy));
	SUCCEED(create_channel(op->options, &channel));
	SUCCEED(spy_open(&spy, channel));
	path.shadow = realloc(path.shadow, spy.layout.ring);
	REQUIRE(path.shadow, "no memory");
}

static void finish(void)
{
	const char *unclean;

	spy_away(&spy);
	krepis_detach(witness);
	krepis_detach(survivor);
	unclean = spy_unclean(&spy);
	REQUIRE(!unclean, "after all have left: %s", unclean);
	spy_close(&spy);
	krepis_channel_close(channel);
}

#define CHANNEL(...)								\
	(&(const struct krepis_channel_options){				\
		.size = sizeof(struct krepis_channel_options), .buffer_size = 4096, __VA_ARGS__ })
#define RING(policy)								\
	CHANNEL(.kind = KREPIS_RING, .backpressure = (policy), .max_consumers = 3,	\
		.ring_size = 4096, .inline_max = 256, .buffer_count = BUFFERS)
#define BLOCK	    RING(KREPIS_BLOCK)
#define OVERWRITE   RING(KREPIS_OVERWRITE)
#define TRIPLE	    CHANNEL(.kind = KREPIS_TRIPLE)
#define OF_PRODUCER KREPIS_PRODUCER, KREPIS_CONSUMER
#define OF_CONSUMER KREPIS_CONSUMER, KREPIS_PRODUCER

static const struct operation nothing = {
	"nothing", "to know what a mark costs", BLOCK, OF_PRODUCER,
	.before = produce, .operate = do_nothing,
};

static const struct operation operations[] = {
	{ "krepis_send", "the consumer asleep in krepis_recv", BLOCK, OF_PRODUCER,
	  .before = before_send, .operate = do_send, .feed = take, .take = 3, .sleep = sleep_recv },
	{ "krepis_send", "others unread and held", BLOCK, OF_PRODUCER,
	  .before = before_send, .operate = do_send, .feed = take, .take = 2 },
	{ "krepis_publish", "the consumer asleep in krepis_recv", BLOCK, OF_PRODUCER,
	  .before = before_publish, .operate = do_publish, .feed = take, .take = 3,
	  .sleep = sleep_recv },
	{ "krepis_publish", "others unread and held", BLOCK, OF_PRODUCER,
	  .before = before_publish, .operate = do_publish, .feed = take, .take = 2 },
	{ "krepis_publish", "the consumer at work", BLOCK, OF_PRODUCER,
	  .before = before_publish, .operate = do_publish, .feed = take, .take = 2,
	  .meanwhile = take_meanwhile },
	{ "a krepis_send that evicts a buffer", "nobody having taken it", OVERWRITE, OF_PRODUCER,
	  .before = before_evict, .operate = do_send },
	{ "a krepis_send that evicts a buffer", "the consumer holding it, asleep", OVERWRITE,
	  OF_PRODUCER, .before = before_evict, .operate = do_send, .feed = take, .take = FULL,
	  .sleep = sleep_recv },
	{ "a krepis_send that evicts a buffer", "the consumer at work", OVERWRITE, OF_PRODUCER,
	  .before = before_evict, .operate = do_send, .meanwhile = take_meanwhile },
	{ "krepis_recv and krepis_release", "the producer asleep in krepis_acquire", BLOCK,
	  OF_CONSUMER, .operate = do_recv, .feed = feed_all, .sleep = sleep_acquire },
	{ "krepis_recv and krepis_release", "the producer asleep in krepis_wait", BLOCK,
	  OF_CONSUMER, .operate = do_recv, .feed = feed_full, .sleep = sleep_wait },
	{ "krepis_recv and krepis_release", "the producer and a consumer at work", BLOCK,
	  OF_CONSUMER, .witness = true, .operate = do_recv, .feed = feed_two,
	  .meanwhile = emit_meanwhile },
	{ "krepis_triple_commit", "the consumer asleep in krepis_wait", TRIPLE, OF_PRODUCER,
	  .before = before_commit, .operate = do_commit, .feed = take_value, .sleep = sleep_wait },
	{ "krepis_triple_commit", "the consumer at work", TRIPLE, OF_PRODUCER,
	  .before = before_commit, .operate = do_commit, .meanwhile = take_value },
	{ "krepis_triple_read", "the producer at work", TRIPLE, OF_CONSUMER,
	  .operate = do_read, .feed = feed_triple, .meanwhile = feed_triple },
	{ "krepis_wait_peer", "a consumer cleaning up after a producer", BLOCK, KREPIS_CONSUMER,
	  KREPIS_CONSUMER, KREPIS_PRODUCER, .operate = do_sweep, .feed = take, .take = 2 },
	{ "krepis_wait_peer", "a producer cleaning up after a consumer", BLOCK, OF_PRODUCER,
	  KREPIS_CONSUMER, .before = produce, .operate = do_sweep, .feed = take, .take = 2 },
	{ "krepis_attach", "the consumer asleep in krepis_recv", BLOCK, OF_PRODUCER,
	  .operate = do_attach, .sleep = sleep_recv },
	{ "krepis_attach", "after a producer that died in krepis_publish", BLOCK, OF_PRODUCER,
	  KREPIS_PRODUCER, .operate = do_attach, .feed = take, .take = 2 },
	{ "krepis_attach", "the producer asleep in krepis_wait_peer", BLOCK, OF_CONSUMER,
	  .operate = do_attach, .sleep = sleep_peer },
	{ "krepis_attach", "after a consumer, the producer at work", BLOCK, OF_CONSUMER,
	  KREPIS_CONSUMER, .operate = do_attach, .feed = feed_two, .meanwhile = emit_meanwhile },
	{ "krepis_attach", "after a producer of a triple", TRIPLE, OF_PRODUCER,
	  KREPIS_PRODUCER, .operate = do_attach, .meanwhile = take_value },
	{ "krepis_attach", "after a consumer of a triple, the producer at work", TRIPLE,
	  OF_CONSUMER, KREPIS_CONSUMER, .operate = do_attach, .feed = feed_triple, .meanwhile = feed_triple },
	{ "krepis_detach", "the consumer asleep in krepis_recv", BLOCK, OF_PRODUCER,
	  .before = before_leave, .operate = do_detach, .feed = take, .take = 3,
	  .sleep = sleep_recv },
	{ "krepis_detach", "the consumer at work", BLOCK, OF_PRODUCER,
	  .before = before_leave, .operate = do_detach, .feed = take, .take = 2,
	  .meanwhile = take_meanwhile },
	{ "krepis_detach", "the producer asleep in krepis_acquire", BLOCK, OF_CONSUMER,
	  .before = before_hold, .operate = do_detach, .feed = feed_all, .sleep = sleep_acquire },
	{ "krepis_detach", "the producer and a consumer at work", BLOCK, OF_CONSUMER,
	  .witness = true, .before = before_hold, .operate = do_detach, .feed = feed_two,
	  .meanwhile = emit_meanwhile },
};

/* All deaths of one operation, or the one at @only. */
static void enumerate(unsigned int only, unsigned int stride, unsigned int overhead)
{
	int64_t start = krepis_deadline_ns(0);
	char every[48] = "every instruction";
	unsigned int k;

	begin();
	die(0);
	if (!stride)
		stride = path.length <= SHORT ? 1 : path.length * path.length / EFFORT | 1;
	if (only)
		die(only);
	for (k = 1; !only && (k < path.length || !complete); k++) {
		if (k >= path.length || !(k % stride) || path.at[k].wanted)
			die(k);
	}
	finish();
	if (stride > 1)
		snprintf(every, sizeof(every), "one in %u instructions", stride);
	printf("ok %u - dying at %s of %s (%u instructions), %s, leaks nothing\n", test, every,
	       op->name, path.length - overhead, op->scene);
	printf("# %u deaths in %.1f s\n", deaths, (double)(krepis_deadline_ns(0) - start) / 1e9);
}

/* On one processor a step is a switch and not a wake-up: several times faster. */
static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	if (cpu >= 0 && cpu < CPU_SETSIZE) {
		CPU_SET(cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";
	unsigned int only_step = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;
	unsigned int stride = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;
	/* Static, so that they survive the jump out of a failure. */
	static unsigned int overhead, failures;

	setvbuf(stdout, NULL, _IOLBF, 0);
	choose_backend();
	stay_here();
	tester = getpid();
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (board == MAP_FAILED)
		return 1;
	op = &nothing;
	test = 1;
	if (setjmp(failed))
		return 1;
	begin();
	die(0);
	finish();
	test = 0;
	overhead = path.length;
	for (op = operations; op < operations + sizeof(operations) / sizeof(*operations); op++) {
		if (!strstr(op->name, only) && !strstr(op->scene, only))
			continue;
		test++;
		if (!setjmp(failed)) {
			enumerate(only_step, stride, overhead);
			continue;
		}
		/* The next one has a channel of its own, but not while a thread uses this. */
		failures++;
		if (sleeping)
			krepis_shutdown(survivor);
		if (sleeping && !wakes_up(krepis_deadline_ns(2 * SECOND)))
			return 1;
	}
	printf("1..%u\n", test);
	return !test || failures;
}
