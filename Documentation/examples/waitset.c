// SPDX-License-Identifier: MIT
/*
 * Many sensors, one loop: a channel for each, and a wait set that tells which of
 * them have something. It ends when all sensors have gone, or by SIGINT.
 */
#include <err.h>
#include <krepis/waitset.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SENSORS 5
static struct krepis_waitset *set;

static int check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, krepis_strerror(result));
	return result;
}

static void stop(int sig __attribute__((unused)))
{
	krepis_waitset_interrupt(set);
}

static int sensor(struct krepis_channel *channel, int number)
{
	struct krepis_endpoint *producer;

	check(krepis_attach(channel, KREPIS_PRODUCER, 0, &producer), "krepis_attach");
	check(krepis_wait_peer(producer, 1, krepis_deadline_ms(5000)), "krepis_wait_peer");
	for (int i = 1; i <= 10; i++) {
		check(krepis_send(producer, 1, &i, sizeof(i), KREPIS_FOREVER), "krepis_send");
		usleep(1000U << number);
	}
	krepis_detach(producer);
	return 0;
}

int main(void)
{
	int sum[SENSORS] = { 0 }, left = SENSORS, n = 0, got;
	struct krepis_channel *channel[SENSORS];
	struct krepis_endpoint *consumer[SENSORS];
	struct krepis_ready ready[SENSORS];
	struct krepis_msg msg;

	/* First the processes: what has been attached is better not inherited. */
	for (int i = 0; i < SENSORS; i++) {
		check(krepis_channel_create(NULL, NULL, &channel[i]), "krepis_channel_create");
		if (!check(fork(), "fork"))
			return sensor(channel[i], i);
	}
	check(krepis_waitset_create(&set), "krepis_waitset_create");
	signal(SIGINT, stop);
	for (int i = 0; i < SENSORS; i++) {
		check(krepis_attach(channel[i], KREPIS_CONSUMER, 0, &consumer[i]), "krepis_attach");
		krepis_channel_close(channel[i]);
		check(krepis_waitset_add(set, consumer[i], &sum[i]), "krepis_waitset_add");
	}
	while (left && (n = krepis_waitset_wait(set, ready, SENSORS, KREPIS_FOREVER)) > 0) {
		for (int i = 0; i < n; i++) {
			while (!(got = krepis_recv(ready[i].endpoint, &msg, KREPIS_NOWAIT)))
				*(int *)ready[i].data += *(const int *)msg.data;
			/* Gone, by detach or death: there is no more to come. */
			if (got != -EAGAIN)
				left -= !krepis_waitset_remove(set, ready[i].endpoint);
		}
	}
	krepis_waitset_destroy(set);
	for (int i = 0; i < SENSORS; i++) {
		printf("sensor %d: %d\n", i, sum[i]);
		krepis_detach(consumer[i]);
		wait(NULL);
	}
	return n < 0 && n != -ECANCELED;
}
