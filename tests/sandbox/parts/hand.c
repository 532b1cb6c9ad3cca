// SPDX-License-Identifier: MIT
/*
 * A program to be executed by the tests, that needs no other file. Without an argument it
 * does nothing, well. With one it opens that file to read; its exit status is the error, or
 * 0. With "uid" that is 99 if it acts for another user or group than who called it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd;

	if (argc < 2)
		return 0;
	if (!strcmp(argv[1], "uid"))
		return geteuid() == getuid() && getegid() == getgid() ? 0 : 99;
	fd = open(argv[1], O_RDONLY);
	return fd < 0 ? errno : 0;
}
