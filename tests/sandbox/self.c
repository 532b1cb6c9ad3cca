// SPDX-License-Identifier: MIT
/*
 * That a domain does not get rid of itself: root, to whom all is allowed that can be,
 * against the programs in the kernel, their pins, and who loaded them.
 */
#include <kselftest_harness.h>
#include <glob.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include "confined.h"

#define BPF_FS	"/sys/fs/bpf"

FIXTURE(self)
{
	struct krepis_domain *domain;	/* where everything is allowed */
	glob_t pins;
};

FIXTURE_SETUP(self)
{
	ASSERT_EQ(0, place_make());
	self->domain = domain("read", "write", "exec", "net", "unix", "channel", "env", "sys");
	ASSERT_EQ(0, glob(BPF_FS "/krepis*", 0, NULL, &self->pins));
	ASSERT_EQ(0, glob(BPF_FS "/krepis*/*", GLOB_APPEND, NULL, &self->pins));
	ASSERT_LT(3, self->pins.gl_pathc);
}

FIXTURE_TEARDOWN(self)
{
	globfree(&self->pins);
	place_end();
}

/* ---------------------------------------------------------------------------- pins */

static int set_mode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -ENOTUNIQ : sys(chmod(path, st.st_mode & 07777));
}

static int set_owner(const char *path)
{
	return sys(chown(path, 0, 0));
}

static int set_times(const char *path)
{
	return sys(utimensat(AT_FDCWD, path, NULL, 0));
}

static int set_attribute(const char *path)
{
	return sys(setxattr(path, "trusted.krepis", "x", 1, 0));
}

static int move_away(const char *path)
{
	return sys(rename(path, BPF_FS "/moved"));
}

static int move_onto(const char *path)
{
	return sys(rename(BPF_FS "/mine", path));
}

static int take_away(const char *path)
{
	return sys(unlink(path));
}

static int take_directory(const char *path)
{
	return sys(rmdir(path));
}

static int link_to(const char *path)
{
	return sys(link(path, BPF_FS "/link"));
}

static int get_object(const char *path)
{
	union bpf_attr attr = { .pathname = (uintptr_t)path };

	return sys(syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr)));
}

TEST_F(self, pins_are_out_of_reach)
{
	static int (*const changes[])(const char *) = {
		set_mode, set_owner, set_times, move_away, get_object,
	};
	unsigned int i, j;

	for (i = 0; i < self->pins.gl_pathc; i++) {
		const char *path = self->pins.gl_pathv[i];
		struct stat st;

		ASSERT_EQ(0, stat(path, &st));
		for (j = 0; j < ARRAY_SIZE(changes); j++) {
			EXPECT_EQ(-EPERM, in_domain(self->domain, changes[j](path)))
				TH_LOG("change %u of %s", j, path);
		}
		EXPECT_EQ(-EPERM, in_domain(self->domain, S_ISDIR(st.st_mode) ?
					    take_directory(path) : take_away(path)));
		EXPECT_NE(0, in_domain(self->domain, set_attribute(path)));
		EXPECT_NE(0, in_domain(self->domain, link_to(path)));
		EXPECT_TRUE(exists(path));
	}
	/* Which is not because nobody may. */
	allowed(NULL, set_mode(self->pins.gl_pathv[0]));
	allowed(NULL, set_times(self->pins.gl_pathv[0]));
	allowed(NULL, get_object(self->pins.gl_pathv[self->pins.gl_pathc - 1]));
}

TEST_F(self, nothing_is_put_beside_the_pins)
{
	ASSERT_EQ(0, mkdir(BPF_FS "/mine", 0700));
	refused(EPERM, self->domain, sys(mkdir(BPF_FS "/other", 0700)));
	refused(EPERM, self->domain, sys(rmdir(BPF_FS "/mine")));
	refused(EPERM, self->domain, sys(symlink("/", BPF_FS "/krepis-link")));
	EXPECT_GT(0, in_domain(self->domain, move_onto(self->pins.gl_pathv[0])));
	EXPECT_EQ(0, rmdir(BPF_FS "/mine"));
}

static int all_links_detached(void)
{
	union bpf_attr attr = { 0 };
	int fd;

	for (fd = 0; fd < 64; fd++) {
		attr.link_detach.link_fd = fd;
		if (sys(syscall(SYS_bpf, BPF_LINK_DETACH, &attr, sizeof(attr))) != -EPERM)
			return -fd - 1;
	}
	return 0;
}

/* Also by a descriptor that it was left. */
TEST_F(self, programs_are_not_detached_nor_unloaded)
{
	union bpf_attr attr = { 0 };
	size_t i;

	for (i = 0; i < self->pins.gl_pathc; i++) {
		attr.pathname = (uintptr_t)self->pins.gl_pathv[i];
		syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	}
	EXPECT_EQ(0, in_domain(self->domain, all_links_detached()));
	EXPECT_NE(0, in_domain(self->domain, krepis_sandbox_unload()));
	allowed(self->domain, confined());
}

/* Whether a descriptor of a BPF map gives its memory away. */
static int map_all(void)
{
	char path[32], name[64];
	ssize_t n;
	int fd;

	for (fd = 0; fd < 256; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		if (n < 0)
			continue;
		name[n] = '\0';
		if (strstr(name, "bpf-map") &&
		    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
			return -EEXIST;
	}
	return 0;
}

TEST_F(self, memory_of_the_programs_is_not_mapped_inside)
{
	union bpf_attr attr = { .pathname = (uintptr_t)BPF_FS "/krepis/domains" };
	int fd = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EEXIST, in_domain(NULL, map_all()));
	allowed(self->domain, map_all());
	close(fd);
}

/* Whether memory of a BPF map is there to be written to. */
static int has_map(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int found = 0;

	if (!maps)
		return -ENOTUNIQ;
	while (fgets(line, sizeof(line), maps))
		found |= strstr(line, " rw-s ") && strstr(line, "bpf-map");
	fclose(maps);
	return found ? -EEXIST : 0;
}

/* Who enters without executing anything could write there what the domain may do. */
TEST_F(self, memory_of_the_programs_does_not_stay_mapped_in_who_enters)
{
	allowed(self->domain, has_map());
}

TEST_F(self, file_system_of_the_pins_stays_mounted)
{
	refused(EPERM, self->domain, sys(umount2(BPF_FS, MNT_DETACH)));
	refused(EPERM, self->domain, sys(mount("none", BPF_FS, "tmpfs", 0, NULL)));
	refused(EPERM, self->domain, sys(mount("none", TOP, "bpf", 0, NULL)));
	refused(EPERM, self->domain, sys(mount(NULL, BPF_FS, NULL, MS_REMOUNT | MS_RDONLY, NULL)));
	allowed(NULL, ({ unshare(CLONE_NEWNS) ? -errno : sys(umount2(BPF_FS, MNT_DETACH)); }));
}

/* --------------------------------------------------------------------------- domains */

TEST_F(self, domains_are_not_made_changed_nor_found_from_inside)
{
	struct krepis_policy *all = policy("read", "write", "exec", "net", "unix", "sys");
	struct krepis_domain *d;

	EXPECT_GT(0, in_domain(self->domain, krepis_domain_create("inside", all, 0, &d)));
	EXPECT_GT(0, in_domain(self->domain, krepis_domain_open("inside", &d)));
	EXPECT_GT(0, in_domain(self->domain, krepis_domain_set(self->domain, all)));
	EXPECT_GT(0, in_domain(self->domain, krepis_domain_add_cgroup(self->domain, GROUPS)));
	EXPECT_EQ(-ENOENT, krepis_domain_open("inside", &d));
	EXPECT_EQ(0, krepis_domain_set(self->domain, all));
	allowed(self->domain, confined());
}

/* Although it was opened before, by the process itself. */
TEST_F(self, domain_is_not_removed_from_inside)
{
	struct krepis_domain *other = domain("read");

	EXPECT_GT(0, in_domain(self->domain, krepis_domain_remove(self->domain)));
	EXPECT_GT(0, in_domain(self->domain, krepis_domain_remove(other)));
	EXPECT_EQ(0, krepis_domain_remove(other));
	EXPECT_EQ(0, krepis_domain_remove(self->domain));
}

TEST_F(self, domain_is_not_left_for_another)
{
	struct krepis_domain *other = domain("read", "write", "exec", "sys");
	int err = in_domain(self->domain, krepis_domain_enter(other));

	EXPECT_TRUE(err == -EBUSY || err == -EPERM)
		TH_LOG("it is %d", err);
	allowed(other, confined());
}

TEST_F(self, who_is_in_a_removed_domain_may_do_nothing)
{
	struct krepis_domain *d;
	struct inmate who;

	ASSERT_EQ(0, krepis_domain_create("removed", policy("read", "write", "net"), 0, &d));
	ASSERT_EQ(0, inmate_start(&who, d));
	EXPECT_EQ(0, inmate_do(&who, read_file, TOP "/f"));
	ASSERT_EQ(0, krepis_domain_remove(d));
	EXPECT_EQ(-EACCES, inmate_do(&who, read_file, TOP "/f"));
	krepis_domain_close(d);
	inmate_end(&who);
}

/* ----------------------------------------------------------------------------- tasks */

static int write_memory_of(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open_file(path, O_RDWR);
}

TEST_F(self, who_made_the_domain_is_out_of_reach)
{
	refused(EPERM, self->domain, sys(kill(getppid(), SIGKILL)));
	refused(EPERM, self->domain, sys(kill(1, 0)));
	refused(EACCES, self->domain, write_memory_of(1));
	refused(EACCES, self->domain, write_memory_of(getppid()));
	allowed(NULL, write_memory_of(1));
	allowed(NULL, sys(kill(1, 0)));
}

/* Says again what a file of settings says. */
static int set_again(const char *path)
{
	char text[256] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -ENOTUNIQ;
	close(fd);
	return write_text(path, *text ? text : "\n");
}

/* The kernel executes those itself, as root, and outside. */
TEST_F(self, programs_that_the_kernel_executes_are_not_named_from_inside)
{
	static const char *const names[] = {
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
		"/proc/sys/kernel/poweroff_cmd",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_EQ(0, in_domain(NULL, set_again(names[i])));
		EXPECT_GT(0, in_domain(self->domain, set_again(names[i])))
			TH_LOG("%s can be set", names[i]);
	}
}

TEST_HARNESS_MAIN
