/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction: what the actors know, how a failure is told, and how
 * the victim is stepped.
 */
#ifndef _STRESS_STEP_H
#define _STRESS_STEP_H

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

#define SECOND	   (1000000000LL * slowness())
#define BUFFERS	   4
#define SMALL	   112		/* bytes, in the ring; 34 such and a handle fill it */
#define LARGE	   1000		/* bytes, in a buffer */
#define FULL	   35		/* messages that before_evict() sends */
#define STEPS_MAX  (1U << 18)	/* more: a loop that steps disturb, as of ll/sc on arm64 */
#define SHORT	   (slowness() > 1 ? 50 : 1500) /* up to here every instruction is tried */
#define EFFORT	   (slowness() > 1 ? 15000 : 400000) /* instructions that victims of a longer one do */

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

#endif /* _STRESS_STEP_H */
