// SPDX-License-Identifier: MIT
/*
 * The library's own threads: keepers (keeper.c) and bells (bell.c).
 */
#include <signal.h>
#include "internal.h"

#define STACK_BYTES	65536

/*
 * With the program's signals blocked: they are for the program's threads. Without a
 * guard page, which is an area of memory more, of which a process has 65530
 * (vm.max_map_count): stacks side by side are one area. If the program's thread-local
 * storage leaves no room in a small stack, it is as large as all.
 */
int krepis_thread_start(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setguardsize(&attr, 0);
	err = pthread_create(thread, &attr, main, arg);
	if (err == EINVAL)
		err = pthread_create(thread, NULL, main, arg);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}
