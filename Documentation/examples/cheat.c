// SPDX-License-Identifier: MIT
/*
 * A producer that changes a payment after it was checked. In an enforced channel, which
 * needs the module, it dies of the attempt; in any other one it gets the money.
 *
 *	cc cheat.c -lkrepis -pthread
 */
#include <err.h>
#include <krepis/krepis.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, krepis_strerror(result));
	return result;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	char text[160] = "";

	(void)sig;
	(void)context;
	krepis_fault_explain(info->si_addr, text, sizeof(text));
	dprintf(1, "the cheat dies: %s\n", text);
	_exit(1);
}

static void cheat(struct krepis_channel *channel)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct krepis_endpoint *out;
	struct krepis_buffer *buffer;
	char *amount;

	sigaction(SIGBUS, &action, NULL);
	check(krepis_attach(channel, KREPIS_PRODUCER, 0, &out), "krepis_attach");
	check(krepis_wait_peer(out, 1, krepis_deadline_ms(5000)), "krepis_wait_peer");
	check(krepis_acquire(out, &buffer, KREPIS_FOREVER), "krepis_acquire");
	amount = krepis_buffer_data(buffer);
	strcpy(amount, "pay 10");
	check(krepis_publish(out, buffer, 1, 64, 0, KREPIS_FOREVER), "krepis_publish");
	strcpy(amount, "pay 1000000");
	krepis_detach(out);
}

int main(void)
{
	struct krepis_channel_options options = { .size = sizeof(options), .flags = KREPIS_F_ENFORCED };
	struct krepis_channel *channel;
	struct krepis_endpoint *in;
	struct krepis_msg msg;
	pid_t child;
	int result = krepis_channel_create(NULL, &options, &channel);

	if (result == -EOPNOTSUPP) {
		options.flags = 0;
		result = krepis_channel_create(NULL, &options, &channel);
	}
	check(result, "krepis_channel_create");
	child = check(fork(), "fork");
	if (!child) {
		cheat(channel);
		_exit(0);
	}
	check(krepis_attach(channel, KREPIS_CONSUMER, 0, &in), "krepis_attach");
	check(krepis_recv(in, &msg, krepis_deadline_ms(5000)), "krepis_recv");
	/* Whatever was checked before this, the cheat has had its time. */
	waitpid(child, NULL, 0);
	printf("%s: %s\n", options.flags ? "enforced" : "cooperative", (const char *)msg.data);
	krepis_release(in, &msg);
	krepis_detach(in);
	krepis_channel_close(channel);
}
