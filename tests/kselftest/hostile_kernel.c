// SPDX-License-Identifier: MIT
/*
 * A hostile owner of memory that lets the kernel write for it: through pinned
 * pages, which it shall not get, or through its mapping, where the kernel is refused as
 * the process itself would be. See hostile.h for how that is tested.
 */
#include <kselftest_harness.h>
#include <linux/aio_abi.h>
#include <linux/errqueue.h>
#include <linux/futex.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "hostile.h"

FIXTURE_VARIANT_ADD(hostile, ring) { RING };
FIXTURE_VARIANT_ADD(hostile, exclusive) { EXCLUSIVE };
FIXTURE_VARIANT_ADD(hostile, exclusive_consumer) { EXCLUSIVE_CONSUMER };
FIXTURE_VARIANT_ADD(hostile, triple) { TRIPLE };
FIXTURE_VARIANT_ADD(hostile, cooperative) { COOPERATIVE };

#define SOME	512

static long errno_of(long result)
{
	return result < 0 ? -errno : result;
}

static int open_file(struct hand *t)
{
	char path[] = "/tmp/hostile.XXXXXX", page[BUFFER];
	unsigned int i;

	t->fd = mkstemp(path);
	if (t->fd < 0)
		return -errno;
	unlink(path);
	memset(page, STAMP, sizeof(page));
	for (i = 0; i < 8; i++) {
		if (write(t->fd, page, sizeof(page)) != sizeof(page))
			return -EIO;
	}
	return 0;
}

/* ---------------------------------------------------------------- pinned pages */

static void write_of_another_process(struct hand *t)
{
	static char stamps[SOME] = { STAMP, STAMP };
	char *at = t->h->board->place + some_buffer(t) * t->h->side.layout.stride;
	struct iovec local = { stamps, SOME }, remote = { at, SOME };

	count_result(t, process_vm_writev(getppid(), &local, 1, &remote, 1, 0));
}

ATTACK(process_vm_writev, .step = write_of_another_process, .stranger = true, .pins = true)

static int open_memory(struct hand *t)
{
	t->fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	return t->fd < 0 ? -errno : 0;
}

static void write_memory(struct hand *t)
{
	static char stamps[SOME] = { STAMP, STAMP };

	count_result(t, pwrite(t->fd, stamps, SOME, (off_t)some_place(t, SOME)));
}

ATTACK(write_to_proc_mem, .begin = open_memory, .step = write_memory, .pins = true)

static int trace_child(struct hand *t)
{
	int status;

	t->pid = fork();
	if (!t->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		map_payload(t->h, t->h->side.fd, t->map, MAP_FIXED);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(1);
	}
	return waitpid(t->pid, &status, 0) == t->pid && WIFSTOPPED(status) ? 0 : -ECHILD;
}

static void poke(struct hand *t)
{
	long err = ptrace(PTRACE_POKEDATA, t->pid, some_place(t, 8), (void *)0x3c3c3c3cL);

	count_result(t, err ? -errno : 8);
}

ATTACK(ptrace_pokedata, .begin = trace_child, .step = poke, .pins = true)

/* A disk in memory, whose driver is asked to write into the buffer. */
static int open_direct(struct hand *t)
{
	char *page = aligned_alloc(PAGE, PAGE);
	int i;

	if (!page)
		return -ENOMEM;
	for (i = 0; i < 2; i++) {
		t->fd = open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC);
		if (t->fd >= 0 || system("modprobe brd rd_nr=1 rd_size=1024 2>/dev/null"))
			break;
		within_ms(5000, !access("/dev/ram0", F_OK));
	}
	memset(page, STAMP, PAGE);
	if (t->fd < 0 || pwrite(t->fd, page, PAGE, 0) != PAGE)
		return -ENOSYS;
	free(page);
	return 0;
}

static void read_directly(struct hand *t)
{
	char *at = buffer_at(t, t->map, some_buffer(t));

	count_result(t, pread(t->fd, at, PAGE, 0));
}

ATTACK(direct_read, .begin = open_direct, .step = read_directly, .pins = true)

static int open_aio(struct hand *t)
{
	aio_context_t context = 0;

	if (syscall(__NR_io_setup, 8, &context))
		return -errno;
	t->memory = (char *)context;
	return 0;
}

static void submit_aio(struct hand *t)
{
	struct iocb cb = {
		.aio_fildes = (__u32)t->fd, .aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_buf = (uintptr_t)buffer_at(t, t->map, some_buffer(t)), .aio_nbytes = PAGE,
	}, *list = &cb;
	struct io_event event;
	long n = errno_of(syscall(__NR_io_submit, t->memory, 1L, &list));

	if (n == 1 && syscall(__NR_io_getevents, t->memory, 1L, 1L, &event, NULL) == 1)
		n = (long)event.res;
	count_result(t, n);
}

static int open_direct_aio(struct hand *t)
{
	int err = open_direct(t);

	return err ? err : open_aio(t);
}

ATTACK(direct_aio, .begin = open_direct_aio, .step = submit_aio, .pins = true)

static int open_ring(struct hand *t)
{
	int err = open_file(t);

	return err ? err : ring_open(&t->ring, 8, 0);
}

static long run_read(struct hand *t, __u8 op, int fd, char *at, __u8 flags)
{
	struct io_uring_sqe *sqe = ring_next(&t->ring, op, fd, 0);
	struct io_uring_cqe cqe;

	sqe->addr = (uintptr_t)at;
	sqe->len = SOME;
	sqe->flags = flags;
	if (ring_submit(&t->ring) != 1)
		return -EBUSY;
	syscall(__NR_io_uring_enter, t->ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	if (!ring_reap(&t->ring, &cqe, 60000))
		return -EBUSY;
	return cqe.res;
}

static void read_fixed(struct hand *t)
{
	struct iovec iov = { buffer_at(t, t->map, some_buffer(t)), BUFFER };
	long err = errno_of(syscall(__NR_io_uring_register, t->ring.fd, IORING_REGISTER_BUFFERS,
				    &iov, 1));

	if (err) {
		count_result(t, err);
		return;
	}
	count_result(t, run_read(t, IORING_OP_READ_FIXED, t->fd, iov.iov_base, 0));
	syscall(__NR_io_uring_register, t->ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

/* 6.1 refuses to pin the pages of any file but tmpfs'. */
ATTACK(io_uring_fixed_buffers, .begin = open_ring, .step = read_fixed, .pins = true,
       .anywhere = true)

/* A pipe that would go on showing the pages, or even own them. */
static void give_to_pipe(struct hand *t)
{
	struct iovec iov = { buffer_at(t, t->map, some_buffer(t)), PAGE };
	char sink[PAGE];
	long n = errno_of(vmsplice(t->h->pipe[1], &iov, 1,
				   rnd(&t->seed) % 2 ? SPLICE_F_GIFT : 0));

	count_result(t, n);
	if (n > 0 && read(t->h->pipe[0], sink, (size_t)n) != n)
		t->h->board->odd = EIO;
}

ATTACK(vmsplice_of_the_buffer, .step = give_to_pipe, .pins = true, .reads = true)

static int connect_pair(struct hand *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	t->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server, (void *)&a, sizeof(a)) || listen(server, 1) ||
	    getsockname(server, (void *)&a, &size) || connect(t->fd, (void *)&a, sizeof(a)))
		return -errno;
	t->other = accept(server, NULL, NULL);
	return setsockopt(t->fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) ? -errno : 0;
}

static void send_without_copy(struct hand *t)
{
	char *at = buffer_at(t, t->map, some_buffer(t)), sink[PAGE], control[256];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	long n = errno_of(send(t->fd, at, PAGE, MSG_ZEROCOPY | MSG_DONTWAIT));

	count_result(t, n);
	if (n > 0)
		recv(t->other, sink, (size_t)n, MSG_WAITALL);
	recvmsg(t->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
}

ATTACK(send_without_copy, .begin = connect_pair, .step = send_without_copy, .pins = true,
       .reads = true)

/* Pages of a socket where the buffer is mapped; or a few bytes of it, which are copied. */
static void receive_without_copy(struct hand *t)
{
	static char bytes[2 * PAGE];
	bool few = rnd(&t->seed) % 2;
	struct tcp_zerocopy_receive z = {
		.address = (uintptr_t)buffer_at(t, t->map, some_buffer(t)), .length = PAGE,
		.copybuf_address = (uintptr_t)some_place(t, SOME), .copybuf_len = few ? SOME : 0,
	};
	socklen_t size = sizeof(z);
	long n;

	memset(bytes, STAMP, sizeof(bytes));
	if (send(t->other, bytes, few ? SOME : sizeof(bytes), MSG_DONTWAIT) <= 0)
		return;
	n = errno_of(getsockopt(t->fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &z, &size));
	count_result(t, n < 0 ? n : z.copybuf_len);
	if (n >= 0 && z.length)
		t->h->board->odd = EEXIST;
	/* What is still there. */
	while (recv(t->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

ATTACK(receive_without_copy, .begin = connect_pair, .step = receive_without_copy)

/* ------------------------------------------------- what the file itself refuses */

static int open_for_files(struct hand *t)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)t->map,
		 (long)t->map + (long)payload_bytes(&t->h->side));
	t->other = open(path, O_RDWR);
	return t->other >= 0 ? -EEXIST : open_file(t);
}

static void write_to_the_file(struct hand *t)
{
	static char stamps[SOME] = { STAMP, STAMP };
	int fd = t->h->side.fd;
	loff_t at = (loff_t)t->h->side.layout.payload, from = 0;

	count_result(t, errno_of(write(fd, stamps, SOME)));
	count_result(t, errno_of(pwrite(fd, stamps, SOME, at)));
	count_result(t, errno_of(ftruncate(fd, at)));
	count_result(t, errno_of(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, PAGE)));
	count_result(t, errno_of(fallocate(fd, FALLOC_FL_ZERO_RANGE, at, PAGE)));
	count_result(t, errno_of(copy_file_range(t->fd, &from, fd, &at, SOME, 0)));
	count_result(t, errno_of(sendfile(fd, t->fd, &from, SOME)));
	if (write(t->h->pipe[1], stamps, SOME) != SOME)
		return;
	count_result(t, errno_of(splice(t->h->pipe[0], NULL, fd, &at, SOME, SPLICE_F_MOVE)));
	count_result(t, errno_of(tee(t->h->pipe[0], fd, SOME, 0)));
	if (read(t->h->pipe[0], stamps, SOME) != SOME)
		t->h->board->odd = EIO;
}

ATTACK(writes_to_the_file, .begin = open_for_files, .step = write_to_the_file, .anywhere = true)

/* ------------------------------------------------- copies that meet the hand-over */

static void read_file(struct hand *t)
{
	count_result(t, errno_of(pread(t->fd, some_place(t, SOME), SOME, 0)));
}

ATTACK(read, .begin = open_file, .step = read_file)

/* One call that goes through all buffers. */
static void read_scattered(struct hand *t)
{
	struct iovec iov[8];
	unsigned int i;

	for (i = 0; i < 8; i++)
		iov[i] = (struct iovec) { some_place(t, SOME), SOME };
	count_result(t, errno_of(preadv(t->fd, iov, 8, 0)));
}

ATTACK(readv, .begin = open_file, .step = read_scattered)

static int open_file_aio(struct hand *t)
{
	int err = open_file(t);

	return err ? err : open_aio(t);
}

ATTACK(aio, .begin = open_file_aio, .step = submit_aio)

static void read_by_ring(struct hand *t)
{
	count_result(t, run_read(t, IORING_OP_READ, t->fd, some_place(t, SOME), 0));
}

ATTACK(io_uring_read, .begin = open_ring, .step = read_by_ring, .slow = true)

static void read_by_worker(struct hand *t)
{
	count_result(t, run_read(t, IORING_OP_READ, t->fd, some_place(t, SOME), IOSQE_ASYNC));
}

ATTACK(io_uring_read_by_a_worker, .begin = open_ring, .step = read_by_worker, .slow = true)

static int open_polled_ring(struct hand *t)
{
	int err = open_file(t);

	return err ? err : ring_open(&t->ring, 8, IORING_SETUP_SQPOLL);
}

ATTACK(io_uring_read_by_the_kernels_thread, .begin = open_polled_ring, .step = read_by_ring, .slow = true)

/* Out of a pipe, and out of the memory of another process. */
static void splice_in(struct hand *t)
{
	static char stamps[SOME] = { STAMP, STAMP };
	struct iovec iov = { some_place(t, SOME), SOME }, from = { stamps, SOME };
	long n;

	count_result(t, errno_of(process_vm_readv(getpid(), &iov, 1, &from, 1, 0)));
	if (write(t->h->pipe[1], stamps, SOME) != SOME)
		return;
	n = errno_of(vmsplice(t->h->pipe[0], &iov, 1, 0));
	count_result(t, n);
	/* What was not taken. */
	if (n < SOME && read(t->h->pipe[0], stamps, (size_t)(n < 0 ? SOME : SOME - n)) < 0)
		t->h->board->odd = EIO;
	memset(stamps, STAMP, SOME);
}

ATTACK(vmsplice_and_process_vm_readv, .step = splice_in)

/*
 * Reads that began while the buffer was the reader's and whose data come when it is not:
 * one thread reads, the other one waits for the hand-over, more often than not, and writes.
 */
static void feed(struct hand *t)
{
	static const char stamps[SOME] = { STAMP, STAMP };
	__u32 index = t->h->target;
	unsigned int i;

	if (rnd(&t->seed) % 4) {
		for (i = 0; i < 1000 && has_buffer(&t->h->side, index); i++)
			little_while(&t->seed);
	}
	if (write(t->other, stamps, SOME) != SOME)
		sched_yield();
}

/* Some buffer that the hostile side has at this moment. */
static char *target(struct hand *t)
{
	__u32 i, index = 0;

	for (i = 0; i < 64; i++) {
		index = some_buffer(t);
		if (has_buffer(&t->h->side, index))
			break;
	}
	t->h->target = index;
	return buffer_at(t, t->map, index) + (rnd(&t->seed) % (BUFFER - SOME) & ~63U);
}

static int open_pipe(struct hand *t)
{
	t->fd = t->h->pipe[0];
	t->other = t->h->pipe[1];
	/* As little as can be: who writes waits for who reads. */
	fcntl(t->other, F_SETPIPE_SZ, PAGE);
	return 0;
}

static void read_pipe(struct hand *t)
{
	if (t->number)
		feed(t);
	else
		count_result(t, errno_of(read(t->fd, target(t), SOME)));
}

ATTACK(read_of_a_pipe_across_the_hand_over, .begin = open_pipe, .step = read_pipe, .threads = 2, .slow = true)

static int open_sockets(struct hand *t)
{
	static int sockets[2];

	/* The first thread makes them, the second one waits for that. */
	if (!t->number && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets))
		return -errno;
	while (!krepis_load_acquire((__u32 *)&sockets[1]))
		pause_ms(1);
	t->fd = sockets[0];
	t->other = sockets[1];
	return 0;
}

static void receive(struct hand *t)
{
	if (t->number)
		feed(t);
	else
		count_result(t, errno_of(recv(t->fd, target(t), SOME, 0)));
}

ATTACK(receive_across_the_hand_over, .begin = open_sockets, .step = receive, .threads = 2, .slow = true)

static int open_ring_and_pipe(struct hand *t)
{
	open_pipe(t);
	return ring_open(&t->ring, 8, 0);
}

static void read_pipe_by_ring(struct hand *t)
{
	if (t->number)
		feed(t);
	else
		count_result(t, run_read(t, IORING_OP_READ, t->fd, target(t), 0));
}

ATTACK(io_uring_read_across_the_hand_over, .begin = open_ring_and_pipe, .step = read_pipe_by_ring,
       .threads = 2, .slow = true)

/* What else the kernel tells by writing to an address. */
static void ask(struct hand *t)
{
	/* A query's answer is the longest. */
	char *at = some_place(t, PAGE);
	unsigned int size = SOME;

	switch (rnd(&t->seed) % 10) {
	case 0:
		count_result(t, errno_of(getrandom(at, SOME, 0)));
		break;
	case 1:
		lseek(t->other, 0, SEEK_SET);
		count_result(t, errno_of(syscall(__NR_getdents64, t->other, at, SOME)));
		break;
	case 2:
		count_result(t, stat("/", (struct stat *)at) ? -errno : 1);
		break;
	case 3:
		count_result(t, sysinfo((struct sysinfo *)at) ? -errno : 1);
		break;
	case 4:
		count_result(t, errno_of(syscall(__NR_clock_gettime, 1, at)) ? -errno : 1);
		break;
	case 5:
		count_result(t, errno_of(readlink("/proc/self/exe", at, SOME)));
		break;
	case 6:
		count_result(t, getsockopt(t->fd, SOL_SOCKET, SO_PEERCRED, at, &size) ? -errno : 1);
		break;
	case 7:
		count_result(t, errno_of(syscall(__NR_rt_sigprocmask, SIG_BLOCK, NULL, at, 8)) ?
				-errno : 1);
		break;
	case 8:
		count_result(t, command(t->h->side.fd, KREPIS_IOC_QUERY, at));
		break;
	case 9:
		count_result(t, errno_of(syscall(__NR_getcwd, at, SOME)));
		break;
	}
}

static int open_for_asking(struct hand *t)
{
	int sockets[2];

	t->other = open("/", O_RDONLY | O_DIRECTORY);
	if (t->other < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return -errno;
	t->fd = sockets[0];
	return 0;
}

ATTACK(answers_of_system_calls, .begin = open_for_asking, .step = ask)

static void futexes(struct hand *t)
{
	__u32 *word = (__u32 *)some_place(t, 64), own = 0;
	/* Adds one to the word, and compares. */
	unsigned int op = FUTEX_OP_ADD << 28 | FUTEX_OP_CMP_EQ << 24 | 1 << 12;
	int flags = rnd(&t->seed) % 2 ? FUTEX_PRIVATE_FLAG : 0;
	long n;

	n = syscall(__NR_futex, &own, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 1L, word, op);
	count_result(t, n < 0 ? -errno : 1);
	n = syscall(__NR_futex, word, FUTEX_TRYLOCK_PI | flags, 0, NULL, NULL, 0);
	count_result(t, n < 0 ? -errno : 1);
	if (!n)
		syscall(__NR_futex, word, FUTEX_UNLOCK_PI | flags, 0, NULL, NULL, 0);
}

ATTACK(futex_words, .step = futexes)

/* ------------------------------------------ addresses that the kernel remembers */

/*
 * A process that shares the memory, and what it registers there. It calls nothing of the
 * C library that would look for its thread.
 */
static int begin_small(struct hand *t)
{
	t->memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	return t->memory == MAP_FAILED ? -errno : 0;
}

static void run_small(struct hand *t, int (*run)(void *arg), int flags, void *tid)
{
	int pid = clone(run, t->memory + 16 * PAGE, CLONE_VM | CLONE_FILES | SIGCHLD | flags, t, tid,
			NULL, tid), status;

	add(&t->h->board->tries, 1);
	if (pid < 0 || waitpid(pid, &status, __WALL) != pid) {
		t->h->board->odd = ECHILD;
		return;
	}
	add(WIFEXITED(status) ? &t->h->board->worked : &t->h->board->refused, 1);
}

static int end_at_once(void *arg)
{
	syscall(__NR_exit, 0);
	return 0;
}

/* Its number is written there when it begins, and zero when it ends; of errors nobody tells. */
static void thread_words(struct hand *t)
{
	__u32 index = some_buffer(t);
	char *at = buffer_at(t, t->map, index) + (rnd(&t->seed) % BUFFER & ~63U);

	run_small(t, end_at_once, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
		  at);
	if (!has_buffer(&t->h->side, index))
		add(&t->h->board->refused, 1);
}

ATTACK(thread_id_words, .begin = begin_small, .step = thread_words, .slow = true)

struct robust {
	struct robust_list_head head;
	struct robust_list entry;
};

/* A lock word in the buffer, whose owner dies: now, or in a while. */
static int die_robustly(void *arg)
{
	struct hand *t = arg;
	struct robust *r = (void *)t->memory;
	char *at = (char *)t->count;

	*r = (struct robust) {
		.head = { { &r->entry }, at - (char *)&r->entry, NULL },
		.entry = { &r->head.list },
	};
	syscall(__NR_set_robust_list, &r->head, sizeof(r->head));
	syscall(__NR_set_tid_address, at + 32);
	/* Who dies must be in the word. */
	*(volatile __u32 *)at = (__u32)syscall(__NR_gettid) | FUTEX_WAITERS;
	while (t->number++ < 1000 && *(volatile __u32 *)(t->memory + PAGE))
		sched_yield();
	syscall(__NR_exit, 0);
	return 0;
}

static void robust_words(struct hand *t)
{
	char *at = target(t);

	signal(SIGBUS, SIG_DFL);
	t->count = (unsigned long)at;
	t->number = 0;
	*(__u32 *)(t->memory + PAGE) = rnd(&t->seed) % 2;
	run_small(t, die_robustly, 0, NULL);
	t->number = 0;
}

ATTACK(robust_list_and_clear_child_tid, .begin = begin_small, .step = robust_words, .slow = true)

/* Written at each return to it, as long as it can be. */
static int run_restartable(void *arg)
{
	struct hand *t = arg;
	int i;

	signal(SIGSEGV, SIG_DFL);
	syscall(__NR_rseq, t->count, 32, 0, 0x53053053);
	for (i = 0; i < 1000; i++)
		sched_yield();
	syscall(__NR_exit, 0);
	return 0;
}

static void rseq_area(struct hand *t)
{
	t->count = (unsigned long)target(t);
	run_small(t, run_restartable, 0, NULL);
}

ATTACK(rseq_area, .begin = begin_small, .step = rseq_area, .slow = true)

static void on_signal(int sig)
{
}

/* The kernel writes a frame there for each signal, and the handler's stack is there. */
static int run_on_stack(void *arg)
{
	struct hand *t = arg;
	stack_t stack = { .ss_sp = (void *)t->count, .ss_size = BUFFER };
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	int i, pid = (int)syscall(__NR_getpid);

	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	if (sigaltstack(&stack, NULL) || sigaction(SIGUSR1, &a, NULL))
		syscall(__NR_exit, 0);
	for (i = 0; i < 1000; i++)
		syscall(__NR_kill, pid, SIGUSR1);
	syscall(__NR_exit, 0);
	return 0;
}

static void signal_stack(struct hand *t)
{
	target(t);
	t->count = (unsigned long)buffer_at(t, t->map, t->h->target);
	run_small(t, run_on_stack, 0, NULL);
}

ATTACK(signal_stack, .begin = begin_small, .step = signal_stack, .slow = true)

/* ----------------------------------------------------------------- a kill meanwhile */

#define MANY	64

static void *read_for_ever(void *arg)
{
	struct side *s = arg;
	struct iovec iov[MANY];
	/* Of memory, because such a read asks nowhere whether somebody was killed. */
	int i, fd = memfd_create("zeroes", 0);

	if (ftruncate(fd, MANY * BUFFER))
		_exit(1);
	for (;;) {
		char *map = mmap(NULL, payload_bytes(s), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
				 (off_t)s->layout.payload);

		for (i = 0; i < MANY; i++)
			iov[i] = (struct iovec) { map + i * s->layout.stride, BUFFER };
		preadv(fd, iov, MANY, 0);
		munmap(map, payload_bytes(s));
	}
	return NULL;
}

/* Each buffer is one fault of the kernel, and a kill may come before any of them. */
TEST(killed_copy_into_buffers_ends)
{
	struct krepis_geometry g = geometry_of(RING);
	unsigned int seed = 1;
	int channel, i;

	g.buffer_count = MANY;
	channel = new_channel(&g);
	ASSERT_LE(0, channel);
	for (i = 0; i < 60; i++) {
		pid_t pid = child();

		if (!pid) {
			struct side s;
			pthread_t other;

			if (side_open(&s, channel, KREPIS_PRODUCER))
				_exit(1);
			pthread_create(&other, NULL, read_for_ever, &s);
			read_for_ever(&s);
		}
		pause_ms(10 + rnd(&seed) % 10);
		kill(pid, SIGKILL);
		ASSERT_TRUE(within_ms(20000, waitpid(pid, NULL, WNOHANG) == pid))
			TH_LOG("kill %d", i);
	}
}

TEST_HARNESS_MAIN
