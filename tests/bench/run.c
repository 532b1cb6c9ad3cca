// SPDX-License-Identifier: MIT
/*
 * One run: the sides are forked, pinned, started together and waited for.
 *
 * The parent sleeps meanwhile; it takes nothing from the two processors.
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "count.h"

#define RUN_TIMEOUT_S	20

/*
 * A run is disturbed if the hypervisor took more than 2 % of the two processors'
 * time, or if a side was switched out against its will more often than twice and
 * once per 5 ms, or if a side stood runnable in a queue for more than 2 % of the
 * time. Who sleeps by itself counts as runnable from the wake-up on, also while an
 * idle processor comes to: that much is allowed for each of its sleeps. The last
 * two do not say anything where threads share a processor by design.
 */
#define STEAL_SHARE	0.02
#define SWITCHES	2
#define SWITCH_EVERY_NS	5000000ULL
#define DELAY_SHARE	0.02
#define DELAY_EACH_NS	25000

/*
 * An emulator that is not let run stands still, and its guest cannot know. But no
 * round trip takes a millisecond by itself: a run that had more than half of its time in
 * such ones is disturbed.
 */
#define STILL_NS	1000000
#define STILL_SHARE	0.5

void *run_shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void run_shared_free(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

struct bench_run *run_create(void)
{
	return run_shared_alloc(sizeof(struct bench_run));
}

void bench_ready(struct bench_run *run, int who)
{
	unsigned int sides = run->what->flags & BENCH_ALONE ? 1 : 2;

	__atomic_fetch_add(&run->ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&run->ready, __ATOMIC_ACQUIRE) < sides)
		sched_yield();
	run->side[who].run_delay_ns = machine_run_delay_ns();
	machine_switches(&run->side[who].sleeps, &run->side[who].ivcsw);
}

void bench_done(struct bench_run *run, int who)
{
	struct bench_side *side = &run->side[who];
	uint64_t own, forced;

	machine_switches(&own, &forced);
	side->sleeps = own - side->sleeps;
	side->ivcsw = forced - side->ivcsw;
	side->run_delay_ns = machine_run_delay_ns() - side->run_delay_ns;
	__atomic_fetch_add(&run->done, 1, __ATOMIC_ACQ_REL);
}

void bench_wait_done(struct bench_run *run)
{
	const struct timespec pause = { .tv_nsec = 100000 };

	while (__atomic_load_n(&run->done, __ATOMIC_ACQUIRE) < 2)
		nanosleep(&pause, NULL);
}

int bench_error(struct bench_run *run, int who, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->side[who].error, sizeof(run->side[who].error), format, args);
	va_end(args);
	return -1;
}

int bench_impossible(struct bench_run *run, int who, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->side[who].error, sizeof(run->side[who].error), format, args);
	va_end(args);
	run->impossible = true;
	return -1;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void arm(unsigned int seconds)
{
	struct sigaction action;

	/* Without SA_RESTART, so that waitpid() returns. */
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	alarm(seconds);
}

static pid_t start_side(struct bench_run *run, int who)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int err;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	machine_pin(machine.cpu[run->what->flags & BENCH_ONE_CPU ? 0 : who]);
	/* Threads that the side makes later are counted, too. */
	err = run->count ? count_open(run, who) : 0;
	if (!err)
		err = run->what->side[who](run);
	_exit(err ? 1 : 0);
}

/* Waits for all; the first that fails, or the alarm, ends the others. */
static bool wait_sides(pid_t *pid, int sides, bool *late)
{
	int left = sides, status, i;
	bool good = true;

	while (left) {
		pid_t gone = waitpid(-1, &status, 0);

		if (gone < 0 && errno != EINTR)
			return false;
		for (i = 0; i < sides; i++) {
			if (gone == pid[i]) {
				pid[i] = 0;
				left--;
				if (!WIFEXITED(status) || WEXITSTATUS(status))
					good = false;
			}
		}
		if (gone >= 0 && good)
			continue;
		if (gone < 0) {
			*late = true;
			good = false;
		}
		for (i = 0; i < sides; i++)
			if (pid[i])
				kill(pid[i], SIGKILL);
	}
	return good;
}

static bool run_sides(struct bench_run *run, char *why, size_t size)
{
	int sides = run->what->flags & BENCH_ALONE ? 1 : 2;
	pid_t pid[2] = { 0, 0 };
	bool late = false, good;
	int i;

	/* What stdio holds would be written once more by a child. */
	fflush(NULL);
	arm(RUN_TIMEOUT_S + run->what->patience_s +
	    (unsigned int)(run->measure_ns / 1000000000ULL));
	for (i = 0; i < sides; i++) {
		pid[i] = start_side(run, i);
		if (pid[i] < 0) {
			snprintf(why, size, "fork: %s", strerror(errno));
			if (i)
				kill(pid[0], SIGKILL);
			wait_sides(pid, i, &late);
			alarm(0);
			return false;
		}
	}
	good = wait_sides(pid, sides, &late);
	alarm(0);
	if (good)
		return true;
	snprintf(why, size, "%s", late ? "did not end in time" : "a process died");
	for (i = sides - 1; i >= 0; i--)
		if (run->side[i].error[0])
			snprintf(why, size, "%s", run->side[i].error);
	return false;
}

static double still_ns(const struct bench_run *run)
{
	double sum = 0;
	uint32_t i;

	for (i = 0; machine.emulated && i < run->sample_count; i++)
		if (clock_to_ns(run->sample[i]) > STILL_NS)
			sum += clock_to_ns(run->sample[i]);
	return sum;
}

static enum bench_verdict judge(const struct bench_run *run, uint64_t steal_ns, char *why,
				size_t size)
{
	int sides = run->what->flags & BENCH_ALONE ? 1 : 2;
	int i;

	if ((double)steal_ns > STEAL_SHARE * 2 * (double)run->wall_ns) {
		snprintf(why, size, "%.0f ms stolen", (double)steal_ns / 1e6);
		return BENCH_DISTURBED;
	}
	if (still_ns(run) > STILL_SHARE * (double)run->measure_ns) {
		snprintf(why, size, "stood still for %.0f ms", still_ns(run) / 1e6);
		return BENCH_DISTURBED;
	}
	if (run->what->flags & (BENCH_ONE_CPU | BENCH_CROWDED))
		return BENCH_CLEAN;
	for (i = 0; i < sides; i++) {
		const struct bench_side *side = &run->side[i];

		if (side->ivcsw > SWITCHES + run->wall_ns / SWITCH_EVERY_NS) {
			snprintf(why, size, "%llu involuntary switches",
				 (unsigned long long)side->ivcsw);
			return BENCH_DISTURBED;
		}
		if ((double)side->run_delay_ns > DELAY_SHARE * (double)run->wall_ns +
		    (double)side->sleeps * DELAY_EACH_NS) {
			snprintf(why, size, "%.1f ms in a run queue",
				 (double)side->run_delay_ns / 1e6);
			return BENCH_DISTURBED;
		}
	}
	return BENCH_CLEAN;
}

enum bench_verdict run_once(struct bench_run *run, const struct bench_case *what,
			    uint64_t warmup_ns, uint64_t measure_ns, bool count, char *why,
			    size_t size)
{
	enum bench_verdict verdict = BENCH_FAILED;
	uint64_t steal;
	unsigned int i;

	/* The samples stay: they are overwritten, and counted by sample_count. */
	memset(run, 0, offsetof(struct bench_run, sample));
	for (i = 0; i < BENCH_METRICS; i++)
		run->value[i] = NAN;
	run->what = what;
	run->warmup_ns = warmup_ns;
	run->measure_ns = measure_ns;
	run->count = count;
	why[0] = '\0';

	if (what->setup && what->setup(run)) {
		snprintf(why, size, "%s", run->side[0].error);
		return BENCH_FAILED;
	}
	steal = machine_steal_ns();
	run->wall_ns = clock_ns();
	if (run_sides(run, why, size)) {
		run->wall_ns = clock_ns() - run->wall_ns;
		verdict = judge(run, machine_steal_ns() - steal, why, size);
	}
	if (what->teardown)
		what->teardown(run);
	return verdict;
}
