// SPDX-License-Identifier: MIT
/*
 * What the sandbox costs: opening a file and connecting, for who is in no domain, for who is
 * in one, and for who is under Landlock with the same rule; and starting a program, beside
 * bwrap(1).
 *
 *	krepis-bench-sandbox [--rounds N] [--calls N] [--json FILE] KREPIS
 *
 * Each way has a process of its own; they take turns, round by round, so that a machine that
 * slows down slows down all of them. Printed are medians over the rounds, and ratios within
 * one run. It wants root, a BPF security module and tmpfs on /tmp.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <krepis/sandbox.h>

#define BASE		"/tmp/krepis-bench"
#define ROUNDS_MAX	200
#define PORT		47011
#define TURNS		7	/* for each of loaded and not, a round */

enum way { NOTHING, OUTSIDE, INSIDE, LANDLOCK, WAYS };

static const char * const way_names[] = {
	"not loaded", "loaded, in no domain", "in a domain", "under Landlock",
};

/*
 * What is measured: opening at a depth; connecting; and connect() of who is connected, which
 * is refused when it was found to be allowed: the check and little else.
 */
#define CONNECT	0
#define CHECK	(-1)
static const int depths[] = { 2, 8, 16, CONNECT, CHECK };
#define JOBS (sizeof(depths) / sizeof(depths[0]))

static unsigned int rounds = 24, calls = 2000;
static double ns[WAYS][JOBS][ROUNDS_MAX];

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "krepis-bench-sandbox: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *values, unsigned int count)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[count / 2];
}

/* ------------------------------------------------------------------------- the jobs */

static void path_at(int depth, char *path)
{
	strcpy(path, BASE);
	/* /tmp and BASE are two. */
	for (int i = 2; i < depth; i++)
		strcat(path, "/d");
	strcat(path, "/file");
}

static void make_files(void)
{
	char path[256];

	mkdir(BASE, 0755);
	for (size_t i = 0; i < JOBS; i++) {
		int fd;

		if (depths[i] <= CONNECT)
			continue;
		path_at(depths[i], path);
		for (char *p = path + sizeof(BASE); (p = strchr(p, '/')); p++) {
			*p = 0;
			mkdir(path, 0755);
			*p = '/';
		}
		fd = open(path, O_CREAT | O_WRONLY, 0644);
		if (fd < 0)
			die(path);
		close(fd);
	}
}

static struct sockaddr_in here = { .sin_family = AF_INET };
static int listener;

static void start_listening(void)
{
	int one = 1;

	here.sin_port = htons(PORT);
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&here, sizeof(here)) || listen(listener, 64))
		die("listen");
}

struct connection {
	int ours, accepted;
};

static struct connection connect_here(void)
{
	const struct linger reset = { .l_onoff = 1 };
	struct connection c = { .ours = socket(AF_INET, SOCK_STREAM, 0) };

	/* No port waits for its time to be over. */
	setsockopt(c.ours, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(c.ours, (void *)&here, sizeof(here)))
		die("connect");
	c.accepted = accept(listener, NULL, NULL);
	return c;
}

static void disconnect(struct connection c)
{
	close(c.ours);
	close(c.accepted);
}

static void open_once(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		die(path);
	close(fd);
}

/* Nanoseconds a call. */
static double do_job(int depth)
{
	unsigned int n = depth == CONNECT ? calls / 8 : calls;
	struct connection c;
	double begin, end;
	char path[256];

	if (depth > CONNECT)
		path_at(depth, path);
	if (depth == CHECK)
		c = connect_here();
	begin = now_ns();
	for (unsigned int i = 0; i < n; i++) {
		if (depth > CONNECT)
			open_once(path);
		else if (depth == CONNECT)
			disconnect(connect_here());
		else if (!connect(c.ours, (void *)&here, sizeof(here)) || errno != EISCONN)
			die("connect again");
	}
	end = now_ns();
	if (depth == CHECK)
		disconnect(c);
	return (end - begin) / n;
}

/* -------------------------------------------------------------------------- the ways */

/* Of Linux 6.7, and so not in every <linux/landlock.h>. */
#define NET_CONNECT	(1ULL << 1)
#define RULE_NET_PORT	2

static bool landlock_has_net(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 4;
}

static void enter_landlock(void)
{
	struct {
		uint64_t fs, net;
	} handled = {
		.fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
		      LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		.net = landlock_has_net() ? NET_CONNECT : 0,
	};
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	};
	struct {
		uint64_t access, port;
	} port = { NET_CONNECT, PORT };
	size_t size = handled.net ? sizeof(handled) : sizeof(handled.fs);
	int set = syscall(SYS_landlock_create_ruleset, &handled, size, 0);

	beneath.parent_fd = open(BASE, O_PATH);
	if (set < 0 || syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) ||
	    (handled.net && syscall(SYS_landlock_add_rule, set, RULE_NET_PORT, &port, 0)) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, set, 0))
		die("Landlock");
}

static struct krepis_domain *domain;

static void make_domain(void)
{
	struct krepis_policy *policy;

	if (krepis_policy_create(&policy) || krepis_policy_add(policy, true, KREPIS_READ, BASE) ||
	    krepis_policy_add(policy, true, KREPIS_NET, "127.0.0.1") ||
	    krepis_domain_create("bench", policy, 0, &domain)) {
		fprintf(stderr, "krepis-bench-sandbox: %s\n", krepis_sandbox_error());
		exit(1);
	}
	krepis_policy_destroy(policy);
}

/* A process that does what it is asked for, by the index of a job, and says how long it took. */
struct worker {
	int ask[2], answer[2];
};

static void start(struct worker *w, enum way way)
{
	unsigned char job;

	if (pipe(w->ask) || pipe(w->answer))
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		close(w->ask[1]);
		if (way == LANDLOCK)
			enter_landlock();
		if (way == INSIDE && krepis_domain_enter(domain))
			die(krepis_sandbox_error());
		while (read(w->ask[0], &job, 1) == 1) {
			double took = do_job(depths[job]);

			if (write(w->answer[1], &took, sizeof(took)) < 0)
				break;
		}
		_exit(0);
	}
	close(w->ask[0]);
	close(w->answer[1]);
}

static double ask(struct worker *w, unsigned char job)
{
	double took = 0;

	if (write(w->ask[1], &job, 1) != 1 || read(w->answer[0], &took, sizeof(took)) != sizeof(took))
		die("a worker");
	return took;
}

/* --------------------------------------------------------------------------- starting */

/* Milliseconds until @argv has run. */
static double run(char *const argv[])
{
	extern char **environ;
	double begin = now_ns();
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		die(argv[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		die(argv[0]);
	return (now_ns() - begin) / 1e6;
}

static void measure_start(const char *krepis, FILE *json)
{
	char *ours[] = { (char *)krepis, "run", "--allow-read", "--allow-exec=/usr", "--", "true", NULL };
	char *bwrap[] = { "bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--unshare-pid", "true", NULL };
	char *bare[] = { "true", NULL };
	double ms[3][ROUNDS_MAX];

	for (unsigned int i = 0; i < rounds; i++) {
		ms[0][i] = run(bare);
		ms[1][i] = run(bwrap);
		ms[2][i] = run(ours);
	}
	for (int i = 0; i < 3; i++)
		ms[i][0] = median(ms[i], rounds);
	printf("start of true: %.1f ms alone, %.1f ms by bwrap, %.1f ms by krepis run: %.2f x bwrap\n",
	       ms[0][0], ms[1][0], ms[2][0], ms[2][0] / ms[1][0]);
	if (json)
		fprintf(json, ", \"start_ms\": {\"alone\": %.2f, \"bwrap\": %.2f, \"krepis\": %.2f}",
			ms[0][0], ms[1][0], ms[2][0]);
}

/* ----------------------------------------------------------------------------- all */

static void measure(void)
{
	struct worker workers[WAYS];

	/* With the programs: all but NOTHING, which needs them to be gone. */
	make_domain();
	for (enum way way = OUTSIDE; way < WAYS; way++)
		start(&workers[way], way);
	for (unsigned int r = 0; r < rounds; r++)
		for (unsigned char job = 0; job < JOBS; job++)
			for (enum way way = OUTSIDE; way < WAYS; way++)
				ns[way][job][r] = ask(&workers[way], job);
	for (enum way way = OUTSIDE; way < WAYS; way++)
		close(workers[way].ask[1]);
	while (wait(NULL) > 0)
		;
	krepis_domain_remove(domain);
	krepis_domain_close(domain);
}

/*
 * The fastest of some, once it is calm: to load and to unload changes the kernel's code, which
 * an emulator has to translate anew, and leaves it much to free. Minutes lie between the first
 * round and the last, so the fastest is what nothing interfered with.
 */
static void do_jobs(double took[JOBS][ROUNDS_MAX], unsigned int round)
{
	usleep(300000);
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		for (unsigned int job = 0; job < JOBS; job++) {
			double now = do_job(depths[job]);

			if (!turn || now < took[job][round])
				took[job][round] = now;
		}
	}
}

/* Loaded and not, in turns; into @with and @without. */
static void measure_load(double with[JOBS][ROUNDS_MAX], double without[JOBS][ROUNDS_MAX])
{
	for (unsigned int r = 0; r < rounds; r++) {
		krepis_sandbox_unload();
		do_jobs(without, r);
		if (krepis_sandbox_load())
			die(krepis_sandbox_error());
		do_jobs(with, r);
	}
}

static void report(FILE *json)
{
	static double with[JOBS][ROUNDS_MAX], without[JOBS][ROUNDS_MAX];

	measure_load(with, without);
	for (unsigned int job = 0; job < JOBS; job++) {
		double ratios[ROUNDS_MAX], m[WAYS];

		for (unsigned int r = 0; r < rounds; r++)
			ratios[r] = with[job][r] / without[job][r];
		for (enum way way = OUTSIDE; way < WAYS; way++)
			m[way] = median(ns[way][job], rounds);
		m[NOTHING] = median(without[job], rounds);
		if (depths[job] > CONNECT)
			printf("open at depth %d:\n", depths[job]);
		else
			printf("%s:\n", depths[job] == CONNECT ? "connect" : "connect, the check alone");
		for (enum way way = 0; way < WAYS; way++)
			printf("  %-22s %8.0f ns\n", way_names[way], m[way]);
		printf("  loaded / not loaded: %.3f\n", median(ratios, rounds));
		/* Of a connection the check is too little to be seen; nor has Landlock always one. */
		if (depths[job] > CONNECT || (depths[job] == CHECK && landlock_has_net()))
			printf("  added in a domain / added by Landlock: %.2f\n",
			       (m[INSIDE] - m[OUTSIDE]) / (m[LANDLOCK] - m[OUTSIDE]));
		if (json)
			fprintf(json, "%s{\"depth\": %d, \"not_loaded_ns\": %.0f, \"loaded_ratio\": %.4f, "
				"\"outside_ns\": %.0f, \"inside_ns\": %.0f, \"landlock_ns\": %.0f}",
				job ? ", " : "", depths[job], m[NOTHING], median(ratios, rounds),
				m[OUTSIDE], m[INSIDE], m[LANDLOCK]);
	}
}

static unsigned int number(const char *text, unsigned int most)
{
	unsigned long n = strtoul(text, NULL, 10);

	return n && n < most ? n : most;
}

int main(int argc, char **argv)
{
	FILE *json = NULL;
	int i;

	for (i = 1; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
		if (!strcmp(argv[i], "--rounds"))
			rounds = number(argv[i + 1], ROUNDS_MAX);
		else if (!strcmp(argv[i], "--calls"))
			calls = number(argv[i + 1], 1000000);
		else if (!strcmp(argv[i], "--json"))
			json = fopen(argv[i + 1], "w");
	}
	if (i + 1 != argc) {
		fprintf(stderr, "usage: krepis-bench-sandbox [--rounds N] [--calls N] [--json FILE] KREPIS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	make_files();
	start_listening();
	measure();
	if (json)
		fprintf(json, "{\"jobs\": [");
	report(json);
	if (json)
		fprintf(json, "]");
	measure_start(argv[i], json);
	if (json)
		fprintf(json, "}\n");
	return json && fclose(json);
}
