// SPDX-License-Identifier: MIT
/*
 * Attaching as a program that a person may interrupt.
 *
 * A signal asks the endpoint to shut down (krepis_shutdown() may be called from a
 * handler), sets a flag, and from then on comes back once a second as SIGALRM: a
 * read(2) or write(2) that was entered between the test of the flag and the
 * signal gets its EINTR all the same.
 */
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include "tool.h"

#define POLL_MS 200	/* how soon an idle reader notices that its peer has gone */

static struct krepis_endpoint *volatile attached;
static volatile sig_atomic_t signalled;

static void on_signal(int signal)
{
	if (signal == SIGALRM) {
		if (signalled)
			alarm(1);
		return;
	}
	if (!signalled)
		signalled = signal;
	if (attached)
		krepis_shutdown(attached);
	alarm(1);
}

void tool_signals_init(void)
{
	static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGALRM };
	struct sigaction action = { .sa_handler = on_signal };
	struct sigaction old;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(handled); i++) {
		/* nohup and shells that start us in the background ignore some. */
		if (sigaction(handled[i], NULL, &old) || old.sa_handler == SIG_IGN)
			continue;
		sigaction(handled[i], &action, NULL);
	}
	/* A closed pipe is an error of write(2), so that we can still detach. */
	signal(SIGPIPE, SIG_IGN);
}

int tool_signalled(void)
{
	return signalled;
}

int tool_signal_exit(void)
{
	return signalled ? 128 + signalled : EXIT_FAILED;
}

int tool_attach(struct krepis_channel *channel, enum krepis_role role,
		struct krepis_endpoint **out)
{
	int err = krepis_attach(channel, role, 0, out);

	if (err)
		return err;
	attached = *out;
	if (signalled)
		krepis_shutdown(*out);
	return 0;
}

void tool_detach(struct krepis_endpoint *endpoint)
{
	attached = NULL;
	krepis_detach(endpoint);
}

/* Endpoints that died since the channel was made. */
uint32_t tool_deaths(struct krepis_endpoint *endpoint)
{
	struct krepis_status status = { .size = sizeof(status) };

	return krepis_endpoint_query(endpoint, &status) ? 0 : status.deaths;
}

/* Producers among them. */
uint32_t tool_producer_deaths(struct krepis_endpoint *endpoint)
{
	struct krepis_status status = { .size = sizeof(status) };

	return krepis_endpoint_query(endpoint, &status) ? 0 : status.producer_deaths;
}

/* For a producer: whether nobody is left to read. */
bool tool_peer_gone(struct krepis_endpoint *endpoint)
{
	return krepis_wait(endpoint, KREPIS_NOWAIT) == -KREPIS_PEER_GONE;
}

/**
 * tool_read - read(2) for the producer of a channel
 * @endpoint: whose consumers are watched meanwhile, or NULL
 * @fd:	      any descriptor, blocking or not
 * @data:     room for @len bytes
 * @len:      bytes
 * @deadline: as for the library
 *
 * Return: bytes, 0 at the end, -EINTR after a signal, -KREPIS_PEER_GONE,
 * -ETIMEDOUT, or the error of read(2).
 */
ssize_t tool_read(struct krepis_endpoint *endpoint, int fd, void *data, size_t len,
		  int64_t deadline)
{
	for (;;) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };
		int ready = poll(&pollfd, 1, POLL_MS);
		ssize_t n;

		if (signalled)
			return -EINTR;
		if (!ready) {
			if (endpoint && tool_peer_gone(endpoint))
				return -KREPIS_PEER_GONE;
			if (tool_now() > deadline)
				return -ETIMEDOUT;
			continue;
		}
		n = read(fd, data, len);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

/**
 * tool_write - writes all of it
 * @fd:	  any descriptor, blocking or not
 * @data: @len bytes
 * @len:  bytes
 *
 * Return: 0, -EINTR after a signal, or the error of write(2).
 */
int tool_write(int fd, const void *data, size_t len)
{
	const char *from = data;

	while (len) {
		struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
		ssize_t n;

		if (signalled)
			return -EINTR;
		n = write(fd, from, len);
		if (n >= 0) {
			from += n;
			len -= n;
		} else if (errno == EAGAIN) {
			poll(&pollfd, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}
