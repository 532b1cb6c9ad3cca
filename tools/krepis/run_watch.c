// SPDX-License-Identifier: MIT
/*
 * krepis run: beside the command, until it has ended. Signals are passed on, denials are told,
 * and after its time it is stopped.
 */
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <string.h>
#include <unistd.h>
#include "run.h"

#define GRACE_NS	(2 * NSEC_PER_SEC)	/* from SIGTERM to SIGKILL */
#define TELL_NS		(NSEC_PER_SEC / 20)	/* so who was denied ends his own line first */

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };

/* Blocked, as they are read; and what a process in the background would be stopped by. */
static void wanted(sigset_t *set)
{
	unsigned int i;

	sigemptyset(set);
	for (i = 0; i < ARRAY_SIZE(passed_on); i++)
		sigaddset(set, passed_on[i]);
}

/* To be called before the child is there: from now on no signal is missed. */
void run_watch_signals(struct run *r)
{
	sigset_t set;

	wanted(&set);
	sigaddset(&set, SIGTTOU);
	sigprocmask(SIG_BLOCK, &set, &r->mask);
}

static void signal_all(const struct run *r, int signal)
{
	if (r->cgroup[0])
		run_cgroup_signal(r, signal);
	else
		kill(r->group ? -r->pid : r->pid, signal);
}

/*
 * What the terminal sends reaches the whole foreground group, and the command is in ours
 * unless it has its own, which is in the foreground instead.
 */
static void pass_on(const struct run *r, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_code != SI_KERNEL || r->group)
			kill(r->pid, info.ssi_signo);
}

/**
 * struct term - the time it has
 * @next:    when something is to happen, or INT64_MAX
 * @tell:    when denials are to be told, or INT64_MAX
 * @expired: SIGTERM was sent
 */
struct term {
	int64_t next, tell;
	bool expired;
};

static int wait_ms(const struct term *t)
{
	int64_t next = t->tell < t->next ? t->tell : t->next, left = next - tool_now();

	if (next == INT64_MAX)
		return -1;
	return left <= 0 ? 0 : left / 1000000 > 60000 ? 60000 : (int)(left / 1000000) + 1;
}

static void expire(const struct run *r, struct term *t)
{
	if (tool_now() < t->next)
		return;
	if (t->expired) {
		signal_all(r, SIGKILL);
		t->next = INT64_MAX;
		return;
	}
	t->expired = true;
	t->next = tool_now() + GRACE_NS;
	signal_all(r, SIGTERM);
	signal_all(r, SIGCONT);
}

static void read_denials(struct run *r, struct term *t)
{
	if (run_report_read(r) && t->tell == INT64_MAX)
		t->tell = tool_now() + TELL_NS;
}

static void tell(struct run *r, struct term *t)
{
	if (tool_now() < t->tell)
		return;
	run_report_tell(r);
	t->tell = INT64_MAX;
}

/* Those whom the command has left behind have the rest of the time to end, too. */
static void end_group(const struct run *r, const struct term *t)
{
	int64_t until = tool_now() + GRACE_NS;

	if (!t->expired || !r->group || r->cgroup[0])
		return;
	while (!kill(-r->pid, 0) && tool_now() < t->next && tool_now() < until)
		usleep(20000);
	kill(-r->pid, SIGKILL);
}

static void reap(const struct run *r, siginfo_t *info)
{
	while (waitid(P_PID, r->pid, info, WEXITED) < 0 && errno == EINTR)
		;
	if (r->group && tcgetpgrp(0) == r->pid)
		tcsetpgrp(0, getpgrp());
}

static int exit_status(const struct run *r, const siginfo_t *info, bool expired)
{
	if (expired) {
		tool_error("'%s' was stopped, as it was not done after %.10g seconds", r->o->command[0],
			   (double)r->o->timeout_ns / NSEC_PER_SEC);
		return EXIT_TIMED_OUT;
	}
	return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

int run_watch(struct run *r)
{
	struct term t = { .next = INT64_MAX, .tell = INT64_MAX };
	siginfo_t info = { };
	sigset_t set;
	enum { CHILD, SIGNALS, AUDIT };
	struct pollfd fds[3] = { [0 ... 2] = { .fd = -1, .events = POLLIN } };

	if (r->o->timeout_ns >= 0)
		t.next = tool_now() + r->o->timeout_ns;
	wanted(&set);
	fds[CHILD].fd = syscall(SYS_pidfd_open, r->pid, 0);
	fds[SIGNALS].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->audit)
		fds[AUDIT].fd = krepis_audit_fd(r->audit);
	while (fds[CHILD].fd >= 0 && !(fds[CHILD].revents & POLLIN)) {
		if (poll(fds, ARRAY_SIZE(fds), wait_ms(&t)) < 0 && errno != EINTR)
			break;
		if (fds[SIGNALS].revents)
			pass_on(r, fds[SIGNALS].fd);
		if (fds[AUDIT].revents)
			read_denials(r, &t);
		tell(r, &t);
		expire(r, &t);
	}
	reap(r, &info);
	end_group(r, &t);
	close(fds[CHILD].fd);
	close(fds[SIGNALS].fd);
	run_report_read(r);
	return exit_status(r, &info, t.expired);
}
