// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "helpers.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#define WATCHDOG_S	60	/* $KREPIS_WATCHDOG_S, for long runs */
#define MAX_CHILDREN	64
#define MAX_SHARED	16

static char own_directory[64];
static bool kmod;
static pid_t owner;
static pid_t children[MAX_CHILDREN];
static struct {
	void *memory;
	size_t size;
} shared[MAX_SHARED];

/* ------------------------------------------------------------------------- programs */

static void remove_tree(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[PATH_MAX];

	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (unlink(name) && errno == EISDIR)
			remove_tree(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static void kill_children(void)
{
	for (int i = 0; i < MAX_CHILDREN; i++) {
		if (children[i] > 0) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
		children[i] = 0;
	}
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	kill_children();
	remove_tree(own_directory);
}

_Noreturn void give_up(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: must(%s)\n", file, line, what);
	clean_up();
	_exit(1);
}

/* The program is lost anyway; should this hang as well, the second alarm ends it. */
static void last_rites(int sig)
{
	static const char text[] = "watchdog: the test hangs\n";

	signal(sig, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	alarm(2);
	if (sig == SIGALRM && write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	clean_up();
	raise(sig);
}

static void start_watchdog(void)
{
	const char *seconds = getenv("KREPIS_WATCHDOG_S");

	signal(SIGALRM, last_rites);
	alarm(seconds ? (unsigned int)atoi(seconds) : WATCHDOG_S);
}

/* The sanitizers': called when they end the program. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void clean_up_in_any_case(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGABRT };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], last_rites);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(clean_up);
}

int begin_program(void **state)
{
	const char *base = getenv("KREPIS_TEST_DIR");
	struct statfs fs;

	(void)state;
	snprintf(own_directory, sizeof(own_directory), "%s/krepis-unit-XXXXXX",
		 base ? base : "/dev/shm");
	if (!mkdtemp(own_directory) || statfs(own_directory, &fs))
		return -1;
	kmod = fs.f_type == KREPIS_SUPER_MAGIC;
	owner = getpid();
	start_watchdog();
	clean_up_in_any_case();
	return setenv("KREPIS_DIR", own_directory, 1);
}

int end_program(void **state)
{
	(void)state;
	remove_tree(own_directory);
	return 0;
}

int begin_claim(void **state)
{
	(void)state;
	return setenv("KREPIS_DIR", own_directory, 1);
}

int end_claim(void **state)
{
	(void)state;
	kill_children();
	for (int i = 0; i < MAX_SHARED; i++) {
		if (shared[i].memory)
			munmap(shared[i].memory, shared[i].size);
		shared[i].memory = NULL;
	}
	return 0;
}

const char *directory(void)
{
	return own_directory;
}

bool on_kmod(void)
{
	return kmod;
}

bool enforced(void)
{
	return getenv("KREPIS_TEST_ENFORCED");
}

void only_cooperative(const char *why)
{
	if (!enforced())
		return;
	printf("# only in cooperative channels: %s\n", why);
	skip();
}

void only_on_shm(const char *why)
{
	if (!kmod)
		return;
	printf("# only on shm: %s\n", why);
	skip();
}

static unsigned int entries_of(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;

	must(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

unsigned int directory_entries(void)
{
	return entries_of(own_directory);
}

bool under_valgrind(void)
{
	return RUNNING_ON_VALGRIND;
}

bool under_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#else
	return false;
#endif
}

bool under_emulator(void)
{
	static int answer = -1;
	char line[256];
	FILE *file;

	if (answer >= 0)
		return answer;
	answer = 0;
	file = fopen("/proc/cpuinfo", "re");
	while (file && fgets(line, sizeof(line), file))
		answer |= !!strstr(line, "QEMU TCG");
	if (file)
		fclose(file);
	return answer;
}

unsigned int rounds(unsigned int n)
{
	unsigned int divisor = under_valgrind() ? 40 : under_emulator() ? 20 :
			       under_sanitizer() ? 4 : 1;

	return n > divisor ? n / divisor : 1;
}

/* ----------------------------------------------------------------------------- time */

int64_t now_ns(void)
{
	return krepis_deadline_ns(0);
}

void nap(void)
{
	struct timespec pause = { .tv_nsec = 50000 };

	nanosleep(&pause, NULL);
}

void pause_for(uint64_t ns)
{
	int64_t end = now_ns() + (int64_t)ns;

	while (now_ns() < end)
		;
}

/* ------------------------------------------------------------------------- channels */

struct krepis_channel *anonymous(const struct krepis_channel_options *options)
{
	struct krepis_channel_options own = { .size = sizeof(own) };
	struct krepis_channel *channel;

	if (options)
		own = *options;
	if (enforced())
		own.flags |= KREPIS_F_ENFORCED;
	must(!krepis_channel_create(NULL, &own, &channel));
	return channel;
}

struct krepis_endpoint *attach(struct krepis_channel *channel, enum krepis_role role,
			       uint32_t flags)
{
	struct krepis_endpoint *endpoint;
	int err = krepis_attach(channel, role, flags, &endpoint);

	if (err)
		fprintf(stderr, "krepis_attach: %s\n", krepis_strerror(err));
	must(!err);
	return endpoint;
}

struct krepis_channel *create(const char *path)
{
	struct krepis_channel *channel = NULL;

	assert_ok(krepis_channel_create(path, SMALL_RING(), &channel));
	return channel;
}

struct krepis_channel *open_channel(const char *path)
{
	struct krepis_channel *channel = NULL;

	assert_ok(krepis_channel_open(path, 0, &channel));
	return channel;
}

const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory(), name);
	return path;
}

const char *foreign_path_of(const char *name)
{
	static char path[PATH_MAX];

	if (!kmod)
		return path_of(name);
	snprintf(path, sizeof(path), "/dev/shm/%s-%s", strrchr(own_directory, '/') + 1, name);
	return path;
}

void create_is_refused(const char *path, int err)
{
	struct krepis_channel *untouched = (void *)&untouched, *channel = untouched;
	unsigned int fds = open_fds(), entries = directory_entries();

	assert_error(krepis_channel_create(path, SMALL_RING(), &channel), err);
	assert_ptr_equal(channel, untouched);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(directory_entries(), entries);
}

void open_is_refused(const char *path, uint32_t layout_id, int err)
{
	struct krepis_channel *untouched = (void *)&untouched, *channel = untouched;
	unsigned int fds = open_fds();

	assert_error(krepis_channel_open(path, layout_id, &channel), err);
	assert_ptr_equal(channel, untouched);
	assert_int_equal(open_fds(), fds);
}

bool connected(struct krepis_channel *a, struct krepis_channel *b)
{
	struct krepis_endpoint *producer = attach(a, KREPIS_PRODUCER, 0);
	struct krepis_endpoint *consumer = attach(b, KREPIS_CONSUMER, 0);
	struct krepis_msg msg;
	bool ok;

	ok = !krepis_send(producer, 7, "hello", 5, KREPIS_NOWAIT) &&
	     !krepis_recv(consumer, &msg, KREPIS_NOWAIT) && msg.type == 7 && msg.len == 5 &&
	     !memcmp(msg.data, "hello", 5);
	krepis_detach(consumer);
	krepis_detach(producer);
	return ok;
}

struct krepis_endpoint *attach_inherited(struct krepis_channel *channel, enum krepis_role role,
					 uint32_t flags)
{
	struct krepis_endpoint *endpoint;
	struct krepis_channel *own;

	must(!krepis_channel_open_fd(krepis_channel_fd(channel), 0, &own));
	endpoint = attach(own, role, flags);
	krepis_channel_close(own);
	return endpoint;
}

struct pair open_pair(const struct krepis_channel_options *options)
{
	struct pair pair = { .channel = anonymous(options) };

	pair.producer = attach(pair.channel, KREPIS_PRODUCER, 0);
	pair.consumer = attach(pair.channel, KREPIS_CONSUMER, 0);
	return pair;
}

void close_pair(struct pair *pair)
{
	krepis_detach(pair->consumer);
	krepis_detach(pair->producer);
	krepis_channel_close(pair->channel);
}

struct krepis_status status_of(struct krepis_channel *channel)
{
	struct krepis_status status = { .size = sizeof(status) };

	must(!krepis_query(channel, &status));
	return status;
}

struct krepis_counters counters_of(struct krepis_endpoint *endpoint)
{
	struct krepis_status status = { .size = sizeof(status) };

	must(!krepis_endpoint_query(endpoint, &status));
	return status.counters;
}

uint64_t waits_of(struct krepis_channel *channel, int slot)
{
	struct krepis_status status = status_of(channel);

	return slot == THE_PRODUCER ? status.counters.waits : status.consumers[slot].waits;
}

bool falls_asleep(struct krepis_channel *channel, int slot, uint64_t before)
{
	return until(waits_of(channel, slot) > before);
}

void send_one(struct krepis_endpoint *producer)
{
	must(!krepis_send(producer, 1, "one", 3, KREPIS_NOWAIT));
}

unsigned int send_until_full(struct krepis_endpoint *producer, uint64_t seed, size_t len)
{
	uint8_t data[1024];
	unsigned int n;

	must(len <= sizeof(data));
	for (n = 0;; n++) {
		int err;

		fill(data, len, seed + n);
		err = krepis_send(producer, 1, data, len, KREPIS_NOWAIT);
		if (err == -EAGAIN)
			return n;
		must(!err);
	}
}

void recv_filled(struct krepis_endpoint *consumer, uint64_t seed, unsigned int count, size_t len)
{
	struct krepis_msg msg;

	for (unsigned int n = 0; n < count; n++) {
		must(!krepis_recv(consumer, &msg, SOON));
		must(msg.len == len && filled(msg.data, len, seed + n));
		must(!krepis_release(consumer, &msg));
	}
}

unsigned int count_free(struct krepis_endpoint *producer)
{
	struct krepis_buffer *buffers[64];
	unsigned int n = 0;

	while (!krepis_acquire(producer, &buffers[n], KREPIS_NOWAIT))
		must(++n < ARRAY_SIZE(buffers));
	for (unsigned int i = 0; i < n; i++)
		must(!krepis_abandon(producer, buffers[i]));
	return n;
}

/* ---------------------------------------------------------------------------- bytes */

uint64_t random_u64(void)
{
	static _Thread_local uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

uint64_t random_below(uint64_t limit)
{
	return random_u64() % limit;
}

static uint64_t next_word(uint64_t word)
{
	return word * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
}

void fill(void *data, size_t len, uint64_t seed)
{
	uint64_t word = next_word(seed ^ len);
	uint8_t *bytes = data;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(bytes + i, &word, 8);
		word = next_word(word);
	}
	memcpy(bytes + i, &word, len - i);
}

bool filled(const void *data, size_t len, uint64_t seed)
{
	uint64_t word = next_word(seed ^ len);
	const uint8_t *bytes = data;
	uint64_t differs = 0;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t found;

		memcpy(&found, bytes + i, 8);
		differs |= found ^ word;
		word = next_word(word);
	}
	return !differs && !memcmp(bytes + i, &word, len - i);
}

/* -------------------------------------------------------------------------- children */

void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(memory != MAP_FAILED);
	for (int i = 0; i < MAX_SHARED; i++) {
		if (shared[i].memory)
			continue;
		shared[i].memory = memory;
		shared[i].size = size;
		return memory;
	}
	give_up(__FILE__, __LINE__, "room for shared memory");
}

void post(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
}

bool posted(uint32_t *word, uint32_t count)
{
	return until(__atomic_load_n(word, __ATOMIC_SEQ_CST) >= count);
}

/* cmocka jumps out of some back into its loop over the tests, in the child as well. */
static void default_signals(void)
{
	static const int signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS,
				       SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGABRT };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
}

pid_t spawn(void (*body)(void *arg), void *arg)
{
	pid_t parent = getpid(), child;

	fflush(NULL);
	child = fork();
	must(child >= 0);
	if (!child) {
		memset(children, 0, sizeof(children));
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		default_signals();
		start_watchdog();
		body(arg);
		_exit(0);
	}
	for (int i = 0; i < MAX_CHILDREN; i++) {
		if (!children[i]) {
			children[i] = child;
			return child;
		}
	}
	kill(child, SIGKILL);
	give_up(__FILE__, __LINE__, "room for a child");
}

static int reap(pid_t child)
{
	int status = -1;

	must(waitpid(child, &status, 0) == child);
	for (int i = 0; i < MAX_CHILDREN; i++) {
		if (children[i] == child)
			children[i] = 0;
	}
	return status;
}

void join_child(pid_t child)
{
	int status = reap(child);

	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		skip();
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("child: wait status 0x%x", status);
}

void kill_child(pid_t child)
{
	kill(child, SIGKILL);
	reap(child);
}

void become_nobody(void)
{
	must(!setgid(65534) && !setuid(65534));
	prctl(PR_SET_DUMPABLE, 1);
}

_Noreturn void stay(void)
{
	for (;;)
		pause();
}

/* ------------------------------------------------------------------------- resources */

unsigned int open_fds(void)
{
	return entries_of("/proc/self/fd") - 1;
}

unsigned int threads(void)
{
	return entries_of("/proc/self/task");
}

unsigned int mappings(void)
{
	/* What a sanitizer or Valgrind maps for itself is not ours. */
	bool all = !under_sanitizer() && !under_valgrind();
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	must(maps);
	while (fgets(line, sizeof(line), maps))
		count += all || strstr(line, "krepis");
	fclose(maps);
	return count;
}
