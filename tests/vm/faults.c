// SPDX-License-Identifier: MIT
/*
 * What if memory is short? Lets allocations of the kernel fail while every operation
 * of the module runs, and looks whether each either works or is refused and changed
 * nothing:
 *
 *	faults each SCOPE		one round for each allocation, in which that one fails
 *	faults PERCENT SCOPE SECONDS	rounds in which each fails with that probability
 *
 * SCOPE is `task', for whatever this program makes the kernel allocate, or `module',
 * for what is allocated below a function of krepis. With the second, more of what
 * fails is the module's to get right; the first also reaches what the kernel does
 * before and behind it, as for mmap(2). Neither touches another process.
 *
 * An operation that is refused is tried again with nothing failing, and then has to
 * work. There is exactly as much room as a round needs, in size=, channels= and
 * RLIMIT_MEMLOCK, so that what a refusal does not give back is missed at once. At the
 * end of a round nothing is in use on its mount, at the end no page is left.
 *
 * Runs as root, under a kernel with fault injection. Prints TAP.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <krepis/geometry.h>

#define DIR_PATH	"/tmp/krepis-faults"
#define PAGE		4096UL
#define MS_NS		1000000LL
#define SECOND_NS	1000000000LL

static bool each, task_scope;
static unsigned int percent;
static unsigned int round_number, complaints, refused, injected;
static int make_it_fail = -1, fail_nth = -1;
/* `each': which of the allocations to come fails, 0 for none; and which of a victim's. */
static unsigned int next_fault, victims_fault;
/* Whether a round is to count the module's pages at its best, and how many there were. */
static bool count_pages;
static long pages_seen;

static void complain(const char *format, ...)
{
	va_list args;

	complaints++;
	printf("# round %u: ", round_number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static void give_up(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

/* --------------------------------------------------------------------- faults */

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		give_up(path);
	close(fd);
}

static void set(const char *attribute, const char *text)
{
	static const char *const kind[] = { "failslab", "fail_page_alloc" };
	char path[128];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", kind[i], attribute);
		write_to(path, text);
	}
}

/* Where the functions of krepis stand. */
static void module_range(unsigned long *from, unsigned long *to)
{
	FILE *f = fopen("/proc/modules", "re");
	char line[512], name[64];
	unsigned long size;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %lu %*s %*s %*s %lx", name, &size, from) == 3 &&
		    !strcmp(name, "krepis") && *from) {
			*to = *from + size;
			fclose(f);
			return;
		}
	}
	errno = ENOENT;
	give_up("krepis in /proc/modules");
}

static void prepare_faults(void)
{
	unsigned long from = 0, to = 0;
	char text[32];

	set("probability", "0");
	set("task-filter", "1");
	set("interval", "1");
	set("space", "0");
	set("times", "-1");
	set("verbose", "0");
	/* Also those that could wait for memory: nearly all of the module's. */
	set("ignore-gfp-wait", "0");
	write_to("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	set("stacktrace-depth", "32");
	if (!task_scope)
		module_range(&from, &to);
	snprintf(text, sizeof(text), "0x%lx", from);
	set("require-start", text);
	snprintf(text, sizeof(text), "0x%lx", task_scope ? ~0UL : to);
	set("require-end", text);
	snprintf(text, sizeof(text), "%u", percent);
	set("probability", text);
}

/* Both files are of the task that opened them. */
static void open_faults(void)
{
	make_it_fail = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (make_it_fail < 0 || fail_nth < 0)
		give_up("/proc/self/make-it-fail, fail-nth");
}

static void put_number(int fd, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fd, text, (size_t)len, 0) != len)
		give_up("/proc/self/make-it-fail, fail-nth");
}

static void arm(void)
{
	if (!each)
		put_number(make_it_fail, 1);
	else if (next_fault)
		put_number(fail_nth, next_fault);
}

/* Leaves errno alone. */
static void disarm(void)
{
	int err = errno;
	char text[16] = "";

	if (!each) {
		put_number(make_it_fail, 0);
	} else if (next_fault) {
		if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
			give_up("/proc/self/fail-nth");
		next_fault = (unsigned int)atoi(text);
		injected += !next_fault;
		put_number(fail_nth, 0);
	}
	errno = err;
}

static long result(long value)
{
	return value < 0 ? -errno : value;
}

/* EAGAIN and ECANCELED: io_uring has no request, or no worker. */
static bool is_clean(long err, bool uring)
{
	return err == -ENOMEM || (uring && (err == -EAGAIN || err == -ECANCELED));
}

/* A worker of io_uring's keeps what this task was when it made the worker. */
static void disarm_workers(bool are_disarmed)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", are_disarmed ? 0 : percent);
	set("probability", text);
}

/*
 * Does what @call says, -errno if it cannot: first with faults, where it may be
 * refused, and then it has to work.
 */
#define TRY_AS(what, call, uring) __extension__ ({				\
	long _r;								\
	arm();									\
	_r = (call);								\
	disarm();								\
	if (_r < 0) {								\
		refused++;							\
		if (!is_clean(_r, uring))					\
			complain("%s: %s", what, strerror((int)-_r));		\
		if (uring)							\
			disarm_workers(true);					\
		_r = (call);							\
		if (_r < 0)							\
			complain("%s, again: %s", what, strerror((int)-_r));	\
		if (uring)							\
			disarm_workers(false);					\
	}									\
	_r; })
#define TRY(what, call)		TRY_AS(what, result(call), false)
#define TRY_URING(what, call)	TRY_AS(what, call, true)

static void expect(bool holds, const char *what)
{
	if (!holds)
		complain("%s", what);
}

/* ------------------------------------------------------------------ commands */

static int setup(int fd, const struct krepis_geometry *g)
{
	struct krepis_setup a = { .size = sizeof(a), .geometry = *g };

	return ioctl(fd, KREPIS_IOC_SETUP, &a);
}

static int attach(int fd, __u32 role)
{
	struct krepis_attach_args a = {
		.size = sizeof(a), .role = role, .rights = KREPIS_RIGHT_ALL,
	};

	return ioctl(fd, KREPIS_IOC_ATTACH, &a);
}

static int query(int fd, struct krepis_info_query *q)
{
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	return ioctl(fd, KREPIS_IOC_QUERY, q);
}

static int rights(int fd, unsigned int cmd, __u32 which)
{
	struct krepis_rights a = { .size = sizeof(a), .rights = which };

	return ioctl(fd, cmd, &a);
}

/* Sleeps until an event of slot @event, or not if @stale. Return: 0 if either was so. */
static int wait_event(int fd, const struct krepis_info *info, unsigned int event, bool stale)
{
	struct krepis_wait_args a = {
		.size = sizeof(a), .value = info->event[event] - stale,
		.at = offsetof(struct krepis_info, event) + event * sizeof(__u32),
		.deadline_ns = now_ns() + MS_NS,
	};

	if (stale)
		return ioctl(fd, KREPIS_IOC_WAIT, &a);
	return !ioctl(fd, KREPIS_IOC_WAIT, &a) || errno == ETIMEDOUT ? 0 : -1;
}

static int wake(int fd, __u32 consumers)
{
	struct krepis_wake_args a = { .size = sizeof(a), .consumers = consumers };

	return ioctl(fd, KREPIS_IOC_WAKE, &a);
}

static int handoff(int fd, __u32 generation)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .flags = KREPIS_HANDOFF_WAKE,
		.handle = { 0, generation }, .len = 8,
	};

	return ioctl(fd, KREPIS_IOC_HANDOFF, &a);
}

static int release(int fd, __u32 generation)
{
	struct krepis_release_args a = { .size = sizeof(a), .handle = { 0, generation } };

	return ioctl(fd, KREPIS_IOC_RELEASE, &a);
}

static int detach(int fd)
{
	struct krepis_none a = { .size = sizeof(a) };

	return ioctl(fd, KREPIS_IOC_DETACH, &a);
}

/* Return: 0 or -1, as a system call. */
static int map(void **at, size_t size, int prot, int fd, off_t offset)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, offset);

	if (p == MAP_FAILED)
		return -1;
	*at = p;
	return 0;
}

/* ------------------------------------------------------------------ io_uring */

static struct uring {
	int fd;
	void *sq, *cq;
	struct io_uring_sqe *sqe;
	unsigned int *sq_head, *sq_tail, *sq_array, *cq_head, *cq_tail, sq_mask, cq_mask;
	struct io_uring_cqe *cqe;
	struct io_uring_params p;
} ring;

#define SQ_SIZE	(ring.p.sq_off.array + ring.p.sq_entries * sizeof(unsigned int))
#define CQ_SIZE	(ring.p.cq_off.cqes + ring.p.cq_entries * sizeof(struct io_uring_cqe))
#define SQES_SIZE (ring.p.sq_entries * sizeof(struct io_uring_sqe))
#define ENTRIES	8

static int uring_setup(void)
{
	memset(&ring, 0, sizeof(ring));
	return (int)syscall(SYS_io_uring_setup, ENTRIES, &ring.p);
}

static void uring_open(void)
{
	void *sqes = NULL;
	long fd = TRY("io_uring_setup", uring_setup());

	ring.fd = (int)fd;
	if (TRY("mmap of SQ", map(&ring.sq, SQ_SIZE, PROT_READ | PROT_WRITE, ring.fd,
				  IORING_OFF_SQ_RING)) ||
	    TRY("mmap of CQ", map(&ring.cq, CQ_SIZE, PROT_READ | PROT_WRITE, ring.fd,
				  IORING_OFF_CQ_RING)) ||
	    TRY("mmap of SQEs", map(&sqes, SQES_SIZE, PROT_READ | PROT_WRITE, ring.fd,
				    IORING_OFF_SQES)))
		give_up("io_uring");
	ring.sqe = sqes;
	ring.sq_head = ring.sq + ring.p.sq_off.head;
	ring.sq_tail = ring.sq + ring.p.sq_off.tail;
	ring.sq_array = ring.sq + ring.p.sq_off.array;
	ring.sq_mask = *(unsigned int *)(ring.sq + ring.p.sq_off.ring_mask);
	ring.cq_head = ring.cq + ring.p.cq_off.head;
	ring.cq_tail = ring.cq + ring.p.cq_off.tail;
	ring.cq_mask = *(unsigned int *)(ring.cq + ring.p.cq_off.ring_mask);
	ring.cqe = ring.cq + ring.p.cq_off.cqes;
}

static void uring_close(void)
{
	munmap(ring.sq, SQ_SIZE);
	munmap(ring.cq, CQ_SIZE);
	munmap(ring.sqe, SQES_SIZE);
	close(ring.fd);
}

/* Return: 0 if it is the kernel's now. */
static long uring_submit(int fd, unsigned int cmd, void *args, __u32 count)
{
	struct krepis_uring area = { .args = (__u64)(uintptr_t)args, .count = count };
	unsigned int tail = *ring.sq_tail, at = tail & ring.sq_mask;
	struct io_uring_sqe *sqe = &ring.sqe[at];
	long n;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = cmd;
	memcpy(sqe->cmd, &area, sizeof(area));
	ring.sq_array[at] = at;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	n = syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0);
	if (n == 1)
		return 0;
	n = n < 0 ? -errno : -EAGAIN;
	/* What it did not take is not to be found by the next. */
	if (__atomic_load_n(ring.sq_head, __ATOMIC_ACQUIRE) == tail)
		__atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
	else
		complain("io_uring took what it refused");
	return n;
}

/* The result of the one that is under way. Not a system call that faults may meet. */
static long uring_reap(void)
{
	unsigned int head = *ring.cq_head;
	long long end = now_ns() + 60 * SECOND_NS;
	long res;

	while (__atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == head) {
		if (now_ns() > end) {
			complain("a command through io_uring does not come to its end");
			return -ETIME;
		}
		/* The task has to enter the kernel for some of the completions. */
		syscall(SYS_io_uring_enter, ring.fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
		usleep(200);
	}
	res = ring.cqe[head & ring.cq_mask].res;
	__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
	return res;
}

static long uring_command(int fd, unsigned int cmd, void *args, __u32 count)
{
	long err = uring_submit(fd, cmd, args, count);

	return err ? err : uring_reap();
}

/* A WAIT that is left standing. Return: 0 if it is; else why not. */
static long uring_wait(int fd, struct krepis_wait_args *args)
{
	unsigned int head = *ring.cq_head;
	long err = uring_submit(fd, KREPIS_IOC_WAIT, args, 1);

	if (err || __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == head)
		return err;
	return uring_reap();
}

/* ------------------------------------------------------------------------ pages */

/* Who may keep pages for later, or for ever: caches of the kernel's own. */
static bool kept_by_kernel(const char *stack)
{
	static const char *const keeper[] = { "slab", "vmap", "pcpu", "stack_depot" };
	unsigned int i;

	for (i = 0; i < sizeof(keeper) / sizeof(keeper[0]); i++) {
		if (strstr(stack, keeper[i]))
			return true;
	}
	return false;
}

/*
 * The pages that krepis allocated and did not give back: none if there is no channel
 * anywhere. Return: how many; -1 if the kernel does not tell. @tells: where, too.
 */
static long pages_of_module(bool tells)
{
	FILE *f = fopen("/sys/kernel/debug/page_owner_stacks/show_stacks", "re");
	static char stack[65536];
	char line[512];
	long pages = 0, n;

	if (!f)
		return -1;
	stack[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nr_base_pages: %ld", &n) != 1) {
			if (strlen(stack) + strlen(line) < sizeof(stack))
				strcat(stack, line);
			continue;
		}
		if (n > 0 && strstr(stack, "[krepis]") && !kept_by_kernel(stack)) {
			pages += n;
			if (tells)
				printf("# %ld pages of\n", n);
			for (char *s = strtok(stack, "\n"); tells && s; s = strtok(NULL, "\n"))
				printf("#  %s\n", s);
		}
		stack[0] = '\0';
	}
	fclose(f);
	return pages;
}

/* --------------------------------------------------------------------- a round */

static const struct krepis_geometry small_ring = {
	.kind = KREPIS_RING, .max_consumers = 3, .inline_max = 1024, .buffer_count = 4,
	.page_size = PAGE, .ring_size = 2 * PAGE, .buffer_size = PAGE,
};

static const struct krepis_geometry small_triple = {
	.kind = KREPIS_TRIPLE, .max_consumers = 1, .buffer_count = KREPIS_TRIPLE_BUFFERS,
	.page_size = PAGE, .buffer_size = PAGE,
};

/* Its payload has a huge page in the middle, and smaller ones before and behind. */
static const struct krepis_geometry large_ring = {
	.kind = KREPIS_RING, .max_consumers = 1, .inline_max = 1024, .buffer_count = 1,
	.page_size = PAGE, .ring_size = 2 * PAGE, .buffer_size = 4 << 20,
};

#define CHANNELS	3
#define TOPICS		1

static unsigned long room(void)
{
	return krepis_layout(&small_ring).size + krepis_layout(&small_triple).size +
	       krepis_layout(&large_ring).size;
}

static void touch(volatile char *at, size_t size, bool write)
{
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		if (write)
			at[i] = 1;
		else
			(void)at[i];
	}
}

/* A process that attaches to @channel and is killed. */
static void victim(int channel, __u32 role, size_t size)
{
	int fd, pipes[2], status;
	char byte = 0;
	void *all = NULL;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		give_up("pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		open_faults();
		next_fault = victims_fault;
		complaints = 0;
		fd = (int)TRY("attach of a victim", attach(channel, role));
		if (!TRY("mmap of a victim", map(&all, size, PROT_READ, fd, 0))) {
			arm();
			touch(all, size, false);
			disarm();
		}
		byte = complaints ? 'f' : 'k';
		if (write(pipes[1], &byte, 1) != 1)
			_exit(1);
		arm();
		for (;;)
			pause();
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1 || byte != 'k')
		complain("the victim complained, or did not live to be killed");
	close(pipes[0]);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void read_fdinfo(int fd)
{
	char path[64], text[2048];
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = (int)TRY("open of fdinfo", open(path, O_RDONLY | O_CLOEXEC));
	TRY("read of fdinfo", read(info, text, sizeof(text)));
	close(info);
}

static void round_poll(int producer, int consumer)
{
	struct pollfd fds[2] = { { producer, POLLOUT, 0 }, { consumer, POLLIN, 0 } };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep;

	TRY("poll", poll(fds, 2, 0));
	ep = (int)TRY("epoll_create", epoll_create1(EPOLL_CLOEXEC));
	TRY("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, producer, &ev));
	TRY("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, consumer, &ev));
	TRY("epoll_wait", epoll_wait(ep, &ev, 1, 0));
	close(ep);
}

/* Ends with a WAIT under way, which goes with the ring or with the endpoint. */
static void round_uring(int channel, int producer, int consumer, const struct krepis_info *info)
{
	struct krepis_info_query q = { .size = sizeof(q) };
	struct krepis_attach_args a = {
		.size = sizeof(a), .role = KREPIS_CONSUMER, .rights = KREPIS_RIGHT_ALL,
	};
	struct krepis_wake_args w[4];
	struct krepis_wait_args wait = {
		.size = sizeof(wait), .deadline_ns = INT64_MAX,
		.at = offsetof(struct krepis_info, event[1]),
	};
	unsigned int i;
	long fd;

	for (i = 0; i < 4; i++)
		w[i] = (struct krepis_wake_args) { .size = sizeof(w[i]), .consumers = 1 };
	uring_open();
	TRY_URING("QUERY by io_uring", uring_command(channel, KREPIS_IOC_QUERY, &q, 1));
	fd = TRY_URING("ATTACH by io_uring", uring_command(channel, KREPIS_IOC_ATTACH, &a, 1));
	if (fd >= 0)
		close((int)fd);
	expect(TRY_URING("WAKE by io_uring", uring_command(producer, KREPIS_IOC_WAKE, w, 4)) == 4,
	       "of four WAKE by io_uring some were not executed");
	wait.value = info->event[1];
	if (!TRY_URING("WAIT by io_uring", uring_wait(consumer, &wait))) {
		TRY("WAKE", wake(producer, 1));
		expect(uring_reap() == 0, "a WAIT by io_uring does not end with 0");
	}
	wait.value = info->event[1];
	TRY_URING("WAIT by io_uring", uring_wait(consumer, &wait));
	uring_close();
}

static void round_ring(int channel)
{
	const struct krepis_layout l = krepis_layout(&small_ring);
	struct krepis_info_query q = { .size = 0 };
	struct krepis_info *info = NULL;
	void *rest = NULL;
	int producer, consumer, other, derived;
	__u32 deaths;

	TRY("QUERY", query(channel, &q));
	deaths = q.deaths;
	producer = (int)TRY("ATTACH", attach(channel, KREPIS_PRODUCER));
	consumer = (int)TRY("ATTACH", attach(channel, KREPIS_CONSUMER));
	other = (int)TRY("ATTACH", attach(channel, KREPIS_CONSUMER));
	derived = (int)TRY("DERIVE", rights(producer, KREPIS_IOC_DERIVE,
					    KREPIS_RIGHT_READ | KREPIS_RIGHT_WAIT));
	TRY("RESTRICT", rights(derived, KREPIS_IOC_RESTRICT, KREPIS_RIGHT_READ));
	victim(channel, KREPIS_CONSUMER, l.size);
	TRY("QUERY", query(channel, &q));
	expect(q.deaths == deaths + 1 && q.live == 3 && q.producer, "QUERY tells of other endpoints");
	TRY("mmap", map((void **)&info, l.size, PROT_READ, consumer, 0));
	TRY("mmap", map(&rest, l.size - l.descriptors, PROT_READ | PROT_WRITE, producer,
			(off_t)l.descriptors));
	if (!info || !rest)
		give_up("without its mappings, no round");
	arm();
	touch((char *)info, l.size, false);
	touch(rest + (l.ring - l.descriptors), l.size - l.ring, true);
	disarm();
	TRY("HANDOFF", handoff(producer, 1));
	TRY("RELEASE", release(consumer, 1));
	TRY("RELEASE", release(other, 1));
	TRY("HANDOFF", handoff(producer, 2));
	TRY("WAIT, stale", wait_event(consumer, info, 1, true));
	TRY("WAIT", wait_event(consumer, info, 1, false));
	TRY("WAKE", wake(producer, 7));
	TRY("WAKE", wake(consumer, 0));
	round_poll(producer, consumer);
	round_uring(channel, producer, consumer, info);
	read_fdinfo(producer);
	TRY("DETACH", detach(producer));
	close(producer);
	munmap(rest, l.size - l.descriptors);
	close(derived);
	TRY("QUERY", query(channel, &q));
	/* The victim, and the consumer that io_uring attached. */
	expect(!q.producer && q.deaths == deaths + 2, "QUERY tells of other endpoints at the end");
	close(consumer);
	close(other);
	munmap(info, l.size);
}

static void round_triple(int channel)
{
	int producer, consumer;

	victim(channel, KREPIS_PRODUCER, krepis_layout(&small_triple).size);
	producer = (int)TRY("ATTACH to a triple", attach(channel, KREPIS_PRODUCER));
	victim(channel, KREPIS_CONSUMER, krepis_layout(&small_triple).size);
	consumer = (int)TRY("ATTACH to a triple", attach(channel, KREPIS_CONSUMER));
	round_poll(producer, consumer);
	close(consumer);
	close(producer);
}

static void round_large(int channel)
{
	const struct krepis_layout l = krepis_layout(&large_ring);
	int producer = (int)TRY("ATTACH to a large one", attach(channel, KREPIS_PRODUCER));
	void *payload = NULL;

	TRY("mmap of a large one", map(&payload, l.size - l.payload, PROT_READ | PROT_WRITE,
				       producer, (off_t)l.payload));
	if (!payload)
		give_up("without its mappings, no round");
	arm();
	touch(payload, l.size - l.payload, true);
	disarm();
	munmap(payload, l.size - l.payload);
	close(producer);
}

/* Whether nothing is in use, but the root. */
static bool is_empty(int root, const struct statfs *empty)
{
	struct statfs s;

	return !fstatfs(root, &s) && s.f_bfree == s.f_blocks && s.f_ffree == empty->f_ffree;
}

/* What io_uring held it gives back a little later. */
static bool becomes_empty(int root, const struct statfs *empty)
{
	long long end = now_ns() + 30 * SECOND_NS;

	while (!is_empty(root, empty)) {
		if (now_ns() > end)
			return false;
		usleep(1000);
	}
	return true;
}

static int lowest_free(void)
{
	int fd = dup(STDOUT_FILENO);

	close(fd);
	return fd;
}

static void unmount(void)
{
	long long end = now_ns() + 30 * SECOND_NS;

	arm();
	if (!umount(DIR_PATH)) {
		disarm();
		return;
	}
	disarm();
	refused++;
	expect(errno == ENOMEM || errno == EBUSY, "umount: neither ENOMEM nor EBUSY");
	while (umount(DIR_PATH)) {
		if (now_ns() > end) {
			complain("umount: %s", strerror(errno));
			give_up("umount");
		}
		usleep(1000);
	}
}

static void one_round(void)
{
	char options[64];
	struct statfs empty = { .f_bfree = 0 };
	int free_before = lowest_free(), root, ring_file, triple_file, large_file;

	snprintf(options, sizeof(options), "size=%lu,channels=%u", room(), CHANNELS + TOPICS);
	if (TRY("mount", mount("none", DIR_PATH, "krepis", 0, options)))
		give_up("mount");
	root = (int)TRY("open of the root", open(DIR_PATH, O_DIRECTORY | O_CLOEXEC));
	TRY("remount", mount("none", DIR_PATH, "krepis", MS_REMOUNT, options));
	fstatfs(root, &empty);
	expect(is_empty(root, &empty), "a new mount is not empty");

	TRY("mkdir", mkdirat(root, "topic", 0755));
	ring_file = (int)TRY("create", openat(root, "topic/ring", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	TRY("rename", renameat(root, "topic/ring", root, "ring"));
	TRY("mknod", mknodat(root, "triple", S_IFREG | 0600, 0));
	triple_file = (int)TRY("open", openat(root, "triple", O_RDWR | O_CLOEXEC));
	large_file = (int)TRY("O_TMPFILE", openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
	TRY("linkat", linkat(large_file, "", root, "large", AT_EMPTY_PATH));

	TRY("SETUP", setup(ring_file, &small_ring));
	TRY("SETUP of a triple", setup(triple_file, &small_triple));
	TRY("SETUP of a large one", setup(large_file, &large_ring));
	TRY("unlink of one in use", unlinkat(root, "triple", 0));
	if (count_pages)
		pages_seen = pages_of_module(false);

	round_ring(ring_file);
	round_triple(triple_file);
	round_large(large_file);

	close(ring_file);
	close(triple_file);
	close(large_file);
	TRY("unlink", unlinkat(root, "ring", 0));
	TRY("unlink of a large one", unlinkat(root, "large", 0));
	TRY("rmdir", unlinkat(root, "topic", AT_REMOVEDIR));
	expect(becomes_empty(root, &empty), "something is left on the mount");
	close(root);
	unmount();
	expect(lowest_free() == free_before, "a descriptor is left open");
}

/* ------------------------------------------------------------------------- all */

/* Channels count as locked memory of who has not CAP_IPC_LOCK. */
static void limit_locked_memory(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	struct rlimit limit = { room(), room() };

	/* A page of this program that is read again while allocations fail is an error. */
	if (mlockall(MCL_CURRENT))
		give_up("mlockall");
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || syscall(SYS_capget, &header, data))
		give_up("setrlimit, capget");
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	data[0].permitted &= ~(1U << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &header, data))
		give_up("capset");
}

static bool failed;

static void report(int number, bool good, const char *what)
{
	failed |= !good;
	printf("%s %d - %s: %s\n", good ? "ok" : "not ok", number, task_scope ? "task" : "module",
	       what);
	fflush(stdout);
}

/* Until no allocation is left in a round that could fail. */
static void rounds_each(void)
{
	unsigned int found;

	do {
		found = injected;
		next_fault = victims_fault = ++round_number;
		one_round();
		/* Neither its own descriptors nor its complaints shall grow without end. */
	} while (injected != found && complaints < 50);
}

static void rounds_at_random(int seconds)
{
	long long end = now_ns() + seconds * SECOND_NS;

	do {
		round_number++;
		one_round();
	} while (now_ns() < end && complaints < 50);
}

int main(int argc, char **argv)
{
	char what[160];
	unsigned int before;
	long left;

	each = argc > 1 && !strcmp(argv[1], "each");
	if (argc != (each ? 3 : 4)) {
		fprintf(stderr, "usage: faults each SCOPE | faults PERCENT SCOPE SECONDS\n");
		return 2;
	}
	task_scope = !strcmp(argv[2], "task");
	percent = each ? 0 : (unsigned int)atoi(argv[1]);
	if (mkdir(DIR_PATH, 0755) && errno != EEXIST)
		give_up(DIR_PATH);
	/* What is mounted goes with this program, also if it is killed. */
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		give_up("a mount namespace");
	prepare_faults();
	open_faults();
	limit_locked_memory();
	printf("1..3\n");
	if (each)
		rounds_each();
	else
		rounds_at_random(atoi(argv[3]));
	if (each)
		snprintf(what, sizeof(what), "each of %u allocations failed once, %u operations were refused",
			 injected, refused);
	else
		snprintf(what, sizeof(what), "%u rounds in which %u %% failed, %u operations were refused",
			 round_number, percent, refused);
	report(1, !complaints && refused, what);

	/* Once more with nothing failing. */
	set("probability", "0");
	before = complaints;
	refused = next_fault = victims_fault = percent = 0;
	count_pages = true;
	one_round();
	report(2, complaints == before && !refused, "afterwards all works");
	left = pages_of_module(true);
	if (left < 0)
		printf("ok 3 - no page is left # SKIP the kernel has no page_owner\n");
	else if ((unsigned long)pages_seen < room() / PAGE)
		report(3, false, "the pages of a channel are not found, so none could be missed");
	else
		report(3, !left, "no page is left");
	rmdir(DIR_PATH);
	return failed;
}
