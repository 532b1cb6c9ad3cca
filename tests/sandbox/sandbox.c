// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "sandbox.h"

#define MAX_MADE	64

static struct krepis_domain *made[MAX_MADE];
static struct krepis_policy *written[MAX_MADE];
static unsigned int domains, policies;

/* ------------------------------------------------------------------------- domains */

static int add_sentence(struct krepis_policy *policy, const char *sentence)
{
	bool allow = strncmp(sentence, "deny ", 5);
	char words[64], *word, *rest = words;
	const char *object;
	int what, err = 0;

	sentence += allow ? 0 : 5;
	object = strchr(sentence, ' ');
	snprintf(words, sizeof(words), "%.*s", (int)strcspn(sentence, " "), sentence);
	while (!err && (word = strsep(&rest, ","))) {
		what = krepis_what_find(word);
		err = what < 0 ? what : krepis_policy_add(policy, allow, what,
							  object ? object + 1 : NULL);
	}
	if (err)
		fprintf(stderr, "# %s: %s\n", sentence, krepis_policy_error(policy));
	return err;
}

struct krepis_policy *policy_make(const char *const *sentences)
{
	struct krepis_policy *policy;

	if (policies == MAX_MADE || krepis_policy_create(&policy))
		return NULL;
	for (; *sentences; sentences++) {
		if (add_sentence(policy, *sentences)) {
			krepis_policy_destroy(policy);
			return NULL;
		}
	}
	written[policies++] = policy;
	return policy;
}

struct krepis_domain *domain_make(const char *const *sentences, uint32_t flags)
{
	struct krepis_policy *policy = policy_make(sentences);
	struct krepis_domain *domain;
	char name[KREPIS_DOMAIN_NAME_MAX + 1];

	snprintf(name, sizeof(name), "test-%d-%u", (int)getpid(), domains);
	if (!policy || domains == MAX_MADE || krepis_domain_create(name, policy, flags, &domain))
		return NULL;
	made[domains++] = domain;
	return domain;
}

void domains_end(void)
{
	while (domains) {
		krepis_domain_remove(made[--domains]);
		krepis_domain_close(made[domains]);
	}
	while (policies)
		krepis_policy_destroy(written[--policies]);
}

/* ---------------------------------------------------------------------------- trials */

void enter(struct krepis_domain *domain)
{
	int err = domain ? krepis_domain_enter(domain) : 0;

	if (!err)
		return;
	fprintf(stderr, "# cannot enter: %s: %s\n", strerror(-err), krepis_sandbox_error());
	_exit(-TRIAL_OUTSIDE);
}

struct trial trial_begin(struct krepis_domain *domain)
{
	struct trial t = {
		.result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	};

	if (t.result == MAP_FAILED)
		abort();
	*t.result = TRIAL_DIED;
	t.pid = child();
	if (t.pid)
		return t;
	*t.result = TRIAL_OUTSIDE;
	enter(domain);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	*t.result = TRIAL_DIED;
	return t;
}

void trial_report(struct trial *t, long result)
{
	*t->result = result < 0 ? (int)result : 0;
	_exit(0);
}

int trial_end(struct trial *t)
{
	int result, status = t->pid < 0 ? -1 : reap(t->pid);

	result = *t->result;
	munmap(t->result, PAGE);
	if (status)
		fprintf(stderr, "# the trial ended with %d\n", status);
	return result;
}

struct request {
	int (*f)(const char *path);
	char path[256];
};

static void serve(int in, int out)
{
	struct request r;
	int result;

	while (read(in, &r, sizeof(r)) == sizeof(r)) {
		result = r.f(r.path);
		if (write(out, &result, sizeof(result)) != sizeof(result))
			break;
	}
	_exit(0);
}

int inmate_start(struct inmate *i, struct krepis_domain *domain)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return -errno;
	i->pid = child();
	if (i->pid < 0)
		return -errno;
	if (!i->pid) {
		close(to[1]);
		close(from[0]);
		enter(domain);
		serve(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	i->to = to[1];
	i->from = from[0];
	return inmate_do(i, NULL, NULL);
}

static int nothing(const char *path)
{
	return 0;
}

int inmate_do(const struct inmate *i, int (*f)(const char *), const char *path)
{
	struct request r = { .f = f ? f : nothing };
	int result;

	snprintf(r.path, sizeof(r.path), "%s", path ? path : "");
	if (write(i->to, &r, sizeof(r)) != sizeof(r) ||
	    read(i->from, &result, sizeof(result)) != sizeof(result))
		return -EPIPE;
	return result;
}

void inmate_end(struct inmate *i)
{
	close(i->to);
	close(i->from);
	kill_and_reap(i->pid);
}

/* ------------------------------------------------------------------------------- tree */

int put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -EIO;
}

int put_program(const char *name, const char *path, mode_t mode)
{
	char self[256], from[512], bytes[65536];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int in, out;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(from, sizeof(from), "%s/parts/%s", self, name);
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (in < 0 || out < 0)
		return -errno;
	while ((n = read(in, bytes, sizeof(bytes))) > 0) {
		if (write(out, bytes, n) != n)
			n = -1;
	}
	if (n || fchmod(out, mode))
		n = -errno;
	close(in);
	close(out);
	return (int)n;
}

int tree_fill(const char *top)
{
	static const char *const dirs[] = { "a", "a/b", "a/b/c", "x", "x/y" };
	char path[256];
	unsigned int i;
	int err = 0;

	for (i = 0; i < sizeof(dirs) / sizeof(*dirs) && !err; i++) {
		snprintf(path, sizeof(path), "%s/%s", top, dirs[i]);
		mkdir(path, 0755);
		strcat(path, "/f");
		err = put_file(path, "text\n");
		path[strlen(path) - 1] = 'p';
		if (!err)
			err = put_program("hand", path, 0755);
	}
	snprintf(path, sizeof(path), "%s/empty", top);
	mkdir(path, 0755);
	return err;
}

int mount_ext4(const char *where)
{
	char line[512];

	snprintf(line, sizeof(line), "modprobe -qa loop ext4; exec >&2; i=$(mktemp) && "
		 "truncate -s 32M $i && mkfs.ext4 -q -F -b 4096 -O ^metadata_csum $i && "
		 "mount -o loop,user_xattr,acl $i %s; s=$?; rm -f $i; exit $s", where);
	return system(line) ? -EIO : 0;
}

int tree_make(const char *type)
{
	mkdir(TOP, 0755);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	if (!strcmp(type, "ext4") ? mount_ext4(TOP) : mount("none", TOP, type, 0, "mode=755"))
		return errno ? -errno : -EIO;
	return tree_fill(TOP);
}

void tree_end(void)
{
	domains_end();
	while (!umount2(TOP, MNT_DETACH))
		;
}

int number_of(const char *variable, int otherwise)
{
	const char *text = getenv(variable);
	int n = text ? atoi(text) : 0;

	return n > 0 ? n : otherwise;
}

/* ------------------------------------------------------------------------------ calls */

int open_at(int dir, const char *path, int flags)
{
	int fd = openat(dir, path, flags | O_CLOEXEC | O_NONBLOCK, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int open_file(const char *path, int flags)
{
	return open_at(AT_FDCWD, path, flags);
}

int read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char byte;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, &byte, 1);
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

int write_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, "T", 1);
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

int list(const char *path)
{
	DIR *dir = opendir(path);
	int err;

	if (!dir)
		return -errno;
	errno = 0;
	err = readdir(dir) ? 0 : -errno;
	closedir(dir);
	return err;
}

int create(const char *path)
{
	return open_file(path, O_WRONLY | O_CREAT | O_EXCL);
}

bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

int run_with(const char *path, char *const argv[], char *const env[])
{
	pid_t pid = child();

	if (pid < 0)
		return -errno;
	if (!pid) {
		execve(path, argv, env);
		_exit(errno);
	}
	return -reap(pid);
}

int run(const char *path, const char *arg)
{
	char *argv[] = { (char *)path, (char *)arg, NULL }, *env[] = { NULL };

	return run_with(path, argv, env);
}

int map(int fd, int prot)
{
	void *p = mmap(NULL, PAGE, prot, MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, PAGE);
	return 0;
}

int open_again(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open_file(path, flags);
}
