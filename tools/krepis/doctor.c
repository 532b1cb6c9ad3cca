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
#include "doctor.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define ROOM_WANTED	(64ULL << 20)	/* what a container gets by default */
#define FILES_WANTED	256

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

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

bool doctor_file_has(const char *path, const char *word)
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

/*
 * Where channels would be made, or if the first krepis create makes that, where it
 * does. Return: 0 or -ENAMETOOLONG.
 */
int doctor_place(char *path, size_t size)
{
	int err = krepis_directory(path, size);
	char *slash;

	if (err) {
		path[0] = '\0';
		return err;
	}
	slash = strrchr(path, '/');
	if (access(path, F_OK) && slash && slash != path)
		*slash = '\0';
	return 0;
}

/* Names stand in a directory that the first krepis create makes. */
static void check_directory(struct finding *f)
{
	char path[PATH_SIZE], place[PATH_SIZE];
	struct statfs fs;

	if (krepis_directory(path, sizeof(path)) || doctor_place(place, sizeof(place))) {
		SAY(f, MISSING, "the path in KREPIS_DIR is too long");
		NEXT(f, "export KREPIS_DIR=/dev/shm/krepis-$(id -u)");
		return;
	}
	if (statfs(place, &fs)) {
		SAY(f, MISSING, "%.200s does not exist, so names have no place", place);
		NEXT(f, "mkdir -p %.200s", place);
	} else if ((unsigned long)fs.f_type != TMPFS_MAGIC && !doctor_on_module(place)) {
		SAY(f, MISSING, "%.200s is not on tmpfs or krepis: channels need memory, not a disk", place);
		NEXT(f, "export KREPIS_DIR=/dev/shm/krepis-$(id -u)");
	} else if (access(place, W_OK | X_OK)) {
		SAY(f, MISSING, "%.200s: no permission to make channels there", place);
		NEXT(f, "export KREPIS_DIR=/dev/shm/krepis-$(id -u)");
	} else {
		SAY(f, OK, "%.200s%s: %s, writable", path,
		    strcmp(path, place) ? " (made by the first krepis create)" : "",
		    doctor_on_module(place) ? "krepis" : "tmpfs");
	}
}

static void check_room(struct finding *f)
{
	char path[PATH_SIZE], mount[PATH_SIZE], room[32];
	struct statvfs vfs;

	doctor_place(path, sizeof(path));
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
	if (doctor_on_module(path) && doctor_mount_of(path, mount, sizeof(mount)))
		NEXT(f, "sudo mount -o remount,size=1G %.200s", mount);
	else
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

enum backend { SHM = 1, KMOD = 2, BOTH = SHM | KMOD };

/* @needed_by: whose use suffers if it is not OK; the rest only tells. */
static const struct {
	const char *id;
	void (*check)(struct finding *f);
	enum backend needed_by;
} checks[] = {
	{ "kmod", doctor_kmod, KMOD },
	{ "signature", doctor_signature, KMOD },
	{ "mount", doctor_mount, KMOD },
	{ "memlock", doctor_memlock, KMOD },
	{ "uring", doctor_uring, 0 },
	{ "kernel", check_kernel, BOTH },
	{ "directory", check_directory, BOTH },
	{ "room", check_room, BOTH },
	{ "memfd", check_memfd, SHM },
	{ "waiting", check_futex_waitv, SHM },
	{ "publishing", check_membarrier, BOTH },
	{ "death", check_death, SHM },
	{ "locks", check_locks, SHM },
	{ "proc", check_proc, BOTH },
	{ "processors", check_processors, BOTH },
	{ "files", check_files, BOTH },
	{ "channel", check_channel, BOTH },
	{ "lsm", doctor_lsm, 0 },
	{ "bpffs", doctor_bpffs, 0 },
	{ "caps", doctor_caps, 0 },
	{ "landlock", doctor_landlock, 0 },
};

/**
 * struct result - what it comes to
 * @backend:	who makes the channels, by where they are made
 * @slow:	checks that count and are SLOW
 * @missing:	... MISSING
 */
struct result {
	enum backend backend;
	unsigned int slow;
	unsigned int missing;
};

static const char *backend_name(const struct result *r)
{
	return r->backend == KMOD ? "kmod" : "shm";
}

static const char *state_name(enum state state)
{
	return state == OK ? "ok" : state == SLOW ? "slow" : "missing";
}

static void print_json(const struct finding *found, const struct result *r)
{
	unsigned int i;

	printf("{\"version\":\"%s\",\"backend\":", krepis_version());
	if (r->missing)
		fputs("null", stdout);
	else
		json_text(stdout, backend_name(r));
	printf(",\"guarantee\":\"cooperative\",\"ok\":%s,\"slow\":%u,\"missing\":%u,\"checks\":[",
	       r->slow + r->missing ? "false" : "true", r->slow, r->missing);
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		printf("%s{\"id\":\"%s\",\"state\":\"%s\",\"required\":%s,\"text\":", i ? "," : "",
		       checks[i].id, state_name(found[i].state),
		       checks[i].needed_by & r->backend ? "true" : "false");
		json_text(stdout, found[i].text);
		fputs(",\"next\":", stdout);
		json_text(stdout, found[i].next);
		putchar('}');
	}
	puts("]}");
}

static void print_text(const struct finding *found, const struct result *r)
{
	unsigned int i, other = 0;

	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		printf("%-8s %-11s %s\n", state_name(found[i].state), checks[i].id, found[i].text);
		if (found[i].next[0])
			printf("%21sType: %s\n", "", found[i].next);
		other += found[i].state != OK && !(checks[i].needed_by & r->backend);
	}
	if (r->missing)
		printf("\nNo backend: the %s backend does not work here, for what is missing above.\n",
		       backend_name(r));
	else if (r->slow)
		printf("\nBackend: %s (cooperative). It works, but not as well as it could.\n",
		       backend_name(r));
	else
		printf("\nBackend: %s (cooperative). It works fully.\n", backend_name(r));
	if (other)
		printf("%u of the lines above that are not ok %s about what it does not use.\n", other,
		       other == 1 ? "is" : "are");
}

static int run(int argc, char **argv)
{
	static struct finding found[ARRAY_SIZE(checks)];
	struct result r = { .backend = SHM };
	char place[PATH_SIZE];
	bool json = false;
	unsigned int i;
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
	if (!doctor_place(place, sizeof(place)) && doctor_on_module(place))
		r.backend = KMOD;
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		checks[i].check(&found[i]);
		if (!(checks[i].needed_by & r.backend))
			continue;
		r.slow += found[i].state == SLOW;
		r.missing += found[i].state == MISSING;
	}
	(json ? print_json : print_text)(found, &r);
	if (fflush(stdout))
		return EXIT_FAILED;
	return r.slow + r.missing ? EXIT_NOT_FOUND : EXIT_DONE;
}

const struct tool_command command_doctor = {
	.name = "doctor",
	.summary = "Say which backend this machine offers, and what would make it better.",
	.synopsis = "[--json]",
	.help =
	"  --json   one object: {\"backend\", \"ok\", \"checks\": [{\"id\", \"state\", \"required\",\n"
	"           \"text\", \"next\"}]}\n\n"
	"Each line is ok, slow or missing, says what that means, and what to type next. The backend\n"
	"is kmod where channels would be made on a krepis file system, and else shm. Exit code 0 if\n"
	"it works fully, 3 if something that it needs is slow or missing; what only the other one\n"
	"needs does not count. The last four are about krepis run, and never count.\n\n"
	"Example:\n"
	"  krepis doctor\n"
	"  krepis doctor --json | python3 -m json.tool\n",
	.run = run,
};
