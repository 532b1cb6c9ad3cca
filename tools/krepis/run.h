/* SPDX-License-Identifier: MIT */
/*
 * krepis run: one run, and the parts that it is made of. What returns an int returns 0,
 * or the exit code after a message, but where it says so.
 */
#ifndef _KREPIS_TOOL_RUN_H
#define _KREPIS_TOOL_RUN_H

#include <signal.h>
#include "sandbox.h"

/* As env(1) has them, for a COMMAND that does not become a program. */
#define EXIT_NOT_EXECUTED	126
#define EXIT_NO_COMMAND		127

#define RUN_GO_ON		(-1)	/* run_options_parse(): no exit code yet */

/**
 * struct run_user - who the command is to be
 * @given:  somebody else
 * @groups: the supplementary ones
 */
struct run_user {
	bool given;
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	int count;
};

/**
 * struct run_options - what was typed
 * @policy:	as it was typed
 * @timeout_ns:	or -1: none
 * @memory_max:	or 0: as much as the caller may, as for @pids_max
 */
struct run_options {
	struct krepis_policy *policy;
	const char *audit;
	const char *learn;
	const char *name;
	const char *directory;
	struct run_user user;
	bool complain;
	bool best_effort;
	bool keep;
	bool quiet;
	int64_t timeout_ns;
	uint64_t memory_max;
	uint64_t pids_max;
	char **command;
};

/**
 * struct run - one of it
 * @policy: what was typed, and what is always granted
 * @path:   the program's
 * @loader: that it names, or empty
 * @domain: or NULL: best effort
 * @audit:  as @domain
 * @report: what is done with what was denied
 * @cgroup: the control group's directory, or empty
 * @procs:  its cgroup.procs, or -1
 * @mask:   the signals that the caller had blocked
 * @group:  the command has a process group of its own
 */
struct run {
	const struct run_options *o;
	struct krepis_policy *policy;
	char path[PATH_SIZE];
	char loader[PATH_SIZE];
	struct krepis_domain *domain;
	struct krepis_audit *audit;
	struct run_report *report;
	char cgroup[PATH_SIZE];
	int procs;
	sigset_t mask;
	bool group;
	pid_t pid;
};

/* ---- run_options.c */
int run_options_parse(int argc, char **argv, struct run_options *o);

/* ---- run_program.c: what COMMAND is, and what it needs to be started at all */
int run_program_find(struct run *r);
int run_program_grant(struct run *r);
int run_program_grant_loader(struct run *r);

/* ---- run_child.c */
int run_child_start(struct run *r);

/* ---- run_watch.c: until it has ended; returns its exit status */
int run_watch(struct run *r);
void run_watch_signals(struct run *r);

/* ---- run_report.c: hints, audit file, what was learned */
int run_report_open(struct run *r);
void run_report_denial(void *report, const struct krepis_denial *denial);
bool run_report_read(struct run *r);		/* whether there is something to tell */
void run_report_tell(struct run *r);
int run_report_close(struct run *r);

/* ---- run_learn.c */
struct run_learn;
struct run_learn *run_learn_create(void);
void run_learn_destroy(struct run_learn *learn);
void run_learn_add(struct run_learn *learn, enum krepis_what what, const char *object);
int run_learn_policy(struct run_learn *learn, const struct krepis_policy *given,
		     struct krepis_policy **out);

/* ---- run_cgroup.c */
int run_cgroup_create(struct run *r);
void run_cgroup_signal(const struct run *r, int signal);
void run_cgroup_remove(struct run *r);

#endif /* _KREPIS_TOOL_RUN_H */
