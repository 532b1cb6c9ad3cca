// SPDX-License-Identifier: MIT
/* What a call costs in C: two lines of nanoseconds. Each binding has the same in its language. */
#include <krepis/krepis.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS	1000000
#define BUFFER	4096

static struct krepis_endpoint *producer, *consumer;

static void check(int err)
{
	if (!err)
		return;
	fprintf(stderr, "bench: %s\n", krepis_strerror(err));
	exit(1);
}

static void receive(void)
{
	struct krepis_msg msg;

	check(krepis_recv(consumer, &msg, KREPIS_FOREVER));
	(void)*(const volatile uint8_t *)msg.data;
	krepis_release(consumer, &msg);
}

static void send_inline(uint8_t i)
{
	static uint8_t data[64];

	data[0] = i;
	check(krepis_send(producer, 1, data, sizeof(data), KREPIS_FOREVER));
	receive();
}

static void send_buffer(uint8_t i)
{
	struct krepis_buffer *buffer;

	check(krepis_acquire(producer, &buffer, KREPIS_FOREVER));
	*(uint8_t *)krepis_buffer_data(buffer) = i;
	check(krepis_publish(producer, buffer, 1, BUFFER, 0, KREPIS_FOREVER));
	receive();
}

static void timed(const char *name, void (*one)(uint8_t i))
{
	int64_t began = krepis_deadline_ns(0);
	uint32_t i;

	for (i = 0; i < ROUNDS; i++)
		one((uint8_t)i);
	printf("%s %.2f\n", name, (double)(krepis_deadline_ns(0) - began) / ROUNDS);
}

int main(void)
{
	struct krepis_channel_options options = { .size = sizeof(options), .buffer_size = BUFFER };
	struct krepis_channel *channel;

	check(krepis_channel_create(NULL, &options, &channel));
	check(krepis_attach(channel, KREPIS_PRODUCER, 0, &producer));
	check(krepis_attach(channel, KREPIS_CONSUMER, 0, &consumer));
	timed("inline", send_inline);
	timed("buffer", send_buffer);
	return 0;
}
