// SPDX-License-Identifier: MIT
/*
 * The programs: loaded once, pinned in the BPF file system, found again by everybody else.
 *
 * They are pinned into a directory of another name first, which is then renamed: who
 * dies in between leaves nothing that somebody takes for whole.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "internal.h"
#include "sandbox.skel.h"

#define BPF_FS		"/sys/fs/bpf"
#define PINS		BPF_FS "/krepis"
#define NEW_PINS	PINS "-new"	/* no dot: the file system keeps those for itself */
#define BPF_FS_TYPE	0xcafe4a11

/* ---------------------------------------------------------------------------- errors */

static __thread char error[512];

int sandbox_fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof(error), format, args);
	va_end(args);
	return -err;
}

KREPIS_SANDBOX_API const char *krepis_sandbox_error(void)
{
	return error;
}

/* Of a call that the kernel refused for reasons that are none of ours. */
static int fail_call(int err, const char *call)
{
	if (err == EPERM || err == EACCES)
		return sandbox_fail(EPERM, "%s: not permitted: this needs CAP_BPF, CAP_PERFMON and "
				    "CAP_SYS_ADMIN: run it as root", call);
	return sandbox_fail(err, "%s: %s", call, strerror(err));
}

/* ------------------------------------------------------------------------- conditions */

static bool bpf_is_security_module(void)
{
	char list[256] = "";
	int fd = open("/sys/kernel/security/lsm", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	char *rest = list, *name;

	/* Where it cannot be read, loading will tell. */
	if (fd < 0)
		return true;
	n = read(fd, list, sizeof(list) - 1);
	close(fd);
	if (n <= 0)
		return true;
	while ((name = strsep(&rest, ",\n")))
		if (!strcmp(name, "bpf"))
			return true;
	return false;
}

static int check_kernel(void)
{
	struct statfs fs;

	if (!bpf_is_security_module())
		return sandbox_fail(EOPNOTSUPP, "BPF is no security module of this kernel: boot it "
				    "with bpf at the end of the parameter lsm= (now: see "
				    "/sys/kernel/security/lsm)");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return sandbox_fail(EOPNOTSUPP, "this kernel has no type information "
				    "(/sys/kernel/btf/vmlinux): it needs CONFIG_DEBUG_INFO_BTF");
	if (statfs(BPF_FS, &fs) || fs.f_type != BPF_FS_TYPE)
		return sandbox_fail(ENOENT, "no BPF file system is mounted: mount -t bpf bpf " BPF_FS);
	return 0;
}

int sandbox_lock(void)
{
	int fd = open(BPF_FS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail_call(errno, "open " BPF_FS);
	while (flock(fd, LOCK_EX)) {
		if (errno != EINTR) {
			int err = errno;

			close(fd);
			return fail_call(err, "flock " BPF_FS);
		}
	}
	return fd;
}

/* ------------------------------------------------------------------------------ pins */

static int remove_pins(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int err = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0))
			err = -errno;
	}
	closedir(d);
	if (!err && rmdir(dir))
		err = -errno;
	return err;
}

int sandbox_object(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), PINS "/%s", name);
	fd = bpf_obj_get(path);
	return fd < 0 ? fail_call(errno, path) : fd;
}

static int pin(int fd, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), NEW_PINS "/%s", name);
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

/* Whether the pins that are there are of this version. Return: 1, 0: there are none, or an error */
static int find_pins(void)
{
	__u32 zero = 0, abi = 0;
	int fd, err;

	if (access(PINS, F_OK))
		return errno == ENOENT ? 0 : fail_call(errno, PINS);
	fd = sandbox_object("abi");
	if (fd < 0)
		return fd;
	err = bpf_map_lookup_elem(fd, &zero, &abi);
	close(fd);
	if (err)
		return fail_call(errno, PINS "/abi");
	if (abi != SANDBOX_ABI)
		return sandbox_fail(ESTALE, "the sandbox that is loaded is of another version (%u, "
				    "not %u): krepis policy unload with that version, then try again",
				    abi, SANDBOX_ABI);
	return 1;
}

/* ----------------------------------------------------------------------------- loading */

/* How many parameters the kernel's hook has; -1: there is no such. */
static int parameters(const struct btf *kernel, const char *hook)
{
	char name[64];
	int id;

	snprintf(name, sizeof(name), "bpf_lsm_%s", hook);
	id = btf__find_by_name_kind(kernel, name, BTF_KIND_FUNC);
	if (id < 0)
		return -1;
	return btf_vlen(btf__type_by_id(kernel, btf__type_by_id(kernel, id)->type));
}

static bool has(const struct btf *kernel, const char *hook)
{
	return parameters(kernel, hook) >= 0;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/*
 * Of those programs that are of all kernels: a kernel that was built without io_uring or perf
 * does not ask about them, and need not. Without another hook it would not be asked at all.
 */
static int choose_by_hook(struct sandbox_bpf *s, const struct btf *kernel)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, s->obj) {
		const char *hook = strchr(bpf_program__section_name(program), '/');

		if (!hook || !bpf_program__autoload(program) || has(kernel, ++hook))
			continue;
		if (!begins(hook, "uring_") && !begins(hook, "perf_"))
			return sandbox_fail(EOPNOTSUPP, "this kernel does not ask about %s: it needs "
					    "CONFIG_SECURITY_NETWORK and CONFIG_SECURITY_PATH, and to be "
					    "6.1 or newer", hook);
		bpf_program__set_autoload(program, false);
	}
	return 0;
}

/* Of the programs that are of some kernels those that are of this one. */
static int choose(struct sandbox_bpf *s)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	int setattr;
	int err;

	if (!kernel)
		return fail_call(errno, "/sys/kernel/btf/vmlinux");
	s->rodata->can_cast = btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	setattr = parameters(kernel, "inode_setattr");
	bpf_program__set_autoload(s->progs.sandbox_inode_setattr, setattr == 3);
	bpf_program__set_autoload(s->progs.sandbox_inode_setattr_old, setattr == 2);
	bpf_program__set_autoload(s->progs.sandbox_file_truncate, has(kernel, "file_truncate"));
	bpf_program__set_autoload(s->progs.sandbox_file_ioctl_compat,
				  has(kernel, "file_ioctl_compat"));
	bpf_program__set_autoload(s->progs.sandbox_key_alloc, has(kernel, "key_alloc"));
	bpf_program__set_autoload(s->progs.sandbox_inode_set_acl, has(kernel, "inode_set_acl"));
	bpf_program__set_autoload(s->progs.sandbox_inode_remove_acl,
				  has(kernel, "inode_remove_acl"));
	err = choose_by_hook(s, kernel);
	btf__free(kernel);
	return err;
}

static int pin_all(struct sandbox_bpf *s)
{
	struct bpf_program *program;
	struct bpf_map *map;
	__u32 zero = 0, abi = SANDBOX_ABI;
	int err;

	if (bpf_map_update_elem(bpf_map__fd(s->maps.abi), &zero, &abi, BPF_ANY))
		return -errno;
	bpf_object__for_each_map(map, s->obj) {
		/* Not what is of the compiler, or only the pattern of a map in a map. */
		if (strchr(bpf_map__name(map), '.') || !strncmp(bpf_map__name(map), "no_", 3))
			continue;
		err = pin(bpf_map__fd(map), bpf_map__name(map));
		if (err)
			return err;
	}
	bpf_object__for_each_program(program, s->obj) {
		struct bpf_link *link;

		if (!bpf_program__autoload(program))
			continue;
		if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL) {
			err = pin(bpf_program__fd(program),
				  bpf_program__name(program) + strlen("sandbox_"));
		} else {
			link = bpf_program__attach(program);
			if (!link)
				return -errno;
			err = pin(bpf_link__fd(link), bpf_program__name(program));
			bpf_link__destroy(link);
		}
		if (err)
			return err;
	}
	return 0;
}

static char said[256];	/* as libbpf_set_print(), of the process: under sandbox_lock() */

/* The first thing that libbpf, or the kernel's verifier, has to say against it. */
static int keep_first(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !said[0]) {
		vsnprintf(said, sizeof(said), format, args);
		said[strcspn(said, "\n")] = 0;
	}
	return 0;
}

static int load_programs(struct sandbox_bpf *s)
{
	int err = choose(s);

	if (err)
		return err;
	err = sandbox_bpf__load(s);
	if (!err)
		return 0;
	if (err == -EPERM)
		return fail_call(EPERM, "loading the sandbox's programs");
	return sandbox_fail(-err, "loading the sandbox's programs: %s (%s)", strerror(-err), said);
}

static int pin_programs(struct sandbox_bpf *s)
{
	int err;

	remove_pins(NEW_PINS);
	err = mkdir(NEW_PINS, 0700) ? -errno : pin_all(s);
	if (!err && rename(NEW_PINS, PINS))
		err = -errno;
	if (!err)
		return 0;
	remove_pins(NEW_PINS);
	return fail_call(-err, "pinning the sandbox's programs in " BPF_FS);
}

static int load_and_pin(void)
{
	libbpf_print_fn_t print = libbpf_set_print(keep_first);
	struct sandbox_bpf *s;
	int err;

	said[0] = 0;
	s = sandbox_bpf__open();
	err = s ? load_programs(s) : fail_call(errno, "the sandbox's programs");
	if (!err)
		err = pin_programs(s);
	sandbox_bpf__destroy(s);
	libbpf_set_print(print);
	return err;
}

KREPIS_SANDBOX_API int krepis_sandbox_load(void)
{
	int err = check_kernel(), lock;

	if (err)
		return err;
	err = find_pins();
	if (err)
		return err < 0 ? err : 0;
	lock = sandbox_lock();
	if (lock < 0)
		return lock;
	err = find_pins();
	if (!err)
		err = load_and_pin();
	close(lock);
	return err < 0 ? err : 0;
}

static int name_one(void *arg, const struct krepis_domain_info *info)
{
	return sandbox_fail(EBUSY, "there is a domain, '%s': krepis policy rm %s", info->name,
			    info->name);
}

KREPIS_SANDBOX_API int krepis_sandbox_unload(void)
{
	int lock = sandbox_lock(), err;

	if (lock < 0)
		return lock;
	err = find_pins();
	if (!err)
		err = sandbox_fail(ENOENT, "the sandbox is not loaded");
	else if (err > 0)
		err = krepis_domain_each(name_one, NULL);
	if (!err) {
		err = remove_pins(PINS);
		if (err)
			err = fail_call(-err, "removing " PINS);
	}
	close(lock);
	return err;
}
