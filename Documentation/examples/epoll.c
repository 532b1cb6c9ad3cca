// SPDX-License-Identifier: MIT
/*
 * An echo server in a loop over epoll, where krepis_fd() stands beside sockets and
 * timers. Two channels, because each has one direction.
 *
 *	cc epoll.c -lkrepis -pthread
 */
#include <err.h>
#include <krepis/krepis.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every call of the library returns 0 or more, or a negative errno. */
static int check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, krepis_strerror(result));
	return result;
}

static void client(struct krepis_endpoint *out, struct krepis_endpoint *in)
{
	static const char *const words[] = { "one", "two", "three" };
	struct krepis_msg msg;

	/* Only who is there gets what is sent. */
	check(krepis_wait_peer(out, 1, krepis_deadline_ms(5000)), "krepis_wait_peer");
	for (int i = 0; i < 3; i++) {
		check(krepis_send(out, 1, words[i], strlen(words[i]), KREPIS_FOREVER), "send");
		check(krepis_recv(in, &msg, krepis_deadline_ms(5000)), "receive");
		printf("client: %.*s\n", (int)msg.len, (const char *)msg.data);
	}
}

static void server(struct krepis_endpoint *out, struct krepis_endpoint *in)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), result = -EAGAIN;
	struct krepis_msg msg;

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, check(krepis_fd(in), "krepis_fd"), &event))
		err(1, "epoll_ctl");
	while (result == -EAGAIN) {
		if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR)
			err(1, "epoll_wait");
		/* Until there is nothing: from then on the descriptor tells of more. */
		while (!(result = krepis_recv(in, &msg, KREPIS_NOWAIT)))
			check(krepis_send(out, msg.type, msg.data, msg.len, KREPIS_FOREVER), "send");
	}
	if (result != -KREPIS_PEER_GONE)
		check(result, "receive");
	printf("server: the client has gone\n");
	close(epoll);
}

int main(void)
{
	struct krepis_channel *there, *back;
	struct krepis_endpoint *in, *out;
	int status = 0;
	pid_t child;

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Without names, for a child. Others meet by a name: krepis_channel_open(). */
	check(krepis_channel_create(NULL, NULL, &there), "krepis_channel_create");
	check(krepis_channel_create(NULL, NULL, &back), "krepis_channel_create");
	child = check(fork(), "fork");
	check(krepis_attach(child ? there : back, KREPIS_CONSUMER, 0, &in), "krepis_attach");
	check(krepis_attach(child ? back : there, KREPIS_PRODUCER, 0, &out), "krepis_attach");
	krepis_channel_close(there);
	krepis_channel_close(back);
	(child ? server : client)(out, in);
	krepis_detach(out);
	krepis_detach(in);
	return child && (waitpid(child, &status, 0) < 0 || status);
}
