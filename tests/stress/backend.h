/* SPDX-License-Identifier: MIT */
/*
 * Which backend is tested: that of the file system on which $KREPIS_TEST_DIR stands;
 * without it, shm. And how much time it gets.
 */
#ifndef _STRESS_BACKEND_H
#define _STRESS_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <krepis/krepis.h>

static inline const char *test_directory(void)
{
	const char *dir = getenv("KREPIS_TEST_DIR");

	return dir ? dir : "/dev/shm";
}

/* From here on channels without a name are of that backend. */
static inline void choose_backend(void)
{
	setenv("KREPIS_DIR", test_directory(), 1);
}

static inline bool on_kmod(void)
{
	struct statfs fs;

	return !statfs(test_directory(), &fs) && fs.f_type == KREPIS_SUPER_MAGIC;
}

/* A channel of that backend, and enforced if $KREPIS_TEST_ENFORCED is set. */
static inline int create_channel(const struct krepis_channel_options *options,
				 struct krepis_channel **channel)
{
	struct krepis_channel_options own = *options;

	if (getenv("KREPIS_TEST_ENFORCED"))
		own.flags |= KREPIS_F_ENFORCED;
	return krepis_channel_create(NULL, &own, channel);
}

/* How many times slower than a machine this one is, at most. */
static inline unsigned int slowness(void)
{
	static unsigned int answer;
	char line[256];
	FILE *file;

	if (answer)
		return answer;
	answer = 1;
	file = fopen("/proc/cpuinfo", "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (strstr(line, "QEMU TCG"))
			answer = 10;
	}
	if (file)
		fclose(file);
	return answer;
}

/* Whether @fd is of an endpoint of the channel @channel; then @q tells of which. */
static inline bool kmod_endpoint(int fd, int channel, struct krepis_info_query *q)
{
	struct stat a, b;

	*q = (struct krepis_info_query){ .size = sizeof(*q) };
	return !ioctl(fd, KREPIS_IOC_QUERY, q) && q->role && !fstat(fd, &a) &&
	       !fstat(channel, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A new endpoint that does nothing by itself. */
static inline int kmod_attach(int channel, enum krepis_role role)
{
	struct krepis_attach_args args = {
		.size = sizeof(args), .role = role, .rights = KREPIS_RIGHT_ALL,
	};

	return ioctl(channel, KREPIS_IOC_ATTACH, &args);
}

#endif /* _STRESS_BACKEND_H */
