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
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "message.h"
#include "spy.h"

#define SECOND	   1000000000LL
#define BUFFERS	   4
#define SMALL	   112		/* bytes, in the ring; 34 such and a handle fill it */
#define LARGE	   1000		/* bytes, in a buffer */
#define FULL	   35		/* messages that before_evict() sends */
#define STEPS_MAX  (1U << 18)	/* more: a loop that steps disturb, as of ll/sc on arm64 */
#define SHORT	   1500		/* up to here every instruction is tried */
#define EFFORT	   400000	/* instructions that the victims of a longer operation execute */

/* The instruction that calls the kernel. Where unknown, all runs step all the way. */
#if defined(__x86_64__)
#define SYSCALL_MASK 0xffffUL
#define SYSCALL_CODE 0x050fUL
#elif defined(__aarch64__)
#define SYSCALL_MASK 0xffffffffUL
#define SYSCALL_CODE 0xd4000001UL
#else
#define SYSCALL_MASK 0UL
#define SYSCALL_CODE 1UL
#endif

/* What the victim dies in, and the scene around it. */
struct operation {
	const char *name;
	const char *scene;
	const struct krepis_channel_options *options;
	enum krepis_role victim;
	enum krepis_role survivor;
	enum krepis_role other;		/* who was killed before; 0: nobody */
	bool witness;			/* the survivor has a consumer, too */
	unsigned int take;		/* messages that it receives before, and holds */
	void (*before)(void);		/* victim: send, or receive */
	void (*operate)(void);		/* victim: the operation */
	void (*feed)(void);		/* survivor: before the operation */
	int (*sleep)(void);		/* survivor: a call that it sleeps in until the death */
	void (*meanwhile)(void);	/* survivor: while the victim stands still, at its k */
};

/* What children tell, and outlives them. */
struct board {
	uint32_t sent;			/* messages that must arrive */
	int err;			/* result of the operation */
	char why[128];			/* why a child could not go on */
};

static const struct operation *op;
static struct board *board;
static struct krepis_channel *channel;
static struct spy spy;
static pid_t tester, victim, other;
static jmp_buf failed;
static unsigned int test, deaths, step;
static unsigned long died_at;
static int64_t died_ns;
static bool complete;			/* the operation had ended before the death */
static bool torn;			/* who died was between two versions of its marks */
static struct krepis_info before;

static struct krepis_endpoint *mine;	/* the victim's */
static struct krepis_buffer *filled;
static struct krepis_msg taken;
static uint8_t small[SMALL] __attribute__((aligned(8)));

static struct krepis_endpoint *survivor, *witness;
static uint32_t life;			/* of the producer whose messages come */
static uint64_t next;			/* message that the survivor reads next */
static uint64_t emitted, witnessed;	/* by the survivor, by the witness */
static struct krepis_msg held[BUFFERS];
static uint64_t held_seq[BUFFERS];
static unsigned int held_count;

static pthread_t thread;		/* the survivor's, for the call that sleeps */
static bool sleeping;
static int slept;
static struct krepis_msg slept_msg;
static struct krepis_buffer *slept_buffer;

/* The first run: when k instructions are done, how many calls, the last of them when. */
static struct {
	unsigned int length;
	uint8_t *shadow;
	struct {
		unsigned int calls, last;
		bool wanted;
	} at[STEPS_MAX];
} path;

/* --------------------------------------------------------------------- failure */

static void end(pid_t *pid)
{
	int status;

	if (*pid) {
		kill(*pid, SIGKILL);
		while (waitpid(*pid, &status, __WALL) == *pid && WIFSTOPPED(status))
			;
	}
	*pid = 0;
}

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	Dl_info where = { .dli_fname = "?" };
	va_list args;

	va_start(args, format);
	if (getpid() != tester) {
		vsnprintf(board->why, sizeof(board->why), format, args);
		_exit(1);
	}
	printf("not ok %u - dying at instruction %u of %s, %s: ", test, step, op->name, op->scene);
	vprintf(format, args);
	va_end(args);
	dladdr((void *)died_at, &where);
	printf("\n# at %s+%#lx, after %u deaths; the operation had %sended with %d\n",
	       where.dli_fname, died_at - (unsigned long)where.dli_fbase, deaths,
	       complete ? "" : "not ", board->err);
	printf("# life %u: sent %u, next %llu, held %u; emitted %llu\n", life, board->sent,
	       (unsigned long long)next, held_count, (unsigned long long)emitted);
	if (spy.base)
		spy_dump(&spy, stdout);
	fflush(stdout);
	end(&victim);
	end(&other);
	longjmp(failed, 1);
}

#define REQUIRE(condition, ...)			\
	do {					\
		if (!(condition))		\
			fail(__VA_ARGS__);	\
	} while (0)

#define SUCCEED(call)							\
	do {								\
		int err_ = (call);					\
									\
		REQUIRE(!err_, "%s: %s", #call, krepis_strerror(err_));	\
	} while (0)

/* --------------------------------------------------------------------- tracing */

/* Here the tracer takes over. To this thread alone: the keeper must not stop. */
static void mark(void)
{
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
}

enum stop { STEPPED, CALLED, MARKED };

static enum stop stopped(pid_t *pid)
{
	int status, sig;

	REQUIRE(waitpid(*pid, &status, __WALL) == *pid, "waitpid: %s", strerror(errno));
	if (!WIFSTOPPED(status)) {
		*pid = 0;
		fail("a child ended by itself, status %#x %s", status, board->why);
	}
	sig = WSTOPSIG(status);
	REQUIRE(sig == SIGSTOP || (sig & 0x7f) == SIGTRAP, "a child got signal %d", sig);
	return sig == SIGSTOP ? MARKED : sig & 0x80 ? CALLED : STEPPED;
}

static enum stop resume(pid_t *pid, int request)
{
	REQUIRE(!ptrace(request, *pid, NULL, NULL), "ptrace(%#x): %s", request, strerror(errno));
	return stopped(pid);
}

static void next_mark(pid_t *pid)
{
	REQUIRE(resume(pid, PTRACE_CONT) == MARKED, "a child stopped without a mark");
}

static unsigned long victim_pc(void)
{
	struct __ptrace_syscall_info info = { 0 };

	ptrace(PTRACE_GET_SYSCALL_INFO, victim, (void *)sizeof(info), &info);
	return info.instruction_pointer;
}

/* Steps through the whole operation, and notes what is worth a death of its own. */
static void explore(void)
{
	size_t size = spy.layout.ring;
	unsigned int n;

	memset(path.at, 0, sizeof(path.at));
	memcpy(path.shadow, spy.base, size);
	for (n = 1; n < STEPS_MAX; n++) {
		unsigned long code =
			(unsigned long)ptrace(PTRACE_PEEKTEXT, victim, victim_pc(), NULL);

		complete = resume(&victim, PTRACE_SINGLESTEP) == MARKED;
		path.length = n;
		if (complete)
			return;
		path.at[n] = path.at[n - 1];
		path.at[n].wanted = false;
		if ((code & SYSCALL_MASK) == SYSCALL_CODE) {
			path.at[n].calls++;
			path.at[n].last = n;
			path.at[n].wanted = path.at[n - 1].wanted = true;
		}
		if (memcmp(path.shadow, spy.base, size)) {
			memcpy(path.shadow, spy.base, size);
			path.at[n].wanted = true;
		}
	}
	fail("the operation does not end");
}

/* Lets the victim execute @k instructions, or all of the operation. */
static void advance(unsigned int k)
{
	unsigned int from = k < path.length ? k : path.length - 1, i;

	for (i = 0; i < 2 * path.at[from].calls && !complete; i++)
		complete = resume(&victim, PTRACE_SYSCALL) == MARKED;
	for (i = path.at[from].last; i < k && !complete; i++)
		complete = resume(&victim, PTRACE_SINGLESTEP) == MARKED;
}

/* ------------------------------------------------------------ children and survivor */

static int send_small(struct krepis_endpoint *ep, uint64_t seq)
{
	message_fill(small, life, seq, SMALL);
	return krepis_send(ep, 1, small, SMALL, KREPIS_NOWAIT);
}

static int send_large(struct krepis_endpoint *ep, uint64_t seq)
{
	struct krepis_buffer *buffer;
	int err = krepis_acquire(ep, &buffer, KREPIS_NOWAIT);

	if (err)
		return err;
	message_fill(krepis_buffer_data(buffer), life, seq, LARGE);
	err = krepis_publish(ep, buffer, 1, LARGE, 0, KREPIS_NOWAIT);
	if (err)
		krepis_abandon(ep, buffer);
	return err;
}

static int send_triple(struct krepis_endpoint *ep, uint64_t seq)
{
	void *data;
	int err = krepis_triple_begin(ep, &data);

	if (err)
		return err;
	message_fill(data, life, seq, LARGE);
	return krepis_triple_commit(ep, 1, LARGE);
}

static bool triple(void)
{
	return op->options->kind == KREPIS_TRIPLE;
}

/* -------------------------------------------------------------------- the children */

static void produce(void)
{
	SUCCEED(triple() ? send_triple(mine, 0) : send_small(mine, 0));
	board->sent = 1;
	if (triple())
		return;
	SUCCEED(send_large(mine, 1));
	SUCCEED(send_large(mine, 2));
	board->sent = 3;
}

static void __attribute__((noreturn))
play(enum krepis_role role, bool attached, void (*act)(void), void (*operate)(void))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		fail("ptrace is forbidden: %s", strerror(errno));
	if (attached)
		SUCCEED(krepis_attach(channel, role, KREPIS_ATTACH_NO_SPIN, &mine));
	mark();
	if (act && role == KREPIS_PRODUCER)
		act();
	mark();
	if (act && role == KREPIS_CONSUMER)
		act();
	mark();
	operate();
	mark();
	_exit(0);
}

static void spawn(pid_t *pid, enum krepis_role role, bool attached, void (*act)(void),
		  void (*operate)(void))
{
	void *options = (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	pid_t child = fork();

	REQUIRE(child >= 0, "fork: %s", strerror(errno));
	if (!child)
		play(role, attached, act, operate);
	*pid = child;
	stopped(pid);
	REQUIRE(!ptrace(PTRACE_SETOPTIONS, child, NULL, options), "ptrace: %s", strerror(errno));
}

static void do_nothing(void)
{
}

static void before_send(void)
{
	produce();
	message_fill(small, life, board->sent, SMALL);
}

static void do_send(void)
{
	board->err = krepis_send(mine, 1, small, SMALL, KREPIS_NOWAIT);
}

static void before_publish(void)
{
	produce();
	SUCCEED(krepis_acquire(mine, &filled, KREPIS_NOWAIT));
	message_fill(krepis_buffer_data(filled), life, board->sent, LARGE);
}

static void do_publish(void)
{
	board->err = krepis_publish(mine, filled, 1, LARGE, KREPIS_MSG_CRC32C, KREPIS_NOWAIT);
}

/* Fills the ring to the last byte; its oldest record names a buffer. */
static void before_evict(void)
{
	SUCCEED(send_large(mine, 0));
	for (board->sent = 1; board->sent < FULL; board->sent++)
		SUCCEED(send_small(mine, board->sent));
	message_fill(small, life, FULL, SMALL);
}

static void do_attach(void)
{
	board->err = krepis_attach(channel, op->victim, KREPIS_ATTACH_NO_SPIN, &mine);
}

/* One message is committed and not flushed: detaching makes it visible. */
static void before_leave(void)
{
	void *data;

	produce();
	SUCCEED(krepis_send_begin(mine, SMALL, &data, KREPIS_NOWAIT));
	message_fill(data, life, board->sent, SMALL);
	SUCCEED(krepis_send_commit(mine, 1, SMALL));
}

static void before_hold(void)
{
	SUCCEED(krepis_recv(mine, &taken, KREPIS_NOWAIT));
}

static void do_detach(void)
{
	krepis_detach(mine);
}

static void do_recv(void)
{
	board->err = krepis_recv(mine, &taken, KREPIS_NOWAIT);
	if (!board->err)
		board->err = krepis_release(mine, &taken);
}

/* Looks who is there, finds one who died, and cleans up. */
static void do_sweep(void)
{
	krepis_wait_peer(mine, 1, KREPIS_NOWAIT);
}

static void before_commit(void)
{
	void *data;

	produce();
	SUCCEED(krepis_triple_begin(mine, &data));
	message_fill(data, life, board->sent, LARGE);
}

static void do_commit(void)
{
	board->err = krepis_triple_commit(mine, 1, LARGE);
}

static void do_read(void)
{
	board->err = krepis_triple_read(mine, &taken);
}

/* ------------------------------------------------------- the survivor before a death */

static bool comes(void)
{
	return op->operate == do_attach;
}

static bool leaves(void)
{
	return op->operate == do_detach;
}

/* Whether the operation makes one more message visible. */
static bool sends(void)
{
	return op->victim == KREPIS_PRODUCER && op->before && op->before != produce;
}

static void check_message(const struct krepis_msg *msg, uint64_t seq)
{
	struct stamp stamp;
	char why[128];

	REQUIRE(!message_check(msg->data, msg->len, &stamp, why, sizeof(why)), "%s", why);
	REQUIRE(stamp.incarnation == life && stamp.seq == seq,
		"message %llu of life %u instead of %llu of %u", (unsigned long long)stamp.seq,
		stamp.incarnation, (unsigned long long)seq, life);
}

/* A result of krepis_recv(). Return: false if the producer has gone. */
static bool received(int err, const struct krepis_msg *msg)
{
	uint64_t seq;

	if (err == -KREPIS_PEER_GONE)
		return false;
	if (err == -KREPIS_ELAPPED && op->options->backpressure == KREPIS_OVERWRITE) {
		next += msg->lost;
		return true;
	}
	REQUIRE(!err, "krepis_recv: %s", krepis_strerror(err));
	seq = ((const struct stamp *)msg->data)->seq;
	/* Who dies between two versions leaves a count that is one move old: two records. */
	if (torn && seq > next && seq <= next + 2)
		next = seq;
	check_message(msg, next);
	if (msg->buffer) {
		REQUIRE(held_count < BUFFERS, "more messages in buffers than buffers");
		held[held_count] = *msg;
		held_seq[held_count++] = next;
	}
	next++;
	return true;
}

static void release_held(void)
{
	while (held_count)
		SUCCEED(krepis_release(survivor, &held[--held_count]));
}

static void take(void)
{
	struct krepis_msg msg;
	unsigned int i;

	for (i = 0; i < op->take; i++)
		REQUIRE(received(krepis_recv(survivor, &msg, KREPIS_NOWAIT), &msg), "gone early");
	/* As if the other were in krepis_publish() when it is killed. */
	for (i = 0; op->other == KREPIS_PRODUCER && i < BUFFERS; i++) {
		if (!krepis_own_lock(&spy.desc[i], spy.desc[i].generation))
			return;
	}
	REQUIRE(op->other != KREPIS_PRODUCER, "no buffer is free");
}

static void take_meanwhile(void)
{
	struct krepis_msg msg;
	unsigned int i;
	int err;

	release_held();
	for (i = 0; i < 2; i++) {
		err = krepis_recv(survivor, &msg, KREPIS_NOWAIT);
		if (err != -EAGAIN)
			received(err, &msg);
	}
}

static int emit(bool large)
{
	int err = large ? send_large(survivor, emitted) : send_small(survivor, emitted);

	emitted += !err;
	return err;
}

static void feed_two(void)
{
	SUCCEED(emit(true));
	SUCCEED(emit(true));
}

static void feed_all(void)
{
	feed_two();
	feed_two();
}

static void feed_full(void)
{
	int err = emit(true);

	while (!err)
		err = emit(false);
	REQUIRE(err == -EAGAIN, "the ring is not full: %s", krepis_strerror(err));
}

static void emit_meanwhile(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < 2; i++) {
		err = emit(i);
		REQUIRE(!err || err == -KREPIS_PEER_GONE || err == -ENOTCONN,
			"sending meanwhile: %s", krepis_strerror(err));
	}
}

static void feed_triple(void)
{
	SUCCEED(send_triple(survivor, emitted++));
}

/* The survivor's view: value @next, or a later one up to what the victim was sending. */
static struct krepis_msg read_value(void)
{
	struct krepis_msg msg;
	uint64_t seq;

	SUCCEED(krepis_triple_read(survivor, &msg));
	seq = ((const struct stamp *)msg.data)->seq;
	if (seq > next && seq < board->sent + sends())
		next = seq;
	check_message(&msg, next);
	return msg;
}

static void take_value(void)
{
	read_value();
}

static int sleep_recv(void)
{
	return krepis_recv(survivor, &slept_msg, KREPIS_FOREVER);
}

static int sleep_acquire(void)
{
	return krepis_acquire(survivor, &slept_buffer, KREPIS_FOREVER);
}

static int sleep_wait(void)
{
	return krepis_wait(survivor, KREPIS_FOREVER);
}

static int sleep_peer(void)
{
	return krepis_wait_peer(survivor, 1, KREPIS_FOREVER);
}

static void *sleeper(void *arg)
{
	slept = op->sleep();
	return arg;
}

/* In a scene with a sleeper, a consumer that survives is the first. */
static void fall_asleep(void)
{
	const __u64 *waits = op->survivor == KREPIS_PRODUCER ?
		&spy.producer->counters.waits : &spy_consumer(&spy, 0)->counters.waits;
	__u64 awake = krepis_read(waits);
	int64_t limit = krepis_deadline_ms(2000);

	REQUIRE(!pthread_create(&thread, NULL, sleeper, NULL), "pthread_create");
	sleeping = true;
	while (krepis_read(waits) == awake) {
		REQUIRE(krepis_deadline_ns(0) < limit, "the survivor does not fall asleep");
		sched_yield();
	}
	/* It has counted, and looked at all words: give it the time to enter the kernel. */
	sched_yield();
}

static bool wakes_up(int64_t limit)
{
	struct timespec ts = { .tv_sec = limit / SECOND, .tv_nsec = limit % SECOND };

	sleeping = pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &ts);
	return !sleeping;
}

/* What the sleeper's call returned, within two seconds after @since_ns. */
static int awaken(int64_t since_ns)
{
	REQUIRE(wakes_up(since_ns + 2 * SECOND), "the survivor still sleeps");
	return slept;
}

/* -------------------------------------------------------- the survivor after a death */

static struct krepis_endpoint *attach(enum krepis_role role)
{
	struct krepis_endpoint *ep;
	int64_t begin = krepis_deadline_ns(0);

	SUCCEED(krepis_attach(channel, role, KREPIS_ATTACH_NO_SPIN, &ep));
	REQUIRE(krepis_deadline_ns(0) - begin < SECOND, "krepis_attach takes over a second");
	return ep;
}

/* All buffers of @ep but those that the survivor holds; scribbles into them. */
static unsigned int acquire_all(struct krepis_endpoint *ep, struct krepis_buffer *buffers[])
{
	unsigned int n = 0;

	while (n + held_count < BUFFERS && !krepis_acquire(ep, &buffers[n], KREPIS_NOWAIT))
		memset(krepis_buffer_data(buffers[n++]), 0xa5, LARGE);
	REQUIRE(n + held_count == BUFFERS, "%u buffers can be acquired, %u are held", n,
		held_count);
	return n;
}

static void abandon_all(struct krepis_endpoint *ep)
{
	struct krepis_buffer *buffers[BUFFERS];
	unsigned int n = acquire_all(ep, buffers);

	while (n)
		SUCCEED(krepis_abandon(ep, buffers[--n]));
}

/* A message in each buffer, and a small one, from number @seq on. */
static void send_all(struct krepis_endpoint *ep, uint64_t seq)
{
	struct krepis_buffer *buffers[BUFFERS];
	unsigned int n = acquire_all(ep, buffers);

	while (n--) {
		message_fill(krepis_buffer_data(buffers[n]), life, seq++, LARGE);
		SUCCEED(krepis_publish(ep, buffers[n], 1, LARGE, 0, krepis_deadline_ms(1000)));
	}
	SUCCEED(send_small(ep, seq));
}

static void read_all(struct krepis_endpoint *ep, uint64_t *seq, uint64_t last)
{
	struct krepis_msg msg;

	while (*seq < last) {
		SUCCEED(krepis_recv(ep, &msg, krepis_deadline_ms(1000)));
		check_message(&msg, (*seq)++);
		SUCCEED(krepis_release(ep, &msg));
	}
}

static void read_until_gone(int64_t since_ns)
{
	struct krepis_msg msg;

	while (received(krepis_recv(survivor, &msg, since_ns + 2 * SECOND), &msg))
		;
}

static void consumer_goes_on(void)
{
	bool came = !comes() || spy.info->producers != before.producers;
	struct krepis_endpoint *heir;
	unsigned int i;

	/* Who has seen nobody goes on waiting, and gets what the heir sends. */
	if (sleeping && came)
		received(awaken(died_ns), &slept_msg);
	if (!sleeping)
		read_until_gone(died_ns);
	REQUIRE(next >= board->sent + (complete && sends()), "messages were lost");

	/* What is held is not given out, and stays as it is. */
	heir = attach(KREPIS_PRODUCER);
	abandon_all(heir);
	for (i = 0; i < held_count; i++)
		check_message(&held[i], held_seq[i]);
	release_held();

	life++;
	next = 0;
	torn = false;
	send_all(heir, 0);
	if (sleeping)
		received(awaken(krepis_deadline_ns(0)), &slept_msg);
	release_held();
	read_all(survivor, &next, BUFFERS + 1);
	SUCCEED(krepis_drain(heir, krepis_deadline_ms(1000)));
	krepis_detach(heir);
	read_until_gone(krepis_deadline_ns(0));
	board->sent = (uint32_t)next;
}

/* The survivor sends, until it is told that nobody is there. */
static void send_until_gone(void)
{
	bool came = !comes() || spy.info->consumers != before.consumers;
	int err;

	do {
		err = emit(false);
	} while (!err && !witness && krepis_deadline_ns(0) < died_ns + 2 * SECOND);
	REQUIRE(witness ? !err : err == -KREPIS_PEER_GONE || (!came && err == -ENOTCONN),
		"krepis_send after the death: %s", krepis_strerror(err));
}

static void producer_goes_on(void)
{
	struct krepis_endpoint *heir;
	uint64_t seq;
	int err;

	if (op->sleep == sleep_acquire) {
		SUCCEED(awaken(died_ns));
		SUCCEED(krepis_abandon(survivor, slept_buffer));
	} else if (op->sleep == sleep_wait) {
		err = awaken(died_ns);
		REQUIRE(!err || err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	}
	if (!sleeping) {
		send_until_gone();
		if (witness)
			read_all(witness, &witnessed, emitted);
		abandon_all(survivor);
	}

	heir = attach(KREPIS_CONSUMER);
	/* Who waits for a consumer has got none before, or none that lived on. */
	if (sleeping)
		SUCCEED(awaken(krepis_deadline_ns(0)));
	seq = emitted;
	emitted += BUFFERS + 1;
	send_all(survivor, seq);
	read_all(heir, &seq, emitted);
	if (witness)
		read_all(witness, &witnessed, emitted);
	SUCCEED(krepis_drain(survivor, krepis_deadline_ms(1000)));
	abandon_all(survivor);
	krepis_detach(heir);
}

/* @to has seen message @seen: it stays as it is while others come, and then the last comes. */
static void send_values(struct krepis_endpoint *from, struct krepis_endpoint *to,
			struct krepis_msg msg, uint64_t seq)
{
	struct stamp seen, stamp;
	char why[128];
	unsigned int i;

	memcpy(&seen, msg.data, sizeof(seen));
	for (i = 0; i < 3; i++) {
		SUCCEED(send_triple(from, seq + i));
		REQUIRE(!message_check(msg.data, msg.len, &stamp, why, sizeof(why)) &&
			!memcmp(&seen, &stamp, sizeof(seen)), "a value changed while it was read");
	}
	SUCCEED(krepis_triple_read(to, &msg));
	check_message(&msg, seq + 2);
}

static void triple_consumer_goes_on(void)
{
	struct krepis_endpoint *heir;
	struct krepis_msg msg;
	int err;

	if (sleeping) {
		err = awaken(died_ns);
		REQUIRE(!err || err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	}
	msg = read_value();
	REQUIRE(next + 1 >= board->sent + (complete && sends()), "the last value was lost");
	err = krepis_wait(survivor, died_ns + 2 * SECOND);
	REQUIRE(err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	heir = attach(KREPIS_PRODUCER);
	life++;
	send_values(heir, survivor, msg, 0);
	krepis_detach(heir);
}

static void triple_producer_goes_on(void)
{
	struct krepis_endpoint *heir;
	struct krepis_msg msg;
	int err;

	feed_triple();
	err = krepis_wait(survivor, died_ns + 2 * SECOND);
	REQUIRE(err == -KREPIS_PEER_GONE, "krepis_wait: %s", krepis_strerror(err));
	heir = attach(KREPIS_CONSUMER);
	SUCCEED(krepis_triple_read(heir, &msg));
	check_message(&msg, emitted - 1);
	send_values(survivor, heir, msg, emitted);
	emitted += 3;
	krepis_detach(heir);
}

/* Each death was counted, once if who counts lives on; nothing of the dead is left. */
static void check_settled(void)
{
	uint32_t least = comes() ? complete : !leaves(), most = !(complete && leaves());
	uint32_t count = spy.info->deaths - before.deaths;
	unsigned int i;

	REQUIRE(count >= least + !!op->other && count <= most + 2 * !!op->other,
		"%u deaths were counted", count);
	REQUIRE(spy.info->live == before.live, "the live mask is not %#x", before.live);
	for (i = 0; i < spy.geometry.max_consumers; i++) {
		REQUIRE(op->survivor == KREPIS_PRODUCER || !spy.producer->link[i].word,
			"the dead producer's link %u is left", i);
		REQUIRE(before.live & 1U << i || !spy_consumer(&spy, i)->link.word,
			"a dead consumer's link %u is left", i);
	}
	for (i = 0; !triple() && i < BUFFERS; i++)
		REQUIRE(!spy.desc[i].state, "buffer %u leaked", i);
}

/* ------------------------------------------------------------------------- scenes */

static void prepare(void)
{
	/* Only who has seen nobody yet can sleep until somebody comes. */
	if (survivor && comes() && op->sleep) {
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
	SUCCEED(krepis_channel_create(NULL, op->options, &channel));
	SUCCEED(spy_open(&spy, channel));
	path.shadow = realloc(path.shadow, spy.layout.ring);
	REQUIRE(path.shadow, "no memory");
}

static void finish(void)
{
	const char *unclean;

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
		if (sleeping && !wakes_up(krepis_deadline_ms(2000)))
			return 1;
	}
	printf("1..%u\n", test);
	return !test || failures;
}
