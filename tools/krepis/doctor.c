// SPDX-License-Identifier: MIT
/* krepis doctor: which backend this machine offers, and what would make it better. */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tool.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define ROOM_WANTED	(64ULL << 20)	/* what a container gets by default */
#define FILES_WANTED	256

/* MISSING breaks the shm backend, SLOW does not. ABSENT is expected in this version. */
enum state { OK, SLOW, MISSING, ABSENT };

/**
 * struct finding - the result of one check
 * @state: enum state
 * @text:  what was found, and what it means
 * @next:  what to type next, or empty
 */
struct finding {
	enum state state;
	char text[512];
	char next[256];
};

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

#define SAY(f, s, ...)  do {						\
	(f)->state = (s);						\
	snprintf((f)->text, sizeof((f)->text), __VA_ARGS__);		\
} while (0)
#define NEXT(f, ...)	snprintf((f)->next, sizeof((f)->next), __VA_ARGS__)

static void check_kernel(struct finding *f)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major > 5 || (major == 5 && minor >= 16))
		SAY(f, OK, "Linux %s on %s has all that the library uses", u.release, u.machine);
	else if (major == 5 || (major == 4 && minor >= 16))
		SAY(f, SLOW, "Linux %s on %s: sleepers look around every 2 ms, which 5.16 does not need",
		    u.release, u.machine);
	else
		SAY(f, MISSING, "Linux %s on %s is older than 4.16", u.release, u.machine);
	if (f->state != OK)
		NEXT(f, "apt install linux-image-$(dpkg --print-architecture), then reboot");
}

static bool file_has_word(const char *path, const char *word)
{
	char line[256];
	bool found = false;
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, word);
	fclose(file);
	return found;
}

static void check_kmod(struct finding *f)
{
	if (!access("/sys/module/krepis", F_OK) || file_has_word("/proc/filesystems", "\tkrepis\n"))
		SAY(f, ABSENT, "not available: a krepis module is loaded, but this version of the library has no use for it yet");
	else
		SAY(f, ABSENT, "not available: this version has no kernel module yet. Peers keep the ownership rules by their own will");
}

/* Names stand in a directory that the first krepis create makes. */
static void check_directory(struct finding *f)
{
	char path[PATH_SIZE], parent[PATH_SIZE], *slash;
	struct statfs fs;
	bool exists;

	if (krepis_directory(path, sizeof(path))) {
		SAY(f, MISSING, "the path in KREPIS_DIR is too long");
		NEXT(f, "export KREPIS_DIR=/dev/shm/krepis-$(id -u)");
		return;
	}
	exists = !access(path, F_OK);
	strcpy(parent, path);
	slash = strrchr(parent, '/');
	if (!exists && slash && slash != parent)
		*slash = '\0';
	if (statfs(parent, &fs)) {
		SAY(f, MISSING, "%.200s does not exist, so names have no place", parent);
		NEXT(f, "mkdir -p %.200s", parent);
	} else if ((unsigned long)fs.f_type != TMPFS_MAGIC) {
		SAY(f, MISSING, "%.200s is not on tmpfs: channels need memory, not a disk", parent);
		NEXT(f, "export KREPIS_DIR=/dev/shm/krepis-$(id -u)");
	} else if (access(parent, W_OK | X_OK)) {
		SAY(f, MISSING, "%.200s: no permission to make channels there", parent);
		NEXT(f, "export KREPIS_DIR=/dev/shm/krepis-$(id -u)");
	} else {
		SAY(f, OK, "%.200s%s: tmpfs, writable", path,
		    exists ? "" : " (made by the first krepis create)");
	}
}

static void check_room(struct finding *f)
{
	char path[PATH_SIZE], room[32], *slash;
	struct statvfs vfs;

	if (krepis_directory(path, sizeof(path)))
		path[0] = '\0';
	slash = strrchr(path, '/');
	if (access(path, F_OK) && slash)
		*slash = '\0';
	if (statvfs(path, &vfs)) {
		SAY(f, MISSING, "cannot tell how much room %.200s has: %s", path, strerror(errno));
		return;
	}
	tool_amount_text((uint64_t)vfs.f_bavail * vfs.f_frsize, room, sizeof(room));
	if ((uint64_t)vfs.f_bavail * vfs.f_frsize * 10 >= ROOM_WANTED * 9) {
		SAY(f, OK, "%s free for channels", room);
		return;
	}
	SAY(f, SLOW, "only %s free in %.200s: a channel of default size takes 17 MiB, all at once", room,
	    path);
	NEXT(f, "mount -o remount,size=1G /dev/shm (in a container, start it with --shm-size=1g)");
}

static void check_memfd(struct finding *f)
{
	int fd = memfd_create("krepis-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, 4096) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		SAY(f, MISSING, "memfd_create and sealing: %s: no channels without a name",
		    strerror(errno));
		NEXT(f, "uname -r (they need Linux 3.17), and see whether a seccomp filter forbids them");
	} else {
		SAY(f, OK, "memfd_create and sealing: channels without a name");
	}
	if (fd >= 0)
		close(fd);
}

static void check_futex_waitv(struct finding *f)
{
	if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) && errno == EINVAL) {
		SAY(f, OK, "futex_waitv: a sleeper is woken by any of its peers, and by their death");
		return;
	}
	SAY(f, SLOW, "futex_waitv: %s: sleepers look around every 2 ms instead", strerror(errno));
	if (errno == ENOSYS)
		NEXT(f, "apt install linux-image-$(dpkg --print-architecture), then reboot (it came with 5.16)");
	else
		NEXT(f, "update the container runtime: its seccomp filter does not know the call");
}

static void check_membarrier(struct finding *f)
{
	int commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) &&
	    !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0)) {
		SAY(f, OK, "membarrier: publishing a message needs no memory fence");
		return;
	}
	SAY(f, SLOW, "membarrier: no GLOBAL_EXPEDITED: every message costs a full memory fence");
	NEXT(f, "grep MEMBARRIER /boot/config-$(uname -r), and see whether a seccomp filter forbids it");
}

/* In a child: one word on a robust list, and death by SIGKILL. */
static void die_holding(uint32_t *word)
{
	static struct robust_list node;
	static struct robust_list_head head;

	head.list.next = &node;
	node.next = &head.list;
	head.futex_offset = (char *)word - (char *)&node;
	*word = (uint32_t)syscall(SYS_gettid) | FUTEX_WAITERS;
	if (syscall(SYS_set_robust_list, &head, sizeof(head)))
		_exit(EXIT_FAILED);
	kill(getpid(), SIGKILL);
}

static void check_death(struct finding *f)
{
	uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (word == MAP_FAILED) {
		SAY(f, MISSING, "robust futexes: no memory to try them");
		return;
	}
	pid = fork();
	if (!pid) {
		die_holding(word);
		_exit(EXIT_FAILED);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && (*word & FUTEX_OWNER_DIED))
		SAY(f, OK, "robust futexes: a process was killed, and the kernel told of its death at once");
	else
		SAY(f, MISSING, "robust futexes: a process was killed, and nobody was told");
	if (f->state != OK)
		NEXT(f, "see whether a seccomp filter forbids set_robust_list");
	munmap(word, 4096);
}

static void check_locks(struct finding *f)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = memfd_create("krepis-doctor", MFD_CLOEXEC);

	if (fd >= 0 && !fcntl(fd, F_OFD_SETLK, &lock)) {
		SAY(f, OK, "open file description locks: endpoints hold their slots with them");
	} else {
		SAY(f, MISSING, "open file description locks: %s: nobody can attach", strerror(errno));
		NEXT(f, "uname -r (they need Linux 3.15)");
	}
	if (fd >= 0)
		close(fd);
}

static void check_proc(struct finding *f)
{
	if (!access("/proc/self/fd/0", F_OK) || !access("/proc/self/fd/2", F_OK) ||
	    !access("/proc/self/maps", F_OK)) {
		SAY(f, OK, "/proc is mounted: channels are opened through it");
		return;
	}
	SAY(f, MISSING, "/proc is not mounted: channels cannot be made or attached to");
	NEXT(f, "mount -t proc proc /proc");
}

static void check_processors(struct finding *f)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) ? 0 : CPU_COUNT(&set);

	if (count != 1) {
		SAY(f, OK, "%d processors allowed: peers can spin briefly before they sleep", count);
		return;
	}
	SAY(f, SLOW, "1 processor allowed: no spinning, every hand-over to a waiting peer is a wake-up");
	NEXT(f, "taskset -c 0-$(($(nproc --all) - 1)) COMMAND, or give the container more processors");
}

static void check_files(struct finding *f)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= FILES_WANTED) {
		SAY(f, OK, "up to %llu open files: each channel and each endpoint takes one",
		    (unsigned long long)limit.rlim_cur);
		return;
	}
	SAY(f, SLOW, "only %llu open files: each channel and each endpoint takes one",
	    (unsigned long long)limit.rlim_cur);
	NEXT(f, "ulimit -n 4096");
}

/* One message through @channel, both ends ours: 0 or the error of the step that failed. */
static int round_trip(struct krepis_channel *channel, int64_t *took_ns)
{
	struct krepis_endpoint *producer = NULL, *consumer = NULL;
	struct krepis_msg msg;
	int64_t start;
	int err;

	err = krepis_attach(channel, KREPIS_CONSUMER, 0, &consumer);
	if (!err)
		err = krepis_attach(channel, KREPIS_PRODUCER, 0, &producer);
	start = tool_now();
	if (!err)
		err = krepis_send(producer, 1, "krepis", 6, krepis_deadline_ms(1000));
	if (!err)
		err = krepis_recv(consumer, &msg, krepis_deadline_ms(1000));
	*took_ns = tool_now() - start;
	if (!err && (msg.len != 6 || memcmp(msg.data, "krepis", 6)))
		err = -EBADMSG;
	krepis_detach(producer);
	krepis_detach(consumer);
	return err;
}

static void check_channel(struct finding *f)
{
	struct krepis_channel_options o = {
		.size = sizeof(o),
		.flags = KREPIS_F_NO_BUFFERS,
		.max_consumers = 1,
	};
	struct krepis_channel *channel;
	char directory[PATH_SIZE], name[64];
	bool existed;
	int64_t took = 0;
	int err;

	err = krepis_directory(directory, sizeof(directory));
	existed = !err && !access(directory, F_OK);
	snprintf(name, sizeof(name), ".doctor-%d", getpid());
	if (!err)
		err = krepis_channel_create(name, &o, &channel);
	if (!err) {
		err = round_trip(channel, &took);
		krepis_channel_close(channel);
		krepis_unlink(name);
	}
	if (!existed)
		rmdir(directory);	/* as it was, if nobody else came meanwhile */
	if (!err) {
		SAY(f, OK, "a message went through a channel in %.200s", directory);
		return;
	}
	SAY(f, MISSING, "no message went through a channel in %.200s: %s", directory,
	    krepis_strerror(err));
	NEXT(f, "see the lines above that do not say ok");
}

static const struct {
	const char *id;
	void (*check)(struct finding *f);
} checks[] = {
	{ "kmod", check_kmod },
	{ "kernel", check_kernel },
	{ "directory", check_directory },
	{ "room", check_room },
	{ "memfd", check_memfd },
	{ "waiting", check_futex_waitv },
	{ "publishing", check_membarrier },
	{ "death", check_death },
	{ "locks", check_locks },
	{ "proc", check_proc },
	{ "processors", check_processors },
	{ "files", check_files },
	{ "channel", check_channel },
};

static const char *state_name(enum state state)
{
	return state == OK ? "ok" : state == SLOW ? "slow" : "missing";
}

static void print_json(const struct finding *found, unsigned int slow, unsigned int missing)
{
	unsigned int i;

	printf("{\"version\":\"%s\",\"backend\":%s,\"guarantee\":\"cooperative\",\"ok\":%s,\"slow\":%u,\"missing\":%u,\"checks\":[",
	       krepis_version(), missing ? "null" : "\"shm\"", slow + missing ? "false" : "true", slow,
	       missing);
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		printf("%s{\"id\":\"%s\",\"state\":\"%s\",\"required\":%s,\"text\":", i ? "," : "",
		       checks[i].id, state_name(found[i].state),
		       found[i].state == ABSENT ? "false" : "true");
		json_text(stdout, found[i].text);
		fputs(",\"next\":", stdout);
		json_text(stdout, found[i].next);
		putchar('}');
	}
	puts("]}");
}

static void print_text(const struct finding *found, unsigned int slow, unsigned int missing)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		printf("%-8s %-11s %s\n", state_name(found[i].state), checks[i].id, found[i].text);
		if (found[i].next[0])
			printf("%21sType: %s\n", "", found[i].next);
	}
	if (missing)
		printf("\nNo backend: the shm backend does not work here, for what is missing above.\n");
	else if (slow)
		printf("\nBackend: shm (cooperative). It works, but not as well as it could.\n");
	else
		printf("\nBackend: shm (cooperative). It works fully.\n");
}

static int run(int argc, char **argv)
{
	static struct finding found[ARRAY_SIZE(checks)];
	unsigned int i, slow = 0, missing = 0;
	bool json = false;
	int option;

	while ((option = tool_getopt(argc, argv, ":h", options)) != TOOL_OPT_END) {
		if (option == TOOL_OPT_HELP)
			return tool_help(&command_doctor);
		if (option == TOOL_OPT_BAD)
			return EXIT_USAGE;
		json = true;
	}
	if (optind != argc)
		return tool_usage(argv[0], "takes no arguments but options");
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		checks[i].check(&found[i]);
		slow += found[i].state == SLOW;
		missing += found[i].state == MISSING;
	}
	(json ? print_json : print_text)(found, slow, missing);
	if (fflush(stdout))
		return EXIT_FAILED;
	return slow + missing ? EXIT_NOT_FOUND : EXIT_DONE;
}

const struct tool_command command_doctor = {
	.name = "doctor",
	.summary = "Say which backend this machine offers, and what would make it better.",
	.synopsis = "[--json]",
	.help =
	"  --json   one object: {\"backend\", \"ok\", \"checks\": [{\"id\", \"state\", \"text\", \"next\"}]}\n\n"
	"Each line is ok, slow or missing, says what that means, and what to type next. Exit code 0\n"
	"if the shm backend works fully, 3 if something is slow or missing. The kernel module is not\n"
	"part of this version, and does not count.\n\n"
	"Example:\n"
	"  krepis doctor\n"
	"  krepis doctor --json | python3 -m json.tool\n",
	.run = run,
};
