// SPDX-License-Identifier: MIT
/* krepis doctor: is the kernel module there, and may it be used? */
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "doctor.h"

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

#define MODULE_PLACES	"{extra,updates,updates/dkms}/krepis.ko*"
#define SIGNED_BY	"~Module signature appended~\n"	/* how such a file ends */
#define SECURE_BOOT	"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* The first line of @path, without its end, in @text. */
static bool first_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok;

	text[0] = '\0';
	if (!file)
		return false;
	ok = fgets(text, (int)size, file);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return ok;
}

/* -------------------------------------------------------------- the module */

static bool is_loaded(void)
{
	return doctor_file_has("/proc/filesystems", "\tkrepis\n");
}

/* What modprobe(8) would find in the directory of a kernel. */
static bool listed(const char *modules, char *found, size_t size)
{
	char path[PATH_SIZE], *line = NULL;
	size_t room = 0;
	bool ok = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/modules.dep", modules);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!ok && getline(&line, &room, file) > 0) {
		char *name;

		line[strcspn(line, ":\n")] = '\0';
		name = strrchr(line, '/');
		ok = !strncmp(name ? name + 1 : line, "krepis.ko", 9);
		if (ok)
			snprintf(found, size, "%s/%s", modules, line);
	}
	free(line);
	fclose(file);
	return ok;
}

static bool lies(const char *pattern, char *found, size_t size)
{
	glob_t list;
	bool ok = !glob(pattern, GLOB_BRACE, NULL, &list);

	if (ok)
		snprintf(found, size, "%s", list.gl_pathv[0]);
	globfree(&list);
	return ok;
}

/* krepis.ko for the running kernel, in @found; @known: also to modprobe(8). */
static bool is_installed(char *found, size_t size, bool *known)
{
	char modules[PATH_SIZE / 2], pattern[PATH_SIZE];
	struct utsname u;

	uname(&u);
	snprintf(modules, sizeof(modules), "/lib/modules/%s", u.release);
	*known = listed(modules, found, size);
	snprintf(pattern, sizeof(pattern), "%s/" MODULE_PLACES, modules);
	return *known || lies(pattern, found, size);
}

/* Where none of this version is installed for this kernel; @before: what else is to be typed. */
static void next_build(struct finding *f, const char *before)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/usr/src/krepis-%s/dkms.conf", krepis_version());
	if (!access(path, F_OK))
		NEXT(f, "%ssudo dkms install krepis/%s && sudo modprobe krepis", before, krepis_version());
	else
		NEXT(f, "%ssudo make install-kmod && sudo depmod && sudo modprobe krepis", before);
}

/* The one that is loaded, if it is of this version. */
static void check_loaded(struct finding *f)
{
	char version[64];
	bool older;

	if (!first_line("/sys/module/krepis/version", version, sizeof(version)))
		strcpy(version, "0");	/* from before it told */
	if (!strcmp(version, krepis_version())) {
		SAY(f, OK, "the module is loaded: krepis %s", version);
		return;
	}
	older = strverscmp(version, krepis_version()) < 0;
	SAY(f, MISSING, "the module is loaded, but it is krepis %s, and this is krepis %s: the %s is older", version,
	    krepis_version(), older ? "module" : "library");
	if (older)
		next_build(f, "sudo umount -at krepis && sudo modprobe -r krepis && ");
	else
		NEXT(f, "sudo make install, in the sources of krepis %s", version);
}

void doctor_kmod(struct finding *f)
{
	static const char gain[] = "With it death is told by the kernel alone, and nobody can truncate a channel";
	char found[PATH_SIZE];
	struct utsname u;
	bool known;

	uname(&u);
	if (is_loaded()) {
		check_loaded(f);
	} else if (is_installed(found, sizeof(found), &known)) {
		SAY(f, MISSING, "no kernel module yet: %.200s is there, but not loaded. %s", found, gain);
		NEXT(f, known ? "sudo modprobe krepis" : "sudo depmod && sudo modprobe krepis");
	} else if (lies("/lib/modules/*/" MODULE_PLACES, found, sizeof(found))) {
		SAY(f, MISSING, "no kernel module yet: %.200s is another kernel's, and Linux %.60s is running. %s",
		    found, u.release, gain);
		next_build(f, "");
	} else {
		SAY(f, MISSING, "no kernel module yet: none is installed under /lib/modules/%.60s. %s",
		    u.release, gain);
		next_build(f, "");
	}
}

/* ------------------------------------------------------------- signatures */

static bool secure_boot(void)
{
	unsigned char value[5] = { 0 };	/* four bytes of attributes before it */
	int fd = open(SECURE_BOOT, O_RDONLY | O_CLOEXEC);
	bool on = fd >= 0 && read(fd, value, sizeof(value)) == sizeof(value) && value[4] == 1;

	if (fd >= 0)
		close(fd);
	return on;
}

/* Whether the file ends as one that was signed does. A compressed one never does. */
static bool is_signed(const char *path)
{
	char end[sizeof(SIGNED_BY)] = "";
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	if (!fseek(file, -(long)strlen(SIGNED_BY), SEEK_END) &&
	    fread(end, strlen(SIGNED_BY), 1, file) != 1)
		end[0] = '\0';
	fclose(file);
	return !strcmp(end, SIGNED_BY);
}

void doctor_signature(struct finding *f)
{
	char line[128], lockdown[32] = "unknown", enforce[8], found[PATH_SIZE] = "";
	bool known, locked, boot = secure_boot();

	/* "none [integrity] confidentiality" */
	if (first_line("/sys/kernel/security/lockdown", line, sizeof(line)))
		sscanf(line, "%*[^[][%31[^]]", lockdown);
	first_line("/sys/module/module/parameters/sig_enforce", enforce, sizeof(enforce));
	locked = !strcmp(lockdown, "integrity") || !strcmp(lockdown, "confidentiality");
	if (is_loaded()) {
		SAY(f, OK, "the module is loaded, so nothing refused its signature");
		return;
	}
	if (!locked && enforce[0] != 'Y') {
		SAY(f, OK, "Secure Boot is %s, and this kernel takes modules without a signature",
		    boot ? "on" : "off");
		return;
	}
	SAY(f, MISSING, "Secure Boot is %s, kernel lockdown is %s: only modules that are signed with a key which this machine knows can be loaded",
	    boot ? "on" : "off", lockdown);
	if (is_installed(found, sizeof(found), &known) && is_signed(found))
		NEXT(f, "modinfo -F signer krepis, and look for that one in: mokutil --list-enrolled");
	else if (!access("/var/lib/dkms/mok.pub", F_OK))
		NEXT(f, "sudo mokutil --import /var/lib/dkms/mok.pub, reboot, and enroll it there");
	else
		NEXT(f, "sudo /lib/modules/$(uname -r)/build/scripts/sign-file sha256 MOK.priv MOK.der /lib/modules/$(uname -r)/extra/krepis.ko");
}

/* ---------------------------------------------------------------- the mount */

/* Whether @path, or what it will be made in, stands on a krepis file system. */
bool doctor_on_module(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == KREPIS_SUPER_MAGIC;
}

/* The krepis mount that @path stands on, or with NULL any, /run/krepis before others. */
bool doctor_mount_of(const char *path, char *mount, size_t size)
{
	struct stat wanted, st;
	struct mntent *m;
	bool found = false;
	FILE *file;

	if (!path && doctor_on_module(MODULE_DIRECTORY))
		path = MODULE_DIRECTORY;
	if (path && stat(path, &wanted))
		return false;
	file = setmntent("/proc/self/mounts", "re");
	if (!file)
		return false;
	while (!found && (m = getmntent(file))) {
		found = !strcmp(m->mnt_type, "krepis") &&
			(!path || (!stat(m->mnt_dir, &st) && st.st_dev == wanted.st_dev));
		if (found)
			snprintf(mount, size, "%s", m->mnt_dir);
	}
	endmntent(file);
	return found;
}

/* @err of @directory. Not opened to all, where one of one's own will do. */
static void next_permission(struct finding *f, const char *directory, int err)
{
	if (err == -EROFS)
		NEXT(f, "sudo mount -o remount,rw %.200s", directory);
	else if (access(directory, X_OK))
		NEXT(f, "sudo chmod 1777 %.200s", directory);
	else
		NEXT(f, "sudo install -d -o $(id -un) %.80s/$(id -un) && export KREPIS_DIR=%.80s/$(id -un)",
		     directory, directory);
}

void doctor_mount(struct finding *f)
{
	const char *set = secure_getenv("KREPIS_DIR");
	char place[PATH_SIZE], mount[PATH_SIZE];
	const char *directory = mount;
	int err;

	if (!doctor_place(place, sizeof(place)) && doctor_on_module(place))
		directory = place;
	else if (!doctor_mount_of(NULL, mount, sizeof(mount))) {
		SAY(f, MISSING, "no krepis file system is mounted, so the module has no place for channels");
		NEXT(f, "sudo mkdir -p " MODULE_DIRECTORY " && sudo mount -t krepis none " MODULE_DIRECTORY);
		return;
	}
	err = access(directory, W_OK | X_OK) ? -errno : 0;
	if (err) {
		SAY(f, MISSING, "krepis is mounted, but you cannot make channels in %.200s: %s", directory,
		    strerror(-err));
		next_permission(f, directory, err);
	} else if (directory == place) {
		SAY(f, OK, "krepis is mounted, and you may make channels in %.200s", place);
	} else if (set && *set && !strcmp(mount, MODULE_DIRECTORY)) {
		SAY(f, MISSING, "krepis is mounted on " MODULE_DIRECTORY ", but KREPIS_DIR leads to %.200s", set);
		NEXT(f, "unset KREPIS_DIR");
	} else {
		SAY(f, MISSING, "krepis is mounted on %.200s, where the library does not look", mount);
		NEXT(f, "export KREPIS_DIR=%.200s", mount);
	}
}

/* ------------------------------------------------------------------- limits */

/* Of the machine, as the module asks: root of a user namespace does not have it. */
static bool has_capability(unsigned int capability)
{
	unsigned long long set = 0, inside = 1, outside = 1, count = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file) && sscanf(line, "CapEff: %llx", &set) != 1)
		;
	if (file)
		fclose(file);
	return ((set >> capability) & 1) && first_line("/proc/self/uid_map", line, sizeof(line)) &&
	       sscanf(line, "%llu %llu %llu", &inside, &outside, &count) == 3 &&
	       !inside && !outside && count == 0xffffffff;
}

void doctor_memlock(struct finding *f)
{
	char amount[32];
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	tool_amount_text(limit.rlim_cur, amount, sizeof(amount));
	if (has_capability(CAP_IPC_LOCK)) {
		SAY(f, OK, "CAP_IPC_LOCK: channels of the module do not count as locked memory");
	} else if (limit.rlim_cur == RLIM_INFINITY) {
		SAY(f, OK, "no limit of locked memory, which channels of the module count as");
	} else if (limit.rlim_cur >= CHANNEL_WANTED) {
		SAY(f, OK, "up to %s of locked memory: all that your channels of the module may have together",
		    amount);
	} else {
		SAY(f, SLOW, "only %s of locked memory: a channel of default size takes 17 MiB of it if the module makes it",
		    amount);
		NEXT(f, limit.rlim_max >= CHANNEL_WANTED ? "ulimit -l %s" :
		     "sudo prlimit --memlock=67108864 --pid $$, and for good: echo '* - memlock 65536' | sudo tee /etc/security/limits.d/krepis.conf",
		     limit.rlim_max >= (64U << 20) ? "65536" : "hard");
	}
}

/* Nothing needs it; what an event loop would do with it is in krepis/uring.h. */
void doctor_uring(struct finding *f)
{
	static const char without[] = "programs cannot batch commands or wait through it; nothing else needs it";
	char sysctl[16];

	/* Where it is allowed, NULL is what is wrong. */
	if (syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT) {
		SAY(f, OK, "io_uring: allowed");
		return;
	}
	if (errno == ENOSYS) {
		SAY(f, SLOW, "io_uring: this kernel is built without it: %s", without);
		NEXT(f, "grep IO_URING /boot/config-$(uname -r)");
		return;
	}
	first_line("/proc/sys/kernel/io_uring_disabled", sysctl, sizeof(sysctl));
	if (sysctl[0] && sysctl[0] != '0') {
		SAY(f, SLOW, "io_uring: kernel.io_uring_disabled is %s: %s", sysctl, without);
		NEXT(f, "sudo sysctl kernel.io_uring_disabled=0");
	} else {
		SAY(f, SLOW, "io_uring: %s: %s", strerror(errno), without);
		NEXT(f, "let the seccomp filter pass io_uring_setup, io_uring_enter and io_uring_register");
	}
}
