/* SPDX-License-Identifier: MIT */
/*
 * What the programs about krepis_fd() share: how long they poll, and polling by epoll.
 */
#ifndef KREPIS_TEST_FD_H
#define KREPIS_TEST_FD_H

#include <sys/epoll.h>
#include "helpers.h"

#define LARGE	 2000	/* goes into a buffer */
#define QUIET_MS 20	/* what is polled for does not come */

static inline int epoll_of(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	must(epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

static inline bool epoll_tells(int epoll, int ms)
{
	struct epoll_event event;

	return epoll_wait(epoll, &event, 1, ms) == 1;
}

#endif /* KREPIS_TEST_FD_H */
