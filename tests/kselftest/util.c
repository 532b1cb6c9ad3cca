// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <krepis/ring.h>
#include "util.h"

/* ------------------------------------------------------------------ commands */

static int result(long value)
{
	return value < 0 ? -errno : (int)value;
}

int command(int fd, unsigned int cmd, void *arg)
{
	return result(ioctl(fd, cmd, arg));
}

int setup(int fd, const struct krepis_geometry *g)
{
	struct krepis_setup a = { .size = sizeof(a), .geometry = *g };

	return command(fd, KREPIS_IOC_SETUP, &a);
}

int attach(int fd, __u32 role, __u32 rights)
{
	struct krepis_attach_args a = { .size = sizeof(a), .role = role, .rights = rights };

	return command(fd, KREPIS_IOC_ATTACH, &a);
}

int detach(int fd)
{
	struct krepis_none a = { .size = sizeof(a) };

	return command(fd, KREPIS_IOC_DETACH, &a);
}

int restrict_to(int fd, __u32 rights)
{
	struct krepis_rights a = { .size = sizeof(a), .rights = rights };

	return command(fd, KREPIS_IOC_RESTRICT, &a);
}

int derive(int fd, __u32 rights)
{
	struct krepis_rights a = { .size = sizeof(a), .rights = rights };

	return command(fd, KREPIS_IOC_DERIVE, &a);
}

int query(int fd, struct krepis_info_query *q)
{
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	return command(fd, KREPIS_IOC_QUERY, q);
}

int wait_word(int fd, __u64 at, __u32 value, __s64 deadline_ns)
{
	struct krepis_wait_args a = {
		.size = sizeof(a), .at = at, .value = value, .deadline_ns = deadline_ns,
	};

	return command(fd, KREPIS_IOC_WAIT, &a);
}

int wake(int fd, __u32 consumers, __u32 flags)
{
	struct krepis_wake_args a = {
		.size = sizeof(a), .flags = flags, .consumers = consumers,
	};

	return command(fd, KREPIS_IOC_WAKE, &a);
}

int handoff(int fd, __u32 index, __u32 generation, __u32 len)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { index, generation }, .len = len,
	};

	return command(fd, KREPIS_IOC_HANDOFF, &a);
}

static int name_buffer(int fd, unsigned int cmd, __u32 index, __u32 generation)
{
	struct krepis_release_args a = { .size = sizeof(a), .handle = { index, generation } };

	return command(fd, cmd, &a);
}

int release(int fd, __u32 index, __u32 generation)
{
	return name_buffer(fd, KREPIS_IOC_RELEASE, index, generation);
}

int take(int fd, __u32 index, __u32 generation)
{
	return name_buffer(fd, KREPIS_IOC_TAKE, index, generation);
}

int evict(int fd, __u32 index, __u32 generation)
{
	return name_buffer(fd, KREPIS_IOC_EVICT, index, generation);
}

int handoff_publish(int fd, __u32 index, __u32 generation, __u32 len, __u64 sequence)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .flags = KREPIS_HANDOFF_PUBLISH,
		.handle = { index, generation }, .len = len, .sequence = sequence,
	};

	return command(fd, KREPIS_IOC_HANDOFF, &a);
}

/* ------------------------------------------------------------------ channels */

struct krepis_geometry small_ring(void)
{
	return (struct krepis_geometry) {
		.kind = KREPIS_RING,
		.max_consumers = 2,
		.inline_max = 1024,
		.buffer_count = 4,
		.page_size = PAGE,
		.ring_size = 2 * PAGE,
		.buffer_size = PAGE,
	};
}

struct krepis_geometry small_triple(void)
{
	return (struct krepis_geometry) {
		.kind = KREPIS_TRIPLE,
		.max_consumers = 1,
		.buffer_count = KREPIS_TRIPLE_BUFFERS,
		.page_size = PAGE,
		.buffer_size = PAGE,
	};
}

const char *mount_path(void)
{
	const char *path = getenv("KREPIS_MOUNT");

	return path ? path : "/run/krepis";
}

const char *in_mount(const char *name)
{
	static char buffer[4][256];
	static unsigned int turn;
	char *path = buffer[turn++ % 4];

	snprintf(path, sizeof(buffer[0]), "%s/%s", mount_path(), name);
	return path;
}

int new_file(int flags)
{
	return result(open(mount_path(), O_TMPFILE | O_CLOEXEC | flags, 0600));
}

int new_channel(const struct krepis_geometry *g)
{
	int fd = new_file(O_RDWR), err;

	if (fd < 0)
		return fd;
	err = setup(fd, g);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return result(open(path, O_CLOEXEC | flags));
}

/* Puts a writable mapping of [@from, @to) over the read-only one. */
static int map_writable(struct side *s, __u64 from, __u64 to)
{
	if (from == to)
		return 0;
	return mmap(s->base + from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    s->fd, (off_t)from) == MAP_FAILED ? -errno : 0;
}

/* Whether it has buffers only while it owns them. */
static bool owns_pages(const struct side *s)
{
	__u32 flags = s->geometry.flags;

	return (flags & KREPIS_F_ENFORCED) &&
	       (s->role == KREPIS_PRODUCER || (flags & KREPIS_F_EXCLUSIVE));
}

static int map_own(struct side *s)
{
	const struct krepis_layout *l = &s->layout;
	__u64 page = s->geometry.page_size;
	bool producer = s->role == KREPIS_PRODUCER;
	__u64 own = producer ? l->producer : l->consumers + s->slot * page;
	int err = map_writable(s, own, own + page);

	if (!err && !(s->geometry.flags & KREPIS_F_ENFORCED))
		return map_writable(s, l->descriptors, producer ? l->size : l->ring);
	if (!err && producer)
		err = map_writable(s, l->ring, l->payload);
	if (!err && owns_pages(s))
		err = map_writable(s, l->payload, l->size);
	return err;
}

/* Room for @size bytes at a multiple of 2 MiB, as the offsets of large buffers are. */
static void *reserve(size_t size)
{
	uintptr_t at, begin;
	void *p = mmap(NULL, size + KREPIS_LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return p;
	at = (uintptr_t)p;
	begin = krepis_round_up(at, KREPIS_LARGE);
	size = krepis_round_up(size, PAGE);
	munmap(p, begin - at);
	munmap((void *)(begin + size), at + KREPIS_LARGE - begin);
	return (void *)begin;
}

int side_map(struct side *s, int fd)
{
	struct krepis_info_query q;
	int err = query(fd, &q);
	void *base;

	if (err)
		return err;
	*s = (struct side) {
		.fd = fd, .role = q.role, .slot = q.slot, .geometry = q.geometry,
		.layout = krepis_layout(&q.geometry),
	};
	base = reserve(s->layout.size);
	if (base == MAP_FAILED)
		return -errno;
	s->base = base;
	err = mmap(base, owns_pages(s) ? s->layout.payload : s->layout.size, PROT_READ,
		   MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ? -errno : map_own(s);
	if (err) {
		side_unmap(s);
		return err;
	}
	s->info = base;
	s->producer = (void *)(s->base + s->layout.producer);
	s->exchange = (void *)(s->base + s->layout.descriptors);
	s->desc = (void *)(s->exchange + 1);
	return 0;
}

int side_open(struct side *s, int channel, __u32 role)
{
	int fd = attach(channel, role, KREPIS_RIGHT_ALL), err;

	if (fd < 0)
		return fd;
	err = side_map(s, fd);
	if (err)
		close(fd);
	else if (role == KREPIS_CONSUMER)
		krepis_store_release(&consumer_of(s, s->slot)->joined, 1);
	return err;
}

void side_unmap(struct side *s)
{
	if (s->base)
		munmap(s->base, s->layout.size);
	s->base = NULL;
}

void side_close(struct side *s)
{
	side_unmap(s);
	close(s->fd);
	s->fd = -1;
}

struct krepis_consumer *consumer_of(const struct side *s, __u32 slot)
{
	return krepis_consumer_at(s->base + s->layout.consumers, s->geometry.page_size, slot);
}

char *payload_of(const struct side *s, __u32 index)
{
	return s->base + s->layout.payload + index * s->layout.stride;
}

static unsigned int event_index(const struct side *s)
{
	return s->role == KREPIS_PRODUCER ? 0 : 1 + s->slot;
}

__u64 event_at(const struct side *s)
{
	return offsetof(struct krepis_info, event) + event_index(s) * sizeof(__u32);
}

__u32 event_of(const struct side *s)
{
	return krepis_load_acquire(&s->info->event[event_index(s)]);
}

void publish(const struct side *s)
{
	krepis_store_release(&s->producer->head, s->producer->head + 8);
}

void consume(const struct side *s)
{
	krepis_store_release(&consumer_of(s, s->slot)->tail,
			     krepis_load_acquire(&s->producer->head));
}

void picture_take(struct picture *p, const struct side *s)
{
	query(s->fd, &p->query);
	p->bytes = owns_pages(s) ? s->layout.payload : s->layout.size;
	p->pages = malloc(p->bytes);
	if (p->pages)
		memcpy(p->pages, s->base, p->bytes);
}

bool picture_holds(const struct picture *p, const struct side *s)
{
	struct krepis_info_query q;

	return !query(s->fd, &q) && !memcmp(&q, &p->query, sizeof(q)) && p->pages &&
	       !memcmp(p->pages, s->base, p->bytes);
}

/* -------------------------------------------------------------------- touching */

static __thread sigjmp_buf escape;
static __thread volatile bool armed;
static __thread struct fault caught;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!armed) {
		/* Nobody tries anything: it is a bug, and comes again. */
		signal(sig, SIG_DFL);
		return;
	}
	armed = false;
	caught = (struct fault) { sig, info->si_code, info->si_addr };
	siglongjmp(escape, 1);
}

struct fault try_access(void (*access)(void *), void *with)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	/* They stay: another thread may be trying, too. */
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	caught = (struct fault) { 0 };
	if (!sigsetjmp(escape, 1)) {
		armed = true;
		access(with);
		armed = false;
	}
	return caught;
}

static void load(void *p)
{
	(void)*(volatile char *)p;
}

/* In one, or it would be a load that fails. */
static void store(void *p)
{
	__atomic_fetch_add((char *)p, 0, __ATOMIC_RELAXED);
}

struct fault fault_at(const void *p, bool write)
{
	return try_access(write ? store : load, (void *)(uintptr_t)p);
}

bool reads(const void *p)
{
	return !fault_at(p, false).signal;
}

bool writes(const void *p)
{
	return !fault_at(p, true).signal;
}

bool is_taken_away(const void *p)
{
	struct fault r = fault_at(p, false), w = fault_at(p, true);

	return r.signal == SIGBUS && r.code == BUS_ADRERR && r.at == p &&
	       w.signal == SIGBUS && w.code == BUS_ADRERR && w.at == p;
}

/* ----------------------------------------------------------- time, processes */

__s64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

pid_t child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	return 0;
}

int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int kill_and_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	return reap(pid);
}

/* A whole file, as far as it fits. Return: whether there was any. */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while (got < size - 1 && (n = read(fd, text + got, size - 1 - got)) > 0)
		got += (size_t)n;
	close(fd);
	text[got] = '\0';
	return got;
}

bool sleeps_in(pid_t tid, long nr)
{
	char path[64], text[256];
	long in;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)tid);
	return read_text(path, text, sizeof(text)) && sscanf(text, "%ld", &in) == 1 && in == nr;
}

char state_of(pid_t tid)
{
	char path[64], text[256];
	const char *name_end;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	if (!read_text(path, text, sizeof(text)))
		return 0;
	name_end = strrchr(text, ')');
	return name_end ? name_end[2] : 0;
}

bool until_sleeps_in(pid_t tid, long nr)
{
	return within_ms(10000, sleeps_in(tid, nr));
}

int send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
}

int recv_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	if (!CMSG_FIRSTHDR(&msg))
		return -ENODATA;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

int kernel_release(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%d.%d", &major, &minor);
	return major * 1000 + minor;
}

bool kernel_debugs(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK) ||
	       !access("/sys/module/kasan", F_OK);
}

long long number_in(const char *path, const char *key)
{
	static char text[65536];
	const char *at;

	if (!read_text(path, text, sizeof(text)))
		return -1;
	at = *key ? strstr(text, key) : text;
	return at ? strtoll(at + strcspn(at, "0123456789"), NULL, 10) : -1;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}
